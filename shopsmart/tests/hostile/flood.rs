//! More than a server can hold, if it let itself.

use std::io::Write;

use reqwest::header::CONTENT_ENCODING;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{ALLOCATOR, Server};

/// What each bomb becomes when it is let: a hundred times what is allowed.
const BOMB_BYTES: usize = 200 << 20;

fn zeros(mut write: impl Write) {
    let chunk = vec![b' '; 1 << 20];
    (0..BOMB_BYTES / chunk.len()).for_each(|_| write.write_all(&chunk).unwrap());
}

fn gzip_bomb() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    zeros(&mut encoder);
    encoder.finish().unwrap()
}

fn zstd_bomb() -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    zeros(&mut encoder);
    encoder.finish().unwrap()
}

/// 8 MiB of window each at most, and 2 MiB of body, are what the bombs can make the server take. Were they unpacked, it would be
/// gigabytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_decompression_bombs_at_once_are_refused_within_the_budget() {
    let server = Server::start().await;
    let bombs = [("gzip", gzip_bomb()), ("zstd", zstd_bomb())];
    assert!(bombs.iter().all(|(_, bomb)| bomb.len() < 1 << 20), "they pass the limit before decompression");
    let before = ALLOCATOR.allocated();
    let mut calls = JoinSet::new();
    for number in 0..60 {
        let (encoding, bomb) = bombs[number % 2].clone();
        let request = reqwest::Client::new().post(format!("{}/events/batch", server.url));
        calls.spawn(async move {
            let answer = request.header(CONTENT_ENCODING, encoding).body(bomb).send().await.unwrap();
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["code"].clone())
        });
    }
    while let Some(answer) = calls.join_next().await {
        assert_eq!(answer.unwrap(), (413, json!("body_too_large")));
    }
    let most = ALLOCATOR.max_allocated().saturating_sub(before);
    assert!(most < 700 << 20, "{} MiB were taken", most >> 20);
    server.still_serves("ada").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_break_off_or_lie_about_their_encoding_leave_the_server_as_it_was() {
    let server = Server::start().await;
    let bomb = gzip_bomb();
    for (encoding, body, codes) in [
        ("gzip", bomb[..bomb.len() / 2].to_vec(), ["body_too_large", "malformed_encoding"]),
        ("zstd", bomb.clone(), ["malformed_encoding"; 2]),
        ("gzip", Vec::new(), ["malformed_encoding", "malformed_json"]),
        // A frame that says it needs a window of a gigabyte.
        ("zstd", vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x01, 0x00, 0x00], ["malformed_encoding"; 2]),
    ] {
        let request = reqwest::Client::new().post(format!("{}/events/batch", server.url));
        let answer = request.header(CONTENT_ENCODING, encoding).body(body).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{encoding}: {answer:?}");
        let code = answer.json::<Value>().await.unwrap()["code"].clone();
        assert!(codes.iter().any(|known| code == *known), "{encoding}: {code}");
    }
    server.still_serves("ada").await;
    server.stop().await;
}
