use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::counter;
use tracing::{Event, Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

use super::LEFT_OUT;

/// Libraries that say the same several times a second, for each connection, as long as a server is away.
const TALKATIVE: [&str; 2] = ["rdkafka", "scylla"];
/// So many messages of one place in a library come through at once …
const BURST: u32 = 5;
/// … and one more each time that this has passed.
const REFILL: Duration = Duration::from_secs(10);

/// Leaves out most of what a library repeats. What is left out is counted, by the place in the library.
#[derive(Default)]
pub(super) struct Sparing {
    places: Mutex<HashMap<(&'static str, Level), Room>>,
}

/// How much a place may still say.
struct Room {
    messages: u32,
    since: Instant,
}

impl Sparing {
    fn lets_through(&self, target: &'static str, level: Level, now: Instant) -> bool {
        let library = target.split("::").next().unwrap_or_default();
        // What is finer than usual is on only where somebody wants to see it.
        if !TALKATIVE.contains(&library) || level > Level::INFO {
            return true;
        }
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let room = places.entry((target, level)).or_insert(Room { messages: BURST, since: now });
        let refills = now.saturating_duration_since(room.since).as_secs() / REFILL.as_secs();
        if refills > 0 {
            room.messages = BURST.min(room.messages.saturating_add(u32::try_from(refills).unwrap_or(BURST)));
            room.since = now;
        }
        let has_room = room.messages > 0;
        room.messages = room.messages.saturating_sub(1);
        if !has_room {
            counter!(LEFT_OUT, "target" => target).increment(1);
        }
        has_room
    }
}

impl<S> Filter<S> for Sparing {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        self.lets_through(metadata.target(), *metadata.level(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::Arc;
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_library_says_the_same_only_so_often_and_we_as_often_as_we_like() {
        let written = Written::default();
        let sink = written.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || sink.clone());
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(Sparing::default()));
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..100 {
                tracing::error!(target: "rdkafka::client", "no broker");
                tracing::warn!(target: "rdkafka::client", "a warning");
                tracing::debug!(target: "rdkafka::client", "a detail");
                tracing::info!(target: "rdkafkaesque", "ours");
            }
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let times = |message: &str| text.matches(message).count();
        assert_eq!((times("no broker"), times("a warning"), times("ours")), (5, 5, 100));
        assert_eq!(times("a detail"), 100, "it was asked for");
    }

    #[test]
    fn a_library_that_was_silent_is_heard_again() {
        let (sparing, begun) = (Sparing::default(), Instant::now());
        let heard = |after_secs: u64| {
            let now = begun + Duration::from_secs(after_secs);
            (0..20).filter(|_| sparing.lets_through("scylla::cluster", Level::WARN, now)).count()
        };
        assert_eq!([0, 9, 10, 35, 10_000].map(heard), [5, 0, 1, 2, 5]);
    }
}
