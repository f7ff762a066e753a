//! [`SessionData`], the trait that the derive implements.

use crate::Error;
use std::fmt;

use crate::schema::{Failed, Fields, Reader, Schema, Stored, Table};

/// A struct that can be stored in a session. Derive it with `#[derive(Session)]`; do not implement
/// it by hand.
///
/// ```
/// use sessions::{Session, SessionData};
///
/// #[derive(Session)]
/// #[session(name = "visitor", version = 1)]
/// struct Visitor {
///     #[session(default = 1)]
///     visits: u64,
/// }
///
/// assert_eq!(Visitor::fresh().visits, 1);
/// assert_eq!(Visitor::SCHEMA.name, "visitor");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a session type",
    label = "this type does not derive `Session`",
    note = "add `#[derive(Session)]` and `#[session(name = \"...\", version = 1)]` to the struct"
)]
pub trait SessionData: Sized + Send + 'static {
    /// The type of the field marked `owner`, without the `Option` around it, or [`NoOwner`] if no
    /// field is.
    ///
    /// The store files a session under the owner's text.
    ///
    /// ```
    /// # use sessions::{Session, SessionData};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { #[session(owner)] user: Option<u64> }
    /// let ada: <Visitor as SessionData>::Owner = 7_u64;
    /// assert_eq!(ada.to_string(), "7");
    /// ```
    // The compiler quotes this line in the error for an unsuitable owner.
    type Owner: fmt::Display; // an `Option` of one is written out, not as an alias

    /// The schema of this type at each of its versions, for tests and tools.
    ///
    /// ```
    /// # use sessions::{Session, SessionData};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u64 }
    /// assert_eq!(Visitor::SCHEMA.version, 1);
    /// assert_eq!(Visitor::SCHEMA.versions[0].fields[0].key, "visits");
    /// ```
    const SCHEMA: &'static Schema;

    /// What the store does with the fields, without knowing the type.
    #[doc(hidden)]
    const TABLE: &'static Table;

    /// Returns the value of a new session: each field's `default`, or its type's.
    ///
    /// ```
    /// # use sessions::{Session, SessionData};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u64, #[session(default = "en".to_owned())] locale: String }
    /// let visitor = Visitor::fresh();
    /// assert_eq!((visitor.visits, visitor.locale.as_str()), (0, "en"));
    /// ```
    fn fresh() -> Self;

    /// Decodes fields of any readable version directly to the newest shape.
    #[doc(hidden)]
    fn read(reader: &mut Reader<'_>) -> Result<Self, Failed>;

    /// Encodes each field at this build's version.
    #[doc(hidden)]
    fn fields(&self) -> Result<Fields, Error>;

    /// Decodes a stored record of any readable version to the newest shape.
    #[doc(hidden)]
    fn load(stored: &Stored) -> Result<Self, Error> {
        let mut reader = stored.reader(Self::TABLE)?;
        let value = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// The [`Owner`](SessionData::Owner) of a session type without an owner field. It has no values, so
/// calls that take an owner do not compile for such a type.
///
/// ```
/// use std::any::TypeId;
///
/// use sessions::{NoOwner, Session, SessionData};
///
/// #[derive(Session)]
/// #[session(name = "visitor", version = 1)]
/// struct Visitor {
///     visits: u64,
/// }
///
/// assert_eq!(TypeId::of::<<Visitor as SessionData>::Owner>(), TypeId::of::<NoOwner>());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoOwner {}

impl fmt::Display for NoOwner {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}
