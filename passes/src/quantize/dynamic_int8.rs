//! `quantize/dynamic-int8`: weights in 8 bits, inputs of layers in integers row by row, with no data.

use paring_model::{ActivationScheme, Checkpoint, Granularity, InputForm, Weight, WeightScheme};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::each::each;
use super::groups;
use super::rounding;
use super::scales::WeightObserver;
use super::scheme;
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};
use crate::wording::counted;

/// Turns weights into integers of 8 bits or fewer, and the inputs of layers into integers as they come, so that layers
/// multiply integers and no data is needed.
///
/// # What it does
/// Weights become signed integers with one scale an output channel or group, as by `quantize/rtn`. When the model runs,
/// every row of a layer's input (every token; every image of a convolution) is rounded to signed integers of b =
/// `activation_bits` bits by its own scale: scale = max |x| / ((2^b - 1) / 2), q = round(x / scale). Products are summed
/// exactly in 32 bits and scaled back to floats once a group. Tables that are looked up in have no input: only their
/// weights become integers. Biases and norms stay as they are.
///
/// # When to use
/// To make an encoder or any model of large linear layers smaller and faster on a CPU, in seconds. It is the first
/// choice where inputs differ much from row to row, as between tokens.
///
/// # When not to
/// Before training or pruning, which need float weights. Where a program is to run the model that wants fixed ranges:
/// `quantize/static-int8`.
///
/// # Parameters
/// `activation_bits`: inputs of more than 8 bits are multiplied as 16-bit integers, of 8 bits as bytes, which is up to
/// twice as fast where the processor multiplies them exactly: x86-64 with AVX-512 VNNI does for all weights, with AVX2
/// for weights of at most 7 `bits`. 12 are sixteen times finer than 8. 8 is what other programs of the compressed-tensors
/// format run as integers; the format takes 12 too, and a program without integers of that size computes the same in
/// floats. Fewer `bits` make the file smaller; below 7 they want a `group_size`, inputs of one output channel that
/// share a scale.
///
/// # Cost and limits
/// Reads each weight once and holds one layer at a time. A quarter of the space of 32-bit floats; fewer `bits` are packed
/// into words. Networks keep weights in the order in which they are multiplied, which takes another copy while one is
/// built.
///
/// # Source
/// Dettmers et al. 2022, "LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale", section 2.1 (vector-wise
/// quantization: a scale a row of inputs and a column of weights); Yao et al. 2022, "ZeroQuant", section 4.1 (token-wise
/// quantization as the model runs).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DynamicInt8Parameters {
    /// Bits of one weight.
    #[serde(default = "eight")]
    #[schemars(range(min = 4, max = 8))]
    pub bits: u8,
    /// Inputs of one output channel that share a scale; all of them where this is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576), example = 64)]
    pub group_size: Option<usize>,
    /// Bits of a layer's input.
    #[serde(default = "twelve")]
    #[schemars(range(min = 8, max = 12))]
    pub activation_bits: u8,
}

fn twelve() -> u8 {
    12
}

fn eight() -> u8 {
    8
}

impl DynamicInt8Parameters {
    fn scheme(&self) -> WeightScheme {
        scheme::of(self.bits, true, None, self.group_size)
    }
}

/// The pass.
pub struct DynamicInt8;

impl Definition for DynamicInt8 {
    type Parameters = DynamicInt8Parameters;

    const INFO: PassInfo = PassInfo {
        id: "quantize/dynamic-int8",
        summary: "weights in 8-bit integers, inputs of layers in integers row by row, no data",
        version: 1,
        needs: &[Needs::BuiltModel, Needs::FloatWeights, Needs::Family],
        leaves: &[Leaves::QuantizedWeights],
    };

    fn plan(parameters: &DynamicInt8Parameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let scheme = parameters.scheme();
        let mut effect = rounding::plan(cx, scheme, Some(InputForm::by_row(parameters.activation_bits)))?;
        if let Granularity::Group(size) = scheme.granularity {
            groups::check(cx, cx.sites, size).map_err(|problem| vec![problem])?;
        }
        effect.notes.push(describe(parameters));
        Ok(effect)
    }

    fn run(parameters: &DynamicInt8Parameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let (scheme, bits) = (parameters.scheme(), parameters.activation_bits);
        let input = Some(InputForm::by_row(bits));
        let (model, sites) = each(cx, model, cx.sites, &|model, site| {
            let (mut weight, figures) = rounding::round(model, site, scheme, WeightObserver::Minmax, input)?;
            weight.activation = rounding::input_of(site, input).map(|_| ActivationScheme::ByRow { bits });
            Ok((Weight::Quantized(weight), figures))
        })?;
        let summary = format!("{}: {}", counted(cx.sites.len(), "site"), describe(parameters));
        Ok(Outcome { model, receipt: Receipt { summary, sites, ..Receipt::default() } })
    }
}

fn describe(parameters: &DynamicInt8Parameters) -> String {
    let DynamicInt8Parameters { bits, group_size, activation_bits } = parameters;
    let groups = group_size.map(|size| format!(" in groups of {size}")).unwrap_or_default();
    format!("{bits}-bit weights{groups}, {activation_bits}-bit inputs scaled row by row")
}

#[cfg(test)]
mod tests {
    use paring_model::config::Spec;
    use paring_model::inputs::Matrix;
    use paring_model::{ActivationScheme, Checkpoint, Granularity, Weight, families};
    use paring_train::Stream;
    use rand::RngExt as _;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::DynamicInt8;
    use crate::testing::{Bench, built, inputs, labels, matrix, saved_size};
    use crate::weights::Difference;

    fn random(spec: &Value, width: usize) -> Checkpoint {
        let stream = Stream::new(5);
        let fill = &mut |name: &str, buffer: &mut [f32]| {
            let mut rng = stream.split(name).rng();
            buffer.iter_mut().for_each(|number| *number = rng.random());
        };
        let family = if spec.get("layers").is_some() { "convnet" } else { "mlp" };
        let spec = Spec::from_parts(family, spec).unwrap();
        families::initialize(&spec, &inputs(width), &labels(&["a", "b"]), fill).unwrap()
    }

    /// Rows of very different sizes: the largest is 10,000 times the smallest, which one scale for all would round to
    /// zero.
    fn rows(width: usize) -> Vec<f32> {
        let mut rng = Stream::new(9).rng();
        let size = |row: usize| 10.0_f32.powi(row as i32 % 5);
        (0..50 * width).map(|place| rng.random_range(-1.0..1.0) * size(place / width)).collect()
    }

    fn outputs(model: &Checkpoint, width: usize) -> Vec<Vec<f32>> {
        let rows = Matrix { rows: 50, columns: width, data: rows(width) }.into();
        model.predict(&rows, 16).unwrap().to_vec2().unwrap()
    }

    /// The same weights, multiplied as floats with the inputs as they are.
    fn with_float_inputs(model: &Checkpoint) -> Checkpoint {
        let mut float = model.clone();
        for name in model.names() {
            if let Weight::Quantized(weight) = model.weight(&name).unwrap() {
                float.set_weight(&name, Weight::Dense { tensor: weight.dequantize().unwrap(), masked: false });
            }
        }
        float
    }

    /// An input is off by half a step at most, and by a step where it is held at the last one: for a row whose largest
    /// number is m, a step is m / (2^(bits - 1) - 0.5).
    #[rstest]
    #[case(8)]
    #[case(12)]
    fn every_input_is_within_a_step(#[case] bits: u8) {
        let float = random(&json!({"hidden": []}), 6);
        let model = Bench::empty().run::<DynamicInt8>(&json!({"activation_bits": bits}), &float).unwrap().model;
        let weights = with_float_inputs(&model).tensor("head.weight").unwrap().to_vec2::<f32>().unwrap();
        let (found, expected) = (outputs(&model, 6), outputs(&with_float_inputs(&model), 6));
        for ((row, found), expected) in rows(6).chunks(6).zip(&found).zip(&expected) {
            let largest = row.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            let step = largest / ((1 << (bits - 1)) as f32 - 0.5);
            for ((found, expected), weights) in found.iter().zip(expected).zip(&weights) {
                let bound = weights.iter().map(|weight| weight.abs()).sum::<f32>() * step + largest * 1e-6;
                assert!((found - expected).abs() <= bound, "{found}, expected {expected} within {bound}");
            }
        }
        assert_ne!(found, expected);
    }

    /// A step of `bits` is half as large as one of `bits` - 1.
    #[test]
    fn weights_get_the_bits_and_groups_that_are_asked_for() {
        let float = random(&json!({"hidden": [16]}), 64);
        let error = |parameters: Value| {
            let outcome = Bench::empty().run::<DynamicInt8>(&parameters, &float).unwrap();
            let Weight::Quantized(weight) = outcome.model.weight("layers.0.weight").unwrap() else { panic!("float") };
            assert_eq!(weight.activation, Some(ActivationScheme::ByRow { bits: 8 }));
            assert_eq!(Some(i64::from(weight.scheme.bits)), parameters["bits"].as_i64());
            let size = parameters["group_size"].as_u64().map(|size| Granularity::Group(size as usize));
            assert_eq!(weight.scheme.granularity, size.unwrap_or(Granularity::Channel));
            outcome.receipt.sites["layers.0"]["relative_error"]
        };
        let errors = [8, 7, 6].map(|bits| error(json!({"bits": bits, "activation_bits": 8})));
        assert!((errors[1] / errors[0] - 2.0).abs() < 0.2 && (errors[2] / errors[1] - 2.0).abs() < 0.2, "{errors:?}");
        assert!(error(json!({"bits": 6, "activation_bits": 8, "group_size": 8})) < errors[2]);
        let problems = Bench::empty().plan::<DynamicInt8>(&json!({"group_size": 7}), &float).unwrap_err();
        assert!(
            problems[0].message.starts_with("is `7`, which does not divide `layers.0` (64 inputs)"),
            "{problems:?}"
        );
    }

    #[rstest]
    #[case(json!({"hidden": [16, 12]}), 6)]
    #[case(json!({"input": [1, 8, 8], "layers": [{"conv": {"channels": 4}}, {"dense": {"width": 8}}]}), 64)]
    fn deep_models_stay_close_to_their_weights_in_floats(#[case] spec: Value, #[case] width: usize) {
        let outcome = Bench::empty().run::<DynamicInt8>(&json!({}), &random(&spec, width)).unwrap();
        let expected = outputs(&with_float_inputs(&outcome.model), width);
        for (was, is) in expected.iter().zip(outputs(&outcome.model, width)) {
            let difference = Difference::between(was, &is).relative;
            assert!(difference > 0.0 && difference < 0.02, "{difference}");
        }
    }

    /// By hand: weights (1, -0.5) of scale 1 / 127.5 are 127.5 -> 127 and -63.75 -> -64; inputs (3, 3) are 2047.5 steps
    /// each, rounded to 2048 and held at 2047. So (127 - 64) * 2047 * 3 / 2047.5 / 127.5 = 1.48199.
    #[test]
    fn a_small_layer_by_hand() {
        let mut model = built(&[], inputs(2), labels(&["a", "b"]));
        model.set_tensor("head.weight", matrix(&[&[1.0, -0.5], &[0.0, 0.0]]));
        model.set_tensor("head.bias", matrix(&[&[0.0, 0.25]]).squeeze(0).unwrap());
        let outcome = Bench::empty().run::<DynamicInt8>(&json!({}), &model).unwrap();
        let Weight::Quantized(weight) = outcome.model.weight("head.weight").unwrap() else { panic!("float") };
        assert_eq!(
            (weight.values[..2].to_vec(), weight.activation),
            (vec![127, -64], Some(ActivationScheme::ByRow { bits: 12 }))
        );
        let rows = Matrix { rows: 1, columns: 2, data: vec![3.0, 3.0] }.into();
        let found = outcome.model.predict(&rows, 1).unwrap().to_vec2::<f32>().unwrap();
        assert!((found[0][0] - 1.48199).abs() < 1e-5 && found[0][1] == 0.25, "{found:?}");
    }

    #[test]
    fn the_file_has_the_planned_size_and_runs_alike() {
        let float = random(&json!({"hidden": [16, 12]}), 6);
        let effect = Bench::empty().plan::<DynamicInt8>(&json!({}), &float).unwrap();
        assert_eq!(effect.notes, ["8-bit weights, 12-bit inputs scaled row by row"]);
        let model = Bench::empty().run::<DynamicInt8>(&json!({}), &float).unwrap().model;
        assert_eq!(saved_size(&model), effect.outline.file_size());
        let directory = tempfile::tempdir().unwrap();
        model.save(directory.path()).unwrap();
        let opened = Checkpoint::open(directory.path()).unwrap();
        assert_eq!(outputs(&opened, 6), outputs(&model, 6));
    }
}
