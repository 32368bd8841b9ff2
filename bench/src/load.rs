//! Load over HTTP: as much as goes with `wrk`, and a fixed rate with latencies from the intended time of sending.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

/// From when all connections are open until the first request is due: threads need a while to start.
const UNTIL_THE_FIRST: Duration = Duration::from_millis(100);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What an answer has at most.
const MOST_BYTES: usize = 256 << 10;

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
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(address)?);
    }
    let schedule = Arc::new(Schedule {
        requests: requests.iter().map(|request| request.bytes(address)).collect(),
        begun: Instant::now() + UNTIL_THE_FIRST,
        per_second,
        count: (per_second * time.as_secs_f64()) as usize,
        next: AtomicUsize::new(0),
        failed: AtomicU64::new(0),
    });
    let mut workers = JoinSet::new();
    for connection in open {
        let schedule = Arc::clone(&schedule);
        workers.spawn_blocking(move || schedule.work(connection));
    }
    let mut histogram = histogram()?;
    while let Some(worker) = workers.join_next().await {
        histogram.add(worker??)?;
    }
    Ok(Latencies { histogram, failed: schedule.failed.load(Ordering::Relaxed) })
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// What is to be sent when.
struct Schedule {
    requests: Vec<Vec<u8>>,
    begun: Instant,
    per_second: f64,
    count: usize,
    /// The number of the request that nobody has taken yet.
    next: AtomicUsize,
    failed: AtomicU64,
}

impl Schedule {
    /// Sends what is next as soon as it is due and the connection is free, until all is sent: the latencies in microseconds.
    ///
    /// In a thread of its own, which costs less than a task for each connection: of two cores that the server under test shares,
    /// tasks took a quarter at 12,000 requests per second, and their timers were late by up to 2 ms.
    fn work(&self, mut connection: Connection) -> Result<Histogram<u64>> {
        let mut histogram = histogram()?;
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.count {
                return Ok(histogram);
            }
            let intended = self.begun + Duration::from_secs_f64(number as f64 / self.per_second);
            std::thread::sleep(intended.saturating_duration_since(Instant::now()));
            let is_success = connection.exchange(&self.requests[number % self.requests.len()])?;
            self.failed.fetch_add(u64::from(!is_success), Ordering::Relaxed);
            histogram.saturating_record(intended.elapsed().as_micros() as u64);
        }
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: vec![0; MOST_BYTES] })
    }

    /// Sends a request and reads its answer, which has to say its length. Whether it is one of success.
    fn exchange(&mut self, request: &[u8]) -> Result<bool> {
        self.stream.write_all(request)?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            ensure!(
                read > 0,
                "the server closed the connection, or answered with more than {MOST_BYTES} bytes"
            );
            filled += read;
            let answer = &self.buffer[..filled];
            let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let text = std::str::from_utf8(&answer[..head])?;
            let mut fields = text.lines().filter_map(|line| line.split_once(':'));
            let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let (_, length) = length.context("an answer without a length")?;
            if filled >= head + 4 + length.trim().parse::<usize>()? {
                return Ok(text.starts_with("HTTP/1.1 2"));
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
