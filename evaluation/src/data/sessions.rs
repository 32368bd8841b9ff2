use super::files::{Ids, Rows};
use super::{Click, DataError, Id};
use schemas::EventKind;
use std::path::Path;

/// Where a data set has only an order, its events are taken to come at 7,200 a day, those of one session at one moment.
const PACE_MS: i64 = 12_000;
/// A start for made-up times.
const EPOCH_MS: i64 = 1_600_000_000_000;

/// Sessions of clicks, for training and for testing.
#[derive(Debug)]
pub struct SessionLog {
    /// Names of the items.
    pub items: Vec<String>,
    /// Sessions to learn from, in the order of their start.
    pub train: Vec<Vec<Click>>,
    /// Sessions to be predicted, in the order of their start.
    pub test: Vec<Vec<Click>>,
    /// The test events as they followed one another, over all sessions.
    pub test_order: Vec<TestEvent>,
}

/// A session as it stands in the file.
struct Parsed {
    train: bool,
    /// Items and, where known, times in milliseconds.
    clicks: Vec<(Id, Option<i64>)>,
}

/// A place in the test sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestEvent {
    /// Index of the session.
    pub session: usize,
    /// Index of the event within it.
    pub place: usize,
    /// When it really happened, where the data say so.
    pub real_ms: Option<i64>,
}

impl SessionLog {
    pub(super) fn read(file: &Path) -> Result<Self, DataError> {
        let mut rows = Rows::open(file, ["session_id", "pos", "item_id", "split", "timestamp_s"])?;
        let mut items = Ids::default();
        let mut sessions: Vec<Parsed> = Vec::new();
        let mut before: Option<(String, u32)> = None;
        while let Some([session, pos, item, split, time]) = rows.next()? {
            let Ok(pos) = pos.parse::<u32>() else {
                let reason = format!("pos is {pos:?}, expected a number");
                return Err(rows.bad(reason));
            };
            let train = match split {
                "train" => true,
                "test" => false,
                _ => {
                    let reason = format!("split is {split:?}, expected train or test");
                    return Err(rows.bad(reason));
                }
            };
            let time = match time {
                "" => None,
                time => match time.parse::<f64>() {
                    Ok(seconds) => Some((seconds * 1000.0) as i64),
                    Err(_) => {
                        let reason =
                            format!("timestamp_s is {time:?}, expected seconds since 1970 or nothing");
                        return Err(rows.bad(reason));
                    }
                },
            };
            let continues = before.as_ref().is_some_and(|(id, _)| id == session);
            if continues && before.as_ref().is_some_and(|(_, last)| *last >= pos) {
                return Err(rows.bad("pos does not ascend within the session"));
            }
            if !continues {
                sessions.push(Parsed { train, clicks: Vec::new() });
            }
            let (session, item) = (session.to_owned(), items.number(item));
            before = Some((session, pos));
            sessions.last_mut().expect("one was pushed").clicks.push((item, time));
        }
        Self::new(items.into_names(), sessions).ok_or_else(|| {
            DataError::Unfit(format!(
                "{}: there are no sessions for training or none for testing",
                file.display()
            ))
        })
    }

    /// Gives every event a time: its own where all events have one, else one made up from the order. Times of the test events
    /// alone would not fit to those made up for training; they serve for the order then.
    fn new(items: Vec<String>, sessions: Vec<Parsed>) -> Option<Self> {
        let clicks_of = |part: bool| {
            sessions.iter().filter(move |session| session.train == part).flat_map(|session| &session.clicks)
        };
        let has_times = |part: bool| clicks_of(part).all(|(_, time)| time.is_some());
        let test_has_times = has_times(false);
        let all_have_times = test_has_times && has_times(true);
        let before_test = clicks_of(true).count() as i64;
        let mut log = Self { items, train: Vec::new(), test: Vec::new(), test_order: Vec::new() };
        let mut number = 0;
        for (user, Parsed { train, clicks }) in sessions.into_iter().enumerate() {
            let part = if train { &mut log.train } else { &mut log.test };
            let started = number;
            let mut session = Vec::with_capacity(clicks.len());
            for (place, (item, time)) in clicks.into_iter().enumerate() {
                let timestamp_ms = time.filter(|_| all_have_times).unwrap_or(EPOCH_MS + started * PACE_MS);
                number += i64::from(train);
                session.push(Click { user: user as Id, item, kind: EventKind::View, timestamp_ms });
                if !train {
                    let real_ms = time.filter(|_| test_has_times);
                    log.test_order.push(TestEvent { session: part.len(), place, real_ms });
                }
            }
            part.push(session);
        }
        log.test_order.sort_by_key(|event| event.real_ms);
        if !all_have_times {
            for (event, number) in
                log.test_order.iter().zip(before_test..).filter(|(event, _)| event.place == 0)
            {
                let session = &mut log.test[event.session];
                session.iter_mut().for_each(|click| click.timestamp_ms = EPOCH_MS + number * PACE_MS);
            }
        }
        (!log.train.is_empty() && !log.test.is_empty()).then_some(log)
    }

    /// An event log's sessions: those that begin in its last tenth of time are for testing. Sessions of one event teach, but
    /// there is nothing in them to be predicted.
    pub fn of_events(log: super::EventLog) -> Option<Self> {
        let (first, last) = (log.events.first()?.timestamp_ms, log.events.last()?.timestamp_ms);
        let begin_of_test = last - (last - first) / 10;
        let sessions = super::cut_into_sessions(&log.events);
        let (train, test): (Vec<_>, Vec<_>) =
            sessions.into_iter().partition(|session| session[0].timestamp_ms < begin_of_test);
        let test: Vec<Vec<Click>> = test.into_iter().filter(|session| session.len() > 1).collect();
        let mut test_order: Vec<TestEvent> = Vec::new();
        for (session, clicks) in test.iter().enumerate() {
            let event = |(place, click): (usize, &Click)| TestEvent {
                session,
                place,
                real_ms: Some(click.timestamp_ms),
            };
            test_order.extend(clicks.iter().enumerate().map(event));
        }
        test_order.sort_by_key(|event| event.real_ms);
        let any = !train.is_empty() && !test.is_empty();
        any.then_some(Self { items: log.items, train, test, test_order })
    }

    /// The length of the shortest prefix that is worth predicting from: one less than the length that all but 1 % of the test
    /// sessions have. Data sets keep sessions from a minimum length on, and the few shorter ones lost a click to a filter.
    pub fn usual_first_prefix(&self) -> usize {
        let mut lengths: Vec<usize> = self.test.iter().map(Vec::len).collect();
        lengths.sort_unstable();
        lengths[lengths.len() / 100].saturating_sub(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    fn read(content: &str) -> Result<Dataset, DataError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("sessions.csv"), content).unwrap();
        Dataset::open(folder.path())
    }

    #[test]
    fn sessions_are_read_with_made_up_times_in_their_order() {
        let content = "session_id,pos,item_id,split,timestamp_s\n7,0,a,train,\n7,1,b,train,\n9,0,b,test,5\n9,4,a,test,6\n";
        let Dataset::Sessions(log) = read(content).unwrap() else { panic!("sessions") };
        assert_eq!((log.train.len(), log.test.len(), log.items.len()), (1, 1, 2));
        assert_eq!(log.test[0].iter().map(|click| click.item).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(log.test[0][0].timestamp_ms - log.train[0][1].timestamp_ms, 2 * PACE_MS);
        let last = TestEvent { session: 0, place: 1, real_ms: Some(6_000) };
        assert_eq!((log.test_order.len(), log.test_order[1]), (2, last));
        assert_eq!(log.usual_first_prefix(), 1);
    }

    #[test]
    fn test_events_follow_one_another_by_their_times() {
        let content = "session_id,pos,item_id,split,timestamp_s\n1,0,a,train,\n2,0,a,test,10\n2,1,b,test,30\n3,0,c,test,20\n";
        let Dataset::Sessions(log) = read(content).unwrap() else { panic!("sessions") };
        let order: Vec<_> = log.test_order.iter().map(|event| (event.session, event.place)).collect();
        assert_eq!(order, [(0, 0), (1, 0), (0, 1)]);
        assert_eq!(log.test[1][0].timestamp_ms - log.test[0][1].timestamp_ms, PACE_MS);
    }

    #[test]
    fn other_files_are_refused_with_the_place() {
        let error = |content: &str| read(content).unwrap_err().to_string();
        assert!(error("session_id,pos,item,split,timestamp_s\n").contains("no column \"item_id\""));
        let head = "session_id,pos,item_id,split,timestamp_s\n";
        assert!(error(&format!("{head}1,0,a,train,\n1,0,b,train,\n")).contains("row 2: pos does not ascend"));
        assert!(error(&format!("{head}1,0,a,valid,\n")).contains("expected train or test"));
        assert!(error(&format!("{head}1,x,a,train,\n")).contains("expected a number"));
        assert!(error(&format!("{head}1,0,a,train,noon\n")).contains("expected seconds"));
        assert!(error(&format!("{head}1,0,a,train,\n")).contains("none for testing"));
        assert!(Dataset::open(std::path::Path::new("/nowhere")).unwrap_err().to_string().contains("neither"));
    }
}
