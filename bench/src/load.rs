//! Load over HTTP: as much as goes with `wrk`, and a fixed rate with latencies from the intended time of sending.

use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A request that is sent again and again, among others.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// JSON to POST; empty = GET.
    pub body: String,
}

impl Request {
    fn bytes(&self, address: SocketAddr) -> Vec<u8> {
        let Self { path, body } = self;
        if body.is_empty() {
            return format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes();
        }
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// Requests per second that go with a number of connections, each sending its next request when it has the last answer.
///
/// # Errors
/// When `wrk` is missing or any answer is none of success.
pub fn throughput(
    address: SocketAddr,
    requests: &[Request],
    connections: usize,
    time: Duration,
) -> Result<f64> {
    let mut script = tempfile::Builder::new().suffix(".lua").tempfile()?;
    writeln!(script, "local requests = {{}}")?;
    for request in requests {
        let text = String::from_utf8(request.bytes(address))?;
        writeln!(script, "requests[#requests + 1] = {}", lua(&text))?;
    }
    // Threads begin at different places.
    writeln!(
        script,
        "local at = 0\nlocal threads = 0\nfunction setup(thread) thread:set('at', threads * 7919); threads = threads + 1 end\n\
         function request() at = at + 1; return requests[at % #requests + 1] end\n\
         function done(summary) io.write(string.format('%d %d %d', summary.requests, summary.duration, \
         summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout)) end"
    )?;
    script.flush()?;
    let seconds = format!("{}s", time.as_secs().max(1));
    let output = Command::new("wrk")
        .args(["-t", "2", "-c", &connections.to_string(), "-d", &seconds, "-s"])
        .arg(script.path())
        .arg(format!("http://{address}"))
        .output()
        .context("cannot run wrk: install it (Debian: apt-get install wrk)")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().last().unwrap_or_default();
    let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [requests, micros, errors] = numbers[..] else { bail!("wrk said: {said}") };
    ensure!(errors == 0.0 && requests > 0.0, "{errors} of {requests} requests to {address} failed");
    Ok(requests * 1e6 / micros)
}

fn lua(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '\r' => "\\r".to_owned(),
            '\n' => "\\n".to_owned(),
            '"' | '\\' => format!("\\{c}"),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// Latencies at a fixed rate.
#[derive(Debug)]
pub struct Latencies {
    /// From the intended time of sending to the end of the answer, in microseconds.
    pub histogram: Histogram<u64>,
    /// Answers other than 2xx.
    pub failed: u64,
}

impl Latencies {
    /// A percentile in milliseconds.
    pub fn millis(&self, percentile: f64) -> f64 {
        self.histogram.value_at_percentile(percentile) as f64 / 1000.0
    }
}

/// Sends requests at a fixed rate, whether or not answers come: one that cannot be sent in time has waited since it should have
/// been (no coordinated omission).
///
/// # Errors
/// When connections fail.
pub async fn at_rate(
    address: SocketAddr,
    requests: &[Request],
    connections: usize,
    per_second: f64,
    time: Duration,
) -> Result<Latencies> {
    let requests: Arc<Vec<Vec<u8>>> =
        Arc::new(requests.iter().map(|request| request.bytes(address)).collect());
    let (next, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
    let (begun, count) = (Instant::now(), (per_second * time.as_secs_f64()) as usize);
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let (requests, next, failed) = (Arc::clone(&requests), Arc::clone(&next), Arc::clone(&failed));
        workers.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(histogram);
                }
                let intended = begun + Duration::from_secs_f64(number as f64 / per_second);
                tokio::time::sleep_until(intended).await;
                let is_success = connection.exchange(&requests[number % requests.len()]).await?;
                failed.fetch_add(u64::from(!is_success), Ordering::Relaxed);
                histogram.saturating_record(intended.elapsed().as_micros() as u64);
            }
        });
    }
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    while let Some(worker) = workers.join_next().await {
        histogram.add(worker??)?;
    }
    Ok(Latencies { histogram, failed: failed.load(Ordering::Relaxed) })
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a request and reads its answer, which has to say its length. Whether it is one of success.
    async fn exchange(&mut self, request: &[u8]) -> Result<bool> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed the connection");
            let Some(head) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let text = std::str::from_utf8(&self.buffer[..head])?.to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.context("an answer without a length")?.trim().parse()?;
            if self.buffer.len() >= head + 4 + length {
                return Ok(text.starts_with("http/1.1 2"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn server() -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router =
            axum::Router::new().route("/ok", axum::routing::post(|body: String| async move { body })).route(
                "/slow",
                axum::routing::get(|| async {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    "late"
                }),
            );
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    #[tokio::test]
    async fn failures_are_counted() {
        let address = server().await;
        let request = |path: &str| Request { path: path.to_owned(), body: "{\"a\": 1}".to_owned() };
        let time = Duration::from_millis(200);
        let mixed = [request("/ok"), request("/missing")];
        let latencies = at_rate(address, &mixed, 4, 200.0, time).await.unwrap();
        assert_eq!((latencies.histogram.len(), latencies.failed), (40, 20));
    }

    #[tokio::test]
    async fn waiting_for_a_busy_server_counts() {
        let request = Request { path: "/slow".to_owned(), body: String::new() };
        let latencies = at_rate(server().await, &[request], 1, 20.0, Duration::from_secs(1)).await.unwrap();
        // One connection, 200 ms each: the last of 20 has waited for the others.
        assert!(latencies.millis(100.0) > 2_500.0, "{}", latencies.millis(100.0));
    }

    #[test]
    fn requests_survive_their_way_into_a_script() {
        assert_eq!(lua("a\r\n\"b\\"), r#""a\r\n\"b\\""#);
    }
}
