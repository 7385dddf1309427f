//! Rows in folds for cross-validation: each fold is held out once.

use crate::Answers;
use crate::error::{Result, mismatch};

/// Rows to learn from and rows to judge by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// The other folds' rows, ascending.
    pub train: Vec<usize>,
    /// The fold's rows, ascending.
    pub test: Vec<usize>,
}

/// `count` folds of rows in the order they have: of each class as many as can be, or runs of rows where answers are
/// numbers. The same folds as scikit-learn's `StratifiedKFold` and `KFold` without shuffling (Kohavi 1995, "A Study of
/// Cross-Validation and Bootstrap for Accuracy Estimation and Model Selection").
///
/// # Errors
/// When there are fewer than two folds, fewer rows than folds, or a class with one row only.
pub fn folds(answers: &Answers, count: usize) -> Result<Vec<Fold>> {
    let rows = answers.len();
    if count < 2 || rows < count {
        return Err(mismatch(format!("{rows} rows cannot be parted into {count} folds")));
    }
    let number = match answers {
        Answers::Classes { numbers, .. } => stratified(numbers, count)?,
        Answers::Numbers(_) => runs(rows, count),
    };
    let part = |fold: usize, inside: bool| {
        let rows = number.iter().enumerate().filter(|(_, number)| (**number == fold) == inside);
        rows.map(|(row, _)| row).collect()
    };
    Ok((0..count).map(|fold| Fold { train: part(fold, false), test: part(fold, true) }).collect())
}

/// The fold of each row: the first folds have one row more.
fn runs(rows: usize, count: usize) -> Vec<usize> {
    (0..count).flat_map(|fold| std::iter::repeat_n(fold, rows / count + usize::from(fold < rows % count))).collect()
}

/// The fold of each row. Were the rows sorted by class (classes as they first occur), every `count`-th row from the
/// i-th on would say how many of each class fold i gets; each class then fills the folds one after the other.
fn stratified(numbers: &[u32], count: usize) -> Result<Vec<usize>> {
    let mut classes: Vec<u32> = Vec::new();
    for number in numbers {
        if !classes.contains(number) {
            classes.push(*number);
        }
    }
    let mut result = vec![0; numbers.len()];
    let mut start = 0;
    for class in classes {
        let rows: Vec<usize> = (0..numbers.len()).filter(|&row| numbers.get(row) == Some(&class)).collect();
        if rows.len() < 2 {
            return Err(mismatch(format!("class {class} has one row only, too few for {count} folds")));
        }
        let end = start + rows.len();
        let shares = (0..count).flat_map(|fold| {
            let share = (start..end).filter(|place| place % count == fold).count();
            std::iter::repeat_n(fold, share)
        });
        for (row, fold) in rows.iter().zip(shares) {
            if let Some(place) = result.get_mut(*row) {
                *place = fold;
            }
        }
        start = end;
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::folds;
    use crate::Answers;

    fn held_out(answers: &Answers, count: usize) -> Vec<Vec<usize>> {
        folds(answers, count).unwrap().into_iter().map(|fold| fold.test).collect()
    }

    /// `StratifiedKFold(3)` of scikit-learn 1.9.1.
    #[test]
    fn classes_are_spread_as_in_the_reference() {
        let answers = Answers::Classes { numbers: vec![1, 0, 1, 1, 0, 2, 2, 1, 0, 2, 1], count: 3 };
        assert_eq!(held_out(&answers, 3), REFERENCE);
    }

    const REFERENCE: [&[usize]; 3] = [&[0, 1, 2, 5], &[3, 4, 6, 7], &[8, 9, 10]];

    #[test]
    fn numbers_are_cut_into_runs() {
        let answers = Answers::Numbers(vec![0.0; 7]);
        assert_eq!(held_out(&answers, 3), [vec![0, 1, 2], vec![3, 4], vec![5, 6]]);
        assert_eq!(folds(&answers, 3).unwrap()[1].train, [0, 1, 2, 5, 6]);
    }

    #[test]
    fn too_few_rows_are_refused() {
        let error = folds(&Answers::Numbers(vec![0.0; 2]), 3).unwrap_err().to_string();
        assert_eq!(error, "2 rows cannot be parted into 3 folds");
    }
}
