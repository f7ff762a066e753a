#![no_main]

#[path = "../shapes.rs"]
mod shapes;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = shapes::run(data);
});
