//! The traits that a converter's return type must implement, because only traits can carry a
//! message that says what to write instead.

/// The value that a converter returned.
///
/// Its methods require a trait of the wanted type, not of the returned one. So for a function with
/// a generic return type, the compiler infers the one type that fits.
#[derive(Debug)]
pub struct Returned<R>(pub R);

impl<R> Returned<R> {
    /// Returns the value of a converter that cannot fail.
    pub fn made<T: MadeBy<R>>(self) -> T {
        T::made(self.0)
    }

    /// Returns the value of a converter that can fail.
    ///
    /// # Errors
    /// The converter's own error.
    pub fn tried<T: TriedBy<R>>(self) -> Result<T, T::Error> {
        T::tried(self.0)
    }
}

/// A type that an infallible converter returns.
#[diagnostic::on_unimplemented(
    message = "this function returns `{R}`, and a `{Self}` is needed here",
    label = "does not return a `{Self}`",
    note = "for a function that returns a `Result` write `try_with` in place of `with`, and \
            `try_back` in place of `back`"
)]
pub trait MadeBy<R> {
    /// Returns the converter's value.
    fn made(returned: R) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T> MadeBy<T> for T {
    fn made(returned: T) -> T {
        returned
    }
}

/// A type that a fallible converter returns in a `Result`.
#[diagnostic::on_unimplemented(
    message = "this function returns `{R}`, and a `Result` of `{Self}` is needed here",
    label = "does not return a `Result` of `{Self}`",
    note = "for a function that cannot fail write `with` in place of `try_with`, and `back` in \
            place of `try_back`"
)]
pub trait TriedBy<R> {
    /// Why it failed.
    type Error;

    /// Returns the converter's value or error.
    ///
    /// # Errors
    /// The converter's own error.
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
