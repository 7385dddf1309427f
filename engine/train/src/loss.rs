//! Losses, each a mean over the rows of a batch. Every op has a gradient.

pub mod attention;

use candle_core::Tensor;

use crate::error::{Result, TrainError};

/// Cross-entropy of logits [rows, classes] against class numbers [rows] (u32), with optional class weights [classes]
/// and label smoothing in [0, 1) (Szegedy et al. 2016, section 7). With weights the mean is the weighted one: divided
/// by the sum of the rows' weights, as PyTorch does.
///
/// # Errors
/// When shapes do not fit.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, weights: Option<&Tensor>, smoothing: f64) -> Result<Tensor> {
    let (rows, classes) = logits.dims2()?;
    same_rows(rows, targets)?;
    let (shifted, log_sum) = log_softmax_parts(logits)?;
    let chosen = (&log_sum - shifted.gather(&targets.unsqueeze(1)?, 1)?)?.squeeze(1)?;
    let Some(weights) = weights else {
        let hard = chosen.mean_all()?;
        if smoothing == 0.0 {
            return Ok(hard);
        }
        let soft = (log_sum.squeeze(1)? - shifted.mean(1)?)?.mean_all()?;
        return mixed(&hard, &soft, smoothing);
    };
    if weights.dims() != [classes] {
        return Err(mismatch(format!("class weights have shape {:?}, expected [{classes}]", weights.dims())));
    }
    let row_weights = weights.index_select(targets, 0)?;
    let total = row_weights.sum_all()?;
    let hard = (chosen * row_weights)?.sum_all()?.div(&total)?;
    if smoothing == 0.0 {
        return Ok(hard);
    }
    let negative = log_sum.broadcast_sub(&shifted)?;
    let soft = (negative.broadcast_mul(weights)?.sum_all()?.div(&total)? / classes as f64)?;
    mixed(&hard, &soft, smoothing)
}

/// Mean squared error of outputs [rows, 1] against targets [rows].
///
/// # Errors
/// When shapes do not fit.
pub fn mean_squared_error(outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let (rows, width) = outputs.dims2()?;
    if width != 1 {
        return Err(mismatch(format!("the model gives {width} numbers a row, expected 1 for a regression")));
    }
    same_rows(rows, targets)?;
    Ok((outputs.squeeze(1)? - targets)?.sqr()?.mean_all()?)
}

/// Distillation: T^2 * KL(softmax(teacher / T) || softmax(student / T)), mean over rows (Hinton et al. 2015, section
/// 2).
///
/// # Errors
/// When shapes do not fit.
pub fn soft_cross_entropy(student: &Tensor, teacher: &Tensor, temperature: f64) -> Result<Tensor> {
    let (rows, _) = student.dims2()?;
    same_shape(student, teacher)?;
    let (student, student_sum) = log_softmax_parts(&(student / temperature)?)?;
    let (teacher, teacher_sum) = log_softmax_parts(&(teacher / temperature)?)?;
    let teacher = teacher.broadcast_sub(&teacher_sum)?.detach();
    let student = student.broadcast_sub(&student_sum)?;
    let divergence = ((&teacher - student)? * teacher.exp()?)?.sum_all()?;
    Ok((divergence * (temperature * temperature / rows as f64))?)
}

/// Logits whose softmax at the temperature is the mean of what these are at it, all [..., classes] of one shape.
///
/// # Errors
/// When shapes do not fit.
pub fn mean_of_distributions(logits: &[Tensor], temperature: f64) -> Result<Tensor> {
    let logarithms = |logits: &Tensor| -> Result<Tensor> {
        let classes = logits.dim(logits.rank().saturating_sub(1))?;
        let (shifted, sum) = log_softmax_parts(&(logits.reshape(((), classes))? / temperature)?)?;
        Ok(shifted.broadcast_sub(&sum)?.reshape(logits.shape())?)
    };
    let all = Tensor::stack(&logits.iter().map(logarithms).collect::<Result<Vec<_>>>()?, 0)?;
    let largest = all.max(0)?;
    let sum = all.broadcast_sub(&largest)?.exp()?.mean(0)?;
    Ok(((largest + sum.log()?)? * temperature)?)
}

/// The mean of the directions of embeddings, all [rows, width].
///
/// # Errors
/// When shapes do not fit.
pub fn mean_of_directions(embeddings: &[Tensor]) -> Result<Tensor> {
    let direction = |rows: &Tensor| Ok(rows.broadcast_div(&length(rows)?.unsqueeze(1)?)?);
    Ok(Tensor::stack(&embeddings.iter().map(direction).collect::<Result<Vec<_>>>()?, 0)?.mean(0)?)
}

/// One minus the cosine between each row of `student` and that of `teacher`, both [rows, width].
///
/// # Errors
/// When shapes do not fit.
pub fn cosine_distance(student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
    same_shape(student, teacher)?;
    let teacher = teacher.detach();
    let cosines = (student * &teacher)?.sum(1)?.div(&(length(student)? * length(&teacher)?)?)?;
    Ok((1.0 - cosines.mean_all()?)?)
}

/// Mean squared difference of two tensors of one shape, over all numbers or, with a mask [rows, length] of ones and
/// zeros, over those of the tokens [rows, length, width] that it names.
///
/// # Errors
/// When shapes do not fit.
pub fn squared_difference(student: &Tensor, teacher: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    same_shape(student, teacher)?;
    let squares = (student - teacher.detach())?.sqr()?;
    let Some(mask) = mask.filter(|_| squares.rank() == 3) else { return Ok(squares.mean_all()?) };
    let mask = mask.to_dtype(squares.dtype())?;
    let of_tokens = (squares.mean(2)? * &mask)?.sum_all()?;
    Ok(of_tokens.div(&mask.sum_all()?)?)
}

/// The length of each row, [rows]; never zero.
fn length(rows: &Tensor) -> Result<Tensor> {
    Ok((rows.sqr()?.sum(1)? + f64::from(f32::MIN_POSITIVE))?.sqrt()?)
}

fn same_shape(student: &Tensor, teacher: &Tensor) -> Result<()> {
    if student.dims() == teacher.dims() {
        return Ok(());
    }
    let (found, expected) = (teacher.dims(), student.dims());
    Err(mismatch(format!("the teacher's outputs have shape {found:?}, expected {expected:?}")))
}

/// Logits minus their row's maximum, and the logarithm of the sum of their exponentials [rows, 1]. The difference of
/// the two is log softmax. The maximum is a constant: it cancels, so it needs no gradient.
pub(crate) fn log_softmax_parts(logits: &Tensor) -> Result<(Tensor, Tensor)> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?.detach())?;
    let log_sum = shifted.exp()?.sum_keepdim(1)?.log()?;
    Ok((shifted, log_sum))
}

fn mixed(hard: &Tensor, soft: &Tensor, smoothing: f64) -> Result<Tensor> {
    Ok(((hard * (1.0 - smoothing))? + (soft * smoothing)?)?)
}

fn same_rows(rows: usize, targets: &Tensor) -> Result<()> {
    if targets.dims() == [rows] {
        return Ok(());
    }
    Err(mismatch(format!("targets have shape {:?}, expected [{rows}]", targets.dims())))
}

fn mismatch(message: String) -> TrainError {
    TrainError::Mismatch(message)
}

#[cfg(test)]
mod tests;
