//! The cases in `fail` and `pass`, which `tests/ui.rs` compiles.
