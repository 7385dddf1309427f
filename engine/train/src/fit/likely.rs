//! What a teacher says of texts, kept between epochs: of every token's followers the most likely ones, and how likely
//! all others are together.

use candle_core::{D, Device, Tensor};
use paring_model::{Checkpoint, Rows};
use rayon::prelude::{IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};

use super::Watch;
use crate::error::{Result, TrainError};
use crate::loss::log_softmax_parts;

/// Windows of a unit that is kept.
const WINDOWS: usize = 16;

/// The least share of all other tokens, of which a logarithm is taken.
const LEAST: f64 = 1e-7;

/// Names of what a unit holds: [windows, length - 1, most likely tokens], and [windows, length - 1].
const TOKENS: &str = "tokens";
const LOGARITHMS: &str = "logarithms";
const OTHERS: &str = "others";

/// The most likely followers of every token of all windows.
pub(super) struct Likely {
    units: Vec<Checkpoint>,
}

/// Those of a batch, row after row of its tokens.
pub(super) struct LikelyTokens {
    /// Token numbers, [tokens, most likely] (u32).
    tokens: Tensor,
    /// Logarithms of their probabilities, [tokens, most likely].
    logarithms: Tensor,
    /// That of all others together, [tokens].
    others: Tensor,
}

impl Likely {
    /// The `count` most likely followers at a temperature, unit by unit; what an earlier run kept is not asked again.
    /// `says` gives logits [windows, length, vocabulary] of some windows.
    pub(super) fn ask(
        rows: &Rows,
        (count, temperature): (usize, f64),
        watch: &mut dyn Watch,
        says: &dyn Fn(&[usize]) -> Result<Tensor>,
    ) -> Result<Self> {
        let all: Vec<usize> = (0..rows.len()).collect();
        let mut units = Vec::new();
        for windows in all.chunks(WINDOWS) {
            let name = format!("teacher-{}", units.len());
            let unit = match watch.kept_answers(&name) {
                Some(unit) => unit,
                None => {
                    let mut answers = Vec::new();
                    for &window in windows {
                        if watch.cancelled() {
                            return Err(TrainError::Interrupted);
                        }
                        answers.push(most_likely(&says(&[window])?, count, temperature)?);
                        watch.taught(window + 1, all.len());
                    }
                    watch.keep_answers(&name, unit(&answers)?)?
                }
            };
            units.push(unit);
        }
        Ok(Self { units })
    }

    /// Those of these windows.
    pub(super) fn of(&self, windows: &[u32]) -> Result<LikelyTokens> {
        let of = |name: &str| -> Result<Tensor> {
            let window = |&window: &u32| -> Result<Tensor> {
                let (unit, place) = (window as usize / WINDOWS, window as usize % WINDOWS);
                let missing = || TrainError::Mismatch(format!("the teacher said nothing of window {}", window + 1));
                Ok(self.units.get(unit).ok_or_else(missing)?.tensor(name)?.get(place)?)
            };
            let windows = windows.iter().map(window).collect::<Result<Vec<_>>>()?;
            Ok(Tensor::cat(&windows, 0)?)
        };
        Ok(LikelyTokens { tokens: of(TOKENS)?, logarithms: of(LOGARITHMS)?, others: of(OTHERS)? })
    }
}

/// The answers to some windows as one unit.
fn unit(answers: &[LikelyTokens]) -> Result<Checkpoint> {
    let stacked = |of: fn(&LikelyTokens) -> &Tensor| Tensor::stack(&answers.iter().map(of).collect::<Vec<_>>(), 0);
    let tensors = [
        (TOKENS, stacked(|answer| &answer.tokens)?),
        (LOGARITHMS, stacked(|answer| &answer.logarithms)?),
        (OTHERS, stacked(|answer| &answer.others)?),
    ];
    Ok(Checkpoint::of_tensors(tensors.map(|(name, tensor)| (name.to_owned(), tensor))))
}

/// Those of one window, from logits [1, length, vocabulary]; what follows the last token is not asked.
fn most_likely(logits: &Tensor, count: usize, temperature: f64) -> Result<LikelyTokens> {
    let followed = logits.dim(1)?.saturating_sub(1);
    let logits = (logits.narrow(1, 0, followed)?.flatten_to(1)?.detach() / temperature)?;
    let (shifted, sum) = log_softmax_parts(&logits)?;
    let logarithms = shifted.broadcast_sub(&sum)?.to_device(&Device::Cpu)?.to_vec2::<f32>()?;
    let count = count.min(logits.dim(1)?);
    let mut tokens = vec![Vec::new(); logarithms.len()];
    logarithms.par_iter().map(|of_token| largest(of_token, count)).collect_into_vec(&mut tokens);
    let others = logarithms.iter().zip(&tokens).map(|(logarithms, tokens)| {
        let probability = |&token: &u32| f64::from(logarithms[token as usize]).exp();
        (1.0 - tokens.iter().map(probability).sum::<f64>()).max(LEAST).ln() as f32
    });
    let chosen = logarithms.iter().zip(&tokens);
    let chosen = chosen.flat_map(|(logarithms, tokens)| tokens.iter().map(|&token| logarithms[token as usize]));
    Ok(LikelyTokens {
        logarithms: Tensor::from_vec(chosen.collect::<Vec<_>>(), (followed, count), &Device::Cpu)?,
        others: Tensor::from_vec(others.collect::<Vec<_>>(), followed, &Device::Cpu)?,
        tokens: Tensor::from_vec(tokens.concat(), (followed, count), &Device::Cpu)?,
    })
}

/// The places of the `count` largest numbers, in ascending order; of equal ones the earlier.
fn largest(numbers: &[f32], count: usize) -> Vec<u32> {
    let mut places: Vec<u32> = (0..numbers.len() as u32).collect();
    let by_size = |one: &u32, other: &u32| {
        numbers[*other as usize].total_cmp(&numbers[*one as usize]).then_with(|| one.cmp(other))
    };
    if (1..places.len()).contains(&count) {
        places.select_nth_unstable_by(count - 1, by_size);
    }
    places.truncate(count);
    places.sort_unstable();
    places
}

impl LikelyTokens {
    /// T^2 * KL(teacher || student) over these tokens and all others as one, mean over tokens, for a student's logits
    /// [windows, length, vocabulary]. That is no more than the divergence over all tokens one by one.
    pub(super) fn divergence(&self, logits: &Tensor, temperature: f64) -> Result<Tensor> {
        let followed = logits.dim(1)?.saturating_sub(1);
        let logits = (logits.narrow(1, 0, followed)?.flatten_to(1)? / temperature)?;
        let (shifted, sum) = log_softmax_parts(&logits)?;
        let own = shifted.gather(&self.tokens, 1)?.broadcast_sub(&sum)?;
        let own_others = own.exp()?.sum(D::Minus1)?.affine(-1.0, 1.0)?.maximum(LEAST)?.log()?;
        let of_likely = ((&self.logarithms - own)? * self.logarithms.exp()?)?.sum_all()?;
        let of_others = ((&self.others - own_others)? * self.others.exp()?)?.sum_all()?;
        let tokens = self.others.elem_count().max(1) as f64;
        Ok(((of_likely + of_others)? * (temperature * temperature / tokens))?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor, Var};

    use super::{largest, most_likely};
    use crate::loss::soft_cross_entropy;

    fn logits(seed: f32) -> Tensor {
        let numbers = (0..3 * 7).map(|place| (place as f32 * seed).sin() * 3.0).collect::<Vec<_>>();
        Tensor::from_vec(numbers, (1, 3, 7), &Device::Cpu).unwrap()
    }

    #[test]
    fn the_largest_are_found_and_of_equals_the_earlier() {
        assert_eq!(largest(&[1.0, 5.0, 3.0, 5.0, 4.0], 2), [1, 3]);
        assert_eq!(largest(&[2.0, 2.0, 2.0], 2), [0, 1]);
        assert_eq!(largest(&[2.0, 1.0], 5), [0, 1]);
    }

    /// With all tokens it is the whole divergence, with fewer less, and by hand with one: p ln(p/q) + (1-p) ln((1-p)/(1-q)).
    #[test]
    fn the_divergence_over_likely_tokens() {
        let (teacher, student) = (logits(1.3), logits(2.1));
        let whole = |temperature: f64| {
            let [student, teacher] =
                [&student, &teacher].map(|all| all.narrow(1, 0, 2).unwrap().flatten_to(1).unwrap());
            soft_cross_entropy(&student, &teacher, temperature).unwrap().to_scalar::<f32>().unwrap()
        };
        let found = |count: usize, temperature: f64| {
            let likely = most_likely(&teacher, count, temperature).unwrap();
            likely.divergence(&student, temperature).unwrap().to_scalar::<f32>().unwrap()
        };
        for temperature in [1.0, 2.5] {
            assert!((found(7, temperature) - whole(temperature)).abs() < 1e-5);
            assert!(found(2, temperature) < whole(temperature) - 0.01 && found(2, temperature) > 0.0);
        }
        let softmax = |logits: &Tensor, token: usize| {
            let numbers = logits.get(0).unwrap().get(token).unwrap().to_vec1::<f32>().unwrap();
            let sum: f32 = numbers.iter().map(|number| number.exp()).sum();
            numbers.into_iter().map(|number| number.exp() / sum).collect::<Vec<f32>>()
        };
        let by_hand = |token: usize| {
            let (told, own) = (softmax(&teacher, token), softmax(&student, token));
            let best = (0..7).max_by(|&one, &other| told[one].total_cmp(&told[other])).unwrap();
            let (p, q) = (told[best], own[best]);
            p * (p / q).ln() + (1.0 - p) * ((1.0 - p) / (1.0 - q)).ln()
        };
        assert!((found(1, 1.0) - (by_hand(0) + by_hand(1)) / 2.0).abs() < 1e-5);
    }

    /// A step against the gradient lessens the divergence.
    #[test]
    fn the_divergence_has_a_gradient() {
        let likely = most_likely(&logits(1.3), 3, 1.0).unwrap();
        let student = Var::from_tensor(&logits(2.1)).unwrap();
        let loss = likely.divergence(&student, 1.0).unwrap();
        let gradients = loss.backward().unwrap();
        let moved = (student.as_tensor() - (gradients.get(&student).unwrap() * 0.1).unwrap()).unwrap();
        let after = likely.divergence(&moved, 1.0).unwrap().to_scalar::<f32>().unwrap();
        assert!(after < loss.to_scalar::<f32>().unwrap() - 0.01, "{after}");
    }
}
