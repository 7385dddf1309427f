//! The factor of each input channel.

use candle_core::{D, Device, Tensor};

use super::watch::Seen;
use crate::error::PassError;

/// Candidates of a search: 0, 0.1, ... 1.
const CANDIDATES: u32 = 10;

/// Factors of the channels of an input, and the share they were made with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Smoothing {
    pub(super) alpha: f64,
    pub(super) factors: Vec<f32>,
}

/// s_j = max |X_j|^alpha / max |W_j|^(1 - alpha) (equation 4), for `weights` of shape [out, in] and the largest
/// magnitudes of the inputs. 1 where one of the two is zero.
pub(super) fn smooth(weights: &[Vec<f32>], largest: &[f32], alpha: f64) -> Smoothing {
    let mut of_weights = vec![0.0_f32; largest.len()];
    for row in weights.iter().flat_map(|weight| weight.chunks(largest.len().max(1))) {
        for (most, weight) in of_weights.iter_mut().zip(row) {
            *most = most.max(weight.abs());
        }
    }
    let factor = |(&input, &weight): (&f32, &f32)| {
        let factor = f64::from(input).powf(alpha) / f64::from(weight).powf(1.0 - alpha);
        if input > 0.0 && weight > 0.0 { (factor as f32).clamp(1e-5, 1e5) } else { 1.0 }
    };
    Smoothing { alpha, factors: largest.iter().zip(&of_weights).map(factor).collect() }
}

/// The share whose integers give the outputs of the least squared error on the rows that were kept.
///
/// # Errors
/// When candle refuses.
pub(super) fn search(weights: &[Vec<f32>], seen: &Seen) -> Result<Smoothing, PassError> {
    let channels = seen.largest.len().max(1);
    let matrix = |numbers: &[f32]| Tensor::from_slice(numbers, (numbers.len() / channels, channels), &Device::Cpu);
    let x = matrix(&seen.rows)?;
    let w = matrix(&weights.concat())?;
    let wanted = x.matmul(&w.t()?)?;
    let mut best: Option<(f64, Smoothing)> = None;
    for candidate in 0..=CANDIDATES {
        let smoothing = smooth(weights, &seen.largest, f64::from(candidate) / f64::from(CANDIDATES));
        let factors = Tensor::new(smoothing.factors.as_slice(), &Device::Cpu)?;
        let inputs = rounded(&x.broadcast_div(&factors)?, None)?;
        let weights = rounded(&w.broadcast_mul(&factors)?, Some(1))?;
        let error = (inputs.matmul(&weights.t()?)? - &wanted)?.sqr()?.sum_all()?.to_scalar::<f32>()?;
        if best.as_ref().is_none_or(|(least, _)| f64::from(error) < *least) {
            best = Some((f64::from(error), smoothing));
        }
    }
    Ok(best.map_or_else(|| smooth(weights, &seen.largest, 0.5), |(_, smoothing)| smoothing))
}

/// On a symmetric grid of 8 bits over the largest magnitude, of all or of each row.
fn rounded(x: &Tensor, by_row: Option<usize>) -> candle_core::Result<Tensor> {
    let most = match by_row {
        Some(_) => x.abs()?.max_keepdim(D::Minus1)?,
        None => x.abs()?.flatten_all()?.max(0)?.reshape((1, 1))?,
    };
    let scale = (most.clamp(f32::MIN_POSITIVE, f32::MAX)? / 127.0)?;
    x.broadcast_div(&scale)?.round()?.broadcast_mul(&scale)
}

#[cfg(test)]
mod tests {
    use super::{search, smooth};
    use crate::quantize::smoothquant::watch::Seen;

    /// By hand: inputs up to 16, 1 and 0, weights up to 4, 9 and 1.
    #[test]
    fn factors_by_hand() {
        let weights = [vec![4.0, -9.0, 1.0], vec![-1.0, 3.0, 0.5]];
        assert_eq!(smooth(&weights, &[16.0, 1.0, 0.0], 0.5).factors, [2.0, 1.0 / 3.0, 1.0]);
        assert_eq!(smooth(&weights, &[16.0, 1.0, 0.0], 1.0).factors, [16.0, 1.0, 1.0]);
        assert_eq!(smooth(&weights, &[16.0, 1.0, 0.0], 0.0).factors, [0.25, 1.0 / 9.0, 1.0]);
    }

    /// One channel is a hundred times the others: leaving it there is the worst, and moving some of it is better.
    #[test]
    fn a_search_moves_outliers() {
        let number = |place: usize| ((place * 7919 % 2001) as f32 - 1000.0) / 1000.0;
        let rows: Vec<f32> =
            (0..64 * 8).map(|place| number(place) * if place % 8 == 3 { 100.0 } else { 1.0 }).collect();
        let weights = [(0..16 * 8).map(|place| number(place + 5)).collect::<Vec<f32>>()];
        let mut largest = vec![1.0_f32; 8];
        largest[3] = 100.0;
        let found = search(&weights, &Seen { largest, rows }).unwrap();
        assert!((0.3..=0.9).contains(&found.alpha), "{}", found.alpha);
    }
}
