//! Passes of the kind `quantize`: each is its module and, below, its line in the table.

use crate::pass::Pass;

pub(crate) fn passes() -> Vec<Box<dyn Pass>> {
    vec![]
}
