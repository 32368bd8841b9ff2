mod attacks;

use super::*;
use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<io::Result<()>>,
    entered: Arc<Notify>,
    release: Arc<Notify>,
}

/// A server whose `/wait` says when it was entered and answers when released.
async fn start(config: HttpConfig) -> Server {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, held) = (entered.clone(), release.clone());
    let wait = move || async move {
        tell.notify_one();
        held.notified().await;
        "waited"
    };
    let peer = |connection: Connection| async move { connection.peer().ip().to_string() };
    let router = Router::new().route("/peer", get(peer)).route("/wait", get(wait));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let token = stop.clone();
    let running = tokio::spawn(async move { serve(listener, router, &config, token).await });
    Server { address, stop, running, entered, release }
}

async fn send(server: &Server, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Everything until the server closes the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is a closed connection too.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8(bytes).unwrap()
}

/// Reads one whole answer, whose body ends with `end`, on a connection that stays open.
async fn answer(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut chunk = [0; 1024];
        let n = stream.read(&mut chunk).await.unwrap();
        assert!(n > 0, "closed after: {text}");
        text.push_str(std::str::from_utf8(&chunk[..n]).unwrap());
    }
    text
}

const PEER: &str = "GET /peer HTTP/1.1\r\nhost: a\r\n\r\n";
const WAIT: &str = "GET /wait HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn a_running_request_finishes_after_stop() {
    let server = start(HttpConfig::default()).await;
    let waiting = send(&server, WAIT).await;
    server.entered.notified().await;
    server.stop.cancel();
    server.release.notify_one();
    assert!(rest(waiting).await.ends_with("waited"));
    server.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn unused_connections_do_not_hold_up_the_stop() {
    // The budget is longer than any test may take: it must not be needed.
    let server =
        start(HttpConfig { drain_ms: 600_000, header_timeout_ms: 600_000, ..HttpConfig::default() }).await;
    let fresh = send(&server, "").await;
    let mut used = send(&server, PEER).await;
    answer(&mut used, "127.0.0.1").await;
    server.stop.cancel();
    server.running.await.unwrap().unwrap();
    assert_eq!(rest(used).await, "");
    assert_eq!(rest(fresh).await, "");
}

#[tokio::test]
async fn a_request_beyond_the_drain_budget_is_cut() {
    let server = start(HttpConfig { drain_ms: 10, ..HttpConfig::default() }).await;
    let waiting = send(&server, WAIT).await;
    server.entered.notified().await;
    server.stop.cancel();
    server.running.await.unwrap().unwrap();
    assert_eq!(rest(waiting).await, "");
}

#[tokio::test]
async fn slow_and_silent_clients_are_hung_up_on() {
    let server = start(HttpConfig { header_timeout_ms: 50, ..HttpConfig::default() }).await;
    let slow = send(&server, "GET /peer HTTP/1.1\r\nhost:").await;
    let silent = send(&server, "").await;
    assert!(!rest(slow).await.contains("200 OK"));
    assert_eq!(rest(silent).await, "");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_free_place() {
    let server = start(HttpConfig { max_connections: 1, ..HttpConfig::default() }).await;
    let mut first = send(&server, WAIT).await;
    server.entered.notified().await;
    let mut second = send(&server, WAIT).await;
    server.release.notify_one();
    answer(&mut first, "waited").await;
    // The first still holds the only place, idle: the second's handler has not been entered.
    tokio::select! {
        biased;
        () = server.entered.notified() => panic!("two connections at once"),
        () = tokio::task::yield_now() => {}
    }
    drop(first);
    server.entered.notified().await;
    server.release.notify_one();
    answer(&mut second, "waited").await;
}

#[tokio::test]
async fn handlers_see_the_peer() {
    let server = start(HttpConfig::default()).await;
    let mut stream = send(&server, PEER).await;
    assert!(answer(&mut stream, "127.0.0.1").await.starts_with("HTTP/1.1 200 OK"));
}
