//! Every interleaving of what can happen to one session at the same time, over the real store.
//!
//! Each client works on a provider that stops before every call; a driver decides who goes next,
//! and runs each possible order once. After each, what must always hold is checked.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod driver;
mod world;

use driver::explore;
use world::{Action, Start};

const PAIRS: [Action; 9] = [
    Action::Login,
    Action::Write,
    Action::Logout,
    Action::Revoke,
    Action::RevokeAll,
    Action::Expire,
    Action::LostWrite,
    Action::LostLogin { save: 1 },
    Action::LostLogin { save: 2 },
];

#[test]
fn every_pair_keeps_what_must_hold() {
    let mut schedules = 0;
    for start in [Start::Anonymous, Start::LoggedIn] {
        for (at, one) in PAIRS.iter().enumerate() {
            for other in &PAIRS[at..] {
                let found = explore(start, &[*one, *other], false);
                assert_eq!(found.violations, [""; 0], "{start:?}: {one:?} beside {other:?}");
                schedules += found.schedules;
            }
        }
    }
    println!("pairs: {schedules} schedules, no violation");
    assert!(schedules > 1_000, "{schedules}");
}

#[test]
fn every_triple_of_login_write_and_logout_keeps_what_must_hold() {
    let mut schedules = 0;
    let actions = [Action::Login, Action::Write, Action::Logout];
    for start in [Start::Anonymous, Start::LoggedIn] {
        for (first, one) in actions.iter().enumerate() {
            for (second, two) in actions.iter().enumerate().skip(first) {
                for three in &actions[second..] {
                    let clients = [*one, *two, *three];
                    let found = explore(start, &clients, false);
                    assert_eq!(found.violations, [""; 0], "{start:?}: {clients:?}");
                    schedules += found.schedules;
                }
            }
        }
    }
    println!("triples: {schedules} schedules, no violation");
    assert!(schedules > 10_000, "{schedules}");
}

/// What shows that the driver can find something: renewal done as "save the new, delete the old".
#[test]
fn the_driver_finds_what_a_naive_renewal_breaks() {
    let mut violations = 0;
    for other in [Action::Write, Action::Login, Action::Logout] {
        let found = explore(Start::Anonymous, &[Action::Login, other], true);
        println!(
            "naive login beside {other:?}: {} of {} schedules",
            found.violations.len(),
            found.schedules
        );
        assert!(!found.violations.is_empty(), "login beside {other:?}");
        violations += found.violations.len();
    }
    assert!(violations > 10, "{violations}");
}
