//! What makes the input of a site, where factors can move between the two without changing what the model computes.

use crate::config::{Activation, Spec};
use crate::outline::Outline;
use crate::sites::Site;

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
    /// The source of a site: the normalization before it, where the site and those that share its input alone read
    /// what it gives; or the hidden layer before it, where a ReLU lies between (relu(x / s) = relu(x) / s).
    ///
    /// # Errors
    /// The reason why the site has none.
    pub fn source(&self, site: &Site) -> std::result::Result<Source, &'static str> {
        let spec = self.config.as_ref().map(|config| &config.spec);
        if let Some(norm) = &site.norm_before {
            if matches!(spec, Some(Spec::Bert(_))) && site.layer.is_some() {
                return Err("what the norm before it gives is also added to what the layer gives");
            }
            let parts = ["weight", "gamma", "bias", "beta"].map(|part| format!("{norm}.{part}"));
            let tensors = parts.into_iter().filter(|name| self.weights.contains_key(name)).collect();
            return Ok(Source { tensors, site: None });
        }
        let relu = matches!(spec, Some(Spec::Mlp(spec)) if spec.activation == Activation::Relu);
        match self.sites().unwrap_or_default().iter().take_while(|other| other.name != site.name).last() {
            Some(before) if relu => {
                let tensors = [before.weight(), before.bias_name()];
                let tensors = tensors.into_iter().filter(|name| self.weights.contains_key(name)).collect();
                Ok(Source { tensors, site: Some(before.name.clone()) })
            }
            _ => Err("no norm lies before it"),
        }
    }
}
