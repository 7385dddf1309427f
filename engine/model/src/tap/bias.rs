//! A bias added to every row. Where no gradient is wanted it is added in place, which takes a fraction of the time of
//! making a new tensor.

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Tensor};
use rayon::prelude::{ParallelIterator as _, ParallelSliceMut as _};

use crate::error::Result;
use crate::network::Mode;

/// Numbers that one thread takes at a time, at least.
const CHUNK: usize = 16_384;

/// y [rows, out] + bias [out]. `y` is nobody else's.
pub(super) fn add(y: Tensor, bias: &Tensor, mode: Mode) -> Result<Tensor> {
    let is_plain = |tensor: &Tensor| tensor.dtype() == DType::F32 && tensor.device().is_cpu() && tensor.is_contiguous();
    let fits = y.rank() == 2 && bias.dims() == y.dims().get(1..).unwrap_or_default();
    if mode == Mode::Inference && fits && is_plain(&y) && is_plain(bias) {
        y.inplace_op2(bias, &AddBias)?;
        return Ok(y);
    }
    Ok(y.broadcast_add(bias)?)
}

struct AddBias;

impl InplaceOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(
        &self,
        rows: &mut CpuStorage,
        rows_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<()> {
        let CpuStorage::F32(rows) = rows else { return Ok(()) };
        let bias: &[f32] = bias.as_slice()?;
        let (start, end) = bias_layout.contiguous_offsets().unwrap_or((0, 0));
        let bias = bias.get(start..end).unwrap_or_default();
        let (start, end) = rows_layout.contiguous_offsets().unwrap_or((0, 0));
        let rows = rows.get_mut(start..end).unwrap_or_default();
        let width = bias.len().max(1);
        rows.par_chunks_mut(CHUNK.div_ceil(width) * width).for_each(|rows| {
            for row in rows.chunks_mut(width) {
                row.iter_mut().zip(bias).for_each(|(number, bias)| *number += bias);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::add;
    use crate::network::Mode;

    #[test]
    fn in_place_it_is_the_same_to_the_bit() {
        let numbers = |count: usize| (0..count).map(|index| (index as f32 * 0.37).sin()).collect::<Vec<_>>();
        let y = || Tensor::from_vec(numbers(700 * 48), (700, 48), &Device::Cpu).unwrap();
        let bias = Tensor::from_vec(numbers(100), 100, &Device::Cpu).unwrap().narrow(0, 7, 48).unwrap();
        let found = add(y(), &bias, Mode::Inference).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(found, y().broadcast_add(&bias).unwrap().to_vec2::<f32>().unwrap());
        assert!(add(y(), &bias.narrow(0, 0, 3).unwrap(), Mode::Inference).is_err());
    }
}
