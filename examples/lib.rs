//! Runnable examples of the `sessions` crates: the files beside this one.
