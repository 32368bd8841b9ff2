use super::{OURS, Settings};
use crate::Map;
use crate::baselines::best;
use crate::data::{Click, DataError, EventLog, Id, cut_into_sessions, hold_out_purchases};
use crate::metrics::{K, Tally};
use crate::model::Model;
use crate::report::Report;
use recommender::user_row::SESSION_GAP_MS;

const DAY_MS: i64 = 24 * 3_600_000;

/// Learns the whole log, then makes one list per user, without products that the user knows: does it hold the product that the
/// user bought and that was taken out of the log?
///
/// # Errors
/// When there is no purchase that could be held out.
pub fn heldout(log: EventLog, dataset: &str, settings: &Settings<'_>) -> Result<Report, DataError> {
    let (events, held_out) = match log.held_out {
        Some(held_out) => (log.events, held_out),
        None => hold_out_purchases(&log.events),
    };
    if held_out.is_empty() {
        return Err(DataError::Unfit(
            "there is nothing to hold out: no user bought a product and did something else, too".to_owned(),
        ));
    }
    let mut histories: Map<Id, Vec<Click>> = Map::default();
    events.iter().for_each(|event| histories.entry(event.user).or_default().push(*event));
    let none = Vec::new();
    let count = |name: &str, recommend: &dyn Fn(&[Click]) -> Vec<Id>| -> Vec<Tally> {
        let tally = |(done, &(user, item)): (usize, &(Id, Id))| {
            let history = histories.get(&user).unwrap_or(&none);
            let mut tally = Tally::default();
            let known = |item| history.iter().any(|click| click.item == item);
            tally.add(&if history.is_empty() { Vec::new() } else { recommend(history) }, item, known);
            if done % 100 == 0 {
                (settings.progress)(name, done, held_out.len());
            }
            tally
        };
        held_out.iter().enumerate().map(tally).collect()
    };

    let mut tallies = Vec::new();
    if settings.wants(OURS) {
        let mut model = Model::new(&log.items);
        for (done, event) in events.iter().enumerate() {
            model.learn(event);
            if done % 5_000 == 0 {
                (settings.progress)("learning", done, events.len());
            }
        }
        model.publish();
        let now_ms = events.last().map(|event| event.timestamp_ms);
        tallies.push((OURS.to_owned(), count(OURS, &|history| model.recommend(history, now_ms, K, false))));
    }
    let sessions = cut_into_sessions(&events);
    for mut baseline in settings.baselines() {
        baseline.train(&sessions, log.items.len());
        let recommend = |history: &[Click]| {
            let unknown = |item| history.iter().all(|click| click.item != item);
            best(baseline.score(history, session_start(history)), unknown)
        };
        tallies.push((baseline.name().to_owned(), count(baseline.name(), &recommend)));
    }
    Ok(Report::new("heldout", dataset, &tallies))
}

/// Where the current session of a history begins.
fn session_start(history: &[Click]) -> usize {
    let pauses =
        history.windows(2).rposition(|pair| pair[1].timestamp_ms - pair[0].timestamp_ms > SESSION_GAP_MS);
    pauses.map_or(0, |before| before + 1)
}

/// Predicts each event of the log in the order of time from its user's history, products seen included, and learns it
/// afterwards; side by side with publishing only every night. Users' first events have no history and are not predicted.
pub fn prequential(log: &EventLog, dataset: &str, settings: &Settings<'_>) -> Report {
    Report::new("prequential", dataset, &prequential_tallies(log, settings))
}

/// What [`prequential`] counts, by user.
pub fn prequential_tallies(log: &EventLog, settings: &Settings<'_>) -> Vec<(String, Vec<Tally>)> {
    let mut tallies = Vec::new();
    for (name, nightly) in [(OURS, false), ("shopsmart, nightly", true)] {
        let mut model = Model::new(&log.items);
        let mut histories: Map<Id, Vec<Click>> = Map::default();
        let mut counted: Vec<Tally> = vec![Tally::default(); log.users.len()];
        let (mut day, mut newest_ms) = (i64::MIN, i64::MIN);
        for (done, event) in log.events.iter().enumerate() {
            let today = event.timestamp_ms.div_euclid(DAY_MS);
            if !nightly || today != day {
                day = today;
                model.publish();
            }
            let history = histories.entry(event.user).or_default();
            if !history.is_empty() {
                // What serving knows of the time: that of the newest event that was taken.
                let now_ms = Some(newest_ms);
                let known = |item| history.iter().any(|click| click.item == item);
                counted[event.user as usize].add(
                    &model.recommend(history, now_ms, K, true),
                    event.item,
                    known,
                );
            }
            history.push(*event);
            newest_ms = event.timestamp_ms;
            model.learn(event);
            if done % 500 == 0 {
                (settings.progress)(name, done, log.events.len());
            }
        }
        tallies.push((name.to_owned(), counted));
    }
    tallies
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::EventKind;

    fn log(events: &[(Id, Id, EventKind)]) -> EventLog {
        let click = |(minute, &(user, item, kind)): (usize, &(Id, Id, EventKind))| Click {
            user,
            item,
            kind,
            timestamp_ms: minute as i64 * 60_000,
        };
        EventLog {
            items: (0..20).map(|item| format!("i{item}")).collect(),
            users: (0..20).map(|user| format!("u{user}")).collect(),
            events: events.iter().enumerate().map(click).collect(),
            held_out: None,
        }
    }

    fn settings() -> Settings<'static> {
        Settings { algorithms: Vec::new(), first_prefix: None, progress: &|_, _, _| () }
    }

    #[test]
    fn a_purchase_that_others_made_with_the_same_products_is_found() {
        let mut events = Vec::new();
        for user in 0..6 {
            events.extend([(user, 1, EventKind::View), (user, 2, EventKind::Purchase)]);
        }
        // What is held out leaves user 6 with product 1 only; some users keep both.
        events.extend((10..14).flat_map(|user| [(user, 1, EventKind::View), (user, 2, EventKind::View)]));
        let report = heldout(log(&events), "shop", &settings()).unwrap();
        assert_eq!((report.targets, report.algorithms[0].metrics.hr_at_20), (6, 1.0));
        let echo = report.algorithms.iter().find(|row| row.name == "echo").unwrap();
        assert_eq!(echo.metrics.hr_at_20, 0.0, "it knows nothing new");
        let error = heldout(log(&[(1, 1, EventKind::View)]), "shop", &settings()).unwrap_err().to_string();
        assert!(error.contains("nothing to hold out"), "{error}");
    }

    #[test]
    fn an_event_is_predicted_before_it_is_learnt() {
        let events: Vec<_> =
            (0..5).flat_map(|user| [(user, 1, EventKind::View), (user, 2, EventKind::View)]).collect();
        let report = prequential(&log(&events), "shop", &settings());
        assert_eq!(report.targets, 5);
        assert!((report.algorithms[0].metrics.hr_at_20 - 0.8).abs() < 1e-9, "all but the first pair");
        assert_eq!(report.algorithms[1].metrics.hr_at_20, 0.0, "the night is yet to come");
    }

    #[test]
    fn a_session_starts_after_the_last_pause() {
        let at =
            |minute: i64| Click { user: 0, item: 0, kind: EventKind::View, timestamp_ms: minute * 60_000 };
        assert_eq!(session_start(&[at(0), at(40), at(50)]), 1);
        assert_eq!(session_start(&[at(0), at(10)]), 0);
    }
}
