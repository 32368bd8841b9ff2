use super::Baseline;
use crate::data::{Click, Id};
use crate::{Map, Set};

/// Events of a user that are looked at.
const LAST_EVENTS: usize = 50;
/// Similar items of each.
const SIMILAR: usize = 20;

/// The system that ShopSmart replaces: the 20 most similar items of each of the user's last 50 events, weighted by the kind of
/// event (1, 3, 5); similar = in the histories of the same users, by how many. It never recommends what the user knows.
#[derive(Default)]
pub struct FirstSystem {
    similar: Map<Id, Vec<(f64, Id)>>,
}

impl Baseline for FirstSystem {
    fn name(&self) -> &'static str {
        "first_system"
    }

    fn train(&mut self, sessions: &[Vec<Click>], _: usize) {
        let mut users: Map<Id, Vec<Id>> = Map::default();
        for click in sessions.iter().flatten() {
            let items = users.entry(click.user).or_default();
            if !items.contains(&click.item) {
                items.push(click.item);
            }
        }
        let mut pairs: Map<Id, Map<Id, f64>> = Map::default();
        for items in users.values() {
            for &item in items {
                let others = pairs.entry(item).or_default();
                items
                    .iter()
                    .filter(|other| **other != item)
                    .for_each(|other| *others.entry(*other).or_default() += 1.0);
            }
        }
        let ranked = pairs.into_iter().map(|(item, others)| {
            let mut similar: Vec<(f64, Id)> =
                others.into_iter().map(|(other, count)| (count, other)).collect();
            similar.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            similar.truncate(SIMILAR);
            (item, similar)
        });
        self.similar = ranked.collect();
    }

    fn score(&self, history: &[Click], _: usize) -> Vec<(f64, Id)> {
        let known: Set<Id> = history.iter().map(|click| click.item).collect();
        let mut scores: Map<Id, f64> = Map::default();
        for click in &history[history.len().saturating_sub(LAST_EVENTS)..] {
            for (count, other) in self.similar.get(&click.item).into_iter().flatten() {
                if !known.contains(other) {
                    *scores.entry(*other).or_default() += f64::from(click.kind.weight()) * count;
                }
            }
        }
        scores.into_iter().map(|(item, score)| (score, item)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::recommended;
    use super::*;

    #[test]
    fn it_adds_up_what_users_of_the_same_items_had() {
        let train: &[&[Id]] = &[&[1, 2, 3], &[1, 2], &[4, 2, 3]];
        assert_eq!(recommended(&mut FirstSystem::default(), train, &[1]), [2, 3]);
        assert_eq!(recommended(&mut FirstSystem::default(), train, &[1, 2]), [3, 4]);
    }
}
