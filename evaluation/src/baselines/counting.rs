use super::Baseline;
use crate::Map;
use crate::data::{Click, Id};

/// The session's own items, the last one first.
pub struct Echo;

impl Baseline for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn train(&mut self, _: &[Vec<Click>], _: usize) {}

    fn score(&self, history: &[Click], session: usize) -> Vec<(f64, Id)> {
        let mut scored: Vec<(f64, Id)> = Vec::new();
        for (place, click) in history[session..].iter().enumerate().rev() {
            if scored.iter().all(|(_, item)| *item != click.item) {
                scored.push(((place + 1) as f64, click.item));
            }
        }
        scored
    }
}

/// The items with most events.
#[derive(Default)]
pub struct Popularity {
    counts: Vec<(f64, Id)>,
}

impl Baseline for Popularity {
    fn name(&self) -> &'static str {
        "popularity"
    }

    fn train(&mut self, sessions: &[Vec<Click>], items: usize) {
        let mut counts = vec![0.0; items];
        sessions.iter().flatten().for_each(|click| counts[click.item as usize] += 1.0);
        self.counts = counts.into_iter().zip(0..).collect();
        self.counts.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        // More than 20, as some may be excluded.
        self.counts.truncate(1000);
    }

    fn score(&self, _: &[Click], _: usize) -> Vec<(f64, Id)> {
        self.counts.clone()
    }
}

type Rules = Map<Id, Map<Id, f64>>;

fn after_last(rules: &Rules, history: &[Click]) -> Vec<(f64, Id)> {
    let followers = history.last().and_then(|last| rules.get(&last.item));
    followers.into_iter().flatten().map(|(&item, &weight)| (weight, item)).collect()
}

/// AR: in how many sessions two items were together, for the last item. Source: M. Ludewig, D. Jannach, "Evaluation of
/// Session-based Recommendation Algorithms", User Modeling and User-Adapted Interaction 28, 2018.
#[derive(Default)]
pub struct AssociationRules(Rules);

impl Baseline for AssociationRules {
    fn name(&self) -> &'static str {
        "ar"
    }

    fn train(&mut self, sessions: &[Vec<Click>], _: usize) {
        for session in sessions {
            let mut items: Vec<Id> = Vec::new();
            for click in session.iter() {
                if items.contains(&click.item) {
                    continue;
                }
                for &earlier in &items {
                    *self.0.entry(earlier).or_default().entry(click.item).or_default() += 1.0;
                    *self.0.entry(click.item).or_default().entry(earlier).or_default() += 1.0;
                }
                items.push(click.item);
            }
        }
    }

    fn score(&self, history: &[Click], _: usize) -> Vec<(f64, Id)> {
        after_last(&self.0, history)
    }
}

/// SR: which items came after the last item, weighted by 1/distance up to 10 events. Source: as for [`AssociationRules`].
#[derive(Default)]
pub struct SequentialRules(Rules);

impl Baseline for SequentialRules {
    fn name(&self) -> &'static str {
        "sr"
    }

    fn train(&mut self, sessions: &[Vec<Click>], _: usize) {
        for session in sessions {
            for (place, click) in session.iter().enumerate() {
                for (steps, earlier) in session[..place].iter().rev().take(10).enumerate() {
                    if earlier.item != click.item {
                        let weight = 1.0 / (steps + 1) as f64;
                        *self.0.entry(earlier.item).or_default().entry(click.item).or_default() += weight;
                    }
                }
            }
        }
    }

    fn score(&self, history: &[Click], _: usize) -> Vec<(f64, Id)> {
        after_last(&self.0, history)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::recommended;
    use super::*;

    const TRAIN: &[&[Id]] = &[&[1, 2, 3], &[1, 2], &[4, 1], &[5, 5, 5]];

    #[test]
    fn echo_gives_the_session_back_from_its_end() {
        assert_eq!(recommended(&mut Echo, TRAIN, &[7, 8, 7]), [7, 8]);
    }

    #[test]
    fn popularity_counts_events() {
        assert_eq!(recommended(&mut Popularity::default(), TRAIN, &[9]), [1, 5, 2, 3, 4]);
    }

    #[test]
    fn association_rules_know_no_order_and_sequential_rules_do() {
        assert_eq!(recommended(&mut AssociationRules::default(), TRAIN, &[9, 1]), [2, 3, 4]);
        assert_eq!(recommended(&mut SequentialRules::default(), TRAIN, &[9, 1]), [2, 3]);
    }

    #[test]
    fn association_rules_count_sessions_and_not_events() {
        let train: &[&[Id]] = &[&[4, 1, 4, 1, 4], &[1, 2], &[2, 1]];
        assert_eq!(recommended(&mut AssociationRules::default(), train, &[1]), [2, 4]);
    }
}
