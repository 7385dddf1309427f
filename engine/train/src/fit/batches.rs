//! Rows as tensors, and the order in which an epoch sees them.

use candle_core::{Device, Tensor};
use paring_data::{Examples, Targets};
use paring_model::{Input, Rows};
use rand::seq::SliceRandom as _;

use crate::error::{Result, TrainError};
use crate::rng::Stream;

/// All rows of a part.
pub(super) struct Part<'a> {
    /// What the network reads.
    pub(super) inputs: &'a Rows,
    /// [rows]: class numbers (u32) or standardized numbers (f32); or [rows, length - 1]: the tokens that follow (u32).
    /// Rows that are embedded have none.
    pub(super) targets: Option<Tensor>,
    /// A teacher's outputs for every row, [rows, outputs], where the part is judged by them.
    pub(super) answers: Option<Tensor>,
    /// Rows.
    pub(super) count: usize,
}

/// Some rows of a part.
pub(super) struct Batch {
    /// What the network reads.
    pub(super) input: Input,
    /// Their numbers, [rows] (u32).
    pub(super) rows: Tensor,
    /// Their targets.
    pub(super) targets: Option<Tensor>,
}

impl<'a> Part<'a> {
    /// Of examples; their targets become a tensor. Where `continues`, each token but the first is a target.
    pub(super) fn new(examples: &'a Examples, part: &'static str, continues: bool) -> Result<Self> {
        let count = examples.inputs.len();
        if count == 0 {
            return Err(TrainError::NoRows { part });
        }
        let targets = match &examples.targets {
            _ if continues => Some(following(&examples.inputs)?),
            Targets::Classes(classes) => Some(Tensor::new(classes.as_slice(), &Device::Cpu)?),
            Targets::Values(values) => Some(Tensor::new(values.as_slice(), &Device::Cpu)?),
            Targets::Pairs { .. } | Targets::None => None,
        };
        if let Some(found) = targets.as_ref().map(|targets| targets.dims()[0]).filter(|&found| found != count) {
            return Err(TrainError::Mismatch(format!("there are {found} targets for {count} {part} rows")));
        }
        Ok(Self { inputs: &examples.inputs, targets, answers: None, count })
    }

    /// The order of its rows in an epoch (from 1) of batches of these sizes, of rows of about one length where asked.
    pub(super) fn order(&self, epoch: usize, stream: &Stream, (by_length, sizes): (bool, &[usize])) -> Vec<u32> {
        match self.inputs {
            Rows::Tokens(texts) if by_length => {
                let lengths: Vec<usize> = texts.iter().map(|text| text.ids.len()).collect();
                order_by_length(&lengths, sizes, epoch, stream)
            }
            _ => order(self.count, epoch, stream),
        }
    }

    /// The rows of these numbers.
    pub(super) fn batch(&self, rows: &[u32]) -> Result<Batch> {
        let input = self.inputs.batch(&rows.iter().map(|&row| row as usize).collect::<Vec<_>>())?;
        let rows = Tensor::new(rows, &Device::Cpu)?;
        let targets = self.targets.as_ref().map(|targets| targets.index_select(&rows, 0)).transpose()?;
        Ok(Batch { input, rows, targets })
    }
}

/// The tokens of every window but the first.
fn following(rows: &Rows) -> Result<Tensor> {
    let Rows::Tokens(windows) = rows else {
        return Err(TrainError::Mismatch("the rows are no windows of tokens".to_owned()));
    };
    let length = windows.first().map_or(0, |window| window.ids.len());
    if length < 2 || windows.iter().any(|window| window.ids.len() != length) {
        let message = "windows of tokens have different lengths, or one token each".to_owned();
        return Err(TrainError::Mismatch(message));
    }
    let ids: Vec<u32> = windows.iter().flat_map(|window| window.ids.iter().skip(1).copied()).collect();
    Ok(Tensor::from_vec(ids, (windows.len(), length - 1), &Device::Cpu)?)
}

/// Rows without answers.
pub(super) fn nothing_to_learn() -> TrainError {
    TrainError::Mismatch("the rows have no answers to learn from".to_owned())
}

/// Sizes of an epoch's batches: all of `size` but the last. A last batch of one row joins the one before, because the
/// statistics of batch norm need two.
pub(super) fn sizes(rows: usize, size: usize) -> Vec<usize> {
    let size = size.max(1);
    let mut sizes = vec![size; rows / size];
    match (rows % size, sizes.last_mut()) {
        (0, _) => {}
        (1, Some(last)) => *last += 1,
        (rest, _) => sizes.push(rest),
    }
    sizes
}

/// Batches whose rows are sorted by length together, where batches are of rows of about one length.
const SORTED_TOGETHER: usize = 50;

/// As [`order`], with rows of about one length in each batch: the shuffled rows are sorted by length in stretches of
/// [`SORTED_TOGETHER`] batches, and then the batches are shuffled, but for the last, which has another size.
pub(super) fn order_by_length(lengths: &[usize], sizes: &[usize], epoch: usize, stream: &Stream) -> Vec<u32> {
    let mut order = order(lengths.len(), epoch, stream);
    let stretch = sizes.first().copied().unwrap_or(1) * SORTED_TOGETHER;
    for rows in order.chunks_mut(stretch.max(1)) {
        rows.sort_by_key(|&row| lengths.get(row as usize));
    }
    let mut rest = order.as_slice();
    let mut cut = |size: usize| rest.split_off(..size.min(rest.len())).unwrap_or_default();
    let mut batches: Vec<&[u32]> = sizes.iter().map(|&size| cut(size)).collect();
    if let Some((_, all_but_last)) = batches.split_last_mut() {
        all_but_last.shuffle(&mut stream.split("batches").split(&epoch.to_string()).rng());
    }
    batches.concat()
}

/// The order of rows in an epoch (from 1).
pub(super) fn order(rows: usize, epoch: usize, stream: &Stream) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows as u32).collect();
    order.shuffle(&mut stream.split("shuffle").split(&epoch.to_string()).rng());
    order
}

#[cfg(test)]
mod tests {
    use super::{order, order_by_length, sizes};
    use crate::rng::Stream;

    #[test]
    fn a_last_batch_of_one_joins_the_one_before() {
        assert_eq!(sizes(10, 4), [4, 4, 2]);
        assert_eq!(sizes(8, 4), [4, 4]);
        assert_eq!(sizes(9, 4), [4, 5]);
        assert_eq!(sizes(1, 4), [1]);
        assert_eq!(sizes(2, 1), [1, 1]);
    }

    #[test]
    fn every_epoch_has_its_own_order_of_all_rows() {
        let stream = Stream::new(7);
        let (first, second) = (order(50, 1, &stream), order(50, 2, &stream));
        assert_ne!(first, second);
        assert_eq!(first, order(50, 1, &stream));
        let mut sorted = second;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<u32>>());
    }
    #[test]
    fn batches_of_one_length_have_all_rows_and_little_padding() {
        let stream = Stream::new(7);
        let lengths: Vec<usize> = (0..205).map(|row| row * 37 % 60).collect();
        let sizes = sizes(lengths.len(), 10);
        let found = order_by_length(&lengths, &sizes, 1, &stream);
        let mut sorted = found.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..205).collect::<Vec<u32>>());
        let padded = |order: &[u32]| -> usize {
            let longest = |batch: &[u32]| batch.iter().map(|&row| lengths[row as usize]).max().unwrap() * batch.len();
            order.chunks(10).map(longest).sum()
        };
        let (all, shuffled) = (lengths.iter().sum::<usize>(), padded(&order(205, 1, &stream)));
        assert!(padded(&found) < all + all / 10 && shuffled > all + all / 2, "{} {shuffled} {all}", padded(&found));
        let firsts: Vec<usize> = found.chunks(10).map(|batch| lengths[batch[0] as usize]).collect();
        assert!(!firsts.is_sorted(), "{firsts:?}");
        assert_ne!(found, order_by_length(&lengths, &sizes, 2, &stream));
    }
}
