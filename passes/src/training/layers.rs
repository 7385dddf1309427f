//! Settings of training that choose layers: adapters of low rank, and weights that become zero little by little.

use paring_model::{Outline, Site, SiteKind, WeightOutline};
use paring_train::fit::{FitSettings, GradualPruning, glob_problem};
use paring_train::lora::Lora;

use crate::effect::Effect;
use crate::error::Problem;

/// What stands against them for a model of this outline.
pub(super) fn problems(settings: &FitSettings, outline: &Outline) -> Vec<Problem> {
    let sites = outline.sites().unwrap_or_default();
    let mut problems = Vec::new();
    if let Some(lora) = &settings.lora {
        let linear: Vec<&Site> = sites.iter().filter(|site| site.kind == SiteKind::Linear).collect();
        problems.extend(unmatched("/lora/targets", &lora.targets, &linear, "linear layer"));
        problems.extend(lora.sites(sites.clone()).iter().filter_map(|site| misfit(lora, site, outline)));
        if lora.keep_adapters && !Lora::trains_too(outline).is_empty() {
            let message = "would leave the output layer, which is trained too, out of the adapters' file";
            problems.push(
                Problem::new("/lora/keep_adapters", message).help("remove it: adapters become part of the model"),
            );
        }
        if problems.is_empty() && lora.sites(sites.clone()).is_empty() {
            problems.push(Problem::new("/lora", "finds no linear layer besides the output layer"));
        }
    }
    if let Some(pruning) = &settings.gradual_pruning {
        let all: Vec<&Site> = sites.iter().collect();
        problems.extend(unmatched("/gradual_pruning/targets", &pruning.targets, &all, "layer"));
        let time = time_problem(pruning.begin, pruning.end);
        problems.extend(time.map(|it| Problem { pointer: format!("/gradual_pruning{}", it.pointer), ..it }));
        if settings.lora.is_some() {
            let message = "sets weights to zero that `lora` leaves as they are";
            problems.push(Problem::new("/gradual_pruning", message).help("remove one of the two"));
        }
    }
    problems
}

/// That settings are given which leave other weights than a pass can work with: `why`.
pub(crate) fn unsuited(settings: &FitSettings, why: &str) -> Vec<Problem> {
    let given = [(settings.lora.is_some(), "lora"), (settings.gradual_pruning.is_some(), "gradual_pruning")];
    let help = "use it in a `train/fit` before this stage";
    let problem = |name| Problem::new(format!("/{name}"), why).help(help);
    given.into_iter().filter(|(is_given, _)| *is_given).map(|(_, name)| problem(name)).collect()
}

/// The problem with a fraction that stops growing before it begins.
pub(crate) fn time_problem(begin: f64, end: f64) -> Option<Problem> {
    let message = || format!("is `{end}`, which is not after `begin`, `{begin}`");
    (end <= begin).then(|| Problem::new("/end", message()))
}

fn unmatched<'a>(
    place: &'a str,
    globs: &'a [String],
    sites: &'a [&Site],
    what: &'a str,
) -> impl Iterator<Item = Problem> + 'a {
    let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    globs.iter().enumerate().filter_map(move |(index, glob)| {
        let message = glob_problem(glob, &names, &format!("{what} of the model"))?;
        let known = super::some_of(&names);
        Some(Problem::new(format!("{place}/{index}"), message).help(format!("the layers are {known}")))
    })
}

/// Why a layer cannot have such an adapter.
fn misfit(lora: &Lora, site: &Site, outline: &Outline) -> Option<Problem> {
    let (weight, name) = (outline.weights.get(&site.weight())?, &site.name);
    if let WeightOutline::Dense { masked: true, .. } = weight {
        let message = format!("would fill the zeros of `{name}`, which is masked");
        return Some(
            Problem::new("/lora", message).help("train without `lora`, or leave it out with `lora: { targets }`"),
        );
    }
    let narrowest = weight.shape().iter().copied().min().unwrap_or(0);
    let message =
        || format!("is {}, but `{name}` has a side of {narrowest}: its adapter would be no smaller", lora.rank);
    (lora.rank >= narrowest).then(|| Problem::new("/lora/rank", message()).help("lower `rank`, or name `targets`"))
}

/// What they change of the effect of training.
pub(super) fn apply(settings: &FitSettings, effect: &mut Effect) {
    let sites = effect.outline.sites().unwrap_or_default();
    if let Some(lora) = &settings.lora {
        let adapted = lora.sites(sites.clone());
        let heads = Lora::trains_too(&effect.outline);
        let trained = |site: &&Site| adapted.contains(site) || heads.contains(&site.weight());
        effect.touches = sites.iter().filter(trained).map(|site| site.name.clone()).collect();
        let numbers = adapted.iter().filter_map(|site| effect.outline.weights.get(&site.weight()));
        let numbers: usize = numbers.map(|weight| weight.shape().iter().sum::<usize>() * lora.rank).sum();
        effect.notes.push(format!(
            "adapters of rank {} in {} layers train {numbers} numbers",
            lora.rank,
            adapted.len()
        ));
    }
    for site in settings.gradual_pruning.iter().flat_map(|pruning: &GradualPruning| pruning.sites(sites.clone())) {
        if let Some(WeightOutline::Dense { masked, .. }) = effect.outline.weights.get_mut(&site.weight()) {
            *masked = true;
        }
    }
}
