use super::{OURS, Settings};
use crate::baselines::best;
use crate::data::{Click, Id, SessionLog};
use crate::metrics::{K, Tally};
use crate::model::Model;
use crate::report::Report;

/// Learns from the training sessions, then predicts each next item of the test sessions from what came before it, with nothing
/// learnt in between.
pub fn next_in_session(log: &SessionLog, dataset: &str, settings: &Settings<'_>) -> Report {
    let first = settings.first_prefix.unwrap_or_else(|| log.usual_first_prefix());
    let mut tallies: Vec<(String, Vec<Tally>)> = Vec::new();
    if settings.wants(OURS) {
        let model = trained(log, settings);
        let counted = predict(log, first, OURS, settings, |session| model.recommend(session, None, K, true));
        tallies.push((OURS.to_owned(), counted));
    }
    for mut baseline in settings.baselines() {
        baseline.train(&log.train, log.items.len());
        let name = baseline.name();
        let counted =
            predict(log, first, name, settings, |session| best(baseline.score(session, 0), |_| true));
        tallies.push((name.to_owned(), counted));
    }
    Report::new("static", dataset, &tallies)
}

fn trained(log: &SessionLog, settings: &Settings<'_>) -> Model {
    let mut model = Model::new(&log.items);
    for (done, session) in log.train.iter().enumerate() {
        session.iter().for_each(|click| model.learn(click));
        // A session's user does not come back where users are unknown; where they do, sessions are cut by pauses anyway.
        model.close(session[0].user);
        if done % 1000 == 0 {
            (settings.progress)("learning", done, log.train.len());
        }
    }
    model.publish();
    model
}

fn predict(
    log: &SessionLog,
    first: usize,
    name: &str,
    settings: &Settings<'_>,
    recommend: impl Fn(&[Click]) -> Vec<Id>,
) -> Vec<Tally> {
    let session_tally = |(done, session): (usize, &Vec<Click>)| {
        let mut tally = Tally::default();
        for place in first..session.len() {
            let (prefix, target) = (&session[..place], session[place].item);
            tally.add(&recommend(prefix), target, |item| prefix.iter().any(|click| click.item == item));
        }
        if done % 100 == 0 {
            (settings.progress)(name, done, log.test.len());
        }
        tally
    };
    log.test.iter().enumerate().map(session_tally).collect()
}

/// When what was learnt is published.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refresh {
    PerEvent,
    Hourly,
    Nightly,
    Never,
}

impl Refresh {
    const ALL: [(Self, &'static str); 4] = [
        (Self::PerEvent, OURS),
        (Self::Hourly, "shopsmart, hourly"),
        (Self::Nightly, "shopsmart, nightly"),
        (Self::Never, "shopsmart, never"),
    ];

    /// The number of the interval that an event is in: a new one begins with publishing. By time where there is time, else the
    /// test events are taken for a week.
    fn interval(self, real_ms: Option<i64>, number: usize, of: usize) -> i64 {
        const HOUR_MS: i64 = 3_600_000;
        match (self, real_ms) {
            (Self::PerEvent, _) => number as i64,
            (Self::Never, _) => 0,
            (Self::Hourly, Some(ms)) => ms.div_euclid(HOUR_MS),
            (Self::Nightly, Some(ms)) => ms.div_euclid(24 * HOUR_MS),
            (Self::Hourly, None) => (number * 168 / of) as i64,
            (Self::Nightly, None) => (number * 7 / of) as i64,
        }
    }
}

/// Predicts the test events in their order, learning each after predicting it; side by side with publishing only every hour,
/// every night, and never.
pub fn live(log: &SessionLog, dataset: &str, settings: &Settings<'_>) -> Report {
    let first = settings.first_prefix.unwrap_or_else(|| log.usual_first_prefix());
    let mut tallies = Vec::new();
    for (refresh, name) in Refresh::ALL {
        let mut model = trained(log, settings);
        let mut counted = vec![Tally::default(); log.test.len()];
        let mut interval = i64::MIN;
        for (number, event) in log.test_order.iter().enumerate() {
            let now = refresh.interval(event.real_ms, number, log.test_order.len());
            if now != interval {
                interval = now;
                if refresh != Refresh::Never {
                    model.publish();
                }
            }
            let session = &log.test[event.session];
            if event.place >= first {
                let prefix = &session[..event.place];
                let list = model.recommend(prefix, None, K, true);
                let known = |item| prefix.iter().any(|click| click.item == item);
                counted[event.session].add(&list, session[event.place].item, known);
            }
            if refresh != Refresh::Never {
                model.learn(&session[event.place]);
            }
            if number % 500 == 0 {
                (settings.progress)(name, number, log.test_order.len());
            }
        }
        tallies.push((name.to_owned(), counted));
    }
    Report::new("live", dataset, &tallies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    /// In training, item 2 follows 1; in testing, the new item 9 does.
    fn log() -> SessionLog {
        let mut content = String::from("session_id,pos,item_id,split,timestamp_s\n");
        for session in 0..40 {
            let (split, next) = if session < 20 { ("train", "2") } else { ("test", "9") };
            content +=
                &format!("{session},0,1,{split},\n{session},1,{next},{split},\n{session},2,3,{split},\n");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("sessions.csv"), content).unwrap();
        match Dataset::open(folder.path()).unwrap() {
            Dataset::Sessions(log) => log,
            Dataset::Events(_) => unreachable!("it is a session file"),
        }
    }

    fn settings(algorithms: &[&str]) -> Settings<'static> {
        let algorithms = algorithms.iter().map(|name| (*name).to_owned()).collect();
        Settings { algorithms, first_prefix: Some(1), progress: &|_, _, _| () }
    }

    #[test]
    fn without_learning_a_new_item_is_never_predicted() {
        let report = next_in_session(&log(), "shop", &settings(&[]));
        assert_eq!((report.targets, report.algorithms.len()), (40, 8));
        let ours = &report.algorithms[0];
        assert_eq!((ours.name.as_str(), ours.metrics.hr_at_20), (OURS, 0.5), "item 3 is, item 9 is not");
        let only_ar = next_in_session(&log(), "shop", &settings(&["ar"]));
        assert_eq!(only_ar.algorithms.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["ar"]);
    }

    #[test]
    fn learning_each_event_is_ahead_of_learning_by_night() {
        let report = live(&log(), "shop", &settings(&[]));
        let hits: Vec<f64> = report.algorithms.iter().map(|row| row.metrics.hr_at_20 * 40.0).collect();
        assert_eq!(hits[3], 20.0, "never: all threes");
        assert_eq!(hits[0], 39.0, "per event: all but the first 9");
        assert!(hits[2] > hits[3] && hits[2] < hits[0], "{hits:?}");
    }
}
