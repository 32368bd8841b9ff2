use super::Engine;
use crate::answer::Freshness;
use crate::degraded::Degraded;
use jiff::Timestamp;
use schemas::Position;
use schemas::published::Marker;

/// The processor writes its markers about this often, in ms: as old as that, one says nothing about being late.
const MARKER_PERIOD_MS: u64 = 1_000;

/// What an answer's freshness follows from.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Freshly<'a> {
    /// Of the partition that the answer is about, or the slowest of several.
    pub(crate) marker: Option<&'a Marker>,
    pub(crate) position: Option<Position>,
    pub(crate) reached: Option<bool>,
    pub(crate) degraded: Option<Degraded>,
}

impl Engine {
    pub(crate) fn freshness(&self, from: Freshly<'_>) -> Freshness {
        // The markers speak of the serving store: nothing follows from them for an answer from elsewhere.
        let elsewhere = from.degraded > Some(Degraded::ServingStoreIncomplete);
        let marker = from.marker.filter(|_| !elsewhere);
        Freshness {
            generation: self.reader.generation(),
            as_of: marker
                .map(|marker| rfc3339(marker.published_at_ms.saturating_sub_unsigned(marker.lag_ms))),
            lag_ms: marker.map(|marker| marker.lag_ms + self.overdue_ms(marker)),
            position: from.position.map(|position| position.to_string()),
            degraded: from.degraded.is_some(),
            reason: from.degraded,
            reached: from.reached,
        }
    }

    /// By how much a marker is older than it can be when all is well: what happened since is not known to be reflected.
    fn overdue_ms(&self, marker: &Marker) -> u64 {
        let age_ms = self.clock.now_ms().saturating_sub(marker.published_at_ms);
        let usual_ms = MARKER_PERIOD_MS + 2 * self.config.marker_refresh_ms;
        u64::try_from(age_ms).unwrap_or(0).saturating_sub(usual_ms)
    }
}

/// A time as it stands in answers. Times beyond the calendar are shown as its end.
pub(crate) fn rfc3339(ms: i64) -> String {
    let beyond = if ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(ms).unwrap_or(beyond).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert!(rfc3339(i64::MAX).starts_with("9999-12-"));
        assert!(rfc3339(i64::MIN).starts_with("-009999-01-"));
    }
}
