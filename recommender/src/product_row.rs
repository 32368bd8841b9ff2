//! What is kept of a product.

use crate::buckets::Buckets;
use crate::co_occurrence::CoOccurrence;
use crate::interner::{Interner, Symbol};
use schemas::codec::{put_str, put_varint};
use schemas::published::{header, open};
use schemas::{DecodeError, EventKind, Version};

/// A product's row: windows, totals, co-occurrence. A pure function of the records of its partition up to `version`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProductRow {
    /// The last record of `product-activity` that changed it.
    pub version: Version,
    /// The category that the newest event naming one gave (by order of arrival); empty when none did.
    pub category: String,
    /// Number of events by kind, since the beginning.
    pub totals: [u64; EventKind::ALL.len()],
    /// Windowed counters.
    pub buckets: Buckets,
    /// Popularity and candidates.
    pub co: CoOccurrence,
}

impl ProductRow {
    /// Counts an event of the product: `weight` goes to the windows.
    pub fn observe(&mut self, kind: EventKind, weight: u32, category: Option<&str>, timestamp_ms: i64) {
        self.totals[kind as usize - 1] += 1;
        self.buckets.add(timestamp_ms, weight);
        if weight > 0 {
            self.co.observe(timestamp_ms);
        }
        if let Some(category) = category
            && category != self.category
        {
            category.clone_into(&mut self.category);
        }
    }

    /// Counts that the event just observed came back to the product within a session. `weight` is the event's.
    pub fn observe_return(&mut self, weight: u32, timestamp_ms: i64) {
        if weight > 0 {
            self.co.observe_return(timestamp_ms);
        }
    }

    /// Adds a co-occurrence; see [`CoOccurrence::add_pair`].
    pub fn add_pair(&mut self, other: Symbol, weight: u32, timestamp_ms: i64) {
        self.co.add_pair(other, weight, timestamp_ms);
    }

    /// Packs the row.
    pub fn encode(&self, names: &Interner) -> Vec<u8> {
        // Roughly what is needed: growing costs as much as packing.
        let mut out = header(self.version, 256 + self.co.candidates().len() * 24);
        put_str(&mut out, &self.category);
        for total in self.totals {
            put_varint(&mut out, total);
        }
        self.buckets.encode_into(&mut out);
        self.co.encode_into(&mut out, names);
        out
    }

    /// Unpacks a row.
    ///
    /// # Errors
    /// When the bytes do not follow the format.
    pub fn decode(bytes: &[u8], names: &Interner) -> Result<Self, DecodeError> {
        let (version, mut reader) = open(bytes)?;
        let category = reader.str()?.to_owned();
        let mut totals = [0; EventKind::ALL.len()];
        for total in &mut totals {
            *total = reader.counted()?;
        }
        let buckets = Buckets::decode_from(&mut reader)?;
        let co = CoOccurrence::decode_from(&mut reader, names)?;
        reader.finish()?;
        Ok(Self { version, category, totals, buckets, co })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::codec::put_signed;

    #[test]
    fn a_row_survives_its_encoding_to_the_byte() {
        let names = Interner::default();
        let mut row = ProductRow { version: Version::of(1, 77), ..ProductRow::default() };
        for i in 0..500i64 {
            let timestamp_ms = 1_600_000_000_000 + i * 3_333_333;
            row.observe(EventKind::ALL[i as usize % 3], 1, (i % 7 == 0).then_some("shoes"), timestamp_ms);
            if i % 5 == 0 {
                row.observe_return(1, timestamp_ms);
            }
            row.add_pair(names.intern(&format!("p{}", i % 260)), 1 << 20, timestamp_ms);
        }
        let bytes = row.encode(&names);
        let other_names = Interner::default();
        other_names.intern("shifts every symbol");
        let back = ProductRow::decode(&bytes, &other_names).unwrap();
        assert_eq!(back.encode(&other_names), bytes);
        assert_eq!(ProductRow::decode(&bytes, &names).unwrap(), row);
        // Rows of before returns were counted end without them.
        let mut returns = Vec::new();
        put_signed(&mut returns, i64::from(row.co.popularity().returns.landmark));
        let older = bytes.len() - returns.len() - size_of::<f64>();
        let cuts = (0..bytes.len()).filter(|cut| *cut != older);
        assert!(cuts.into_iter().all(|cut| ProductRow::decode(&bytes[..cut], &names).is_err()));
        let older = ProductRow::decode(&bytes[..older], &names).unwrap();
        assert_eq!(older.co.popularity().season, row.co.popularity().season);
        assert!(older.co.popularity().returns.value > 0.0);
    }
}
