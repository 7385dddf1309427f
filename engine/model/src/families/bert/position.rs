//! Where tokens are: numbers of positions, and how far apart two tokens are as MPNet's attention sees it.

use candle_core::{Device, Tensor};

use crate::error::Result;

/// The buckets that distances fall into, half of them for each direction.
pub(super) const BUCKETS: usize = 32;
/// Distances from here on share a bucket.
const FARTHEST: f32 = 128.0;

/// Position numbers: 0, 1, ... for all rows, [length]; or, counted from a padding token, [rows, length], where padding
/// has its own number and the tokens count on from it.
pub(super) fn numbers(ids: &Tensor, padding: Option<u32>) -> Result<Tensor> {
    let (rows, length) = ids.dims2()?;
    let Some(padding) = padding else { return Ok(Tensor::arange(0, length as u32, ids.device())?) };
    let mut places = Vec::with_capacity(rows * length);
    for row in ids.to_device(&Device::Cpu)?.to_vec2::<u32>()? {
        let mut place = padding;
        places.extend(row.iter().map(|&id| {
            if id == padding {
                return padding;
            }
            place = place.saturating_add(1);
            place
        }));
    }
    Ok(Tensor::from_vec(places, (rows, length), ids.device())?)
}

/// The bucket of every pair, [queries, keys], flat.
pub(super) fn buckets(length: usize) -> Vec<u32> {
    let pairs = (0..length).flat_map(|query| (0..length).map(move |key| (query, key)));
    pairs.map(|(query, key)| bucket(key as i64 - query as i64)).collect()
}

/// Raffel et al. 2020, "Exploring the Limits of Transfer Learning", section 2.1: near distances have buckets of their
/// own, farther ones share them logarithmically.
fn bucket(distance: i64) -> u32 {
    let half = BUCKETS / 2;
    let side = if distance > 0 { half } else { 0 };
    let far = distance.unsigned_abs() as usize;
    let exact = half / 2;
    if far < exact {
        return (side + far) as u32;
    }
    let share = (far as f32 / exact as f32).ln() / (FARTHEST / exact as f32).ln();
    (side + (exact + (share * (half - exact) as f32) as usize).min(half - 1)) as u32
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::{bucket, numbers};

    #[test]
    fn positions_count_what_is_not_padding() {
        let ids = Tensor::new(&[[5_u32, 6, 1, 7], [1, 1, 8, 1]], &Device::Cpu).unwrap();
        assert_eq!(numbers(&ids, None).unwrap().to_vec1::<u32>().unwrap(), [0, 1, 2, 3]);
        assert_eq!(numbers(&ids, Some(1)).unwrap().to_vec2::<u32>().unwrap(), [[2, 3, 1, 4], [1, 1, 2, 1]]);
    }

    /// From transformers 5.24 with torch 2.15 (`MPNetEncoder.relative_position_bucket`).
    #[test]
    fn buckets_are_those_of_transformers() {
        let distances =
            [0, 1, 2, 7, 8, 11, 12, 15, 16, 22, 23, 31, 32, 45, 46, 63, 64, 90, 91, 127, 128, 500].map(i64::from);
        let before = [0, 1, 2, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15, 15, 15];
        let after = [0, 17, 18, 23, 24, 24, 25, 25, 26, 26, 27, 27, 28, 28, 29, 29, 30, 30, 31, 31, 31, 31];
        assert_eq!(distances.map(|distance| bucket(-distance)), before);
        assert_eq!(distances.map(bucket), after);
    }
}
