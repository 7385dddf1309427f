//! Why a library was refused.

use std::path::PathBuf;

/// Why a library was refused. Messages are lower case, name the file, and have no full stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// The system's loader refused the file.
    #[error("cannot load `{}`: {reason}", path.display())]
    Load {
        /// The library.
        path: PathBuf,
        /// The loader's own words.
        reason: String,
    },
    /// The one symbol is not there.
    #[error("`{}` is no Paring plugin: it does not export `{symbol}`", path.display())]
    NoEntry {
        /// The library.
        path: PathBuf,
        /// The symbol.
        symbol: &'static str,
    },
    /// The entry gave nothing, or something that is no description.
    #[error("`{}` is no Paring plugin: {reason}", path.display())]
    NotAPlugin {
        /// The library.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// Another major version.
    #[error("`{}` speaks version {found} of the plugin interface, this host speaks version {expected}: {}",
        path.display(), if found > expected { "the host is too old" } else { "the plugin is too old" })]
    Major {
        /// The library.
        path: PathBuf,
        /// The plugin's major version.
        found: u32,
        /// The host's.
        expected: u32,
    },
    /// The plugin needs a newer host.
    #[error("`{}` needs a host with plugin interface {major}.{needed} or newer, this host has {major}.{found}",
        path.display())]
    HostTooOld {
        /// The library.
        path: PathBuf,
        /// Major version of both.
        major: u32,
        /// Minor version needed.
        needed: u32,
        /// The host's minor version.
        found: u32,
    },
    /// A description that cannot be read.
    #[error("the description in `{}` is wrong: {reason}", path.display())]
    Description {
        /// The library.
        path: PathBuf,
        /// Which field, and what is wrong with it.
        reason: String,
    },
}
