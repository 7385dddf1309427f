//! The built-in passes. To add one: its file, and in its kind's file (`train.rs`, `select.rs`, ...) its module and its
//! line in the table below it.

use crate::pass::Pass;
use crate::{distill, prune, quantize, select, sweep, train};

/// Every built-in pass, in the order of `paring passes`.
pub fn builtin() -> Vec<Box<dyn Pass>> {
    [select::passes(), train::passes(), sweep::passes(), distill::passes(), prune::passes(), quantize::passes()]
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests;
