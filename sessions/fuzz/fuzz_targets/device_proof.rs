#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sessions::fuzzing::device_proof(data));
