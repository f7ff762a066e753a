//! From a handler's answer to the response: the commit in between, polled in place.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use pin_project_lite::pin_project;

use super::RequestSessions;
use super::layer::{Kept, Report};
use crate::store::tracker::Finish;

/// What a framework's handler answers with.
pub(crate) trait Answer {
    fn status(&self) -> StatusCode;
}

/// How a request ended.
#[derive(Default)]
pub(crate) struct Ended {
    /// Its handler took a session: the response depends on the cookie.
    pub(crate) read: bool,
    /// It was a prefetch that changed a session: its answer must not be used.
    pub(crate) refused: bool,
    pub(crate) report: Report,
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
            // `None` where a layer around this one has them, and once the handler has answered.
            sessions: Option<RequestSessions>,
            nested: bool,
        },
        Committing {
            // `None` once the commit has ended.
            answer: Option<F::Output>,
            ended: Ended,
            commit: Finish<Report>,
            closing: Closing,
        },
    }
}

impl<F: Future> Ending<F> {
    /// `sessions`: `None` where a layer around this one commits them.
    pub(crate) fn new(handler: F, sessions: Option<RequestSessions>) -> Self {
        Self::Handling { handler, nested: sessions.is_none(), sessions }
    }
}

impl<F: Future<Output: Answer>> Future for Ending<F> {
    type Output = (F::Output, Ended);

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Projected::Handling { handler, sessions, nested } = self.as_mut().project() {
            let answer = ready!(handler.poll(context));
            if *nested {
                return Poll::Ready((answer, Ended::default()));
            }
            let Some(sessions) = sessions.take() else { return Poll::Pending };
            let finished = sessions.finish(answer.status());
            let report = Report { error: finished.hidden, ..Report::default() };
            let ended = Ended { read: finished.read, refused: finished.refused, report };
            let Some(commit) = finished.commit else { return Poll::Ready((answer, ended)) };
            let closing = Closing(Some(sessions));
            self.set(Self::Committing { answer: Some(answer), ended, commit, closing });
        }
        let Projected::Committing { answer, ended, commit, closing } = self.project() else {
            return Poll::Pending;
        };
        let mut report = ready!(Pin::new(commit).poll(context));
        let Some(answer) = answer.take() else { return Poll::Pending };
        closing.close(std::mem::take(&mut report.kept));
        Poll::Ready((answer, Ended { report, ..std::mem::take(ended) }))
    }
}

/// Sessions whose commits are under way: whoever waits for their end waits no longer where the
/// response's future is dropped.
pub(crate) struct Closing(Option<RequestSessions>);

impl Closing {
    fn close(&mut self, kept: Kept) {
        if let Some(sessions) = self.0.take() {
            sessions.close(kept);
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.close(Kept::new());
    }
}

impl<F: Future> fmt::Debug for Ending<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sessions = match self {
            Self::Handling { sessions, .. } => sessions.as_ref(),
            Self::Committing { closing, .. } => closing.0.as_ref(),
        };
        f.debug_struct("Ending").field("sessions", &sessions).finish_non_exhaustive()
    }
}
