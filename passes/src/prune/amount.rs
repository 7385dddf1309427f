//! How much is pruned: a share of the weights, or a pattern.

use paring_model::Site;

use super::mask::zeros_of;
use super::pattern::Pattern;
use crate::effect::PlanCx;
use crate::error::Problem;
use crate::fraction::Fraction;
use crate::weights;

/// What is wrong with what a recipe says: one of the two has to be given.
pub(crate) fn problems(sparsity: Option<Fraction>, pattern: Option<Pattern>) -> Vec<Problem> {
    let mut problems: Vec<Problem> = sparsity.and_then(|it| it.problem("/sparsity")).into_iter().collect();
    match (sparsity, pattern) {
        (None, None) => {
            let problem = Problem::new("", "has neither `sparsity` nor `pattern`");
            problems.push(problem.help("such as `sparsity: 0.5` or `pattern: \"2:4\"`"));
        }
        (Some(_), Some(_)) => {
            let problem = Problem::new("/pattern", "cannot be given together with `sparsity`");
            problems.push(problem.help("remove one of the two"));
        }
        _ => (),
    }
    problems
}

/// The same where weights may compete over all targets or within each: a scope goes with a share only.
pub(crate) fn problems_with_scope(sparsity: Option<Fraction>, pattern: Option<Pattern>, scoped: bool) -> Vec<Problem> {
    let mut found = problems(sparsity, pattern);
    if pattern.is_some() && scoped {
        found.push(Problem::new("/scope", "goes with `sparsity`, but `pattern` is given").help("remove `scope`"));
    }
    found
}

/// The problem with a share that leaves nothing of a target.
pub(crate) fn all_gone(cx: &PlanCx<'_>, site: &Site, sparsity: Fraction) -> Option<Problem> {
    let (count, sparsity) = (weights::shape(cx, site).iter().product(), sparsity.value());
    let message = || format!("is `{sparsity}`, which leaves none of the {count} weights of `{}`", site.name);
    (zeros_of(count, sparsity) == count).then(|| Problem::new("/sparsity", message()))
}

/// The problem with a target whose rows are no whole groups of a pattern.
pub(crate) fn uneven(cx: &PlanCx<'_>, site: &Site, pattern: Pattern) -> Option<Problem> {
    let inputs = weights::inputs(weights::shape(cx, site));
    let (of, name) = (pattern.of, &site.name);
    let message = || format!("is `{pattern}`, but {of} does not divide the {inputs} inputs of `{name}`");
    let problem = || Problem::new("/pattern", message()).help(format!("leave it out with `ignore: [{name}]`"));
    (!inputs.is_multiple_of(of)).then(problem)
}
