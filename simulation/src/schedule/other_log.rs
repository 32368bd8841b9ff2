//! When everything has come to rest, the log becomes another one: it has to be refused, and the partition's progress may not
//! change.

use super::Schedule;
use crate::coverage::Fault;
use bytes::Bytes;
use event_log::{EventLog, NewRecord, TopicPartition, TopicSpec};
use std::time::Duration;
use stores::Table;
use tokio::time::Instant;

/// How long a copy may take to notice.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);

impl Schedule {
    /// Changes the log behind the back of all copies, which are stopped, and starts one again.
    pub(super) async fn meets_another_log(&mut self) {
        let places = self.partitions();
        let place = self.world.draw(|random| random.choice(places.iter().cloned())).expect("there are some");
        let (fault, words) = match self.world.draw(|random| random.u32(0..3)) {
            0 => {
                self.delete_unread(&place).await;
                (Fault::DeletedUnread, "deleted unread")
            }
            1 => {
                self.make_anew(&place.topic).await;
                (Fault::TopicEmptied, "recreated or truncated")
            }
            _ => {
                self.exchange(&place.topic).await;
                (Fault::TopicExchanged, "was recreated")
            }
        };
        self.world.note("another log", 0, words, u64::from(place.partition));
        self.world.fault(fault);
        let before = self.progress_of(&place);
        let said = self.refusal().await;
        if !said.as_deref().is_some_and(|said| said.contains(words)) {
            self.world.violated(format!("{fault:?} of {place:?} is not refused as {words:?}, but: {said:?}"));
        }
        let after = self.progress_of(&place);
        if after != before {
            let changed: Vec<_> = after.iter().filter(|(key, row)| before.get(*key) != Some(*row)).collect();
            self.world.violated(format!("{fault:?} of {place:?} changed what is stored: {changed:?}"));
        }
    }

    async fn delete_unread(&self, place: &TopicPartition) {
        let end = self.world.log.bounds(place).await.expect("it is there").end;
        for _ in 0..2 {
            self.append(place).await;
        }
        self.world.log.truncate_before(place, end + 1);
    }

    async fn make_anew(&self, topic: &str) {
        let spec = TopicSpec {
            name: topic.to_owned(),
            partitions: crate::world::PARTITIONS,
            compacted: false,
            retention_ms: None,
        };
        self.world.log.delete_topic(topic);
        self.world.log.ensure_topics(&[spec]).await.expect("a scripted log takes topics");
    }

    async fn exchange(&self, topic: &str) {
        let places: Vec<_> = self.partitions().into_iter().filter(|place| &*place.topic == topic).collect();
        let mut ends = Vec::new();
        for place in &places {
            ends.push(self.world.log.bounds(place).await.expect("it is there").end);
        }
        self.make_anew(topic).await;
        for (place, end) in places.iter().zip(ends) {
            for _ in 0..end {
                self.append(place).await;
            }
        }
    }

    /// A record that nobody of ours wrote.
    async fn append(&self, place: &TopicPartition) {
        let (topic, partition) = (place.topic.clone(), Some(place.partition));
        let value = Bytes::from_static(b"another");
        self.world.append(NewRecord { topic, partition, key: Bytes::new(), value, traceparent: None }).await;
    }

    /// What a copy says that starts on the log as it is; `None` when it goes on.
    async fn refusal(&mut self) -> Option<String> {
        let places = self.partitions();
        self.world.state().group.free(&places);
        self.copies.start();
        let deadline = Instant::now() + NOTICED_WITHIN;
        while Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.hand_out();
            if let Some(said) = self.copies.gave_up().await {
                return Some(said);
            }
        }
        for number in self.copies.live() {
            self.copies.kill(number);
        }
        self.copies.reap().await;
        None
    }

    /// How far a partition is stored. Others may go on while this one is refused: a flush may have been cut short before.
    fn progress_of(&self, place: &TopicPartition) -> crate::ledger::Rows {
        let stage = if place.topic.starts_with("events") { "shopper" } else { "product" };
        let keys = ["progress", "intent"].map(|what| format!("{what}:{stage}:{}", place.partition));
        let state = self.world.state();
        let rows =
            state.rows.iter().filter(|((table, key), _)| *table == Table::Progress && keys.contains(key));
        rows.map(|(key, row)| (key.clone(), row.clone())).collect()
    }
}
