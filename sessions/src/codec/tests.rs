//! What a codec and its key ring must do, on a memory provider that can fail.

mod availability;
mod concurrency;
mod encryption;
mod information;
mod recipients;
mod recovery;
mod rotation;
mod simulation;
mod support;
mod tokens;
