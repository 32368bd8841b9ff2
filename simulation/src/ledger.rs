//! Checks every row at the moment when it is written, against what the logs hold at that moment.

use crate::coverage::{Coverage, Seen};
use crate::oracle::Oracle;
use bytes::Bytes;
use event_log::Record;
use schemas::partition::partition_of;
use schemas::proto::{ActivityRecord, Outcome};
use schemas::published::open;
use schemas::{Position, Version};
use std::collections::{BTreeMap, BTreeSet};
use stores::{Row, Table};

pub(crate) type Rows = BTreeMap<(Table, String), Row>;

/// An entry of `product-activity` that counts: the first for its source event in its partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effective {
    pub(crate) offset: u64,
    pub(crate) outcome: Outcome,
    /// Product, kind and weight.
    pub(crate) counts: Option<(String, i32, u32)>,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) oracle: Oracle,
    /// By source: offsets whose outcome is in the log.
    told: Vec<BTreeSet<u64>>,
    /// By source: all before it are told.
    told_until: Vec<u64>,
    /// By target, by source: what the product stage should have taken.
    marks: Vec<Vec<u64>>,
    /// By source: the entries that carry an outcome, in the order of each target.
    pub(crate) effective: Vec<Vec<Effective>>,
    /// By target: offsets of the records that change a product.
    products: Vec<BTreeMap<String, Vec<u64>>>,
}

impl Ledger {
    pub(crate) fn new(partitions: u32) -> Self {
        let partitions = partitions as usize;
        Self {
            oracle: Oracle::new(partitions as u32),
            told: vec![BTreeSet::new(); partitions],
            told_until: vec![0; partitions],
            marks: vec![vec![0; partitions]; partitions],
            effective: vec![Vec::new(); partitions],
            products: vec![BTreeMap::new(); partitions],
        }
    }

    /// A record of `events` is in the log.
    pub(crate) fn event(&mut self, partition: u32, record: &Record, coverage: &mut Coverage) {
        self.oracle.judge(partition, record, coverage);
    }

    /// A record of `product-activity` is in the log. Says what is wrong with it: also what is sent again has to say what
    /// became of the event.
    pub(crate) fn update(
        &mut self,
        position: Position,
        value: &Bytes,
        coverage: &mut Coverage,
    ) -> Option<String> {
        let record = ActivityRecord::unpack(value).expect("the shopper stage wrote it");
        let (source, target) = (record.source_partition as usize, position.partition as usize);
        let mut is_repeated = false;
        let mut problem = None;
        for (entry, pairs) in record.entries_with_pairs() {
            let outcome = Outcome::try_from(entry.outcome).unwrap_or(Outcome::Unspecified);
            let counts = entry.activity.as_ref().map(|activity| {
                let product = record.products[activity.product as usize].clone();
                (product, activity.event_type as i32, activity.weight)
            });
            let judged = &self.oracle.judged[source][entry.offset as usize];
            if outcome != Outcome::Unspecified && (outcome != judged.outcome || counts != judged.counts) {
                let offset = entry.offset;
                problem = Some(format!(
                    "events/{source} at {offset} told: {outcome:?} {counts:?}, expected {judged:?}"
                ));
            }
            if entry.offset < self.marks[target][source] {
                is_repeated = true;
                continue;
            }
            self.marks[target][source] = entry.offset + 1;
            let own = counts.iter().map(|(product, ..)| product);
            let pairs = pairs.map(|pair| &record.products[pair.product as usize]);
            for product in own.chain(pairs) {
                let changed = self.products[target].entry(product.clone()).or_default();
                if changed.last() != Some(&position.offset) {
                    changed.push(position.offset);
                }
            }
            if outcome != Outcome::Unspecified {
                self.told[source].insert(entry.offset);
                self.effective[source].push(Effective { offset: entry.offset, outcome, counts });
            }
        }
        while self.told[source].contains(&self.told_until[source]) {
            self.told_until[source] += 1;
        }
        coverage.saw(Seen::Updates, 1);
        coverage.saw(Seen::UpdatesRepeated, u64::from(is_repeated));
        problem
    }

    /// Checks a row that is about to be stored; says what is wrong.
    pub(crate) fn check_write(
        &self,
        table: Table,
        row: &Row,
        rows: &Rows,
        coverage: &mut Coverage,
    ) -> Option<String> {
        let partition = || partition_of(row.key.as_bytes(), self.told.len() as u32);
        match table {
            Table::UserHistory => self.check_row("shopper", partition(), row, rows).or_else(|| {
                let told = self.told_until[partition() as usize];
                let ahead = row.version.offset() >= told;
                ahead.then(|| {
                    format!(
                        "user row {} is written, but updates of record {told} are not in the log",
                        row.version
                    )
                })
            }),
            Table::ProductState => self.check_row("product", partition(), row, rows),
            Table::Progress => {
                let mut parts = row.key.split(':');
                if parts.next() != Some("progress") {
                    return None;
                }
                let stage = parts.next()?;
                let partition = parts.next()?.parse().ok()?;
                coverage.saw(Seen::ProgressChecked, 1);
                self.check_progress(stage, partition, row, rows)
            }
            _ => None,
        }
    }

    /// Rows may be ahead of the progress only as far as the intent says.
    fn check_row(&self, stage: &str, partition: u32, row: &Row, rows: &Rows) -> Option<String> {
        let intent = rows.get(&(Table::Progress, format!("intent:{stage}:{partition}")));
        let intent = intent.map_or(0, place_of);
        (row.version.offset() >= intent).then(|| {
            format!("{stage} row {:?} is written at {}, but the intent says {intent}", row.key, row.version)
        })
    }

    /// Everything that a progress row says is stored has to be.
    fn check_progress(&self, stage: &str, partition: u32, row: &Row, rows: &Rows) -> Option<String> {
        let at = place_of(row);
        let what = format!("progress {stage}/{partition} says {at}");
        if stage == "shopper" {
            let told = self.told_until[partition as usize];
            if told < at {
                return Some(format!("{what}, but updates of record {told} are not in the log"));
            }
            for (user, state) in &self.oracle.users {
                if partition_of(user.as_bytes(), self.told.len() as u32) == partition
                    && let Some(problem) = lacks(Table::UserHistory, user, &state.changed_at, at, rows)
                {
                    return Some(format!("{what}, but {problem}"));
                }
            }
            let judged = &self.oracle.judged[partition as usize];
            for (offset, _) in judged.iter().enumerate().filter(|(_, judgement)| judgement.reason.is_some()) {
                let key = format!("events:{partition}:{offset:013}");
                if (offset as u64) < at && !rows.contains_key(&(Table::DeadLetters, key)) {
                    return Some(format!("{what}, but the dead letter of record {offset} is not stored"));
                }
            }
            return None;
        }
        self.products[partition as usize].iter().find_map(|(product, changed_at)| {
            let problem = lacks(Table::ProductState, product, changed_at, at, rows)?;
            Some(format!("{what}, but {problem}"))
        })
    }
}

/// Whether a row lacks a change made before `at`.
fn lacks(table: Table, key: &str, changed_at: &[u64], at: u64, rows: &Rows) -> Option<String> {
    let before = changed_at.partition_point(|offset| *offset < at);
    let last = *changed_at.get(before.checked_sub(1)?)?;
    let stored = rows.get(&(table, key.to_owned())).map(|row| row.version);
    let holds = stored.is_some_and(|version| version.offset() >= last);
    (!holds).then(|| {
        let stored = stored.unwrap_or(Version::NONE);
        format!("row {key:?} of {} is stored at {stored}, and record {last} changed it", table.name())
    })
}

/// The offset that a progress or intent row begins with.
pub(crate) fn place_of(row: &Row) -> u64 {
    let (_, mut content) = open(&row.state).expect("it has a header");
    content.varint().expect("it begins with an offset")
}
