//! The layouts of blocks that weights are written in.

use std::fmt;

use candle_core::quantized::GgmlDType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A layout of blocks, by llama.cpp's name. The first digit counts the bits of an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GgmlType {
    /// 32 numbers with one scale: 4.5 bits a weight.
    Q4_0,
    /// 32 numbers with a scale and a minimum: 5 bits a weight.
    Q4_1,
    /// 32 numbers with one scale: 5.5 bits a weight.
    Q5_0,
    /// 32 numbers with a scale and a minimum: 6 bits a weight.
    Q5_1,
    /// 32 numbers with one scale: 8.5 bits a weight.
    Q8_0,
    /// 256 numbers, a scale and a minimum of 4 bits for each 16: 2.625 bits a weight.
    #[serde(rename = "q2_k")]
    Q2K,
    /// 256 numbers, a scale of 6 bits for each 16: 3.4375 bits a weight.
    #[serde(rename = "q3_k")]
    Q3K,
    /// 256 numbers, a scale and a minimum of 6 bits for each 32: 4.5 bits a weight.
    #[serde(rename = "q4_k")]
    Q4K,
    /// 256 numbers, a scale and a minimum of 6 bits for each 32: 5.5 bits a weight.
    #[serde(rename = "q5_k")]
    Q5K,
    /// 256 numbers, a scale of 8 bits for each 16: 6.5625 bits a weight.
    #[serde(rename = "q6_k")]
    Q6K,
}

impl GgmlType {
    /// Its name in llama.cpp: `Q4_K`.
    pub fn name(self) -> &'static str {
        match self {
            GgmlType::Q4_0 => "Q4_0",
            GgmlType::Q4_1 => "Q4_1",
            GgmlType::Q5_0 => "Q5_0",
            GgmlType::Q5_1 => "Q5_1",
            GgmlType::Q8_0 => "Q8_0",
            GgmlType::Q2K => "Q2_K",
            GgmlType::Q3K => "Q3_K",
            GgmlType::Q4K => "Q4_K",
            GgmlType::Q5K => "Q5_K",
            GgmlType::Q6K => "Q6_K",
        }
    }

    /// Numbers of a block.
    pub fn block(self) -> usize {
        self.candle().block_size()
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.candle().type_size()
    }

    /// Bytes of a row of that many numbers; `None` where they are no whole blocks.
    pub fn row_bytes(self, inputs: usize) -> Option<usize> {
        let whole = inputs > 0 && inputs.is_multiple_of(self.block());
        whole.then(|| (inputs / self.block()).saturating_mul(self.block_bytes()))
    }

    /// Bytes of a weight of that shape, the output channels first.
    ///
    /// # Errors
    /// When it is no matrix, or its rows are no whole blocks.
    pub(crate) fn size(self, shape: &[usize]) -> Result<usize, String> {
        let (&outputs, rest) = shape.split_first().filter(|(_, rest)| !rest.is_empty()).ok_or("it is no matrix")?;
        let inputs = rest.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
        let row = inputs.and_then(|inputs| self.row_bytes(inputs));
        let row = row.ok_or_else(|| {
            format!("rows of shape {rest:?} are no whole {} blocks of {} numbers", self.name(), self.block())
        })?;
        let size = row.checked_mul(outputs).filter(|&size| size > 0 && size <= isize::MAX as usize);
        size.ok_or_else(|| format!("no weight has shape {shape:?}"))
    }

    /// Whether integers count steps from a minimum, so that nothing stands for exactly zero.
    pub fn has_minimum(self) -> bool {
        match self {
            GgmlType::Q4_1 | GgmlType::Q5_1 | GgmlType::Q2K | GgmlType::Q4K | GgmlType::Q5K => true,
            GgmlType::Q4_0 | GgmlType::Q5_0 | GgmlType::Q8_0 | GgmlType::Q3K | GgmlType::Q6K => false,
        }
    }

    /// The type as candle calls it.
    pub(crate) fn candle(self) -> GgmlDType {
        match self {
            GgmlType::Q4_0 => GgmlDType::Q4_0,
            GgmlType::Q4_1 => GgmlDType::Q4_1,
            GgmlType::Q5_0 => GgmlDType::Q5_0,
            GgmlType::Q5_1 => GgmlDType::Q5_1,
            GgmlType::Q8_0 => GgmlDType::Q8_0,
            GgmlType::Q2K => GgmlDType::Q2K,
            GgmlType::Q3K => GgmlDType::Q3K,
            GgmlType::Q4K => GgmlDType::Q4K,
            GgmlType::Q5K => GgmlDType::Q5K,
            GgmlType::Q6K => GgmlDType::Q6K,
        }
    }
}

impl fmt::Display for GgmlType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
