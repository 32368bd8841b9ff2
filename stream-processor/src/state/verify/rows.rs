use super::Verification;
use crate::known::KnownKeys;
use schemas::Version;
use std::collections::{BTreeMap, HashMap};
use stores::Row;

/// A partition's stored rows of one table, compared with a fold while it goes by.
pub(super) struct StoredRows {
    /// How a row is called in differences: the stage's name.
    stage: &'static str,
    stored: HashMap<String, Row>,
    /// Records below this are in the stored progress, so the rows that they lead to have to be stored.
    covered: Version,
    /// Rows may be ahead of the progress, but only below this, the stored intent.
    announced: Version,
    known: BTreeMap<String, Known>,
}

/// What the fold did to a row.
#[derive(Default)]
struct Known {
    /// The last version that the stored progress covers.
    covered: Version,
    /// The stored version, once the fold came by it.
    met: Option<Version>,
}

impl StoredRows {
    pub(super) fn new(
        stage: &'static str,
        stored: HashMap<String, Row>,
        covered: Version,
        announced: Version,
    ) -> Self {
        Self { stage, stored, covered, announced: announced.max(covered), known: BTreeMap::new() }
    }

    /// The fold has changed a row; `in_memory` gives what it is now. A row that is stored at just this version has to be equal.
    pub(super) fn changed(
        &mut self,
        key: String,
        version: Version,
        in_memory: impl FnOnce(&str) -> Option<Row>,
        result: &mut Verification,
    ) {
        let stored = self.stored.get(&key).filter(|row| row.version == version);
        if let Some(row) = stored
            && in_memory(&key).is_none_or(|now| now.state != row.state)
        {
            result.differs(
                format!("{} row {key:?}", self.stage),
                format!("its content at version {version} is not what the log leads to"),
            );
        }
        let met = stored.map(|_| version);
        let known = self.known.entry(key).or_default();
        known.met = met.or(known.met);
        if version < self.covered {
            known.covered = version;
        }
    }

    /// The fold has ended: names the rows that are missing, behind, ahead, or that no record leads to, and those whose keys are not
    /// among the known ones where these are kept: such a row would be made anew. Gives how many were compared.
    pub(super) fn finish(mut self, keys: Option<&KnownKeys>, result: &mut Verification) -> u64 {
        let mut compared = 0;
        for (key, Known { covered, met }) in self.known {
            if covered > Version::NONE && keys.is_some_and(|keys| !keys.may_have(&key)) {
                let how = "is not among the known keys of its partition";
                result.differs(format!("{} row {key:?}", self.stage), how);
            }
            let how = match (met, self.stored.remove(&key)) {
                (Some(met), _) => {
                    compared += 1;
                    if met < covered {
                        format!("is stored at version {met}, but the progress covers version {covered} of it")
                    } else if met >= self.announced {
                        format!("is stored at version {met}, beyond the intent: nothing announced that")
                    } else {
                        continue;
                    }
                }
                (None, Some(row)) => {
                    format!("is stored at version {}, which no record leads to", row.version)
                }
                (None, None) if covered > Version::NONE => {
                    format!("is missing: the progress covers version {covered} of it")
                }
                // Changed by records behind the progress only.
                (None, None) => continue,
            };
            result.differs(format!("{} row {key:?}", self.stage), how);
        }
        let mut unknown: Vec<Row> = self.stored.into_values().collect();
        unknown.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        for row in unknown {
            let how = format!("is stored at version {}, but no record leads to such a row", row.version);
            result.differs(format!("{} row {:?}", self.stage, row.key), how);
        }
        compared
    }
}
