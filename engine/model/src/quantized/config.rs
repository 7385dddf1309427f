//! `quantization_config` of config.json, in the field names of compressed-tensors: which layers are quantized, and how.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Granularity, InputForm, InputRange, WeightScheme};
use crate::outline::WeightOutline;

/// How a layer is quantized: its weight, and its input where it is quantized too.
pub(crate) type LayerScheme = (WeightScheme, Option<InputForm>);

/// The layers that a `quantization_config` speaks of.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Quantization {
    layers: BTreeMap<String, LayerScheme>,
    others: Option<LayerScheme>,
}

impl Quantization {
    /// Reads the groups that Paring can run: integers of 2 to 8 bits, with an unquantized input or one of 2 to 12 bits,
    /// asymmetric with one fixed scale or symmetric with a scale for each row. Others are left out.
    pub(crate) fn parse(config: &Value) -> Self {
        let mut found = Self::default();
        if config.get("quant_method").and_then(Value::as_str) != Some("compressed-tensors") {
            return found;
        }
        let groups = config.get("config_groups").and_then(Value::as_object);
        for group in groups.into_iter().flat_map(Map::values) {
            let Some(scheme) = layer_scheme(group) else { continue };
            let targets = group.get("targets").and_then(Value::as_array);
            for target in targets.into_iter().flatten().filter_map(Value::as_str) {
                match target {
                    "Linear" | "Conv2d" => found.others = Some(scheme),
                    name => drop(found.layers.insert(name.to_owned(), scheme)),
                }
            }
        }
        found
    }

    /// How the layer with this weight is quantized, if it is.
    pub(crate) fn of(&self, weight: &str) -> Option<LayerScheme> {
        self.layers.get(layer_name(weight)).copied().or(self.others)
    }
}

/// The `quantization_config` of these weights; `None` where none is quantized.
pub(crate) fn describe(weights: &BTreeMap<String, WeightOutline>) -> Option<Value> {
    let mut groups: Vec<(LayerScheme, Vec<&str>)> = Vec::new();
    for (name, weight) in weights {
        let WeightOutline::Quantized { scheme, activation, .. } = weight else { continue };
        let layer = (*scheme, *activation);
        match groups.iter_mut().find(|(known, _)| *known == layer) {
            Some((_, names)) => names.push(layer_name(name)),
            None => groups.push((layer, vec![layer_name(name)])),
        }
    }
    let formats: Vec<&str> = groups.iter().map(|(layer, _)| format_of(*layer)).collect();
    let format = match formats.split_first() {
        None => return None,
        Some((first, others)) if others.iter().all(|other| other == first) => first,
        Some(_) => "mixed-precision",
    };
    let groups = groups.iter().enumerate();
    let groups: Map<String, Value> =
        groups.map(|(index, (layer, names))| (format!("group_{index}"), describe_group(*layer, names))).collect();
    Some(json!({
        "quant_method": "compressed-tensors",
        "format": format,
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": [],
    }))
}

/// Whether the weight is kept as plain 8-bit integers, not packed into words: where its layer computes in integers.
pub(crate) fn is_plain((scheme, activation): LayerScheme) -> bool {
    activation.is_some() && scheme.bits == 8
}

/// The name of the layer that a weight belongs to.
pub(crate) fn layer_name(weight: &str) -> &str {
    weight.strip_suffix(".weight").unwrap_or(weight)
}

fn format_of(layer: LayerScheme) -> &'static str {
    if is_plain(layer) { "int-quantized" } else { "pack-quantized" }
}

fn describe_group(layer: LayerScheme, names: &[&str]) -> Value {
    let (scheme, activation) = layer;
    let (strategy, group_size) = match scheme.granularity {
        Granularity::Tensor => ("tensor", None),
        Granularity::Channel => ("channel", None),
        Granularity::Group(size) => ("group", Some(size)),
    };
    json!({
        "targets": names,
        "weights": {
            "num_bits": scheme.bits,
            "type": "int",
            "symmetric": scheme.symmetric,
            "strategy": strategy,
            "group_size": group_size,
            "dynamic": false,
        },
        "input_activations": activation.map(describe_input),
        "output_activations": null,
        "format": format_of(layer),
    })
}

/// What compressed-tensors computes for such an input: the bits are those that Paring computes with.
fn describe_input(input: InputForm) -> Value {
    let (by_row, strategy) = match input.range {
        InputRange::Fixed => (false, "tensor"),
        InputRange::ByRow => (true, "token"),
    };
    json!({"num_bits": input.bits, "type": "int", "symmetric": by_row, "strategy": strategy, "dynamic": by_row})
}

fn layer_scheme(group: &Value) -> Option<LayerScheme> {
    let activation = match group.get("input_activations") {
        None | Some(Value::Null) => None,
        Some(inputs) => Some(input_form(inputs)?),
    };
    let weights = group.get("weights")?;
    let granularity = match weights.get("strategy").and_then(Value::as_str)? {
        "tensor" => Granularity::Tensor,
        "channel" => Granularity::Channel,
        "group" => Granularity::Group(usize::try_from(weights.get("group_size")?.as_u64()?).ok()?),
        _ => return None,
    };
    let symmetric = weights.get("symmetric").and_then(Value::as_bool).unwrap_or(true);
    let (bits, dynamic) = integers(weights)?;
    ((2..=8).contains(&bits) && !dynamic).then_some((WeightScheme { bits, symmetric, granularity }, activation))
}

fn input_form(inputs: &Value) -> Option<InputForm> {
    let strategy = inputs.get("strategy").and_then(Value::as_str);
    let symmetric = inputs.get("symmetric").and_then(Value::as_bool).unwrap_or(true);
    let (bits, dynamic) = integers(inputs)?;
    let range = match (strategy, symmetric, dynamic) {
        (Some("tensor"), false, false) => InputRange::Fixed,
        (Some("token"), true, true) => InputRange::ByRow,
        _ => return None,
    };
    Some(InputForm { bits, range }).filter(|form| form.check().is_ok())
}

/// The bits of integers, and whether their scales are found anew for each input; `None` for floats.
fn integers(arguments: &Value) -> Option<(u8, bool)> {
    let dynamic = match arguments.get("dynamic") {
        None => false,
        Some(dynamic) => dynamic.as_bool()?,
    };
    let integer = arguments.get("type").and_then(Value::as_str).unwrap_or("int") == "int";
    let bits = arguments.get("num_bits").and_then(Value::as_u64).unwrap_or(8);
    u8::try_from(bits).ok().filter(|_| integer).map(|bits| (bits, dynamic))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Quantization, describe};
    use crate::outline::WeightOutline;
    use crate::quantized::{Granularity, InputForm, WeightScheme};

    fn scheme(bits: u8, symmetric: bool, granularity: Granularity) -> WeightScheme {
        WeightScheme { bits, symmetric, granularity }
    }

    #[test]
    fn reads_what_it_describes() {
        let layers = [
            ("layers.0.weight", (scheme(8, true, Granularity::Channel), Some(InputForm::fixed(8)))),
            ("layers.1.weight", (scheme(4, false, Granularity::Group(32)), None)),
            ("layers.2.weight", (scheme(8, true, Granularity::Channel), Some(InputForm::fixed(8)))),
            ("layers.3.weight", (scheme(8, true, Granularity::Channel), Some(InputForm::by_row(12)))),
            ("layers.4.weight", (scheme(4, true, Granularity::Channel), Some(InputForm::fixed(4)))),
            ("table", (scheme(3, true, Granularity::Tensor), None)),
        ];
        let outline = |(name, (scheme, activation)): (&str, _)| {
            (name.to_owned(), WeightOutline::Quantized { shape: vec![2, 32], scheme, activation })
        };
        let config = describe(&layers.into_iter().map(outline).collect()).unwrap();
        assert_eq!(config["format"], "mixed-precision");
        assert_eq!(config["config_groups"]["group_0"]["targets"], json!(["layers.0", "layers.2"]));
        let found = Quantization::parse(&config);
        for (name, layer) in layers {
            assert_eq!(found.of(name), Some(layer), "{name}");
        }
        assert_eq!(found.of("head.weight"), None);
    }

    #[test]
    fn nothing_quantized_needs_no_description() {
        let dense = WeightOutline::Dense { dtype: "F32".to_owned(), shape: vec![2], masked: false };
        assert_eq!(describe(&[("bias".to_owned(), dense)].into()), None);
    }

    /// A config as llm-compressor writes it for W4A16 targets whole layer types; floats cannot be run.
    #[test]
    fn reads_configs_of_others() {
        let group = |weights: Value| {
            json!({"quant_method": "compressed-tensors", "config_groups": {"group_0": {
            "targets": ["Linear"], "input_activations": null, "weights": weights}}})
        };
        let w4a16 = group(json!({"num_bits": 4, "type": "int", "symmetric": true, "strategy": "group",
            "group_size": 128, "dynamic": false, "actorder": null}));
        let expected = (scheme(4, true, Granularity::Group(128)), None);
        assert_eq!(Quantization::parse(&w4a16).of("model.layers.0.q_proj.weight"), Some(expected));
        // W8A8 with scales of inputs found token by token, as llm-compressor writes it.
        let mut w8a8 = group(json!({"num_bits": 8, "type": "int", "symmetric": true, "strategy": "channel",
            "dynamic": false}));
        w8a8["config_groups"]["group_0"]["input_activations"] =
            json!({"num_bits": 8, "type": "int", "symmetric": true, "strategy": "token", "dynamic": true});
        let expected = (scheme(8, true, Granularity::Channel), Some(InputForm::by_row(8)));
        assert_eq!(Quantization::parse(&w8a8).of("model.layers.0.q_proj.weight"), Some(expected));
        w8a8["config_groups"]["group_0"]["input_activations"]["num_bits"] = json!(16);
        assert_eq!(Quantization::parse(&w8a8), Quantization::default());
        let fp8 = group(json!({"num_bits": 8, "type": "float", "strategy": "channel"}));
        assert_eq!(Quantization::parse(&fp8), Quantization::default());
        assert_eq!(Quantization::parse(&json!({"quant_method": "gptq", "bits": 4})), Quantization::default());
    }
}
