//! Products of columns: after the columns themselves come all products of two, then of three and so on, each in the
//! order of its factors' numbers.

use super::Matrix;
use crate::error::{ModelError, Result};

/// Columns that come out; the largest number where it does not fit one.
pub(super) fn width(from: usize, degree: usize, interactions_only: bool) -> usize {
    // The k-th number is that of products of k factors: C(from, k), or C(from + k - 1, k) with repeats.
    let mut total = 0_u128;
    let mut products = 1_u128;
    for factors in 1..=degree as u128 {
        let choices =
            if interactions_only { (from as u128 + 1).saturating_sub(factors) } else { from as u128 + factors - 1 };
        products = products.saturating_mul(choices) / factors;
        total = total.saturating_add(products);
    }
    usize::try_from(total).unwrap_or(usize::MAX)
}

pub(super) fn check(from: usize, degree: usize) -> std::result::Result<(), String> {
    if !(2..=8).contains(&degree) {
        return Err(format!("multiplies {degree} columns, expected 2 (inclusive) to 8 (inclusive)"));
    }
    match width(from, degree, false) {
        usize::MAX => Err(format!("makes too many products of {from} columns")),
        _ => Ok(()),
    }
}

pub(super) fn applied(matrix: &Matrix, degree: usize, interactions_only: bool) -> Result<Matrix> {
    let columns = width(matrix.columns, degree, interactions_only);
    let large = || ModelError::Input(format!("{} rows of {columns} features do not fit in memory", matrix.rows));
    let mut data = Vec::new();
    data.try_reserve_exact(matrix.rows.checked_mul(columns).ok_or_else(large)?).map_err(|_| large())?;
    for row in matrix.data.chunks_exact(matrix.columns.max(1)) {
        each(matrix.columns, degree, interactions_only, &mut |factors| {
            data.push(factors.iter().filter_map(|&factor| row.get(factor)).product());
        });
    }
    Ok(Matrix { rows: matrix.rows, columns, data })
}

/// `a`, `a b`, `a^2 b`.
pub(super) fn names(names: &[String], degree: usize, interactions_only: bool) -> Vec<String> {
    let mut result = Vec::new();
    each(names.len(), degree, interactions_only, &mut |factors| {
        let power = |group: &[usize]| {
            let name = group.first().and_then(|&factor| names.get(factor)).map_or("", String::as_str);
            if group.len() == 1 { name.to_owned() } else { format!("{name}^{}", group.len()) }
        };
        result.push(factors.chunk_by(|one, other| one == other).map(power).collect::<Vec<_>>().join(" "));
    });
    result
}

/// Every product's factors, in order.
fn each(columns: usize, degree: usize, interactions_only: bool, visit: &mut dyn FnMut(&[usize])) {
    for count in 1..=degree {
        let mut factors = Vec::with_capacity(count);
        extend(&mut factors, count, columns, interactions_only, visit);
    }
}

fn extend(
    factors: &mut Vec<usize>,
    count: usize,
    columns: usize,
    interactions_only: bool,
    visit: &mut dyn FnMut(&[usize]),
) {
    if factors.len() == count {
        return visit(factors);
    }
    let first = factors.last().map_or(0, |last| last + usize::from(interactions_only));
    for factor in first..columns {
        factors.push(factor);
        extend(factors, count, columns, interactions_only, visit);
        factors.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::{applied, names, width};
    use crate::inputs::Matrix;

    #[test]
    fn products_by_hand() {
        let matrix = Matrix { rows: 2, columns: 2, data: vec![2.0, 3.0, -1.0, 5.0] };
        let found = applied(&matrix, 3, false).unwrap();
        let expected =
            [2.0, 3.0, 4.0, 6.0, 9.0, 8.0, 12.0, 18.0, 27.0, -1.0, 5.0, 1.0, -5.0, 25.0, -1.0, 5.0, -25.0, 125.0];
        assert_eq!((found.columns, found.data), (9, expected.to_vec()));
        let texts = ["a", "b"].map(str::to_owned);
        assert_eq!(names(&texts, 3, false), ["a", "b", "a^2", "a b", "b^2", "a^3", "a^2 b", "a b^2", "b^3"]);
    }

    #[test]
    fn interactions_leave_out_powers() {
        let texts = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(names(&texts, 3, true), ["a", "b", "c", "a b", "a c", "b c", "a b c"]);
        assert_eq!([width(3, 3, true), width(64, 2, false), width(64, 2, true), width(2, 3, true)], [7, 2144, 2080, 3]);
        assert_eq!(width(usize::MAX, 8, false), usize::MAX);
    }
}
