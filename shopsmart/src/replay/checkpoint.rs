use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ReplayError;
use super::ledger::Outcome;
use super::report::Totals;

/// What a run leaves for the next one, kept in a small JSON file, also when the replay is finished: the server knows the
/// ids of a user's last events only, and would count the others again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// Hash of the file's content: another file is another replay.
    pub content: String,
    /// The server the rows went to.
    pub to: String,
    /// All rows up to this one are done.
    pub frontier: u64,
    /// Their outcomes, summed up.
    pub totals: Totals,
    /// Rows beyond the frontier that are done as well.
    pub ahead: BTreeMap<u64, Outcome>,
    /// Whether these are all rows of the file.
    #[serde(default)]
    pub complete: bool,
}

impl Checkpoint {
    /// The beginning of a replay of the file at `events`.
    pub fn new(events: &Path, to: &str) -> Result<Self, ReplayError> {
        let content = content_hash(events)
            .map_err(|e| ReplayError::Unreadable { file: events.into(), reason: e.to_string() })?;
        Ok(Self { content, to: to.to_owned(), ..Self::default() })
    }

    /// What an earlier run of the same replay left in `file`; `self` when there is nothing, or what is there belongs to
    /// another replay that is finished.
    pub fn resume(self, file: &Path) -> Result<Self, ReplayError> {
        let refuse = |reason: String| ReplayError::State { file: file.into(), reason };
        let text = match fs::read(file) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(self),
            Err(e) => return Err(refuse(e.to_string())),
        };
        let found: Self = serde_json::from_slice(&text).map_err(|e| refuse(e.to_string()))?;
        if found.complete && (&found.to, &found.content) != (&self.to, &self.content) {
            return Ok(self);
        }
        if found.to != self.to {
            return Err(refuse(format!("it belongs to a replay to {}", found.to)));
        }
        if found.content != self.content {
            return Err(refuse(
                "it belongs to the replay of another file, or the file has changed".to_owned(),
            ));
        }
        Ok(found)
    }

    /// The same replay, of which nothing is done.
    pub fn anew(self) -> Self {
        Self { content: self.content, to: self.to, ..Self::default() }
    }

    /// Whether a run has done anything.
    pub fn is_begun(&self) -> bool {
        self.complete || self.frontier > 0 || !self.ahead.is_empty()
    }

    /// How many rows the server has taken.
    pub fn accepted(&self) -> u64 {
        let mut totals = self.totals.clone();
        self.ahead.values().cloned().for_each(|outcome| totals.add(outcome));
        totals.accepted
    }

    /// Writes it to `file` in one step: a crash leaves the old one or the new one.
    pub fn save(&self, file: &Path) -> Result<(), ReplayError> {
        let write = || {
            if let Some(dir) = file.parent() {
                fs::create_dir_all(dir)?;
            }
            let mut draft = file.as_os_str().to_owned();
            draft.push(".tmp");
            let mut out = File::create(&draft)?;
            out.write_all(&serde_json::to_vec(self)?)?;
            out.sync_all()?;
            fs::rename(&draft, file)
        };
        write().map_err(|e: io::Error| ReplayError::State { file: file.into(), reason: e.to_string() })
    }

    /// Forgets the replay: it begins anew.
    pub fn remove(file: &Path) -> Result<(), ReplayError> {
        match fs::remove_file(file) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(ReplayError::State { file: file.into(), reason: e.to_string() })
            }
            _ => Ok(()),
        }
    }
}

/// A hash of the file's bytes, as text.
pub(super) fn content_hash(file: &Path) -> io::Result<String> {
    let mut hash = blake3::Hasher::new();
    let mut file = File::open(file)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().to_hex()[..32].to_owned()),
            n => hash.update(&buffer[..n]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_only_taken_for_the_same_file_and_server() {
        let dir = tempfile::tempdir().unwrap();
        let (events, state) = (dir.path().join("events.csv"), dir.path().join("not/yet/state.json"));
        fs::write(&events, "a").unwrap();
        let fresh = Checkpoint::new(&events, "http://a").unwrap();
        assert_eq!(fresh.clone().resume(&state).unwrap(), fresh, "nothing was left");

        let left = Checkpoint { frontier: 7, ahead: [(9, Outcome::Accepted)].into(), ..fresh.clone() };
        left.save(&state).unwrap();
        assert_eq!(fresh.clone().resume(&state).unwrap(), left);

        let elsewhere = Checkpoint::new(&events, "http://b").unwrap().resume(&state);
        assert!(elsewhere.unwrap_err().to_string().contains("to http://a"));
        fs::write(&events, "b").unwrap();
        let changed = Checkpoint::new(&events, "http://a").unwrap().resume(&state);
        assert!(changed.unwrap_err().to_string().contains("another file"));

        let finished = Checkpoint { complete: true, ..left };
        finished.save(&state).unwrap();
        let another = Checkpoint::new(&events, "http://a").unwrap();
        assert_eq!(another.clone().resume(&state).unwrap(), another, "a finished one is in nobody's way");
        fs::write(&events, "a").unwrap();
        assert_eq!(fresh.clone().resume(&state).unwrap(), finished);

        Checkpoint::remove(&state).unwrap();
        Checkpoint::remove(&state).unwrap();
        assert_eq!(fresh.clone().resume(&state).unwrap(), fresh);
    }
}
