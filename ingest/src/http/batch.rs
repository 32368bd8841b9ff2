//! Several records of one request: handed over in order, answered one by one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use service_runtime::Problem;
use service_runtime::http::Connection;
use tokio::time::Instant;

use super::answers::{self, LOG_UNAVAILABLE, OVERLOADED, Outcome};
use super::app::App;
use super::call::rate_limited;
use crate::admission::Rejection;
use crate::limits::{Exceeded, Limit};
use crate::publisher::{Company, Handed, Unpublished};

/// A batch on its way.
///
/// Order per key: records are handed over in the batch's order. Once the log takes no more, nothing later is handed over,
/// and once a user is over the limit, none of that user's later events is: sending the named ones again keeps their
/// order. What was handed over already when an earlier record of the same key fails is answered as the log answers: it
/// may stand before the one that is sent again, and calling it `retry` as well would not move it.
pub(super) struct Batch<'a> {
    app: &'a App,
    begun: Instant,
    entries: Vec<Entry>,
    /// Why nothing more is handed over.
    closed: Option<Unpublished>,
    /// Users over the limit. Allocates only when there are any.
    held_back: HashSet<Bytes>,
    exceeded: Option<Exceeded>,
}

/// A record that may go into the log.
pub(super) struct Offer<'a> {
    pub(super) topic: &'a Arc<str>,
    pub(super) key: Bytes,
    pub(super) value: Bytes,
    /// The item's id.
    pub(super) id: String,
    /// Whether its time was moved.
    pub(super) clamped: bool,
}

struct Entry {
    id: Option<String>,
    state: State,
}

enum State {
    Handed { handed: Handed, clamped: bool },
    Settled(Settled),
}

/// What became of an item.
pub(super) struct Settled {
    pub(super) outcome: Outcome,
    pub(super) code: Option<&'static str>,
    pub(super) detail: Option<Cow<'static, str>>,
}

/// A batch that has come to its end.
pub(super) struct Finished {
    /// How many the log holds.
    pub(super) accepted: usize,
    /// One per item, in order: its id and what became of it.
    pub(super) items: Vec<(Option<String>, Settled)>,
    exceeded: Option<Exceeded>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(app: &'a App, items: usize) -> Self {
        Self {
            app,
            begun: Instant::now(),
            entries: Vec::with_capacity(items),
            closed: None,
            held_back: HashSet::new(),
            exceeded: None,
        }
    }

    /// The next item breaks a rule.
    pub(super) fn reject(&mut self, rejection: Rejection) {
        let id = rejection.id.clone();
        self.entries.push(Entry { id, state: State::Settled(rejected(self.app, rejection)) });
    }

    /// The next item goes to the log, unless its key is over `limit` or the log takes no more.
    pub(super) fn offer(&mut self, offer: Offer<'_>, limit: Option<&Limit>) {
        let Offer { topic, key, value, id, clamped } = offer;
        let state = if let Some(reason) = &self.closed {
            State::Settled(retry(reason))
        } else if limit.is_some_and(|limit| self.over(limit, &key)) {
            State::Settled(user_limited())
        } else {
            match self.app.publisher.hand_over(topic, key, value, Company::Batch) {
                Ok(handed) => State::Handed { handed, clamped },
                Err(Unpublished::TooLarge) => State::Settled(rejected(self.app, Unpublished::too_large())),
                Err(reason) => {
                    let settled = retry(&reason);
                    self.closed = Some(reason);
                    State::Settled(settled)
                }
            }
        };
        self.entries.push(Entry { id: Some(id), state });
    }

    fn over(&mut self, limit: &Limit, key: &Bytes) -> bool {
        if self.held_back.contains(key) {
            return true;
        }
        let Err(exceeded) = limit.take(key, 1) else { return false };
        self.exceeded = Some(exceeded);
        self.held_back.insert(key.clone())
    }

    /// Waits until the log has acknowledged everything, or not. Call it without holding the body.
    pub(super) async fn finish(self, connection: &Connection) -> Finished {
        let Self { app, begun, entries, exceeded, .. } = self;
        let deadline = app.publisher.deadline(Instant::now());
        let mut finished = Finished { accepted: 0, items: Vec::with_capacity(entries.len()), exceeded };
        for Entry { id, state } in entries {
            let settled = match state {
                State::Settled(settled) => settled,
                State::Handed { handed, clamped } => {
                    match app.publisher.acknowledged(handed, deadline, connection).await {
                        Ok(_) => acknowledged(clamped),
                        Err(Unpublished::TooLarge) => rejected(app, Unpublished::too_large()),
                        Err(reason) => retry(&reason),
                    }
                }
            };
            match settled.outcome {
                Outcome::Ok => app.metrics.accepted.increment(1),
                Outcome::Adjusted => app.metrics.adjusted.increment(1),
                Outcome::Retry => app.metrics.retry.increment(1),
                Outcome::Rejected => {}
            }
            finished.accepted += usize::from(matches!(settled.outcome, Outcome::Ok | Outcome::Adjusted));
            finished.items.push((id, settled));
        }
        app.metrics.appended(begun.elapsed());
        finished
    }
}

impl Finished {
    /// What to answer instead of the results when nothing was accepted and something should be sent again. `ids` is the
    /// name of the member that lists what to send again.
    pub(super) fn problem(&self, ids: &str) -> Option<Problem> {
        let again = || self.items.iter().filter(|(_, settled)| settled.outcome == Outcome::Retry);
        if self.accepted > 0 || again().next().is_none() {
            return None;
        }
        let by_log = again().map(|(_, settled)| settled.code).find(|&code| code != Some(USER_RATE_LIMITED));
        let problem = match (by_log, self.exceeded) {
            (None, Some(exceeded)) => rate_limited(USER_RATE_LIMITED, exceeded),
            (Some(Some(OVERLOADED)), _) => answers::overloaded(),
            _ => answers::unpublished(&Unpublished::NotAcknowledged),
        };
        let named: Vec<_> = again().filter_map(|(id, _)| id.clone()).collect();
        Some(problem.member(ids, named))
    }
}

pub(super) const USER_RATE_LIMITED: &str = "user_rate_limited";

fn acknowledged(clamped: bool) -> Settled {
    match clamped {
        false => Settled { outcome: Outcome::Ok, code: None, detail: None },
        true => Settled {
            outcome: Outcome::Adjusted,
            code: Some(answers::CLAMPED),
            detail: Some(answers::CLAMPED_DETAIL.into()),
        },
    }
}

fn retry(reason: &Unpublished) -> Settled {
    let (code, detail) = match reason {
        Unpublished::Overloaded => (OVERLOADED, "too much is on its way to the log; send it again"),
        _ => (LOG_UNAVAILABLE, "the log did not acknowledge it in time; send it again"),
    };
    Settled { outcome: Outcome::Retry, code: Some(code), detail: Some(detail.into()) }
}

fn rejected(app: &App, rejection: Rejection) -> Settled {
    app.metrics.rejected(rejection.code);
    Settled { outcome: Outcome::Rejected, code: Some(rejection.code.name()), detail: Some(rejection.detail) }
}

fn user_limited() -> Settled {
    let detail = "too many events of this user; send it again later";
    Settled { outcome: Outcome::Retry, code: Some(USER_RATE_LIMITED), detail: Some(detail.into()) }
}
