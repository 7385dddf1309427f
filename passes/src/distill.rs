//! Passes of the kind `distill`: each is its module and, below, its line in the table.

pub mod logits;

use crate::builtin::pass;
use crate::pass::Pass;

pub(crate) fn passes() -> Vec<Box<dyn Pass>> {
    vec![pass::<logits::Logits>()]
}
