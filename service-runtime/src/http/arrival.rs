//! Whether a handler waits for its request's body: then a timeout is the client's doing, not the service's.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Tells of a request's body.
pub(super) struct Arrival(Option<Arc<AtomicBool>>);

/// A body that says when it keeps a handler waiting.
struct Watched {
    body: Body,
    is_awaited: Arc<AtomicBool>,
}

impl Arrival {
    /// Watches a request's body.
    pub(super) fn watch(request: Request) -> (Request, Self) {
        if request.body().is_end_stream() {
            return (request, Self(None));
        }
        let is_awaited = Arc::new(AtomicBool::new(false));
        let watched = |body| Body::new(Watched { body, is_awaited: Arc::clone(&is_awaited) });
        (request.map(watched), Self(Some(is_awaited)))
    }

    /// Whether a handler asked for more of the body and has not got it.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.as_ref().is_some_and(|is_awaited| is_awaited.load(Ordering::Relaxed))
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.is_awaited.store(polled.is_pending(), Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
