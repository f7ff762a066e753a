//! Binds a session to its device, and takes the device's proofs: what the endpoints of a device
//! binding do.

use std::time::SystemTime;

use http::header::{HeaderMap, HeaderName};
use http::{Method, Response, StatusCode};
use rand::Rng as _;

use super::Store;
use super::core::Core;
use super::device_cookie::DeviceCookie;
use super::load::{MOST_COOKIES, payload};
use super::save::{Patience, SaveOutcome};
use super::settings::TypeSettings;
use crate::clock::{from_unix_millis, is_within, to_unix_millis};
use crate::cookie;
use crate::crypto::purpose::Purpose;
use crate::device_binding::Endpoint;
use crate::device_binding::answer::{self, Proven};
use crate::device_binding::fields::{RESPONSE, SESSION_ID, text};
use crate::device_binding::proof::{MOST_PROOF, Proof, Refusal};
use crate::device_binding::tokens::{
    Challenge, Identifier, Named, challenge_purpose, identifier_purpose, part,
};
use crate::device_key::{BindingId, BoundDevice, DeviceKey};
use crate::error::Error;
use crate::id::{KeyHasher, SecretHash, StoreKey};
use crate::provider::{Expect, Record};
use crate::schema::header::MAX_SAVES;
use crate::schema::stored::Stored;

/// Why an endpoint gives no proof.
enum Failure {
    Refused(Refusal),
    /// The proof is missing, or good but for its challenge: the browser signs another.
    Again(Refusal, Held),
    /// The session has ended: so does the browser's side.
    Ended,
    Error(Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// An identifier, as the browser has it and as it says.
struct Held {
    text: String,
    identifier: Identifier,
}

/// What the binding of a session type needs of its settings. It is made from the type's name, because
/// a browser may ask a host that has not used the type yet.
struct BoundType<'c> {
    name: &'c str,
    device: DeviceCookie,
    /// The session's own cookie.
    cookie_name: String,
    purpose: Purpose,
    ids: KeyHasher,
    secrets: KeyHasher,
}

impl Store {
    /// Answers a browser that registers or proves a device, for services without a framework; the
    /// layers of the frameworks call it themselves. Returns `None` for a request to another path.
    /// Call it before anything that may refuse the request. Needs the feature `dbsc`.
    ///
    /// The offer that a login's answer makes is among the [headers of its
    /// commit](crate::commit::Commit::headers). See [`DeviceBinding`](crate::DeviceBinding).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// use http::{HeaderMap, Method};
    /// use sessions::{DeviceBinding, MemoryProvider, Store};
    ///
    /// let store =
    ///     Store::builder(MemoryProvider::new()).device_binding(DeviceBinding::offer()).build()?;
    /// let (method, headers) = (Method::POST, HeaderMap::new());
    /// let answer = store.answer_device(&method, "/.sessions/dbsc/refresh", &headers).await;
    /// assert_eq!(answer.expect("its own path").status(), 400);
    /// assert!(store.answer_device(&method, "/cart", &headers).await.is_none());
    /// # Ok(()) }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "dbsc")))]
    pub async fn answer_device(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<Response<String>> {
        let endpoint = self.core.device_endpoint(path)?;
        Some(self.core.answer_device(endpoint, method, path, headers).await)
    }
}

impl Core {
    /// Returns the endpoint at this path, if the store has one there.
    pub(crate) fn device_endpoint(&self, path: &str) -> Option<Endpoint> {
        self.device_endpoints.at(path)
    }

    /// Answers a browser that registers or proves a device.
    pub(crate) async fn answer_device(
        &self,
        endpoint: Endpoint,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Response<String> {
        if method != Method::POST {
            return answer::refused(StatusCode::METHOD_NOT_ALLOWED);
        }
        let mut about = None;
        let done = match endpoint {
            Endpoint::Register => self.register_device(path, headers, &mut about).await,
            Endpoint::Refresh => self.refresh_device(path, headers, &mut about).await,
        };
        let named = about.as_ref().map(|named: &Named| (&*named.session, &named.key));
        let again = match done {
            Ok(response) => Ok(response),
            Err(Failure::Refused(refusal)) => {
                self.events.device_refused(named, refusal.reason(), refusal.is_usual());
                Ok(answer::refused(StatusCode::BAD_REQUEST))
            }
            Err(Failure::Again(refusal, held)) => {
                if refusal != Refusal::Missing {
                    self.events.device_refused(named, refusal.reason(), refusal.is_usual());
                }
                self.challenge_again(&held).await
            }
            Err(Failure::Ended) => Ok(answer::ended()),
            Err(Failure::Error(error)) => Err(error),
        };
        again.unwrap_or_else(|error| {
            self.events.device_failed(named.map_or("", |(session, _)| session), &error);
            answer::unavailable()
        })
    }

    /// Binds the session that the proof's challenge names.
    async fn register_device(
        &self,
        path: &str,
        headers: &HeaderMap,
        about: &mut Option<Named>,
    ) -> Result<Response<String>, Failure> {
        // Not every version of a browser sends it.
        let site = headers.get(&SEC_FETCH_SITE).map(http::HeaderValue::as_bytes);
        if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
            return Err(Refusal::CrossSite.into());
        }
        let proof = read_proof(headers)?.ok_or(Refusal::Missing)?;
        let key = proof.key.ok_or(Refusal::Key)?;
        let (challenge, issued_at) = self.open_challenge(&proof.challenge).await?;
        let Challenge::Register { named, secret } = challenge else {
            return Err(Refusal::Challenge.into());
        };
        let named = &*about.insert(named);
        let session = self.bound_type(&named.session).ok_or(Refusal::Gone)?;
        if !is_within(issued_at, session.device.binding.challenge_age(), self.now()) {
            return Err(Refusal::Expired.into());
        }
        proof.verify(&key, path)?;
        let keys = self.keys_of(&session, headers).await?;
        if !keys.is_empty() && !keys.iter().any(|(key, _)| *key == named.key) {
            return Err(Refusal::OtherSession.into());
        }
        let id = BindingId::from_bytes(self.random.secret()?);
        self.bind(&named.key, secret, key, id).await?;
        self.events.device_registered(session.name, &named.key);
        let identifier = Identifier { named: named.clone(), binding: id };
        let text = self.codec.seal(&identifier_purpose(), &identifier.to_bytes()).await?;
        let proven = self.proven(&session, Held { text, identifier }).await?;
        let DeviceCookie { binding, cookie, .. } = &session.device;
        Ok(answer::registered(binding, cookie, &proven)?)
    }

    /// Writes the key into the record, unless the session has ended, was renewed since by somebody
    /// else, or is bound.
    async fn bind(
        &self,
        key: &StoreKey,
        secret: [u8; 8],
        device: DeviceKey,
        id: BindingId,
    ) -> Result<(), Failure> {
        let save = rand::rng().random();
        let mut patience = Patience::persistent();
        let mut lost = false;
        let mut found = self.fetch(key.as_str(), &mut patience).await?;
        loop {
            let Some(record) = found else { return Err(Refusal::Gone.into()) };
            let stored = Stored::parse(SESSION, &record.data)?;
            let mut header = stored.header()?;
            if lost && header.bound.as_ref().is_some_and(|bound| bound.id == id) {
                // Its own save, whose answer was lost.
                return Ok(());
            }
            // The previous secret is there only while the owner is the same.
            let [now, before] = [stored.summary.secret, stored.summary.previous];
            let is_same = [now, before].into_iter().flatten().any(|it| part(it) == secret);
            if record.owner.is_none() || !is_same || stored.summary.critical {
                return Err(Refusal::Gone.into());
            }
            if header.bound.is_some() {
                return Err(Refusal::Bound.into());
            }
            let at = from_unix_millis(to_unix_millis(self.now()));
            header.bound = Some(Box::new(BoundDevice { key: device, id, at }));
            header.saves.truncate(MAX_SAVES - 1);
            header.saves.insert(0, save);
            let Some(data) = stored.with_header(&header, self.record_limit) else {
                return Err(Refusal::NoRoom.into());
            };
            let next = Record { version: record.version + 1, data, ..record.clone() };
            let expect = Expect::Version(record.version);
            let saved = self.save(&next, expect, false, self.now(), &mut patience, &mut lost);
            match saved.await? {
                SaveOutcome::Saved => return Ok(()),
                SaveOutcome::Conflict(theirs) => {
                    patience.after_conflict().await?;
                    found = theirs;
                }
            }
        }
    }

    /// Takes another proof of a bound session. Saves nothing, and is no activity.
    async fn refresh_device(
        &self,
        path: &str,
        headers: &HeaderMap,
        about: &mut Option<Named>,
    ) -> Result<Response<String>, Failure> {
        let held = self.read_identifier(headers).await?;
        let named = &*about.insert(held.identifier.named.clone());
        let session = self.bound_type(&named.session).ok_or(Failure::Ended)?;
        let record = self.provider.fetch(named.key.as_str(), self.now()).await;
        let record = self.unless_ended(record.map_err(Error::from)?).ok_or(Failure::Ended)?;
        let header = Stored::parse(SESSION, &record.data)?.header()?;
        let bound = header.bound.filter(|bound| bound.id == held.identifier.binding);
        let bound = bound.filter(|_| record.owner.is_some()).ok_or(Failure::Ended)?;
        if self.has_another(&session, &named.key, headers).await? {
            return Err(Failure::Ended);
        }
        let Some(proof) = read_proof(headers)? else {
            return Err(Failure::Again(Refusal::Missing, held));
        };
        proof.verify(&bound.key, path)?;
        let challenge = match self.open_challenge(&proof.challenge).await {
            Err(Failure::Refused(refusal)) => return Err(Failure::Again(refusal, held)),
            opened => opened?,
        };
        let refusal = match challenge {
            (Challenge::Refresh { binding }, _) if binding != bound.id => Some(Refusal::Challenge),
            (Challenge::Register { .. }, _) => Some(Refusal::Challenge),
            (_, issued_at) => {
                let age = session.device.binding.challenge_age();
                (!is_within(issued_at, age, self.now())).then_some(Refusal::Expired)
            }
        };
        let used = || !self.used_challenges.is_first(&proof.challenge);
        if let Some(refusal) = refusal.or_else(|| used().then_some(Refusal::Replayed)) {
            return Err(Failure::Again(refusal, held));
        }
        let proven = self.proven(&session, held).await?;
        let response = answer::refreshed(&proven)?;
        self.events.device_refreshed(session.name, &named.key);
        Ok(response)
    }

    async fn read_identifier(&self, headers: &HeaderMap) -> Result<Held, Failure> {
        let text = text(headers, &SESSION_ID, MOST_TOKEN).map_err(Refusal::from)?;
        let text = text.ok_or(Refusal::Identifier)?;
        let opened = self.codec.open_sealed(&identifier_purpose(), text.as_bytes()).await;
        let (bytes, _) = valid(opened, Refusal::Identifier)?;
        let identifier = Identifier::parse(&bytes).ok_or(Refusal::Identifier)?;
        Ok(Held { text, identifier })
    }

    /// Returns what the settings say of a session type by its name, unless its sessions are not bound.
    fn bound_type<'c>(&'c self, name: &'c str) -> Option<BoundType<'c>> {
        let own = self.own_settings.iter().find(|(_, known, _)| *known == name);
        let settings: &TypeSettings = own.map_or(&self.settings, |(.., own)| own);
        let cookie_name = settings.cookie.cookie_name(name);
        let hasher = |domain| KeyHasher::new(domain, &self.app, name);
        Some(BoundType {
            name,
            device: DeviceCookie::of(name, settings)?,
            purpose: Purpose::session(&cookie_name),
            cookie_name,
            ids: hasher("session"),
            secrets: hasher("secret"),
        })
    }

    /// Returns the sessions that a request's cookies name, each with the hashes of its secrets.
    async fn keys_of(
        &self,
        session: &BoundType<'_>,
        headers: &HeaderMap,
    ) -> Result<Vec<(StoreKey, Vec<SecretHash>)>, Error> {
        let mut keys = Vec::new();
        for token in cookie::values(headers, &session.cookie_name).take(MOST_COOKIES) {
            match self.codec.open_short(&session.purpose, token, payload).await {
                Ok(((id, secret, spare), _)) => {
                    let hash = |secret: &crate::id::Secret| {
                        SecretHash::from_bytes(session.secrets.half(&*secret.to_bytes()))
                    };
                    let hashes = std::iter::once(&secret).chain(&spare).map(hash).collect();
                    keys.push((session.ids.key(&*id.to_bytes()), hashes));
                }
                Err(error) if error.is_unavailable() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(keys)
    }

    /// Whether the request's cookies name another session, and it is live.
    async fn has_another(
        &self,
        session: &BoundType<'_>,
        key: &StoreKey,
        headers: &HeaderMap,
    ) -> Result<bool, Error> {
        let keys = self.keys_of(session, headers).await?;
        if keys.is_empty() || keys.iter().any(|(other, _)| other == key) {
            return Ok(false);
        }
        for (other, secrets) in keys {
            let record = self.provider.fetch(other.as_str(), self.now()).await?;
            let Some(record) = self.unless_ended(record) else { continue };
            let secret = Stored::parse(SESSION, &record.data)?.summary.secret;
            if secret.is_some_and(|secret| secrets.contains(&secret)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn open_challenge(&self, challenge: &str) -> Result<(Challenge, SystemTime), Failure> {
        if challenge.len() > MOST_TOKEN {
            return Err(Refusal::Challenge.into());
        }
        let opened = self.codec.open_sealed(&challenge_purpose(), challenge.as_bytes()).await;
        let (bytes, seal) = valid(opened, Refusal::Challenge)?;
        let challenge = Challenge::parse(&bytes).ok_or(Refusal::Challenge)?;
        Ok((challenge, seal.issued_at))
    }

    /// Returns what a good proof is answered with.
    async fn proven(&self, session: &BoundType<'_>, held: Held) -> Result<Proven, Error> {
        let DeviceCookie { binding, cookie, purpose } = &session.device;
        let token = self.codec.seal(purpose, held.identifier.binding.as_bytes()).await?;
        let challenge = self.next_challenge(&held).await?;
        let cookie = cookie.set(&token, binding.cookie_age(), true)?;
        Ok(Proven { cookie, identifier: held.text, challenge })
    }

    async fn next_challenge(&self, held: &Held) -> Result<String, Error> {
        let challenge = Challenge::Refresh { binding: held.identifier.binding }.to_bytes();
        self.codec.seal(&challenge_purpose(), &challenge).await
    }

    async fn challenge_again(&self, held: &Held) -> Result<Response<String>, Error> {
        answer::challenged(&held.text, &self.next_challenge(held).await?)
    }
}

fn read_proof(headers: &HeaderMap) -> Result<Option<Proof>, Refusal> {
    text(headers, &RESPONSE, MOST_PROOF)?.map(|jwt| Proof::parse(&jwt)).transpose()
}

/// Tells a text that does not open from a key that cannot be had now.
fn valid<R>(opened: Result<R, Error>, refusal: Refusal) -> Result<R, Failure> {
    opened.map_err(|error| match error {
        Error::InvalidToken => refusal.into(),
        error => error.into(),
    })
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The longest identifier or challenge that is read, in bytes.
const MOST_TOKEN: usize = 1024;

/// What errors call the session of a record whose type this host may not have used yet.
const SESSION: &str = "bound to a device";
