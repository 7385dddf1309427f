//! Models that stages name beside the recipe's own. Each is opened once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use paring_model::{Checkpoint, ModelError};
use paring_passes::NamedModel;
use paring_schema::{Diagnostic, Loaded};

use crate::problems;
use crate::project::ConfiguredStage;
use crate::resolve::{Places, open_model, reads_tokens};

/// Models by their paths as the recipe writes them.
#[derive(Debug, Default)]
pub(crate) struct NamedModels(Mutex<BTreeMap<String, Named>>);

#[derive(Debug, Clone)]
struct Named {
    model: Checkpoint,
    /// Once it was asked for: that takes reading the weights.
    digest: Option<String>,
}

impl NamedModels {
    /// Opens the models that a stage's parameters name, and gives them to its pass. One that reads texts has the
    /// tokenizer of the recipe's `model`.
    pub(crate) fn supply(
        &self,
        (loaded, places, model): (&Loaded, &Places, &Checkpoint),
        configured: &mut ConfiguredStage,
    ) -> Result<(), Diagnostic> {
        for NamedModel { pointer, path } in configured.step.models() {
            let stage = &configured.stage;
            let written = format!("{}{pointer}", problems::pass_key(stage));
            let named = self.opened(loaded, places, &path, &written)?;
            if let Some(message) = other_tokens(&named, model) {
                let problem = paring_passes::Problem::new(pointer, message);
                return Err(problems::of_pass("P006", loaded, stage, &problem));
            }
            configured.step.supply_model(&pointer, named);
            configured.models.insert(path);
        }
        Ok(())
    }

    fn opened(&self, loaded: &Loaded, places: &Places, path: &str, pointer: &str) -> Result<Checkpoint, Diagnostic> {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(named) = models.get(path) {
            return Ok(named.model.clone());
        }
        let model = open_model(loaded, places, path, pointer)?;
        models.insert(path.to_owned(), Named { model: model.clone(), digest: None });
        Ok(model)
    }

    /// The digest of a model that was opened.
    pub(crate) fn digest(&self, path: &str) -> Result<String, ModelError> {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = || ModelError::Unsupported(format!("no stage opened `{path}`"));
        let named = models.get_mut(path).ok_or_else(unknown)?;
        match &named.digest {
            Some(digest) => Ok(digest.clone()),
            None => Ok(named.digest.insert(named.model.digest()?).clone()),
        }
    }
}

/// Why a model's tokens are not those of the recipe's model, where both read tokens.
fn other_tokens(named: &Checkpoint, model: &Checkpoint) -> Option<String> {
    if !reads_tokens(named) || !reads_tokens(model) {
        return None;
    }
    match (named.tokenizer(), model.tokenizer()) {
        (Ok(named), Ok(model)) if named.is_same(&model) => None,
        (Ok(_), Ok(_)) => Some("has another tokenizer than the recipe's model: its tokens are not the same".to_owned()),
        (Err(error), _) => Some(format!("cannot be held against the recipe's model: {error}")),
        (_, Err(error)) => Some(format!("cannot be held against the recipe's model, for which {error}")),
    }
}
