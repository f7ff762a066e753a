//! From a handler's answer to the response: the commit in between, polled in place.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use pin_project_lite::pin_project;

use super::RequestSessions;
use super::layer::Report;
use crate::store::tracker::Finish;

/// What a framework's handler answers with.
pub(crate) trait Answer {
    fn status(&self) -> StatusCode;

    /// Says that it depends on the cookie.
    fn vary(&mut self);
}

pin_project! {
    /// A request on its way: its handler, and then the commits that it leaves to do.
    ///
    /// One after the other in the same place, for a framework boxes it, and moves it before.
    #[project = Projected]
    pub(crate) enum Ending<F: Future> {
        Handling {
            #[pin]
            handler: F,
            // `None` once the handler has answered and nothing is left to do.
            sessions: Option<RequestSessions>,
        },
        Committing {
            // `None` once the commit has ended.
            answer: Option<F::Output>,
            commit: Finish<Report>,
        },
    }
}

impl<F: Future> Ending<F> {
    pub(crate) fn new(handler: F, sessions: RequestSessions) -> Self {
        Self::Handling { handler, sessions: Some(sessions) }
    }
}

impl<F: Future<Output: Answer>> Future for Ending<F> {
    /// The handler's answer, and what the commits came to where there were any.
    type Output = (F::Output, Option<Report>);

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Projected::Handling { handler, sessions } = self.as_mut().project() {
            let mut answer = ready!(handler.poll(context));
            let Some(sessions) = sessions.take() else { return Poll::Pending };
            let finished = sessions.finish(answer.status());
            sessions.recycle();
            if finished.read {
                answer.vary();
            }
            let Some(commit) = finished.commit else { return Poll::Ready((answer, None)) };
            self.set(Self::Committing { answer: Some(answer), commit });
        }
        let Projected::Committing { answer, commit } = self.project() else { return Poll::Pending };
        let report = ready!(Pin::new(commit).poll(context));
        let Some(answer) = answer.take() else { return Poll::Pending };
        Poll::Ready((answer, Some(report)))
    }
}

impl<F: Future> fmt::Debug for Ending<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sessions = match self {
            Self::Handling { sessions, .. } => sessions.as_ref(),
            Self::Committing { .. } => None,
        };
        f.debug_struct("Ending").field("sessions", &sessions).finish_non_exhaustive()
    }
}
