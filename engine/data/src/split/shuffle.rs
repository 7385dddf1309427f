//! A random order of rows that depends on the seed alone: Fisher and Yates's shuffle (Durstenfeld, 1964) with numbers
//! from a ChaCha8 stream, made here so that no library's own sampling can change a split.

use rand::{Rng, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// What the stream's key is derived for. A change of the algorithm changes the number.
const PURPOSE: &str = "paring split v1";

/// The row numbers `0..rows` in random order.
pub(super) fn shuffled(rows: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::from_seed(blake3::derive_key(PURPOSE, &seed.to_le_bytes()));
    let mut order: Vec<usize> = (0..rows).collect();
    for last in (1..rows).rev() {
        let other = below(&mut rng, last as u64 + 1) as usize;
        order.swap(last, other);
    }
    order
}

/// A number in `0..bound`, each as likely as any other: numbers from the incomplete last stretch are drawn again.
fn below(rng: &mut impl Rng, bound: u64) -> u64 {
    let usable = u64::MAX - u64::MAX % bound;
    loop {
        let number = rng.next_u64();
        if number < usable {
            return number % bound;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shuffled;

    #[test]
    fn the_order_is_the_same_on_every_machine() {
        assert_eq!(shuffled(10, 7), [9, 3, 8, 0, 1, 2, 4, 7, 5, 6]);
    }

    #[test]
    fn every_row_is_as_likely_in_every_place() {
        // Chi-squared of 4x4 counts over 4000 seeds: 9 degrees of freedom, 27.9 is the 99.9th percentile.
        let mut counts = [[0_u32; 4]; 4];
        for seed in 0..4000 {
            for (place, row) in shuffled(4, seed).into_iter().enumerate() {
                counts[place][row] += 1;
            }
        }
        let chi: f64 = counts.iter().flatten().map(|&count| (f64::from(count) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi < 27.9, "{chi}");
    }
}
