//! A matrix in blocks that is ready to multiply, in ggml's own arithmetic: the input of a layer becomes 8-bit integers
//! block by block, and integers are multiplied. candle computes, on threads of its own.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor, QuantizedType};
use candle_core::{CpuStorage, DType, Device, Tensor};

use super::{BlockWeight, GgmlType};
use crate::error::{ModelError, Result};
use crate::network::Mode;

/// A weight in blocks as networks use it.
#[derive(Debug, Clone)]
pub struct BlockMatrix {
    /// The float tensor's shape.
    shape: Vec<usize>,
    /// Output channels, and the inputs of each.
    dimensions: (usize, usize),
    blocks: Arc<Blocks>,
}

/// Blocks as candle holds them.
enum Blocks {
    /// candle chooses how it multiplies them.
    Any(QTensor),
    /// `q8_0`. Where the processor has VNNI, candle would choose a kernel that rounds inputs in blocks of 256 instead
    /// of 32, and lose more than ggml loses.
    Plain(Box<dyn QuantizedType>),
}

impl BlockMatrix {
    /// Makes a weight ready; its blocks are copied once.
    ///
    /// # Errors
    /// When bytes and shape do not fit each other.
    pub fn new(weight: &BlockWeight) -> Result<Self> {
        let blocks = match weight.kind {
            GgmlType::Q8_0 => {
                weight.check().map_err(ModelError::Unsupported)?;
                Blocks::Plain(weight.kind.candle().from_data(Cow::Borrowed(&weight.bytes)))
            }
            _ => Blocks::Any(weight.candle()?),
        };
        let dimensions = (weight.outputs(), weight.inputs());
        Ok(Self { shape: weight.shape.clone(), dimensions, blocks: Arc::new(blocks) })
    }

    /// The numbers that it stands for, in the type and on the device of `like`.
    ///
    /// # Errors
    /// When candle refuses.
    pub(crate) fn like(&self, like: &Tensor) -> Result<Tensor> {
        let numbers = match self.blocks.as_ref() {
            Blocks::Any(blocks) => blocks.dequantize(&Device::Cpu)?.reshape(self.shape.as_slice())?,
            Blocks::Plain(blocks) => tensor(blocks.dequantize(self.shape.iter().product())?, &self.shape)?,
        };
        Ok(numbers.to_device(like.device())?.to_dtype(like.dtype())?)
    }

    /// x [rows, in] -> [rows, out]. Where gradients are wanted, `x` lies on another device, or candle does not
    /// multiply such blocks, they become numbers first.
    ///
    /// # Errors
    /// When shapes do not fit, or an input is not a number.
    pub(crate) fn linear(&self, name: &str, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let (rows, inputs) = x.dims2()?;
        let (outputs, expected) = self.dimensions;
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
        let products = match self.blocks.as_ref() {
            Blocks::Any(blocks) => numbers.apply_op1_no_bwd(blocks)?,
            Blocks::Plain(blocks) => {
                let mut products = vec![0.0; rows * outputs];
                blocks.matmul_t((rows, inputs, outputs), &numbers.flatten_all()?.to_vec1::<f32>()?, &mut products)?;
                Tensor::from_vec(products, (rows, outputs), x.device())?
            }
        };
        Ok(products.to_dtype(x.dtype())?)
    }

    /// Whether candle refuses (where it checks at all) to multiply rows of an odd number of such blocks.
    fn is_unpaired(&self, inputs: usize) -> bool {
        let kind = self.blocks.kind();
        let takes_pairs = matches!(kind, GgmlDType::Q4_1 | GgmlDType::Q5_0 | GgmlDType::Q5_1);
        takes_pairs && !inputs.is_multiple_of(2 * kind.block_size())
    }

    /// numbers [n] (u32, each below the count of rows) -> [n, in] in f32: those rows.
    ///
    /// # Errors
    /// When a number has no row.
    pub(crate) fn rows(&self, numbers: &Tensor) -> Result<Tensor> {
        let on_cpu = numbers.to_device(&Device::Cpu)?;
        let rows = match self.blocks.as_ref() {
            Blocks::Any(blocks) => blocks.embedding(&on_cpu)?,
            Blocks::Plain(blocks) => {
                let (outputs, inputs) = self.dimensions;
                let numbers = on_cpu.to_vec1::<u32>()?;
                tensor(blocks.embedding(&numbers, outputs, inputs)?, &[numbers.len(), inputs])?
            }
        };
        Ok(rows.to_device(numbers.device())?)
    }
}

impl Blocks {
    fn kind(&self) -> GgmlDType {
        match self {
            Self::Any(blocks) => blocks.dtype(),
            Self::Plain(blocks) => blocks.dtype(),
        }
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind())
    }
}

fn tensor(numbers: CpuStorage, shape: &[usize]) -> Result<Tensor> {
    let numbers = numbers.as_slice::<f32>()?.to_vec();
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
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
