//! From a handler's answer to the response: the commit in between, polled in place.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use pin_project_lite::pin_project;

use super::{Report, RequestSessions};
use crate::store::Finish;

/// What a framework's handler answers with.
pub(crate) trait Answer {
    fn status(&self) -> StatusCode;

    /// Says that it depends on the cookie.
    fn vary(&mut self);
}

pin_project! {
    /// A handler, and the commit of its sessions after it.
    pub(crate) struct Ending<F: Future> {
        #[pin]
        handler: F,
        // `None` once the handler has answered and nothing is left to do.
        sessions: Option<RequestSessions>,
        // The handler's answer, and the commit that it waits for.
        finish: Option<(F::Output, Finish<Report>)>,
    }
}

impl<F: Future> Ending<F> {
    pub(crate) fn new(handler: F, sessions: RequestSessions) -> Self {
        Self { handler, sessions: Some(sessions), finish: None }
    }
}

impl<F: Future<Output: Answer>> Future for Ending<F> {
    /// The handler's answer, and what there was to commit.
    type Output = (F::Output, Option<Report>);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.finish.is_none() {
            let mut answer = ready!(this.handler.poll(context));
            let Some(sessions) = this.sessions.take() else { return Poll::Pending };
            let finished = sessions.finish(answer.status());
            sessions.recycle();
            if finished.read {
                answer.vary();
            }
            match finished.commit {
                None => return Poll::Ready((answer, None)),
                Some(commit) => *this.finish = Some((answer, commit)),
            }
        }
        let Some((_, commit)) = this.finish else { return Poll::Pending };
        let report = ready!(Pin::new(commit).poll(context));
        let Some((answer, _)) = this.finish.take() else { return Poll::Pending };
        Poll::Ready((answer, Some(report)))
    }
}

impl<F: Future> fmt::Debug for Ending<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}
