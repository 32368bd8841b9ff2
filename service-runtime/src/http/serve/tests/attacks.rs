//! What clients do who mean no good.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::post;

use super::*;
use crate::http::{instrument, with_fallbacks};

/// Header lines of a request at most; more are answered 431.
const MAX_HEADERS: usize = 100;

/// A server with a handler that reads whole bodies, behind the layers that every service has.
async fn serve_bodies(config: HttpConfig) -> SocketAddr {
    let routes = Router::new()
        .route("/body", post(|body: Bytes| async move { body.len().to_string() }))
        .route("/large", get(|| async { Body::from(vec![b'x'; 1 << 20]) }))
        .route("/stolen", get(|| async { "stolen" }));
    let router = with_fallbacks(instrument(routes, "attacked", config.request_timeout()), "attacked");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(listener, router, &config, CancellationToken::new()).await });
    address
}

async fn connect(address: SocketAddr, request: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may hang up before it has everything.
    let _ = stream.write_all(request.as_ref()).await;
    stream
}

/// What a well-behaved client gets.
async fn still_serves(address: SocketAddr) {
    let sound = b"POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    let answer = rest(connect(address, sound).await).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n2"), "{answer}");
}

/// A proxy in front that goes by the length forwards all of it as one request; here it must not be two.
#[tokio::test]
async fn a_length_beside_a_transfer_encoding_smuggles_no_second_request() {
    let address = serve_bodies(HttpConfig::default()).await;
    let smuggled = "0\r\n\r\nGET /stolen HTTP/1.1\r\nhost: a\r\n\r\n";
    for headers in [
        format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", smuggled.len()),
        format!("transfer-encoding: chunked\r\ncontent-length: {}\r\n", smuggled.len()),
        format!("content-length: {}\r\ncontent-length: 4\r\n", smuggled.len()),
        "content-length: +4\r\n".to_owned(),
        "content-length: 4, 5\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
        "transfer-encoding: xchunked\r\n".to_owned(),
        "transfer-encoding : chunked\r\n".to_owned(),
        "x: y\r\n transfer-encoding: chunked\r\n".to_owned(),
    ] {
        let request = format!("POST /body HTTP/1.1\r\nhost: a\r\n{headers}\r\n{smuggled}");
        // Everything until the server hangs up: it has to, or this never ends.
        let answers = rest(connect(address, request).await).await;
        assert!(!answers.contains("stolen"), "{headers}{answers}");
        assert!(answers.matches("HTTP/1.1 ").count() <= 1, "{headers}{answers}");
    }
    still_serves(address).await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_one_by_one_in_their_order() {
    let address = serve_bodies(HttpConfig::default()).await;
    let request = |body: &str| {
        format!("POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let last = "GET /nowhere HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let all: String = (1..=50).map(|length| request(&"x".repeat(length))).collect();
    let answers = rest(connect(address, all + last).await).await;
    let answers = answers.split("HTTP/1.1 ").skip(1);
    let bodies: Vec<&str> = answers.map(|answer| answer.split("\r\n\r\n").nth(1).unwrap()).collect();
    let expected: Vec<String> = (1..=50).map(|length| length.to_string()).collect();
    assert_eq!(bodies[..50], expected);
    assert!(bodies[50].contains("not_found"));
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let address = serve_bodies(HttpConfig::default()).await;
    // What arrives in one piece may be a little more than is allowed.
    let (long, many) = ("n".repeat(4 * MAX_HEAD_BYTES), "a: b\r\n".repeat(MAX_HEADERS + 1));
    for (request, status) in [
        (format!("GET /large HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), "431"),
        (format!("GET /large HTTP/1.1\r\nhost: a\r\n{long}: x\r\n\r\n"), "4"),
        (format!("GET /large HTTP/1.1\r\n{many}\r\n"), "431"),
        (format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), "4"),
        (long.clone(), "4"),
    ] {
        let answer = rest(connect(address, request).await).await;
        // It is closed while more comes in, so that the answer may be lost on the way.
        assert!(answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    still_serves(address).await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_answered_and_hung_up_on() {
    let config = HttpConfig { request_timeout_ms: 50, ..HttpConfig::default() };
    let address = serve_bodies(config).await;
    for head in ["content-length: 100\r\n\r\nslow", "transfer-encoding: chunked\r\n\r\n4\r\nslow\r\n"] {
        let request = format!("POST /body HTTP/1.1\r\nhost: a\r\n{head}");
        let answer = rest(connect(address, request).await).await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"slow_body\""), "{answer}");
    }
}

/// As long as the attacker is not hung up on, it has the only place.
async fn place_is_given_back(config: HttpConfig, attack: impl AsyncFnOnce(SocketAddr) -> TcpStream) {
    let address = serve_bodies(HttpConfig { max_connections: 1, ..config }).await;
    let attacker = attack(address).await;
    still_serves(address).await;
    drop(attacker);
}

#[tokio::test]
async fn a_client_that_takes_no_answers_loses_its_place() {
    let config = HttpConfig { write_timeout_ms: 50, ..HttpConfig::default() };
    place_is_given_back(config, async |address| {
        connect(address, "GET /large HTTP/1.1\r\nhost: a\r\n\r\n".repeat(100)).await
    })
    .await;
}

#[tokio::test]
async fn a_client_that_sends_nothing_loses_its_place() {
    let config = HttpConfig { header_timeout_ms: 50, ..HttpConfig::default() };
    place_is_given_back(config, async |address| connect(address, "").await).await;
}

#[tokio::test]
async fn a_client_that_stops_sending_in_the_middle_loses_its_place() {
    for request in ["POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf", "GET /lar"] {
        place_is_given_back(HttpConfig::default(), async |address| {
            let mut stream = connect(address, request).await;
            stream.shutdown().await.unwrap();
            stream
        })
        .await;
    }
}

#[tokio::test]
async fn thousands_of_idle_connections_leave_room_for_others() {
    let address = serve_bodies(HttpConfig { header_timeout_ms: 600_000, ..HttpConfig::default() }).await;
    // Also raises the limit of open files, of which this process needs two for each connection.
    still_serves(address).await;
    let mut idle = Vec::new();
    for number in 0..2_000 {
        // Every other one has begun with a head.
        idle.push(connect(address, if number % 2 == 0 { "" } else { "GET /lar" }).await);
    }
    still_serves(address).await;
    assert_eq!(idle.len(), 2_000, "they are still there");
}

/// Only HTTP/1.1 is spoken: there are no streams to be reset, and no compressed header lists.
#[tokio::test]
async fn a_client_that_speaks_http_2_is_turned_away() {
    let address = serve_bodies(HttpConfig::default()).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let answer = rest(connect(address, preface).await).await;
    assert!(!answer.contains("HTTP/1.1 200"), "{answer}");
    let upgrade = "GET /stolen HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings, close\r\nupgrade: h2c\r\n\
                   http2-settings: AAMAAABkAAQAAP__\r\n\r\n";
    let answer = rest(connect(address, upgrade).await).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("stolen"), "{answer}");
    still_serves(address).await;
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let address = serve_bodies(HttpConfig::default()).await;
    for request in [
        &b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET /stolen HTTP/9.9\r\n\r\n",
        b"GET /stolen\x00 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /stolen HTTP/1.1\r\nhost: a\r\nx: \x00\r\n\r\n",
        b"GET /stolen HTTP/1.1\r\nh\xffst: a\r\n\r\n",
    ] {
        let answer = rest(connect(address, request).await).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    still_serves(address).await;
}
