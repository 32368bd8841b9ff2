//! The list of dead letters, newest first, a page at a time: a table that has a row for each letter, in whose key all of it
//! is, ordered by reason and then by time. A page looks into every shard for each reason, and reads as many rows there as it
//! may have to show: its work does not grow with the number of letters.

use super::{DeadLetter, Place};
use crate::outcome::DeadReason;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use schemas::Version;
use std::fmt;
use std::str::FromStr;
use stores::{KeyRange, Row, StateStore, StoreError, Table};

const TABLE: Table = Table::DeadLettersByTime;

/// Shards asked at the same time.
const PARALLEL: usize = 16;

/// Between the reason and the place in a key, and the character after it.
const SEPARATOR: char = ':';
const AFTER_SEPARATOR: char = ';';

/// Hex digits of time, partition and offset.
const DIGITS: (usize, usize, usize) = (16, 8, 16);

/// Where a letter stands in the list. What is newer is less; at the same time the higher partition comes first, then the
/// higher offset. As text, which is ordered alike, it is the token of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// All counted from above.
    time: u64,
    partition: u32,
    offset: u64,
}

impl Position {
    fn of(letter: &DeadLetter) -> Self {
        // With its highest bit turned, a signed number is ordered as an unsigned one.
        let time = letter.append_time_ms.cast_unsigned() ^ (1 << 63);
        Self { time: !time, partition: !letter.partition, offset: !letter.offset }
    }

    /// The letter's name.
    pub(crate) fn place(self) -> Place {
        Place { partition: !self.partition, offset: !self.offset }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:08x}{:016x}", self.time, self.partition, self.offset)
    }
}

/// A text that no page gave as the position of the next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != DIGITS.0 + DIGITS.1 + DIGITS.2 || !text.bytes().all(is_digit) {
            return Err(NoPosition);
        }
        let (time, rest) = text.split_at(DIGITS.0);
        let (partition, offset) = rest.split_at(DIGITS.1);
        let number = |digits| u64::from_str_radix(digits, 16).map_err(|_| NoPosition);
        let partition = u32::from_str_radix(partition, 16).map_err(|_| NoPosition)?;
        Ok(Self { time: number(time)?, partition, offset: number(offset)? })
    }
}

/// The row of the list that stands for a letter.
pub(crate) fn row_of(letter: &DeadLetter, generation: u16) -> Row {
    let version = Version::of(generation, letter.offset);
    let key = format!("{}{SEPARATOR}{}", letter.reason, Position::of(letter));
    Row { key, version, state: Bytes::new() }
}

/// The letter for which a row of the list stands, by its key.
pub(crate) fn letter_of(key: &str) -> Option<Place> {
    let (_, position) = key.split_once(SEPARATOR)?;
    position.parse::<Position>().ok().map(Position::place)
}

/// A part of the list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// In the order of the list.
    pub(crate) letters: Vec<Place>,
    /// Where the next one begins; `None` on the last.
    pub(crate) next: Option<Position>,
}

/// The first `limit` letters (at least 1) of these reasons after a position, or from the beginning.
///
/// # Errors
/// When the state store does not answer.
pub(crate) async fn page(
    state: &dyn StateStore,
    generation: u16,
    reasons: &[DeadReason],
    after: Option<Position>,
    limit: usize,
) -> Result<Page, StoreError> {
    let shards = TABLE.shards().expect("the list has shards");
    let looks = reasons.iter().flat_map(|reason| (0..shards).map(move |shard| (*reason, shard)));
    let looks = stream::iter(looks.collect::<Vec<_>>()).map(|(reason, shard)| async move {
        let (reason, position) = (reason.as_str(), after.map(|after| after.to_string()).unwrap_or_default());
        let (above, below) = (format!("{reason}{SEPARATOR}{position}"), format!("{reason}{AFTER_SEPARATOR}"));
        // One more than can be shown: whether there is a next page.
        state.page(TABLE, generation, shard, KeyRange { above: &above, below: &below }, limit + 1).await
    });
    let found: Vec<Vec<Row>> = looks.buffer_unordered(PARALLEL).try_collect().await?;
    let mut positions = Vec::new();
    for row in found.into_iter().flatten() {
        let position = row.key.split_once(SEPARATOR).and_then(|(_, position)| position.parse().ok());
        let reason = || format!("the row {:?} of the list of dead letters cannot be read", row.key);
        positions
            .push(position.ok_or_else(|| StoreError::Unusable { store: "state store", reason: reason() })?);
    }
    positions.sort_unstable();
    let has_more = positions.len() > limit;
    positions.truncate(limit);
    let next = positions.last().copied().filter(|_| has_more);
    Ok(Page { letters: positions.into_iter().map(Position::place).collect(), next })
}

#[cfg(test)]
mod tests {
    use super::*;
    use event_log::embedded::open_database;
    use stores::embedded::EmbeddedStateStore;

    fn letter(partition: u32, offset: u64, append_time_ms: i64, reason: DeadReason) -> DeadLetter {
        let reason = reason.as_str().to_owned();
        DeadLetter { partition, offset, reason, append_time_ms, key: Vec::new(), value: Vec::new() }
    }

    #[test]
    fn positions_are_ordered_from_new_to_old_as_values_and_as_texts() {
        let letters =
            [(0, 1, i64::MAX), (1, 4, 99), (0, 9, 99), (0, 5, 99), (7, 2, 0), (0, 3, -1), (0, 0, i64::MIN)];
        let positions = letters.map(|(partition, offset, time)| {
            let letter = letter(partition, offset, time, DeadReason::BadKey);
            assert_eq!(Position::of(&letter).place(), letter.place());
            Position::of(&letter)
        });
        assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
        let texts = positions.map(|position| position.to_string());
        assert!(texts.is_sorted_by(|a, b| a < b), "{texts:?}");
        assert_eq!(texts.map(|text| text.parse()), positions.map(Ok));
    }

    #[test]
    fn only_what_a_page_gave_is_a_position() {
        let given = Position::of(&letter(1, 2, 3, DeadReason::BadKey)).to_string();
        let spoilt = [
            String::new(),
            "next".to_owned(),
            given[1..].to_owned(),
            given.to_uppercase(),
            format!("{given}0"),
            given.replace('f', "+"),
            given.replace('f', "é"),
        ];
        for text in spoilt {
            assert_eq!(text.parse::<Position>(), Err(NoPosition), "{text}");
        }
    }

    #[test]
    fn a_row_of_the_list_is_small_and_names_its_letter() {
        for reason in DeadReason::ALL {
            let mut letter = letter(u32::MAX, (1 << 40) - 1, i64::MAX, reason);
            letter.value = vec![b'x'; 100_000];
            let row = row_of(&letter, 1);
            assert_eq!((letter_of(&row.key), row.version), (Some(letter.place()), letter.to_row(1).version));
            assert!(row.key.len() <= 52 && row.state.is_empty(), "{row:?}");
        }
        assert_eq!(letter_of("bad_key"), None);
        assert_eq!(letter_of("bad_key:0"), None);
    }

    #[tokio::test]
    async fn pages_together_are_the_list_whatever_their_size() {
        let folder = tempfile::tempdir().unwrap();
        let state = EmbeddedStateStore::open(open_database(folder.path()).unwrap()).unwrap();
        // Several at the same time, on several partitions, of every reason.
        let letters: Vec<DeadLetter> = (0..500u64)
            .map(|i| {
                letter((i % 3) as u32, i, 1_000 + (i as i64 * 37 % 100), DeadReason::ALL[(i % 4) as usize])
            })
            .collect();
        let rows = letters.iter().map(|letter| row_of(letter, 1)).collect();
        state.put_many(TABLE, 1, rows).await.unwrap();
        let of_another = vec![row_of(&letter(0, 0, i64::MAX, DeadReason::BadKey), 2)];
        state.put_many(TABLE, 2, of_another).await.unwrap();

        for reasons in [&DeadReason::ALL[..], &DeadReason::ALL[1..2]] {
            let mut expected: Vec<&DeadLetter> = letters
                .iter()
                .filter(|letter| reasons.iter().any(|reason| reason.as_str() == letter.reason))
                .collect();
            expected.sort_by_key(|letter| std::cmp::Reverse((letter.append_time_ms, letter.place())));
            let expected: Vec<Place> = expected.into_iter().map(DeadLetter::place).collect();
            for limit in [1, 7, 125, 499, 500, 1_000] {
                let (mut found, mut after) = (Vec::new(), None);
                loop {
                    let page = page(&state, 1, reasons, after, limit).await.unwrap();
                    assert!(page.letters.len() <= limit);
                    found.extend(page.letters);
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(found, expected, "{limit} at a time");
            }
        }
    }
}
