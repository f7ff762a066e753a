//! Every interleaving of what can happen to one session at the same time, over the real store.
//!
//! Each client works on a provider that stops before every call; a driver decides who goes next,
//! and runs each possible order once. After each, what must always hold is checked.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod check;
mod client;
mod devices;
mod driver;
mod moving;
mod world;

use client::{Act, Client};
use driver::explore;
use sessions_tests::hooked::{Call, Fault};
use world::Start;

const STARTS: [Start; 2] = [Start::Anonymous, Start::LoggedIn];

/// What a client does in the pairs.
const ACTS: [Act; 16] = [
    Act::Login,
    Act::LoginWithAttempt,
    Act::Renew,
    Act::ChangeRole,
    Act::StepUp,
    Act::Impersonate,
    Act::ReplaceOwner,
    Act::Leave,
    Act::Write,
    Act::Update,
    Act::Read,
    Act::Reload,
    Act::Logout,
    Act::Revoke,
    Act::RevokeAll,
    Act::Expire,
];

/// What can go wrong for a client.
const FAULTS: [Fault; 6] = [
    Fault::Lost(Call::Save, 1),
    Fault::Lost(Call::Save, 2),
    Fault::Lost(Call::Delete, 1),
    Fault::Next(3),
    Fault::LostThenNext(Call::Save, 4),
    Fault::LostThenDown(Call::Save),
];

fn check(start: Start, clients: &[Client]) -> usize {
    let found = explore(start, clients);
    assert_eq!(found.violations, [""; 0], "{start:?}: {clients:?}");
    found.schedules
}

#[test]
fn every_pair_keeps_what_must_hold() {
    let mut schedules = 0;
    for start in STARTS {
        for (at, one) in ACTS.iter().enumerate() {
            for other in &ACTS[at..] {
                schedules += check(start, &[Client::new(*one), Client::new(*other)]);
            }
        }
    }
    println!("pairs: {schedules} schedules, no violation");
    assert!(schedules > 1_000, "{schedules}");
}

/// The app calls `commit()` again on the same handle when it fails.
#[test]
fn every_pair_with_a_fault_keeps_what_must_hold() {
    let mut schedules = 0;
    for start in STARTS {
        for one in ACTS {
            for fault in FAULTS {
                for other in [Act::Login, Act::Write, Act::Logout, Act::ChangeRole, Act::RevokeAll]
                {
                    let clients = [Client::new(one).with(fault), Client::new(other)];
                    schedules += check(start, &clients);
                }
            }
        }
    }
    println!("pairs with a fault: {schedules} schedules, no violation");
    assert!(schedules > 5_000, "{schedules}");
}

#[test]
fn every_triple_that_matters_keeps_what_must_hold() {
    let mut schedules = 0;
    let acts = [Act::Login, Act::Write, Act::Logout, Act::ChangeRole];
    for start in STARTS {
        for (first, one) in acts.iter().enumerate() {
            for (second, two) in acts.iter().enumerate().skip(first) {
                for three in &acts[second..] {
                    schedules += check(start, &[*one, *two, *three].map(Client::new));
                }
            }
        }
        for other in [Act::Write, Act::Logout, Act::LoginWithAttempt, Act::Impersonate] {
            schedules += check(start, &[Act::StepUp, Act::Write, other].map(Client::new));
        }
        for other in [Act::Login, Act::LoginWithAttempt, Act::ReplaceOwner, Act::StepUp] {
            let clients = [Act::RevokeAll, Act::Logout, other].map(Client::new);
            schedules += check(start, &clients);
        }
    }
    println!("triples: {schedules} schedules, no violation");
    assert!(schedules > 10_000, "{schedules}");
}

/// A cap of one: logins beside each other and beside a change of role.
#[test]
fn every_pair_under_a_cap_keeps_what_must_hold() {
    let mut schedules = 0;
    for start in [Start::Anonymous, Start::TwoDevices] {
        for one in [Act::Login, Act::LoginWithAttempt, Act::LoginElsewhere] {
            for other in [
                Act::Login,
                Act::LoginElsewhere,
                Act::ChangeRole,
                Act::Write,
                Act::StepUp,
                Act::Impersonate,
            ] {
                schedules +=
                    check(start, &[Client::new(one).capped(), Client::new(other).capped()]);
            }
        }
    }
    println!("pairs under a cap: {schedules} schedules, no violation");
    assert!(schedules > 500, "{schedules}");
}
