//! Permutation importance: how much worse a model does on held-out rows once one feature's cells are shuffled.
//!
//! Breiman 2001, "Random Forests", section 10, for any model and score.

use rand::Rng;
use rand::seq::SliceRandom as _;
use statrs::distribution::{ContinuousCDF as _, StudentsT};

use crate::error::{Result, mismatch};
use crate::{Features, Tick};

/// What a feature is worth to a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Importance {
    /// Mean loss of score over the repeats.
    pub mean: f64,
    /// Population standard deviation of the losses.
    pub deviation: f64,
    /// Below which the true mean lies only as rarely as was asked: the lower end of Student's interval.
    pub low: f64,
}

/// How the importance is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Shuffles of each feature, two or more.
    pub repeats: usize,
    /// How sure [`Importance::low`] is, from 0.5 to 1 (exclusive).
    pub confidence: f64,
}

/// The importance of each feature for what `score` measures, larger being better.
///
/// # Errors
/// When there are fewer than two rows or repeats, `score` fails, or `tick` wants no more.
pub fn importances<E>(
    features: &Features,
    settings: &Settings,
    rng: &mut impl Rng,
    tick: Tick<'_>,
    score: &mut dyn FnMut(&Features) -> Result<f64, E>,
) -> Result<Vec<Importance>, E>
where
    E: From<crate::StatisticsError>,
{
    features.check(None)?;
    if features.rows < 2 || settings.repeats < 2 {
        let (rows, repeats) = (features.rows, settings.repeats);
        return Err(
            mismatch(format!("there are {rows} rows and {repeats} repeats, expected at least 2 of each")).into()
        );
    }
    let freedom = (settings.repeats - 1) as f64;
    let student = StudentsT::new(0.0, 1.0, freedom).map_err(|error| mismatch(error.to_string()))?;
    let reach = student.inverse_cdf(settings.confidence);
    let whole = score(features)?;
    let mut shuffled = features.clone();
    let mut found = Vec::with_capacity(features.columns);
    for column in 0..features.columns {
        tick(column, features.columns)?;
        let mut cells: Vec<f32> = features.column(column).map(|cell| cell as f32).collect();
        let mut losses = Vec::with_capacity(settings.repeats);
        for _ in 0..settings.repeats {
            cells.shuffle(rng);
            put(&mut shuffled, column, cells.iter().copied());
            losses.push(whole - score(&shuffled)?);
        }
        put(&mut shuffled, column, features.column(column).map(|cell| cell as f32));
        found.push(importance(&losses, reach));
    }
    Ok(found)
}

fn put(features: &mut Features, column: usize, cells: impl Iterator<Item = f32>) {
    let width = features.columns.max(1);
    features.data.iter_mut().skip(column).step_by(width).zip(cells).for_each(|(place, cell)| *place = cell);
}

fn importance(losses: &[f64], reach: f64) -> Importance {
    let count = losses.len() as f64;
    let mean = losses.iter().sum::<f64>() / count;
    let squares: f64 = losses.iter().map(|loss| (loss - mean).powi(2)).sum();
    let error = (squares / (count - 1.0) / count).sqrt();
    Importance { mean, deviation: (squares / count).sqrt(), low: mean - reach * error }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::{Settings, importance, importances};
    use crate::{Features, StatisticsError};

    /// Losses 1, 2, 3: mean 2, standard error 1 / sqrt(3), and 2.92 of Student's t on 2 degrees at 95%.
    #[test]
    fn an_interval_by_hand() {
        let found = importance(&[1.0, 2.0, 3.0], 2.919_985_58);
        assert_eq!(found.mean, 2.0);
        assert!((found.deviation - (2.0_f64 / 3.0).sqrt()).abs() < 1e-12 && (found.low - 0.314_145_7).abs() < 1e-6);
    }

    /// The score looks at the first feature only, and at its place: shuffled, none of it is left.
    #[test]
    fn what_a_score_does_not_look_at_is_worth_nothing() {
        let data: Vec<f32> = (0..200).flat_map(|row| [row as f32, (row % 7) as f32]).collect();
        let features = Features { rows: 200, columns: 2, data };
        let mut score = |table: &Features| -> Result<f64, StatisticsError> {
            let error: f64 = table.column(0).enumerate().map(|(row, cell)| (cell - row as f64).powi(2)).sum();
            Ok(1.0 - error / 666_650.0)
        };
        let settings = Settings { repeats: 5, confidence: 0.95 };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let found = importances(&features, &settings, &mut rng, &mut |_, _| Ok(()), &mut score).unwrap();
        // Of a shuffled column the expected error is twice the squared deviation, 2 x 666,650.
        assert!((found[0].mean - 2.0).abs() < 0.2 && found[0].low > 1.0, "{found:?}");
        assert_eq!((found[1].mean, found[1].deviation), (0.0, 0.0));
    }
}
