use super::{header, open};
use crate::Version;
use crate::codec::{DecodeError, Reader, put_signed, put_str, put_varint};

/// One product of a neighbour list.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbour {
    /// The product.
    pub product_id: String,
    /// Its similarity, in units of the list's landmark.
    pub score: f32,
    /// How often the two were seen together; 0 where the neighbour came by way of another product.
    pub count: u32,
    /// Its category where known, else empty.
    pub category: String,
}

/// A product's neighbours as serving reads them, the best first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NeighbourList {
    /// Version of the product's row that the list was ranked from.
    pub version: Version,
    /// Scores and popularity are in units of 2^landmark, so that lists ranked at different times compare.
    pub landmark: i32,
    /// The product's own decayed count of events, in units of 2^landmark.
    pub popularity: f32,
    /// The product's own category where known, else empty.
    pub category: String,
    /// The neighbours.
    pub entries: Vec<Neighbour>,
}

impl NeighbourList {
    /// Packs the value. Categories are written once and referred to by number.
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
        let mut out = header(self.version, 32 + self.entries.len() * 18);
        put_signed(&mut out, i64::from(self.landmark));
        out.extend_from_slice(&self.popularity.to_le_bytes());
        put_varint(&mut out, categories.len() as u64);
        for category in categories {
            put_str(&mut out, category);
        }
        put_varint(&mut out, self.entries.len() as u64);
        for (entry, category) in self.entries.iter().zip(indices) {
            put_str(&mut out, &entry.product_id);
            out.extend_from_slice(&entry.score.to_le_bytes());
            put_varint(&mut out, u64::from(entry.count));
            put_varint(&mut out, category as u64);
        }
        out
    }

    /// Unpacks a value.
    ///
    /// # Errors
    /// When the value does not follow the format.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (version, mut reader) = open(bytes)?;
        let landmark = i32::try_from(reader.signed()?).map_err(|_| DecodeError::Malformed("landmark"))?;
        let popularity = reader.f32()?;
        let categories = read_categories(&mut reader)?;
        let category = categories.first().ok_or(DecodeError::Malformed("no own category"))?.clone();
        let count = reader.count(7)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let product_id = reader.str()?.to_owned();
            let score = reader.f32()?;
            if !score.is_finite() {
                return Err(DecodeError::Malformed("score"));
            }
            let count = narrow(reader.varint()?)?;
            let category = pick(&categories, reader.varint()?)?;
            entries.push(Neighbour { product_id, score, count, category });
        }
        reader.finish()?;
        Ok(Self { version, landmark, popularity, category, entries })
    }
}

/// One product of a trending list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrendingEntry {
    /// The product.
    pub product_id: String,
    /// Sum of the weights of its events in the window.
    pub score: u64,
    /// Number of its events in the window.
    pub count: u64,
    /// Its category where known, else empty.
    pub category: String,
}

/// One partition's best products of a window, globally or of a category, the best first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrendingList {
    /// Version of the last record of the partition that the list reflects.
    pub version: Version,
    /// The window's end, milliseconds since 1970 UTC.
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
            let (score, count) = (reader.varint()?, reader.varint()?);
            let category = pick(&categories, reader.varint()?)?;
            entries.push(TrendingEntry { product_id, score, count, category });
        }
        reader.finish()?;
        Ok(Self { version, as_of_ms, entries })
    }
}

fn read_categories(reader: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    let count = reader.count(1)?;
    (0..count).map(|_| reader.str().map(str::to_owned)).collect()
}

fn pick(categories: &[String], index: u64) -> Result<String, DecodeError> {
    let index = usize::try_from(index).map_err(|_| DecodeError::Malformed("category"))?;
    categories.get(index).cloned().ok_or(DecodeError::Malformed("category"))
}

fn narrow(value: u64) -> Result<u32, DecodeError> {
    u32::try_from(value).map_err(|_| DecodeError::Malformed("count"))
}
