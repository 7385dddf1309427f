//! Models from nothing: the outline that settings promise, and the first weights.

use candle_core::{Device, Tensor};

use super::survey::{Declared, Start, Survey};
use crate::checkpoint::Checkpoint;
use crate::config::{Config, Spec};
use crate::error::{ModelError, Result};
use crate::inputs::Inputs;
use crate::outline::{Outline, WeightOutline};
use crate::outputs::Outputs;

/// The outline that a model from nothing will have once built.
///
/// # Errors
/// When the settings do not fit the input shape (a pooling window larger than the image).
pub fn blueprint(spec: &Spec, inputs: &Inputs, outputs: &Outputs) -> Result<Outline> {
    let config = configure(spec, inputs, outputs)?;
    let weights = Survey::of(&config, None)?.tensors.into_iter().map(outline_of).collect();
    let inputs = Inputs { shape: config.input.clone(), ..inputs.clone() };
    Ok(Outline { config: Some(config), weights, inputs: Some(inputs), outputs: Some(outputs.clone()), built: true })
}

/// Builds a model from nothing. `uniform(name, buffer)` fills a buffer with numbers in [0, 1) for the named tensor;
/// weights and biases are drawn from U(-1/sqrt(fan_in), 1/sqrt(fan_in)) (He et al. 2015 with a = sqrt(5), as PyTorch
/// does). Batch norm starts with ones and zeros.
///
/// # Errors
/// As [`blueprint`].
pub fn initialize(
    spec: &Spec,
    inputs: &Inputs,
    outputs: &Outputs,
    uniform: &mut dyn FnMut(&str, &mut [f32]),
) -> Result<Checkpoint> {
    let config = configure(spec, inputs, outputs)?;
    let inputs = Inputs { shape: config.input.clone(), ..inputs.clone() };
    let tensors = Survey::of(&config, None)?.tensors;
    let mut model = Checkpoint::unbuilt(config.spec.clone(), inputs, outputs.clone());
    model.set_config(config);
    for declared in &tensors {
        model.set_tensor(&declared.name, first_numbers(declared, uniform)?);
    }
    Ok(model)
}

/// Settings with both ends. Rows reach an mlp flat and a convnet as images.
pub(super) fn configure(spec: &Spec, inputs: &Inputs, outputs: &Outputs) -> Result<Config> {
    let mut spec = spec.clone();
    let input = match &mut spec {
        Spec::Mlp(_) => vec![inputs.width()],
        Spec::Convnet(convnet) => {
            let image = image(convnet.input, inputs)?;
            convnet.input = Some(image);
            image.to_vec()
        }
        Spec::Bert(_) | Spec::Llama(_) => return Err(not_from_nothing(spec.family())),
    };
    Ok(Config { spec, input, output: outputs.width() })
}

/// The error for a family whose models are loaded only.
pub(super) fn not_from_nothing(family: &str) -> ModelError {
    ModelError::Unsupported(format!("a `{family}` model cannot be built from nothing, only loaded"))
}

/// The image shape that the settings give or the data has.
fn image(given: Option<[usize; 3]>, inputs: &Inputs) -> Result<[usize; 3]> {
    let wrong = |reason| ModelError::Config { family: "convnet".to_owned(), reason };
    let width = inputs.width();
    match (given, inputs.shape.as_slice()) {
        (Some([channels, rows, columns]), _) if channels.saturating_mul(rows).saturating_mul(columns) != width => {
            let product = channels.saturating_mul(rows).saturating_mul(columns);
            Err(wrong(format!(
                "`input` is {channels} x {rows} x {columns} = {product} numbers, but the data has {width} features"
            )))
        }
        (Some(image), _) => Ok(image),
        (None, &[channels, rows, columns]) => Ok([channels, rows, columns]),
        (None, _) => Err(wrong(format!(
            "`input` (channels, height, width) is missing, and the data has {width} features without an image shape"
        ))),
    }
}

fn outline_of(declared: Declared) -> (String, WeightOutline) {
    (declared.name, WeightOutline::Dense { dtype: "F32".to_owned(), shape: declared.shape, masked: false })
}

fn first_numbers(declared: &Declared, uniform: &mut dyn FnMut(&str, &mut [f32])) -> Result<Tensor> {
    let count = declared.shape.iter().product();
    let numbers = match declared.start {
        Start::Ones => vec![1.0; count],
        Start::Zeros => vec![0.0; count],
        Start::Uniform { fan_in } => {
            let bound = 1.0 / (fan_in as f32).sqrt();
            let mut numbers = vec![0.0_f32; count];
            uniform(&declared.name, &mut numbers);
            numbers.iter_mut().for_each(|number| *number = (*number * 2.0 - 1.0) * bound);
            numbers
        }
    };
    Ok(Tensor::from_vec(numbers, declared.shape.as_slice(), &Device::Cpu)?)
}
