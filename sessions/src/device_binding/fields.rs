//! The header fields of requests that prove a device. The draft writes structured strings (RFC
//! 9651), and browsers send tokens too: both are read, and parameters are ignored.

use http::header::{HeaderMap, HeaderName};
use sfv::{BareItem, Item, List, ListEntry, Parser};

/// The proof.
pub(crate) const RESPONSE: HeaderName = HeaderName::from_static("secure-session-response");
/// The identifier of the session to refresh.
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("sec-secure-session-id");
/// Why a request comes without a proof.
pub(crate) const SKIPPED: HeaderName = HeaderName::from_static("secure-session-skipped");

/// Why a field is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldFault {
    /// It is there twice.
    Twice,
    TooLarge,
    Malformed,
}

/// Returns the text of a field that holds one string or token of at most `most` bytes, or `None` if
/// it is not there.
pub(crate) fn text(
    headers: &HeaderMap,
    name: &HeaderName,
    most: usize,
) -> Result<Option<String>, FieldFault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(FieldFault::Twice);
    }
    parse_text(value.as_bytes(), most).map(Some)
}

/// Parses one string or token.
pub(crate) fn parse_text(value: &[u8], most: usize) -> Result<String, FieldFault> {
    if value.len() > most {
        return Err(FieldFault::TooLarge);
    }
    let text = match Parser::new(value).parse::<Item>() {
        Ok(Item { bare_item: BareItem::String(text), .. }) => String::from(text),
        Ok(Item { bare_item: BareItem::Token(text), .. }) => String::from(text),
        _ => return Err(FieldFault::Malformed),
    };
    // What a JWT or a token of this library can hold. So a string needs no escapes.
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.is_empty() || !text.bytes().all(known) {
        return Err(FieldFault::Malformed);
    }
    Ok(text)
}

/// Why a browser did not refresh a session before a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skipped {
    Unreachable,
    ServerError,
    QuotaExceeded,
}

impl Skipped {
    /// Returns the first reason that a request gives. Whoever has the cookies can write it, so it is
    /// only reported.
    pub(crate) fn of<'h>(mut values: impl Iterator<Item = &'h [u8]>) -> Option<Self> {
        let value = values.next().filter(|value| value.len() <= MOST_SKIPPED)?;
        parse_skipped(value)
    }
}

/// Parses a list of reasons, each with parameters.
pub(crate) fn parse_skipped(value: &[u8]) -> Option<Skipped> {
    let list = Parser::new(value).parse::<List>().ok()?;
    list.iter().find_map(|entry| match entry {
        ListEntry::Item(Item { bare_item: BareItem::Token(reason), .. }) => match reason.as_str() {
            "unreachable" => Some(Skipped::Unreachable),
            "server_error" => Some(Skipped::ServerError),
            "quota_exceeded" => Some(Skipped::QuotaExceeded),
            _ => None,
        },
        _ => None,
    })
}

const MOST_SKIPPED: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_and_a_token_are_the_same_text() {
        for value in
            ["AQid-_.x", "\"AQid-_.x\"", "  AQid-_.x ", "AQid-_.x;a=1", "\"AQid-_.x\";b;c=\"d\""]
        {
            assert_eq!(parse_text(value.as_bytes(), 99), Ok("AQid-_.x".to_owned()), "{value}");
        }
        assert_eq!(parse_text(b"\"0first-a-digit\"", 99), Ok("0first-a-digit".to_owned()));
        for value in [
            "",
            " ",
            "\"\"",
            "\"open",
            "open\"",
            "a b",
            "a, b",
            "\"a\" \"b\"",
            "\"a\\\"b\"",
            "a;",
            "(a)",
            ":YQ==:",
            "?1",
            "17",
            "a=b",
            "a/b",
            "\"a b\"",
            "\u{e9}",
            "a\0",
        ] {
            assert_eq!(parse_text(value.as_bytes(), 99), Err(FieldFault::Malformed), "{value:?}");
        }
        assert_eq!(parse_text(&[b'a'; 100], 99), Err(FieldFault::TooLarge));
    }

    #[test]
    fn a_field_counts_once() {
        let mut headers = HeaderMap::new();
        assert_eq!(text(&headers, &RESPONSE, 9), Ok(None));
        headers.append(RESPONSE, http::HeaderValue::from_static("a"));
        assert_eq!(text(&headers, &RESPONSE, 9), Ok(Some("a".to_owned())));
        headers.append(RESPONSE, http::HeaderValue::from_static("a"));
        assert_eq!(text(&headers, &RESPONSE, 9), Err(FieldFault::Twice));
    }

    #[test]
    fn the_first_reason_that_is_known_counts() {
        let of = |value: &str| Skipped::of([value.as_bytes()].into_iter());
        assert_eq!(of("unreachable;session_identifier=\"a\""), Some(Skipped::Unreachable));
        assert_eq!(of("new_one, server_error"), Some(Skipped::ServerError));
        assert_eq!(of("quota_exceeded"), Some(Skipped::QuotaExceeded));
        for value in ["", "\"unreachable\"", "(unreachable)", "unreachable;", "Unreachable", ",,"] {
            assert_eq!(of(value), None, "{value}");
        }
        assert_eq!(of(&format!("unreachable;a=\"{}\"", "b".repeat(MOST_SKIPPED))), None);
        assert_eq!(Skipped::of(std::iter::empty()), None);
    }
}
