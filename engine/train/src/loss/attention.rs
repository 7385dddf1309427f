//! How far what attention reads in a student is from what it reads in its teacher: relations between tokens, and
//! attention scores.

use candle_core::Tensor;

use super::{log_softmax_parts, mismatch};
use crate::error::Result;

/// Added to the relation with a token that is not seen. Finite, so that a token that sees nothing gives numbers.
const UNSEEN: f64 = 1e9;

/// Which tokens of a batch see which.
pub struct Seen {
    /// 1 where a query sees a key, [1 or rows, 1, length, length].
    pairs: Tensor,
    /// 1 for a token and 0 for padding, [1 or rows, length].
    tokens: Tensor,
}

impl Seen {
    /// Of `length` tokens a row, in numbers of this type: no token sees padding, which a `mask` [rows, length] of ones
    /// and zeros names; where `causal`, a token sees itself and those before it.
    ///
    /// # Errors
    /// When candle refuses.
    pub fn new(length: usize, mask: Option<&Tensor>, causal: bool, like: &Tensor) -> Result<Self> {
        let (dtype, device) = (like.dtype(), like.device());
        let tokens = match mask {
            Some(mask) => mask.to_device(device)?.to_dtype(dtype)?,
            None => Tensor::ones((1, length), dtype, device)?,
        };
        let pairs = tokens.unsqueeze(2)?.broadcast_mul(&tokens.unsqueeze(1)?)?;
        let pairs = if causal { pairs.broadcast_mul(&Tensor::tril2(length, dtype, device)?)? } else { pairs };
        Ok(Self { pairs: pairs.unsqueeze(1)?, tokens })
    }

    /// The mean of numbers of tokens, [rows, length], over those that are no padding.
    fn mean_of_tokens(&self, numbers: &Tensor) -> Result<Tensor> {
        let tokens = self.tokens.broadcast_as(numbers.shape())?;
        Ok((numbers * &tokens)?.sum_all()?.div(&tokens.sum_all()?)?)
    }
}

/// The divergence of the student's relations from the teacher's. Relations of vectors [rows, length, width] are, in
/// each of `heads` equal parts of the width, softmax(x x^T / sqrt(width / heads)) over the tokens that are seen; widths
/// may differ. The mean over heads and over tokens that are no padding (Wang et al. 2021, "MiniLMv2", section 3.1).
///
/// # Errors
/// When shapes do not fit, or the heads do not divide a width.
pub fn relation_divergence(student: &Tensor, teacher: &Tensor, heads: usize, seen: &Seen) -> Result<Tensor> {
    let student = relations(student, heads, seen)?;
    let teacher = relations(&teacher.detach(), heads, seen)?;
    same_tokens(&student, &teacher)?;
    let (rows, heads, length, _) = student.dims4()?;
    let logarithms = |relations: &Tensor| -> Result<Tensor> {
        let (shifted, sum) = log_softmax_parts(&relations.flatten_to(2)?)?;
        Ok(shifted.broadcast_sub(&sum)?)
    };
    let (student, teacher) = (logarithms(&student)?, logarithms(&teacher)?);
    let of_queries = ((&teacher - student)? * teacher.exp()?)?.sum(1)?.reshape((rows, heads, length))?;
    seen.mean_of_tokens(&of_queries.mean(1)?)
}

/// The mean squared difference of attention scores q k^T / sqrt(head width), over heads and pairs of which the one sees
/// the other (Jiao et al. 2020, "TinyBERT", equation 7). Each of both is its queries and keys [rows, length, width] and
/// the width of its heads, of which both have as many.
///
/// # Errors
/// When shapes do not fit.
pub fn score_difference(
    student: [&Tensor; 2],
    teacher: [&Tensor; 2],
    widths: [usize; 2],
    seen: &Seen,
) -> Result<Tensor> {
    let [own, wanted] = widths;
    let teacher = teacher.map(Tensor::detach);
    let student = scores(student, own)?;
    let teacher = scores([&teacher[0], &teacher[1]], wanted)?;
    same_tokens(&student, &teacher)?;
    let squares = (student - teacher)?.sqr()?.mean_keepdim(1)?;
    let pairs = seen.pairs.broadcast_as(squares.shape())?;
    Ok((squares * &pairs)?.sum_all()?.div(&pairs.sum_all()?)?)
}

/// Before softmax, [rows, heads, length, length].
fn relations(x: &Tensor, heads: usize, seen: &Seen) -> Result<Tensor> {
    let width = x.dim(2)?;
    if heads == 0 || !width.is_multiple_of(heads) {
        return Err(mismatch(format!("relations have {heads} heads, expected a divisor of the width {width}")));
    }
    let unseen = ((&seen.pairs - 1.0)? * UNSEEN)?;
    Ok(scores([x, x], width / heads)?.broadcast_add(&unseen)?)
}

fn scores([queries, keys]: [&Tensor; 2], width: usize) -> Result<Tensor> {
    let heads = |x: &Tensor| -> Result<Tensor> {
        let (rows, length, all) = x.dims3()?;
        Ok(x.reshape((rows, length, all / width.max(1), width))?.transpose(1, 2)?.contiguous()?)
    };
    let queries = (heads(queries)? * (width as f64).sqrt().recip())?;
    Ok(queries.matmul(&heads(keys)?.transpose(2, 3)?)?)
}

fn same_tokens(student: &Tensor, teacher: &Tensor) -> Result<()> {
    if student.dims() == teacher.dims() {
        return Ok(());
    }
    let (found, expected) = (teacher.dims(), student.dims());
    Err(mismatch(format!("the teacher's tokens are related in shape {found:?}, expected {expected:?}")))
}
