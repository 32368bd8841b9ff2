//! Puts letters into the list that a release without the list stored.
//!
//! The table of letters is read once for a generation. For a day every copy that starts reads it again: while an installation
//! is updated copy by copy, the older release goes on storing letters.

use super::{DeadLetter, Place, list};
use crate::context::Context;
use crate::partition::retrying;
use bytes::Bytes;
use schemas::codec::put_signed;
use schemas::published::{header, open};
use schemas::{DecodeError, Version};
use stores::{Row, StateStore, StoreError, Table};

/// Key of the row that says when it was first done.
const DONE_KEY: &str = "dead-letters-listed";

/// For how long it is done again, in milliseconds.
const AGAIN_WITHIN_MS: i64 = 24 * 3_600_000;

/// Rows written at a time.
const CHUNK: usize = 500;

/// Lists what the list may lack. Tries again until the state store answers; doing it twice, or by several copies at the same
/// time, is harmless.
pub(crate) async fn list_older_letters(context: &Context) {
    let (state, generation) = (&*context.parts.state, context.config.generation);
    let listed =
        retrying("list older dead letters", || once(state, generation, context.parts.clock.now_ms()));
    match listed.await {
        Ok(None) => {}
        Ok(Some(letters)) => tracing::debug!(letters, "the list of dead letters has all"),
        Err(error) => tracing::error!(%error, "the list of dead letters may lack older ones"),
    }
}

/// Does it unless it was done long ago. Gives how many letters there are.
async fn once(state: &dyn StateStore, generation: u16, now_ms: i64) -> Result<Option<usize>, StoreError> {
    let done = state.get_many(Table::Progress, generation, &[DONE_KEY.to_owned()]).await?;
    let first_done_ms = done.into_iter().flatten().next().and_then(|row| decode(&row.state).ok());
    if first_done_ms.is_some_and(|at| now_ms.saturating_sub(at) > AGAIN_WITHIN_MS) {
        return Ok(None);
    }
    let (mut letters, mut rows) = (0, Vec::with_capacity(CHUNK));
    let mut scan = state.scan(Table::DeadLetters, generation).await?;
    while let Some(row) = scan.recv().await {
        let row = row?;
        if Place::is_mark(&row.key) {
            continue;
        }
        // One that cannot be read cannot be shown either.
        let Ok(letter) = DeadLetter::decode(&row.state) else { continue };
        letters += 1;
        rows.push(list::row_of(&letter, generation));
        if rows.len() == CHUNK {
            state.put_many(Table::DeadLettersByTime, generation, std::mem::take(&mut rows)).await?;
        }
    }
    state.put_many(Table::DeadLettersByTime, generation, rows).await?;
    if first_done_ms.is_none() {
        state.put_many(Table::Progress, generation, vec![done_at(now_ms, generation)]).await?;
    }
    Ok(Some(letters))
}

fn done_at(now_ms: i64, generation: u16) -> Row {
    let version = Version::of(generation, 0);
    let mut out = header(version, 8);
    put_signed(&mut out, now_ms);
    Row { key: DONE_KEY.to_owned(), version, state: Bytes::from(out) }
}

fn decode(state: &[u8]) -> Result<i64, DecodeError> {
    let (_, mut reader) = open(state)?;
    let at = reader.signed()?;
    reader.finish()?;
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::DeadReason;
    use event_log::embedded::open_database;
    use stores::embedded::EmbeddedStateStore;

    const NOW_MS: i64 = 1_700_000_000_000;

    async fn store(state: &EmbeddedStateStore, offset: u64) {
        let letter = DeadLetter {
            partition: 1,
            offset,
            reason: "bad_key".to_owned(),
            append_time_ms: offset as i64,
            key: Vec::new(),
            value: b"v".to_vec(),
        };
        let mark = super::super::Redriven { partition: 1, offset: 99 }.to_row(letter.place(), 1);
        state.put_many(Table::DeadLetters, 1, vec![letter.to_row(1), mark]).await.unwrap();
    }

    async fn listed(state: &EmbeddedStateStore) -> Vec<u64> {
        let page = list::page(state, 1, &DeadReason::ALL, None, 10_000).await.unwrap();
        page.letters.into_iter().map(|place| place.offset).collect()
    }

    #[tokio::test]
    async fn letters_of_a_release_without_a_list_are_listed_also_while_it_goes_on_beside() {
        let folder = tempfile::tempdir().unwrap();
        let state = EmbeddedStateStore::open(open_database(folder.path()).unwrap()).unwrap();
        for offset in 0..1_201 {
            store(&state, offset).await;
        }
        assert_eq!(listed(&state).await, [0; 0]);
        assert_eq!(once(&state, 1, NOW_MS).await, Ok(Some(1_201)));
        let expected: Vec<u64> = (0..1_201).rev().collect();
        assert_eq!(listed(&state).await, expected);

        store(&state, 2_000).await;
        assert_eq!(once(&state, 1, NOW_MS + AGAIN_WITHIN_MS).await, Ok(Some(1_202)));
        assert_eq!(listed(&state).await[0], 2_000);
        assert_eq!(
            once(&state, 1, NOW_MS + AGAIN_WITHIN_MS + 1).await,
            Ok(None),
            "all copies are new by now"
        );
    }
}
