//! Whatever the disk hands back, opening and reading the log ends with an error or with records as they were written.
//!
//! Each function here is the body of a fuzz target (`cargo xtask fuzz`) and of the bounded run in the tests below.

use super::chunk::{self, Chunk};
use super::topics::Description;
use super::{EmbeddedLog, open_database};
use crate::{EventLog, LogError, NewRecord, ProducerMode, Record, TopicPartition, TopicSpec};
use bytes::Bytes;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Reads bytes as a stored chunk of records and as the description of a topic. Gives how many of them could be read.
///
/// # Panics
/// When records come out of their order, or more than asked for.
pub fn stored(bytes: &[u8]) -> usize {
    let mut read = 0;
    if let Ok(description) = Description::decode(bytes) {
        assert_eq!(Description::decode(&description.encode()), Ok(description));
        read += 1;
    }
    let base = chunk::base_of(bytes).unwrap_or(0);
    for (from, max) in [(0, usize::MAX), (base.saturating_add(1), 2)] {
        let mut records = Vec::new();
        let chunk = Chunk { base, bytes: Bytes::copy_from_slice(bytes.get(16..).unwrap_or(bytes)) };
        read += usize::from(chunk.unpack(from, max, &mut records).is_ok());
        assert!(records.len() <= max && records.is_sorted_by(|a, b| a.offset < b.offset));
        assert!(records.iter().all(|record| record.offset >= from && record.offset < u64::MAX));
    }
    read
}

const TOPIC: &str = "records";
const PARTITIONS: u32 = 2;
const RECORDS: u64 = 300;

/// Damages the files of a small sound store as `script` says, and opens it. Gives how many records could be read.
///
/// Five bytes are one damage: what to do, the file, the place in it (two bytes), and a byte to put there.
///
/// # Panics
/// When something is read that was not written, or the error does not say what is wrong.
pub fn recovery(script: &[u8]) -> usize {
    let directory = tempfile::tempdir().expect("a directory");
    let mut files = sound_store().to_vec();
    for damage in script.chunks_exact(5).take(8) {
        let which = usize::from(damage[1]) % files.len();
        let (file, content) = &mut files[which];
        if lists_tables(file) {
            continue;
        }
        let place = (usize::from(u16::from_be_bytes([damage[2], damage[3]])) * content.len()) >> 16;
        match damage[0] % 6 {
            0 => content.truncate(place),
            1 => content.extend_from_slice(&[damage[4]; 100]),
            2 => content.insert(place, damage[4]),
            3 => content.clear(),
            _ if content.is_empty() => {}
            4 => content[place] ^= 1 << (damage[4] % 8),
            _ => content[place] = damage[4],
        }
    }
    for (file, content) in &files {
        let file = directory.path().join(file);
        fs::create_dir_all(file.parent().expect("it is below the directory")).expect("writable");
        fs::write(file, content).expect("writable");
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime without I/O");
    match runtime.block_on(read_all(directory.path())) {
        Ok(records) => records,
        Err(error) => {
            let said = error.to_string();
            assert!(["damaged", "cannot be", "topic"].iter().any(|word| said.contains(word)), "{said}");
            0
        }
    }
}

/// Whether a file says which tables there are. Of such a file the database keeps no checksum, and over some damages of it ends
/// the whole process while opening: nothing wrong is read, but there is no error either that could be tested.
fn lists_tables(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_version = name.strip_prefix('v').is_some_and(|rest| rest.parse::<u64>().is_ok());
    file.starts_with("keyspaces") && (is_version || name == "current")
}

/// How many records the store holds. What is read must be what was written, in order.
async fn read_all(directory: &Path) -> Result<usize, LogError> {
    let log = EmbeddedLog::open(open_database(directory)?, Arc::new(|| 0))?;
    let mut count = 0;
    for partition in 0..PARTITIONS {
        let id = TopicPartition { topic: TOPIC.into(), partition };
        let bounds = log.bounds(&id).await?;
        let mut next = bounds.start;
        while next < bounds.end {
            let records = log.read(&id, next, 100).await?;
            let Some(last) = records.last() else { break };
            assert!(records.iter().all(|record| *record == written(partition, record.offset)), "{id:?}");
            count += records.len();
            next = last.offset + 1;
        }
    }
    Ok(count)
}

fn written(partition: u32, offset: u64) -> Record {
    let value = Bytes::from(format!("{partition}:{offset}"));
    Record { offset, append_time_ms: 5, key: Bytes::from_static(b"key"), value }
}

/// The files of a store whose records are half in tables and half in the journal.
fn sound_store() -> &'static [(PathBuf, Vec<u8>)] {
    static STORE: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();
    STORE.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without I/O");
        runtime.block_on(fill(directory.path())).expect("a new directory can be filled");
        let mut files = Vec::new();
        collect(directory.path(), directory.path(), &mut files);
        files.sort();
        files
    })
}

async fn fill(directory: &Path) -> Result<(), LogError> {
    let database = open_database(directory)?;
    let log = EmbeddedLog::open(database, Arc::new(|| 5))?;
    let spec = TopicSpec { name: TOPIC.into(), partitions: PARTITIONS, compacted: false, retention_ms: None };
    log.ensure_topics(&[spec]).await?;
    let producer = log.producer(ProducerMode::Bounded { ack_timeout_ms: 60_000, linger_ms: 0 })?;
    for offset in 0..RECORDS {
        if offset == RECORDS / 2 {
            log.0.chunks.rotate_memtable_and_wait().map_err(super::unreadable)?;
        }
        for partition in 0..PARTITIONS {
            let Record { key, value, .. } = written(partition, offset);
            let record =
                NewRecord { topic: TOPIC.into(), partition: Some(partition), key, value, traceparent: None };
            // Each tenth alone, so that there are many chunks.
            let append = producer.append(record).expect("the queue takes it");
            if offset % 10 == 0 {
                append.await.expect("the disk takes it");
            }
        }
    }
    producer.drain(60_000).await;
    Ok(())
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(root, &path, files);
            continue;
        }
        let mut content = fs::read(&path).expect("readable");
        // A journal is as large from the start as it may become.
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let used = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            content.truncate(used);
        }
        files.push((path.strip_prefix(root).expect("it is below").to_owned(), content));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_stored_bytes_are_records_in_order_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            stored(&bytes);
            // As a chunk: base, format, append time.
            stored(&[&[0; 16][..], &[1], &[0; 8], &bytes].concat());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn a_damaged_store_is_refused_or_gives_what_was_written(script in prop::collection::vec(any::<u8>(), 5..20)) {
            recovery(&script);
        }
    }

    #[test]
    fn a_sound_store_gives_everything() {
        assert_eq!(recovery(&[]), (RECORDS * u64::from(PARTITIONS)) as usize);
    }

    #[test]
    fn a_topic_that_claims_more_partitions_than_there_can_be_is_refused() {
        for (number, partitions, is_read) in
            [(0u32, 16_384u32, true), (0, 16_385, false), (0, u32::MAX, false), (u32::MAX, 1, false)]
        {
            let bytes = [&[1, 0][..], &number.to_be_bytes(), &partitions.to_be_bytes()].concat();
            assert_eq!(Description::decode(&bytes).is_ok(), is_read, "{number} {partitions}");
        }
    }
}
