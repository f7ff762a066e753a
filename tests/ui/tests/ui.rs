//! What the compiler says to whoever misuses `#[derive(Session)]`, and what must compile.
//!
//! Each message is meant to tell what to type to somebody who has never seen the attribute. After a
//! change, run with `TRYBUILD=overwrite` and read every difference.

#[test]
fn misuse_is_explained() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}

#[test]
fn unusual_surroundings_compile() {
    trybuild::TestCases::new().pass("pass/*.rs");
}
