//! What is stored is what comes back: random values of every shape that serde has. Each is read as it
//! was saved, or saving it is refused.

use std::cell::Cell;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::fuzz_shapes::{Outcome, run};

#[test]
fn what_is_stored_is_what_comes_back() {
    let (saved, refused) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig { cases: 2_000, ..ProptestConfig::default() };
    let bytes = proptest::collection::vec(any::<u8>(), 0..600);
    let outcome = TestRunner::new(config).run(&bytes, |data| {
        match run(&data) {
            Outcome::Saved => saved.set(saved.get() + 1),
            Outcome::Refused => refused.set(refused.get() + 1),
        }
        Ok(())
    });
    outcome.unwrap();
    println!("{} saved, {} refused", saved.get(), refused.get());
    assert!(saved.get() > 200 && refused.get() > 200);
}

#[test]
fn the_corpus_of_shapes_does_no_harm() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sessions/fuzz/corpus/shapes");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(files.len() >= 10, "the corpus has only {} files", files.len());
    for file in files {
        run(&std::fs::read(file.unwrap().path()).unwrap());
    }
}
