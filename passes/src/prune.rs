//! Passes of the kind `prune`: each is its module and, below, its line in the table.

mod importance;
mod mask;
mod pattern;

pub mod magnitude;
pub mod neurons;

use crate::builtin::pass;
use crate::pass::Pass;

pub(crate) fn passes() -> Vec<Box<dyn Pass>> {
    vec![pass::<magnitude::Magnitude>(), pass::<neurons::Neurons>()]
}
