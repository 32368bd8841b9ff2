//! Windowed counters of one product: minute buckets for the last hour, hour buckets for the last 30 days.

use schemas::DecodeError;
use schemas::codec::{Reader, put_varint};
use schemas::published::Window;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const MINUTES_KEPT: u32 = 60;
const HOURS_KEPT: u32 = 30 * 24;

/// Weight and number of the events of one minute or hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    /// Minutes or hours since 1970.
    index: u32,
    weight: u32,
    count: u32,
}

/// Sum of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowSum {
    /// Sum of the weights.
    pub weight: u64,
    /// Number of events.
    pub count: u64,
}

/// Sparse buckets, ascending by time. What they hold does not depend on the order in which events come: a bucket is kept
/// while it is within its span of the newest event, and an event older than that is dropped either way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Buckets {
    newest_ms: i64,
    minutes: Vec<Bucket>,
    hours: Vec<Bucket>,
}

impl Buckets {
    /// Time of the newest event, milliseconds since 1970 UTC; 0 before the first.
    pub fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    /// Counts an event.
    pub fn add(&mut self, timestamp_ms: i64, weight: u32) {
        self.newest_ms = self.newest_ms.max(timestamp_ms);
        add_to(&mut self.minutes, index(timestamp_ms, MINUTE_MS), weight, first_minute(self.newest_ms));
        add_to(&mut self.hours, index(timestamp_ms, HOUR_MS), weight, first_hour(self.newest_ms));
    }

    /// What lies in `window` as of `now_ms`, to the resolution of the buckets (minutes for 1 h, hours for the others):
    /// the bucket that holds `now_ms` and those before it.
    pub fn sum(&self, window: Window, now_ms: i64) -> WindowSum {
        let (width_ms, kept) = span_of(window);
        let buckets = if width_ms == MINUTE_MS { &self.minutes } else { &self.hours };
        let first = first_of(now_ms, width_ms, kept);
        let from = buckets.partition_point(|bucket| bucket.index < first);
        buckets[from..].iter().fold(WindowSum::default(), |sum, bucket| WindowSum {
            weight: sum.weight + u64::from(bucket.weight),
            count: sum.count + u64::from(bucket.count),
        })
    }

    /// Every (hour since 1970, weight, count) that is within 30 days of `now_ms`, then every minute within the hour.
    pub fn as_of(&self, now_ms: i64) -> impl Iterator<Item = (u32, u32, u32)> {
        let (hour, minute) = (first_hour(now_ms), first_minute(now_ms));
        let hours = self.hours.iter().filter(move |bucket| bucket.index >= hour);
        let minutes = self.minutes.iter().filter(move |bucket| bucket.index >= minute);
        hours.chain(minutes).map(|bucket| (bucket.index, bucket.weight, bucket.count))
    }

    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        put_varint(out, self.newest_ms as u64);
        for buckets in [&self.minutes, &self.hours] {
            put_varint(out, buckets.len() as u64);
            let mut before = 0;
            for bucket in buckets {
                put_varint(out, u64::from(bucket.index - before));
                put_varint(out, u64::from(bucket.weight));
                put_varint(out, u64::from(bucket.count));
                before = bucket.index;
            }
        }
    }

    pub(crate) fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let newest_ms = reader.varint()? as i64;
        let minutes = decode_buckets(reader)?;
        let hours = decode_buckets(reader)?;
        Ok(Self { newest_ms, minutes, hours })
    }
}

fn decode_buckets(reader: &mut Reader<'_>) -> Result<Vec<Bucket>, DecodeError> {
    let count = reader.count(3)?;
    let mut buckets = Vec::with_capacity(count);
    let mut before = 0u32;
    for _ in 0..count {
        let mut number = || u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed("bucket"));
        let index = before.checked_add(number()?).ok_or(DecodeError::Malformed("bucket"))?;
        buckets.push(Bucket { index, weight: number()?, count: number()? });
        before = index;
    }
    Ok(buckets)
}

/// Width in ms and number of a window's buckets.
fn span_of(window: Window) -> (i64, u32) {
    match window {
        Window::Hour => (MINUTE_MS, MINUTES_KEPT),
        Window::Day => (HOUR_MS, 24),
        Window::Week => (HOUR_MS, 7 * 24),
        Window::Month => (HOUR_MS, HOURS_KEPT),
    }
}

/// When the oldest bucket of a window begins, ms since 1970 UTC: [`Buckets::sum`] counts nothing that is older.
pub fn window_begins_ms(window: Window, now_ms: i64) -> i64 {
    let (width_ms, kept) = span_of(window);
    i64::from(first_of(now_ms, width_ms, kept)) * width_ms
}

/// Index of the bucket that holds a time; times before 1970 count as 1970.
fn index(timestamp_ms: i64, width_ms: i64) -> u32 {
    u32::try_from(timestamp_ms.max(0) / width_ms).unwrap_or(u32::MAX)
}

/// Index of the oldest bucket that is still among the last `kept` at `now_ms`.
fn first_of(now_ms: i64, width_ms: i64, kept: u32) -> u32 {
    index(now_ms, width_ms).saturating_add(1).saturating_sub(kept)
}

fn first_minute(now_ms: i64) -> u32 {
    first_of(now_ms, MINUTE_MS, MINUTES_KEPT)
}

fn first_hour(now_ms: i64) -> u32 {
    first_of(now_ms, HOUR_MS, HOURS_KEPT)
}

fn add_to(buckets: &mut Vec<Bucket>, index: u32, weight: u32, first: u32) {
    if index >= first {
        // Most events are the newest: look from the end.
        let at = buckets.iter().rposition(|bucket| bucket.index <= index).map_or(0, |at| at + 1);
        match at.checked_sub(1).map(|before| &mut buckets[before]) {
            Some(bucket) if bucket.index == index => {
                bucket.weight = bucket.weight.saturating_add(weight);
                bucket.count = bucket.count.saturating_add(1);
            }
            _ => buckets.insert(at, Bucket { index, weight, count: 1 }),
        }
    }
    let expired = buckets.iter().take_while(|bucket| bucket.index < first).count();
    buckets.drain(..expired);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * HOUR_MS;

    #[test]
    fn windows_hold_what_a_direct_count_finds() {
        let now = 40 * DAY_MS + 12 * HOUR_MS + 30 * MINUTE_MS + 17;
        let ages =
            [0, MINUTE_MS, 59 * MINUTE_MS, 61 * MINUTE_MS, 5 * HOUR_MS, 3 * DAY_MS, 29 * DAY_MS, 31 * DAY_MS];
        let mut buckets = Buckets::default();
        for age in ages {
            buckets.add(now - age, 3);
        }
        let counts = Window::ALL.map(|window| buckets.sum(window, now).count);
        assert_eq!(counts, [3, 5, 6, 7]);
        assert_eq!(buckets.sum(Window::Month, now).weight, 21);
        assert_eq!(buckets.sum(Window::Hour, now + HOUR_MS).count, 0, "a window empties as time goes on");
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let times: Vec<i64> = (0..400).map(|i| (i * 7919 % 1000) * HOUR_MS + i * 13_001).collect();
        let fold = |times: &mut dyn Iterator<Item = &i64>| {
            let mut buckets = Buckets::default();
            times.for_each(|&time| buckets.add(time, 1));
            buckets
        };
        let mut sorted = times.clone();
        sorted.sort_unstable();
        assert_eq!(fold(&mut times.iter()), fold(&mut sorted.iter()));
        assert_eq!(fold(&mut times.iter().rev()), fold(&mut sorted.iter()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut buckets = Buckets::default();
        (0..200_000).for_each(|i| buckets.add(i * 11 * MINUTE_MS, 1));
        assert!(buckets.minutes.len() <= MINUTES_KEPT as usize);
        assert!(buckets.hours.len() <= HOURS_KEPT as usize);
    }
}
