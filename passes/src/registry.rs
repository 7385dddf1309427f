//! The built-in passes. To add one: its module in its kind's file, and its line here.

use crate::pass::Pass;

/// Every built-in pass, in the order of `paring passes`.
pub fn builtin() -> Vec<Box<dyn Pass>> {
    vec![]
}
