//! What passes that round weights by calibration inputs share: their plan, and the error of outputs.

use indexmap::IndexMap;
use paring_data::Part;
use paring_model::{Fold, Granularity, Site, WeightScheme};

use super::groups;
use super::rounding::{self, describe};
use crate::calibration;
use crate::effect::{Effect, PlanCx};
use crate::error::Problem;
use crate::hessian;
use crate::receipt::Receipt;
use crate::walk::{Figures, multiplying, untouched};
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
    effect.memory += hessian::memory(cx, &sites);
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
