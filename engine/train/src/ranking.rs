//! Which of many numbers are the least: exact counts, ties broken by place.

use std::cmp::Ordering;

/// Marks the `count` least scores of all slices together (ties: the earlier place first). All of them, where there are
/// no more.
pub fn lowest(scores: &[Vec<f32>], count: usize) -> Vec<Vec<bool>> {
    let mut all: Vec<f32> = scores.iter().flatten().copied().collect();
    let Some(last) = count.checked_sub(1) else {
        return scores.iter().map(|slice| vec![false; slice.len()]).collect();
    };
    if last >= all.len() {
        return scores.iter().map(|slice| vec![true; slice.len()]).collect();
    }
    let (_, &mut threshold, _) = all.select_nth_unstable_by(last, f32::total_cmp);
    let below = all.iter().filter(|score| score.total_cmp(&threshold) == Ordering::Less).count();
    let mut ties = count - below;
    let mut is_low = |score: &f32| match score.total_cmp(&threshold) {
        Ordering::Less => true,
        Ordering::Equal if ties > 0 => {
            ties -= 1;
            true
        }
        _ => false,
    };
    scores.iter().map(|slice| slice.iter().map(&mut is_low).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::lowest;

    #[test]
    fn the_least_of_all_slices_are_marked_and_of_equals_the_earlier() {
        let scores = [vec![3.0, -1.0, 2.0], vec![2.0, 4.0]];
        assert_eq!(lowest(&scores, 0), [vec![false; 3], vec![false; 2]]);
        assert_eq!(lowest(&scores, 2), [vec![false, true, true], vec![false, false]]);
        assert_eq!(lowest(&scores, 3), [vec![false, true, true], vec![true, false]]);
        assert_eq!(lowest(&scores, 9), [vec![true; 3], vec![true; 2]]);
    }
}
