//! Inverted dropout (Srivastava et al. 2014, section 10): kept numbers are scaled up while training, so inference
//! needs no change.

use candle_core::Tensor;

use crate::error::Result;
use crate::network::{Forward, Mode};

/// Sets each number of `x` to zero with probability `rate` and divides the rest by `1 - rate`. Leaves `x` as it is
/// outside training, or where the pass has no source of randomness.
pub(crate) fn dropout(x: &Tensor, rate: f64, cx: &mut Forward<'_>) -> Result<Tensor> {
    let Some(uniform) = cx.uniform.as_mut().filter(|_| cx.mode == Mode::Training && rate > 0.0) else {
        return Ok(x.clone());
    };
    let mut noise = vec![0.0_f32; x.elem_count()];
    uniform(&mut noise);
    let scale = (1.0 / (1.0 - rate)) as f32;
    for number in &mut noise {
        *number = if f64::from(*number) < rate { 0.0 } else { scale };
    }
    let mask = Tensor::from_vec(noise, x.shape(), x.device())?.to_dtype(x.dtype())?;
    Ok(x.mul(&mask)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::dropout;
    use crate::network::Forward;

    #[test]
    fn drops_below_the_rate_and_scales_the_rest() {
        let x = Tensor::new(&[[1.0_f32, 2.0, 3.0, 4.0]], &Device::Cpu).unwrap();
        let mut noise = |buffer: &mut [f32]| buffer.copy_from_slice(&[0.0, 0.74, 0.75, 0.9]);
        let mut cx = Forward::inference();
        assert_eq!(dropout(&x, 0.75, &mut cx).unwrap().to_vec2::<f32>().unwrap(), [[1.0, 2.0, 3.0, 4.0]]);
        cx.mode = crate::network::Mode::Training;
        cx.uniform = Some(&mut noise);
        assert_eq!(dropout(&x, 0.75, &mut cx).unwrap().to_vec2::<f32>().unwrap(), [[0.0, 0.0, 12.0, 16.0]]);
    }
}
