//! The engine's own receipt: what differs between the model before a stage and the one after.

use paring_model::{Checkpoint, ModelError, WeightOutline};

use crate::report::{EngineReceipt, TensorReport};

/// Numbers that are looked at side by side.
const LANES: usize = 16;

/// Numbers that are counted together.
const PART: usize = 1 << 16;

/// Compares the model before with the model after, whose tensors were looked at.
pub(super) fn compare(
    before: &Checkpoint,
    after: &Checkpoint,
    tensors: Vec<TensorReport>,
) -> Result<EngineReceipt, ModelError> {
    let names = after.names();
    let size = |model: &Checkpoint| if model.is_built() { model.outline().file_size() } else { 0 };
    let gone = |name: &String| names.binary_search(name).is_err();
    Ok(EngineReceipt {
        changed: changed(before, after)?,
        removed: before.names().into_iter().filter(gone).collect(),
        inputs_changed: before.inputs() != after.inputs(),
        size_before: size(before),
        size_after: size(after),
        degenerate: None,
        tensors,
    })
}

fn changed(before: &Checkpoint, after: &Checkpoint) -> Result<Vec<String>, ModelError> {
    let mut found = before.changed_tensors(after)?;
    found.retain(|name| after.names().binary_search(name).is_ok());
    Ok(found)
}

/// Looks at every tensor of a model, once: what the report says of each, and the names of those that hold NaN or
/// infinity.
pub(super) fn look(model: &Checkpoint) -> Result<(Vec<TensorReport>, Vec<String>), ModelError> {
    let (mut reports, mut not_finite) = (Vec::new(), Vec::new());
    for name in model.names() {
        let outline = model.weight_outline(&name).ok_or_else(|| ModelError::MissingTensor { name: name.clone() })?;
        let mut seen = Seen::default();
        model.in_parts(&name, &mut |numbers| seen.add(numbers))?;
        if !seen.finite {
            not_finite.push(name.clone());
        }
        let (min, max) = seen.extent();
        let (shape, storage) = (outline.shape().to_vec(), storage(&outline));
        reports.push(TensorReport { name, shape, storage, zeros: seen.zeros, min, max });
    }
    Ok((reports, not_finite))
}

/// What was seen of a tensor's numbers.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    zeros: u64,
    least: [f32; LANES],
    most: [f32; LANES],
    finite: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self { zeros: 0, least: [f32::INFINITY; LANES], most: [f32::NEG_INFINITY; LANES], finite: true }
    }
}

impl Seen {
    fn add(&mut self, numbers: &[f32]) {
        for part in numbers.chunks(PART) {
            let (chunks, rest) = part.as_chunks();
            self.add_chunks(chunks);
            if let Some(&first) = rest.first() {
                // What is there already changes nothing but the count of zeros.
                let mut chunk = [first; LANES];
                chunk.iter_mut().zip(rest).for_each(|(number, given)| *number = *given);
                self.add_chunks(&[chunk]);
                self.zeros -= if first == 0.0 { (LANES - rest.len()) as u64 } else { 0 };
            }
        }
    }

    fn add_chunks(&mut self, chunks: &[[f32; LANES]]) {
        // Zero times a number is zero unless the number is not finite.
        let (mut zeros, mut products) = ([0_u32; LANES], [0.0_f32; LANES]);
        for chunk in chunks {
            let extent = self.least.iter_mut().zip(&mut self.most);
            let sums = zeros.iter_mut().zip(&mut products);
            for (((least, most), (zeros, product)), &number) in extent.zip(sums).zip(chunk) {
                *least = if number < *least { number } else { *least };
                *most = if number > *most { number } else { *most };
                *zeros += u32::from(number == 0.0);
                *product += number * 0.0;
            }
        }
        self.zeros += zeros.iter().map(|&zeros| u64::from(zeros)).sum::<u64>();
        self.finite &= products.iter().all(|product| *product == 0.0);
    }

    /// The least and the largest number. An empty tensor has neither; infinity is no number that a report can hold.
    fn extent(&self) -> (f32, f32) {
        let least = self.least.iter().copied().fold(f32::INFINITY, f32::min);
        let most = self.most.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if least <= most { (least, most) } else { (0.0, 0.0) }
    }
}

fn storage(weight: &WeightOutline) -> String {
    match weight {
        WeightOutline::Quantized { scheme, .. } => format!("int{}", scheme.bits),
        WeightOutline::Blocks { kind, .. } => kind.name().to_owned(),
        WeightOutline::Dense { dtype, masked: true, .. } => format!("{dtype} masked"),
        WeightOutline::Dense { dtype, .. } => dtype.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::{LANES, Seen};

    fn seen(numbers: &[f32]) -> Seen {
        let mut seen = Seen::default();
        numbers.chunks(2 * LANES + 3).for_each(|part| seen.add(part));
        seen
    }

    #[test]
    fn every_place_counts() {
        let count = 5 * LANES + 7;
        for place in 0..count {
            let numbers = |odd: f32| (0..count).map(|at| if at == place { odd } else { 1.0 }).collect::<Vec<f32>>();
            assert_eq!(seen(&numbers(-2.0)).extent(), (-2.0, 1.0));
            assert_eq!(seen(&numbers(3.0)).extent(), (1.0, 3.0));
            assert_eq!((seen(&numbers(0.0)).zeros, seen(&numbers(-0.0)).zeros, seen(&numbers(1.0)).zeros), (1, 1, 0));
            for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                assert!(!seen(&numbers(odd)).finite, "{odd} at place {place}");
            }
            assert!(seen(&numbers(f32::MAX)).finite && seen(&numbers(-f32::MIN_POSITIVE)).finite);
        }
    }

    #[test]
    fn an_empty_tensor_has_no_extent() {
        assert_eq!(seen(&[]).extent(), (0.0, 0.0));
        assert_eq!((seen(&[]).zeros, seen(&[]).finite), (0, true));
    }
}
