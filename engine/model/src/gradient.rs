//! Ops of one to three tensors whose value is known beforehand, on any device: what they add to the graph is the gradient.

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, MetalStorage, Shape, Storage, Tensor,
};

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

/// The gradient of an op of one tensor.
pub(crate) trait Backward1: Send + Sync + 'static {
    /// The op as messages name it.
    const NAME: &'static str;

    /// The gradient of `one` from that of the op's `value`.
    ///
    /// # Errors
    /// When candle refuses.
    fn backward(&self, one: &Tensor, value: &Tensor, gradient: &Tensor) -> candle_core::Result<Tensor>;
}

/// The gradients of an op of three tensors; it has a name as an op of two.
pub(crate) trait Backward3: Backward {
    /// The gradients of all from that of the op's value; `None` where none is wanted.
    ///
    /// # Errors
    /// When candle refuses.
    fn backward(&self, tensors: [&Tensor; 3], gradient: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]>;
}

/// `value` as an op of `one` with the gradient of `op`. `value` lies on the device of `one`.
///
/// # Errors
/// When candle refuses.
pub(crate) fn with_gradient_of_one<B: Backward1>(one: &Tensor, value: &Tensor, op: B) -> Result<Tensor> {
    Ok(one.apply_op1(Known { value: value.detach(), op })?)
}

/// `value` as an op of three tensors with the gradients of `op`. `value` lies on their device.
///
/// # Errors
/// When candle refuses.
pub(crate) fn with_gradients<B: Backward3>(tensors: [&Tensor; 3], value: &Tensor, op: B) -> Result<Tensor> {
    let [one, two, three] = tensors;
    Ok(one.apply_op3(two, three, Known { value: value.detach(), op })?)
}

struct Known<B> {
    value: Tensor,
    op: B,
}

/// Gives the known value's storage of one kind of device.
macro_rules! value_on {
    ($self:ident, $device:ident, $name:expr) => {{
        let (storage, layout) = $self.value.storage_and_layout();
        match &*storage {
            Storage::$device(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => candle_core::bail!("the tensors of a {} are on two devices", $name),
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
        value_on!(self, Cpu, B::NAME)
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        value_on!(self, Cuda, B::NAME)
    }

    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> candle_core::Result<(MetalStorage, Shape)> {
        value_on!(self, Metal, B::NAME)
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

impl<B: Backward1> CustomOp1 for Known<B> {
    fn name(&self) -> &'static str {
        B::NAME
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        value_on!(self, Cpu, B::NAME)
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        value_on!(self, Cuda, B::NAME)
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout) -> candle_core::Result<(MetalStorage, Shape)> {
        value_on!(self, Metal, B::NAME)
    }

    fn bwd(&self, one: &Tensor, value: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        one.track_op().then(|| self.op.backward(one, value, gradient)).transpose()
    }
}

impl<B: Backward3> CustomOp3 for Known<B> {
    fn name(&self) -> &'static str {
        B::NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        value_on!(self, Cpu, B::NAME)
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        value_on!(self, Cuda, B::NAME)
    }

    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> candle_core::Result<(MetalStorage, Shape)> {
        value_on!(self, Metal, B::NAME)
    }

    fn bwd(
        &self,
        one: &Tensor,
        two: &Tensor,
        three: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [one, two, three] = Backward3::backward(&self.op, [one, two, three], gradient)?;
        Ok((one, two, three))
    }
}
