//! Blocks of 32 numbers whose integers are chosen one after the other, as error compensation does: first the steps, then
//! the blocks of given integers.

use super::grid::{Form, Grid, WIDTH};
use super::round::cleaned;
use super::{BlockWeight, GgmlType, search};
use crate::error::{ModelError, Result};

/// What the integers of a block stand for: `scale * q + offset`, for q from `lowest` to `highest`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockStep {
    /// Distance of two neighbours; negative where the outermost integer stands for a positive number.
    pub scale: f32,
    /// What the integer 0 stands for.
    pub offset: f32,
    /// The smallest integer.
    pub lowest: i8,
    /// The largest integer.
    pub highest: i8,
}

/// Chooses the steps of blocks.
#[derive(Debug, Clone)]
pub struct BlockSteps {
    form: Form,
    importance: Option<Vec<f32>>,
}

impl BlockSteps {
    /// For blocks of that type; `None` where they are larger than 32 numbers. `importance` says for each input (a number
    /// of a row) how much errors at it matter: steps are then searched for by weighted least squares; otherwise they
    /// are those of llama.cpp's reference. `Q8_0` takes no notice of it.
    ///
    /// # Errors
    /// When importance is negative, not finite, or of another length than a row.
    pub fn new(kind: GgmlType, inputs: usize, importance: Option<&[f32]>) -> Result<Option<Self>> {
        let Some(form) = Form::of(kind) else { return Ok(None) };
        let importance = importance.filter(|_| kind != GgmlType::Q8_0);
        let importance = importance.map(|given| cleaned(given, inputs)).transpose().map_err(ModelError::Unsupported)?;
        Ok(Some(Self { form, importance: importance.flatten() }))
    }

    /// The step of a block whose first number is the input `first`. A block of fewer numbers counts as if zeros
    /// followed.
    pub fn of(&self, block: &[f32], first: usize) -> BlockStep {
        let mut numbers = [0.0; WIDTH];
        numbers.iter_mut().zip(block).for_each(|(number, given)| *number = *given);
        let importance = self.importance.as_deref().and_then(|all| all.get(first..)?.first_chunk::<WIDTH>());
        let grid = match importance {
            Some(importance) => search::search(self.form, &numbers, importance).0,
            None => Grid::reference(self.form, &numbers),
        };
        let zero = i16::from(self.form.zero);
        let lowest = if self.form == Form::Q8_0 { -127 } else { -zero };
        let highest = i16::from(self.form.highest) - zero;
        BlockStep {
            scale: grid.scale.to_f32(),
            offset: grid.minimum.to_f32(),
            lowest: lowest as i8,
            highest: highest as i8,
        }
    }
}

impl BlockWeight {
    /// Blocks of 32 integers that are given, row after row, one step a block.
    ///
    /// # Errors
    /// When the type has larger blocks, rows are no whole blocks, there are too few or too many integers or steps, or
    /// one of them is beyond what a block holds.
    pub fn of_integers(kind: GgmlType, shape: &[usize], integers: &[i8], steps: &[BlockStep]) -> Result<Self> {
        let refuse = |reason: String| ModelError::Unsupported(format!("cannot write the blocks: {reason}"));
        let size = kind.size(shape).map_err(refuse)?;
        let form = Form::of(kind).ok_or_else(|| refuse(format!("those of {kind} have more than {WIDTH} numbers")))?;
        let (blocks, rest) = integers.as_chunks::<WIDTH>();
        if !rest.is_empty() || blocks.len() * kind.block_bytes() != size || blocks.len() != steps.len() {
            let found = format!("{} integers and {} steps", integers.len(), steps.len());
            return Err(refuse(format!("there are {found}, expected {} blocks", size / kind.block_bytes())));
        }
        let mut bytes = vec![0; size];
        for ((out, integers), step) in bytes.chunks_exact_mut(kind.block_bytes()).zip(blocks).zip(steps) {
            let grid = Grid::given(step.scale, step.offset);
            if !(grid.scale.is_finite() && grid.minimum.is_finite()) {
                return Err(refuse(format!("a half-precision float does not hold the step {}", step.scale)));
            }
            let mut codes = [0; WIDTH];
            for (code, &integer) in codes.iter_mut().zip(integers) {
                let shifted = u8::try_from(i16::from(integer) + i16::from(form.zero)).ok();
                let shifted = shifted.filter(|shifted| *shifted <= form.highest);
                *code = shifted.ok_or_else(|| refuse(format!("{kind} does not hold the integer {integer}")))?;
            }
            grid.write(form, &codes, out);
        }
        Ok(Self { shape: shape.to_vec(), kind, bytes: bytes.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::{BlockStep, BlockSteps};
    use crate::ggml::{BlockWeight, GgmlType};

    const KINDS: [GgmlType; 5] = [GgmlType::Q4_0, GgmlType::Q4_1, GgmlType::Q5_0, GgmlType::Q5_1, GgmlType::Q8_0];

    /// Numbers in -1..1 that look random.
    fn numbers(count: u32) -> Vec<f32> {
        let number = |index: u32| (index.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
        (0..count).map(number).collect()
    }

    /// The nearest integers under the steps stand for what plain rounding gives, but for ties and for the bits that a
    /// step loses in half precision.
    #[test]
    fn nearest_integers_are_those_of_plain_rounding() {
        let (weights, importance) = (numbers(4 * 64), vec![1.0; 64]);
        for kind in KINDS {
            for importance in [None, Some(importance.as_slice())] {
                let steps = BlockSteps::new(kind, 64, importance).unwrap().unwrap();
                let blocks = weights.chunks(32).enumerate();
                let steps: Vec<BlockStep> = blocks.map(|(index, block)| steps.of(block, index % 2 * 32)).collect();
                let integers = weights.iter().enumerate().map(|(index, weight)| {
                    let step = steps[index / 32];
                    let integer = ((weight - step.offset) / step.scale).round();
                    integer.clamp(f32::from(step.lowest), f32::from(step.highest)) as i8
                });
                let found = BlockWeight::of_integers(kind, &[4, 64], &integers.collect::<Vec<_>>(), &steps).unwrap();
                let plain = BlockWeight::round(&weights, &[4, 64], kind, importance).unwrap();
                let read = |weight: &BlockWeight| weight.dequantize().unwrap().flatten_all().unwrap();
                let (found, plain) = (read(&found).to_vec1::<f32>().unwrap(), read(&plain).to_vec1::<f32>().unwrap());
                let differ = found.iter().zip(&plain).filter(|(one, other)| one != other).count();
                assert!(differ <= 5, "{kind}: {differ} of 256 differ");
            }
        }
    }

    #[test]
    fn what_blocks_do_not_hold_is_refused() {
        let step = BlockStep { scale: 0.5, offset: 0.0, lowest: -8, highest: 7 };
        let message = |kind, integers: &[i8], step| {
            BlockWeight::of_integers(kind, &[1, 32], integers, &[step]).unwrap_err().to_string()
        };
        let (eight, short) = (message(GgmlType::Q4_0, &[8; 32], step), message(GgmlType::Q4_0, &[0; 31], step));
        assert!(eight.ends_with("Q4_0 does not hold the integer 8"), "{eight}");
        assert!(short.ends_with("there are 31 integers and 1 steps, expected 1 blocks"), "{short}");
        let far = message(GgmlType::Q4_0, &[1; 32], BlockStep { scale: 1e6, ..step });
        assert!(far.ends_with("a half-precision float does not hold the step 1000000"), "{far}");
        assert!(BlockWeight::of_integers(GgmlType::Q4K, &[1, 256], &[0; 256], &[step; 8]).is_err());
        assert!(BlockSteps::new(GgmlType::Q4K, 256, None).unwrap().is_none());
        assert!(BlockSteps::new(GgmlType::Q4_0, 64, Some(&[1.0; 32])).is_err());
    }
}
