//! The part of a record before its fields: versions, times, save ids, extras.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use smallvec::SmallVec;

use super::malformed::{Malformed, Reason};
use super::wire::Out;
use super::{cbor, wire};
use crate::authentication::Authentication;
use crate::clock::{from_unix_millis, to_unix_millis};
use crate::device::{Device, Devices};
use crate::device_key::{BindingId, BoundDevice, DeviceKey};
use crate::id::{Mark, SecretHash};

/// The envelope version that this build reads and writes.
pub(super) const ENVELOPE: u8 = 1;

/// What data that the store has encrypted begins with, in place of the envelope version.
pub(crate) const ENCRYPTED: u8 = 2;

/// How many save ids a record keeps.
pub const MAX_SAVES: usize = 8;

/// The keys of the extras that this build knows. A build must not use a record with an odd key that
/// it does not know, and keeps an even one.
const IDLE: u64 = 1;
const LABEL: u64 = 2;
const LIFETIME: u64 = 3;
const PERSISTENT: u64 = 4;
const ACTING_AS: u64 = 7;
const TOKEN_IN_HEADER: u64 = 8;
const LOCKED: u64 = 9;
const AUTHENTICATION: u64 = 10;
const SEEN: u64 = 12;
const DEVICES: u64 = 14;
// Even: a build that binds no sessions keeps it, and demands no proof.
const BOUND: u64 = 16;
// Even: a build from before it ends no sessions all at once, and keeps the number.
const EPOCH: u64 = 6;

/// The times that a session has in place of its type's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnTimes {
    /// How long it lives without a request.
    pub idle: Option<Duration>,
    /// How long it lives at most.
    pub lifetime: Option<Duration>,
    /// Whether the browser keeps its cookie when it closes, whatever the configuration says.
    pub persistent: bool,
}

impl OwnTimes {
    /// The lifetime of a session that has no end while it is used.
    pub const NEVER: Duration = Duration::from_millis(u64::MAX);
}

/// The part of a header that every request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The schema version of the record. Set by [`Stored::parse`](super::stored::Stored::parse);
    /// [`Fields::to_data`](super::fields::Fields::to_data) writes the fields' own.
    pub schema_version: u16,
    /// The lowest schema version that can read the record; set and written like the version.
    pub min_reader: u16,
    /// When the session began, in whole milliseconds.
    pub created_at: SystemTime,
    /// The session's own times.
    pub own: OwnTimes,
    /// The hash of the secret that the browser must have. Every record has one; a client-side
    /// session has none.
    pub secret: Option<SecretHash>,
    /// The hash of the previous secret, if the owner has been the same since.
    pub previous: Option<SecretHash>,
    /// When the secret was last replaced, in whole milliseconds.
    pub renewed_at: SystemTime,
    /// When the session was last used, in whole milliseconds, where its type locks sessions that are
    /// not used.
    pub seen_at: Option<SystemTime>,
    /// Whether the owner has to prove again who they are.
    pub locked: bool,
    /// The number that the host knew when the session began or its owner logged in: `end_all` ends
    /// those of a lower one. Zero, which is not written, before its first call.
    pub epoch: u64,
    /// Whether the session is bound to a device.
    pub is_bound: bool,
    /// Whether the header has an extra of an odd number that this build does not know. Then it must
    /// not use the record.
    pub critical: bool,
}

/// The part of an envelope before the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Versions and times.
    pub summary: Summary,
    /// The ids of the last saves, newest first, at most [`MAX_SAVES`].
    pub saves: SmallVec<[u64; MAX_SAVES]>,
    /// A number that orders an owner's logins, independent of their hosts' clocks.
    pub ticket: u64,
    /// The mark of the owner's fence that the last login began with.
    pub mark: Option<Mark>,
    /// The session's label, such as a device's name.
    pub label: Option<Arc<str>>,
    /// Whether the client carries its token in a header, not in a cookie.
    pub token_in_header: bool,
    /// The last proof of who the owner is. `None` if that is when the owner logged in, and nothing
    /// more is known of it. Boxed, because each save moves a header.
    pub authentication: Option<Box<Authentication>>,
    /// From where it was used. Boxed, because each save moves a header.
    pub devices: Option<Box<Devices>>,
    /// The device that it is bound to. Boxed, because each save moves a header.
    pub bound: Option<Box<BoundDevice>>,
    /// The person for whom the owner acts, as the owner's field would display them.
    pub acting_as: Option<Arc<str>>,
    /// Extras of newer builds, kept as they are.
    pub unknown: UnknownExtras,
}

impl Summary {
    /// Checks a header that begins at `at`. Returns its summary and where it ends.
    ///
    /// A record is read far more often than it is saved, and moved several times on the way. A save
    /// reads the rest with [`Header::parse`].
    pub(super) fn parse(data: &Bytes, at: usize) -> Result<(Self, usize), Malformed> {
        parse(data, at, None)
    }
}

impl Header {
    /// The header of a new session.
    #[must_use]
    pub fn new(created_at: SystemTime) -> Self {
        let created_at = from_unix_millis(to_unix_millis(created_at));
        Self {
            summary: Summary {
                schema_version: 0,
                min_reader: 0,
                created_at,
                own: OwnTimes::default(),
                secret: None,
                previous: None,
                renewed_at: created_at,
                seen_at: None,
                locked: false,
                epoch: 0,
                is_bound: false,
                critical: false,
            },
            saves: SmallVec::new(),
            ticket: 0,
            mark: None,
            label: None,
            token_in_header: false,
            authentication: None,
            devices: None,
            bound: None,
            acting_as: None,
            unknown: UnknownExtras::default(),
        }
    }

    /// Reads a header that begins at `at`. Returns it and where it ends.
    pub(super) fn parse(data: &Bytes, at: usize) -> Result<(Self, usize), Malformed> {
        let mut header = Self::new(SystemTime::UNIX_EPOCH);
        let (summary, end) = parse(data, at, Some(&mut header))?;
        header.summary = summary;
        Ok((header, end))
    }

    /// Appends the header under these versions. Omits the unknown extras if they must be dropped.
    pub(super) fn put(
        &self,
        out: &mut (impl Out + ?Sized),
        version: u16,
        min_reader: u16,
        forget: bool,
    ) {
        wire::put_head(out, cbor::UNSIGNED, version.into());
        wire::put_head(out, cbor::UNSIGNED, min_reader.into());
        wire::put_head(out, cbor::UNSIGNED, to_unix_millis(self.summary.created_at));
        let saves = &self.saves[..self.saves.len().min(MAX_SAVES)];
        wire::put_head(out, cbor::BYTES, 8 * saves.len() as u64);
        for id in saves {
            out.put(&id.to_be_bytes());
        }
        put_bytes(out, self.summary.secret.as_ref().map(SecretHash::as_bytes));
        put_bytes(out, self.summary.previous.as_ref().map(SecretHash::as_bytes));
        wire::put_head(out, cbor::UNSIGNED, to_unix_millis(self.summary.renewed_at));
        wire::put_head(out, cbor::UNSIGNED, self.ticket);
        put_bytes(out, self.mark.as_ref().map(Mark::as_bytes));
        let unknown = if forget { &[] } else { &*self.unknown.0 };
        let OwnTimes { idle, lifetime, persistent } = self.summary.own;
        let epoch = self.summary.epoch;
        let known = [
            idle.is_some(),
            self.label.is_some(),
            lifetime.is_some(),
            persistent,
            epoch > 0,
            self.acting_as.is_some(),
            self.token_in_header,
            self.summary.locked,
            self.authentication.is_some(),
            self.summary.seen_at.is_some(),
            self.devices.is_some(),
            self.bound.is_some(),
        ];
        let known = known.into_iter().map(u64::from).sum::<u64>();
        wire::put_head(out, cbor::MAP, known + unknown.len() as u64);
        put_time(out, IDLE, idle);
        if let Some(label) = &self.label {
            wire::put_head(out, cbor::UNSIGNED, LABEL);
            wire::put_text(out, label);
        }
        put_time(out, LIFETIME, lifetime);
        put_flag(out, PERSISTENT, persistent);
        if let Some(whom) = &self.acting_as {
            wire::put_head(out, cbor::UNSIGNED, ACTING_AS);
            wire::put_text(out, whom);
        }
        put_flag(out, TOKEN_IN_HEADER, self.token_in_header);
        put_flag(out, LOCKED, self.summary.locked);
        if let Some(authentication) = &self.authentication {
            put_authentication(out, authentication);
        }
        if let Some(seen_at) = self.summary.seen_at {
            wire::put_head(out, cbor::UNSIGNED, SEEN);
            wire::put_head(out, cbor::UNSIGNED, to_unix_millis(seen_at));
        }
        if let Some(devices) = &self.devices {
            wire::put_head(out, cbor::UNSIGNED, DEVICES);
            wire::put_head(out, cbor::ARRAY, 4);
            for Device { user_agent, network } in [&devices.first, &devices.last] {
                for text in [user_agent, network] {
                    wire::put_text(out, text.as_deref().unwrap_or_default());
                }
            }
        }
        if let Some(bound) = &self.bound {
            wire::put_head(out, cbor::UNSIGNED, BOUND);
            wire::put_head(out, cbor::ARRAY, 3);
            for bytes in [&bound.key.as_bytes()[..], bound.id.as_bytes()] {
                wire::put_head(out, cbor::BYTES, bytes.len() as u64);
                out.put(bytes);
            }
            wire::put_head(out, cbor::UNSIGNED, to_unix_millis(bound.at));
        }
        if epoch > 0 {
            wire::put_head(out, cbor::UNSIGNED, EPOCH);
            wire::put_head(out, cbor::UNSIGNED, epoch);
        }
        for extra in unknown {
            out.put(extra);
        }
    }
}

/// Reads a summary, and the rest into a header if there is one.
fn parse(
    data: &Bytes,
    at: usize,
    mut rest: Option<&mut Header>,
) -> Result<(Summary, usize), Malformed> {
    let (schema_version, at) = small(data, at)?;
    let (min_reader, at) = small(data, at)?;
    let (created_at, at) = number(data, at)?;
    let created_at = from_unix_millis(created_at);
    let (ids, at) = slice(data, at, cbor::BYTES)?;
    let (ids, odd) = ids.as_chunks();
    if !odd.is_empty() || ids.len() > MAX_SAVES {
        return Err("the save ids have an impossible length".into());
    }
    if let Some(header) = &mut rest {
        header.saves.extend(ids.iter().map(|id| u64::from_be_bytes(*id)));
    }
    let (secret, at) = sixteen(data, at, "secret")?;
    let (previous, at) = sixteen(data, at, "previous secret")?;
    let (renewed_at, at) = number(data, at)?;
    let (ticket, at) = number(data, at)?;
    let (mark, at) = sixteen(data, at, "mark")?;
    if let Some(header) = &mut rest {
        (header.ticket, header.mark) = (ticket, mark.map(Mark::from_bytes));
    }
    let (extras, at) = parse_extras(data, at, rest)?;
    let summary = Summary {
        schema_version,
        min_reader,
        created_at,
        own: extras.own,
        secret: secret.map(SecretHash::from_bytes),
        previous: previous.map(SecretHash::from_bytes),
        renewed_at: from_unix_millis(renewed_at),
        seen_at: extras.seen_at,
        locked: extras.locked,
        epoch: extras.epoch,
        is_bound: extras.is_bound,
        critical: extras.critical,
    };
    Ok((summary, at))
}

/// Sixteen bytes, or none.
fn sixteen(data: &[u8], at: usize, what: &str) -> Result<(Option<[u8; 16]>, usize), Malformed> {
    let (bytes, end) = slice(data, at, cbor::BYTES)?;
    match (bytes.is_empty(), bytes.try_into()) {
        (true, _) => Ok((None, end)),
        (false, Ok(bytes)) => Ok((Some(bytes), end)),
        (false, Err(_)) => Err(format!("the {what} has an impossible length").into()),
    }
}

fn put_bytes(out: &mut (impl Out + ?Sized), bytes: Option<&[u8; 16]>) {
    let bytes = bytes.map_or(&[][..], |bytes| bytes);
    wire::put_head(out, cbor::BYTES, bytes.len() as u64);
    out.put(bytes);
}

/// The extras that every request needs.
#[derive(Default)]
struct Extras {
    own: OwnTimes,
    seen_at: Option<SystemTime>,
    locked: bool,
    epoch: u64,
    is_bound: bool,
    critical: bool,
}

fn parse_extras(
    data: &Bytes,
    at: usize,
    mut rest: Option<&mut Header>,
) -> Result<(Extras, usize), Malformed> {
    let head = wire::head(data, at)?;
    let (cbor::MAP, Some(count)) = (head.major, head.argument) else {
        return Err(wrong_type("map", data, at));
    };
    let mut extras = Extras::default();
    let mut at = head.end;
    for _ in 0..count {
        let start = at;
        let (key, value) = number(data, at)?;
        at = match key {
            IDLE | LIFETIME => {
                let (millis, end) = number(data, value)?;
                let Extras { own, .. } = &mut extras;
                let time = if key == IDLE { &mut own.idle } else { &mut own.lifetime };
                *time = Some(Duration::from_millis(millis));
                end
            }
            PERSISTENT => {
                let (is, end) = number(data, value)?;
                extras.own.persistent = is != 0;
                end
            }
            ACTING_AS => {
                let (whom, end) = text(data, value, "person acted for")?;
                if let Some(header) = &mut rest {
                    header.acting_as = Some(whom.unwrap_or_default());
                }
                end
            }
            LOCKED => {
                let (is, end) = number(data, value)?;
                extras.locked = is != 0;
                end
            }
            SEEN => {
                let (millis, end) = number(data, value)?;
                extras.seen_at = Some(from_unix_millis(millis));
                end
            }
            DEVICES => {
                let (devices, end) = devices(data, value)?;
                if let Some(header) = &mut rest {
                    header.devices = Some(Box::new(devices));
                }
                end
            }
            BOUND => {
                let (bound, end) = bound(data, value)?;
                extras.is_bound = true;
                if let Some(header) = &mut rest {
                    header.bound = Some(Box::new(bound));
                }
                end
            }
            AUTHENTICATION => {
                let (authentication, end) = authentication(data, value)?;
                if let Some(header) = &mut rest {
                    header.authentication = Some(Box::new(authentication));
                }
                end
            }
            TOKEN_IN_HEADER => {
                let (is, end) = number(data, value)?;
                if let Some(header) = &mut rest {
                    header.token_in_header = is != 0;
                }
                end
            }
            EPOCH => {
                let (number, end) = number(data, value)?;
                extras.epoch = number;
                end
            }
            LABEL => {
                let (text, end) = slice(data, value, cbor::TEXT)?;
                let text = utf8(text, "label")?;
                if let Some(header) = &mut rest {
                    header.label = Some(text.into());
                }
                end
            }
            _ => {
                extras.critical |= !key.is_multiple_of(2);
                let end = wire::skip(data, value, cbor::MAX_DEPTH)?;
                if let Some(header) = &mut rest {
                    header.unknown.0.push(data.slice(start..end));
                }
                end
            }
        };
    }
    Ok((extras, at))
}

fn utf8<'d>(text: &'d [u8], what: &str) -> Result<&'d str, Malformed> {
    std::str::from_utf8(text).map_err(|_| format!("the {what} is not UTF-8").into())
}

/// A text, or none for an empty one.
fn text(data: &[u8], at: usize, what: &str) -> Result<(Option<Arc<str>>, usize), Malformed> {
    let (text, end) = slice(data, at, cbor::TEXT)?;
    let text = utf8(text, what)?;
    Ok(((!text.is_empty()).then(|| text.into()), end))
}

fn devices(data: &[u8], at: usize) -> Result<(Devices, usize), Malformed> {
    let head = wire::head(data, at)?;
    if (head.major, head.argument) != (cbor::ARRAY, Some(4)) {
        return Err(wrong_type("devices", data, at));
    }
    let device = |at: usize| {
        let (user_agent, end) = text(data, at, "user agent")?;
        let (network, end) = text(data, end, "network")?;
        let [user_agent, network] = [user_agent, network].map(|it| it.map(|it| it.to_string()));
        Ok::<_, Malformed>((Device { user_agent, network }, end))
    };
    let (first, end) = device(head.end)?;
    let (last, end) = device(end)?;
    Ok((Devices { first, last }, end))
}

fn bound(data: &[u8], at: usize) -> Result<(BoundDevice, usize), Malformed> {
    let head = wire::head(data, at)?;
    if (head.major, head.argument) != (cbor::ARRAY, Some(3)) {
        return Err(wrong_type("a bound device", data, at));
    }
    let (key, end) = slice(data, head.end, cbor::BYTES)?;
    let (id, end) = slice(data, end, cbor::BYTES)?;
    let (millis, end) = number(data, end)?;
    let (Ok(key), Ok(id)) = (key.try_into(), id.try_into()) else {
        return Err("the device's key or id has an impossible length".into());
    };
    let (key, id) = (DeviceKey::from_bytes(key), BindingId::from_bytes(id));
    Ok((BoundDevice { key, id, at: from_unix_millis(millis) }, end))
}

fn authentication(data: &[u8], at: usize) -> Result<(Authentication, usize), Malformed> {
    let head = wire::head(data, at)?;
    if (head.major, head.argument) != (cbor::ARRAY, Some(5)) {
        return Err(wrong_type("an authentication", data, at));
    }
    let (millis, end) = number(data, head.end)?;
    let (level, end) = number(data, end)?;
    let level = u8::try_from(level).map_err(|_| Malformed::from("a level is at most 255"))?;
    let (method, end) = text(data, end, "method")?;
    let (credential, end) = text(data, end, "credential")?;
    let (opened_by, end) = text(data, end, "credential")?;
    let at = from_unix_millis(millis);
    Ok((Authentication { at, level, method, credential, opened_by }, end))
}

fn put_authentication(out: &mut (impl Out + ?Sized), authentication: &Authentication) {
    let Authentication { at, level, method, credential, opened_by } = authentication;
    wire::put_head(out, cbor::UNSIGNED, AUTHENTICATION);
    wire::put_head(out, cbor::ARRAY, 5);
    wire::put_head(out, cbor::UNSIGNED, to_unix_millis(*at));
    wire::put_head(out, cbor::UNSIGNED, (*level).into());
    for text in [method, credential, opened_by] {
        wire::put_text(out, text.as_deref().unwrap_or_default());
    }
}

fn put_flag(out: &mut (impl Out + ?Sized), key: u64, is: bool) {
    if is {
        wire::put_head(out, cbor::UNSIGNED, key);
        wire::put_head(out, cbor::UNSIGNED, 1);
    }
}

fn put_time(out: &mut (impl Out + ?Sized), key: u64, time: Option<Duration>) {
    let Some(time) = time else { return };
    wire::put_head(out, cbor::UNSIGNED, key);
    wire::put_head(out, cbor::UNSIGNED, u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
}

/// Extras of a header that this build does not know, each a key and its value as encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnknownExtras(Vec<Bytes>);

fn number(data: &[u8], at: usize) -> Result<(u64, usize), Malformed> {
    let head = wire::head(data, at)?;
    match (head.major, head.argument) {
        (cbor::UNSIGNED, Some(number)) => Ok((number, head.end)),
        _ => Err(wrong_type("u64", data, at)),
    }
}

fn small(data: &[u8], at: usize) -> Result<(u16, usize), Malformed> {
    let (number, end) = number(data, at)?;
    match u16::try_from(number) {
        Ok(number) if number > 0 => Ok((number, end)),
        _ => Err(Malformed::from(format!("{number} is not a schema version"))),
    }
}

fn slice(data: &[u8], at: usize, major: u8) -> Result<(&[u8], usize), Malformed> {
    let head = wire::head(data, at)?;
    if head.major != major || head.argument.is_none() {
        return Err(wrong_type(if major == cbor::TEXT { "str" } else { "bytes" }, data, at));
    }
    let end = wire::skip(data, at, 1)?;
    Ok((&data[head.end..end], end))
}

fn wrong_type(expected: &'static str, data: &[u8], at: usize) -> Malformed {
    Reason::Type(expected, data[at]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Header {
        let mut header = Header::new(from_unix_millis(1_767_225_600_123));
        header.summary.schema_version = 3;
        header.summary.min_reader = 2;
        header.saves = SmallVec::from_slice(&[u64::MAX, 1, 2, 3, 4, 5, 6, 7]);
        header.summary.own = OwnTimes {
            idle: Some(Duration::from_millis(86_400_001)),
            lifetime: Some(Duration::from_millis(u64::MAX)),
            persistent: true,
        };
        header.label = Some("Firefox on Linux".into());
        header.token_in_header = true;
        header.acting_as = Some("8".into());
        header.summary.seen_at = Some(from_unix_millis(1_767_225_600_126));
        header.summary.locked = true;
        let device = |user_agent: Option<&str>, network: Option<&str>| Device {
            user_agent: user_agent.map(str::to_owned),
            network: network.map(str::to_owned),
        };
        header.devices = Some(Box::new(Devices {
            first: device(Some("Firefox"), Some("203.0.113.0/24")),
            last: device(None, Some("2001:db8:1::/48")),
        }));
        header.bound = Some(Box::new(BoundDevice {
            key: DeviceKey::from_bytes([4; DeviceKey::LENGTH]),
            id: BindingId::from_bytes([5; BindingId::LENGTH]),
            at: from_unix_millis(1_767_225_600_127),
        }));
        header.summary.is_bound = true;
        header.authentication = Some(Box::new(Authentication {
            at: from_unix_millis(1_767_225_600_125),
            level: 2,
            method: Some("hwk".into()),
            credential: Some("credential-17".into()),
            opened_by: Some("credential-16".into()),
        }));
        header.summary.epoch = 1_800_000_000;
        header.summary.secret = Some(SecretHash::from_bytes([1; 16]));
        header.summary.previous = Some(SecretHash::from_bytes([2; 16]));
        header.summary.renewed_at = from_unix_millis(1_767_225_600_124);
        header.ticket = 300;
        header.mark = Some(Mark::from_bytes([3; 16]));
        header
    }

    fn encoded(header: &Header) -> Bytes {
        let mut out = Vec::new();
        header.put(&mut out, header.summary.schema_version, header.summary.min_reader, false);
        out.into()
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let data = encoded(&full());
        assert_eq!(Header::parse(&data, 0), Ok((full(), data.len())));
    }

    #[test]
    fn extras_of_newer_builds_survive_unless_they_are_to_be_forgotten() {
        let mut data = Vec::new();
        Header::new(from_unix_millis(5)).put(&mut data, 1, 1, false);
        *data.last_mut().unwrap() = 0xa2;
        data.extend_from_slice(b"\x16\x82\x01\x02\x02\x61x");
        let data = Bytes::from(data);
        let (header, end) = Header::parse(&data, 0).unwrap();
        assert_eq!(end, data.len());
        assert_eq!(header.label.as_deref(), Some("x"));
        assert_eq!(Header::parse(&encoded(&header), 0).unwrap().0, header);

        let mut out = Vec::new();
        header.put(&mut out, 1, 1, true);
        let (forgotten, _) = Header::parse(&out.into(), 0).unwrap();
        assert_eq!(forgotten.unknown, UnknownExtras::default());
        assert_eq!(forgotten.label.as_deref(), Some("x"));
    }

    #[test]
    fn an_unknown_extra_of_an_odd_number_is_critical() {
        for (number, critical) in [(22, false), (23, true)] {
            let mut data = Vec::new();
            Header::new(from_unix_millis(5)).put(&mut data, 1, 1, false);
            *data.last_mut().unwrap() = 0xa1;
            data.extend_from_slice(&[number, 0x01]);
            let (header, _) = Header::parse(&data.into(), 0).unwrap();
            assert_eq!(header.summary.critical, critical, "{number}");
        }
    }

    #[test]
    fn an_epoch_costs_nothing_until_there_is_one() {
        let mut header = Header::new(from_unix_millis(5));
        header.summary.schema_version = 1;
        header.summary.min_reader = 1;
        let without = encoded(&header);
        header.summary.epoch = 1_800_000_000;
        let with = encoded(&header);
        assert_eq!(with.len(), without.len() + 6);
        assert_eq!(Header::parse(&with, 0).unwrap().0, header);
        // A build from before it keeps it, because its number is even.
        assert!(EPOCH.is_multiple_of(2));
    }

    #[test]
    fn a_secret_of_another_length_is_refused() {
        let mut data = Vec::new();
        Header::new(from_unix_millis(5)).put(&mut data, 1, 1, false);
        // Versions, time and save ids take four bytes; the empty secret is the fifth.
        assert_eq!(data[4], 0x40);
        for length in [1, 15, 17, 32] {
            let mut two = data[..4].to_vec();
            wire::put_head(&mut two, cbor::BYTES, length);
            two.extend(std::iter::repeat_n(7, length as usize));
            two.extend_from_slice(&data[5..]);
            assert!(Header::parse(&two.into(), 0).is_err(), "{length}");
        }
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_an_error_or_a_header() {
        let data = encoded(&full());
        for end in 0..data.len() {
            assert!(Header::parse(&data.slice(..end), 0).is_err(), "cut at {end}");
        }
        for at in 0..data.len() {
            for flip in 1..=255 {
                let mut bytes = data.to_vec();
                bytes[at] ^= flip;
                let _ = Header::parse(&bytes.into(), 0);
            }
        }
    }
}
