//! `quantize/static-int8`: weights and inputs of layers in 8 bits, with ranges fixed by calibration rows.

use paring_data::Part;
use paring_model::{ActivationScheme, Checkpoint, Granularity, InputForm, Weight, WeightScheme};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clipping::{Choice, Observer};
use super::ranges::{self, InputGrid};
use super::rounding;
use super::scales::WeightObserver;
use crate::calibration::{self, Calibration};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};
use crate::wording::counted;

/// Turns the weights and the inputs of layers into 8-bit integers, so that linear and convolution layers multiply
/// integers.
///
/// # What it does
/// Weights become signed 8-bit integers with one scale an output channel (as `quantize/rtn` with 8 bits). The input of
/// each layer becomes an unsigned integer of b = `activation_bits` bits: q = round(x / scale) + zero point, clamped to
/// 0..2^b - 1, with scale = (high - low) / (2^b - 1) and zero point = round(-low / scale). The range from low to high
/// always includes zero and is fixed once, from what the calibration rows show at that layer. Sums are exact 32-bit
/// integers; biases and norms stay as they are. Tables that are looked up in have no input: only their weights become
/// integers.
///
/// # When to use
/// As the last stage before export, where a model should take a quarter of the space and run in integers.
///
/// # When not to
/// Without rows that look like the data of use: inputs beyond the calibrated range are clipped. Where only size
/// matters: `quantize/rtn` needs no data. Where single layers turn out to be sensitive, leave them out with `ignore`.
///
/// # Parameters
/// `observer` chooses the range. `minmax` covers all that was seen. `percentile` leaves out the outermost values on
/// each side, 100 minus `percentile` percent of all, to 1/4096 of the range. `mse` takes the range of least squared
/// error: first both ends shrink together in steps of one hundredth of the whole range, then the upper end alone, then
/// the lower. `activation_bits` up to 12 cost no time: inputs are multiplied as 16-bit integers anyway. Encoders of
/// text, whose few outlying channels leave most others a handful of the 255 steps of 8 bits, profit; programs that
/// know 8 bits only cannot read such a model. `calibration_rows` are drawn at random from the calibration part of the
/// data, or from the training part where there is none.
///
/// # Cost and limits
/// Two passes of the calibration rows through the model, one with `minmax`; 32 KiB a layer for the histogram. Fewer
/// than 8 rows are refused. A layer whose input is zero in every row has no range and is refused; so is an input that
/// is not finite.
///
/// # Source
/// Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
/// section 2, for the arithmetic; Nagel et al. 2021, "A White Paper on Neural Network Quantization", section 3.1, for
/// `minmax` and `mse`; Wu et al. 2020, "Integer Quantization for Deep Learning Inference: Principles and Empirical
/// Evaluation", on calibration, for `percentile`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticInt8Parameters {
    /// How the range of a layer's input is chosen.
    #[serde(default)]
    pub observer: Observer,
    /// For the observer `percentile`: percent of the values inside the range, seen from either side.
    #[serde(default = "nearly_all")]
    #[schemars(range(min = 90.0, max = 100.0), example = 99.9)]
    pub percentile: f64,
    /// Bits of a layer's input.
    #[serde(default = "eight")]
    #[schemars(range(min = 8, max = 12))]
    pub activation_bits: u8,
    /// At most this many rows are looked at.
    #[serde(default = "rows")]
    #[schemars(range(min = 8, max = 1_000_000))]
    pub calibration_rows: usize,
}

fn nearly_all() -> f64 {
    99.99
}

fn eight() -> u8 {
    8
}

fn rows() -> usize {
    512
}

const SCHEME: WeightScheme = WeightScheme { bits: 8, symmetric: true, granularity: Granularity::Channel };

/// The pass.
pub struct StaticInt8;

impl Definition for StaticInt8 {
    type Parameters = StaticInt8Parameters;

    const INFO: PassInfo = PassInfo {
        id: "quantize/static-int8",
        summary: "weights and inputs of layers in 8-bit integers, ranges from calibration rows",
        version: 2,
        needs: &[Needs::BuiltModel, Needs::FloatWeights, Needs::Family, Needs::CalibrateRows],
        leaves: &[Leaves::QuantizedWeights],
    };

    fn plan(parameters: &StaticInt8Parameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        if let Some(problem) = calibration::problem(cx) {
            return Err(vec![problem]);
        }
        let mut effect = rounding::plan(cx, SCHEME, Some(InputForm::fixed(parameters.activation_bits)))?;
        effect.memory += ranges::memory(cx.sites);
        let rows = calibration::planned_rows(cx, parameters.calibration_rows);
        effect.notes.push(format!("ranges of layer inputs come from {}", counted(rows, "row")));
        effect.notes.extend(cx.stand_in_note(Part::Calibrate));
        Ok(effect)
    }

    fn run(parameters: &StaticInt8Parameters, cx: &mut Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let calibration = Calibration::new(cx, &model, parameters.calibration_rows)?;
        let StaticInt8Parameters { observer, percentile, activation_bits: bits, .. } = *parameters;
        let grids = ranges::calibrate(cx, &calibration, Choice { observer, percentile, bits })?;
        let mut receipt = Receipt::default();
        for site in cx.sites {
            let (mut weight, mut figures) =
                rounding::round(&model, site, SCHEME, WeightObserver::Minmax, Some(InputForm::fixed(bits)))?;
            if let Some(grid) = grids.get(&site.name) {
                weight.activation = Some(ActivationScheme::Fixed(grid.scheme));
                figures.extend(describe(grid));
            }
            model.set_weight(&site.weight(), Weight::Quantized(weight));
            receipt.sites.insert(site.name.clone(), figures);
        }
        receipt.figures.insert("calibration_rows".to_owned(), calibration.rows as f64);
        receipt.summary = format!("{} in 8-bit integers", counted(receipt.sites.len(), "site"));
        Ok(Outcome { model, receipt })
    }
}

fn describe(grid: &InputGrid) -> [(String, f64); 4] {
    [
        ("input_low", f64::from(grid.seen.low)),
        ("input_high", f64::from(grid.seen.high)),
        ("input_scale", f64::from(grid.scheme.scale)),
        ("input_zero_point", f64::from(grid.scheme.zero_point)),
    ]
    .map(|(name, figure)| (name.to_owned(), figure))
}

#[cfg(test)]
mod tests;
