//! Who teaches: the present model, models of files, or several of them.

use paring_model::{Checkpoint, Outline};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::loaded::Loaded;
use crate::error::{PassError, Problem};
use crate::pass::NamedModel;

/// Who teaches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Teachers {
    /// One model.
    One(Teaches),
    /// Several models, whose answers are averaged.
    Several(#[schemars(length(min = 1, max = 16))] Vec<Teaches>),
}

/// One model that teaches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Teaches {
    /// The model before this stage.
    Present,
    /// A model of a directory or a file, or of a hub.
    Load(#[schemars(with = "String")] Loaded),
}

/// How a teacher of a file is written.
pub(super) fn teacher_example() -> serde_json::Value {
    serde_json::json!({ "load": "some/model" })
}

impl Default for Teachers {
    fn default() -> Self {
        Self::One(Teaches::Present)
    }
}

impl Teachers {
    /// The present model teaches, and no other.
    pub(super) fn is_present(&self) -> bool {
        self.all().iter().all(|teacher| **teacher == Teaches::Present)
    }

    fn all(&self) -> Vec<&Teaches> {
        match self {
            Self::One(one) => vec![one],
            Self::Several(all) => all.iter().collect(),
        }
    }

    /// Where each is named.
    fn place(&self, index: usize) -> String {
        match self {
            Self::One(_) => "/teacher/load".to_owned(),
            Self::Several(_) => format!("/teacher/{index}/load"),
        }
    }

    /// The models that have to be read.
    pub(super) fn named(&self) -> Vec<NamedModel> {
        let named = |(index, teacher): (usize, &&Teaches)| match teacher {
            Teaches::Present => None,
            Teaches::Load(loaded) => Some(NamedModel { pointer: self.place(index), path: loaded.path().to_owned() }),
        };
        self.all().iter().enumerate().filter_map(named).collect()
    }

    /// Takes the model that is named there, if one of them is.
    pub(super) fn supply(&mut self, pointer: &str, model: &Checkpoint) {
        let places: Vec<String> = (0..self.all().len()).map(|index| self.place(index)).collect();
        let all = match self {
            Self::One(one) => std::slice::from_mut(one),
            Self::Several(all) => all.as_mut_slice(),
        };
        for (teacher, place) in all.iter_mut().zip(places) {
            if let Teaches::Load(loaded) = teacher
                && place == pointer
            {
                loaded.supply(model.clone());
            }
        }
    }

    /// The outlines of all that teach beside the `present` model, in order, or what is wrong with them.
    pub(super) fn outlines(&self, present: &Outline) -> Result<Vec<Outline>, Vec<Problem>> {
        let (mut outlines, mut problems) = (Vec::new(), self.check());
        for (index, teacher) in self.all().into_iter().enumerate() {
            match teacher {
                Teaches::Present => outlines.push(present.clone()),
                Teaches::Load(loaded) => match loaded.beside(present, &self.place(index), None) {
                    Ok(model) => outlines.push(model.outline()),
                    Err(problem) => problems.push(problem),
                },
            }
        }
        if problems.is_empty() { Ok(outlines) } else { Err(problems) }
    }

    /// The models themselves.
    ///
    /// # Errors
    /// What is wrong with one.
    pub(super) fn models(&self, present: &Checkpoint) -> Result<Vec<Checkpoint>, PassError> {
        let outline = present.outline();
        let model = |(index, teacher): (usize, &Teaches)| match teacher {
            Teaches::Present => Ok(present.clone()),
            Teaches::Load(loaded) => loaded.beside(&outline, &self.place(index), None),
        };
        let models = self.all().into_iter().enumerate().map(model).collect::<Result<_, Problem>>();
        models.map_err(|problem| PassError::Failed(problem.message))
    }

    /// None, or the same twice.
    fn check(&self) -> Vec<Problem> {
        let all = self.all();
        if all.is_empty() {
            return vec![Problem::new("/teacher", "names no teacher")];
        }
        let again = |index: usize| all.get(..index).is_some_and(|before| before.contains(&all[index]));
        let twice = (0..all.len()).find(|index| again(*index));
        let message = |index| Problem::new(format!("/teacher/{index}"), "names a teacher that is named before it");
        twice.map(message).into_iter().collect()
    }
}

#[cfg(test)]
#[path = "teachers/tests.rs"]
mod tests;
