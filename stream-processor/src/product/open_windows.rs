use bytes::Bytes;
use recommender::ProductRow;
use recommender::trending::{Bounds, coarse_bounds, sums_of};
use schemas::codec::{put_str, put_varint};
use schemas::published::{header, open};
use schemas::{DecodeError, Version};

/// A product's entry in the table `open_windows`: enough to know, after a restart, whether its row is worth a look when
/// the trending lists are made. The bounds are powers of two, so that it is written seldom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenWindows {
    pub(crate) bounds: Bounds,
    pub(crate) category: String,
}

impl OpenWindows {
    pub(crate) fn bounds_of(row: &ProductRow) -> Bounds {
        coarse_bounds(&sums_of(&row.buckets, row.buckets.newest_ms()))
    }

    pub(crate) fn encode(&self, version: Version) -> Bytes {
        let mut out = header(version, 16 + self.category.len());
        for bound in self.bounds {
            put_varint(&mut out, u64::from(bound));
        }
        put_str(&mut out, &self.category);
        Bytes::from(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (_, mut reader) = open(bytes)?;
        let mut bounds = Bounds::default();
        for bound in &mut bounds {
            *bound = u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed("bound"))?;
        }
        let category = reader.str()?.to_owned();
        reader.finish()?;
        Ok(Self { bounds, category })
    }
}
