//! Folding factors into what makes an input and into the weights that read it.

use candle_core::{DType, Device, Tensor};
use paring_model::Checkpoint;

use super::groups::Group;
use crate::error::PassError;
use crate::weights::FloatWeight;

/// The weights of a group's sites.
///
/// # Errors
/// When one cannot be read.
pub(super) fn weights(model: &Checkpoint, group: &Group) -> Result<Vec<Vec<f32>>, PassError> {
    group.sites.iter().map(|site| Ok(FloatWeight::read(model, site)?.numbers)).collect()
}

/// Multiplies what the sites read channel j with by factor j, and divides channel j of the source by it.
///
/// # Errors
/// When a weight cannot be read.
pub(super) fn apply(model: &mut Checkpoint, group: &Group, factors: &[f32]) -> Result<(), PassError> {
    let count = factors.len();
    let factors = Tensor::from_slice(factors, count, &Device::Cpu)?;
    for site in &group.sites {
        let weight = model.tensor(&site.weight())?;
        let scaled = weight.to_dtype(DType::F32)?.broadcast_mul(&factors)?.to_dtype(weight.dtype())?;
        model.set_tensor(&site.weight(), scaled);
    }
    for name in &group.source.tensors {
        let tensor = model.tensor(name)?;
        let mut shape = vec![1; tensor.rank()];
        shape.iter_mut().take(1).for_each(|length| *length = count);
        let scaled = tensor.to_dtype(DType::F32)?.broadcast_div(&factors.reshape(shape)?)?;
        model.set_tensor(name, scaled.to_dtype(tensor.dtype())?);
    }
    Ok(())
}
