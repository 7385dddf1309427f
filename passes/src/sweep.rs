//! Passes of the kind `sweep`: each is its module and, below, its line in the table.

mod choose;
mod guided;
mod space;
mod trials;

pub mod bayes;
pub mod evolution;
pub mod grid;
pub mod random;
pub mod sobol;
pub mod tpe;

use crate::builtin::pass;
use crate::pass::Pass;

pub(crate) fn passes() -> Vec<Box<dyn Pass>> {
    vec![
        pass::<grid::Grid>(),
        pass::<random::Random>(),
        pass::<sobol::Sobol>(),
        pass::<tpe::Tpe>(),
        pass::<bayes::Bayes>(),
        pass::<evolution::Evolution>(),
    ]
}
