//! The binary starts and names itself. Being an integration test, this also makes `cargo test` build the binary that the
//! end-to-end tests run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use std::process::Command;

#[test]
fn the_binary_names_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_paring")).arg("--version").output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), concat!("paring ", env!("CARGO_PKG_VERSION")));
}
