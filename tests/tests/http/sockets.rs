//! Pages that stay open and close when their session ends: WebSockets and event streams, on axum and
//! on actix-web.

mod across_hosts;
mod actix;
mod app;
mod axum;
mod client;
mod host;

use std::time::Duration;

use sessions::clock::ManualClock;
use sessions::provider::{ProviderError, async_trait};
use sessions::{MemoryProvider, Store};
use sessions_tests::browser::Browser;
use sessions_tests::fed::Fed;
use sessions_tests::hooked::{Call, Hook, Hooked};
use tokio::sync::mpsc;

use self::app::Visitor;
use self::client::{Client, Heard};
use self::host::{Host, Kind};

/// Each scenario as a test of each kind of page.
macro_rules! suite {
    ($($scenario:ident,)*) => {
        suite!(@on axum_websocket, AxumSocket, $($scenario,)*);
        suite!(@on axum_events, AxumEvents, $($scenario,)*);
        suite!(@on actix_websocket, ActixSocket, $($scenario,)*);
        suite!(@on actix_events, ActixEvents, $($scenario,)*);
    };
    (@on $module:ident, $kind:ident, $($scenario:ident,)*) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $scenario() {
                    super::$scenario(super::Kind::$kind).await;
                }
            )*
        }
    };
}

suite! {
    a_logout_by_another_request_closes_it,
    a_revocation_from_another_browser_closes_it,
    a_renewal_by_another_request_closes_it,
    a_renewal_by_its_own_handler_leaves_it_open,
    saves_and_touches_leave_it_open,
    a_handler_that_begins_the_session_saves_it_first,
    who_goes_away_is_watched_no_longer,
}

/// On a database of its own.
async fn host(kind: Kind) -> Host {
    Host::new(kind, Store::builder(MemoryProvider::new())).await
}

fn said(text: &str) -> Heard {
    Heard::Said(text.to_owned())
}

async fn a_logout_by_another_request_closes_it(kind: Kind) {
    let host = host(kind).await;
    let mut browser = host.logged_in("ada").await;
    let mut page = Client::open(&host, &mut browser).await;
    browser.post("/say", "hello").await;
    assert_eq!(page.next().await, said("hello"));
    browser.post("/logout", "").await;
    assert_eq!(page.end().await, "Ended { by: Some(Logout) }");
}

async fn a_revocation_from_another_browser_closes_it(kind: Kind) {
    let host = host(kind).await;
    let mut browser = host.logged_in("ada").await;
    let mut page = Client::open(&host, &mut browser).await;
    let mut other = host.logged_in("ada").await;
    let mut others_page = Client::open(&host, &mut other).await;
    assert_eq!(other.post("/end_others", "").await.body, "1");
    assert_eq!(page.end().await, "Ended { by: Some(RevokeAll) }");
    browser.post("/say", "still here").await;
    assert_eq!(others_page.next().await, said("still here"));

    // And by its key, as an operator does.
    let key = host.app.store.list::<Visitor>("ada", sessions::Page::first(2)).await.unwrap();
    assert!(host.app.store.revoke_any(&key.items[0].key).await.unwrap());
    assert_eq!(others_page.end().await, "Ended { by: Some(Revoke) }");
}

async fn a_renewal_by_another_request_closes_it(kind: Kind) {
    let host = host(kind).await;
    let mut browser = host.logged_in("ada").await;
    let mut page = Client::open(&host, &mut browser).await;
    browser.post("/renew", "").await;
    assert_eq!(page.end().await, "Superseded");

    // With the new cookie it goes on.
    let mut page = Client::open(&host, &mut browser).await;
    browser.post("/say", "hello").await;
    assert_eq!(page.next().await, said("hello"));
}

async fn a_renewal_by_its_own_handler_leaves_it_open(kind: Kind) {
    let host = host(kind).await;
    let mut browser = host.logged_in("ada").await;
    let before = browser.jar.clone();
    let mut page = Client::open_at(&host, "/renewed_events", &mut browser).await;
    assert_ne!(browser.jar, before);
    browser.post("/visit", "").await;
    browser.post("/say", "hello").await;
    assert_eq!(page.next().await, said("hello"));
    browser.post("/logout", "").await;
    assert_eq!(page.end().await, "Ended { by: Some(Logout) }");
}

async fn saves_and_touches_leave_it_open(kind: Kind) {
    let clock = ManualClock::default();
    let store = Store::builder(MemoryProvider::new()).clock(clock.clone());
    let host = Host::new(kind, store.idle_timeout(10 * MINUTE)).await;
    let mut browser = host.logged_in("ada").await;
    let mut page = Client::open(&host, &mut browser).await;
    // Longer than a session lives that nobody uses.
    for visits in 1..=5 {
        assert_eq!(browser.post("/visit", "").await.body, visits.to_string());
        clock.advance(4 * MINUTE);
        assert_eq!(browser.get("/look").await.body, visits.to_string());
        browser.post("/say", "hello").await;
        assert_eq!(page.next().await, said("hello"));
        clock.advance(4 * MINUTE);
        if kind.path() == "/socket" {
            assert_eq!(page.use_page().await, said("live: true"));
        }
    }
    browser.post("/logout", "").await;
    assert_eq!(page.end().await, "Ended { by: Some(Logout) }");
}

async fn a_handler_that_begins_the_session_saves_it_first(kind: Kind) {
    let host = host(kind).await;
    let mut browser = Browser::new(host.address);
    let mut page = Client::open(&host, &mut browser).await;
    browser.post("/visit", "").await;
    browser.post("/say", "hello").await;
    assert_eq!(page.next().await, said("hello"));
    browser.post("/logout", "").await;
    assert_eq!(page.end().await, "Ended { by: Some(Logout) }");
}

async fn who_goes_away_is_watched_no_longer(kind: Kind) {
    let (asked, mut asks) = mpsc::unbounded_channel();
    let (provider, feed) = Fed::new(Hooked::new(MemoryProvider::new(), Asked(asked)));
    let host = Host::new(kind, Store::builder(provider)).await;
    let (mut ada, mut bob) = (host.logged_in("ada").await, host.logged_in("bob").await);
    let key = async |user| {
        let list = host.app.store.list::<Visitor>(user, sessions::Page::first(1)).await;
        list.unwrap().items[0].key.to_string()
    };
    let (adas, bobs) = (key("ada").await, key("bob").await);
    let _bobs_page = Client::open(&host, &mut bob).await;
    let listener = feed.begin().await;
    let adas_page = Client::open(&host, &mut ada).await;
    while asks.try_recv().is_ok() {}
    // What changes is asked about, if it is watched.
    listener.changed(&adas);
    assert_eq!(asks.recv().await.unwrap(), adas);
    drop(adas_page);
    host.open(1).await;
    listener.changed(&adas);
    listener.changed(&bobs);
    assert_eq!(asks.recv().await.unwrap(), bobs, "only bob is watched");
}

/// Tells of which record each fetch asks first.
struct Asked(mpsc::UnboundedSender<String>);

#[async_trait]
impl Hook for Asked {
    async fn before(&self, call: Call, id: &str) -> Result<(), ProviderError> {
        if call == Call::Fetch {
            let _ = self.0.send(id.to_owned());
        }
        Ok(())
    }
}

const MINUTE: Duration = Duration::from_secs(60);
