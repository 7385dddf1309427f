//! How many units stay: a share or a number of those of each site, or a share of those of all sites together.

use paring_train::sparse::SparsityScope;

use super::importance::keep_best;
use crate::error::Problem;
use crate::fraction::Fraction;

/// How many units a recipe asks to remove.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// The share that goes,
    pub(crate) ratio: Option<Fraction>,
    /// which units compete for it;
    pub(crate) scope: Option<SparsityScope>,
    /// or how many stay at each site.
    pub(crate) keep: Option<usize>,
    /// What stays is rounded up to a multiple of this.
    pub(crate) round_to: usize,
}

impl Share {
    /// What is wrong with it: one of the two amounts has to be given.
    pub(crate) fn problems(self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.ratio.and_then(|it| it.problem("/ratio")).into_iter().collect();
        match (self.ratio, self.keep) {
            (None, None) => problems
                .push(Problem::new("", "has neither `ratio` nor `keep`").help("such as `ratio: 0.5` or `keep: 32`")),
            (Some(_), Some(_)) => problems
                .push(Problem::new("/keep", "cannot be given together with `ratio`").help("remove one of the two")),
            (None, Some(_)) if self.scope.is_some() => {
                problems.push(Problem::new("/scope", "goes with `ratio`, but `keep` is given").help("remove `scope`"));
            }
            _ => (),
        }
        problems
    }

    /// Whether units of all sites compete.
    pub(crate) fn is_global(self) -> bool {
        self.scope == Some(SparsityScope::Global)
    }

    /// How many of `count` units stay where these alone compete.
    pub(crate) fn kept(self, count: usize) -> usize {
        self.rounded(self.keep.unwrap_or(count.saturating_sub(self.removed(count))), count)
    }

    /// How many of `count` units the share is.
    pub(crate) fn removed(self, count: usize) -> usize {
        self.ratio.map_or(0, |ratio| (count as f64 * ratio.value()).round() as usize)
    }

    /// The fewest of a site's `count` units that may stay.
    pub(crate) fn fewest(self, count: usize) -> usize {
        if self.is_global() { self.rounded(1, count) } else { self.kept(count) }
    }

    /// How many units of each site stay; `scores` of sites that compete are comparable.
    pub(crate) fn counts(self, scores: &[Vec<f64>]) -> Vec<usize> {
        if !self.is_global() {
            return scores.iter().map(|scores| self.kept(scores.len())).collect();
        }
        let staying = staying(scores, self.removed(scores.iter().map(Vec::len).sum()));
        staying.into_iter().zip(scores).map(|(kept, scores)| self.rounded(kept, scores.len())).collect()
    }

    fn rounded(self, kept: usize, count: usize) -> usize {
        kept.max(1).next_multiple_of(self.round_to.max(1)).min(count)
    }
}

/// Importances as shares of their site's mean, so that units of other sites compare with them.
///
/// Source: Fang et al. 2023, "DepGraph: Towards Any Structural Pruning", section 3.3, the relative score over all units
/// of a group.
pub(crate) fn relative(scores: &[f64]) -> Vec<f64> {
    let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    scores.iter().map(|score| score / mean.max(f64::MIN_POSITIVE)).collect()
}

/// How many units stay at each site when the `removed` least important of all sites go; one stays at each, whatever its
/// importance, and of equals the earlier.
fn staying(sites: &[Vec<f64>], removed: usize) -> Vec<usize> {
    let mut all = Vec::new();
    for scores in sites {
        let start = all.len();
        all.extend(scores.iter().copied());
        keep_best(scores, 1).into_iter().for_each(|best| all[start + best] = f64::INFINITY);
    }
    let kept = keep_best(&all, all.len().saturating_sub(removed).max(sites.len()));
    let mut start = 0;
    let count = |scores: &Vec<f64>| {
        let own = start..start + scores.len();
        start = own.end;
        kept.iter().filter(|unit| own.contains(unit)).count()
    };
    sites.iter().map(count).collect()
}

#[cfg(test)]
mod tests {
    use super::{relative, staying};

    #[test]
    fn the_least_of_all_sites_go_and_one_of_each_stays() {
        let sites = [vec![5.0, 1.0, 4.0], vec![3.0, 2.0], vec![0.5]];
        assert_eq!(staying(&sites, 0), [3, 2, 1]);
        assert_eq!(staying(&sites, 2), [2, 1, 1]);
        assert_eq!(staying(&sites, 3), [1, 1, 1]);
        assert_eq!(staying(&sites, 6), [1, 1, 1]);
        assert_eq!(staying(&[vec![1.0, 1.0], vec![1.0, 1.0]], 1), [2, 1]);
    }

    #[test]
    fn scores_do_not_depend_on_the_scale_of_a_site() {
        assert_eq!(relative(&[1.0, 2.0, 3.0]), [0.5, 1.0, 1.5]);
        assert_eq!(relative(&[100.0, 200.0, 300.0]), [0.5, 1.0, 1.5]);
        assert_eq!(relative(&[0.0, 0.0]), [0.0, 0.0]);
    }
}
