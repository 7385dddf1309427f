//! What makes the input of a site, where factors can move between the two without changing what the model computes.

use crate::outline::Outline;
use crate::sites::{Fold, Site};

/// What makes a site's input: dividing its channels by positive factors and multiplying the site's inputs by them
/// leaves the model's outputs as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Tensors whose first dimension counts the channels.
    pub tensors: Vec<String>,
    /// The site that the tensors belong to; `None` for those of a normalization.
    pub site: Option<String>,
}

impl Outline {
    /// The source of a site.
    ///
    /// # Errors
    /// The reason why the site has none.
    pub fn source(&self, site: &Site) -> std::result::Result<Source, &'static str> {
        let present = |name: &String| self.weights.contains_key(name);
        match &site.fold {
            Some(Fold::Norm(norm)) => {
                let parts = ["weight", "gamma", "bias", "beta"].map(|part| format!("{norm}.{part}"));
                Ok(Source { tensors: parts.into_iter().filter(present).collect(), site: None })
            }
            Some(Fold::Rows(writer)) => {
                let parts = ["weight", "bias"].map(|part| format!("{writer}.{part}"));
                Ok(Source { tensors: parts.into_iter().filter(present).collect(), site: Some(writer.clone()) })
            }
            None if site.norm_before.is_some() => {
                Err("what the norm before it gives is also added to what the layer gives")
            }
            None => Err("nothing that takes up factors lies before it"),
        }
    }
}
