//! Reading bodies: bounded as sent, bounded as decompressed, bounded over all requests together.

use std::io::Read;
use std::str::Utf8Error;

use axum::body::Body as HttpBody;
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use futures::StreamExt;
use service_runtime::Problem;
use tokio::sync::OwnedSemaphorePermit;

use super::answers;
use super::app::App;
use crate::admission::{Code, Rejection};

/// The largest body, as sent and as decompressed.
pub(super) const MAX_BODY_BYTES: usize = 2 << 20;

/// How far back a zstd frame may refer (8 MiB), which is what a decoder has to keep. Senders of bodies this small
/// never need more, and a frame that claims more is an attack.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How a body lists its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON value.
    Json,
    /// One JSON value per line.
    Lines,
}

/// A request's body. Drop it before waiting for the log.
pub(super) struct Body {
    pub(super) form: Form,
    bytes: Bytes,
    _held: OwnedSemaphorePermit,
}

impl Body {
    /// Reads the body of `request`, which may be in [`Form::Lines`] only where `lines` says so.
    pub(super) async fn read(app: &App, request: Request, lines: bool) -> Result<Self, Problem> {
        let headers = request.headers();
        let form = form(headers, lines).map_err(answers::refused)?;
        let encoding = encoding(headers).map_err(answers::refused)?;
        let length =
            headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > MAX_BODY_BYTES) {
            return Err(answers::refused(too_large("as sent")));
        }
        let (bytes, mut held) = collect(app, request.into_body(), length.unwrap_or_default()).await?;
        if encoding == Encoding::Identity {
            return Ok(Self { form, bytes, _held: held });
        }
        // How much it becomes is known only afterwards, so the most is held.
        held.merge(hold(app, MAX_BODY_BYTES)?);
        let bytes = decompress(encoding, &bytes).map_err(answers::refused)?;
        Ok(Self { form, bytes: bytes.into(), _held: held })
    }

    /// The body as text.
    pub(super) fn text(&self) -> Result<&str, Rejection> {
        std::str::from_utf8(&self.bytes).map_err(not_text)
    }

    /// The body as it is.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

pub(super) fn not_text(error: Utf8Error) -> Rejection {
    Rejection::new(Code::MalformedJson, format!("not JSON: {error}"))
}

/// `text/plain` is what `navigator.sendBeacon` sends, and the only type a page may send without a preflight.
fn form(headers: &HeaderMap, lines: bool) -> Result<Form, Rejection> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(Form::Json) };
    let value = value.to_str().unwrap_or_default();
    if value == "application/json" {
        return Ok(Form::Json);
    }
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/json" | "text/plain" | "text/json" => Ok(Form::Json),
        json if json.starts_with("application/") && json.ends_with("+json") => Ok(Form::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" if lines => Ok(Form::Lines),
        _ => {
            let or_lines = if lines { " or `application/x-ndjson`" } else { "" };
            let detail = format!("the content type is {value:?}, expected `application/json`{or_lines}");
            Err(Rejection::new(Code::UnsupportedMediaType, detail))
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Rejection> {
    let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
    match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "zstd" => Ok(Encoding::Zstd),
        _ => Err(Rejection::new(
            Code::UnsupportedEncoding,
            "the content encoding is neither `gzip` nor `zstd`",
        )),
    }
}

/// The whole body. Memory is taken as bytes arrive: a client that promises much and sends little holds little.
async fn collect(
    app: &App,
    body: HttpBody,
    expected: usize,
) -> Result<(Bytes, OwnedSemaphorePermit), Problem> {
    let mut frames = body.into_data_stream();
    let mut held: Option<OwnedSemaphorePermit> = None;
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|_| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "incomplete_body",
                "the body ended before its announced end",
            )
        })?;
        let more = hold(app, frame.len())?;
        let held = match &mut held {
            None => held.insert(more),
            Some(held) => {
                held.merge(more);
                held
            }
        };
        if held.num_permits() > MAX_BODY_BYTES {
            return Err(answers::refused(too_large("as sent")));
        }
        // Most bodies are one frame, which then need not be copied.
        if first.is_empty() && whole.is_empty() {
            first = frame;
        } else {
            if whole.is_empty() {
                whole.reserve(expected.min(2 * (first.len() + frame.len())));
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&frame);
        }
    }
    let held = held.map_or_else(|| hold(app, 0), Ok)?;
    Ok((if whole.is_empty() { first } else { whole.freeze() }, held))
}

fn hold(app: &App, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
    app.bodies.clone().try_acquire_many_owned(bytes as u32).map_err(|_| answers::overloaded())
}

pub(super) fn decompress(encoding: Encoding, bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
    let malformed =
        |_| Rejection::new(Code::MalformedEncoding, "the body is not what its content encoding says");
    let mut out = Vec::with_capacity(MAX_BODY_BYTES.min(4 * bytes.len()));
    // One byte more than allowed tells that there is more, however much it would become.
    let most = MAX_BODY_BYTES as u64 + 1;
    match encoding {
        Encoding::Identity => out.extend_from_slice(bytes),
        Encoding::Gzip => {
            MultiGzDecoder::new(bytes).take(most).read_to_end(&mut out).map_err(malformed)?;
        }
        Encoding::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(bytes).map_err(malformed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(malformed)?;
            decoder.take(most).read_to_end(&mut out).map_err(malformed)?;
        }
    }
    if out.len() > MAX_BODY_BYTES { Err(too_large("decompressed")) } else { Ok(out) }
}

fn too_large(how: &str) -> Rejection {
    Rejection::new(Code::BodyTooLarge, format!("the body has more than {MAX_BODY_BYTES} bytes {how}"))
}
