use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::{Connection, Routes};
use crate::config::HttpConfig;

/// How long to wait when the kernel has no file left for a connection; a shorter wait would spin.
const OUT_OF_FILES: Duration = Duration::from_millis(200);

/// The largest head of a request: what a connection may make the process keep before a handler sees anything. Larger ones
/// are answered 431 (or 414, when it is the address).
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Files that the process has open beside connections: log, stores, and a reserve.
const OTHER_FILES: u64 = 1_024;

/// Serves `routes` until `stop`, then closes unused connections and gives running requests [`HttpConfig::drain`] to
/// finish; what still runs after that is cut, with a warning. `config.listen` is not looked at: the listener is given,
/// so that tests can pick a free port.
///
/// HTTP/1.1 only: a proxy speaks HTTP/2 to the outside, and one protocol means one set of limits. Handlers can extract their
/// request's [`Connection`].
///
/// # Errors
/// When the listener itself is broken; never for a single connection.
pub async fn serve(
    listener: TcpListener,
    routes: impl Into<Routes>,
    config: &HttpConfig,
    stop: CancellationToken,
) -> io::Result<()> {
    let routes = routes.into();
    // At most 100 header lines, hyper's own limit: told so, it would fill two arrays of that size for each request.
    // What answers have after their head is short: to copy it costs less than to have the kernel gather it.
    let mut http = http1::Builder::new();
    http.header_read_timeout(config.header_timeout()).max_buf_size(MAX_HEAD_BYTES).writev(false);
    allow_open_files(config.max_connections);
    let limit = Arc::new(Semaphore::new(config.max_connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();

    tracing::info!(address = %listener.local_addr()?, "listening");
    while let Some((stream, peer, permit)) = accept(&listener, &limit, &stop).await? {
        while connections.try_join_next().is_some() {}
        let (routes, known) = (routes.clone(), Connection::new(peer));
        let mut http = http.clone();
        http.timer(known.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            routes.answer(request.map(|body| known.watch(body)), &known)
        });
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(config.write_timeout()));
        let connection = graceful.watch(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
        connections.spawn(async move {
            let _until_closed: OwnedSemaphorePermit = permit;
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "connection ended with an error");
            }
        });
    }

    // New clients are refused from here on instead of waiting for nothing.
    drop(listener);
    if tokio::time::timeout(config.drain(), graceful.shutdown()).await.is_err() {
        while connections.try_join_next().is_some() {}
        tracing::warn!(connections = connections.len(), "cutting connections that did not drain in time");
    }
    Ok(())
}

/// The next connection, as soon as the limit allows one; `None` at shutdown.
async fn accept(
    listener: &TcpListener,
    limit: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> io::Result<Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)>> {
    let next = async {
        let permit = limit.clone().acquire_owned().await.map_err(io::Error::other)?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // Answers are small and written at once: waiting for more to send only adds latency.
                    stream.set_nodelay(true).ok();
                    return Ok((stream, peer, permit));
                }
                Err(error) => retry(error).await?,
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => Ok(None),
        accepted = next => accepted.map(Some),
    }
}

/// Raises the process's soft limit of open files as far as the connections need and the hard limit allows. Systems set it low
/// for programs that use `select`, which this one does not.
fn allow_open_files(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let needed = connections as u64 + OTHER_FILES;
    let wanted = maximum.map_or(needed, |maximum| needed.min(maximum));
    if current.is_some_and(|current| current < wanted) {
        // Where it is refused, `accept` says so when the files are used up.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
    if wanted < needed {
        tracing::warn!(
            connections,
            files = wanted,
            "fewer files may be open than max_connections needs: raise the hard limit (ulimit -Hn), or lower max_connections"
        );
    }
}

/// Passes over what is the fault of one client or of the moment.
async fn retry(error: io::Error) -> io::Result<()> {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    match error.kind() {
        ConnectionAborted | ConnectionRefused | ConnectionReset => Ok(()),
        InvalidInput | NotConnected => Err(error),
        _ => {
            tracing::warn!(%error, "cannot accept connections");
            tokio::time::sleep(OUT_OF_FILES).await;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
