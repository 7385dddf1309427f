//! Models as Paring sees them: a checkpoint on disk or in memory, the families that can run it, and the sites and
//! units that passes work on.
//!
//! This crate alone is a runtime: it loads an exported directory and predicts from raw rows.

pub mod checkpoint;
pub mod config;
mod convolution;
pub mod error;
pub mod families;
pub mod inputs;
pub mod int8;
pub mod network;
pub mod outline;
pub mod outputs;
pub mod quantized;
pub mod sites;
mod storage;
pub mod table;
pub mod tap;
pub mod units;

pub use checkpoint::{Checkpoint, Weight};
pub use error::{ModelError, Result};
pub use inputs::{InputStep, Inputs};
pub use network::{Forward, Input, Mode, Network};
pub use outline::{Outline, WeightOutline};
pub use outputs::{Answer, Outputs, Task};
pub use quantized::{ActivationScheme, Granularity, QuantizedWeight, WeightScheme};
pub use sites::{Role, Site, SiteKind};
pub use table::{Column, Table, Values};
pub use units::{Slice, UnitGroup};
