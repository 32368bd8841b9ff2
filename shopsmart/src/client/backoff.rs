use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// A server that asks for more than this is asked again anyway.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Waits between attempts: doubling from 0.1 s to 5 s, or as long as the server asks for. Each wait is spread by up to
/// a quarter, by `seed`, so that several senders do not return at the same moment.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    seed: u64,
}

impl Backoff {
    /// For the sender numbered `seed`.
    pub fn new(seed: u64) -> Self {
        Self { next: FIRST, seed }
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }

    /// How long to wait now, at least `asked`.
    pub fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let base = self.next.max(asked.unwrap_or_default().min(LONGEST_ASKED));
        self.next = (self.next * 2).min(LONGEST);
        // Weyl's sequence: evenly spread, and a test can repeat it.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        base + base.mul_f64((self.seed >> 40) as f64 / f64::from(1 << 24) / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_five_seconds_and_start_anew_after_a_success() {
        let mut backoff = Backoff::new(0);
        let waits: Vec<_> = (0..10).map(|_| backoff.wait(None)).collect();
        assert!(waits[0] >= FIRST && waits[0] < FIRST * 2);
        assert!(waits[9] >= LONGEST && waits[9] <= LONGEST.mul_f64(1.25));
        backoff.reset();
        assert!(backoff.wait(None) < FIRST * 2);
    }

    #[test]
    fn the_server_may_ask_for_longer_within_reason() {
        let mut backoff = Backoff::new(3);
        assert!(backoff.wait(Some(Duration::from_secs(7))) >= Duration::from_secs(7));
        assert!(backoff.wait(Some(Duration::from_secs(86_400))) <= LONGEST_ASKED.mul_f64(1.25));
    }
}
