//! How many rows of each group go to each part: the largest remainder method (Hamilton's), group by group, with what
//! rounding took or gave carried on to the next group.

/// Rows for each group (outer) and part (inner). A group of `n` rows gives a part of fraction `f` either the whole number
/// below `n f` or the one above, and a part's total over all groups stays close to its fraction too. Fractions that add
/// up to less than 1 leave rows over.
pub(super) fn allocate(sizes: &[usize], fractions: &[f64]) -> Vec<Vec<usize>> {
    // What is not in any part is one more, so that every row is accounted for.
    let unused = (1.0 - fractions.iter().sum::<f64>()).max(0.0);
    let fractions: Vec<f64> = fractions.iter().copied().chain([unused]).collect();
    let mut owed = vec![0.0; fractions.len()];
    sizes
        .iter()
        .map(|&size| {
            let mut counts = group(size, &fractions, &mut owed);
            counts.pop();
            counts
        })
        .collect()
}

/// One group's counts. `owed` holds how many rows each part should have had more so far.
fn group(size: usize, fractions: &[f64], owed: &mut [f64]) -> Vec<usize> {
    let quotas: Vec<f64> = fractions.iter().map(|fraction| tidy(size as f64 * fraction)).collect();
    let mut counts: Vec<usize> = quotas.iter().map(|quota| quota.floor() as usize).collect();
    for ((owed, quota), &count) in owed.iter_mut().zip(&quotas).zip(&counts) {
        *owed += quota - count as f64;
    }
    let left = size.saturating_sub(counts.iter().sum());
    let mut open: Vec<usize> = (0..quotas.len()).filter(|&part| quotas[part] > counts[part] as f64).collect();
    // The sort is stable, so that of equals the first part wins.
    open.sort_by(|&one, &two| owed[two].total_cmp(&owed[one]));
    for part in open.into_iter().take(left) {
        counts[part] += 1;
        owed[part] -= 1.0;
    }
    counts
}

/// A quota that is a whole number but for rounding errors, as that number.
fn tidy(quota: f64) -> f64 {
    let whole = quota.round();
    if (quota - whole).abs() < 1e-6 { whole } else { quota }
}

#[cfg(test)]
mod tests {
    use super::allocate;

    #[test]
    fn one_group_by_largest_remainder() {
        // Quotas 5.5, 3.3, 2.2: whole parts 5, 3, 2, and the one left goes to the largest remainder.
        assert_eq!(allocate(&[11], &[0.5, 0.3, 0.2]), [[6, 3, 2]]);
    }

    #[test]
    fn what_one_group_took_the_next_gives_back() {
        // Each group has quota 1.5 and 1.5; in the end both parts have 3.
        assert_eq!(allocate(&[3, 3], &[0.5, 0.5]), [[2, 1], [1, 2]]);
    }

    #[test]
    fn fractions_below_one_leave_rows_over() {
        assert_eq!(allocate(&[10], &[0.2, 0.2]), [[2, 2]]);
    }

    #[test]
    fn rounding_errors_do_not_move_a_row() {
        // 0.7 + 0.1 + 0.2 is 0.9999999999999999 in binary.
        assert_eq!(allocate(&[10, 1797], &[0.7, 0.0, 0.1, 0.2]), [[7, 0, 1, 2], [1258, 0, 180, 359]]);
    }
}
