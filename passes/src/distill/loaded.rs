//! Models that a parameter names: read beside the present one, and put in its terms.

use paring_model::{Checkpoint, Outline, Outputs, Task, families};
use serde::{Deserialize, Serialize};

use crate::error::Problem;

/// A model of a directory or a file, by its path.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Loaded {
    path: String,
    #[serde(skip)]
    model: Option<Box<Checkpoint>>,
}

/// Fills a named tensor with numbers in [0, 1).
pub(super) type Fill<'a> = &'a mut dyn FnMut(&str, &mut [f32]);

/// The path says which.
impl PartialEq for Loaded {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Loaded {
    /// As the recipe writes it.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Takes the model that the path names.
    pub(super) fn supply(&mut self, model: Checkpoint) {
        self.model = Some(Box::new(model));
    }

    /// The model, where it reads the rows that the `present` one reads, and answers in the same terms: as the present
    /// one does from here on, but that numbers keep their own scale. `place` is the parameter that names it. With
    /// `fill`, which gives numbers in [0, 1) for a named tensor, an encoder without answers gets an output layer for
    /// them.
    ///
    /// # Errors
    /// What differs.
    pub(super) fn beside(&self, present: &Outline, place: &str, fill: Option<Fill<'_>>) -> Result<Checkpoint, Problem> {
        let wrong = |message: &str| Problem::new(place, message);
        let mut model = self.model.as_deref().cloned().ok_or_else(|| wrong("was not read"))?;
        if let (Some(fill), Some(outputs)) = (fill, &present.outputs)
            && matches!(outputs.task(), Task::Classify | Task::Regress)
            && families::takes_text_head(&model)
        {
            families::add_text_head(&mut model, outputs, fill).map_err(|error| wrong(&error.to_string()))?;
        }
        let Some(config) = model.config().cloned().filter(|_| model.is_built()) else {
            return Err(wrong("names no model of a known family with its weights"));
        };
        let reads_tokens = config.spec.reads_tokens();
        if present.config.as_ref().is_some_and(|config| config.spec.reads_tokens()) != reads_tokens {
            let what = if reads_tokens {
                "texts, but the present model columns of numbers"
            } else {
                "columns of numbers, but the present model texts"
            };
            return Err(wrong(&format!("reads {what}")));
        }
        if !reads_tokens && model.inputs() != present.inputs.as_ref() {
            let help = "name a model that was trained on rows of the same columns, encoded and scaled the same way";
            return Err(wrong("reads other inputs than the present model").help(help));
        }
        if let (Some(inputs), true) = (&present.inputs, reads_tokens) {
            let (most, longest) = (model.outline().most_tokens(), inputs.width());
            if let Some(most) = most.filter(|most| *most < longest) {
                return Err(wrong(&format!("reads at most {most} tokens, but rows have up to {longest}")));
            }
            model.set_inputs(inputs.clone());
        }
        if let Some(outputs) = &present.outputs {
            answers_alike(&model, config.output, outputs).map_err(|message| wrong(&message))?;
            if !matches!(model.outputs(), Some(Outputs::Regress { .. })) {
                model.set_outputs(outputs.clone());
            }
        }
        Ok(model)
    }
}

/// Whether a model whose head gives `width` numbers answers as `wanted`.
fn answers_alike(model: &Checkpoint, width: usize, wanted: &Outputs) -> Result<(), String> {
    if let Some(task) = model.outputs().map(Outputs::task).filter(|task| *task != wanted.task()) {
        return Err(format!("{}, but the present model {}", does(task), does(wanted.task())));
    }
    if width != wanted.width() {
        return Err(format!("gives {width} numbers, but the present model {}", wanted.width()));
    }
    let Outputs::Classify { labels, .. } = wanted else { return Ok(()) };
    let own = match model.outputs() {
        Some(Outputs::Classify { labels, .. }) => labels.clone(),
        _ => named_by_settings(model, width),
    };
    if own.is_empty() || own == *labels {
        return Ok(());
    }
    let listed = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Err(format!("tells the classes {}, but the present model {}, in this order", listed(&own), listed(labels)))
}

fn does(task: Task) -> &'static str {
    match task {
        Task::Classify => "tells classes",
        Task::Regress => "gives a number",
        Task::Embed => "embeds",
        Task::Generate => "continues texts",
    }
}

/// Class names of config.json; none where it only numbers them.
fn named_by_settings(model: &Checkpoint, width: usize) -> Vec<String> {
    let names = model.setting("id2label").and_then(|names| names.as_object());
    let name = |index: usize| names?.get(&index.to_string())?.as_str().map(str::to_owned);
    let names: Vec<String> = (0..width).map_while(name).collect();
    let numbered = names.len() < width || names.iter().all(|name| name.starts_with("LABEL_"));
    if numbered { Vec::new() } else { names }
}
