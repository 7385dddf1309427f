//! Ops of two tensors whose value is known beforehand, on any device: what they add to the graph is the gradient.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, MetalStorage, Shape, Storage, Tensor};

use crate::error::Result;

/// The gradient of an op of two tensors.
pub trait Backward: Send + Sync + 'static {
    /// The op as messages name it.
    const NAME: &'static str;

    /// The gradients of both tensors from that of the op's value; `None` where none is wanted or there is none.
    ///
    /// # Errors
    /// When candle refuses.
    fn backward(
        &self,
        one: &Tensor,
        other: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)>;
}

/// `value` as an op of `one` and `other` with the gradient of `op`. `value` lies on the device of both.
///
/// # Errors
/// When candle refuses.
pub fn with_gradient<B: Backward>(one: &Tensor, other: &Tensor, value: &Tensor, op: B) -> Result<Tensor> {
    Ok(one.apply_op2(other, Known { value: value.detach(), op })?)
}

struct Known<B> {
    value: Tensor,
    op: B,
}

/// Gives the known value's storage of one kind of device.
macro_rules! value_on {
    ($self:ident, $device:ident) => {{
        let (storage, layout) = $self.value.storage_and_layout();
        match &*storage {
            Storage::$device(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => candle_core::bail!("the two tensors of a {} are on two devices", B::NAME),
        }
    }};
}

impl<B: Backward> CustomOp2 for Known<B> {
    fn name(&self) -> &'static str {
        B::NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        value_on!(self, Cpu)
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        value_on!(self, Cuda)
    }

    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> candle_core::Result<(MetalStorage, Shape)> {
        value_on!(self, Metal)
    }

    fn bwd(
        &self,
        one: &Tensor,
        other: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        self.op.backward(one, other, gradient)
    }
}
