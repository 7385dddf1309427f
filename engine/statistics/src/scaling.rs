//! Where features lie and how wide they are spread: what scaling takes from the training rows.

use crate::Features;

/// The centre and the spread of each feature; a spread of 1 where a feature does not vary.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    /// What becomes 0.
    pub centres: Vec<f64>,
    /// What becomes 1 away from it.
    pub scales: Vec<f64>,
}

/// Mean and population standard deviation.
pub fn standard(features: &Features) -> Spread {
    let scales = features.variances().iter().map(|variance| one_for_zero(variance.sqrt())).collect();
    Spread { centres: features.means(), scales }
}

/// Median, and the distance between the first and the third quartile: a few wild cells move neither.
pub fn robust(features: &Features) -> Spread {
    let quartiles = quantiles(features, 5);
    let row = |index: usize| quartiles.chunks(features.columns.max(1)).nth(index).unwrap_or_default();
    let scales = row(1).iter().zip(row(3)).map(|(first, third)| one_for_zero(third - first)).collect();
    Spread { centres: row(2).to_vec(), scales }
}

fn one_for_zero(scale: f64) -> f64 {
    if scale > 0.0 { scale } else { 1.0 }
}

/// `count` quantiles of each feature, evenly spaced from the smallest to the largest cell, count x features: between
/// two cells on a straight line (Hyndman and Fan 1996, "Sample Quantiles in Statistical Packages", definition 7).
pub fn quantiles(features: &Features, count: usize) -> Vec<f64> {
    let mut table = vec![0.0; count * features.columns];
    for column in 0..features.columns {
        let mut sorted: Vec<f64> = features.column(column).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let places = table.iter_mut().skip(column).step_by(features.columns);
        for (index, place) in places.enumerate() {
            *place = quantile(&sorted, index as f64 / count.saturating_sub(1).max(1) as f64);
        }
    }
    table
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * sorted.len().saturating_sub(1) as f64;
    let at = |index: f64| sorted.get(index as usize).copied().unwrap_or(0.0);
    let (low, high) = (at(place.floor()), at(place.ceil()));
    low + (high - low) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::{quantiles, robust, standard};
    use crate::Features;

    fn table() -> Features {
        let rows: [[f32; 2]; 5] = [[10.0, 3.0], [0.0, 3.0], [2.0, 3.0], [1.0, 3.0], [4.0, 3.0]];
        Features { rows: 5, columns: 2, data: rows.concat() }
    }

    #[test]
    fn spreads_by_hand() {
        let spread = robust(&table());
        assert_eq!((spread.centres, spread.scales), (vec![2.0, 3.0], vec![3.0, 1.0]));
        let spread = standard(&table());
        // Mean 3.4; squares 43.56 + 11.56 + 1.96 + 5.76 + 0.36.
        assert!((spread.centres[0] - 3.4).abs() < 1e-12 && (spread.scales[0] - 12.64_f64.sqrt()).abs() < 1e-12);
        assert_eq!(spread.scales[1], 1.0);
    }

    #[test]
    fn quantiles_lie_between_cells() {
        let found: Vec<f64> = quantiles(&table(), 3).into_iter().step_by(2).collect();
        assert_eq!(found, [0.0, 2.0, 10.0]);
        let found: Vec<f64> = quantiles(&table(), 9).into_iter().step_by(2).collect();
        assert_eq!(found, [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 7.0, 10.0]);
    }
}
