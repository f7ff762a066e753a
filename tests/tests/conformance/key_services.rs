//! The key services of the crate keep the contract of a key service.

use sessions::keys::conformance::Subject;
use sessions::keys::{LocalKey, Recipients};

fn key(byte: u8) -> LocalKey {
    LocalKey::from_bytes([byte; 32])
}

mod local {
    use super::{Subject, key};

    async fn subject() -> Subject {
        Subject::new(key(1))
            .with_twin(key(1))
            .with_successor(key(2).and_previous(key(1)))
            .with_stranger(key(3))
    }

    sessions::keys::conformance::suite!(subject);
}

mod recipients {
    use super::{Recipients, Subject, key};

    /// The twin answers by the second recipient, and the successor has moved to others.
    async fn subject() -> Subject {
        Subject::new(Recipients::new(key(1)).and(key(2)).and_recovery(key(3)))
            .with_twin(Recipients::new(key(1)).and(key(2)).and_recovery(key(3)))
            .with_successor(Recipients::new(key(4)).and(key(2)).and_recovery(key(5)))
            .with_stranger(Recipients::new(key(6)).and(key(7)))
    }

    sessions::keys::conformance::suite!(subject);
}

mod recipients_for_recovery {
    use super::{Recipients, Subject, key};

    /// A host, and a program for recovery that may decrypt and has lost the host's key.
    async fn subject() -> Subject {
        Subject::new(Recipients::new(key(1)).and_recovery(key(2)))
            .with_successor(Recipients::new(key(3)).and(key(2)))
            .with_stranger(Recipients::new(key(4)).and_recovery(key(2)))
    }

    sessions::keys::conformance::suite!(subject);
}

mod one_recipient {
    use super::{Recipients, Subject, key};

    /// As during a move from a key to a set: either opens what the other wraps.
    async fn subject() -> Subject {
        Subject::new(Recipients::new(key(1)))
            .with_twin(key(1))
            .with_successor(Recipients::new(key(1)).and(key(2)))
            .with_stranger(Recipients::new(key(3)))
    }

    sessions::keys::conformance::suite!(subject);
}
