//! Positions: the receipt that ingest gives and serving understands.

use crate::codec::{DecodeError, Reader, put_varint};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::fmt;
use std::str::FromStr;

/// Where a record stands in `events`. Clients see it as opaque text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The partition.
    pub partition: u32,
    /// The record's offset in it.
    pub offset: u64,
}

const FORMAT: u8 = 1;
/// The format, and what varints of 32 and of 64 bits take at most.
const MAX_BYTES: usize = 1 + 5 + 10;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(MAX_BYTES);
        bytes.push(FORMAT);
        put_varint(&mut bytes, u64::from(self.partition));
        put_varint(&mut bytes, self.offset);
        let mut text = [0; MAX_BYTES.div_ceil(3) * 4];
        let length = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text).expect("there is room for the longest");
        f.write_str(std::str::from_utf8(&text[..length]).expect("base64 is ASCII"))
    }
}

impl FromStr for Position {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, DecodeError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| DecodeError::Malformed("not base64url"))?;
        let mut reader = Reader::with_format(&bytes, FORMAT)?;
        let partition = u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed("partition"))?;
        let offset = reader.varint()?;
        reader.finish()?;
        Ok(Self { partition, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_text() {
        for (partition, offset) in [(0, 0), (7, 300), (u32::MAX, u64::MAX)] {
            let position = Position { partition, offset };
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        assert_eq!(Position { partition: 3, offset: 300 }.to_string(), "AQOsAg", "clients hold on to these");
    }

    #[test]
    fn junk_is_not_a_position() {
        for text in ["", "AQ", "%%", "AgAA", "AQAAAA", "AQOsAgAA"] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
