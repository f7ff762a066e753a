//! Tokens that were opened a moment ago.
//!
//! A browser sends the same token with each of its requests, and most of the work of opening it is
//! to derive and expand the key that is the token's own. What a key has opened for a purpose stands
//! beside it, and is wiped with it: a key that is erased takes its memory along. Only how a token
//! is decrypted is remembered, never whether it is accepted: its times are judged at each call.

use std::sync::{Mutex, OnceLock};

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::xaes::Xaes;

/// A key for one purpose, and the tokens that it has opened.
pub(crate) struct Cipher {
    pub(crate) xaes: Xaes,
    opened: Option<Opened>,
}

impl Cipher {
    pub(crate) fn new(xaes: Xaes) -> Self {
        Self { xaes, opened: Some(Opened::default()) }
    }

    /// For one use: it remembers nothing.
    pub(crate) fn once(xaes: Xaes) -> Self {
        Self { xaes, opened: None }
    }

    /// Opens a token in place, by `open` where it is not remembered. `random` is a byte of its
    /// nonce.
    pub(super) fn open(
        &self,
        token: &mut [u8],
        random: u8,
        open: impl FnOnce(&mut [u8]) -> bool,
    ) -> bool {
        match &self.opened {
            Some(opened) => opened.open(token, random, open),
            None => open(token),
        }
    }
}

/// The last tokens that were opened, each in the place that its nonce names.
#[derive(Default)]
struct Opened(OnceLock<Box<[Mutex<Entry>]>>);

/// Longer tokens are not remembered; that of a session id has 66 bytes. A multiple of 8.
const LONGEST: usize = 80;

/// As many as the values of a byte.
const PLACES: usize = 256;

struct Entry {
    length: usize,
    sealed: Zeroizing<[u8; LONGEST]>,
    opened: Zeroizing<[u8; LONGEST]>,
}

impl Default for Entry {
    fn default() -> Self {
        let [sealed, opened] = [(); 2].map(|()| Zeroizing::new([0; LONGEST]));
        Self { length: 0, sealed, opened }
    }
}

impl Opened {
    fn open(&self, token: &mut [u8], random: u8, open: impl FnOnce(&mut [u8]) -> bool) -> bool {
        if token.len() > LONGEST {
            return open(token);
        }
        let place = usize::from(random);
        let mut sealed = [0; LONGEST];
        sealed[..token.len()].copy_from_slice(token);
        // Never waits: whoever finds it taken opens for itself.
        if let Some(places) = self.0.get()
            && let Ok(entry) = places[place].try_lock()
            && entry.length == token.len()
            && entry.is(&sealed)
        {
            token.copy_from_slice(&entry.opened[..token.len()]);
            return true;
        }
        if !open(token) {
            return false;
        }
        let places = self.0.get_or_init(|| (0..PLACES).map(|_| Mutex::default()).collect());
        if let Ok(mut entry) = places[place].try_lock() {
            entry.length = token.len();
            *entry.sealed = sealed;
            entry.opened[..token.len()].copy_from_slice(token);
        }
        true
    }
}

impl Entry {
    /// In constant time, as the comparison of tags is: how far a guess is right must not show.
    fn is(&self, sealed: &[u8; LONGEST]) -> bool {
        let pairs = self.sealed.as_chunks().0.iter().zip(sealed.as_chunks().0);
        let differs = pairs.fold(0, |differs, (one, other)| {
            differs | (u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*other))
        });
        differs.ct_eq(&0).into()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn flip(token: &mut [u8]) -> bool {
        token[1] = !token[1];
        true
    }

    #[test]
    fn what_was_opened_is_opened_alike_without_its_key() {
        let opened = Opened::default();
        for _ in 0..2 {
            let mut token = [7; 66];
            assert!(opened.open(&mut token, 7, flip));
            assert_eq!(token[..3], [7, !7, 7]);
        }
        let mut token = [7; 66];
        assert!(opened.open(&mut token, 7, |_| panic!("it is remembered")));
        assert_eq!(token[..3], [7, !7, 7]);
    }

    #[test]
    fn no_other_token_passes_for_one_that_was_opened() {
        let opened = Opened::default();
        assert!(opened.open(&mut [7; 66], 7, flip));
        for at in 0..66 {
            let mut token = [7; 66];
            token[at] ^= 1;
            assert!(!opened.open(&mut token, 7, |_| false), "byte {at}");
        }
        for length in [0, 1, 65, 67, 80, 81, 200] {
            assert!(!opened.open(&mut vec![7; length], 7, |_| false), "{length} bytes");
        }
    }

    #[test]
    fn a_refused_token_is_not_remembered() {
        let opened = Opened::default();
        for _ in 0..2 {
            let asked = Cell::new(false);
            let refuse = |_: &mut [u8]| {
                asked.set(true);
                false
            };
            assert!(!opened.open(&mut [7; 66], 7, refuse));
            assert!(asked.get());
        }
    }

    #[test]
    fn a_place_that_is_taken_is_not_waited_for() {
        let opened = Opened::default();
        assert!(opened.open(&mut [7; 66], 7, flip));
        let _taken = opened.0.get().unwrap()[7].lock().unwrap();
        assert!(!opened.open(&mut [7; 66], 7, |_| false));
        assert!(opened.open(&mut [7; 66], 8, flip));
    }

    #[test]
    fn what_it_holds_is_wiped_when_it_is_dropped() {
        fn wiped<T: zeroize::ZeroizeOnDrop>(_: &T) {}
        let Entry { sealed, opened, .. } = Entry::default();
        wiped(&sealed);
        wiped(&opened);
    }
}
