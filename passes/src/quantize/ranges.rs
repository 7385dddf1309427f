//! The input grid of every targeted site, from calibration rows.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use paring_model::tap::Observer;
use paring_model::{FixedInput, ModelError, Site};

use super::clipping;
use super::histogram::{Extent, Histogram};
use crate::calibration::Calibration;
use crate::context::Cx;
use crate::error::PassError;

/// What calibration found at one site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct InputGrid {
    /// The smallest and the largest input seen, and zero.
    pub(crate) seen: Extent,
    /// The chosen grid.
    pub(crate) scheme: FixedInput,
}

/// Watches the calibration rows and chooses a grid for the input of each targeted site.
///
/// # Errors
/// When an input is not finite or is always zero, or the model does not run.
pub(crate) fn calibrate(
    cx: &Cx<'_>,
    calibration: &Calibration,
    observer: clipping::Observer,
    percentile: f64,
) -> Result<BTreeMap<String, InputGrid>, PassError> {
    let mut extents = Extents(cx.sites.iter().map(|site| (site.name.clone(), Extent::ZERO)).collect());
    calibration.watch(cx, &mut extents)?;
    if let Some((name, _)) = extents.0.iter().find(|(_, extent)| extent.is_zero()) {
        let rows = calibration.rows;
        return Err(PassError::Failed(format!(
            "the input of `{name}` is zero in all {rows} calibration rows, so it has no range"
        )));
    }
    let counts = extents.0.iter().map(|(name, extent)| (name.clone(), Histogram::new(*extent)));
    let mut histograms = Histograms(counts.collect());
    if observer != clipping::Observer::Minmax {
        calibration.watch(cx, &mut histograms)?;
    }
    let grid = |(name, histogram): (String, Histogram)| {
        let scheme = clipping::choose(&histogram, observer, percentile);
        (name, InputGrid { seen: histogram.extent, scheme })
    };
    Ok(histograms.0.into_iter().map(grid).collect())
}

/// Bytes that watching takes for a site.
pub(crate) fn memory(sites: &[Site]) -> u64 {
    (sites.len() * super::histogram::BINS * size_of::<u64>()) as u64
}

struct Extents(BTreeMap<String, Extent>);

impl Observer for Extents {
    fn see(&mut self, name: &str, input: &Tensor) -> paring_model::Result<()> {
        let Some(extent) = self.0.get_mut(name) else { return Ok(()) };
        if extent.widen(&numbers(input)?) {
            return Ok(());
        }
        Err(ModelError::Unsupported(format!("the input of `{name}` is not finite in the calibration rows")))
    }
}

struct Histograms(BTreeMap<String, Histogram>);

impl Observer for Histograms {
    fn see(&mut self, name: &str, input: &Tensor) -> paring_model::Result<()> {
        if let Some(histogram) = self.0.get_mut(name) {
            histogram.count(&numbers(input)?);
        }
        Ok(())
    }
}

fn numbers(input: &Tensor) -> paring_model::Result<Vec<f32>> {
    Ok(input.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}
