//! Quantities with units: ratios (`0.1`, `10%`), sizes (`20MB`), durations (`5ms`).

/// A size in bytes: `20MB` (10^6), `20MiB` (2^20), `512B`, or a plain number of bytes.
///
/// # Errors
/// What was found and what was expected.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let _ = text;
    todo!()
}

/// A duration in seconds: `5ms`, `2s`, `10min`, `1h`.
///
/// # Errors
/// What was found and what was expected.
pub fn parse_seconds(text: &str) -> Result<f64, String> {
    let _ = text;
    todo!()
}
