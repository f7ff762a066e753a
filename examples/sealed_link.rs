//! A password-reset link that expires and works once, with nothing stored for it:
//! `cargo run --example sealed_link`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sessions::{
    Error, MemoryProvider,
    clock::ManualClock,
    codec::{Codec, Purpose},
    keys::LocalKey,
};

/// What the link says. Nobody else can read or change it.
#[derive(Serialize, Deserialize)]
struct Reset {
    user: u64,
    /// How often the password was changed before: once it is changed, the link is spent.
    changes: u32,
}

pub(crate) struct User {
    pub(crate) id: u64,
    pub(crate) password: String,
    pub(crate) changes: u32,
}

pub(crate) struct Resets {
    codec: Codec,
    purpose: Purpose,
}

impl Resets {
    /// A service gives its database's provider, `LocalKey::from_env("SESSION_KEY")?` or a key
    /// service, and leaves out the clock.
    pub(crate) fn new(clock: ManualClock) -> Result<Self, Error> {
        let codec = Codec::builder(MemoryProvider::new())
            .app("example")
            .max_age(Duration::from_secs(15 * 60))
            .key_encryption(LocalKey::from_bytes([7; 32]))
            .clock(clock)
            .build()?;
        Ok(Self { codec, purpose: Purpose::new("password reset") })
    }

    /// The link that goes into the mail.
    pub(crate) async fn link(&self, user: &User) -> Result<String, Error> {
        let reset = Reset { user: user.id, changes: user.changes };
        let token = self.codec.seal_value(&self.purpose, &reset).await?;
        Ok(format!("https://example.com/reset/{token}"))
    }

    /// Sets the password, if the link is good.
    pub(crate) async fn follow(
        &self,
        link: &str,
        user: &mut User,
        password: &str,
    ) -> Result<bool, Error> {
        let token = link.rsplit('/').next().unwrap_or_default();
        let reset: Reset = match self.codec.open_value(&self.purpose, token).await {
            Ok(reset) => reset,
            // Expired, forged, cut short by a mail program: one page for all of them.
            Err(Error::InvalidToken) => return Ok(false),
            Err(error) => return Err(error),
        };
        if (reset.user, reset.changes) != (user.id, user.changes) {
            return Ok(false);
        }
        user.password = password.to_owned();
        user.changes += 1;
        Ok(true)
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let clock = ManualClock::default();
    let resets = Resets::new(clock.clone())?;
    let mut ada = User { id: 7, password: "forgotten".to_owned(), changes: 0 };

    let link = resets.link(&ada).await?;
    println!("to ada@example.com: {link}");
    println!("followed in time: {}", resets.follow(&link, &mut ada, "correct horse").await?);
    println!("followed again: {}", resets.follow(&link, &mut ada, "battery staple").await?);
    println!("her password: {}", ada.password);

    let late = resets.link(&ada).await?;
    clock.advance(Duration::from_secs(15 * 60 + 1));
    println!("followed too late: {}", resets.follow(&late, &mut ada, "too late").await?);
    Ok(())
}
