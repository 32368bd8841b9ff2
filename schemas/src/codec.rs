//! Reading and writing of the packed binary values: variable-length integers and length-prefixed text.

use crate::event::MAX_TIME_MS;
use thiserror::Error;

/// No log holds more records: versions have 40 bits for an offset, and a few hundred partitions may be added up.
pub const MOST_COUNTED: u64 = 1 << 48;
/// The year 9999 is 586,000 of the shortest half-lives from 1970.
pub const FARTHEST_LANDMARK: u32 = 1 << 20;

/// Bytes of a number of 64 bits, seven bits a byte.
const MOST_BYTES: usize = 10;

/// A packed value that does not follow its format.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The value ends before its content does.
    #[error("the value is cut short")]
    Truncated,
    /// The first byte names a format that this version does not know.
    #[error("unknown format byte {0}")]
    UnknownFormat(u8),
    /// A field holds something that no writer produces.
    #[error("the value is malformed: {0}")]
    Malformed(&'static str),
}

/// Appends a number, seven bits a byte, low bits first.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Zigzag, so that small negative numbers stay short.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends text behind its length.
pub fn put_str(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// A cursor over a packed value.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Starts after the format byte, which must be `format`.
    ///
    /// # Errors
    /// When it is another, or there is none.
    pub fn with_format(bytes: &'a [u8], format: u8) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            None => Err(DecodeError::Truncated),
            Some((&found, rest)) if found == format => Ok(Self { rest }),
            Some((&found, _)) => Err(DecodeError::UnknownFormat(found)),
        }
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        if n > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        let (head, tail) = self.rest.split_at(n);
        self.rest = tail;
        Ok(head)
    }

    /// The next byte.
    ///
    /// # Errors
    /// At the end.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    /// Eight bytes, big-endian.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn u64_be(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.take(8)?.try_into().expect("eight bytes were taken")))
    }

    /// Four bytes, little-endian.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn f32(&mut self) -> Result<f32, DecodeError> {
        Ok(f32::from_le_bytes(self.take(4)?.try_into().expect("four bytes were taken")))
    }

    /// Eight bytes, little-endian.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes were taken")))
    }

    /// A number written by [`put_varint`].
    ///
    /// # Errors
    /// When it is cut short or longer than 64 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        // Most numbers are small.
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for (at, &byte) in self.rest.iter().take(MOST_BYTES).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if at == MOST_BYTES - 1 && byte & 0x7f > 1 {
                return Err(DecodeError::Malformed("a number is too large"));
            }
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        let is_long = self.rest.len() >= MOST_BYTES;
        Err(if is_long { DecodeError::Malformed("a number is too long") } else { DecodeError::Truncated })
    }

    /// A number written by [`put_signed`].
    ///
    /// # Errors
    /// As [`Reader::varint`].
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// How often something happened. A larger number than any log can lead to is refused: sums of a few of them never overflow.
    ///
    /// # Errors
    /// As [`Reader::varint`], and beyond [`MOST_COUNTED`].
    pub fn counted(&mut self) -> Result<u64, DecodeError> {
        let n = self.varint()?;
        if n > MOST_COUNTED { Err(DecodeError::Malformed("a count is too large")) } else { Ok(n) }
    }

    /// The landmark of a decayed sum, in half-lives since 1970. One that no time leads to is refused, so that differences of
    /// two never overflow.
    ///
    /// # Errors
    /// As [`Reader::varint`], and more than [`FARTHEST_LANDMARK`] from 1970.
    pub fn landmark(&mut self) -> Result<i32, DecodeError> {
        let landmark = i32::try_from(self.signed()?).map_err(|_| DecodeError::Malformed("landmark"))?;
        let is_near = landmark.unsigned_abs() <= FARTHEST_LANDMARK;
        if is_near { Ok(landmark) } else { Err(DecodeError::Malformed("landmark")) }
    }

    /// A time given by its distance from another, milliseconds since 1970 UTC. One that no event can have is refused, so that
    /// differences of two never overflow.
    ///
    /// # Errors
    /// As [`Reader::varint`], and before 1970 or after [`MAX_TIME_MS`].
    pub fn time_from(&mut self, other_ms: i64) -> Result<i64, DecodeError> {
        let time_ms = other_ms.wrapping_add(self.signed()?);
        if (0..=MAX_TIME_MS).contains(&time_ms) { Ok(time_ms) } else { Err(DecodeError::Malformed("time")) }
    }

    /// A count of items of at least `least` bytes each: refused when the rest of the value cannot hold them, so that a
    /// damaged value never asks for a huge allocation.
    ///
    /// # Errors
    /// When the rest is too short for so many.
    #[inline]
    pub fn count(&mut self, least: usize) -> Result<usize, DecodeError> {
        let n = self.varint()?;
        let most = (self.rest.len() / least.max(1)) as u64;
        if n > most { Err(DecodeError::Truncated) } else { Ok(n as usize) }
    }

    /// Text written by [`put_str`].
    ///
    /// # Errors
    /// When it is cut short or not UTF-8.
    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        let n = self.count(1)?;
        std::str::from_utf8(self.take(n)?).map_err(|_| DecodeError::Malformed("text is not UTF-8"))
    }

    /// Whether nothing is left to read.
    #[inline]
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When bytes are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Malformed("bytes after the end")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_at_every_width() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                put_signed(&mut out, value as i64);
                put_signed(&mut out, (value as i64).wrapping_neg());
                let mut reader = Reader::new(&out);
                assert_eq!(reader.varint(), Ok(value));
                assert_eq!(reader.signed(), Ok(value as i64));
                assert_eq!(reader.signed(), Ok((value as i64).wrapping_neg()));
                assert_eq!(reader.finish(), Ok(()));
            }
        }
    }

    #[test]
    fn a_count_that_the_value_cannot_hold_is_refused() {
        let mut out = Vec::new();
        put_varint(&mut out, 1 << 40);
        assert_eq!(Reader::new(&out).count(1), Err(DecodeError::Truncated));
    }
}
