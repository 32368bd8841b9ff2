//! Figures as they change, by server-sent events.
//!
//! Whoever connects gets a snapshot with the last minutes, then an update twice a second. Who reads too slowly misses
//! updates and gets a snapshot again: nobody is waited for, and nothing piles up.

use super::Admin;
use super::figures::{Point, Sampler, StageFigures, Status};
use crate::progress::StageName;
use crate::topology::Processor;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::sse::{Event, Sse};
use axum::response::{AppendHeaders, IntoResponse};
use futures::{Stream, StreamExt};
use serde_json::json;
use service_runtime::Problem;
use service_runtime::http::ProblemBody;
use service_runtime::keys::{Authorized, Read};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;

/// How often there is an update.
pub(super) const EVERY: Duration = Duration::from_millis(500);
/// Updates that wait for a slow reader; then it misses some.
const WAITING: usize = 16;
/// What the charts show: five minutes.
const POINTS: usize = 600;

/// The last figures, and who looks on.
pub(super) struct Live {
    updates: broadcast::Sender<Arc<str>>,
    last: Mutex<Last>,
    closed: CancellationToken,
}

#[derive(Default)]
struct Last {
    status: Option<Status>,
    points: VecDeque<Point>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            updates: broadcast::Sender::new(WAITING),
            last: Mutex::default(),
            closed: CancellationToken::new(),
        }
    }
}

impl Live {
    /// Looks at `processor` again and again.
    pub(super) async fn keep(&self, processor: &Processor) {
        let mut ticker = tokio::time::interval(EVERY);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sampler = Sampler::new(&processor.context().config.instance_id);
        loop {
            ticker.tick().await;
            self.update(sampler.look(processor).await);
        }
    }

    fn update(&self, status: Status) {
        let point = Point::from(&status);
        // Under the lock, so that a snapshot and the updates after it fit together.
        let mut last = self.last.lock().expect("no holder panics");
        if self.updates.receiver_count() > 0 {
            let update = json!({ "status": &status, "point": &point }).to_string();
            // The only error is that everybody has gone meanwhile.
            drop(self.updates.send(update.into()));
        }
        if last.points.len() == POINTS {
            last.points.pop_front();
        }
        last.points.push_back(point);
        last.status = Some(status);
    }

    /// When each stage will have caught up, in ms; empty before the first look.
    pub(super) fn catch_up(&self) -> Vec<(StageName, Option<u64>)> {
        let last = self.last.lock().expect("no holder panics");
        let stages: &[StageFigures] = last.status.as_ref().map_or(&[], |status| &status.stages);
        StageName::ALL
            .into_iter()
            .filter_map(|name| {
                let figures = stages.iter().find(|figures| figures.stage == name.as_str())?;
                Some((name, figures.catch_up_ms))
            })
            .collect()
    }

    /// Ends all streams.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    /// A snapshot; `None` before the first look.
    fn snapshot(&self) -> Option<Event> {
        let last = self.last.lock().expect("no holder panics");
        let data = json!({ "status": last.status.as_ref()?, "history": &last.points });
        Some(Event::default().event("snapshot").data(data.to_string()))
    }
}

/// The figures as they change
///
/// Server-sent events: `snapshot` with the last minutes, then `update` twice a second.
#[utoipa::path(get, path = "/admin/live", tag = "operations",
    security(("bearer" = []), ("api_key" = [])), responses(
    (status = 200, body = String, content_type = "text/event-stream"),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The processor or its state store is not there yet", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn live(
    State(admin): State<Admin>,
    _: Authorized<Read>,
) -> Result<impl IntoResponse, Problem> {
    admin.processor()?;
    // Buffering on the way would turn a stream into a wait.
    let headers =
        AppendHeaders([(CACHE_CONTROL, "no-store"), ("x-accel-buffering".parse().expect("a name"), "no")]);
    Ok((headers, Sse::new(events(admin))))
}

fn events(admin: Admin) -> impl Stream<Item = Result<Event, Infallible>> {
    let (updates, closed) = (admin.0.live.updates.subscribe(), admin.0.live.closed.clone());
    let first = admin.0.live.snapshot();
    let updates = BroadcastStream::new(updates).filter_map(move |update| {
        ready(match update {
            Ok(data) => Some(Event::default().event("update").data(&*data)),
            Err(_missed_some) => admin.0.live.snapshot(),
        })
    });
    futures::stream::iter(first).chain(updates).map(Ok).take_until(closed.cancelled_owned())
}
