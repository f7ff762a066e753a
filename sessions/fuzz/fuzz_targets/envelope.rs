#![no_main]

#[path = "../envelope.rs"]
mod envelope;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = envelope::run(data);
});
