//! Scaling: one mean and one divisor for each column of the encoded training rows. Sums are 64-bit, in row order.

use paring_model::inputs::{Encoding, Matrix};
use paring_model::{InputStep, Inputs, Table};

use super::Scaling;
use crate::error::Result;

/// The scaling step for inputs that encode only; none where nothing is scaled.
pub(super) fn fit_scale(inputs: &Inputs, table: &Table, scaling: Scaling) -> Result<Option<InputStep>> {
    if scaling == Scaling::None {
        return Ok(None);
    }
    let matrix = inputs.apply(table)?;
    let mut mean = Vec::with_capacity(matrix.columns);
    let mut scale = Vec::with_capacity(matrix.columns);
    for column in &inputs.columns {
        let start = mean.len();
        let width = column.encoding.width();
        match column.encoding {
            Encoding::Category { .. } => push(&mut mean, &mut scale, width, (0.0, 1.0)),
            // The pixels of an image belong together.
            Encoding::Vector { .. } if inputs.shape.len() == 3 => {
                push(&mut mean, &mut scale, width, fit(&matrix, start..start + width, scaling));
            }
            _ => {
                for at in start..start + width {
                    push(&mut mean, &mut scale, 1, fit(&matrix, at..at + 1, scaling));
                }
            }
        }
    }
    Ok(Some(InputStep::Scale { mean, scale }))
}

fn push(mean: &mut Vec<f32>, scale: &mut Vec<f32>, width: usize, fitted: (f32, f32)) {
    mean.extend(std::iter::repeat_n(fitted.0, width));
    scale.extend(std::iter::repeat_n(fitted.1, width));
}

/// The mean and divisor of some columns together. A divisor of zero becomes one: a column that never changes is moved
/// to zero and stays there.
fn fit(matrix: &Matrix, columns: std::ops::Range<usize>, scaling: Scaling) -> (f32, f32) {
    let cells = || {
        let rows = matrix.data.chunks_exact(matrix.columns.max(1));
        rows.flat_map(|row| row.get(columns.clone()).unwrap_or_default()).map(|&value| f64::from(value))
    };
    let smallest = cells().fold(f64::INFINITY, f64::min);
    let largest = cells().fold(f64::NEG_INFINITY, f64::max);
    let (mean, scale) = if smallest >= largest {
        (smallest, 0.0)
    } else if scaling == Scaling::MinMax {
        (smallest, largest - smallest)
    } else {
        let count = cells().count() as f64;
        let mean = cells().sum::<f64>() / count;
        (mean, (cells().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt())
    };
    let scale = scale as f32;
    (mean as f32, if scale > 0.0 && scale.is_finite() { scale } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use paring_model::inputs::Matrix;

    use super::{Scaling, fit};

    fn column(data: &[f32]) -> Matrix {
        Matrix { rows: data.len(), columns: 1, data: data.to_vec() }
    }

    #[test]
    fn standard_uses_the_population_deviation() {
        // Mean 5, squared deviations 9+1+1+1+0+0+4+16 = 32, 32 / 8 = 4.
        let matrix = column(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!(fit(&matrix, 0..1, Scaling::Standard), (5.0, 2.0));
    }

    #[test]
    fn min_max_starts_at_the_smallest() {
        assert_eq!(fit(&column(&[3.0, -1.0, 7.0]), 0..1, Scaling::MinMax), (-1.0, 8.0));
    }

    #[test]
    fn a_constant_column_has_divisor_one() {
        assert_eq!(fit(&column(&[0.1, 0.1, 0.1]), 0..1, Scaling::Standard), (0.1, 1.0));
        assert_eq!(fit(&column(&[0.1, 0.1, 0.1]), 0..1, Scaling::MinMax), (0.1, 1.0));
    }

    #[test]
    fn several_columns_are_fitted_together() {
        let matrix = Matrix { rows: 2, columns: 3, data: vec![0.0, 2.0, 9.0, 2.0, 4.0, 9.0] };
        assert_eq!(fit(&matrix, 0..2, Scaling::MinMax), (0.0, 4.0));
    }
}
