//! Published lists, ready to be ranked with.

use crate::settings::{PROFILE_FILL, PROFILE_VOTE_EXPONENT, VOTE_EXPONENT};
use foldhash::fast::RandomState;
use schemas::published::{Neighbour, NeighbourList};
use std::hash::BuildHasher;
use std::ops::Deref;
use std::sync::LazyLock;

/// One for the whole process: hashes of one list are looked up among those of others.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// A published list with what every answer needs of it, computed once: an answer is ranked from 20 lists, which stay as they
/// are for thousands of answers.
#[derive(Debug, Clone, PartialEq)]
pub struct VotingList {
    list: NeighbourList,
    /// One for each entry.
    votes: Vec<Vote>,
    total: f64,
}

/// What an entry says for its product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Vote {
    /// The product, by [`hash_of`].
    pub(crate) hash: u64,
    /// score^[`VOTE_EXPONENT`]. In single precision, as all of a list: it keeps no more.
    pub(crate) in_session: f32,
    /// (direct + [`PROFILE_FILL`] · (score − direct))^[`PROFILE_VOTE_EXPONENT`].
    pub(crate) in_profile: f32,
}

/// A product's hash, in this process.
pub(crate) fn hash_of(product_id: &str) -> u64 {
    HASHER.hash_one(product_id)
}

impl VotingList {
    /// Prepares a list.
    pub fn of(list: NeighbourList) -> Self {
        let in_profile = |entry: &Neighbour| entry.direct + PROFILE_FILL * (entry.score - entry.direct);
        let vote = |entry: &Neighbour| Vote {
            hash: hash_of(&entry.product_id),
            in_session: entry.score.powf(VOTE_EXPONENT as f32),
            in_profile: in_profile(entry).powf(PROFILE_VOTE_EXPONENT as f32),
        };
        let votes = list.entries.iter().map(vote).collect();
        let total = list.entries.iter().map(|entry| f64::from(entry.score)).sum::<f64>();
        Self { list, votes, total: total.max(f64::MIN_POSITIVE) }
    }

    /// Bytes that it takes beyond the list.
    pub fn extra_bytes(&self) -> usize {
        size_of::<Self>() - size_of::<NeighbourList>() + size_of_val(&*self.votes)
    }

    /// Sum of the scores; above 0.
    pub(crate) fn total(&self) -> f64 {
        self.total
    }

    /// The entries with their votes.
    pub(crate) fn votes(&self) -> impl Iterator<Item = (&Neighbour, &Vote)> {
        self.list.entries.iter().zip(&self.votes)
    }

    /// The entry of a product, whose hash is given.
    pub(crate) fn entry(&self, product_id: &str, hash: u64) -> Option<&Neighbour> {
        // Most lists do not have it: only their votes are looked at.
        let found = self.votes.iter().position(|vote| vote.hash == hash)?;
        Some(&self.list.entries[found]).filter(|entry| entry.product_id == product_id)
    }
}

impl Deref for VotingList {
    type Target = NeighbourList;

    fn deref(&self) -> &NeighbourList {
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_by_its_product() {
        let neighbour = |id: &str, score: f32| Neighbour {
            product_id: id.into(),
            score,
            direct: score,
            count: 1,
            category: "".into(),
        };
        let entries = vec![neighbour("a", 2.0), neighbour("b", 0.5)];
        let list = VotingList::of(NeighbourList { entries, ..NeighbourList::default() });
        assert_eq!(list.entry("b", hash_of("b")).map(|entry| entry.score), Some(0.5));
        assert_eq!(list.entry("c", hash_of("c")), None);
        assert_eq!(list.entry("c", hash_of("b")), None, "a hash alone says nothing");
        assert!((list.total() - 2.5).abs() < 1e-12);
        assert!(VotingList::of(NeighbourList::default()).total() > 0.0);
    }

    #[test]
    fn in_a_profile_what_was_seen_together_counts_more_than_what_a_walk_leads_to() {
        let neighbour = |id: &str, direct: f32| Neighbour {
            product_id: id.into(),
            score: 2.0,
            direct,
            count: 1,
            category: "".into(),
        };
        let entries = vec![neighbour("together", 2.0), neighbour("by the way", 0.0)];
        let list = VotingList::of(NeighbourList { entries, ..NeighbourList::default() });
        let [together, by_the_way] = &list.votes[..] else { panic!("a vote for each entry") };
        assert_eq!(together.in_session, by_the_way.in_session);
        let expected = together.in_profile * PROFILE_FILL.powf(PROFILE_VOTE_EXPONENT as f32);
        assert!((by_the_way.in_profile - expected).abs() < 1e-6, "{by_the_way:?}");
    }
}
