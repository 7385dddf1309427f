//! Arrays of one to four dimensions as columns: what npy, npz and IDX have in common. The first dimension counts rows.

use crate::cells::{Cells, NamedColumn};

/// A column, and the shape of its images if it holds some.
pub(super) type ArrayColumn = (NamedColumn, Option<[usize; 3]>);

/// How numbers lie in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// The last dimension changes fastest (C).
    RowMajor,
    /// The first dimension changes fastest (Fortran).
    ColumnMajor,
}

/// How many numbers the dimensions stand for.
///
/// # Errors
/// When that is more than memory can address.
pub(super) fn count(dimensions: &[usize]) -> Result<usize, String> {
    let product = dimensions.iter().try_fold(1_usize, |product, &dimension| product.checked_mul(dimension));
    product.ok_or_else(|| format!("has impossible dimensions, {}", shape_name(dimensions)))
}

/// The array as a column: numbers for one dimension, vectors for two, images for three (`[rows, height, width]`) or four.
///
/// Four dimensions are `[rows, channels, height, width]`, unless only the last of them can be channels (1, 3 or 4):
/// such images are turned to channels first.
///
/// # Errors
/// When there are fewer numbers than the dimensions say, or another number of dimensions.
pub(super) fn column<E: std::fmt::Display>(
    name: &str,
    dimensions: &[usize],
    layout: Layout,
    values: impl Iterator<Item = Result<f64, E>>,
) -> Result<ArrayColumn, String> {
    let total = count(dimensions)?;
    let named = |cells| NamedColumn { name: name.to_owned(), cells };
    let short = |error: E| super::source::lower(&error);
    if let [_] = dimensions {
        let values = values.take(total).map(|value| value.map(Some)).collect::<Result<Vec<_>, E>>().map_err(short)?;
        check_count(values.len(), total)?;
        return Ok((named(Cells::Numbers(values)), None));
    }
    if !(2..=4).contains(&dimensions.len()) {
        return Err(format!("has {} dimensions, expected 1 to 4", dimensions.len()));
    }
    let values = values.take(total).map(|value| value.map(|value| value as f32)).collect::<Result<Vec<_>, E>>();
    let values = values.map_err(short)?;
    check_count(values.len(), total)?;
    let rows = dimensions.first().copied().unwrap_or_default();
    let width = count(dimensions.get(1..).unwrap_or_default())?;
    if width == 0 && rows > 0 {
        return Err(format!("has rows without numbers, {}", shape_name(dimensions)));
    }
    let data = match layout {
        Layout::RowMajor => values,
        Layout::ColumnMajor => permuted(&values, dimensions, &column_major_strides(dimensions)),
    };
    let (data, image) = as_image(data, dimensions);
    Ok((named(Cells::Vectors { width, data, present: vec![true; rows] }), image))
}

fn check_count(found: usize, expected: usize) -> Result<(), String> {
    if found < expected {
        return Err(format!("has {found} numbers, its dimensions say {expected}"));
    }
    Ok(())
}

/// Channels first, and the image's shape.
fn as_image(data: Vec<f32>, dimensions: &[usize]) -> (Vec<f32>, Option<[usize; 3]>) {
    match *dimensions {
        [_, height, width] => (data, Some([1, height, width])),
        [rows, height, width, channels] if is_channels(channels) && !is_channels(height) => {
            let strides = [height * width * channels, 1, width * channels, channels];
            (permuted(&data, &[rows, channels, height, width], &strides), Some([channels, height, width]))
        }
        [_, channels, height, width] => (data, Some([channels, height, width])),
        _ => (data, None),
    }
}

fn is_channels(dimension: usize) -> bool {
    matches!(dimension, 1 | 3 | 4)
}

fn column_major_strides(dimensions: &[usize]) -> Vec<usize> {
    let next = |stride: &mut usize, &dimension: &usize| {
        let this = *stride;
        *stride *= dimension;
        Some(this)
    };
    dimensions.iter().scan(1, next).collect()
}

/// The numbers in row-major order of `dimensions`, read from where `strides` say they lie.
fn permuted(data: &[f32], dimensions: &[usize], strides: &[usize]) -> Vec<f32> {
    let mut index = vec![0; dimensions.len()];
    let mut at = 0;
    let mut out = Vec::with_capacity(data.len());
    while out.len() < data.len() {
        out.push(data.get(at).copied().unwrap_or_default());
        // Count up the last dimension, carrying to those before it.
        for ((index, &dimension), &stride) in index.iter_mut().zip(dimensions).zip(strides).rev() {
            *index += 1;
            at += stride;
            if *index < dimension {
                break;
            }
            at -= stride * dimension;
            *index = 0;
        }
    }
    out
}

/// Dimensions as people write them: `60000x28x28`.
pub(super) fn shape_name(dimensions: &[usize]) -> String {
    dimensions.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::{Layout, column, count};
    use crate::cells::Cells;

    fn vectors(dimensions: &[usize], layout: Layout) -> (Vec<f32>, Option<[usize; 3]>) {
        let total = dimensions.iter().product::<usize>();
        let values = (0..total).map(|value| Ok::<_, Infallible>(value as f64));
        let (column, image) = column("features", dimensions, layout, values).unwrap();
        match column.cells {
            Cells::Vectors { data, .. } => (data, image),
            _ => panic!("not vectors"),
        }
    }

    #[test]
    fn column_major_numbers_are_put_in_rows() {
        // Columns (0, 1) (2, 3) (4, 5) make rows (0, 2, 4) (1, 3, 5).
        assert_eq!(vectors(&[2, 3], Layout::ColumnMajor).0, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    }

    #[test]
    fn three_dimensions_are_gray_images() {
        assert_eq!(vectors(&[2, 2, 2], Layout::RowMajor).1, Some([1, 2, 2]));
    }

    #[test]
    fn channels_come_first() {
        let (data, image) = vectors(&[1, 2, 2, 3], Layout::RowMajor);
        assert_eq!(image, Some([3, 2, 2]));
        assert_eq!(data, [0.0, 3.0, 6.0, 9.0, 1.0, 4.0, 7.0, 10.0, 2.0, 5.0, 8.0, 11.0]);
        assert_eq!(vectors(&[1, 3, 2, 2], Layout::RowMajor), ((0..12).map(|v| v as f32).collect(), Some([3, 2, 2])));
    }

    #[test]
    fn impossible_dimensions_are_refused_before_anything_is_allocated() {
        assert!(count(&[usize::MAX, 2]).is_err());
        let none = std::iter::empty::<Result<f64, Infallible>>();
        let error = column("x", &[usize::MAX / 2, 2], Layout::RowMajor, none).unwrap_err();
        assert!(error.starts_with("has 0 numbers, its dimensions say"), "{error}");
    }
}
