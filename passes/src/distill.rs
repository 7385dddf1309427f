//! Passes of the kind `distill`: each is its module and, below, its line in the table.

mod hidden;
mod lesson;
mod loaded;
mod narrow;
mod relations;
mod student;
mod teachers;

pub mod attention;
pub mod embeddings;
pub mod features;
pub mod logits;
// The file is named as its pass, which no module can be.
#[path = "distill/self.rs"]
pub mod own;

use crate::builtin::pass;
use crate::pass::Pass;

pub(crate) fn passes() -> Vec<Box<dyn Pass>> {
    vec![
        pass::<attention::Attention>(),
        pass::<embeddings::Embeddings>(),
        pass::<features::Features>(),
        pass::<logits::Logits>(),
        pass::<own::Own>(),
    ]
}
