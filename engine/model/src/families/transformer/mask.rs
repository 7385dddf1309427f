//! What is added to attention scores: nothing where a token may be seen, the lowest number where it may not. A lowest
//! number rather than minus infinity, so that a row that sees nothing gives numbers.

use candle_core::{DType, Device, Tensor};

use crate::error::Result;

const UNSEEN: f32 = f32::MIN;

/// From a mask of ones and zeros, [rows, keys], to [rows, 1, 1, keys]; `None` where all are ones.
pub(crate) fn of_padding(mask: Option<&Tensor>, dtype: DType, device: &Device) -> Result<Option<Tensor>> {
    let Some(seen) = read(mask)? else { return Ok(None) };
    let (rows, keys) = (seen.len(), seen.first().map_or(0, Vec::len));
    let numbers: Vec<f32> = seen.iter().flatten().map(|&seen| if seen { 0.0 } else { UNSEEN }).collect();
    Ok(Some(Tensor::from_vec(numbers, (rows, 1, 1, keys), device)?.to_dtype(dtype)?))
}

/// For `length` queries that follow `start` tokens: each sees itself and what came before, at most `window` tokens of
/// it, and no padding. [1 or rows, 1, length, start + length]; `None` where everything is seen.
pub(crate) fn causal(
    start: usize,
    length: usize,
    window: Option<usize>,
    mask: Option<&Tensor>,
    (dtype, device): (DType, &Device),
) -> Result<Option<Tensor>> {
    let seen = read(mask)?;
    let keys = start + length;
    let near = |query: usize, key: usize| key <= query && window.is_none_or(|window| query - key < window);
    if seen.is_none() && length == 1 && window.is_none_or(|window| window >= keys) {
        return Ok(None);
    }
    let rows = seen.as_ref().map_or(1, Vec::len);
    let mut numbers = Vec::with_capacity(rows.saturating_mul(length).saturating_mul(keys));
    for row in 0..rows {
        let padding = seen.as_ref().and_then(|seen| seen.get(row));
        let there = |key: usize| padding.is_none_or(|padding| padding.get(key).copied().unwrap_or(true));
        for query in start..keys {
            numbers.extend((0..keys).map(|key| if near(query, key) && there(key) { 0.0 } else { UNSEEN }));
        }
    }
    Ok(Some(Tensor::from_vec(numbers, (rows, 1, length, keys), device)?.to_dtype(dtype)?))
}

/// Which tokens may be seen; `None` where all may.
fn read(mask: Option<&Tensor>) -> Result<Option<Vec<Vec<bool>>>> {
    let Some(mask) = mask else { return Ok(None) };
    let numbers = mask.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
    let seen: Vec<Vec<bool>> = numbers.iter().map(|row| row.iter().map(|&number| number != 0.0).collect()).collect();
    Ok(if seen.iter().flatten().all(|&seen| seen) { None } else { Some(seen) })
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::causal;

    /// Rows of queries, 1 for each key that is seen.
    fn seen(start: usize, length: usize, window: Option<usize>, mask: Option<&Tensor>) -> Vec<Vec<u8>> {
        let bias = causal(start, length, window, mask, (DType::F32, &Device::Cpu)).unwrap().unwrap();
        let bias = bias.flatten_to(2).unwrap().to_vec2::<f32>().unwrap();
        bias.iter().map(|row| row.iter().map(|&number| u8::from(number == 0.0)).collect()).collect()
    }

    #[test]
    fn a_query_sees_itself_and_the_past() {
        assert_eq!(seen(0, 3, None, None), [[1, 0, 0], [1, 1, 0], [1, 1, 1]]);
        assert_eq!(seen(1, 2, None, None), [[1, 1, 0], [1, 1, 1]]);
        assert!(causal(5, 1, None, None, (DType::F32, &Device::Cpu)).unwrap().is_none());
    }

    #[test]
    fn a_window_counts_the_query_itself() {
        assert_eq!(seen(0, 3, Some(2), None), [[1, 0, 0], [1, 1, 0], [0, 1, 1]]);
        assert_eq!(seen(3, 1, Some(2), None), [[0, 0, 1, 1]]);
    }

    #[test]
    fn padding_is_not_seen() {
        let mask = Tensor::new(&[[0_u32, 1], [1, 1]], &Device::Cpu).unwrap();
        assert_eq!(seen(0, 2, None, Some(&mask)), [[0, 0], [0, 1], [1, 0], [1, 1]]);
    }
}
