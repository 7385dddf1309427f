//! Opening reads headers, not weights. Alone in its process, so that its memory is its own.

use std::fs::File;
use std::io::Write;

use paring_model::Outline;
use tempfile::TempDir;

/// Resident memory of this process in bytes; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[test]
fn an_outline_of_half_a_gigabyte_takes_little_memory() {
    let rows = 125_000_000_u64;
    let header = format!(r#"{{"w":{{"dtype":"F32","shape":[{rows},1],"data_offsets":[0,{}]}}}}"#, rows * 4);
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("model.safetensors");
    let mut file = File::create(&path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    // The numbers are a hole in the file, but would be resident once read.
    file.set_len(8 + header.len() as u64 + rows * 4).unwrap();
    let before = resident();
    let outline = Outline::open(&path).unwrap();
    assert_eq!(outline.parameters(), rows);
    assert!(outline.file_size() > rows * 4);
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more are resident");
}
