//! Opening a library and shaking hands with it.

use std::path::{Path, PathBuf};

use libloading::Library;
use paring_plugin_abi::{ABI_MAJOR, ABI_MINOR, ENTRY_SYMBOL, Entry, MAGIC, Plugin, Prefix};

use crate::describe::{PluginDescription, describe};
use crate::error::PluginError;

/// A loaded plugin. Never unloaded: threads and thread-local destructors of a library may outlive any owner.
#[derive(Debug)]
pub struct PluginLibrary {
    path: PathBuf,
    plugin: &'static Plugin,
}

impl PluginLibrary {
    /// Loads the library at `path` into this process and checks that the two sides fit. Runs the library's
    /// initializers: only for files that the user trusts.
    ///
    /// # Errors
    /// When the file cannot be loaded, is no plugin, or was built for another version of the interface.
    pub fn open(path: &Path) -> Result<Self, PluginError> {
        let library = load(path)?;
        let address = call_entry(path, &library)?;
        check_prefix(path, address)?;
        // Mapped for the rest of the process, which makes the `'static` below true.
        std::mem::forget(library);
        // SAFETY: the entry returned a non-null, aligned address of a static description, whose prefix says that it is
        // at least as large as ours and of our major version; the library stays mapped.
        #[allow(unsafe_code, reason = "reads the plugin's static description")]
        let plugin = unsafe { &*address };
        Ok(Self { path: path.to_path_buf(), plugin })
    }

    /// What the plugin says of itself.
    ///
    /// # Errors
    /// When a text is no UTF-8, a pass has no id, or a schema is no JSON.
    pub fn describe(&self) -> Result<PluginDescription, PluginError> {
        describe(&self.path, self.plugin)
    }
}

#[cfg(unix)]
fn load(path: &Path) -> Result<Library, PluginError> {
    use libloading::os::unix::{Library as UnixLibrary, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: loading runs the library's initializers; the caller vouches for the file.
    #[allow(unsafe_code, reason = "loading a library is unsafe by nature")]
    let library = unsafe { UnixLibrary::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    library.map(Library::from).map_err(|error| refused(path, &error))
}

#[cfg(not(unix))]
fn load(path: &Path) -> Result<Library, PluginError> {
    // SAFETY: loading runs the library's initializers; the caller vouches for the file.
    #[allow(unsafe_code, reason = "loading a library is unsafe by nature")]
    let library = unsafe { Library::new(path) };
    library.map_err(|error| refused(path, &error))
}

fn refused(path: &Path, error: &libloading::Error) -> PluginError {
    let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    PluginError::Load { path: path.to_path_buf(), reason }
}

fn call_entry(path: &Path, library: &Library) -> Result<*const Plugin, PluginError> {
    // SAFETY: the symbol's type is fixed by the interface; a library that exports the name with another type is
    // malicious, and loading it has run its code already.
    #[allow(unsafe_code, reason = "looks up and calls the one exported symbol")]
    let address = unsafe {
        let entry = library
            .get::<Entry>(ENTRY_SYMBOL)
            .map_err(|_| PluginError::NoEntry { path: path.to_path_buf(), symbol: ENTRY_SYMBOL })?;
        entry(ABI_MAJOR, ABI_MINOR)
    };
    let reason = match address {
        null if null.is_null() => "its entry returned a null pointer",
        odd if !odd.is_aligned() => "its entry returned a misaligned pointer",
        good => return Ok(good),
    };
    Err(PluginError::NotAPlugin { path: path.to_path_buf(), reason })
}

fn check_prefix(path: &Path, address: *const Plugin) -> Result<(), PluginError> {
    // SAFETY: non-null and aligned; every version of a description begins with this frozen prefix.
    #[allow(unsafe_code, reason = "reads the frozen prefix and nothing beyond")]
    let prefix = unsafe { address.cast::<Prefix>().read() };
    let path = path.to_path_buf();
    if prefix.magic != MAGIC {
        return Err(PluginError::NotAPlugin { path, reason: "its description does not begin with the magic number" });
    }
    if prefix.abi_major != ABI_MAJOR {
        return Err(PluginError::Major { path, found: prefix.abi_major, expected: ABI_MAJOR });
    }
    if prefix.min_host_minor > ABI_MINOR {
        let (major, needed, found) = (ABI_MAJOR, prefix.min_host_minor, ABI_MINOR);
        return Err(PluginError::HostTooOld { path, major, needed, found });
    }
    if (prefix.struct_size as usize) < size_of::<Plugin>() {
        return Err(PluginError::NotAPlugin { path, reason: "its description is shorter than its version says" });
    }
    Ok(())
}
