//! A GGUF file: metadata, tensors, settings, tokenizer.
#![no_main]

mod open;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| open::file("model.gguf", bytes));
