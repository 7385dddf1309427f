//! What rounding the weights of one layer does to what the whole model answers.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use paring_model::network::Forward;
use paring_model::tap::{LateWeights, Observer, TapWeight};
use paring_model::{Checkpoint, Input, Network, Outputs, Site, WeightScheme};
use paring_train::metrics::kl_divergence;
use rayon::prelude::*;

use crate::calibration::Calibration;
use crate::context::Cx;
use crate::error::PassError;
use crate::quantize::scales::{self, WeightObserver};
use crate::walk::BatchState;
use crate::weights::FloatWeight;

/// Answers that are compared, about: a text has one for each token.
const ANSWERS: usize = 1024;

/// For each site the divergence of the model's answers when the weights of that site alone are rounded: the mean
/// Kullback-Leibler divergence, in nats, of the probabilities of classes or tokens; for a model that answers with
/// numbers, the squared error of its outputs over their square.
///
/// # Errors
/// When the model does not run, a site is never reached, answers are no numbers, or the person pressed ctrl-C.
pub(super) fn divergences(
    cx: &Cx<'_>,
    model: &Checkpoint,
    calibration: &Calibration,
    sites: &[Site],
    (scheme, observer): (WeightScheme, WeightObserver),
) -> Result<BTreeMap<String, f64>, PassError> {
    let few = Calibration::new(cx, model, rows(calibration)?)?;
    let weights = LateWeights::new(model.clone());
    let network = model.network_from(&weights)?;
    let logits = matches!(model.outputs(), Some(Outputs::Classify { .. } | Outputs::Generate { .. }));
    let mut batches =
        few.batches.iter().map(|input| BatchState::enter(network.as_ref(), input)).collect::<Result<Vec<_>, _>>()?;
    let tail = |batch: &BatchState, first: usize| -> Result<Tensor, PassError> {
        let mut x = batch.x.clone();
        for block in first..network.blocks() {
            x = network.block(block, &x, &batch.shared, &mut Forward::inference())?;
        }
        batch.answers(&x)
    };
    let before = batches.iter().map(|batch| tail(batch, 0)).collect::<Result<Vec<_>, _>>()?;
    let mut found = BTreeMap::new();
    for block in 0..network.blocks() {
        let names = pass(network.as_ref(), block, &batches)?;
        for site in sites.iter().filter(|site| names.contains(&site.name)) {
            let weight = FloatWeight::read(model, site)?;
            let rounded = scales::rounded(&weight.numbers, weight.inputs(), scheme, observer);
            let rounded = Tensor::from_vec(rounded, weight.shape.as_slice(), &Device::Cpu)?;
            weights.replace(&site.name, TapWeight::Dense(rounded));
            let mut lost = Lost::default();
            for (batch, before) in batches.iter().zip(&before) {
                cx.check_cancelled()?;
                cx.services.progress(found.len(), sites.len(), &format!("{}: what the model loses by it", site.name));
                lost.add(before, &tail(batch, block)?, logits)?;
            }
            weights.forget(&site.name);
            found.insert(site.name.clone(), lost.mean(&site.name)?);
        }
        for batch in &mut batches {
            batch.x = network.block(block, &batch.x, &batch.shared, &mut Forward::inference())?;
        }
    }
    match sites.iter().find(|site| !found.contains_key(&site.name)) {
        Some(site) => Err(PassError::Failed(format!("`{}` is never used when the model runs", site.name))),
        None => Ok(found),
    }
}

/// How many rows have about as many answers as are compared.
fn rows(calibration: &Calibration) -> Result<usize, PassError> {
    Ok(match calibration.batches.first() {
        Some(Input::Tokens(tokens)) => (ANSWERS / tokens.dims()?.1.max(1)).clamp(1, calibration.rows),
        _ => calibration.rows.min(ANSWERS),
    })
}

/// The sites that a block uses.
fn pass(network: &dyn Network, block: usize, batches: &[BatchState]) -> Result<Vec<String>, PassError> {
    let mut seen = Seen::default();
    if let Some(batch) = batches.first() {
        network.block(block, &batch.x, &batch.shared, &mut Forward::observed(&mut seen))?;
    }
    Ok(seen.names)
}

#[derive(Default)]
struct Seen {
    names: Vec<String>,
}

impl Observer for Seen {
    fn see(&mut self, name: &str, _: &Tensor) -> paring_model::Result<()> {
        self.names.push(name.to_owned());
        Ok(())
    }
}

/// Differences of answers, and what they are shares of.
#[derive(Default)]
struct Lost {
    sum: f64,
    of: f64,
}

impl Lost {
    fn add(&mut self, before: &Tensor, after: &Tensor, logits: bool) -> Result<(), PassError> {
        let (rows, width) = before.dims2()?;
        let numbers = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
        let (before, after) = (numbers(before)?, numbers(after)?);
        let width = width.max(1);
        if logits {
            let pairs = before.par_chunks(width).zip(after.par_chunks(width));
            let each = pairs.map(|(before, after)| kl_divergence(before, after, width));
            self.sum += each.collect::<Result<Vec<f64>, _>>()?.iter().sum::<f64>();
            self.of += rows as f64;
        } else {
            let square = |number: f32| f64::from(number) * f64::from(number);
            self.sum += before.iter().zip(&after).map(|(before, after)| square(before - after)).sum::<f64>();
            self.of += before.iter().map(|&number| square(number)).sum::<f64>();
        }
        Ok(())
    }

    fn mean(self, site: &str) -> Result<f64, PassError> {
        let mean = self.sum / self.of.max(f64::MIN_POSITIVE);
        match mean.is_finite() {
            true => Ok(mean.max(0.0)),
            false => Err(PassError::Failed(format!("with rounded weights of `{site}` the model answers no numbers"))),
        }
    }
}
