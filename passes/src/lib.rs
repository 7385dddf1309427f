//! Passes: the trait, what a pass is given, the registry, and the built-in passes, one file each.

mod builtin;
mod calibration;
mod compensation;
pub mod context;
mod coroutine;
pub mod effect;
pub mod error;
pub mod fraction;
mod hessian;
pub mod pass;
pub mod receipt;
pub mod registry;
mod training;
mod walk;
mod watch;
mod weights;
mod wording;

#[cfg(test)]
mod testing;

pub mod distill;
pub mod prune;
pub mod quantize;
pub mod select;
pub mod sweep;
pub mod train;

pub use context::{Cx, Services, Trial};
pub use effect::{Effect, PlanCx};
pub use error::{PassError, Problem};
pub use pass::{Definition, Leaves, NamedFile, NamedModel, Needs, Pass, PassInfo, Step};
pub use receipt::{Outcome, Receipt};
