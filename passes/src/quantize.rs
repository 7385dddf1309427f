//! Passes of the kind `quantize`: each is its module and, below, its line in the table.

mod clipping;
mod groups;
mod histogram;
mod ranges;
mod rounding;
mod scales;

pub mod dynamic_int8;
pub mod rtn;
pub mod smoothquant;
pub mod static_int8;

use crate::builtin::pass;
use crate::pass::Pass;

pub(crate) fn passes() -> Vec<Box<dyn Pass>> {
    vec![
        pass::<dynamic_int8::DynamicInt8>(),
        pass::<rtn::Rtn>(),
        pass::<smoothquant::SmoothQuant>(),
        pass::<static_int8::StaticInt8>(),
    ]
}
