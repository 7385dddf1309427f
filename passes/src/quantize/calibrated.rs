//! What passes that round weights by calibration inputs share: their plan, and the error of outputs.

use candle_core::{Device, Tensor};
use faer::Mat;
use indexmap::IndexMap;
use paring_data::Part;
use paring_model::{Fold, Granularity, Site, WeightScheme};

use super::groups;
use super::rounding::{self, describe};
use crate::calibration;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::receipt::Receipt;
use crate::walk::{Figures, multiplying, untouched};
use crate::weights;
use crate::wording::counted;

/// The model after the targets that multiply are rounded; lookup tables among the targets are left, and told.
///
/// # Errors
/// When there are too few calibration rows, or a target has no float weight.
pub(crate) fn plan(cx: &PlanCx<'_>, scheme: WeightScheme) -> Result<Effect, Vec<Problem>> {
    if let Some(problem) = calibration::problem(cx) {
        return Err(vec![problem]);
    }
    let sites = multiplying(cx.sites);
    let mut effect = rounding::plan(&PlanCx { sites: &sites, ..*cx }, scheme, None)?;
    if let Granularity::Group(size) = scheme.granularity {
        groups::check(cx, &sites, size).map_err(|problem| vec![problem])?;
    }
    effect.skips = untouched(cx, "`quantize/rtn` rounds it");
    effect.memory += memory(cx, &sites);
    Ok(effect)
}

/// What a plan says of the calibration rows, of which at most `limit` are looked at.
pub(crate) fn notes(cx: &PlanCx<'_>, what: &str, limit: usize) -> Vec<String> {
    let rows = calibration::planned_rows(cx, limit);
    let from = format!("{what}, from {}", counted(rows, "calibration row"));
    std::iter::once(from).chain(cx.stand_in_note(Part::Calibrate)).collect()
}

/// The receipt of sites whose figures tell their output error, and what it would be with the nearest integers. `did`:
/// "rounded".
pub(crate) fn receipt(did: &str, scheme: WeightScheme, sites: IndexMap<String, Figures>, rows: usize) -> Receipt {
    let ratio = error_ratio(&sites);
    let summary = format!(
        "{did} {}: {}; output error {ratio:.3} of that of rounding to nearest",
        counted(sites.len(), "site"),
        describe(scheme),
    );
    let figures = [("calibration_rows", rows as f64), ("output_error_ratio", ratio)];
    let figures = figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect();
    Receipt { summary, sites, figures, ..Receipt::default() }
}

/// The output error of all sites over what it would be with the nearest integers.
pub(crate) fn error_ratio(sites: &IndexMap<String, Figures>) -> f64 {
    let total = |name: &str| sites.values().filter_map(|figures| figures.get(name)).sum::<f64>();
    let (found, nearest) = (total("output_error"), total("nearest_output_error"));
    if nearest > 0.0 { found / nearest } else { 0.0 }
}

/// What takes up the scales of a site's input, where the stage may change all that this changes: the sites that share
/// the input, and the site that writes it.
pub(crate) fn fold<'a>(site: &'a Site, targets: &[Site]) -> Option<&'a Fold> {
    let is_target = |name: &String| targets.iter().any(|target| target.name == *name);
    let fold = site.fold.as_ref()?;
    let writer = match fold {
        Fold::Norm(_) => true,
        Fold::Rows(name) => is_target(name),
    };
    (writer && site.shares_input_with.iter().all(is_target)).then_some(fold)
}

/// Bytes of the second derivatives of the largest input, three times in f64 and once in f32, and their factor.
pub(crate) fn memory(cx: &PlanCx<'_>, sites: &[Site]) -> u64 {
    let inputs = sites.iter().map(|site| weights::inputs(weights::shape(cx, site))).max().unwrap_or(0);
    (inputs * inputs * (3 * 8 + 2 * 4)) as u64
}

/// The mean squared error of a layer's outputs over its calibration inputs.
pub(crate) struct OutputError {
    /// The mean of x x^T, [in, in].
    mean: Tensor,
}

impl OutputError {
    /// For these means.
    ///
    /// # Errors
    /// When candle refuses.
    pub(crate) fn new(mean: &Mat<f64>) -> Result<Self, PassError> {
        let columns = mean.ncols();
        let numbers: Vec<f32> = (0..columns).flat_map(|column| mean.col(column).iter().map(|x| *x as f32)).collect();
        Ok(Self { mean: Tensor::from_vec(numbers, (columns, columns), &Device::Cpu)? })
    }

    /// Between two versions of a weight, row-major, [out, in]: the trace of D H D^T for their difference D.
    ///
    /// # Errors
    /// When candle refuses.
    pub(crate) fn between(&self, one: &[f32], other: &[f32]) -> Result<f64, PassError> {
        let columns = self.mean.dim(0)?;
        let difference: Vec<f32> = one.iter().zip(other).map(|(one, other)| one - other).collect();
        let rows = difference.len() / columns.max(1);
        let difference = Tensor::from_vec(difference, (rows, columns), &Device::Cpu)?;
        let trace = difference.matmul(&self.mean)?.mul(&difference)?.sum(1)?.to_vec1::<f32>()?;
        Ok(trace.into_iter().map(f64::from).sum::<f64>().max(0.0))
    }
}
