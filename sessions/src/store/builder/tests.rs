//! Settings that cannot work together say so.

use super::*;
use crate::cookie::SameSite;
use crate::memory::MemoryProvider;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn builder() -> StoreBuilder {
    StoreBuilder::new(MemoryProvider::new())
}

#[test]
fn impossible_settings_say_why() {
    for (builder, word) in [
        (builder().app(""), "app"),
        (builder().app("a/b"), "app"),
        (builder().app("a".repeat(65)), "app"),
        (builder().idle_timeout(Duration::ZERO), "second"),
        (builder().idle_timeout(31 * DAY), "raise `lifetime`"),
        (builder().touch_interval(8 * DAY), "touch_interval"),
        (builder().longest_remember(Duration::ZERO), "longest_remember"),
        (builder().max_sessions_per_owner(0), "at least 1"),
        (builder().at_limit(AtLimit::RefuseLogin), "max_sessions_per_owner()"),
        (builder().max_record_size(0), "between"),
        (builder().max_record_size(1 << 30), "between"),
        (builder().client_side(), "key_encryption()"),
        (builder().encrypt_records(), "key_encryption()"),
        (builder().accept_plain_records(), "encrypt_records()"),
        (builder().encrypt_records().client_side(), "drop encrypt_records()"),
        (builder().lifetime(Duration::MAX).encrypt_records().danger_plain_keys(), "keys"),
        (builder().client_side().danger_plain_keys().max_sessions_per_owner(1), "drop one"),
        (builder().cookie(CookieConfig::new().path("x")), "path"),
        (builder().also_read_cookie(CookieConfig::new()), "must differ"),
        (builder().also_read_cookie(CookieConfig::new().path("x")), "path"),
        (builder().token_header(http::header::COOKIE), "another meaning"),
        (builder().client_side().danger_plain_keys().transport(Transport::Either), "drop"),
        (builder().assurance(Assurance::Aal1).lifetime(31 * DAY), "lower `lifetime`"),
        (builder().assurance(Assurance::Aal2).lifetime(2 * DAY), "lower `lifetime`"),
        (builder().assurance(Assurance::Aal2).idle_timeout(DAY / 24), "lower `idle_timeout`"),
        (builder().assurance(Assurance::Aal3).idle_timeout(DAY / 96), "lower `idle_timeout`"),
        (builder().assurance(Assurance::Aal3).longest_remember(DAY), "lower `longest_remember`"),
        (
            builder().cookie(CookieConfig::new().danger_plain_http()).assurance(Assurance::Aal1),
            "drop danger_plain_http()",
        ),
        (
            builder()
                .cookie(CookieConfig::new().same_site(SameSite::None))
                .assurance(Assurance::Aal2),
            "SameSite::Lax",
        ),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert!(builder().build().is_ok());
}
