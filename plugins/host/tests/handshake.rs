//! Loads real libraries: what fits is described, what does not is refused with the reason.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use std::path::{Path, PathBuf};

use paring_plugin_host::{PluginError, PluginLibrary};

fn fixture(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let examples = test.ancestors().nth(2).unwrap().join("examples");
    let file = format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    examples.join(file)
}

#[test]
fn a_plugin_that_fits_is_described() {
    let plugin = PluginLibrary::open(&fixture("handshake")).unwrap().describe().unwrap();
    assert_eq!((plugin.name.as_str(), plugin.version.as_str()), ("handshake", "0.1.0"));
    assert_eq!(plugin.passes.len(), 1);
    assert_eq!(plugin.passes[0].id, "prune/nothing");
    assert_eq!(plugin.passes[0].leaves, ["masks"]);
    assert!(!plugin.requires_isolation);
}

#[test]
fn a_plugin_that_needs_a_newer_host_is_refused() {
    let refusal = PluginLibrary::open(&fixture("needs_newer_host")).unwrap_err();
    assert!(matches!(refusal, PluginError::HostTooOld { needed: 99, .. }), "{refusal}");
    assert!(refusal.to_string().contains("needs a host with plugin interface 0.99 or newer"));
}

#[test]
fn a_file_that_is_no_library_is_refused_in_the_loaders_words() {
    let text = tempfile::NamedTempFile::with_suffix(".so").unwrap();
    std::fs::write(text.path(), "not a library").unwrap();
    let refusal = PluginLibrary::open(text.path()).unwrap_err();
    assert!(matches!(refusal, PluginError::Load { .. }), "{refusal}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_library_without_the_symbol_is_refused() {
    let refusal = PluginLibrary::open(Path::new("libm.so.6")).unwrap_err();
    assert!(matches!(refusal, PluginError::NoEntry { .. }), "{refusal}");
}
