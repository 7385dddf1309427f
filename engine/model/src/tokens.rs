//! What a model that reads text gets: token numbers, padded to one length.

use candle_core::{DType, Tensor};

use crate::error::{ModelError, Result};

/// Rows of token numbers, padded to one length.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Token numbers, [rows, length] in u32.
    pub ids: Tensor,
    /// 1 for a token and 0 for padding, [rows, length]; `None` where nothing is padding.
    pub mask: Option<Tensor>,
    /// Which segment each token belongs to, [rows, length] in u32; `None` where all are of segment 0.
    pub types: Option<Tensor>,
}

impl Tokens {
    /// Rows without padding, of one segment.
    pub fn new(ids: Tensor) -> Self {
        Self { ids, mask: None, types: None }
    }

    /// The same rows with padding where `mask` is 0.
    #[must_use]
    pub fn masked(self, mask: Tensor) -> Self {
        Self { mask: Some(mask), ..self }
    }

    /// How many rows there are, and how long they are.
    ///
    /// # Errors
    /// When the parts have other shapes than [rows, length], or no token is there.
    pub fn dims(&self) -> Result<(usize, usize)> {
        let &[rows, length] = self.ids.dims() else {
            let found = self.ids.dims();
            return Err(ModelError::Input(format!("tokens have shape {found:?}, expected [rows, length]")));
        };
        for (name, part) in [("the mask of tokens", &self.mask), ("the segments of tokens", &self.types)] {
            if let Some(found) = part.as_ref().map(Tensor::dims).filter(|found| *found != [rows, length]) {
                return Err(ModelError::Input(format!("{name} has shape {found:?}, expected [{rows}, {length}]")));
            }
        }
        if rows == 0 || length == 0 {
            return Err(ModelError::Input(format!(
                "tokens have shape [{rows}, {length}], expected at least one token"
            )));
        }
        Ok((rows, length))
    }

    /// Ones for tokens and zeros for padding, in the numbers that the model computes with.
    pub(crate) fn mask_as(&self, dtype: DType) -> Result<Option<Tensor>> {
        Ok(self.mask.as_ref().map(|mask| mask.to_dtype(dtype)).transpose()?)
    }

    /// The token numbers as u32.
    pub(crate) fn numbers(&self) -> Result<Tensor> {
        Ok(self.ids.to_dtype(DType::U32)?.contiguous()?)
    }
}
