//! Event files: a real one where it is at hand, else one made here of the same size.

use crate::given;
use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Rows of the made file: as many as the real one has.
const MADE_ROWS: u64 = 97_381;

/// The events of RetailRocket's buyers where `SHOPSMART_DATA` or `../shared/data` has them; else simulated ones, written to
/// `scratch`.
///
/// # Errors
/// When the file cannot be written.
pub fn events(scratch: &Path) -> Result<PathBuf> {
    let folder = given("SHOPSMART_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let real = folder.join("retailrocket_mb/events.csv.gz");
    if real.is_file() {
        return Ok(real);
    }
    eprintln!("the real event file is not at hand: testing with a simulated one of the same size");
    let made = scratch.join("events.csv");
    write_made(&made, MADE_ROWS)?;
    Ok(made)
}

/// One event every so many ms: the real file's pace.
const STEP_MS: u64 = 138 * 24 * 3_600_000 / MADE_ROWS;

/// Writes `rows` events of about a fortieth as many users at the real file's pace, sorted by time: runs of views among
/// related products, some of them put into the cart and bought.
///
/// # Errors
/// When the file cannot be written.
pub fn write_made(path: &Path, rows: u64) -> Result<()> {
    let mut out = std::io::BufWriter::new(File::create(path)?);
    writeln!(out, "timestamp_ms,user_id,item_id,event_type,category_id")?;
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) % below
    };
    // Four shoppers share a group of products, so that each can be shown what the others saw.
    let groups = (rows / 160).max(1);
    for row in 0..rows {
        let timestamp_ms = 1_430_600_000_000 + row * STEP_MS + random(STEP_MS);
        // A few shoppers at a time, so that their events form sessions.
        let user = row / 400 * 10 + random(10);
        let group = user * 7919 % groups;
        let product = group * 50 + random(50) * random(50) / 50;
        let kind =
            ["view", "view", "view", "view", "view", "view", "add_to_cart", "purchase"][random(8) as usize];
        writeln!(out, "{timestamp_ms},u{user},{product},{kind},c{}", group % 40)?;
    }
    Ok(out.flush()?)
}

/// What a direct count over a file finds.
#[derive(Debug, Default)]
pub struct DirectCount {
    /// Rows.
    pub events: u64,
    /// Highest event time, milliseconds since 1970 UTC.
    pub newest_ms: i64,
    events_of: HashMap<String, Vec<(i64, u64)>>,
}

impl DirectCount {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let mut count = Self::default();
        for row in open(path)?.records() {
            let row = row?;
            let timestamp_ms: i64 = row[0].parse()?;
            let weight = match &row[3] {
                "view" => 1,
                "add_to_cart" => 3,
                _ => 5,
            };
            count.events += 1;
            count.newest_ms = count.newest_ms.max(timestamp_ms);
            count.events_of.entry(row[2].to_owned()).or_default().push((timestamp_ms, weight));
        }
        Ok(count)
    }

    /// The best `k` products of the last `buckets` buckets of `width_ms`, as of the newest event: (product, weight, events),
    /// by weight, ties by id.
    pub fn top(&self, buckets: i64, width_ms: i64, k: usize) -> Vec<(String, u64, u64)> {
        let first = self.newest_ms / width_ms + 1 - buckets;
        let mut sums: Vec<(String, u64, u64)> = self
            .events_of
            .iter()
            .map(|(product, events)| {
                let within = events.iter().filter(|(timestamp_ms, _)| timestamp_ms / width_ms >= first);
                let (weight, count) =
                    within.fold((0, 0), |(weight, count), (_, more)| (weight + more, count + 1));
                (product.clone(), weight, count)
            })
            .filter(|(_, _, count)| *count > 0)
            .collect();
        sums.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sums.truncate(k);
        sums
    }
}

/// Users of a file, spread over it.
///
/// # Errors
/// When it cannot be read.
pub fn some_users(path: &Path, count: usize) -> Result<Vec<String>> {
    let mut users = Vec::new();
    for row in open(path)?.records() {
        let user = row?[1].to_owned();
        if users.last() != Some(&user) {
            users.push(user);
        }
    }
    users.sort_unstable();
    users.dedup();
    let step = (users.len() / count).max(1);
    Ok(users.into_iter().step_by(step).take(count).collect())
}

fn open(path: &Path) -> Result<csv::Reader<Box<dyn std::io::Read>>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let is_gzip = path.extension().is_some_and(|extension| extension == "gz");
    Ok(csv::Reader::from_reader(if is_gzip { Box::new(GzDecoder::new(file)) } else { Box::new(file) }))
}
