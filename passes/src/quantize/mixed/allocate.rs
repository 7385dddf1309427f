//! Which number of bits each site gets: the choice of least error within a budget of bytes, found exactly.
//!
//! A multiple-choice knapsack, solved by dynamic programming over lists of choices of which none is better than another
//! in both bytes and error, without those that a Lagrangian bound shows to be no better than a choice that is known
//! already (Kellerer, Pferschy & Pisinger 2004, "Knapsack Problems", sections 3.4, 3.8 and 11.2). Solvers of integer
//! linear programs branch for hours over hundreds of sites of equal shapes.

use crate::error::PassError;

/// What a site may become.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    /// Bits of one weight.
    pub(super) bits: u8,
    /// Bytes in the file.
    pub(super) bytes: u64,
    /// What it costs in accuracy.
    pub(super) error: f64,
}

/// A choice that is better by a smaller share than this is not looked for.
const SHARE: f64 = 1e-9;

/// Halvings that find the price of a byte.
const HALVINGS: usize = 200;

/// For each site the index of its chosen candidate: the sum of errors is the least of all choices whose bytes sum up to
/// at most `budget`.
///
/// # Errors
/// When nothing fits the budget.
pub(super) fn allocate(sites: &[Vec<Candidate>], budget: u64) -> Result<Vec<usize>, PassError> {
    let least: u64 = sites.iter().filter_map(|site| site.iter().map(|one| one.bytes).min()).sum();
    if sites.iter().any(Vec::is_empty) || least > budget {
        return Err(PassError::Failed(format!("no choice of bits fits {budget} bytes: the smallest has {least}")));
    }
    let price = price(sites, budget);
    let known = filled_up(sites, budget, priced(sites, price));
    let search = Search { sites, budget, price, best: total(sites, &known, |one| one.error) };
    Ok(search.run().unwrap_or(known))
}

/// For each site the candidate of least error where a byte costs `price`; the smaller one of two that are alike.
fn priced(sites: &[Vec<Candidate>], price: f64) -> Vec<usize> {
    let cost = |one: &Candidate| price.mul_add(one.bytes as f64, one.error);
    let order =
        |one: &Candidate, other: &Candidate| cost(one).total_cmp(&cost(other)).then(one.bytes.cmp(&other.bytes));
    let best = |site: &Vec<Candidate>| {
        let all = site.iter().enumerate();
        all.min_by(|(_, one), (_, other)| order(one, other)).map_or(0, |(index, _)| index)
    };
    sites.iter().map(best).collect()
}

/// The lowest price of a byte at which the choice of least cost fits the budget.
fn price(sites: &[Vec<Candidate>], budget: u64) -> f64 {
    let fits = |price: f64| total(sites, &priced(sites, price), |one| one.bytes as f64) <= budget as f64;
    // Candidates differ by a byte or more, so that at this price the smallest is chosen everywhere.
    let (mut low, mut high) =
        (0.0, 2.0 * sites.iter().flatten().map(|one| one.error).fold(f64::MIN_POSITIVE, f64::max));
    if fits(low) {
        return low;
    }
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if fits(middle) { high = middle } else { low = middle }
    }
    high
}

/// Spends what a choice leaves of the budget, each time where an error falls the most.
fn filled_up(sites: &[Vec<Candidate>], budget: u64, mut chosen: Vec<usize>) -> Vec<usize> {
    loop {
        let left = budget.saturating_sub(total(sites, &chosen, |one| one.bytes as f64) as u64);
        let mut best: Option<(f64, usize, usize)> = None;
        for (number, (site, &now)) in sites.iter().zip(&chosen).enumerate() {
            let Some(now) = site.get(now) else { continue };
            for (index, one) in site.iter().enumerate() {
                let gain = now.error - one.error;
                if one.bytes <= now.bytes + left && gain > best.map_or(0.0, |(most, ..)| most) {
                    best = Some((gain, number, index));
                }
            }
        }
        let Some((_, number, index)) = best else { return chosen };
        chosen.iter_mut().skip(number).take(1).for_each(|now| *now = index);
    }
}

fn total(sites: &[Vec<Candidate>], chosen: &[usize], value: impl Fn(&Candidate) -> f64) -> f64 {
    sites.iter().zip(chosen).filter_map(|(site, &index)| site.get(index)).map(value).sum()
}

/// Candidates of the first sites, chosen.
#[derive(Debug, Clone, Copy)]
struct Partial {
    bytes: u64,
    error: f64,
    /// That of one site less which it extends, by its place in their list.
    before: usize,
    /// The candidate of the last site.
    index: usize,
}

struct Search<'a> {
    sites: &'a [Vec<Candidate>],
    budget: u64,
    price: f64,
    /// The error of a choice that is known.
    best: f64,
}

impl Search<'_> {
    /// The best choice; none where that which is known is.
    fn run(&self) -> Option<Vec<usize>> {
        let mut levels: Vec<Vec<Partial>> = vec![vec![Partial { bytes: 0, error: 0.0, before: 0, index: 0 }]];
        let rest = self.rest();
        for (site, rest) in self.sites.iter().zip(rest) {
            let next = self.extended(levels.last()?, site, rest);
            levels.push(next);
        }
        let whole = levels.last()?.iter().enumerate().filter(|(_, whole)| whole.error < self.best);
        let (mut place, _) = whole.min_by(|(_, one), (_, other)| one.error.total_cmp(&other.error))?;
        let mut chosen = Vec::new();
        for level in levels.iter().skip(1).rev() {
            let partial = level.get(place)?;
            chosen.push(partial.index);
            place = partial.before;
        }
        chosen.reverse();
        Some(chosen)
    }

    /// For each site the least bytes and the least cost of the sites after it.
    fn rest(&self) -> Vec<(u64, f64)> {
        let mut sums = (0, 0.0);
        let mut rest = Vec::new();
        for site in self.sites.iter().rev() {
            rest.push(sums);
            let cost = |one: &Candidate| self.price.mul_add(one.bytes as f64, one.error);
            sums.0 += site.iter().map(|one| one.bytes).min().unwrap_or(0);
            sums.1 += site.iter().map(cost).fold(f64::INFINITY, f64::min);
        }
        rest.reverse();
        rest
    }

    /// Each partial choice with each candidate of the next site, as far as it may lead to the best of all.
    fn extended(&self, partials: &[Partial], site: &[Candidate], (bytes, cost): (u64, f64)) -> Vec<Partial> {
        let mut next = Vec::new();
        for (before, partial) in partials.iter().enumerate() {
            for (index, one) in site.iter().enumerate() {
                let one = Partial { bytes: partial.bytes + one.bytes, error: partial.error + one.error, before, index };
                let left = self.budget as f64 - one.bytes as f64;
                let bound = one.error + cost - self.price * left;
                if one.bytes + bytes <= self.budget && bound < self.best * (1.0 - SHARE) {
                    next.push(one);
                }
            }
        }
        next.sort_by(|one, other| one.bytes.cmp(&other.bytes).then(one.error.total_cmp(&other.error)));
        let mut least = f64::INFINITY;
        next.retain(|one| {
            let better = one.error < least;
            least = least.min(one.error);
            better
        });
        next
    }
}

#[cfg(test)]
mod tests {
    use paring_train::Stream;
    use rand::RngExt as _;

    use super::{Candidate, allocate};

    fn sites(count: usize, seed: u64) -> Vec<Vec<Candidate>> {
        let mut rng = Stream::new(seed).rng();
        let site = |_| {
            let (weights, scale) = (rng.random_range(1_u64..20), rng.random_range(0.1..10.0));
            let of = |bits: u8| Candidate {
                bits,
                bytes: weights * u64::from(bits),
                error: scale * 0.3_f64.powi(bits.into()),
            };
            [2, 3, 4, 8].map(of).to_vec()
        };
        (0..count).map(site).collect()
    }

    /// The least error of all choices that fit, by trying them all.
    fn least(sites: &[Vec<Candidate>], budget: u64) -> Option<f64> {
        let Some((first, rest)) = sites.split_first() else { return Some(0.0) };
        let of = |candidate: &Candidate| Some(candidate.error + least(rest, budget.checked_sub(candidate.bytes)?)?);
        first.iter().filter_map(of).min_by(f64::total_cmp)
    }

    #[test]
    fn no_choice_is_better() {
        for seed in 0..20 {
            let sites = sites(6, seed);
            let most: u64 = sites.iter().map(|candidates| candidates[3].bytes).sum();
            for budget in [most / 3, most / 2, most] {
                let chosen = allocate(&sites, budget).unwrap();
                let of = |value: fn(&Candidate) -> f64| -> f64 {
                    sites.iter().zip(&chosen).map(|(candidates, index)| value(&candidates[*index])).sum()
                };
                assert!(of(|candidate| candidate.bytes as f64) <= budget as f64);
                let (found, least) = (of(|candidate| candidate.error), least(&sites, budget).unwrap());
                assert!((found - least).abs() <= 1e-9 * least.max(1e-9), "{found}, least {least}");
            }
        }
    }

    #[test]
    fn a_budget_below_the_smallest_is_refused() {
        let sites = sites(3, 1);
        let smallest: u64 = sites.iter().map(|candidates| candidates[0].bytes).sum();
        assert!(allocate(&sites, smallest).is_ok());
        assert!(allocate(&sites, smallest - 1).is_err());
    }

    /// The least error by plain dynamic programming: the least for each number of bytes.
    fn plain(sites: &[Vec<Candidate>], budget: u64) -> f64 {
        let mut least = vec![0.0; budget as usize + 1];
        for site in sites {
            let of = |bytes: usize| {
                let fits = site.iter().filter(|one| one.bytes as usize <= bytes);
                fits.map(|one| one.error + least[bytes - one.bytes as usize]).fold(f64::INFINITY, f64::min)
            };
            least = (0..least.len()).map(of).collect();
        }
        least[budget as usize]
    }

    /// Sites of equal shapes, as models have them, with errors that are nearly alike.
    fn blocks(count: usize, seed: u64) -> Vec<Vec<Candidate>> {
        let mut rng = Stream::new(seed).rng();
        let site = |number: usize| {
            let (weights, scale) = ([9, 3, 3, 9, 24, 24, 24][number % 7], rng.random_range(0.9..1.1));
            let of = |bits: u8| Candidate {
                bits,
                bytes: weights * u64::from(bits),
                error: scale * 0.3_f64.powi(bits.into()),
            };
            [2, 3, 4, 5, 6, 8].map(of).to_vec()
        };
        (0..count).map(site).collect()
    }

    #[test]
    fn hundreds_of_sites_are_solved() {
        for sites in [sites(210, 3), blocks(210, 4), blocks(300, 5)] {
            let most: u64 = sites.iter().map(|candidates| candidates.last().unwrap().bytes).sum();
            for budget in [most / 3, most / 2 + 1, most - 7] {
                let chosen = allocate(&sites, budget).unwrap();
                let of = |value: fn(&Candidate) -> f64| -> f64 {
                    sites.iter().zip(&chosen).map(|(candidates, index)| value(&candidates[*index])).sum()
                };
                assert!(of(|candidate| candidate.bytes as f64) <= budget as f64);
                let (found, least) = (of(|candidate| candidate.error), plain(&sites, budget));
                assert!((found - least).abs() <= 1e-8 * least, "{found}, least {least}");
            }
        }
    }
}
