use super::files::{self, Ids, Rows};
use super::{Click, DataError, Id};
use crate::Map;
use recommender::user_row::SESSION_GAP_MS;
use schemas::EventKind;
use std::path::Path;

/// A log of events by time.
#[derive(Debug)]
pub struct EventLog {
    /// Names of the items.
    pub items: Vec<String>,
    /// Names of the users.
    pub users: Vec<String>,
    /// The events, ascending by time.
    pub events: Vec<Click>,
    /// Products bought that are not in the log for their buyer: (user, item), where `heldout_purchase.csv` is beside the log.
    pub held_out: Option<Vec<(Id, Id)>>,
}

impl EventLog {
    pub(super) fn read(file: &Path) -> Result<Self, DataError> {
        let mut rows = Rows::open(file, ["timestamp_ms", "user_id", "item_id", "event_type"])?;
        let (mut items, mut users, mut events) = (Ids::default(), Ids::default(), Vec::new());
        while let Some([time, user, item, kind]) = rows.next()? {
            let Ok(timestamp_ms) = time.parse() else {
                let reason = format!("timestamp_ms is {time:?}, expected epoch milliseconds");
                return Err(rows.bad(reason));
            };
            let Some(kind) = EventKind::from_name(kind) else {
                let reason = format!("event_type is {kind:?}, expected view, add_to_cart or purchase");
                return Err(rows.bad(reason));
            };
            let (user, item) = (users.number(user), items.number(item));
            events.push(Click { user, item, kind, timestamp_ms });
        }
        if events.is_empty() {
            return Err(DataError::Unfit(format!("{}: there are no events", file.display())));
        }
        events.sort_by_key(|event| event.timestamp_ms);
        let held_out = match files::find(file.parent().unwrap_or(Path::new(".")), "heldout_purchase.csv") {
            Some(file) => Some(read_held_out(&file, &users, &items)?),
            None => None,
        };
        Ok(Self { items: items.into_names(), users: users.into_names(), events, held_out })
    }
}

fn read_held_out(file: &Path, users: &Ids, items: &Ids) -> Result<Vec<(Id, Id)>, DataError> {
    let mut rows = Rows::open(file, ["user_id", "item_id"])?;
    let mut held_out = Vec::new();
    while let Some([user, item]) = rows.next()? {
        // What the log knows nothing of nobody can recommend: it counts as a miss.
        held_out.push((users.find(user).unwrap_or(Id::MAX), items.find(item).unwrap_or(Id::MAX)));
    }
    Ok(held_out)
}

/// Takes one product that each user bought out of the log, with all events of the user on it: the last bought of those that
/// leave the user some other event. Gives the rest of the log, and (user, item).
pub fn hold_out_purchases(events: &[Click]) -> (Vec<Click>, Vec<(Id, Id)>) {
    let mut chosen: Map<Id, Id> = Map::default();
    let mut touched: Map<Id, crate::Set<Id>> = Map::default();
    for event in events {
        touched.entry(event.user).or_default().insert(event.item);
        if event.kind == EventKind::Purchase {
            chosen.insert(event.user, event.item);
        }
    }
    chosen.retain(|user, _| touched[user].len() > 1);
    let rest = events.iter().filter(|event| chosen.get(&event.user) != Some(&event.item)).copied().collect();
    let mut held_out: Vec<(Id, Id)> = chosen.into_iter().collect();
    held_out.sort_unstable();
    (rest, held_out)
}

/// The users' sessions (a pause of more than 30 minutes ends one), in the order of their start.
pub fn cut_into_sessions(events: &[Click]) -> Vec<Vec<Click>> {
    let mut sessions: Vec<Vec<Click>> = Vec::new();
    let mut open: Map<Id, usize> = Map::default();
    for event in events {
        let current = open.get(&event.user).copied().filter(|&at| {
            let last = sessions[at].last().expect("a session has an event");
            event.timestamp_ms.saturating_sub(last.timestamp_ms) <= SESSION_GAP_MS
        });
        match current {
            Some(at) => sessions[at].push(*event),
            None => {
                open.insert(event.user, sessions.len());
                sessions.push(vec![*event]);
            }
        }
    }
    sessions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    fn click(user: Id, item: Id, kind: EventKind, minute: i64) -> Click {
        Click { user, item, kind, timestamp_ms: minute * 60_000 }
    }

    #[test]
    fn events_are_read_in_the_order_of_time() {
        let folder = tempfile::tempdir().unwrap();
        let content =
            "timestamp_ms,user_id,item_id,event_type,category_id\n20,u,b,purchase,\n10,u,a,view,7\n";
        std::fs::write(folder.path().join("events.csv"), content).unwrap();
        std::fs::write(folder.path().join("heldout_purchase.csv"), "user_id,item_id\nu,a\nv,a\n").unwrap();
        let Dataset::Events(log) = Dataset::open(folder.path()).unwrap() else { panic!("events") };
        assert_eq!(log.events.iter().map(|event| event.timestamp_ms).collect::<Vec<_>>(), [10, 20]);
        assert_eq!(log.held_out, Some(vec![(0, 1), (Id::MAX, 1)]));
        std::fs::write(folder.path().join("events.csv"), content.replace("view", "stare")).unwrap();
        let error = Dataset::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("row 2: event_type is \"stare\", expected view"), "{error}");
    }

    #[test]
    fn a_held_out_product_leaves_no_trace_of_its_buyer() {
        let events = [
            click(1, 10, EventKind::View, 0),
            click(1, 11, EventKind::View, 1),
            click(1, 11, EventKind::Purchase, 2),
            click(2, 11, EventKind::View, 3),
            click(3, 12, EventKind::Purchase, 4),
        ];
        let (rest, held_out) = hold_out_purchases(&events);
        assert_eq!(held_out, [(1, 11)], "the third user would have nothing left");
        assert_eq!(rest, [events[0], events[3], events[4]]);
    }

    #[test]
    fn a_pause_ends_a_session() {
        let events = [0, 10, 41]
            .map(|minute| click(1, minute as Id, EventKind::View, minute))
            .into_iter()
            .collect::<Vec<_>>();
        assert_eq!(cut_into_sessions(&events).iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    }
}
