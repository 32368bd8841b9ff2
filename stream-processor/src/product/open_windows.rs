use bytes::Bytes;
use recommender::ProductRow;
use recommender::trending::{Bounds, Demand, TRENDS};
use schemas::codec::{Reader, put_str, put_varint};
use schemas::published::{Window, header, open};
use schemas::{DecodeError, Version};

/// A product's entry in the table `open_windows`: enough to know, after a restart, whether its row is worth a look when
/// the trending lists are made. So that it is written seldom, the limits are generous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenWindows {
    pub(crate) limits: Limits,
    pub(crate) category: String,
}

/// What a product's row does not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Of its weights: powers of two.
    pub(crate) bounds: Bounds,
    /// Of the times of its events, ms since 1970 UTC.
    pub(crate) last_ms: i64,
}

/// Stored limits hold for events of so many ms to come. The list of an hour has no use for a row that many ms and an hour after
/// its last event; a product with events all day is written four times for that.
const AHEAD_MS: i64 = 6 * 3_600_000;

impl Limits {
    /// Those of a row, and of what it becomes within the next hours as long as no sum doubles.
    pub(crate) fn of(row: &ProductRow) -> Self {
        let newest_ms = row.buckets.newest_ms();
        let bounds = Demand::of(row, newest_ms).coarse_bounds();
        Self { bounds, last_ms: newest_ms.saturating_add(AHEAD_MS) }
    }

    /// Whether a row with limits of its own `of_row` keeps to these.
    pub(crate) fn hold_for(&self, of_row: &Self) -> bool {
        // What an older processor left open is filled in.
        let are_whole = self.last_ms != i64::MAX && !self.bounds.contains(&u32::MAX);
        let in_bounds = || of_row.bounds.iter().zip(&self.bounds).all(|(bound, stored)| bound <= stored);
        are_whole && of_row.last_ms - AHEAD_MS <= self.last_ms && in_bounds()
    }
}

impl OpenWindows {
    pub(crate) fn encode(&self, version: Version) -> Bytes {
        let mut out = header(version, 24 + self.category.len());
        let (windows, rising) = self.limits.bounds.split_at(Window::ALL.len());
        windows.iter().for_each(|&bound| put_varint(&mut out, u64::from(bound)));
        put_str(&mut out, &self.category);
        rising.iter().for_each(|&bound| put_varint(&mut out, u64::from(bound)));
        put_varint(&mut out, self.limits.last_ms as u64);
        Bytes::from(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (_, mut reader) = open(bytes)?;
        // What an entry does not say yet has no bound.
        let mut bounds = [u32::MAX; TRENDS];
        let (windows, rising) = bounds.split_at_mut(Window::ALL.len());
        windows.iter_mut().try_for_each(|bound| read_bound(&mut reader, bound))?;
        let category = reader.str()?.to_owned();
        // Entries from before there were lists of what rises end here.
        if !reader.is_at_end() {
            rising.iter_mut().try_for_each(|bound| read_bound(&mut reader, bound))?;
        }
        // And those from before the time of the last event counted, here.
        let last_ms = if reader.is_at_end() { i64::MAX } else { reader.varint()? as i64 };
        reader.finish()?;
        Ok(Self { limits: Limits { bounds, last_ms }, category })
    }
}

fn read_bound(reader: &mut Reader<'_>, bound: &mut u32) -> Result<(), DecodeError> {
    *bound = u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed("bound"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::EventKind;

    const NOON_MS: i64 = 1_700_000_000_000;

    fn open_windows() -> OpenWindows {
        let limits = Limits { bounds: [1, 2, 4, 512, 8_192], last_ms: NOON_MS };
        OpenWindows { limits, category: "shoes".to_owned() }
    }

    #[test]
    fn an_entry_survives_its_encoding() {
        let bytes = open_windows().encode(Version::of(1, 7));
        assert_eq!(OpenWindows::decode(&bytes).unwrap(), open_windows());
    }

    #[test]
    fn what_entries_of_older_processors_do_not_say_is_open() {
        let bytes = open_windows().encode(Version::of(1, 7));
        let time = bytes.len() - 6;
        let found = OpenWindows::decode(&bytes[..time]).unwrap();
        assert_eq!(found.limits, Limits { bounds: [1, 2, 4, 512, 8_192], last_ms: i64::MAX });
        let found = OpenWindows::decode(&bytes[..time - 2]).unwrap();
        assert_eq!(found.limits, Limits { bounds: [1, 2, 4, 512, u32::MAX], last_ms: i64::MAX });
        assert_eq!(found.category, "shoes");
        for cut in [1, 5, 7] {
            assert!(OpenWindows::decode(&bytes[..bytes.len() - cut]).is_err(), "cut within a limit");
        }
        assert!(!found.limits.hold_for(&Limits::of(&ProductRow::default())), "they are filled in");
    }

    #[test]
    fn limits_hold_until_a_sum_doubles_or_hours_have_passed() {
        let mut row = ProductRow::default();
        let mut view = |timestamp_ms| {
            row.observe(EventKind::View, 1, None, timestamp_ms);
            Limits::of(&row)
        };
        view(NOON_MS);
        let (two, three, four) = (view(NOON_MS + 1), view(NOON_MS + 2), view(NOON_MS + 3));
        assert!(!two.hold_for(&three));
        assert!(three.hold_for(&four));
        let mut later = four;
        later.last_ms += AHEAD_MS;
        assert!(four.hold_for(&later));
        later.last_ms += 1;
        assert!(!four.hold_for(&later));
    }
}
