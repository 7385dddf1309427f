//! A library with one described pass: the fixture of the host's tests, and the smallest plugin there is.

use std::ptr::null;

use paring_plugin_abi::{PassInfo, Plugin, Prefix, Str};

static PASS: PassInfo = PassInfo {
    struct_size: size_of::<PassInfo>() as u32,
    flags: 0,
    id: Str::new("prune/nothing"),
    summary: Str::new("Describes itself"),
    needs: Str::new("[]"),
    leaves: Str::new(r#"["masks"]"#),
    parameters_schema: Str::new(r#"{"type": "object", "additionalProperties": false}"#),
    pass_data: null(),
};

struct Passes([*const PassInfo; 1]);
// SAFETY: the pointer leads to an immutable static.
#[allow(unsafe_code, reason = "a static array of pointers to statics")]
unsafe impl Sync for Passes {}
static PASSES: Passes = Passes([&raw const PASS]);

static PLUGIN: Plugin = Plugin {
    prefix: Prefix::current(),
    name: Str::new("handshake"),
    version: Str::new("0.1.0"),
    license: Str::new("MIT OR Apache-2.0"),
    build_info: Str::new("fixture"),
    flags: 0,
    pass_count: 1,
    passes: PASSES.0.as_ptr(),
};

/// The one exported symbol.
#[allow(unsafe_code, reason = "the symbol's name is fixed by the interface")]
#[unsafe(no_mangle)]
pub extern "C" fn paring_plugin_entry(_host_major: u32, _host_minor: u32) -> *const Plugin {
    &raw const PLUGIN
}
