//! `prune/sparsegpt`: weights set to zero one input column after the other, the rest making up for them.

mod grid;
mod solve;

use candle_core::Tensor;
use paring_model::{Checkpoint, Site, Weight};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calibrated::{Amount, Rules};
use super::owl::Owl;
use super::pattern::Pattern;
use super::told::{figures, refuse_everything, summarize};
use crate::calibration::Calibration;
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::fraction::Fraction;
use crate::hessian::{self, Factor, Hessian, OutputError};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::quantize::rounding::{bits_per_weight, describe};
use crate::receipt::{Outcome, Receipt};
use crate::walk::{Figures, Group, Visitor, columns, multiplying, walk};
use crate::weights::FloatWeight;
use grid::{Grid, Quantize};
use solve::Layer;

/// Sets weights to zero one input column after the other; the weights of later columns make up for it, as far as
/// calibration inputs tell how.
///
/// # What it does
/// For each layer the mean of x x^T over its calibration inputs, H, is the second derivative of the squared error of
/// its outputs, and U the upper Cholesky factor of H^-1. Columns are settled from the first to the last. At the start
/// of each block of 128 columns (of each group, for a pattern), the weights of least w^2 / U_jj^2 are chosen: over all
/// rows of the block together, or for each row in its group. They become zero; the error, over the diagonal of U, is
/// subtracted from the columns that follow, by the row of U. Layers are worked on in the order in which they run, and
/// each sees the inputs that the layers before it make once they are pruned. The zeros become a mask: later training
/// leaves them at zero, and quantization represents them exactly. Biases and norms stay as they are.
///
/// # When to use
/// For language models and encoders that are not trained afterwards, or only briefly. It loses clearly less than
/// `prune/wanda` at the same sparsity, for more time.
///
/// # When not to
/// Where calibration rows do not look like the data of use: unlike other pruning, it changes the weights that stay. To
/// make a dense multiplication faster by itself: zeros are multiplied as any other number, and stored as such unless an
/// export has a `layout` (`prune/neurons` removes rows and columns for good). After quantization, which leaves no float
/// weights.
///
/// # Parameters
/// Either `sparsity`, the fraction of each layer's weights that are zero afterwards, or `pattern`, such as `"2:4"`: at
/// most 2 of each 4 consecutive inputs of an output channel are not zero. The height and width of a convolution's
/// kernel count as inputs, as in the flattened matrix. The pattern's group must divide the inputs of every target. With
/// `owl`, such as `owl: {}`, layers in which more weights stand out lose fewer: a weight stands out when |w| times the
/// length of its input is more than `outlier` times the mean of its layer, and the sparsities of layers lie at most
/// twice `lambda` apart. With `quantize`, such as `quantize: { bits: 4, group_size: 64 }`, the weights that stay become
/// integers in the same sweep, and those of later columns make up for both errors; scales come from the weights before
/// any is pruned, and zeros are integers of zero. `damping` is added to the diagonal of H, as a share of its mean;
/// where H cannot be factored still, it is raised tenfold, and the receipt says so. `calibration_rows` are drawn at
/// random.
///
/// # Cost and limits
/// One pass of the calibration rows through the model, and one more with `owl`; for each layer of n inputs and m
/// outputs about n^3 + m n^2 operations. It holds one block of the model, the calibration activations at one place, and
/// H. Each block is kept as it is done: a run that was cut off goes on after the last one. Fewer than 8 rows, inputs
/// that are not finite, and a layer that sees only zeros are refused. Lookup tables multiply nothing and stay as they
/// are.
///
/// # Source
/// Frantar & Alistarh 2023, "SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot", section 3 and
/// algorithm 1, section 3.5 for `quantize`; Yin et al. 2024, "Outlier Weighed Layerwise Sparsity (OWL)", section 3, for
/// `owl`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SparseGptParameters {
    /// Fraction of each layer's weights that are zero afterwards, from 0 (exclusive) to 1 (exclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<Fraction>,
    /// `n:m`: at most n of each m consecutive inputs of an output channel are not zero. Instead of `sparsity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// Layers where more weights stand out lose fewer. Goes with `sparsity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owl: Option<Owl>,
    /// Rounds the weights that stay to integers as the others become zero, each making up for the error of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantize: Option<Quantize>,
    /// Added to the diagonal of H, as a share of its mean.
    #[serde(default = "one_percent")]
    #[schemars(range(min = 0.0, max = 1.0), example = 0.01)]
    pub damping: f64,
    /// At most this many rows are looked at.
    #[serde(default = "rows")]
    #[schemars(range(min = 8, max = 1_000_000))]
    pub calibration_rows: usize,
}

fn one_percent() -> f64 {
    0.01
}

fn rows() -> usize {
    128
}

/// Bytes that pruning holds for each weight of the largest site: before, after, as it changes, its mask, its errors.
const BYTES_PER_WEIGHT: usize = 4 + 4 + 4 + 4 + 4;

impl SparseGptParameters {
    fn amount(&self) -> Amount {
        Amount { sparsity: self.sparsity, pattern: self.pattern, owl: self.owl }
    }
}

/// The pass.
pub struct SparseGpt;

impl Definition for SparseGpt {
    type Parameters = SparseGptParameters;

    const INFO: PassInfo = PassInfo {
        id: "prune/sparsegpt",
        summary: "set weights to zero, later ones making up for the error of earlier ones",
        version: 1,
        needs: &[Needs::BuiltModel, Needs::FloatWeights, Needs::Family, Needs::CalibrateRows],
        leaves: &[Leaves::Masks, Leaves::QuantizedWeights],
    };

    fn check(parameters: &SparseGptParameters) -> Vec<Problem> {
        parameters.amount().problems()
    }

    fn plan(parameters: &SparseGptParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut effect = parameters.amount().plan(cx, parameters.calibration_rows, BYTES_PER_WEIGHT)?;
        effect.memory += hessian::memory(cx, &multiplying(cx.sites));
        if let Some(quantize) = parameters.quantize {
            quantize.apply(cx, &mut effect).map_err(|problem| vec![problem])?;
            effect.notes.push(format!("what stays: {}", describe(quantize.scheme())));
        }
        Ok(effect)
    }

    fn run(parameters: &SparseGptParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let calibration = Calibration::new(cx, &model, parameters.calibration_rows)?;
        let rules = parameters.amount().rules(cx, &model, &calibration)?;
        let SparseGptParameters { damping, quantize, .. } = *parameters;
        let mut visitor = Surgery { rules, damping, quantize, hessian: Hessian::default() };
        let (model, sites) = walk(cx, model, &calibration, &mut visitor)?;
        let mut receipt = Receipt { sites, ..Receipt::default() };
        summarize(&mut receipt);
        if let Some(quantize) = quantize {
            receipt.summary = format!("{}; what stays: {}", receipt.summary, describe(quantize.scheme()));
        }
        receipt.figures.insert("calibration_rows".to_owned(), calibration.rows as f64);
        Ok(Outcome { model, receipt })
    }
}

/// Sums up a group's inputs, then prunes its weights.
struct Surgery {
    rules: Rules,
    damping: f64,
    quantize: Option<Quantize>,
    hessian: Hessian,
}

impl Visitor for Surgery {
    fn see(&mut self, group: &Group, input: &Tensor) -> Result<(), PassError> {
        self.hessian.add(&columns(group, input)?)
    }

    fn settle(&mut self, group: &Group, model: &Checkpoint) -> Result<Vec<(Weight, Figures)>, PassError> {
        let hessian = std::mem::take(&mut self.hessian);
        let name = group.sites.first().map(|site| site.name.as_str()).unwrap_or_default();
        let mean = hessian.mean(name)?;
        let factor = Factor::new(name, &mean, self.damping, false)?;
        let errors = OutputError::new(&mean)?;
        group.sites.iter().map(|site| self.prune(model, site, &factor, &errors)).collect()
    }
}

impl Surgery {
    fn prune(
        &self,
        model: &Checkpoint,
        site: &Site,
        factor: &Factor,
        errors: &OutputError,
    ) -> Result<(Weight, Figures), PassError> {
        let weight = FloatWeight::read(model, site)?;
        let rule = self.rules.of(&site.name);
        let grid = self.quantize.map(|quantize| Grid::new(&weight.numbers, weight.inputs(), quantize.scheme()));
        let layer = Layer { weights: &weight.numbers, factor, rule, masked: weight.masked, grid: grid.as_ref() };
        let numbers = layer.solve();
        refuse_everything(site, &numbers)?;
        let mut figures = figures(&weight, &numbers);
        let cut: Vec<f32> =
            weight.numbers.iter().zip(&numbers).map(|(was, is)| if *is == 0.0 { 0.0 } else { *was }).collect();
        let more = [
            ("output_error", errors.between(&weight.numbers, &numbers)?),
            ("uncompensated_output_error", errors.between(&weight.numbers, &cut)?),
            ("damping", factor.damping),
            ("dead_columns", factor.dead.len() as f64),
        ];
        figures.extend(more.map(|(name, figure)| (name.to_owned(), figure)));
        let Some(grid) = grid else {
            return Ok((Weight::Dense { tensor: weight.tensor_of(numbers)?, masked: true }, figures));
        };
        let integers = grid.integers(&weight, &numbers)?;
        figures.insert("bits_per_weight".to_owned(), bits_per_weight(&integers, None));
        Ok((Weight::Quantized(integers), figures))
    }
}

#[cfg(test)]
mod tests;
