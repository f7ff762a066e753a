//! Helpers of the tests in this package.
