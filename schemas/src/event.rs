//! Kinds of events and the limits that both ends of the log know, and how a record of an event is read.

mod unpacked;

use crate::proto::EventType;
use serde::{Deserialize, Serialize};
pub use unpacked::{UnpackedEvent, UnpackedEventRecord};

/// What a shopper did with a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum EventKind {
    /// Looked at its page.
    View = 1,
    /// Put it into the cart.
    AddToCart = 2,
    /// Bought it.
    Purchase = 3,
}

impl EventKind {
    /// Every kind, in the order of their codes.
    pub const ALL: [Self; 3] = [Self::View, Self::AddToCart, Self::Purchase];

    /// What an event of this kind counts in the windows: 1, 3 or 5.
    pub const fn weight(self) -> u32 {
        match self {
            Self::View => 1,
            Self::AddToCart => 3,
            Self::Purchase => 5,
        }
    }

    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::AddToCart => "add_to_cart",
            Self::Purchase => "purchase",
        }
    }

    /// The kind with this JSON name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind with this code (1, 2, 3: the Protobuf enum's numbers).
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == code)
    }
}

impl From<EventKind> for EventType {
    fn from(kind: EventKind) -> Self {
        match kind {
            EventKind::View => Self::View,
            EventKind::AddToCart => Self::AddToCart,
            EventKind::Purchase => Self::Purchase,
        }
    }
}

/// The longest id (user, product, event, session, …) in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// An event's time may be at most this far ahead of the time it was appended to the log, in ms.
pub const MAX_AHEAD_MS: i64 = 5 * 60 * 1000;
/// The last millisecond of the year 9999: what RFC 3339 can express, and the latest time that anything counts with.
pub const MAX_TIME_MS: i64 = 253_402_300_799_999;
/// An event older than this against the newest event of its partition is too late, in ms.
pub const MAX_LATE_MS: i64 = 30 * 24 * 3600 * 1000;
