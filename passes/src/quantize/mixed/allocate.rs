//! Which number of bits each site gets: the choice of least error within a budget of bytes, found exactly.

use microlp::{ComparisonOp, OptimizationDirection, Problem, Variable};

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

/// For each site the index of its chosen candidate: the sum of errors is the least of all choices whose bytes sum up to
/// at most `budget`. A multiple-choice knapsack, solved as an integer linear program.
///
/// # Errors
/// When nothing fits the budget, or the solver does not come to its end.
pub(super) fn allocate(sites: &[Vec<Candidate>], budget: u64) -> Result<Vec<usize>, PassError> {
    let all = sites.iter().flatten();
    let largest = all.map(|candidate| candidate.error).fold(f64::MIN_POSITIVE, f64::max);
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    let mut bytes: Vec<(Variable, f64)> = Vec::new();
    let mut variables: Vec<Vec<Variable>> = Vec::new();
    for candidates in sites {
        let variable = |candidate: &Candidate| problem.add_binary_var(candidate.error / largest);
        let chosen: Vec<Variable> = candidates.iter().map(variable).collect();
        let one: Vec<(Variable, f64)> = chosen.iter().map(|variable| (*variable, 1.0)).collect();
        problem.add_constraint(one.as_slice(), ComparisonOp::Eq, 1.0);
        let shares = candidates.iter().map(|candidate| candidate.bytes as f64 / budget.max(1) as f64);
        bytes.extend(chosen.iter().copied().zip(shares));
        variables.push(chosen);
    }
    problem.add_constraint(bytes.as_slice(), ComparisonOp::Le, 1.0);
    let failed = |error: microlp::Error| PassError::Failed(format!("no choice of bits was found: {error}"));
    let outcome = problem.solve().map_err(failed)?;
    if !outcome.is_optimal() {
        return Err(PassError::Failed("the best choice of bits was not found".to_owned()));
    }
    let unsolved = || PassError::Failed("the best choice of bits was not found".to_owned());
    let solution = outcome.solution().ok_or_else(unsolved)?;
    let chosen = |variables: &Vec<Variable>| {
        variables.iter().position(|variable| solution.var_value(*variable) > 0.5).unwrap_or_default()
    };
    Ok(variables.iter().map(chosen).collect())
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

    #[test]
    fn hundreds_of_sites_are_solved() {
        let sites = sites(210, 3);
        let most: u64 = sites.iter().map(|candidates| candidates[3].bytes).sum();
        let chosen = allocate(&sites, most / 2).unwrap();
        let bytes: u64 = sites.iter().zip(&chosen).map(|(candidates, index)| candidates[*index].bytes).sum();
        assert!(bytes <= most / 2 && bytes > most / 2 - 100, "{bytes} of {}", most / 2);
    }
}
