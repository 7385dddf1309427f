//! A safetensors file: its header, and whatever it says the weights are.
#![no_main]

mod open;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| open::file("model.safetensors", bytes));
