//! Passes of the kind `prune`: each is its module and, below, its line in the table.

mod amount;
mod calibrated;
mod importance;
mod lengths;
mod mask;
mod owl;
mod pattern;
mod told;

pub mod magnitude;
pub mod neurons;
pub mod sparsegpt;
pub mod wanda;

use crate::builtin::pass;
use crate::pass::Pass;

pub(crate) fn passes() -> Vec<Box<dyn Pass>> {
    vec![
        pass::<magnitude::Magnitude>(),
        pass::<neurons::Neurons>(),
        pass::<sparsegpt::SparseGpt>(),
        pass::<wanda::Wanda>(),
    ]
}
