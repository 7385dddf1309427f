//! Passes of the kind `quantize`: each is its module and, below, its line in the table.

mod groups;
mod rounding;
mod scales;

pub mod rtn;

use crate::builtin::pass;
use crate::pass::Pass;

pub(crate) fn passes() -> Vec<Box<dyn Pass>> {
    vec![pass::<rtn::Rtn>()]
}
