//! Bodies: types, encodings and sizes.

use std::io::Write;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use ingest::IngestConfig;
use service_runtime::keys::Keys;

use crate::support::{Log, Service, post, view};

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zstd(body: &[u8]) -> Vec<u8> {
    zstd::encode_all(body, 3).unwrap()
}

#[tokio::test]
async fn compressed_bodies_are_read() {
    let service = Service::on(&Log::working());
    for (encoding, body) in
        [("gzip", gzip(view("a", "u").as_bytes())), ("zstd", zstd(view("a", "u").as_bytes()))]
    {
        let headers = [("content-encoding", encoding)];
        service.send(post("/events", &headers, body.clone())).await.expect(202);
        let cut = body[..body.len() / 2].to_vec();
        assert_eq!(
            service.send(post("/events", &headers, cut)).await.expect(400).code(),
            "malformed_encoding"
        );
    }
}

#[tokio::test]
async fn a_small_body_that_grows_without_end_is_refused() {
    let zeros = vec![b' '; 512 << 20];
    let service = Service::on(&Log::working());
    for (encoding, bomb) in [("gzip", gzip(&zeros)), ("zstd", zstd(&zeros))] {
        assert!(bomb.len() < 2 << 20);
        let answer =
            service.send(post("/events/batch", &[("content-encoding", encoding)], bomb)).await.expect(413);
        assert_eq!(answer.code(), "body_too_large");
    }
}

#[tokio::test]
async fn the_size_is_limited_as_sent_whether_announced_or_not() {
    let service = Service::on(&Log::working());
    let announced = post("/events/batch", &[("content-length", "2097153")], "[]");
    assert_eq!(service.send(announced).await.expect(413).code(), "body_too_large");
    let chunk = || Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 64 << 10]));
    let endless = Body::from_stream(stream::repeat_with(chunk));
    assert_eq!(service.post("/events/batch", endless).await.expect(413).code(), "body_too_large");
}

#[tokio::test]
async fn a_body_in_pieces_is_put_together() {
    let body = view("a", "u");
    let pieces: Vec<_> = body.bytes().map(|byte| Ok::<_, std::io::Error>(Bytes::from(vec![byte]))).collect();
    Service::on(&Log::working()).post("/events", Body::from_stream(stream::iter(pieces))).await.expect(202);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_event() {
    let log = Log::working();
    let pieces = [Ok(Bytes::from(view("a", "u"))), Err(std::io::Error::other("reset"))];
    let answer = Service::on(&log).post("/events", Body::from_stream(stream::iter(pieces))).await.expect(400);
    assert_eq!(answer.code(), "incomplete_body");
    assert!(log.events().is_empty());
}

#[tokio::test]
async fn types_and_encodings_that_are_not_read_are_415() {
    let service = Service::on(&Log::working());
    for (path, header, code) in [
        ("/events", ("content-type", "application/x-www-form-urlencoded"), "unsupported_media_type"),
        ("/events", ("content-type", "application/x-ndjson"), "unsupported_media_type"),
        ("/events/batch", ("content-type", "multipart/form-data"), "unsupported_media_type"),
        ("/events", ("content-encoding", "br"), "unsupported_encoding"),
        ("/events", ("content-encoding", "gzip, zstd"), "unsupported_encoding"),
    ] {
        let answer = service.send(post(path, &[header], view("a", "u"))).await.expect(415);
        assert_eq!(answer.code(), code, "{header:?}");
    }
}

#[tokio::test]
async fn a_beacon_is_read() {
    let service = Service::on(&Log::working());
    let beacon = post("/events", &[("content-type", "text/plain;charset=UTF-8")], view("a", "u"));
    service.send(beacon).await.expect(202);
    let plain = axum::http::Request::post("/events").body(view("a", "u").into()).unwrap();
    service.send(plain).await.expect(202);
}

#[tokio::test]
async fn bodies_share_one_budget_which_all_of_them_give_back() {
    let config = IngestConfig { max_body_bytes_in_flight: 4 << 20, ..IngestConfig::default() };
    let service = Service::with(&Log::working(), config, Keys::open());
    let megabyte = || Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 1 << 20]));
    let mut slow = Vec::new();
    for _ in 0..4 {
        let body = stream::StreamExt::chain(stream::iter([megabyte()]), stream::pending());
        let mut call = Box::pin(service.post("/events/batch", Body::from_stream(body)));
        assert!(futures::poll!(&mut call).is_pending());
        slow.push(call);
    }
    let answer = service.post("/events", view("a", "u")).await.expect(503);
    assert_eq!(answer.code(), "overloaded");
    drop(slow);
    service.post("/events", view("a", "u")).await.expect(202);
}
