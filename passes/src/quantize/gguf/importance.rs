//! Where it comes from how much errors at each input matter.

use paring_model::{ImportanceMatrix, Site};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::quantize::squares::{Squares, spread};

/// Whether errors at large inputs count for more, and what tells how large inputs are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Importance {
    /// The calibration rows tell it, or all errors count alike.
    Rows(bool),
    /// A file tells it.
    File(ImportanceFile),
}

/// A file that tells how large inputs are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportanceFile {
    /// An importance matrix as llama.cpp's `llama-imatrix` or an earlier run writes it.
    #[schemars(example = "imatrix.gguf")]
    pub load: String,
    /// What it holds.
    #[serde(skip)]
    matrix: ImportanceMatrix,
}

/// Where a parameter block names the file.
pub(super) const FILE: &str = "/importance/load";

impl Default for Importance {
    fn default() -> Self {
        Self::Rows(false)
    }
}

impl Importance {
    /// Errors at large inputs count for more.
    pub(super) fn is_on(&self) -> bool {
        !matches!(self, Self::Rows(false))
    }

    /// The calibration rows have to tell how large inputs are.
    pub(super) fn needs_rows(&self) -> bool {
        matches!(self, Self::Rows(true))
    }

    /// The file that tells it.
    pub(super) fn file(&self) -> Option<&ImportanceFile> {
        match self {
            Self::File(file) => Some(file),
            Self::Rows(_) => None,
        }
    }

    /// Takes what the file holds.
    pub(super) fn supply(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        if let Self::File(file) = self {
            let refused = |reason| Problem::new(FILE, format!("is no importance matrix that can be read: {reason}"));
            file.matrix = ImportanceMatrix::parse(bytes).map_err(refused)?;
        }
        Ok(())
    }

    /// The mean square of each of a site's `inputs`, where something tells it.
    pub(super) fn of(&self, squares: Option<&Squares>, site: &Site, inputs: usize) -> Option<Vec<f32>> {
        match self {
            Self::Rows(_) => squares?.importance(&site.name, inputs),
            Self::File(file) => file.of(site, inputs),
        }
    }
}

impl ImportanceFile {
    fn of(&self, site: &Site, inputs: usize) -> Option<Vec<f32>> {
        let means = self.matrix.mean_squares(&site.weight())?;
        if means.iter().all(|mean| *mean == 0.0) { None } else { spread(&means, inputs) }
    }

    /// What is wrong with the file for sites, each with its number of inputs.
    pub(super) fn problem<'a>(&self, sites: impl Iterator<Item = (&'a Site, usize)>) -> Option<Problem> {
        let missing: Vec<(&Site, usize)> = sites.filter(|(site, inputs)| self.of(site, *inputs).is_none()).collect();
        let (site, inputs) = missing.first()?;
        let first = match self.matrix.mean_squares(&site.weight()) {
            Some(found) if found.iter().all(|mean| *mean == 0.0) => {
                format!("says that `{}` sees only zeros", site.name)
            }
            Some(found) => format!("has {} inputs of `{}`, expected {inputs}", found.len(), site.name),
            None => format!("says nothing of `{}`", site.name),
        };
        let more = if missing.len() > 1 { format!(" (and so of {} more)", missing.len() - 1) } else { String::new() };
        let help = "take a matrix of this very model, or `importance: true` with calibration rows";
        Some(Problem::new(FILE, format!("{first}{more}")).help(help))
    }
}
