//! What the receipt tells of a site.

use indexmap::IndexMap;
use paring_model::{ActivationScheme, Checkpoint, ModelError, Site, Weight};

use crate::error::PassError;
use crate::quantize::rounding::bits_per_weight;
use crate::weights::{Difference, FloatWeight};

/// Bits a weight, how far the weights moved from the float ones before, and the grid of the layer's input.
///
/// # Errors
/// When a weight cannot be read.
pub(super) fn of(float: &Checkpoint, model: &Checkpoint, site: &Site) -> Result<IndexMap<String, f64>, PassError> {
    let name = site.weight();
    let Weight::Quantized(weight) = model.weight(&name)? else {
        return Err(ModelError::MissingTensor { name }.into());
    };
    let after = weight.dequantize()?.flatten_all()?.to_vec1::<f32>()?;
    let change = Difference::between(&FloatWeight::read(float, site)?.numbers, &after).relative;
    let form = weight.activation.map(ActivationScheme::form);
    let mut figures = vec![("bits_per_weight", bits_per_weight(&weight, form)), ("relative_change", change)];
    if let Some(ActivationScheme::Fixed(fixed)) = weight.activation {
        figures.push(("input_scale", f64::from(fixed.scale)));
        figures.push(("input_zero_point", f64::from(fixed.zero_point)));
    }
    Ok(figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect())
}
