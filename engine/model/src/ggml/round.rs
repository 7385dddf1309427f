//! Floats to blocks, row by row. Types of 32 numbers are rounded here, bit for bit as llama.cpp's reference does where
//! no importance is given; those of 256 by candle.

use candle_core::quantized::QTensor;
use candle_core::{Device, Tensor};
use pulp::{Arch, NullaryFnOnce};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::grid::{Form, Grid, WIDTH};
use super::{BlockWeight, GgmlType, search};
use crate::error::{ModelError, Result};

/// Numbers that one thread rounds at a time, at least a row.
const PART: usize = 1 << 16;

impl BlockWeight {
    /// Rounds numbers, row after row, to blocks. `importance` says for each input (a number of a row) how much errors
    /// at it matter; `Q8_0` takes no notice of it.
    ///
    /// Without importance, types of 32 numbers come out as llama.cpp's reference has them. With it, the step of each
    /// block is searched for by weighted least squares (see [`super::search`]); candle does as much for types of 256.
    ///
    /// # Errors
    /// When rows are no whole blocks, a number is not finite or too large for the type, or importance is negative, not
    /// finite, or of another length than a row.
    pub fn round(numbers: &[f32], shape: &[usize], kind: GgmlType, importance: Option<&[f32]>) -> Result<Self> {
        let refuse = |reason: String| ModelError::Unsupported(format!("cannot quantize the tensor: {reason}"));
        let size = kind.size(shape).map_err(refuse)?;
        let inputs: usize = shape.iter().skip(1).product();
        if numbers.len() != shape.iter().product::<usize>() {
            return Err(refuse(format!("it has {} numbers, expected shape {shape:?}", numbers.len())));
        }
        let importance = importance.map(|given| cleaned(given, inputs)).transpose().map_err(refuse)?.flatten();
        let most = most_of(kind);
        let fits = |number: &f32| number.abs() <= most;
        // Without an end before the last of a part, many are looked at side by side.
        let all_fit = |part: &[f32]| part.iter().fold(true, |all, number| all & fits(number));
        if let Some(part) = numbers.chunks(PART).find(|part| !all_fit(part)) {
            let number = part.iter().copied().find(|number| !fits(number)).unwrap_or(f32::NAN);
            return Err(refuse(format!("it holds `{number}`, expected numbers up to {most:e}")));
        }
        let mut bytes = vec![0; size];
        let rows = (PART / inputs).max(1);
        let outs = bytes.par_chunks_mut(rows * (size / shape.first().copied().unwrap_or(1)));
        outs.zip(numbers.par_chunks(rows * inputs))
            .try_for_each(|(out, numbers)| round_rows(kind, numbers, inputs, importance.as_deref(), out))?;
        Ok(Self { shape: shape.to_vec(), kind, bytes: bytes.into() })
    }
}

/// The largest number whose step a half-precision float can hold. Types of 256 numbers have steps of steps.
fn most_of(kind: GgmlType) -> f32 {
    let largest = half::f16::MAX.to_f32();
    match Form::of(kind) {
        Some(Form { from_minimum: true, .. }) => largest / 2.0,
        Some(Form { zero, .. }) => largest * f32::from(zero - 1),
        None => largest,
    }
}

/// Importance with nothing at zero, so that every number is rounded to something near it; none where all is zero.
pub(super) fn cleaned(given: &[f32], inputs: usize) -> Result<Option<Vec<f32>>, String> {
    if given.len() != inputs {
        return Err(format!("there is importance for {} inputs, but it has {inputs}", given.len()));
    }
    if let Some(wrong) = given.iter().find(|number| !(number.is_finite() && **number >= 0.0)) {
        return Err(format!("the importance of an input is `{wrong}`, expected a number from 0"));
    }
    let mean = given.iter().map(|&number| f64::from(number)).sum::<f64>() / given.len().max(1) as f64;
    let relative = |&number: &f32| (f64::from(number) / mean).max(1e-6) as f32;
    Ok((mean > 0.0).then(|| given.iter().map(relative).collect()))
}

fn round_rows(
    kind: GgmlType,
    numbers: &[f32],
    inputs: usize,
    importance: Option<&[f32]>,
    out: &mut [u8],
) -> Result<()> {
    if kind.block() == WIDTH {
        let importance = importance.filter(|_| kind != GgmlType::Q8_0);
        Arch::new().dispatch(Rows { kind, numbers, inputs, importance, out });
        return Ok(());
    }
    let rows = Tensor::from_slice(numbers, (numbers.len() / inputs, inputs), &Device::Cpu)?;
    let rounded = match importance {
        Some(importance) => QTensor::quantize_imatrix(&rows, importance, kind.candle())?,
        None => QTensor::quantize(&rows, kind.candle())?,
    };
    out.copy_from_slice(&rounded.data()?);
    Ok(())
}

/// Whole rows of blocks of 32, compiled for the processor at hand.
struct Rows<'a> {
    kind: GgmlType,
    numbers: &'a [f32],
    inputs: usize,
    importance: Option<&'a [f32]>,
    out: &'a mut [u8],
}

impl NullaryFnOnce for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        // Each of the calls is compiled for its layout alone.
        match self.kind {
            GgmlType::Q4_0 => self.round(Form::Q4_0),
            GgmlType::Q4_1 => self.round(Form::Q4_1),
            GgmlType::Q5_0 => self.round(Form::Q5_0),
            GgmlType::Q5_1 => self.round(Form::Q5_1),
            GgmlType::Q8_0 => self.round(Form::Q8_0),
            GgmlType::Q2K | GgmlType::Q3K | GgmlType::Q4K | GgmlType::Q5K | GgmlType::Q6K => {}
        }
    }
}

impl Rows<'_> {
    #[inline(always)]
    fn round(self, form: Form) {
        let Self { kind, numbers, inputs, importance, out } = self;
        let blocks = numbers.as_chunks::<WIDTH>().0.iter().zip(out.chunks_exact_mut(kind.block_bytes()));
        let Some(importance) = importance else {
            for (block, out) in blocks {
                let grid = Grid::reference(form, block);
                grid.write(form, &grid.codes(form, block), out);
            }
            return;
        };
        let in_row = inputs / WIDTH;
        let importance = importance.as_chunks::<WIDTH>().0;
        for (place, (block, out)) in blocks.enumerate() {
            let Some(importance) = importance.get(place % in_row) else { continue };
            let (grid, codes) = search::search(form, block, importance);
            grid.write(form, &codes, out);
        }
    }
}
