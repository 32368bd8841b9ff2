//! The embedded log: the contract, and what it promises about its disk.

use crate::subject::{BOUNDED, Subject, append, assert_ascending, at, next_records, numbered, numbers};
use event_log::embedded::{EmbeddedLog, open_database};
use event_log::{AppendError, LogError, TopicSpec};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

crate::contract_suite!(in_a_new_directory);

async fn in_a_new_directory() -> Option<Subject> {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let log = open(directory.path(), &Arc::default());
    Some(Subject { _directory: Some(directory), ..Subject::new(Arc::new(log)) })
}

/// Opens the log of a directory as soon as whoever had it has let go of it.
fn open(directory: &Path, clock: &Arc<AtomicI64>) -> EmbeddedLog {
    let clock = Arc::clone(clock);
    let database = loop {
        match open_database(directory) {
            Err(error) if error.to_string().contains("in use") => std::thread::yield_now(),
            outcome => break outcome.expect("the database opens"),
        }
    };
    EmbeddedLog::open(database, Arc::new(move || clock.load(Ordering::Relaxed))).expect("the log opens")
}

/// The same topic in every process and after every opening.
const TOPIC: &str = "records";

async fn subject_in(directory: &Path, clock: &Arc<AtomicI64>) -> Subject {
    let subject = Subject::new(Arc::new(open(directory, clock)));
    let (name, partitions) = (TOPIC.to_owned(), 2);
    let spec = TopicSpec { name, partitions, compacted: false, retention_ms: None };
    subject.log.ensure_topics(&[spec]).await.expect("the topic exists");
    subject
}

#[tokio::test]
async fn offsets_and_records_go_on_after_reopening() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let partition = at(&TOPIC.into(), 1);
    for round in 0..3 {
        let subject = subject_in(directory.path(), &Arc::default()).await;
        let positions = subject.fill(&partition, round * 1000..(round + 1) * 1000).await;
        assert_eq!(positions.first().map(|position| position.offset), Some(round * 1000));
    }
    let subject = subject_in(directory.path(), &Arc::default()).await;
    let records = subject.read_all(&partition).await;
    assert_eq!(numbers(&records), (0..3000).collect::<Vec<_>>());
    assert_ascending(&records);
    assert_eq!(subject.log.bounds(&at(&TOPIC.into(), 0)).await, Ok(0..0), "the other partition is as it was");
}

#[tokio::test]
async fn a_reader_passes_from_disk_to_what_is_appended_meanwhile() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let partition = at(&TOPIC.into(), 0);
    subject_in(directory.path(), &Arc::default()).await.fill(&partition, 0..1700).await;
    let subject = subject_in(directory.path(), &Arc::default()).await;
    let mut stream = subject.log.follow(&partition, 0).await.expect("followed");
    subject.fill(&partition, 1700..3000).await;
    assert_eq!(numbers(&next_records(&mut stream, 3000).await), (0..3000).collect::<Vec<_>>());
}

#[tokio::test]
async fn append_times_never_decrease_when_the_clock_is_set_back() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let partition = at(&TOPIC.into(), 0);
    let clock = Arc::new(AtomicI64::new(0));
    for (value, now) in [1000, 3000, 2000].into_iter().enumerate() {
        clock.store(now, Ordering::Relaxed);
        let subject = subject_in(directory.path(), &clock).await; // also across a restart
        subject.fill(&partition, value as u64..value as u64 + 1).await;
    }
    let records = subject_in(directory.path(), &clock).await.read_all(&partition).await;
    let times: Vec<_> = records.iter().map(|record| record.append_time_ms).collect();
    assert_eq!(times, [1000, 3000, 3000]);
}

#[tokio::test]
async fn a_group_has_one_member_until_it_leaves() {
    let subject = in_a_new_directory().await.expect("always there");
    let topic = subject.topic(1).await;
    let member = subject.sole_member(&topic, 1).await;
    let options = event_log::GroupOptions {
        group_id: format!("{}group", subject.prefix),
        topics: vec![topic.to_string()],
        instance_id: None,
        session_timeout_ms: 10_000,
    };
    assert!(matches!(subject.log.join(options.clone()).await.err(), Some(LogError::Unusable(_))));
    drop(member);
    assert!(subject.log.join(options).await.is_ok());
}

#[test]
fn a_directory_in_use_says_so() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let _held = open_database(directory.path()).expect("opens");
    let error = open_database(directory.path()).err().expect("it is held").to_string();
    assert!(
        error.contains("in use by another process") && error.contains(&*directory.path().to_string_lossy())
    );
}

#[test]
fn a_directory_that_cannot_be_made_says_so() {
    let file = tempfile::NamedTempFile::new().expect("a file for the test");
    let error = open_database(&file.path().join("data")).err().expect("a file is in the way").to_string();
    assert!(error.contains("cannot be created"), "{error}");
}

#[test]
fn a_damaged_directory_says_so() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    drop(open_database(directory.path()).expect("opens"));
    std::fs::write(directory.path().join("version"), b"nonsense").expect("the file is written");
    let error = loop {
        match open_database(directory.path()) {
            Err(error) if error.to_string().contains("in use") => std::thread::yield_now(),
            outcome => break outcome.err().expect("it is damaged").to_string(),
        }
    };
    assert!(error.contains("is damaged"), "{error}");
}

/// Tells a child process which directory to work in.
const DIRECTORY: &str = "SHOPSMART_TEST_DIRECTORY";

/// This test program, to run one of its tests in a process of its own.
fn child(test: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the test program is a file"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(DIRECTORY, directory);
    command
}

/// Not a promise but a child's work: appends until it is killed, and writes down what was acknowledged.
#[tokio::test]
async fn child_appends_until_killed() {
    let Some(directory) = crate::environment(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let subject = subject_in(&directory.join("data"), &Arc::default()).await;
    let producer = subject.producer(BOUNDED);
    for value in 0.. {
        let appends = [append(&*producer, numbered(&at(&TOPIC.into(), 0), value)).await, {
            append(&*producer, numbered(&at(&TOPIC.into(), 1), value)).await
        }];
        for outcome in appends {
            outcome.await.expect("acknowledged");
        }
        // In one step: it may be killed at any moment.
        let (note, draft) = (directory.join("acknowledged"), directory.join("draft"));
        std::fs::write(&draft, value.to_string()).expect("written down");
        std::fs::rename(draft, note).expect("written down");
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let note = directory.path().join("acknowledged");
    let mut least = 0;
    for _ in 0..3 {
        let _ = std::fs::remove_file(&note);
        let mut process =
            child("embedded::child_appends_until_killed", directory.path()).spawn().expect("starts");
        let acknowledged = || std::fs::read_to_string(&note).ok().and_then(|text| text.parse::<u64>().ok());
        while acknowledged().is_none_or(|value| value < 20) {
            assert!(
                process.try_wait().expect("its state is known").is_none(),
                "the child works until it is killed"
            );
            std::thread::yield_now();
        }
        process.kill().expect("it is killed"); // SIGKILL
        process.wait().expect("it has ended");
        least += acknowledged().expect("something was acknowledged") + 1;

        let subject = subject_in(&directory.path().join("data"), &Arc::default()).await;
        for partition in [at(&TOPIC.into(), 0), at(&TOPIC.into(), 1)] {
            let records = subject.read_all(&partition).await;
            assert!(records.len() as u64 >= least, "{} of {least} are there", records.len());
            assert_ascending(&records);
            assert!(records.iter().zip(0..).all(|(record, offset)| record.offset == offset), "no gaps");
        }
    }
}

/// Not a promise but a child's work: appends until the disk takes no more.
#[tokio::test]
async fn child_appends_until_the_disk_is_full() {
    let Some(directory) = crate::environment(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let subject = subject_in(&directory.join("data"), &Arc::default()).await;
    let producer = subject.producer(BOUNDED);
    let mut taken = 0;
    let error = loop {
        // Compression must not make it small: the numbers do not repeat.
        let noise: Vec<u8> = (0..5000u64)
            .flat_map(|n| (n * 7919 + taken).wrapping_mul(0x9e3779b97f4a7c15).to_le_bytes())
            .collect();
        let record = event_log::NewRecord { value: noise.into(), ..numbered(&at(&TOPIC.into(), 0), taken) };
        match append(&*producer, record).await.await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::NotAcknowledged(_)), "{error:?}");
    let later = producer.append(numbered(&at(&TOPIC.into(), 0), 0));
    assert!(matches!(later, Err(AppendError::Fatal(_))), "{later:?}");
    std::fs::write(directory.join("acknowledged"), taken.to_string()).expect("written down");
}

#[cfg(unix)]
#[tokio::test]
async fn a_full_disk_fails_appends_and_costs_nothing_acknowledged() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    drop(subject_in(&directory.path().join("data"), &Arc::default()).await); // its files are there already
    let inner = child("embedded::child_appends_until_the_disk_is_full", directory.path());
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4000; exec \"$0\" \"$@\""]) // files end at about 2 MB
        .arg(inner.get_program())
        .args(inner.get_args())
        .env(DIRECTORY, directory.path())
        .status();
    assert!(limited.expect("the child runs").success());
    let note = std::fs::read_to_string(directory.path().join("acknowledged")).expect("written down");
    let taken: u64 = note.parse().expect("a number");
    assert!(taken > 5, "some fitted: {taken}");
    let subject = subject_in(&directory.path().join("data"), &Arc::default()).await;
    let partition = at(&TOPIC.into(), 0);
    let records = subject.read_all(&partition).await;
    assert!(records.len() as u64 >= taken);
    let next = records.len() as u64;
    let position = subject.fill(&partition, next..next + 1).await;
    assert_eq!(position.first().map(|position| position.offset), Some(next), "it goes on where it was");
}
