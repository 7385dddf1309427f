//! Plans and runs recipes: resolve, plan, run, gate, export, report. Each step is a function with a value as its
//! result. Knows passes by their trait only, and never prints.

pub mod cache;
pub mod catalog;
pub mod eval;
pub mod events;
pub mod export;
pub mod gates;
pub mod inspect;
pub mod invariants;
pub mod key;
pub mod ledger;
mod masks;
pub mod measures;
mod memory;
mod named;
pub mod order;
pub mod output;
pub mod plan;
pub mod problems;
pub mod project;
pub mod quicklook;
pub mod report;
pub mod resolve;
pub mod run;
pub mod scaffold;
pub mod stage;

pub use paring_data as data;
pub use paring_model as model;
pub use paring_passes as passes;
pub use paring_schema as schema;
pub use paring_train as train;

pub use cache::Cache;
pub use catalog::Registry;
pub use events::{Cancel, Events, Quiet};
pub use plan::Plan;
pub use project::{Options, Project};
pub use report::Report;
pub use run::{Ending, RunOptions, RunResult};

/// Version of everything that decides a stage's result besides the pass itself: part of every cache key.
pub const ENGINE_FORMAT: u32 = 2;
