//! The index of a model that is spread over files.
#![no_main]

mod open;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| open::directory("model.safetensors.index.json", bytes));
