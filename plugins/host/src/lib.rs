//! Loads plugins: opens a library, checks that the two sides fit, and reads what it offers.
//!
//! With `paring-plugin-abi` the only place outside the memory-mapped reader where `unsafe` is allowed. Version 0 of the
//! interface describes passes; it does not run them yet.

mod describe;
mod error;
mod library;

pub use describe::{PassDescription, PluginDescription};
pub use error::PluginError;
pub use library::PluginLibrary;
