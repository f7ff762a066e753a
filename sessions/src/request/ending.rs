//! The end of a request: the future that runs the handler and then commits its sessions.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use pin_project_lite::pin_project;

use super::RequestSessions;
use super::layer::{Finished, Kept, Report, Varies};
use crate::store::tracker::Finish;

/// The answer of a framework's handler.
pub(crate) trait Answer {
    fn status(&self) -> StatusCode;
}

/// The result of a finished request, for its framework.
#[derive(Default)]
pub(crate) struct Ended {
    /// The request headers that the response depends on, because its handler took a session.
    pub(crate) varies: Varies,
    /// Whether the request was a prefetch that changed a session, so that its answer must not be
    /// used.
    pub(crate) refused: bool,
    /// Whether the browser has to prove its device, and to follow its link again.
    #[cfg_attr(not(feature = "dbsc"), allow(dead_code))]
    pub(crate) again: bool,
    pub(crate) report: Report,
}

pin_project! {
    /// The future of a request: first its handler, then its commits.
    ///
    /// Both use the same memory, because frameworks box this future and move it before.
    #[project = Projected]
    pub(crate) enum Ending<F: Future> {
        Handling {
            #[pin]
            handler: F,
            // `None` if an outer layer commits them, or after the handler has responded.
            sessions: Option<RequestSessions>,
            nested: bool,
        },
        Committing {
            // `None` after the commit has ended.
            answer: Option<F::Output>,
            ended: Ended,
            commit: Finish<Report>,
            closing: Closing,
        },
    }
}

impl<F: Future> Ending<F> {
    /// Creates the future. `sessions` is `None` if an outer layer commits them.
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
            let mut finished = sessions.finish(answer.status());
            let report = Report { error: finished.hidden.take(), ..Report::default() };
            let Finished { varies, refused, again, commit, .. } = finished;
            let ended = Ended { varies, refused, again, report };
            let Some(commit) = commit else { return Poll::Ready((answer, ended)) };
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

/// Sessions that are being committed. If the response's future is dropped, this guard wakes the
/// loads that wait for the commits.
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
