use bytes::Bytes;
use recommender::ProductRow;
use recommender::trending::{Bounds, TRENDS, coarse_bounds, sums_of};
use schemas::codec::{Reader, put_str, put_varint};
use schemas::published::{Window, header, open};
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
        coarse_bounds(&sums_of(row, row.buckets.newest_ms()))
    }

    pub(crate) fn encode(&self, version: Version) -> Bytes {
        let mut out = header(version, 16 + self.category.len());
        let (windows, rising) = self.bounds.split_at(Window::ALL.len());
        windows.iter().for_each(|&bound| put_varint(&mut out, u64::from(bound)));
        put_str(&mut out, &self.category);
        rising.iter().for_each(|&bound| put_varint(&mut out, u64::from(bound)));
        Bytes::from(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (_, mut reader) = open(bytes)?;
        // What an entry does not say yet has no bound.
        let mut bounds = [u32::MAX; TRENDS];
        let (windows, rising) = bounds.split_at_mut(Window::ALL.len());
        windows.iter_mut().try_for_each(|bound| read_bound(&mut reader, bound))?;
        let category = reader.str()?.to_owned();
        // Entries from before there were lists of what rises end here.
        if !reader.is_at_end() {
            rising.iter_mut().try_for_each(|bound| read_bound(&mut reader, bound))?;
        }
        reader.finish()?;
        Ok(Self { bounds, category })
    }
}

fn read_bound(reader: &mut Reader<'_>, bound: &mut u32) -> Result<(), DecodeError> {
    *bound = u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed("bound"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_windows() -> OpenWindows {
        OpenWindows { bounds: [1, 2, 4, 512, 8_192], category: "shoes".to_owned() }
    }

    #[test]
    fn an_entry_survives_its_encoding() {
        let bytes = open_windows().encode(Version::of(1, 7));
        assert_eq!(OpenWindows::decode(&bytes).unwrap(), open_windows());
    }

    #[test]
    fn an_entry_from_before_there_were_rising_lists_leaves_the_rise_open() {
        let bytes = open_windows().encode(Version::of(1, 7));
        let found = OpenWindows::decode(&bytes[..bytes.len() - 2]).unwrap();
        assert_eq!((found.bounds, &*found.category), ([1, 2, 4, 512, u32::MAX], "shoes"));
        assert!(OpenWindows::decode(&bytes[..bytes.len() - 1]).is_err(), "cut within the bound");
    }
}
