//! What the requests of a connection have in common.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt;
use tokio::time::{Instant, Sleep};

/// A client's connection. Handlers can extract it; clones are the same one.
#[derive(Debug, Clone)]
pub struct Connection(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    peer: SocketAddr,
    /// Whether a handler asked for more of the body of the request in progress and has not got it.
    is_body_awaited: AtomicBool,
    timers: Mutex<Vec<Pin<Box<Sleep>>>>,
}

/// A deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl Connection {
    /// A connection from `peer`.
    pub fn new(peer: SocketAddr) -> Self {
        let (is_body_awaited, timers) = (AtomicBool::new(false), Mutex::default());
        Self(Arc::new(Shared { peer, is_body_awaited, timers }))
    }

    /// That of a request; one of its own, from nowhere, where a router is driven without a server.
    pub(super) fn of(request: &mut Request) -> Self {
        let known = request.extensions().get::<Self>().cloned();
        known.unwrap_or_else(|| {
            let connection = Self::default();
            request.extensions_mut().insert(connection.clone());
            connection
        })
    }

    /// Where it comes from.
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Waits for `work` until `deadline`, with a timer of the connection: they are kept for its next requests, and stay set
    /// where they go off in time. To make one for each request, or to set it anew, costs more than all else that is done to wait.
    ///
    /// # Errors
    /// When the work is not done in time.
    pub async fn timeout_at<F: Future>(&self, deadline: Instant, work: F) -> Result<F::Output, Elapsed> {
        let mut work = pin!(work);
        let mut timer = Timer::take(self, deadline);
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => timer.poll(context).map(|()| Err(Elapsed)),
        })
        .await
    }

    /// Whether the client keeps a handler waiting for its request's body.
    pub(super) fn is_body_awaited(&self) -> bool {
        self.0.is_body_awaited.load(Ordering::Relaxed)
    }

    /// A request's body, watched for [`Self::is_body_awaited`].
    pub(super) fn watch<B>(&self, body: B) -> Body
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<axum::BoxError>,
    {
        self.0.is_body_awaited.store(false, Ordering::Relaxed);
        Body::new(Watched { body, connection: self.clone() })
    }

    fn timers(&self) -> MutexGuard<'_, Vec<Pin<Box<Sleep>>>> {
        self.0.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One from nowhere.
impl Default for Connection {
    fn default() -> Self {
        Self::new((Ipv4Addr::UNSPECIFIED, 0).into())
    }
}

impl<S: Sync> FromRequestParts<S> for Connection {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// The server's own timers, for the heads of requests, are the connection's, too.
impl rt::Timer for Connection {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until((Instant::now() + duration).into_std())
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Timer::take(self.clone(), deadline.into()))
    }
}

/// A timer of a connection while it is used.
struct Timer<C: Borrow<Connection>> {
    connection: C,
    deadline: Instant,
    /// Goes off at the deadline, or before: then it is set to the deadline.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<C: Borrow<Connection>> Timer<C> {
    fn take(connection: C, deadline: Instant) -> Self {
        let kept = kept(&mut connection.borrow().timers(), deadline);
        let sleep = match kept {
            Some(mut sleep) => {
                if sleep.deadline() > deadline {
                    sleep.as_mut().reset(deadline);
                }
                sleep
            }
            None => Box::pin(tokio::time::sleep_until(deadline)),
        };
        Self { connection, deadline, sleep: Some(sleep) }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else { return Poll::Pending };
        ready!(sleep.as_mut().poll(context));
        if sleep.deadline() >= self.deadline {
            return Poll::Ready(());
        }
        sleep.as_mut().reset(self.deadline);
        sleep.as_mut().poll(context)
    }
}

/// The one that is to be set anew last, of those that go off until `deadline`, or else any.
fn kept(timers: &mut Vec<Pin<Box<Sleep>>>, deadline: Instant) -> Option<Pin<Box<Sleep>>> {
    let in_time = timers.iter().enumerate().filter(|(_, sleep)| sleep.deadline() <= deadline);
    let last = in_time.max_by_key(|(_, sleep)| sleep.deadline()).map(|(index, _)| index);
    last.map(|index| timers.swap_remove(index)).or_else(|| timers.pop())
}

impl<C: Borrow<Connection>> Drop for Timer<C> {
    fn drop(&mut self) {
        self.connection.borrow().timers().extend(self.sleep.take());
    }
}

impl Future for Timer<Connection> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Timer::poll(&mut self, context)
    }
}

impl rt::Sleep for Timer<Connection> {}

/// A body that says when it keeps a handler waiting.
struct Watched<B> {
    body: B,
    connection: Connection,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.connection.0.is_body_awaited.store(polled.is_pending(), Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test(start_paused = true)]
    async fn timers_are_used_again_for_later_and_for_earlier_deadlines() {
        let connection = Connection::default();
        for seconds in [5, 9, 1, 30] {
            let begun = Instant::now();
            let deadline = begun + Duration::from_secs(seconds);
            assert_eq!(connection.timeout_at(deadline, async { 7 }).await, Ok(7));
            assert_eq!(connection.timeout_at(deadline, pending::<()>()).await, Err(Elapsed));
            assert_eq!(begun.elapsed().as_secs(), seconds);
            assert_eq!(connection.timers().len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_stays_set_until_it_goes_off() {
        let connection = Connection::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let work = |seconds, until| connection.timeout_at(at(until), tokio::time::sleep_until(at(seconds)));
        let set = || connection.timers().iter().map(|sleep| sleep.deadline() - begun).collect::<Vec<_>>();
        assert_eq!((work(1, 5).await, set()), (Ok(()), vec![Duration::from_secs(5)]));
        assert_eq!((work(2, 6).await, set()), (Ok(()), vec![Duration::from_secs(5)]));
        assert_eq!((work(6, 7).await, set()), (Ok(()), vec![Duration::from_secs(7)]), "it went off at 5");
        assert_eq!(
            (work(9, 12).await, set()),
            (Ok(()), vec![Duration::from_secs(12)]),
            "it had gone off before"
        );
        assert_eq!((work(11, 10).await, begun.elapsed()), (Err(Elapsed), Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_timers_the_fitting_one_is_used() {
        let connection = Connection::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let inner = connection.timeout_at(at(5), tokio::time::sleep_until(at(1)));
        assert_eq!(connection.timeout_at(at(10), inner).await, Ok(Ok(())));
        let timer = Timer::take(&connection, at(6));
        assert_eq!(timer.sleep.as_ref().map(|sleep| sleep.deadline()), Some(at(5)));
        assert_eq!(connection.timers()[0].deadline(), at(10));
    }

    #[tokio::test(start_paused = true)]
    async fn one_deadline_within_another() {
        let connection = Connection::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let inner = connection.timeout_at(at(2), pending::<()>());
        assert_eq!(connection.timeout_at(at(5), inner).await, Ok(Err(Elapsed)));
        assert_eq!(begun.elapsed().as_secs(), 2);
        let inner = connection.timeout_at(at(20), pending::<()>());
        assert_eq!(connection.timeout_at(at(10), inner).await, Err(Elapsed));
        assert_eq!(begun.elapsed().as_secs(), 10);
        assert_eq!(connection.timers().len(), 2);
    }
}
