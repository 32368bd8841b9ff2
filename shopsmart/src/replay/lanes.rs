use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::ledger::Outcome;
use super::report::Rejection;
use super::source::Row;
use crate::client::{Backoff, BatchAnswer, BatchResult, CallError, Client, Verdict};

/// Rows in one request. Half of what the server takes, and far below its limit of bytes.
const BATCH: usize = 500;

/// What a lane has to tell.
#[derive(Debug)]
pub(super) enum News {
    /// These rows are done.
    Settled(Vec<(u64, Outcome)>),
    /// A request has to be sent again, for this reason.
    Trouble(String),
    /// No row of this lane will be sent any more.
    Failed(String),
}

/// Sends the rows it is given, one request at a time: while one is in flight, or has to be sent again, no later row of
/// the same users overtakes it.
pub(super) struct Lane {
    pub client: Client,
    pub rows: mpsc::Receiver<Row>,
    pub news: mpsc::Sender<News>,
    pub backoff: Backoff,
    /// No request is begun after this.
    pub halt: CancellationToken,
}

impl Lane {
    /// Runs until no more rows come, a request is refused, or `halt`.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.rows.recv_many(&mut batch, BATCH).await > 0 {
            if let Err(reason) = self.send(&mut batch).await {
                self.tell(News::Failed(reason)).await;
                return;
            }
            if self.halt.is_cancelled() {
                return;
            }
        }
    }

    /// Sends the batch until nothing of it has to be sent again.
    async fn send(&mut self, batch: &mut Vec<Row>) -> Result<(), String> {
        while !batch.is_empty() && !self.halt.is_cancelled() {
            let attempt = self.client.import("/events/batch", &Batch::of(batch)).await;
            let (reason, retry_after) = match attempt {
                Ok(answer) => {
                    let settled = settle(batch, answer)?;
                    if !settled.is_empty() {
                        self.backoff.reset();
                        self.tell(News::Settled(settled)).await;
                    }
                    if batch.is_empty() {
                        return Ok(());
                    }
                    (format!("the server asks to send {} events again", batch.len()), None)
                }
                Err(CallError::Unavailable { reason, retry_after }) => (reason, retry_after),
                Err(refused) => return Err(refused.to_string()),
            };
            self.tell(News::Trouble(reason)).await;
            let wait = tokio::time::sleep(self.backoff.wait(retry_after));
            self.halt.run_until_cancelled(wait).await;
        }
        Ok(())
    }

    /// Nobody listening means that the replay is over.
    async fn tell(&self, news: News) {
        let _ = self.news.send(news).await;
    }
}

/// The rows with a final result; those to send again stay in `batch`, in order.
fn settle(batch: &mut Vec<Row>, answer: BatchAnswer) -> Result<Vec<(u64, Outcome)>, String> {
    let mut results: Vec<Option<BatchResult>> = batch.iter().map(|_| None).collect();
    for result in answer.results {
        let index = result.index;
        let place = results.get_mut(index);
        *place.ok_or_else(|| format!("the server answers for event {index} of {}", batch.len()))? =
            Some(result);
    }
    if let Some(index) = results.iter().position(Option::is_none) {
        return Err(format!("the server does not answer for event {index} of {}", batch.len()));
    }
    let mut settled = Vec::with_capacity(batch.len());
    let mut again = Vec::new();
    for (row, result) in batch.drain(..).zip(results.into_iter().flatten()) {
        let outcome = match result.result {
            Verdict::Ok => Outcome::Accepted,
            Verdict::Adjusted => Outcome::Adjusted,
            Verdict::Rejected => Outcome::Rejected(Box::new(Rejection {
                row: row.number,
                code: result.code.unwrap_or_default(),
                detail: result.detail.unwrap_or_default(),
                fields: row.fields.to_vec(),
            })),
            Verdict::Retry => {
                again.push(row);
                continue;
            }
        };
        settled.push((row.number, outcome));
    }
    *batch = again;
    Ok(settled)
}

/// The body of a request.
#[derive(Serialize)]
struct Batch<'a> {
    events: Vec<Event<'a>>,
}

#[derive(Serialize)]
struct Event<'a> {
    event_id: String,
    event_type: &'a str,
    user_id: &'a str,
    product_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    category_id: &'a str,
    timestamp: i64,
}

impl<'a> Batch<'a> {
    fn of(rows: &'a [Row]) -> Self {
        let events = rows.iter().map(|row| {
            let [_, user_id, product_id, event_type, category_id] = &row.fields;
            let event_id = row.event_id();
            Event { event_id, event_type, user_id, product_id, category_id, timestamp: row.timestamp_ms }
        });
        Self { events: events.collect() }
    }
}
