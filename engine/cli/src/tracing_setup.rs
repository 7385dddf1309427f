//! Where the engine's tracing spans and events go: standard error, filtered by -v or RUST_LOG.

use tracing_subscriber::EnvFilter;

/// Installs the subscriber for the whole process.
pub fn install(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .finish();
    // Only fails when a subscriber is installed already, which nobody does before this.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
