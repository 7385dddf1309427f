//! Passes of the kind `select`: each is its module and, below, its line in the table.

mod change;
mod features;
mod subset;

pub mod pca;
pub mod rfe;
pub mod variance;

use crate::builtin::pass;
use crate::pass::Pass;

pub(crate) fn passes() -> Vec<Box<dyn Pass>> {
    vec![pass::<variance::Variance>(), pass::<rfe::Rfe>(), pass::<pca::Pca>()]
}
