//! Appending updates: records are on their way for a while, arrive in order, and their acknowledgements come later still.

use crate::broken::Broken;
use crate::coverage::Fault;
use crate::process::{Process, Step};
use crate::world::World;
use async_trait::async_trait;
use event_log::{Append, AppendError, NewRecord, Producer};
use schemas::Position;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

type Reply = oneshot::Sender<Result<Position, AppendError>>;

/// A gapless producer of one copy.
pub(super) struct SimulatedProducer {
    line: Arc<Line>,
}

/// What is on its way.
struct Line {
    process: Arc<Process>,
    state: Mutex<LineState>,
    wake: Notify,
}

#[derive(Default)]
struct LineState {
    waiting: VecDeque<(NewRecord, Option<Reply>)>,
    acknowledged: VecDeque<(Position, Reply)>,
    failed: bool,
    closed: bool,
}

impl SimulatedProducer {
    pub(super) fn begin(process: Arc<Process>) -> Arc<Self> {
        let line = Arc::new(Line { process, state: Mutex::default(), wake: Notify::new() });
        tokio::spawn(Arc::clone(&line).run());
        Arc::new(Self { line })
    }
}

#[async_trait]
impl Producer for SimulatedProducer {
    fn append(&self, record: NewRecord) -> Result<Append, AppendError> {
        let process = &self.line.process;
        let (reply, append) = Append::pending();
        if process.is_dead() || process.dies_at(Step::Append) {
            // Whatever the dead copy makes of it, nothing that it does has an effect any more.
            return Ok(append);
        }
        let mut line = self.line.state();
        if line.failed {
            return Err(AppendError::Fatal("an earlier append failed".to_owned()));
        }
        let mut state = process.world.state();
        if state.plan.queue_full > 0 {
            state.plan.queue_full -= 1;
            state.coverage.fault(Fault::QueueFull);
            return Err(AppendError::QueueFull);
        }
        let reply = if process.world.broken == Broken::DurableAcknowledgement {
            drop(reply.send(Ok(Position { partition: record.partition.unwrap_or(0), offset: 0 })));
            None
        } else {
            Some(reply)
        };
        line.waiting.push_back((record, reply));
        self.line.wake.notify_one();
        Ok(append)
    }

    async fn drain(&self, _: u64) -> usize {
        self.line.state().waiting.len()
    }
}

impl Drop for SimulatedProducer {
    fn drop(&mut self) {
        self.line.state().closed = true;
        self.line.wake.notify_one();
    }
}

impl LineState {
    /// Takes a record that may go next: records of one partition stay in order.
    fn next(&mut self, world: &World) -> Option<(NewRecord, Option<Reply>)> {
        let mut first: Vec<usize> = Vec::new();
        for (at, (record, _)) in self.waiting.iter().enumerate() {
            if !first.iter().any(|&earlier| self.waiting[earlier].0.partition == record.partition) {
                first.push(at);
            }
        }
        let at = world.draw(|random| random.choice(first))?;
        self.waiting.remove(at)
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, LineState> {
        self.state.lock().expect("no holder panics")
    }

    /// Moves records and acknowledgements on, one at a time, until the producer is closed or its copy is dead.
    async fn run(self: Arc<Self>) {
        let world = Arc::clone(&self.process.world);
        loop {
            if self.process.is_dead() {
                return self.land_late().await;
            }
            let (waiting, acknowledged, closed) = {
                let line = self.state();
                (!line.waiting.is_empty(), !line.acknowledged.is_empty(), line.closed)
            };
            if !waiting && !acknowledged {
                if closed {
                    return;
                }
                self.wake.notified().await;
                continue;
            }
            let slow = world.state().plan.log_slow;
            let pause = world.draw(|random| match random.u32(0..10) {
                _ if slow => random.u64(1..120),
                0..6 => 0,
                _ => random.u64(1..6),
            });
            match pause {
                0 => tokio::task::yield_now().await,
                ms => tokio::time::sleep(Duration::from_millis(ms)).await,
            }
            if self.process.is_frozen() {
                self.process.alive().await;
            }
            if waiting && (!acknowledged || world.draw(|random| random.bool())) {
                self.send().await;
            } else {
                self.acknowledge();
            }
        }
    }

    async fn send(&self) {
        let world = &self.process.world;
        let Some((record, reply)) = self.state().next(world) else { return };
        let (fails, loses) = {
            let mut state = world.state();
            let fails = state.plan.deliveries_fail > 0;
            let loses = !fails && state.plan.acknowledgements_lost > 0;
            if fails {
                state.plan.deliveries_fail -= 1;
                state.coverage.fault(Fault::DeliveryFailed);
            }
            if loses {
                state.plan.acknowledgements_lost -= 1;
                state.coverage.fault(Fault::AcknowledgementLost);
            }
            (fails, loses)
        };
        if !fails {
            let position = world.update(self.process.number, record).await;
            if !loses {
                if let Some(reply) = reply {
                    self.state().acknowledged.push_back((position, reply));
                }
                return;
            }
        }
        world.note("append fails", self.process.number, "", 0);
        let error = AppendError::NotAcknowledged("the simulation says so".to_owned());
        if let Some(reply) = reply {
            drop(reply.send(Err(error.clone())));
        }
        if world.broken != Broken::Gapless {
            let mut line = self.state();
            line.failed = true;
            let given_up: Vec<_> = line.waiting.drain(..).filter_map(|(_, reply)| reply).collect();
            given_up.into_iter().for_each(|reply| drop(reply.send(Err(error.clone()))));
        }
    }

    fn acknowledge(&self) {
        if let Some((position, reply)) = self.state().acknowledged.pop_front() {
            drop(reply.send(Ok(position)));
        }
    }

    /// What a dead copy had sent already arrives, or the beginning of it.
    async fn land_late(&self) {
        let world = &self.process.world;
        let mut left = world.draw(|random| random.usize(0..6));
        while left > 0 {
            let next = self.state().next(world);
            let Some((record, _)) = next else { break };
            let pause = world.draw(|random| if random.bool() { 0 } else { random.u64(1..1_000) });
            tokio::time::sleep(Duration::from_millis(pause)).await;
            world.fault(Fault::UpdatesLandLate);
            world.update(self.process.number, record).await;
            left -= 1;
        }
    }
}
