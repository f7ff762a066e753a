//! What converters must return: traits, as only these can say what to write instead.

/// What a converter returned.
///
/// Its methods ask for a trait of what is wanted, not of what was returned: a function that is
/// generic in what it returns is then inferred to return the one type that fits.
#[derive(Debug)]
pub struct Returned<R>(pub R);

impl<R> Returned<R> {
    /// What a converter that cannot fail returned.
    pub fn made<T: MadeBy<R>>(self) -> T {
        T::made(self.0)
    }

    /// What a converter that can fail returned.
    ///
    /// # Errors
    /// The converter's own.
    pub fn tried<T: TriedBy<R>>(self) -> Result<T, T::Error> {
        T::tried(self.0)
    }
}

/// A type that a converter which cannot fail returns as it is.
#[diagnostic::on_unimplemented(
    message = "this function returns `{R}`, and a `{Self}` is needed here",
    label = "does not return a `{Self}`",
    note = "for a function that returns a `Result` write `try_with` in place of `with`, and \
            `try_back` in place of `back`"
)]
pub trait MadeBy<R> {
    /// What the converter returned.
    fn made(returned: R) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T> MadeBy<T> for T {
    fn made(returned: T) -> T {
        returned
    }
}

/// A type of which a converter that can fail returns a `Result`.
#[diagnostic::on_unimplemented(
    message = "this function returns `{R}`, and a `Result` of `{Self}` is needed here",
    label = "does not return a `Result` of `{Self}`",
    note = "for a function that cannot fail write `with` in place of `try_with`, and `back` in \
            place of `try_back`"
)]
pub trait TriedBy<R> {
    /// Why it failed.
    type Error;

    /// What the converter returned.
    ///
    /// # Errors
    /// The converter's own.
    fn tried(returned: R) -> Result<Self, Self::Error>
    where
        Self: Sized;
}

#[diagnostic::do_not_recommend]
impl<T, E> TriedBy<Result<T, E>> for T {
    type Error = E;

    fn tried(returned: Result<T, E>) -> Result<T, E> {
        returned
    }
}
