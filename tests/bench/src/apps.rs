//! The same application for each library and framework: its session in memory, its cookie
//! encrypted, with the settings that the library comes with.

pub mod actix;
pub mod axum;

/// An application that answers in this thread.
pub trait App {
    /// Prepares so many requests of a kind, and makes them inside of `measure`.
    fn make(&mut self, kind: Kind, count: usize, measure: &mut dyn FnMut(&mut dyn FnMut()));

    /// The `Set-Cookie` header of a visitor's first write; `None` without sessions.
    fn set_cookie(&mut self) -> Option<String>;
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// As the report has it.
    pub name: &'static str,
    /// The route.
    pub path: &'static str,
    /// The session that the request's cookie stands for.
    pub cookie: Cookie,
}

/// Whose cookie a request brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// None.
    None,
    /// That of a visitor who is logged in. Always the same.
    LoggedIn,
    /// Those of many visitors who are logged in, one after the other.
    Others,
    /// That of a visitor who is not logged in. Each request another one, as its login changes it.
    Anonymous,
}

/// Every kind of request.
pub const KINDS: [Kind; 6] = [
    Kind { name: "no cookie, session unused", path: "/untouched", cookie: Cookie::None },
    Kind { name: "cookie, session unused", path: "/untouched", cookie: Cookie::LoggedIn },
    Kind { name: "read", path: "/read", cookie: Cookie::LoggedIn },
    Kind { name: "read, each by another visitor", path: "/read", cookie: Cookie::Others },
    Kind { name: "write", path: "/write", cookie: Cookie::LoggedIn },
    Kind { name: "login", path: "/login", cookie: Cookie::Anonymous },
];

/// The route whose response gives the cookie of a visitor who is logged in.
pub const FILL_LOGGED_IN: &str = "/fill/logged-in";

/// The route whose response gives the cookie of a visitor who is not.
pub const FILL_ANONYMOUS: &str = "/fill/anonymous";

/// Every route.
const PATHS: [&str; 8] =
    [FILL_LOGGED_IN, FILL_ANONYMOUS, "/untouched", "/peek", "/read", "/write", "/login", "/logout"];

/// How many others there are: more than any library remembers.
const OTHERS: usize = 2_000;

/// What a browser sends to an application without sessions: reading the header is the same for all.
const SOME: &str = "id=0123456789012345678901234567890123456789012345678901234567890123456789";

/// The name and value of the cookie that a `Set-Cookie` header sets.
fn pair(set_cookie: &str) -> &str {
    set_cookie.split(';').next().unwrap_or_default()
}
