//! What must hold after every stage, checked by the engine, not by the pass.

use candle_core::{DType, Tensor};
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, Inputs, Outline, Rows, Site, TokenRow, WeightOutline};
use paring_passes::{Effect, Receipt};

use crate::report::EngineReceipt;

/// What does not hold.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// A tensor is there that was not planned, or missing.
    #[error("tensor `{name}` {what}")]
    Name {
        /// The tensor.
        name: String,
        /// "is missing", "was not planned".
        what: &'static str,
    },
    /// A tensor has another shape or storage than planned.
    #[error("tensor `{name}` is {found}, planned was {planned}")]
    Storage {
        /// The tensor.
        name: String,
        /// What it is.
        found: String,
        /// What the plan says.
        planned: String,
    },
    /// The settings are not those that were planned.
    #[error("the model's settings are not those that were planned")]
    Settings,
    /// Raw rows are read, or outputs understood, otherwise than planned.
    #[error("the model {what} otherwise than was planned")]
    Ends {
        /// "reads rows", "gives answers".
        what: &'static str,
    },
    /// The receipt tells of zeros that are not there.
    #[error("the receipt says that tensor `{name}` holds {claimed} zeros, but it holds {found}")]
    Zeros {
        /// The tensor.
        name: String,
        /// What the receipt says.
        claimed: f64,
        /// What was counted.
        found: u64,
    },
    /// A figure of the receipt is NaN or infinite, which no report can hold.
    #[error("figure `{name}` of the receipt is not a finite number")]
    Figure {
        /// The figure, with its site where it has one.
        name: String,
    },
    /// A weight changed that the stage was to leave alone.
    #[error("tensor `{name}` changed, but `{site}` is not among the targets of the stage")]
    Untargeted {
        /// The tensor.
        name: String,
        /// Its site.
        site: String,
    },
    /// Weights that a mask held at zero are no longer.
    #[error("tensor `{name}` has a mask, but {}", what_moved(*.moved))]
    Mask {
        /// The tensor.
        name: String,
        /// How many of its zeros moved; with none the mask itself is gone.
        moved: u64,
    },
    /// A tensor holds NaN or infinity.
    #[error("tensor `{name}` holds a value that is not finite")]
    NotFinite {
        /// The tensor.
        name: String,
    },
    /// The model does not run, or gives something that is no number.
    #[error("the model does not run any more: {reason}")]
    DoesNotRun {
        /// Why.
        reason: String,
    },
}

/// Checks a model after a stage against what the stage planned, and on a few probe rows. `not_finite`: its tensors that
/// hold NaN or infinity.
///
/// # Errors
/// The first thing that does not hold.
pub fn check(effect: &Effect, model: &Checkpoint, not_finite: &[String], probe: Option<&Rows>) -> Result<(), Broken> {
    let outline = model.outline();
    if effect.exact {
        same_tensors(&effect.outline, &outline)?;
        same_frame(&effect.outline, &outline)?;
    } else if effect.outline.built && !outline.built {
        return Err(Broken::DoesNotRun { reason: "all of its tensors are gone".to_owned() });
    }
    if let Some(name) = not_finite.first() {
        return Err(Broken::NotFinite { name: name.clone() });
    }
    if outline.config.is_some() && outline.built { runs(model, probe) } else { Ok(()) }
}

fn same_tensors(planned: &Outline, found: &Outline) -> Result<(), Broken> {
    for (name, plan) in &planned.weights {
        match found.weights.get(name) {
            None => return Err(Broken::Name { name: name.clone(), what: "is missing" }),
            Some(weight) if weight != plan => {
                return Err(Broken::Storage { name: name.clone(), found: shown(weight), planned: shown(plan) });
            }
            Some(_) => {}
        }
    }
    match found.weights.keys().find(|name| !planned.weights.contains_key(*name)) {
        Some(name) => Err(Broken::Name { name: name.clone(), what: "was not planned" }),
        None => Ok(()),
    }
}

/// Settings, inputs and outputs. The numbers in the steps of the inputs (means, which columns) are found by the pass.
fn same_frame(planned: &Outline, found: &Outline) -> Result<(), Broken> {
    let frame = |inputs: &Inputs| {
        let steps: Vec<_> = inputs.steps.iter().map(std::mem::discriminant).collect();
        (inputs.columns.clone(), steps, inputs.shape.clone())
    };
    if planned.config != found.config {
        Err(Broken::Settings)
    } else if planned.inputs.as_ref().map(frame) != found.inputs.as_ref().map(frame) {
        Err(Broken::Ends { what: "reads rows" })
    } else if planned.outputs != found.outputs {
        Err(Broken::Ends { what: "gives answers" })
    } else {
        Ok(())
    }
}

/// Checks that no weight changed but those of the targets, those that the pass says it touches, and those whose shape
/// or storage was planned to change (the inputs of the layer after a narrower one).
///
/// # Errors
/// The first weight that did.
pub fn check_targets(effect: &Effect, targets: &[Site], before: &Outline, found: &EngineReceipt) -> Result<(), Broken> {
    let is_told = |site: &Site| targets.contains(site) || effect.touches.contains(&site.name);
    let others = before.sites().unwrap_or_default().into_iter().filter(|site| !is_told(site));
    for site in others.filter(|_| effect.exact) {
        let name = site.weight();
        let stays = before.weights.get(&name) == effect.outline.weights.get(&name);
        if stays && found.changed.contains(&name) {
            return Err(Broken::Untargeted { name, site: site.name });
        }
    }
    Ok(())
}

/// Checks that the figures of a receipt are numbers, and the zeros that it tells of, site by site, against those that
/// the engine counted.
///
/// # Errors
/// The first figure that is no number, or the first site whose weight holds another number of zeros.
pub fn check_receipt(receipt: &Receipt, sites: &[Site], found: &EngineReceipt) -> Result<(), Broken> {
    let of_sites = receipt
        .sites
        .iter()
        .flat_map(|(site, figures)| figures.iter().map(move |(name, figure)| (format!("{name}` of `{site}"), *figure)));
    let mut figures = receipt.figures.iter().map(|(name, figure)| (name.clone(), *figure)).chain(of_sites);
    if let Some((name, _)) = figures.find(|(_, figure)| !figure.is_finite()) {
        return Err(Broken::Figure { name });
    }
    for site in sites {
        let Some(&claimed) = receipt.sites.get(&site.name).and_then(|figures| figures.get("zeros")) else { continue };
        let name = site.weight();
        let zeros = found.tensors.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.zeros);
        if let Some(found) = zeros.filter(|&zeros| zeros as f64 != claimed) {
            return Err(Broken::Zeros { name, claimed, found });
        }
    }
    Ok(())
}

fn what_moved(moved: u64) -> String {
    match moved {
        0 => "comes out without".to_owned(),
        1 => "1 of the zeros that it keeps is none any more".to_owned(),
        moved => format!("{moved} of the zeros that it keeps are none any more"),
    }
}

fn shown(weight: &WeightOutline) -> String {
    let shape: Vec<String> = weight.shape().iter().map(ToString::to_string).collect();
    let shape = shape.join(" x ");
    match weight {
        WeightOutline::Dense { dtype, masked, .. } => {
            format!("{shape} {dtype}{}", if *masked { " masked" } else { "" })
        }
        WeightOutline::Quantized { scheme, .. } => format!("{shape} int{}", scheme.bits),
        WeightOutline::Blocks { kind, .. } => format!("{shape} {kind}"),
    }
}

fn all_finite(tensor: &Tensor) -> candle_core::Result<bool> {
    if tensor.elem_count() == 0 || !tensor.dtype().is_float() {
        return Ok(true);
    }
    let values = tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    Ok(values.iter().all(|value| value.is_finite()))
}

fn runs(model: &Checkpoint, probe: Option<&Rows>) -> Result<(), Broken> {
    let broken = |reason: String| Broken::DoesNotRun { reason };
    let Some(inputs) = model.inputs() else { return Ok(()) };
    let zeros = match inputs.text() {
        Some(_) => Rows::Tokens(vec![TokenRow { ids: vec![0; 2], types: vec![0; 2] }]),
        None => Rows::Features(Matrix { rows: 1, columns: inputs.width(), data: vec![0.0; inputs.width()] }),
    };
    let rows = probe.unwrap_or(&zeros);
    let outputs = model.predict(rows, rows.len().max(1)).map_err(|error| broken(error.to_string()))?;
    let finite = all_finite(&outputs).map_err(|error| broken(error.to_string()))?;
    if finite { Ok(()) } else { Err(broken("its outputs are not finite numbers".to_owned())) }
}
