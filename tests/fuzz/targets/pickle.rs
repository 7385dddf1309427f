//! A file of `torch.save`: the archive or the pickles before it, and the machine that reads them.
#![no_main]

mod open;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| open::file("weights.pt", bytes));
