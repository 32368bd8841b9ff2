use blake3::Hasher;
use schemas::PairUpdate;
use schemas::proto::{ActivityRecord, SourceEntry};

/// What a partition of `product-activity` effectively carries: each source event once, whatever was sent again.
pub(super) struct Effective {
    marks: Vec<u64>,
    /// Per source partition: (source offset, hash of the update).
    pub(super) updates: Vec<Vec<(u64, u64)>>,
}

impl Effective {
    pub(super) fn new(sources: u32) -> Self {
        Self { marks: vec![0; sources as usize], updates: vec![Vec::new(); sources as usize] }
    }

    pub(super) fn add(&mut self, value: &[u8]) {
        let Ok(record) = ActivityRecord::unpack(value) else { return };
        let source = record.source_partition as usize;
        let Some(mark) = self.marks.get_mut(source) else { return };
        for (entry, pairs) in record.entries_with_pairs() {
            if entry.offset >= *mark {
                *mark = entry.offset + 1;
                self.updates[source].push((entry.offset, hash_update(&record, entry, pairs)));
            }
        }
    }
}

/// A hash of an update's meaning: indices are replaced by what they stand for, since they differ with how events are packed.
pub(super) fn hash_update(
    record: &ActivityRecord,
    entry: &SourceEntry,
    pairs: impl Iterator<Item = PairUpdate>,
) -> u64 {
    let mut hasher = Hasher::new();
    let product = |index: u32| record.products.get(index as usize).map_or("", String::as_str);
    hasher.update(&entry.timestamp_ms.to_le_bytes()).update(&entry.outcome.to_le_bytes());
    if let Some(event) = &entry.activity {
        let category = event.category.checked_sub(1).and_then(|at| record.categories.get(at as usize));
        hasher.update(product(event.product).as_bytes()).update(&[0]);
        hasher.update(category.map_or("", String::as_str).as_bytes()).update(&[0]);
        hasher.update(&event.weight.to_le_bytes()).update(&event.event_type.to_le_bytes());
    }
    for pair in pairs {
        hasher.update(product(pair.product).as_bytes()).update(&[0]);
        hasher.update(product(pair.other).as_bytes()).update(&[0]).update(&pair.weight.to_le_bytes());
    }
    if let Some(repeat) = &entry.repeat {
        hasher.update(&(repeat.times.len() as u64).to_le_bytes()).update(&repeat.times);
        hasher.update(&repeat.last_step.to_le_bytes()).update(&repeat.course.to_le_bytes());
        hasher.update(&repeat.distance.map_or(u64::MAX, u64::from).to_le_bytes());
    }
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("a hash is 32 bytes"))
}
