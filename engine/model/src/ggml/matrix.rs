//! A matrix in blocks that is ready to multiply, in ggml's own arithmetic: the input of a layer becomes 8-bit integers
//! block by block, and integers are multiplied. candle computes, on threads of its own.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};

use super::BlockWeight;
use crate::error::{ModelError, Result};
use crate::network::Mode;

/// A weight in blocks as networks use it.
#[derive(Debug, Clone)]
pub struct BlockMatrix {
    /// The float tensor's shape.
    shape: Vec<usize>,
    /// The blocks, out x in.
    blocks: Arc<QTensor>,
}

impl BlockMatrix {
    /// Makes a weight ready; its blocks are copied once.
    ///
    /// # Errors
    /// When bytes and shape do not fit each other.
    pub fn new(weight: &BlockWeight) -> Result<Self> {
        Ok(Self { shape: weight.shape.clone(), blocks: Arc::new(weight.candle()?) })
    }

    /// The numbers that it stands for, in the type and on the device of `like`.
    ///
    /// # Errors
    /// When candle refuses.
    pub(crate) fn like(&self, like: &Tensor) -> Result<Tensor> {
        let numbers = self.blocks.dequantize(&Device::Cpu)?.reshape(self.shape.as_slice())?;
        Ok(numbers.to_device(like.device())?.to_dtype(like.dtype())?)
    }

    /// x [rows, in] -> [rows, out]. Where gradients are wanted, `x` lies on another device, or candle does not
    /// multiply such blocks, they become numbers first.
    ///
    /// # Errors
    /// When shapes do not fit, or an input is not a number.
    pub(crate) fn linear(&self, name: &str, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let (rows, inputs) = x.dims2()?;
        let (outputs, expected) = self.blocks.shape().dims2()?;
        if inputs != expected {
            let name = format!("{name}.weight");
            return Err(ModelError::Shape { name, found: self.shape.clone(), expected: vec![outputs, inputs] });
        }
        if mode != Mode::Inference || !x.device().is_cpu() || self.is_unpaired(inputs) {
            return Ok(x.matmul(&self.like(x)?.flatten_from(1)?.t()?)?);
        }
        if rows == 0 {
            return Ok(Tensor::zeros((0, outputs), x.dtype(), x.device())?);
        }
        let numbers = x.to_dtype(DType::F32)?.contiguous()?;
        check_numbers(name, &numbers)?;
        Ok(numbers.apply_op1_no_bwd(self.blocks.as_ref())?.to_dtype(x.dtype())?)
    }

    /// Whether candle refuses (where it checks at all) to multiply rows of an odd number of such blocks.
    fn is_unpaired(&self, inputs: usize) -> bool {
        let takes_pairs = matches!(self.blocks.dtype(), GgmlDType::Q4_1 | GgmlDType::Q5_0 | GgmlDType::Q5_1);
        takes_pairs && !inputs.is_multiple_of(2 * self.blocks.dtype().block_size())
    }

    /// numbers [n] (u32, each below the count of rows) -> [n, in] in f32: those rows.
    ///
    /// # Errors
    /// When a number has no row.
    pub(crate) fn rows(&self, numbers: &Tensor) -> Result<Tensor> {
        Ok(self.blocks.embedding(&numbers.to_device(&Device::Cpu)?)?.to_device(numbers.device())?)
    }
}

/// Blocks of integers hold no NaN: it would be lost without a word.
fn check_numbers(name: &str, x: &Tensor) -> Result<()> {
    // A sum is not a number when one of its parts is not.
    let sum = x.sum_all()?.to_scalar::<f32>()?;
    if sum.is_nan() && x.flatten_all()?.to_vec1::<f32>()?.iter().any(|number| number.is_nan()) {
        return Err(ModelError::Input(format!("the input of `{name}` holds numbers that are not numbers (NaN)")));
    }
    Ok(())
}
