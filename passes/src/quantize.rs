//! Passes of the kind `quantize`: each is its module and, below, its line in the table.

mod calibrated;
mod clipping;
mod each;
pub(crate) mod groups;
mod histogram;
mod layouts;
mod mixes;
mod ranges;
pub(crate) mod rounding;
pub(crate) mod scales;
pub(crate) mod scheme;
mod squares;

pub mod awq;
pub mod dynamic_int8;
pub mod gguf;
pub mod gptq;
pub mod mixed;
pub mod qat;
pub mod rtn;
pub mod smoothquant;
pub mod static_int8;

use crate::builtin::pass;
use crate::pass::Pass;

pub(crate) fn passes() -> Vec<Box<dyn Pass>> {
    vec![
        pass::<rtn::Rtn>(),
        pass::<gptq::Gptq>(),
        pass::<awq::Awq>(),
        pass::<mixed::Mixed>(),
        pass::<gguf::Gguf>(),
        pass::<dynamic_int8::DynamicInt8>(),
        pass::<static_int8::StaticInt8>(),
        pass::<smoothquant::SmoothQuant>(),
        pass::<qat::Qat>(),
    ]
}
