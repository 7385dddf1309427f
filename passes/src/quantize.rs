//! Passes of the kind `quantize`: each is its module and, below, its line in the table.

mod clipping;
mod groups;
mod histogram;
mod ranges;
mod rounding;
mod scales;

pub mod qat;
pub mod rtn;
pub mod static_int8;

use crate::builtin::pass;
use crate::pass::Pass;

pub(crate) fn passes() -> Vec<Box<dyn Pass>> {
    vec![pass::<qat::Qat>(), pass::<rtn::Rtn>(), pass::<static_int8::StaticInt8>()]
}
