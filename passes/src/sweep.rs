//! Passes of the kind `sweep`: each is its module and, below, its line in the table.

mod choose;
mod space;
mod trials;

pub mod grid;
pub mod random;

use crate::builtin::pass;
use crate::pass::Pass;

pub(crate) fn passes() -> Vec<Box<dyn Pass>> {
    vec![pass::<grid::Grid>(), pass::<random::Random>()]
}
