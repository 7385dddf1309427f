//! The length of each input of a layer over all calibration rows.

use candle_core::{DType, Tensor};

use crate::calibration::{never_active, not_finite};
use crate::error::PassError;
use crate::walk::{Group, columns};

/// Sums of squares of a group's inputs, column by column.
#[derive(Debug, Default)]
pub(crate) struct Lengths {
    squares: Vec<f64>,
}

impl Lengths {
    /// Adds inputs [rows, in].
    ///
    /// # Errors
    /// When shapes do not fit.
    pub(crate) fn add(&mut self, group: &Group, input: &Tensor) -> Result<(), PassError> {
        let squares = columns(group, input)?.to_dtype(DType::F32)?.sqr()?.sum(0)?.to_vec1::<f32>()?;
        self.squares.resize(squares.len(), 0.0);
        self.squares.iter_mut().zip(squares).for_each(|(sum, square)| *sum += f64::from(square));
        Ok(())
    }

    /// The square roots; the next group starts from nothing.
    ///
    /// # Errors
    /// When they are not finite, or all zero.
    pub(crate) fn take(&mut self, group: &Group) -> Result<Vec<f32>, PassError> {
        let squares = std::mem::take(&mut self.squares);
        let name = group.sites.first().map(|site| site.name.as_str()).unwrap_or_default();
        if squares.iter().any(|square| !square.is_finite()) {
            return Err(not_finite(name));
        }
        if squares.iter().all(|square| *square == 0.0) {
            return Err(never_active(name));
        }
        Ok(squares.iter().map(|square| square.sqrt() as f32).collect())
    }
}
