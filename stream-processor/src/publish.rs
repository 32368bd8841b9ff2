//! From state to what serving reads: asynchronous, coalesced, and never in the way of the fold.

mod lists;
mod outlines;
mod queue;
mod ranker;
mod stale;
mod trending;

pub(crate) use lists::ListCache;
pub(crate) use queue::PublishQueue;
pub(crate) use ranker::{RankBatch, RankJob, Ranker};
pub(crate) use stale::{Covers, Round, StaleLists};
pub(crate) use trending::{TrendingPublisher, read_again};
