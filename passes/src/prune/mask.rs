//! Which weights magnitude pruning sets to zero: exact counts, ties broken by place.

use paring_train::ranking::lowest;

/// Sets the `zeros` weights of least magnitude to zero, over all slices together (ties: the earlier weight goes first).
/// Weights that are zero already are the smallest and count.
pub(crate) fn zero_smallest(slices: &mut [Vec<f32>], zeros: usize) {
    let magnitudes: Vec<Vec<f32>> =
        slices.iter().map(|slice| slice.iter().map(|weight| weight.abs()).collect()).collect();
    zero_lowest(slices, &magnitudes, zeros);
}

/// Sets the `zeros` weights of least score to zero, over all slices together (ties: the earlier weight goes first).
pub(crate) fn zero_lowest(slices: &mut [Vec<f32>], scores: &[Vec<f32>], zeros: usize) {
    if zeros > scores.iter().map(Vec::len).sum() {
        return;
    }
    for (weight, goes) in slices.iter_mut().flatten().zip(lowest(scores, zeros).into_iter().flatten()) {
        if goes {
            *weight = 0.0;
        }
    }
}

/// Sets all but the `keep` largest of each `of` consecutive weights to zero (ties: the earlier weight goes first).
pub(crate) fn zero_pattern(weights: &mut [f32], keep: usize, of: usize) {
    for group in weights.chunks_mut(of.max(1)) {
        let magnitudes: Vec<f32> = group.iter().map(|weight| weight.abs()).collect();
        zero_least(group, &magnitudes, group.len().saturating_sub(keep));
    }
}

/// Sets the `zeros` weights of least score to zero (ties: the earlier weight goes first).
pub(crate) fn zero_least(weights: &mut [f32], scores: &[f32], zeros: usize) {
    for place in least(scores, zeros) {
        if let Some(weight) = weights.get_mut(place) {
            *weight = 0.0;
        }
    }
}

/// The places of the `count` least scores, in no order (ties: the earlier place).
pub(crate) fn least(scores: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<(f32, usize)> = scores.iter().copied().zip(0..).collect();
    if let Some(last) = count.checked_sub(1).filter(|last| *last < order.len()) {
        order.select_nth_unstable_by(last, |(one, place), (other, other_place)| {
            one.total_cmp(other).then(place.cmp(other_place))
        });
    }
    order.into_iter().take(count).map(|(_, place)| place).collect()
}

/// How many of `weights` weights a sparsity stands for: the nearest whole number, halves up.
pub(crate) fn zeros_of(weights: usize, sparsity: f64) -> usize {
    (weights as f64 * sparsity).round() as usize
}

/// Weights that are zero.
pub(crate) fn count_zeros(weights: &[f32]) -> usize {
    weights.iter().filter(|weight| **weight == 0.0).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};
    use rstest::rstest;

    use super::{count_zeros, zero_pattern, zero_smallest, zeros_of};

    #[test]
    fn the_smallest_of_all_slices_go() {
        let mut slices = vec![vec![3.0, -1.0, 2.0, 0.5], vec![-0.25, 4.0, 1.5, -6.0]];
        zero_smallest(&mut slices, 4);
        assert_eq!(slices, [[3.0, 0.0, 2.0, 0.0], [0.0, 4.0, 0.0, -6.0]]);
    }

    #[test]
    fn of_equals_the_earlier_go() {
        let mut slices = vec![vec![1.0, -1.0, 1.0, -1.0]];
        zero_smallest(&mut slices, 3);
        assert_eq!(slices, [[0.0, 0.0, 0.0, -1.0]]);
    }

    #[test]
    fn zeros_that_are_there_count() {
        let mut slices = vec![vec![0.0, -0.0, 5.0, 1.0]];
        zero_smallest(&mut slices, 2);
        assert_eq!(slices, [[0.0, 0.0, 5.0, 1.0]]);
    }

    #[test]
    fn two_of_four_stay() {
        let mut weights = [0.1, -0.4, 0.3, 0.2, 1.0, 1.0, 1.0, 0.0];
        zero_pattern(&mut weights, 2, 4);
        assert_eq!(weights, [0.0, -0.4, 0.3, 0.0, 0.0, 1.0, 1.0, 0.0]);
    }

    #[rstest]
    #[case(10, 0.25, 3)]
    #[case(10, 0.24, 2)]
    #[case(1000, 0.9, 900)]
    #[case(3, 0.1, 0)]
    fn a_sparsity_is_a_whole_number_of_weights(#[case] weights: usize, #[case] sparsity: f64, #[case] zeros: usize) {
        assert_eq!(zeros_of(weights, sparsity), zeros);
    }

    proptest! {
        #[test]
        fn zero_counts_are_exact(
            slices in prop::collection::vec(prop::collection::vec(-3_i8..=3, 1..30), 1..4),
            share in 0.0_f64..1.0,
        ) {
            let before: Vec<Vec<f32>> =
                slices.iter().map(|slice| slice.iter().map(|&weight| f32::from(weight)).collect()).collect();
            let had: usize = before.iter().map(|slice| count_zeros(slice)).sum();
            let zeros = zeros_of(before.iter().map(Vec::len).sum(), share);
            let mut after = before.clone();
            zero_smallest(&mut after, zeros);
            prop_assert_eq!(after.iter().map(|slice| count_zeros(slice)).sum::<usize>(), zeros.max(had));
            let all = || before.iter().flatten().zip(after.iter().flatten());
            let gone = all().filter(|(was, is)| was != is).map(|(was, _)| was.abs()).fold(0.0, f32::max);
            let smallest = all().filter(|(_, is)| **is != 0.0).map(|(_, is)| is.abs()).fold(f32::MAX, f32::min);
            prop_assert!(gone <= smallest);
        }

        #[test]
        fn the_pattern_holds_in_every_group(
            groups in prop::collection::vec(prop::collection::vec(-3_i8..=3, 8), 1..6),
            keep in 1_usize..8,
        ) {
            let mut weights: Vec<f32> = groups.iter().flatten().map(|&weight| f32::from(weight)).collect();
            let before = weights.clone();
            zero_pattern(&mut weights, keep, 8);
            for (group, was) in weights.chunks(8).zip(before.chunks(8)) {
                prop_assert_eq!(count_zeros(group), count_zeros(was).max(8 - keep));
            }
        }
    }
}
