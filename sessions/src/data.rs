//! [`SessionData`], the trait that the derive implements.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::schema::describe::Schema;
use crate::schema::entries::Encoded;
use crate::schema::fields::Fields;
use crate::schema::reader::{Failed, Reader};
use crate::schema::stored::Stored;
use crate::schema::table::Table;

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

    /// Who owns the session; `None` for nobody.
    #[doc(hidden)]
    fn owner(&self) -> Option<&Self::Owner>;

    /// Decodes fields of any readable version directly to the newest shape.
    #[doc(hidden)]
    fn read(reader: &mut Reader<'_>) -> Result<Self, Failed>;

    /// Encodes each field at this build's version.
    #[doc(hidden)]
    fn encode(&self) -> Result<Encoded, Error>;

    /// The encoded fields.
    #[doc(hidden)]
    fn fields(&self) -> Result<Fields, Error> {
        Ok(Fields::of(Self::TABLE, self.encode()?))
    }

    /// Decodes a stored record of any readable version to the newest shape.
    #[doc(hidden)]
    fn load(stored: &Stored) -> Result<Self, Error> {
        Self::of_reader(stored.reader(Self::TABLE)?)
    }

    /// Decodes a record to its end.
    #[doc(hidden)]
    fn of_reader(mut reader: Reader<'_>) -> Result<Self, Error> {
        let value = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

impl Fields {
    /// Decodes the value again, after a merge for example.
    ///
    /// # Errors
    /// [`Error::Decode`] if a field cannot be read.
    pub fn decode<T: SessionData>(&self) -> Result<T, Error> {
        Ok(T::read(&mut self.reader())?)
    }
}

/// The [`Owner`](SessionData::Owner) of a session type without an owner field. It has no values, so
/// calls that take an owner do not compile for such a type.
///
/// ```
/// use std::any::TypeId;
///
/// use sessions::{Session, SessionData, data::NoOwner};
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

/// A value that names an owner of the type `O`: an `O`, a reference to one, or a `&str` where `O`
/// is a string.
///
/// The [`Store`](crate::Store)'s methods that take an owner ask for it, with the session type's
/// [`Owner`](SessionData::Owner), so that another kind of id does not compile.
///
/// ```
/// use sessions::data::AsOwner;
///
/// fn names_a_user(owner: impl AsOwner<u64>) -> String {
///     owner.name()
/// }
///
/// assert_eq!(names_a_user(7), "7");
/// assert_eq!(names_a_user(&7), "7");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the owner of this session type: its owner is a `{O}`",
    label = "expected a `{O}`",
    note = "pass what the field marked `#[session(owner)]` holds, without its `Option`",
    note = "a session type without such a field has no owner (`NoOwner`): mark one"
)]
pub trait AsOwner<O> {
    /// The owner's text, which sessions are filed under.
    ///
    /// ```
    /// use sessions::data::AsOwner;
    ///
    /// assert_eq!(AsOwner::<String>::name(&"ada"), "ada");
    /// ```
    fn name(&self) -> String;
}

impl<O: fmt::Display> AsOwner<O> for O {
    fn name(&self) -> String {
        self.to_string()
    }
}

impl<O: fmt::Display> AsOwner<O> for &O {
    fn name(&self) -> String {
        self.to_string()
    }
}

macro_rules! named_by_str {
    ($($owner:ty),*) => {$(
        impl AsOwner<$owner> for &str {
            fn name(&self) -> String {
                (*self).to_owned()
            }
        }
    )*};
}

named_by_str!(String, Box<str>, Arc<str>, Cow<'static, str>);
