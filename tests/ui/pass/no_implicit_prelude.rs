//! Generated code names everything by its full path.

#![no_implicit_prelude]

#[derive(::sessions::Session)]
#[session(name = "visitor", version = 3, write = 2)]
#[session(removed(theme: ::std::string::String, before = 3, default = dark()))]
#[session(removed(size: u8, since = 2, before = 3, default = 1))]
struct Visitor {
    #[session(owner)]
    user: ::core::option::Option<u64>,
    #[session(was(before = 2, name = "hits"), merge = add)]
    visits: u64,
    #[session(since = 2, default = dark())]
    locale: ::std::string::String,
    #[session(was(before = 3, ty = u32, try_with = score, try_back = old_score))]
    score: u64,
    #[session(since = 3, from(theme, size), with = look, back = parts, merge(with = longest))]
    look: ::std::string::String,
    #[session(was(before = 3, ty = u8, with = ::core::convert::Into::into, back = last_byte))]
    width: u16,
    #[session(since = 3)]
    beta: bool,
    #[session(skip)]
    cache: ::core::option::Option<u8>,
}

fn dark() -> ::std::string::String {
    ::std::borrow::ToOwned::to_owned("dark")
}

fn score(old: u32) -> ::core::result::Result<u64, ::std::string::String> {
    ::core::result::Result::Ok(::core::convert::Into::into(old))
}

fn old_score(new: u64) -> ::core::result::Result<u32, ::core::num::TryFromIntError> {
    ::core::convert::TryFrom::try_from(new)
}

fn look(theme: ::std::string::String, size: u8) -> ::std::string::String {
    ::std::format!("{theme} {size}")
}

fn parts(look: ::std::string::String) -> (::std::string::String, u8) {
    (look, 1)
}

fn last_byte(number: u16) -> u8 {
    number as u8
}

fn longest(
    _base: &::std::string::String,
    mine: &::std::string::String,
    theirs: &::std::string::String,
) -> ::core::result::Result<::std::string::String, ::sessions::schema::MergeConflict> {
    let longest = if mine.len() > theirs.len() { mine } else { theirs };
    ::core::result::Result::Ok(::core::clone::Clone::clone(longest))
}

fn main() {
    let fresh = <Visitor as ::sessions::SessionData>::fresh();
    ::std::assert_eq!(fresh.locale, "dark");
    let _ = (fresh.user, fresh.visits, fresh.score, fresh.look, fresh.cache, fresh.width, fresh.beta);
}
