//! Passes of the kind `train`: each is its module and, below, its line in the table.

pub mod fit;

use crate::builtin::pass;
use crate::pass::Pass;

pub(crate) fn passes() -> Vec<Box<dyn Pass>> {
    vec![pass::<fit::Fit>()]
}
