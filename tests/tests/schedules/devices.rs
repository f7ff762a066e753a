//! Bindings to devices beside everything else: none survives its owner, and none is lost by a merge.

use sessions::provider::Record;
use sessions_tests::device::Answer;
use sessions_tests::hooked::{Call, Fault};

use crate::check;
use crate::check::Live;
use crate::client::{Act, Client, End};
use crate::world::{Start, USER, World};

/// The key of the header's extra that holds a device, and the head of its value: an array of a key of
/// 33 bytes and more.
const EXTRA: [u8; 4] = [0x10, 0x83, 0x58, 33];

/// The device of a record, as it is stored.
pub(crate) fn device(record: &Record) -> Option<&[u8]> {
    let at = record.data.windows(EXTRA.len()).position(|bytes| bytes == EXTRA)?;
    record.data.get(at + EXTRA.len()..at + EXTRA.len() + 33)
}

impl World {
    /// What must hold of bindings.
    pub(crate) fn check_devices(
        &self,
        clients: &[Client],
        ends: &[End],
        live: &[Live],
    ) -> Result<(), String> {
        let acted = |act: Act| {
            let of = move |(client, _): &(&Client, &End)| client.act == act;
            clients.iter().zip(ends).filter(of).map(|(client, end)| (client, end.device.as_ref()))
        };
        let bound = acted(Act::Register).filter(|(_, it)| it.is_some_and(Answer::is_proof));
        let bound = bound.count();
        if bound > 1 {
            return Err("two devices were bound to one session".to_owned());
        }
        for session in live {
            if session.bound && (session.user != Some(USER) || session.key != *self.key()) {
                return Err("a binding survived its owner".to_owned());
            }
        }
        let was_bound = device_of_start(self);
        let start = live.iter().find(|session| session.key == *self.key());
        if let Some(start) = start {
            if bound + usize::from(was_bound) > 0 && !start.bound {
                return Err("a binding was lost".to_owned());
            }
            // A registration whose every answer was lost may have taken place.
            let maybe = acted(Act::Register).any(|(client, it)| {
                client.fault != Fault::None && it.is_some_and(|it| it.status == 503)
            });
            if start.bound && bound == 0 && !was_bound && !maybe {
                return Err("a registration was refused and took place".to_owned());
            }
            if acted(Act::Refresh).any(|(_, it)| it.is_some_and(Answer::is_end)) {
                return Err("a browser was told that a live session has ended".to_owned());
            }
        }
        let log = self.log();
        for (at, (client, end)) in clients.iter().zip(ends).enumerate() {
            let proven = end.device.as_ref().is_some_and(Answer::is_proof);
            let (Some((deleted, _)), Some(fetched)) = (log.deleted_at, log.fetched_at.get(&at))
            else {
                continue;
            };
            if client.act == Act::Refresh && proven && *fetched > deleted {
                return Err("a session that had ended was proven".to_owned());
            }
        }
        Ok(())
    }
}

fn device_of_start(world: &World) -> bool {
    !world.device().identifier.is_empty()
}

/// What ends, renews or changes a session beside a device.
const BESIDE: [Act; 12] = [
    Act::Logout,
    Act::Revoke,
    Act::RevokeAll,
    Act::Expire,
    Act::Renew,
    Act::ChangeRole,
    Act::StepUp,
    Act::LoginWithAttempt,
    Act::ReplaceOwner,
    Act::Leave,
    Act::Write,
    Act::Update,
];

/// Two of them at once.
const PAIRS: [(Act, Act); 5] = [
    (Act::Renew, Act::Renew),
    (Act::Renew, Act::Write),
    (Act::Write, Act::Logout),
    (Act::Leave, Act::Write),
    (Act::ChangeRole, Act::Revoke),
];

#[test]
fn a_registration_beside_anything_binds_the_session_or_says_no() {
    let start = Start::JustLoggedIn;
    let mut schedules = 0;
    for one in BESIDE {
        schedules += check(start, &[Client::new(Act::Register), Client::new(one)]);
        for fault in crate::FAULTS {
            let clients = [Client::new(Act::Register).with(fault), Client::new(one)];
            schedules += check(start, &clients);
            let clients = [Client::new(Act::Register), Client::new(one).with(fault)];
            schedules += check(start, &clients);
        }
    }
    for (one, other) in PAIRS {
        schedules += check(start, &[Act::Register, one, other].map(Client::new));
    }
    println!("registrations: {schedules} schedules, no violation");
    assert!(schedules > 500, "{schedules}");
}

#[test]
fn of_two_registrations_one_binds() {
    let two = [Act::Register, Act::Register].map(Client::new);
    let mut schedules = check(Start::JustLoggedIn, &two);
    for beside in [Act::Renew, Act::Write, Act::Logout] {
        let three = [Act::Register, Act::Register, beside].map(Client::new);
        schedules += check(Start::JustLoggedIn, &three);
    }
    for fault in [Fault::Lost(Call::Save, 1), Fault::Next(1)] {
        let two = [Client::new(Act::Register).with(fault), Client::new(Act::Register)];
        schedules += check(Start::JustLoggedIn, &two);
    }
    println!("two registrations: {schedules} schedules, no violation");
    assert!(schedules > 100, "{schedules}");
}

#[test]
fn a_refresh_beside_anything_proves_what_is_live() {
    let mut schedules = 0;
    for one in BESIDE {
        schedules += check(Start::Bound, &[Act::Refresh, one].map(Client::new));
        schedules += check(Start::Bound, &[Act::Register, one].map(Client::new));
    }
    for (one, other) in PAIRS {
        schedules += check(Start::Bound, &[Act::Refresh, one, other].map(Client::new));
    }
    println!("refreshes: {schedules} schedules, no violation");
    assert!(schedules > 200, "{schedules}");
}
