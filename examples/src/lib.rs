//! Runnable examples of the `sessions` crates: see the files beside `src`.
