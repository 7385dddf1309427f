//! What a run trains, and at which rates.

use std::collections::BTreeMap;

use paring_model::Checkpoint;

use super::{Extras, FitSettings, Held, Lesson, Rates};
use crate::error::Result;
use crate::lora::Lora;
use crate::optimizer::{Optimizer, OptimizerSpec};
use crate::rng::Stream;
use crate::sparse::is_scores;
use crate::trainable::Trainable;

/// The variables of a run: weights, and what some sites have besides.
pub(super) fn trainable(
    model: &Checkpoint,
    (lesson, extras): (Lesson<'_>, Extras<'_>),
    settings: &FitSettings,
    stream: &Stream,
) -> Result<Trainable> {
    let rates = Rates::new(settings)?;
    let is_frozen = |name: &str| rates.is_frozen(name);
    let outline = model.outline();
    let adapted = settings.lora.as_ref().map(|lora| (lora, Lora::trains_too(&outline)));
    let stays = |name: &str| adapted.as_ref().is_some_and(|(_, trained)| !trained.iter().any(|one| one == name));
    let still = |name: &str| is_frozen(name) || stays(name);
    let mut trainable = match extras.held {
        Some(Held { keeps_zeros }) => Trainable::held(model, still, keeps_zeros)?,
        None => Trainable::new(model, still)?,
    };
    let projections = lesson.teacher.map(|teacher| teacher.projections(stream)).transpose()?.unwrap_or_default();
    trainable = trainable.with_projections(projections, is_frozen)?;
    let sites = outline.sites().unwrap_or_default();
    if let Some(rounded) = extras.rounded {
        trainable = trainable.rounded(rounded, is_frozen)?;
    }
    if let Some(lora) = &settings.lora {
        trainable = trainable.adapted(&lora.sites(sites.clone()), lora, stream, is_frozen)?;
    }
    if let Some(pruning) = &settings.gradual_pruning {
        let names: Vec<String> = pruning.sites(sites).into_iter().map(|site| site.name).collect();
        trainable = trainable.thinned(&names, pruning.growth(), false, is_frozen)?;
    }
    if let Some(movement) = extras.movement {
        trainable = trainable.thinned(&movement.sites, movement.growth, true, is_frozen)?;
    }
    Ok(trainable)
}

/// Over all that is trained, each at its own rate; called once a network was made of the variables.
pub(super) fn optimizer(trainable: &Trainable, extras: Extras<'_>, settings: &FitSettings) -> Result<Optimizer> {
    let parameters = trainable.parameters().into_iter().map(|(name, variable)| (name.to_owned(), variable.clone()));
    let optimizer = Optimizer::new(settings.optimizer, parameters.collect())?;
    let rates = Rates::new(settings)?;
    let sizes = match settings.optimizer {
        OptimizerSpec::Adamw(_) => trainable.relative_sizes()?,
        OptimizerSpec::Sgd(_) => BTreeMap::new(),
    };
    let of_scores = extras.movement.map_or(1.0, |movement| movement.score_learning_rate / settings.learning_rate);
    let factor = |name: &str| match is_scores(name) {
        true => of_scores,
        false => rates.factor(name) * sizes.get(name).copied().unwrap_or(1.0),
    };
    Ok(optimizer.with_factors(factor).without_decay(is_scores))
}
