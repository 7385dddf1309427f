//! The engine through its library, with passes that do whatever a test needs done: what it caches, what it does not
//! believe, how it judges, stops and writes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

mod cache;
mod cancel;
mod formats;
mod gates;
mod lying;
mod order;
mod output;
mod prediction;
mod support;
