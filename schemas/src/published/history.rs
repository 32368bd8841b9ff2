use super::{header, open};
use crate::codec::{DecodeError, put_signed, put_str, put_varint};
use crate::{EventKind, Version};

/// One event of a user's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The product.
    pub product_id: String,
    /// What was done.
    pub kind: EventKind,
    /// When, milliseconds since 1970 UTC.
    pub timestamp_ms: i64,
}

/// A user's recent history as serving reads it. An absent value means "no history" while the marker stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserHistory {
    /// Its offset is the last record of this user that is reflected, whether or not that changed the user's row.
    pub version: Version,
    /// The newest first, in order of arrival.
    pub entries: Vec<HistoryEntry>,
}

impl UserHistory {
    /// Packs the value.
    pub fn encode(&self) -> Vec<u8> {
        Self::encode_entries(
            self.version,
            self.entries.iter().map(|entry| (entry.product_id.as_str(), entry.kind, entry.timestamp_ms)),
        )
    }

    /// Packs a value from borrowed entries (product, kind, time), the newest first.
    pub fn encode_entries<'a>(
        version: Version,
        entries: impl ExactSizeIterator<Item = (&'a str, EventKind, i64)>,
    ) -> Vec<u8> {
        let mut out = header(version, 4 + entries.len() * 14);
        put_varint(&mut out, entries.len() as u64);
        let mut later = 0;
        for (product_id, kind, timestamp_ms) in entries {
            put_str(&mut out, product_id);
            out.push(kind as u8);
            put_signed(&mut out, timestamp_ms.wrapping_sub(later));
            later = timestamp_ms;
        }
        out
    }

    /// Unpacks a value.
    ///
    /// # Errors
    /// When the value does not follow the format.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (version, mut reader) = open(bytes)?;
        let count = reader.count(3)?;
        let mut entries = Vec::with_capacity(count);
        let mut later = 0i64;
        for _ in 0..count {
            let product_id = reader.str()?.to_owned();
            let kind =
                EventKind::from_code(u32::from(reader.u8()?)).ok_or(DecodeError::Malformed("event kind"))?;
            let timestamp_ms = reader.time_from(later)?;
            later = timestamp_ms;
            entries.push(HistoryEntry { product_id, kind, timestamp_ms });
        }
        reader.finish()?;
        Ok(Self { version, entries })
    }
}
