//! The C interface between Paring and its plugins: plain `repr(C)` types and constants, no dependency.
//!
//! Version 0 covers the handshake and the description of passes: a host can load a library, decide whether the two
//! sides fit, and read what it offers. Running a plugin's pass needs a later version.
//!
//! A plugin exports one symbol, [`ENTRY_SYMBOL`]. The host calls it with its own version and gets the address of a
//! static [`Plugin`]; it reads nothing beyond [`Prefix`] until the versions are found to fit.

use std::ffi::c_void;

/// Name of the one exported symbol.
pub const ENTRY_SYMBOL: &str = "paring_plugin_entry";

/// First eight bytes of every [`Plugin`]: "PARINGPL" read as a little-endian number.
pub const MAGIC: u64 = u64::from_le_bytes(*b"PARINGPL");

/// Incompatible changes of this interface. Unrelated to the product's version.
pub const ABI_MAJOR: u32 = 0;

/// Compatible additions within [`ABI_MAJOR`].
pub const ABI_MINOR: u32 = 1;

/// The plugin must run in a process of its own.
pub const REQUIRES_ISOLATION: u64 = 1;

/// Type of the entry symbol.
///
/// Thread: any. Repetition: any number of times, always the same address. Ownership: the plugin keeps what it returns,
/// unchanged, for as long as it is loaded. Failure: a null pointer.
pub type Entry = unsafe extern "C" fn(host_major: u32, host_minor: u32) -> *const Plugin;

/// UTF-8 text of a known length, borrowed: not ended by a zero byte. Null with length 0 is the empty text.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Str {
    /// First byte.
    pub data: *const u8,
    /// Bytes.
    pub length: usize,
}

/// The frozen beginning of [`Plugin`]: never changes, whatever the version.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Prefix {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`ABI_MAJOR`] that the plugin was built with.
    pub abi_major: u32,
    /// [`ABI_MINOR`] that the plugin was built with. A larger one than the host's is no reason to refuse.
    pub abi_minor: u32,
    /// Smallest minor version of a host that the plugin can work with.
    pub min_host_minor: u32,
    /// Bytes of the plugin's [`Plugin`]; later minor versions add fields at its end.
    pub struct_size: u32,
}

/// A plugin's description of itself.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Plugin {
    /// Read first.
    pub prefix: Prefix,
    /// Its name, as in a recipe: `acme-prune`.
    pub name: Str,
    /// Its version (Semantic Versioning).
    pub version: Str,
    /// SPDX licence expression.
    pub license: Str,
    /// Compiler and settings it was built with; for reports only.
    pub build_info: Str,
    /// [`REQUIRES_ISOLATION`] and later flags; unknown ones are ignored.
    pub flags: u64,
    /// How many passes.
    pub pass_count: usize,
    /// Pointers to that many descriptions (pointers, so that the descriptions can grow).
    pub passes: *const *const PassInfo,
}

/// A plugin's description of one pass.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PassInfo {
    /// Bytes of the plugin's `PassInfo`.
    pub struct_size: u32,
    /// No flag is defined yet.
    pub flags: u32,
    /// `kind/name`.
    pub id: Str,
    /// One line.
    pub summary: Str,
    /// What it needs, a JSON list of names.
    pub needs: Str,
    /// What it leaves, a JSON list of names.
    pub leaves: Str,
    /// JSON Schema of its parameter block.
    pub parameters_schema: Str,
    /// The plugin's own; the host hands it back.
    pub pass_data: *const c_void,
}

// SAFETY: a description is immutable for as long as the plugin is loaded, and plugins are never unloaded.
#[allow(unsafe_code, reason = "static descriptions hold raw pointers to static data")]
unsafe impl Sync for Plugin {}
// SAFETY: as for `Plugin`.
#[allow(unsafe_code, reason = "static descriptions hold raw pointers to static data")]
unsafe impl Sync for PassInfo {}

impl Str {
    /// A static text.
    pub const fn new(text: &'static str) -> Self {
        Self { data: text.as_ptr(), length: text.len() }
    }
}

impl Prefix {
    /// The prefix of a plugin built with this version that works with every host of the same major version.
    pub const fn current() -> Self {
        Self {
            magic: MAGIC,
            abi_major: ABI_MAJOR,
            abi_minor: ABI_MINOR,
            min_host_minor: 0,
            struct_size: size_of::<Plugin>() as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::{PassInfo, Plugin, Prefix};

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_layout_is_the_one_that_plugins_were_built_with() {
        assert_eq!(
            [
                offset_of!(Prefix, magic),
                offset_of!(Prefix, abi_major),
                offset_of!(Prefix, abi_minor),
                offset_of!(Prefix, min_host_minor),
                offset_of!(Prefix, struct_size),
                size_of::<Prefix>(),
            ],
            [0, 8, 12, 16, 20, 24]
        );
        assert_eq!(
            [offset_of!(Plugin, name), offset_of!(Plugin, flags), offset_of!(Plugin, passes), size_of::<Plugin>()],
            [24, 88, 104, 112]
        );
        assert_eq!([offset_of!(PassInfo, id), offset_of!(PassInfo, pass_data), size_of::<PassInfo>()], [8, 88, 96]);
    }
}
