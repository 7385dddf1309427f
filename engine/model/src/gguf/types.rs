//! The types of numbers in GGUF files: how many lie in a block, and how a block becomes numbers.

use std::borrow::Cow;

use candle_core::Device;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::ggml_file::qtensor_from_ggml;
use safetensors::Dtype;

use super::{blocks, codebooks};
use crate::storage::little_endian;

/// A type of numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type(&'static Row);

#[derive(Debug)]
struct Row {
    number: u32,
    name: &'static str,
    /// Numbers in a block.
    numbers: u64,
    /// Bytes of a block.
    bytes: u64,
    form: Form,
}

/// How numbers come out of bytes.
#[derive(Debug)]
enum Form {
    /// They are there as they are.
    Plain(Dtype),
    /// candle makes them.
    Candle(GgmlDType),
    /// A function makes the numbers of one block.
    Block(fn(&[u8], &mut Vec<f32>)),
}

const fn row(number: u32, name: &'static str, (numbers, bytes): (u64, u64), form: Form) -> Row {
    Row { number, name, numbers, bytes, form }
}

static TYPES: [Row; 34] = [
    row(0, "F32", (1, 4), Form::Plain(Dtype::F32)),
    row(1, "F16", (1, 2), Form::Plain(Dtype::F16)),
    row(2, "Q4_0", (32, 18), Form::Candle(GgmlDType::Q4_0)),
    row(3, "Q4_1", (32, 20), Form::Candle(GgmlDType::Q4_1)),
    row(6, "Q5_0", (32, 22), Form::Candle(GgmlDType::Q5_0)),
    row(7, "Q5_1", (32, 24), Form::Candle(GgmlDType::Q5_1)),
    row(8, "Q8_0", (32, 34), Form::Candle(GgmlDType::Q8_0)),
    row(9, "Q8_1", (32, 36), Form::Block(blocks::q8_1)),
    row(10, "Q2_K", (256, 84), Form::Candle(GgmlDType::Q2K)),
    row(11, "Q3_K", (256, 110), Form::Candle(GgmlDType::Q3K)),
    row(12, "Q4_K", (256, 144), Form::Candle(GgmlDType::Q4K)),
    row(13, "Q5_K", (256, 176), Form::Candle(GgmlDType::Q5K)),
    row(14, "Q6_K", (256, 210), Form::Candle(GgmlDType::Q6K)),
    row(15, "Q8_K", (256, 292), Form::Block(blocks::q8_k)),
    row(16, "IQ2_XXS", (256, 66), Form::Block(codebooks::iq2_xxs)),
    row(17, "IQ2_XS", (256, 74), Form::Block(codebooks::iq2_xs)),
    row(18, "IQ3_XXS", (256, 98), Form::Block(codebooks::iq3_xxs)),
    row(19, "IQ1_S", (256, 50), Form::Block(codebooks::iq1_s)),
    row(20, "IQ4_NL", (32, 18), Form::Block(blocks::iq4_nl)),
    row(21, "IQ3_S", (256, 110), Form::Block(codebooks::iq3_s)),
    row(22, "IQ2_S", (256, 82), Form::Block(codebooks::iq2_s)),
    row(23, "IQ4_XS", (256, 136), Form::Block(blocks::iq4_xs)),
    row(24, "I8", (1, 1), Form::Plain(Dtype::I8)),
    row(25, "I16", (1, 2), Form::Plain(Dtype::I16)),
    row(26, "I32", (1, 4), Form::Plain(Dtype::I32)),
    row(27, "I64", (1, 8), Form::Plain(Dtype::I64)),
    row(28, "F64", (1, 8), Form::Plain(Dtype::F64)),
    row(29, "IQ1_M", (256, 56), Form::Block(codebooks::iq1_m)),
    row(30, "BF16", (1, 2), Form::Plain(Dtype::BF16)),
    row(34, "TQ1_0", (256, 54), Form::Block(blocks::tq1_0)),
    row(35, "TQ2_0", (256, 66), Form::Block(blocks::tq2_0)),
    row(39, "MXFP4", (32, 17), Form::Block(blocks::mxfp4)),
    row(40, "NVFP4", (64, 36), Form::Block(blocks::nvfp4)),
    row(41, "Q1_0", (128, 18), Form::Block(blocks::q1_0)),
];

impl Type {
    /// Plain numbers of 32 bits.
    pub(super) const F32: Self = Self(&TYPES[0]);

    /// The type of that number.
    pub(super) fn of(number: u32) -> Option<Self> {
        TYPES.iter().find(|row| row.number == number).map(Self)
    }

    /// The type of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        TYPES.iter().find(|row| row.name == name).map(Self)
    }

    /// Its number in files.
    pub(super) fn number(self) -> u32 {
        self.0.number
    }

    pub(super) fn name(self) -> &'static str {
        self.0.name
    }

    /// Numbers and bytes of a block.
    pub(super) fn block(self) -> (u64, u64) {
        (self.0.numbers, self.0.bytes)
    }

    /// The type of the numbers it is read as.
    pub(super) fn reads_as(self) -> Dtype {
        match self.0.form {
            Form::Plain(dtype) => dtype,
            Form::Candle(_) | Form::Block(_) => Dtype::F32,
        }
    }

    /// Whether the bytes are the numbers.
    pub(super) fn is_plain(self) -> bool {
        matches!(self.0.form, Form::Plain(_))
    }

    /// The numbers of blocks, as little-endian bytes.
    pub(super) fn decode(self, stored: &[u8]) -> Result<Cow<'_, [u8]>, String> {
        let blocks = stored.chunks_exact(self.0.bytes as usize);
        let count = blocks.len() * self.0.numbers as usize;
        let numbers = match self.0.form {
            Form::Plain(_) => return Ok(Cow::Borrowed(stored)),
            Form::Candle(dtype) => dequantize(dtype, stored, count).map_err(|error| error.to_string())?,
            Form::Block(decode) => {
                let mut numbers = Vec::with_capacity(count);
                blocks.for_each(|block| decode(block, &mut numbers));
                numbers
            }
        };
        Ok(Cow::Owned(little_endian(&numbers, f32::to_le_bytes)))
    }
}

fn dequantize(dtype: GgmlDType, stored: &[u8], count: usize) -> candle_core::Result<Vec<f32>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    qtensor_from_ggml(dtype, stored, vec![count], &Device::Cpu)?.dequantize(&Device::Cpu)?.to_vec1()
}
