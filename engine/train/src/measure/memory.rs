//! The memory that running a model takes, as the operating system counts it.

use std::fs;

use paring_data::Examples;
use paring_model::Checkpoint;

use super::latency::{batch, run};
use crate::error::{Result, TrainError};

/// Peak resident set of the process in bytes while one batch runs: the kernel's high-water mark (`VmHWM`), set back to
/// the present before the pass. It counts the whole process (code, data and what the allocator keeps as well as the
/// model), so compare figures of one process only.
pub(super) fn peak_memory(model: &Checkpoint, rows: Option<&Examples>, rows_at_once: usize) -> Result<f64> {
    let input = batch(model, rows, rows_at_once)?;
    fs::write("/proc/self/clear_refs", "5").map_err(|_| not_available())?;
    let network = model.network()?;
    run(network.as_ref(), &input)?;
    let status = fs::read_to_string("/proc/self/status").map_err(|_| not_available())?;
    high_water_mark(&status).ok_or_else(not_available)
}

/// `VmHWM:    1234 kB` in bytes.
fn high_water_mark(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes as f64 * 1024.0)
}

fn not_available() -> TrainError {
    TrainError::Mismatch("measure `peak_memory` is not available on this system; it needs Linux's /proc".to_owned())
}

#[cfg(test)]
mod tests {
    use super::high_water_mark;

    #[test]
    fn the_mark_is_read_in_bytes() {
        assert_eq!(high_water_mark("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 10 kB\n"), Some(2_097_152.0));
        assert_eq!(high_water_mark("Name:\tx\n"), None);
    }
}
