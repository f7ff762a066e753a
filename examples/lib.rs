//! Runnable examples of `sessionful`: the files beside this one.
