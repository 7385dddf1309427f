//! Texts that are continued token by token: keys and values of the tokens so far are kept, so that a step costs one
//! token.

use candle_core::{DType, Device, Tensor};

use crate::error::{ModelError, Result};
use crate::network::Forward;
use crate::tokens::Tokens;

/// The keys and values of one layer so far, [rows, key-value heads, length, head width] each.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyValues(Option<(Tensor, Tensor)>);

impl KeyValues {
    /// Appends those of new tokens, and gives all of them.
    pub(crate) fn append(&mut self, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        let all = match &self.0 {
            Some((old_keys, old_values)) => {
                (Tensor::cat(&[old_keys, keys], 2)?, Tensor::cat(&[old_values, values], 2)?)
            }
            None => (keys.contiguous()?, values.contiguous()?),
        };
        self.0 = Some(all.clone());
        Ok(all)
    }
}

/// A network that can go on from the tokens that it has seen.
pub(crate) trait Continue: Send + Sync {
    /// How many layers keep keys and values.
    fn layers(&self) -> usize;

    /// Logits of the last of some new tokens, [rows, vocabulary]. `start` tokens were seen before; `mask` covers them
    /// and the new ones.
    fn advance(
        &self,
        ids: &Tensor,
        mask: Option<&Tensor>,
        start: usize,
        cache: &mut [KeyValues],
        cx: &mut Forward<'_>,
    ) -> Result<Tensor>;
}

/// Rows of text that grow token by token, all at the same time.
///
/// [`Generation::prefill`] reads the prompts, [`Generation::step`] one more token of each row; both give the logits of
/// the token that comes next. Step by step gives what a forward pass over the whole text gives.
pub struct Generation<'a> {
    network: &'a dyn Continue,
    cache: Vec<KeyValues>,
    mask: Option<Tensor>,
    length: usize,
}

impl<'a> Generation<'a> {
    /// Nothing read yet.
    pub(crate) fn new(network: &'a dyn Continue) -> Self {
        Self { network, cache: vec![KeyValues::default(); network.layers()], mask: None, length: 0 }
    }

    /// How many tokens of each row were read, padding included.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Reads prompts, [rows, length], and gives the logits of the next token, [rows, vocabulary]. Prompts of several
    /// lengths are padded on the left.
    ///
    /// # Errors
    /// When something was read already, the tokens do not fit the model, or a row ends in padding.
    pub fn prefill(&mut self, prompts: &Tokens, cx: &mut Forward<'_>) -> Result<Tensor> {
        if self.length > 0 {
            let message = format!("prompts come first, but {} tokens were read already", self.length);
            return Err(ModelError::Input(message));
        }
        let (_, length) = prompts.dims()?;
        let mask = prompts.mask_as(DType::F32)?;
        if let Some(mask) = &mask {
            let last = mask.narrow(1, length - 1, 1)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
            if let Some(row) = last.iter().position(|&token| token == 0.0) {
                let message = format!("prompt {} ends in padding, expected it on the left", row + 1);
                return Err(ModelError::Input(message));
            }
        }
        self.mask = mask;
        self.advance(&prompts.numbers()?, cx)
    }

    /// Reads one more token of each row, [rows], and gives the logits of the next, [rows, vocabulary].
    ///
    /// # Errors
    /// When there are more or fewer rows than before, or a token is not in the vocabulary.
    pub fn step(&mut self, tokens: &Tensor, cx: &mut Forward<'_>) -> Result<Tensor> {
        let ids = Tokens::new(tokens.unsqueeze(1)?).numbers()?;
        if let Some(mask) = &self.mask {
            let one = Tensor::ones((mask.dim(0)?, 1), mask.dtype(), mask.device())?;
            self.mask = Some(Tensor::cat(&[mask, &one], 1)?);
        }
        self.advance(&ids, cx)
    }

    fn advance(&mut self, ids: &Tensor, cx: &mut Forward<'_>) -> Result<Tensor> {
        let logits = self.network.advance(ids, self.mask.as_ref(), self.length, &mut self.cache, cx)?;
        self.length += ids.dim(1)?;
        Ok(logits)
    }
}
