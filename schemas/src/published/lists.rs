use super::{header, open};
use crate::Version;
use crate::codec::{DecodeError, Reader, put_signed, put_str, put_varint};
use smol_str::SmolStr;

/// One product of a neighbour list.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbour {
    /// The product. Ids of up to 23 bytes take no memory of their own.
    pub product_id: SmolStr,
    /// Its similarity, in units of the list's landmark.
    pub score: f32,
    /// The part of the score that does not come by way of other products.
    pub direct: f32,
    /// How often the two were seen together; 0 where the neighbour came by way of another product.
    pub count: u32,
    /// Its category where known, else empty.
    pub category: SmolStr,
}

/// How often a product is seen: decayed numbers of its events, each in units of 2^landmark of its own half-life.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Demand {
    /// Over a season.
    pub season: f32,
    /// Half-lives since 1970 that `season`, and the scores of a list, refer to.
    pub season_landmark: i32,
    /// In the last days.
    pub recent: f32,
    /// Half-lives since 1970 that `recent` refers to.
    pub recent_landmark: i32,
    /// Those of `season` that came back to the product within a session.
    pub returns: f32,
}

/// A product's neighbours as serving reads them, the best first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NeighbourList {
    /// Version of the product's row that the list was ranked from.
    pub version: Version,
    /// How often the product itself is seen.
    pub popularity: Demand,
    /// Sum of the direct scores of the product's neighbours: what a share of theirs is measured by.
    pub direct_total: f32,
    /// When the newest of the product's events happened that it knows of: milliseconds since 1970 UTC; 0 where unknown.
    pub newest_ms: i64,
    /// The product's own category where known, else empty.
    pub category: SmolStr,
    /// The neighbours.
    pub entries: Vec<Neighbour>,
}

/// Scores are packed as their distance from the best in steps of 2^(1/1024).
const SCORE_STEPS: f32 = 1024.0;

/// What part of a product's events is taken for returns where a list does not say.
const RETURNS_UNCOUNTED: f32 = 0.3;

impl NeighbourList {
    /// Scores are in units of 2^landmark, so that lists ranked at different times compare.
    pub fn landmark(&self) -> i32 {
        self.popularity.season_landmark
    }

    /// Packs the value. Categories are written once and referred to by number; scores lose less than 0.04 %, and direct
    /// parts are kept in 255ths of the score. An entry with an id of 8 bytes takes 14 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut categories: Vec<&str> = vec![&self.category];
        let mut indices = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let known = categories.iter().position(|known| *known == entry.category);
            indices.push(known.unwrap_or_else(|| {
                categories.push(&entry.category);
                categories.len() - 1
            }));
        }
        let mut out = header(self.version, 40 + self.entries.len() * 16);
        let Demand { season, season_landmark, recent, recent_landmark, returns } = self.popularity;
        put_signed(&mut out, i64::from(season_landmark));
        out.extend_from_slice(&season.to_le_bytes());
        put_signed(&mut out, i64::from(recent_landmark));
        out.extend_from_slice(&recent.to_le_bytes());
        out.extend_from_slice(&self.direct_total.to_le_bytes());
        put_varint(&mut out, categories.len() as u64);
        for category in categories {
            put_str(&mut out, category);
        }
        let best = self.entries.iter().map(|entry| entry.score).fold(0.0, f32::max);
        out.extend_from_slice(&best.to_le_bytes());
        put_varint(&mut out, self.entries.len() as u64);
        for (entry, category) in self.entries.iter().zip(indices) {
            put_str(&mut out, &entry.product_id);
            let below = (best / entry.score).log2() * SCORE_STEPS;
            out.extend_from_slice(&(below.round().clamp(0.0, f32::from(u16::MAX)) as u16).to_le_bytes());
            out.push((entry.direct / entry.score * 255.0).round().clamp(0.0, 255.0) as u8);
            put_varint(&mut out, u64::from(entry.count));
            put_varint(&mut out, category as u64);
        }
        out.extend_from_slice(&returns.to_le_bytes());
        put_signed(&mut out, self.newest_ms);
        out
    }

    /// Unpacks a value.
    ///
    /// # Errors
    /// When the value does not follow the format.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (version, mut reader) = open(bytes)?;
        let season_landmark = reader.landmark()?;
        let season = reader.f32()?;
        let recent_landmark = reader.landmark()?;
        let recent = reader.f32()?;
        let direct_total = reader.f32()?;
        let categories = read_categories(&mut reader)?;
        let category = categories.first().ok_or(DecodeError::Malformed("no own category"))?.clone();
        let best = reader.f32()?;
        let count = reader.count(6)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let product_id = SmolStr::new(reader.str()?);
            let below = u16::from_le_bytes([reader.u8()?, reader.u8()?]);
            let score = best * (-f32::from(below) / SCORE_STEPS).exp2();
            let direct = score * f32::from(reader.u8()?) / 255.0;
            let count = narrow(reader.varint()?)?;
            let category = pick(&categories, reader.varint()?)?;
            entries.push(Neighbour { product_id, score, direct, count, category });
        }
        // Lists published before returns were counted end here.
        let returns = if reader.is_at_end() { RETURNS_UNCOUNTED * season } else { reader.f32()? };
        // Nor do older ones say how far they go.
        let newest_ms = if reader.is_at_end() { 0 } else { reader.signed()? };
        reader.finish()?;
        let numbers = [best, direct_total, season, recent, returns];
        if !numbers.into_iter().all(|number| number.is_finite() && number >= 0.0) {
            return Err(DecodeError::Malformed("score"));
        }
        let popularity = Demand { season, season_landmark, recent, recent_landmark, returns };
        Ok(Self { version, popularity, direct_total, newest_ms, category, entries })
    }
}

/// One product of a trending list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrendingEntry {
    /// The product.
    pub product_id: String,
    /// Sum of the weights of its events in the window; in a list of what rises, its demand in thousandths of the usual.
    pub score: u64,
    /// Number of its events in the window; in a list of what rises, in the last 7 days.
    pub count: u64,
    /// Its category where known, else empty.
    pub category: String,
}

/// One partition's best products of a [`super::Trend`], globally or of a category, the best first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrendingList {
    /// Version of the last record of the partition that the list reflects.
    pub version: Version,
    /// What was now, and so a window's end: milliseconds since 1970 UTC.
    pub as_of_ms: i64,
    /// The products: higher score first, ties by id.
    pub entries: Vec<TrendingEntry>,
}

impl TrendingList {
    /// Packs the value.
    pub fn encode(&self) -> Vec<u8> {
        let mut categories: Vec<&str> = Vec::new();
        let mut out = header(self.version, 16 + self.entries.len() * 16);
        put_signed(&mut out, self.as_of_ms);
        for entry in &self.entries {
            if !categories.contains(&entry.category.as_str()) {
                categories.push(&entry.category);
            }
        }
        put_varint(&mut out, categories.len() as u64);
        for category in &categories {
            put_str(&mut out, category);
        }
        put_varint(&mut out, self.entries.len() as u64);
        for entry in &self.entries {
            put_str(&mut out, &entry.product_id);
            put_varint(&mut out, entry.score);
            put_varint(&mut out, entry.count);
            let category = categories.iter().position(|known| *known == entry.category);
            put_varint(&mut out, category.expect("every category was listed above") as u64);
        }
        out
    }

    /// Unpacks a value.
    ///
    /// # Errors
    /// When the value does not follow the format.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (version, mut reader) = open(bytes)?;
        let as_of_ms = reader.signed()?;
        let categories = read_categories(&mut reader)?;
        let count = reader.count(4)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let product_id = reader.str()?.to_owned();
            let (score, count) = (reader.counted()?, reader.counted()?);
            let category = pick(&categories, reader.varint()?)?.into();
            entries.push(TrendingEntry { product_id, score, count, category });
        }
        reader.finish()?;
        Ok(Self { version, as_of_ms, entries })
    }
}

fn read_categories(reader: &mut Reader<'_>) -> Result<Vec<SmolStr>, DecodeError> {
    let count = reader.count(1)?;
    (0..count).map(|_| reader.str().map(SmolStr::new)).collect()
}

fn pick(categories: &[SmolStr], index: u64) -> Result<SmolStr, DecodeError> {
    let index = usize::try_from(index).map_err(|_| DecodeError::Malformed("category"))?;
    categories.get(index).cloned().ok_or(DecodeError::Malformed("category"))
}

fn narrow(value: u64) -> Result<u32, DecodeError> {
    u32::try_from(value).map_err(|_| DecodeError::Malformed("count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> NeighbourList {
        let neighbour = |i: u32| Neighbour {
            product_id: format!("{:08}", i * 7919).into(),
            score: 3.7 * 0.93f32.powi(i as i32),
            direct: if i.is_multiple_of(2) { 3.7 * 0.93f32.powi(i as i32) } else { 0.0 },
            count: i % 128,
            category: ["shoes", "hats", ""][i as usize % 3].into(),
        };
        NeighbourList {
            version: Version::of(1, 77),
            popularity: Demand {
                season: 812.5,
                season_landmark: 230,
                recent: 40.0,
                recent_landmark: 4_147,
                returns: 90.0,
            },
            direct_total: 55.0,
            newest_ms: 1_790_000_000_000,
            category: "shoes".into(),
            entries: (0..64).map(neighbour).collect(),
        }
    }

    #[test]
    fn a_full_list_of_ids_of_8_bytes_takes_less_than_a_kibibyte() {
        let size = list().encode().len();
        assert!(size <= 1024, "{size}");
    }

    #[test]
    fn a_list_keeps_its_order_and_nearly_its_scores() {
        let list = list();
        let back = NeighbourList::decode(&list.encode()).unwrap();
        assert_eq!((back.version, back.popularity), (list.version, list.popularity));
        assert_eq!(back.newest_ms, list.newest_ms);
        assert_eq!(back.category, list.category);
        for (entry, kept) in list.entries.iter().zip(&back.entries) {
            assert_eq!((&entry.product_id, entry.count), (&kept.product_id, kept.count));
            assert_eq!(entry.category, kept.category);
            assert!((kept.score / entry.score - 1.0).abs() < 0.0004, "{} for {}", kept.score, entry.score);
            assert!((kept.direct - entry.direct).abs() <= entry.score * 0.003);
        }
        assert!(back.entries.is_sorted_by(|a, b| a.score >= b.score));
    }

    #[test]
    fn a_damaged_list_is_an_error_and_never_a_panic() {
        let bytes = list().encode();
        let (time, mut packed) = (list().newest_ms, Vec::new());
        put_signed(&mut packed, time);
        let timeless = bytes.len() - packed.len();
        let older = timeless - size_of::<f32>();
        let cuts = (0..bytes.len()).filter(|cut| ![older, timeless].contains(cut));
        assert!(cuts.into_iter().all(|cut| NeighbourList::decode(&bytes[..cut]).is_err()));
        let older = NeighbourList::decode(&bytes[..older]).unwrap();
        assert_eq!(older.popularity.returns, RETURNS_UNCOUNTED * older.popularity.season);
        assert_eq!(older.entries.len(), list().entries.len());
        let timeless = NeighbourList::decode(&bytes[..timeless]).unwrap();
        assert_eq!((timeless.popularity, timeless.newest_ms), (list().popularity, 0));
    }
}
