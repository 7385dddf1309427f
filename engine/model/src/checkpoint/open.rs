//! Opening a model: headers and small files now, weights when they are touched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::entry::{Entry, FileWeight, floats};
use super::paring::{Blocks, FORMAT, Paring, QUANTIZATION, keys_of_others};
use super::{Carried, Checkpoint, sparse};
use crate::config::Config;
use crate::error::{ModelError, Result};
use crate::families::bert::projection_directories;
use crate::families::pretrained;
use crate::gguf::is_gguf;
use crate::inputs::Inputs;
use crate::outline::WeightOutline;
use crate::outputs::Outputs;
use crate::pickle::{self, is_pickle};
use crate::quantized::config::{Quantization, is_plain};
use crate::storage::{
    CONFIG, FileTensor, INDEX, Open, PARING, PICKLED, PICKLED_INDEX, WEIGHTS, carried, open_shards, open_weights,
    read_json, read_object, read_start, weight_of_packed,
};

/// Files and directories of a model's weights, in Paring's form and in those that others convert to. They are never
/// carried along: they would be the weights before the first stage.
const WEIGHT_FILES: [&str; 12] = [
    WEIGHTS,
    INDEX,
    PICKLED,
    PICKLED_INDEX,
    "tf_model.h5",
    "flax_model.msgpack",
    "rust_model.ot",
    "model.onnx",
    "onnx",
    "openvino",
    "coreml",
    "original",
];

pub(super) type Tensors = BTreeMap<String, FileTensor>;
pub(super) type Weights = BTreeMap<String, Entry>;

/// See [`Checkpoint::open`].
pub(super) fn open(path: &Path) -> Result<Checkpoint> {
    let found = path.metadata().map_err(|source| ModelError::Io { action: "open", path: path.to_owned(), source })?;
    if found.is_dir() {
        return match only_gguf(path)? {
            Some(file) => super::gguf::open(
                &path.join(&file),
                carried(path, &|name| name == file || WEIGHT_FILES.contains(&name))?,
            ),
            None => open_directory(path),
        };
    }
    let start = read_start(path, 16)?;
    // What a file does not tell by its first bytes, it tells by its name.
    let untold = start.get(8) != Some(&b'{');
    let named = |endings: &[&str]| {
        untold && path.extension().is_some_and(|found| endings.iter().any(|ending| found.eq_ignore_ascii_case(ending)))
    };
    let tensors = if is_pickle(&start) {
        pickle::open(path)?
    } else if is_gguf(&start) || named(&["gguf"]) {
        return super::gguf::open(path, BTreeMap::new());
    } else if named(&["bin", "pt", "pth"]) {
        pickle::open(path)?
    } else {
        open_weights(path)?
    };
    let dense = |(name, tensor)| (name, Entry::File(FileWeight::dense(tensor)));
    let weights = tensors.into_iter().map(dense).collect();
    Ok(Checkpoint { config: None, inputs: None, outputs: None, weights, carried: Arc::default() })
}

fn open_directory(directory: &Path) -> Result<Checkpoint> {
    let (mut tensors, shards) = open_tensors(directory)?;
    let own = |name: &str| {
        [CONFIG, PARING].contains(&name) || WEIGHT_FILES.contains(&name) || shards.iter().any(|shard| shard == name)
    };
    let files = carried(directory, &own)?;
    let (map, text) = read_object(&directory.join(CONFIG), CONFIG)?.unzip();
    let map = map.unwrap_or_default();
    let paring = read_paring(&directory.join(PARING))?;
    let pretrained = pretrained::reads(&map);
    let own = match paring {
        Some(_) if !pretrained => own_config(directory, &map)?,
        _ => None,
    };
    if pretrained {
        open_projections(&files, &mut tensors)?;
    }
    let Paring { inputs, outputs, masks, blocks, .. } = paring.unwrap_or_default();
    let inputs = inputs.map(|inputs| restore(directory, inputs, &mut tensors)).transpose()?;
    let quantization = map.get(QUANTIZATION).map(Quantization::parse).unwrap_or_default();
    let in_blocks = take_blocks(directory, blocks, &mut tensors)?;
    let sparse = sparse::take(map.get(QUANTIZATION), &mut tensors);
    let sparse = sparse.map_err(|reason| malformed(directory, "model", reason))?;
    let mut weights = assemble(directory, tensors, &quantization, pretrained || own.is_some())?;
    weights.extend(in_blocks);
    weights.extend(sparse);
    set_masks(directory, &masks, &mut weights)?;
    let foreign = own.is_none();
    let config = if pretrained { pretrained_config(directory, &map, &weights, &files)? } else { own };
    let settings = keys_of_others(&map, config.as_ref())?;
    let carried = Carried { settings, config_text: text.filter(|_| foreign), files, ..Carried::default() };
    let model = Checkpoint { config, inputs, outputs, weights, carried: Arc::new(carried) };
    check_ends(&model).map_err(|reason| malformed(&directory.join(PARING), PARING, reason))?;
    Ok(model)
}

/// The name of a directory's one GGUF file, where the directory has no other weights.
fn only_gguf(directory: &Path) -> Result<Option<String>> {
    if [WEIGHTS, INDEX, PICKLED, PICKLED_INDEX].iter().any(|name| directory.join(name).exists()) {
        return Ok(None);
    }
    let unreadable = |source| ModelError::Io { action: "read", path: directory.to_owned(), source };
    let mut found = Vec::new();
    for entry in directory.read_dir().map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        found.extend(name.to_str().filter(|name| name.ends_with(".gguf")).map(str::to_owned));
    }
    found.sort();
    match found.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        [one, other, ..] => {
            let reason = format!("it holds several GGUF files, `{one}` and `{other}` among them: name one of them");
            Err(malformed(directory, "model", reason))
        }
    }
}

/// The tensors of a directory, and the names of the files they lie in beside the usual ones.
fn open_tensors(directory: &Path) -> Result<(Tensors, Vec<String>)> {
    let forms: [(&str, &str, Open); 2] = [(WEIGHTS, INDEX, open_weights), (PICKLED, PICKLED_INDEX, pickle::open)];
    for (single, index, open) in forms {
        let single = directory.join(single);
        if single.exists() {
            return Ok((open(&single)?, Vec::new()));
        }
        if let Some((tensors, shards)) = open_shards(&directory.join(index), open)? {
            return Ok((tensors, shards.into_iter().collect()));
        }
    }
    let reason = format!("it holds none of `{WEIGHTS}`, `{INDEX}`, `{PICKLED}`, `{PICKLED_INDEX}`, and no GGUF file");
    Err(malformed(directory, "model", reason))
}

fn read_paring(path: &Path) -> Result<Option<Paring>> {
    let paring: Option<Paring> = read_json(path, PARING)?;
    match paring {
        Some(paring) if paring.format != FORMAT => {
            let reason = format!("it has format {}, but this program reads format {FORMAT}", paring.format);
            Err(malformed(path, PARING, reason))
        }
        paring => Ok(paring),
    }
}

/// The settings, if they are of a family of ours.
fn own_config(directory: &Path, map: &Map<String, Value>) -> Result<Option<Config>> {
    match Config::from_map(map) {
        Ok(config) => Ok(Some(config)),
        Err(ModelError::UnknownFamily { .. }) => Ok(None),
        Err(error) => Err(malformed(&directory.join(CONFIG), CONFIG, error.to_string())),
    }
}

/// The settings of a model that others trained.
fn pretrained_config(
    directory: &Path,
    map: &Map<String, Value>,
    weights: &Weights,
    files: &BTreeMap<PathBuf, PathBuf>,
) -> Result<Option<Config>> {
    let known = weights.iter().map(|(name, weight)| (name.clone(), weight.outline())).collect();
    let file = |name: &str| files.get(Path::new(name)).map_or(Ok(None), |path| read_json(path, "JSON"));
    pretrained::read(map, &known, &file).map_err(|error| match error {
        ModelError::Config { .. } => malformed(&directory.join(CONFIG), CONFIG, error.to_string()),
        other => other,
    })
}

/// Adds the tensors of dense layers after pooling, which lie in directories of their own.
fn open_projections(files: &BTreeMap<PathBuf, PathBuf>, tensors: &mut Tensors) -> Result<()> {
    let Some(modules) = files.get(Path::new("modules.json")) else { return Ok(()) };
    let list: Option<Value> = read_json(modules, "JSON")?;
    for name in list.iter().flat_map(projection_directories) {
        let file = |own| files.get(&Path::new(&name).join(own));
        let found = match (file(WEIGHTS), file(PICKLED)) {
            (Some(path), _) => open_weights(path)?,
            (None, Some(path)) => pickle::open(path)?,
            (None, None) => continue,
        };
        for (part, tensor) in found {
            tensors.entry(format!("{name}.{part}")).or_insert(tensor);
        }
    }
    Ok(())
}

/// Inputs with their matrices, which are taken out of the tensors.
fn restore(directory: &Path, mut inputs: Inputs, tensors: &mut Tensors) -> Result<Inputs> {
    let path = directory.join(PARING);
    inputs.restore(&mut |name, shape| {
        let tensor = tensors.remove(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })?;
        match (tensor.dtype(), tensor.shape()) {
            (safetensors::Dtype::F32, found) if found == shape => Ok(floats(&tensor.bytes()?)),
            (dtype, found) => {
                let reason =
                    format!("tensor `{name}` has type `{dtype}` and shape {found:?}, expected `F32` and {shape:?}");
                Err(malformed(tensor.path(), "safetensors", reason))
            }
        }
    })?;
    inputs.check().map_err(|error| malformed(&path, PARING, error.to_string()))?;
    Ok(inputs)
}

/// Weights of tensors: quantized ones are put together from their parts. Where the family is not ours, parts that
/// Paring could not run stay plain tensors.
fn assemble(directory: &Path, mut tensors: Tensors, quantization: &Quantization, strict: bool) -> Result<Weights> {
    let mut weights = Weights::new();
    let names: Vec<String> = tensors.keys().cloned().collect();
    for name in names {
        let Some((weight, outline)) = quantized_outline(&name, &tensors, quantization) else { continue };
        let taken = outline.and_then(|outline| FileWeight::quantized(&weight, outline, &mut tensors));
        match taken {
            Ok(taken) => drop(weights.insert(weight, Entry::File(taken))),
            Err(reason) if strict => return Err(malformed(directory, "model", reason)),
            Err(_) => {}
        }
    }
    let dense = |(name, tensor)| (name, Entry::File(FileWeight::dense(tensor)));
    weights.extend(tensors.into_iter().map(dense));
    Ok(weights)
}

/// The weights in blocks, whose bytes are taken out of the tensors.
fn take_blocks(directory: &Path, blocks: BTreeMap<String, Blocks>, tensors: &mut Tensors) -> Result<Weights> {
    let take = |(name, Blocks { kind, shape }): (String, Blocks)| {
        let taken = FileWeight::blocks(&name, (kind, shape), tensors);
        let wrong = |reason| malformed(&directory.join(PARING), PARING, reason);
        Ok((name, Entry::File(taken.map_err(wrong)?)))
    };
    blocks.into_iter().map(take).collect()
}

/// The weight whose integers lie in the tensor `name`, if it is such a tensor.
fn quantized_outline(
    name: &str,
    tensors: &Tensors,
    quantization: &Quantization,
) -> Option<(String, Result<WeightOutline, String>)> {
    let weight = weight_of_packed(name).unwrap_or(name);
    let layer = quantization.of(weight)?;
    let tensor = tensors.get(name)?;
    let plain = is_plain(layer) && weight == name && tensor.dtype() == safetensors::Dtype::I8;
    if !plain && weight == name {
        return None;
    }
    let shape = if plain { Ok(tensor.shape().to_vec()) } else { float_shape(weight, tensor, tensors) };
    let (scheme, activation) = layer;
    let outline = shape.and_then(|shape| {
        let inputs = shape.iter().skip(1).product();
        scheme.check(inputs).map_err(|reason| format!("tensor `{weight}`: {reason}"))?;
        Ok(WeightOutline::Quantized { shape, scheme, activation })
    });
    Some((weight.to_owned(), outline))
}

/// The shape that a packed weight stands for, as its `_shape` tensor tells.
fn float_shape(weight: &str, packed: &FileTensor, tensors: &Tensors) -> Result<Vec<usize>, String> {
    let name = format!("{weight}_shape");
    let tensor = tensors.get(&name).ok_or_else(|| format!("tensor `{name}` is missing"))?;
    let wrong = || format!("tensor `{name}` does not hold the shape of a weight");
    let bytes = tensor.bytes().map_err(|error| error.to_string())?;
    if tensor.dtype() != safetensors::Dtype::I64 || bytes.len() > 8 * 8 {
        return Err(wrong());
    }
    let lengths = bytes.as_chunks().0.iter().map(|&chunk| usize::try_from(i64::from_le_bytes(chunk)));
    let shape = lengths.collect::<Result<Vec<usize>, _>>().map_err(|_| wrong())?;
    // The packed integers lie in the file, so the shape may not stand for many more of them.
    let most = packed.bytes().map_err(|error| error.to_string())?.len().saturating_mul(4);
    let numbers = shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
    if shape.len() < 2 || numbers.is_none_or(|numbers| numbers > most) { Err(wrong()) } else { Ok(shape) }
}

fn set_masks(directory: &Path, masks: &[String], weights: &mut Weights) -> Result<()> {
    for name in masks {
        if !weights.get_mut(name).is_some_and(|weight| weight.set_masked(true)) {
            let reason = format!("it lists a mask for `{name}`, which is no plain tensor of the model");
            return Err(malformed(&directory.join(PARING), PARING, reason));
        }
    }
    Ok(())
}

/// Inputs and outputs fit what the network reads and gives.
fn check_ends(model: &Checkpoint) -> Result<(), String> {
    if let Some(outputs) = &model.outputs {
        outputs.check().map_err(|error| error.to_string())?;
    }
    let (Some(config), true) = (&model.config, model.is_built()) else { return Ok(()) };
    if config.spec.reads_tokens() {
        return Ok(());
    }
    let reads = config.input.iter().fold(1_usize, |product, &length| product.saturating_mul(length));
    if let Some(width) = model.inputs.as_ref().map(Inputs::width).filter(|&width| width != reads) {
        return Err(format!("its inputs give {width} features, but the network reads {reads}"));
    }
    match model.outputs.as_ref().map(Outputs::width).filter(|&width| width != config.output) {
        Some(width) => Err(format!("its outputs need {width} numbers, but the network gives {}", config.output)),
        None => Ok(()),
    }
}

fn malformed(path: &Path, format: &'static str, reason: String) -> ModelError {
    ModelError::Malformed { path: path.to_owned(), format, reason }
}
