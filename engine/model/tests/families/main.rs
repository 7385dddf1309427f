//! The families against outside truths: the stock ResNet, worked examples, finite differences, and pruning that must
//! change nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests stop where a test would")]

mod describe;
mod gradients;
mod parity;
mod pruning;
mod running;
mod sparse;
mod support;
mod tiny;
mod transformer_parity;
mod transformer_use;
mod width;
