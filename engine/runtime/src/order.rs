//! What a pass needs against what the stages before it leave: a bad order is found with no model loaded.

use std::collections::BTreeMap;

use paring_data::{Part, Parts};
use paring_model::{Outline, Site, WeightOutline};
use paring_passes::Needs;
use paring_passes::context::{part_name, stand_in};
use paring_schema::{Diagnostic, Loaded, Stage};

use crate::problems::pass_key;
use crate::project::ConfiguredStage;

/// What the stages so far have done that a later one may mind.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Quantized sites, each with the stage that quantized it.
    quantized: BTreeMap<String, Stage>,
}

impl History {
    /// Takes note of what a stage changed.
    pub fn record(&mut self, stage: &Stage, before: &Outline, after: &Outline) {
        for (name, weight) in &after.weights {
            let was = before.weights.get(name);
            if weight.is_quantized() && !was.is_some_and(WeightOutline::is_quantized) {
                self.quantized.insert(name.clone(), stage.clone());
            }
        }
    }
}

/// What a stage is checked against.
pub struct Order<'a> {
    /// The recipe.
    pub loaded: &'a Loaded,
    /// The model before the stage.
    pub outline: &'a Outline,
    /// Sites that the stage works on.
    pub sites: &'a [Site],
    /// The rows.
    pub parts: Option<&'a Parts>,
    /// The stages before.
    pub history: &'a History,
}

impl Order<'_> {
    /// Everything that the stage needs and does not find.
    pub fn check(&self, configured: &ConfiguredStage) -> Vec<Diagnostic> {
        configured.info.needs.iter().filter_map(|&need| self.unmet(configured, need)).collect()
    }

    fn unmet(&self, configured: &ConfiguredStage, need: Needs) -> Option<Diagnostic> {
        match need {
            Needs::BuiltModel => self.unbuilt(configured),
            Needs::FloatWeights => self.quantized(configured),
            Needs::TrainRows => self.rows(configured, Part::Train),
            Needs::CalibrateRows => self.rows(configured, Part::Calibrate),
            Needs::ValidateRows => self.rows(configured, Part::Validate),
            Needs::FlatInputs => self.images(configured),
            Needs::Family => self.unknown_family(configured),
            // The recipe language has seen to it.
            Needs::NestedStages => None,
        }
    }

    fn problem(&self, configured: &ConfiguredStage, code: &'static str, rest: &str) -> Diagnostic {
        let message = format!("stage `{}`, pass `{}` {rest}", configured.stage.id, configured.stage.pass);
        Diagnostic::new(code, message).label(self.loaded.key_span(&pass_key(&configured.stage)), "")
    }

    fn unbuilt(&self, configured: &ConfiguredStage) -> Option<Diagnostic> {
        (!self.outline.built).then(|| {
            self.problem(configured, "P008", "needs a model with weights, but none is trained before it")
                .label(self.loaded.key_span("/model"), "starts without weights")
                .help("put a stage that trains, such as `train/fit`, before it")
        })
    }

    fn quantized(&self, configured: &ConfiguredStage) -> Option<Diagnostic> {
        let is_quantized =
            |site: &&Site| self.outline.weights.get(&site.weight()).is_some_and(WeightOutline::is_quantized);
        let site = self.sites.iter().find(is_quantized)?;
        let found = self.problem(configured, "P007", &format!("needs float weights, but `{}` is quantized", site.name));
        Some(match self.history.quantized.get(&site.weight()) {
            Some(earlier) => {
                let place = self.loaded.key_span(&pass_key(earlier));
                let help = format!("move stage `{}` before stage `{}`", configured.stage.id, earlier.id);
                found.label(place, "weights become integers here").help(help)
            }
            None => found.help("start from the float model, or leave the quantized sites out with `ignore`"),
        })
    }

    fn rows(&self, configured: &ConfiguredStage, part: Part) -> Option<Diagnostic> {
        let found = self.parts.is_some_and(|parts| !parts.rows(stand_in(parts, part)).is_empty());
        (!found).then(|| {
            let problem =
                self.problem(configured, "P009", &format!("needs {} rows, and there are none", part_name(part)));
            match self.parts {
                None => problem.help("add a `data` block to the recipe"),
                Some(_) => problem.help(format!("give `data.split` a share for {} rows", part_name(part))),
            }
        })
    }

    fn images(&self, configured: &ConfiguredStage) -> Option<Diagnostic> {
        let shape = self.outline.inputs.as_ref().map(|inputs| inputs.shape.len())?;
        (shape > 1).then(|| self.problem(configured, "P012", "needs columns of features, but the model reads images"))
    }

    fn unknown_family(&self, configured: &ConfiguredStage) -> Option<Diagnostic> {
        self.outline.config.is_none().then(|| {
            self.problem(configured, "P014", "needs a model that Paring can run, but the family of this one is unknown")
                .label(self.loaded.span("/model"), "a file of tensors")
        })
    }
}
