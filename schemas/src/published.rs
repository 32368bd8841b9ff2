//! What serving reads: packed values that each start with a format byte and the row version (big-endian), so that a store
//! can compare versions without knowing the rest.

mod courses;
mod history;
mod lists;
mod live;
mod markers;
mod repeats;

pub use courses::{Course, CourseTable};
pub use history::{HistoryEntry, UserHistory};
pub use lists::{Demand, Neighbour, NeighbourList, TrendingEntry, TrendingList};
pub use live::LiveGeneration;
pub use markers::{Layout, Marker};
pub use repeats::{LastStep, RepeatCell, RepeatTable, SessionShape};

use crate::codec::{DecodeError, Reader};
use crate::version::Version;
use serde::{Deserialize, Serialize};

/// A trending window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Window {
    /// The last hour, in minutes.
    #[serde(rename = "1h")]
    Hour,
    /// The last 24 hours.
    #[serde(rename = "24h")]
    Day,
    /// The last 7 days, in hours.
    #[serde(rename = "7d")]
    Week,
    /// The last 30 days, in hours.
    #[serde(rename = "30d")]
    Month,
}

impl Window {
    /// Every window, the shortest first.
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The name in URLs and keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    /// The window with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|window| window.name() == name)
    }
}

/// A list of products that trend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trend {
    /// By the weight of their events in a window.
    Popular(Window),
    /// By the demand of the last days against that of the season.
    Rising,
}

impl Trend {
    /// Every list: those of the windows, the shortest first, then what rises.
    pub const ALL: [Self; 5] = [
        Self::Popular(Window::Hour),
        Self::Popular(Window::Day),
        Self::Popular(Window::Week),
        Self::Popular(Window::Month),
        Self::Rising,
    ];

    /// The name in keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Popular(window) => window.name(),
            Self::Rising => "rising",
        }
    }

    /// The place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        match self {
            Self::Popular(window) => window as usize,
            Self::Rising => Window::ALL.len(),
        }
    }
}

impl From<Window> for Trend {
    fn from(window: Window) -> Self {
        Self::Popular(window)
    }
}

/// Bytes before the content of every published value: the format byte and the version.
pub const HEADER_BYTES: usize = 9;

const FORMAT: u8 = 1;

/// Starts a value: the format byte and the version, with room for `capacity` bytes more.
pub fn header(version: Version, capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + capacity);
    out.push(FORMAT);
    out.extend_from_slice(&version.0.to_be_bytes());
    out
}

/// Reads a value's header and gives the version and a cursor behind it.
///
/// # Errors
/// When the value is shorter than its header or of an unknown format.
pub fn open(bytes: &[u8]) -> Result<(Version, Reader<'_>), DecodeError> {
    let mut reader = Reader::with_format(bytes, FORMAT)?;
    let version = Version(reader.u64_be()?);
    Ok((version, reader))
}

/// The version of any published value.
///
/// # Errors
/// When the value is shorter than its header or of an unknown format.
pub fn version_of(value: &[u8]) -> Result<Version, DecodeError> {
    open(value).map(|(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trending_list_knows_its_place_and_has_a_name_of_its_own() {
        for (place, trend) in Trend::ALL.into_iter().enumerate() {
            assert_eq!(trend.index(), place);
            assert!(Trend::ALL[..place].iter().all(|other| other.name() != trend.name()));
        }
    }
}
