//! Reading Protobuf messages where they lie: what the unpacked forms of the log's records share.

use crate::DecodeError;
use crate::codec::Reader;

/// Where something lies in a record's value.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Where a part of a value lies in it.
    pub(crate) fn of(part: &[u8], value: &[u8]) -> Self {
        let start = part.as_ptr().addr() - value.as_ptr().addr();
        Self { start: start as u32, end: (start + part.len()) as u32 }
    }

    pub(crate) fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    pub(crate) fn bytes(self, value: &[u8]) -> &[u8] {
        &value[self.start as usize..self.end as usize]
    }

    /// # Panics
    /// When the value, or the part, is another than when this was made of [`text`].
    pub(crate) fn str(self, value: &[u8]) -> &str {
        std::str::from_utf8(self.bytes(value)).expect("it was text when it was unpacked")
    }
}

/// What a message that is not as we write it is answered with: whoever gets it decodes the message by the generated code, which
/// understands all there are.
pub(crate) const UNUSUAL: DecodeError = DecodeError::Malformed("not as it is written here");

/// Refuses values in which a [`Span`] could not find everything.
pub(crate) fn require_short(value: &[u8]) -> Result<(), DecodeError> {
    if u32::try_from(value.len()).is_ok() { Ok(()) } else { Err(UNUSUAL) }
}

/// The key of a field that is a number.
pub(crate) const fn number(field: u8) -> u8 {
    field << 3
}

/// The key of a field that is eight bytes.
pub(crate) const fn fixed64(field: u8) -> u8 {
    field << 3 | 1
}

/// The key of a field that is bytes behind their length: text, a message, numbers in a row.
pub(crate) const fn bytes(field: u8) -> u8 {
    field << 3 | 2
}

/// Bytes behind their length.
pub(crate) fn part<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let length = reader.count(1)?;
    reader.take(length)
}

/// Text behind its length.
pub(crate) fn text(reader: &mut Reader<'_>, value: &[u8]) -> Result<Span, DecodeError> {
    Ok(Span::of(reader.str()?.as_bytes(), value))
}
