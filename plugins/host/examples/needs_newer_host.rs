//! A library that needs a newer host than there is: a fixture of the host's tests.

use std::ptr::null;

use paring_plugin_abi::{Plugin, Prefix, Str};

static PLUGIN: Plugin = Plugin {
    prefix: Prefix { min_host_minor: 99, ..Prefix::current() },
    name: Str::new("needs-newer-host"),
    version: Str::new("0.1.0"),
    license: Str::new("MIT OR Apache-2.0"),
    build_info: Str::new("fixture"),
    flags: 0,
    pass_count: 0,
    passes: null(),
};

/// The one exported symbol.
#[allow(unsafe_code, reason = "the symbol's name is fixed by the interface")]
#[unsafe(no_mangle)]
pub extern "C" fn paring_plugin_entry(_host_major: u32, _host_minor: u32) -> *const Plugin {
    &raw const PLUGIN
}
