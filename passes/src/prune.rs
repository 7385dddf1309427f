//! Passes of the kind `prune`: each is its module and, below, its line in the table.

mod amount;
mod calibrated;
mod gradients;
pub(crate) mod importance;
mod lengths;
mod mask;
mod owl;
mod reconstruct;
mod share;
mod structured;
mod told;

pub mod channels;
pub mod heads;
pub mod layers;
pub mod magnitude;
pub mod movement;
pub mod neurons;
pub mod pattern;
pub mod sparsegpt;
pub mod taylor;
pub mod wanda;
pub mod width;

use crate::builtin::pass;
use crate::pass::Pass;

pub(crate) fn passes() -> Vec<Box<dyn Pass>> {
    vec![
        pass::<channels::Channels>(),
        pass::<heads::Heads>(),
        pass::<layers::Layers>(),
        pass::<magnitude::Magnitude>(),
        pass::<movement::Movement>(),
        pass::<neurons::Neurons>(),
        pass::<sparsegpt::SparseGpt>(),
        pass::<taylor::Taylor>(),
        pass::<wanda::Wanda>(),
        pass::<width::Width>(),
    ]
}
