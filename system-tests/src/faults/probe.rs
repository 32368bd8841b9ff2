//! Asks for recommendations at a steady rate, and keeps what became of each request.

use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Between two requests: 50 per second.
const PERIOD: Duration = Duration::from_millis(20);
/// An answer that takes longer is none.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A client that asks all the while.
#[derive(Debug)]
pub struct Probe {
    stop: oneshot::Sender<()>,
    asking: JoinHandle<Vec<Answer>>,
}

/// What became of a request.
#[derive(Debug, Clone)]
struct Answer {
    asked: Instant,
    took: Duration,
    /// `None` where there was none in time.
    status: Option<u16>,
    is_degraded: bool,
}

/// What a probe saw.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Served {
    /// Requests.
    pub asked: u64,
    /// Of these, answered with 200.
    pub answered: u64,
    /// 99 % of the answers while something was broken took at most so long, in ms.
    pub faulty_p99_ms: Option<f64>,
    /// Answers that said that they were not made the usual way.
    pub degraded: u64,
}

impl Probe {
    /// Begins to ask the serving at `address` about `users` in turn.
    pub fn start(address: SocketAddr, users: Vec<String>) -> Self {
        let (stop, stopped) = oneshot::channel();
        #[allow(clippy::disallowed_methods, reason = "waited for in Probe::stop")]
        let asking = tokio::spawn(ask(address, users, stopped));
        Self { stop, asking }
    }

    /// Stops asking. `faulty`: from when to when something was broken.
    pub async fn stop(self, faulty: Option<(Instant, Instant)>) -> Served {
        // It fails only where nobody listens any more.
        let _ = self.stop.send(());
        let answers = self.asking.await.unwrap_or_default();
        let is_faulty = |answer: &Answer| faulty.is_some_and(|(from, to)| (from..to).contains(&answer.asked));
        let mut while_faulty: Vec<Duration> =
            answers.iter().filter(|answer| is_faulty(answer)).map(|answer| answer.took).collect();
        while_faulty.sort_unstable();
        let p99 = while_faulty.len().saturating_sub(1) * 99 / 100;
        Served {
            asked: answers.len() as u64,
            answered: answers.iter().filter(|answer| answer.status == Some(200)).count() as u64,
            faulty_p99_ms: while_faulty.get(p99).map(|took| took.as_secs_f64() * 1_000.0),
            degraded: answers.iter().filter(|answer| answer.is_degraded).count() as u64,
        }
    }
}

async fn ask(address: SocketAddr, users: Vec<String>, mut stopped: oneshot::Receiver<()>) -> Vec<Answer> {
    let http = reqwest::Client::builder().timeout(TIMEOUT).build().expect("a client without TLS can be made");
    let (mut tick, mut asking, mut next) = (interval(PERIOD), JoinSet::new(), users.iter().cycle());
    // What was missed is asked late: else a machine that stood still would hide what its users would have seen.
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = &mut stopped => return asking.join_all().await,
        }
        let Some(user) = next.next() else { return Vec::new() };
        let (http, url) = (http.clone(), format!("http://{address}/recommendations?user_id={user}&k=10"));
        asking.spawn(async move {
            let asked = Instant::now();
            let (status, is_degraded) = match http.get(url).send().await {
                Ok(answer) => (Some(answer.status().as_u16()), is_degraded(answer.json().await.ok())),
                Err(_) => (None, false),
            };
            Answer { asked, took: asked.elapsed(), status, is_degraded }
        });
    }
}

fn is_degraded(answer: Option<Value>) -> bool {
    answer.is_some_and(|answer| answer["freshness"]["degraded"] == true)
}
