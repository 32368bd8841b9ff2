//! Row versions: which record a row reflects.

use std::fmt;

/// `generation << 40 | offset` of the last record applied to a row; 0 for a row that does not exist yet.
///
/// Versions of one row are totally ordered: the highest wins wherever two writers meet. A generation is at least 1, so
/// that the first record (offset 0) is above "does not exist".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u64);

impl Version {
    /// Of a row that does not exist.
    pub const NONE: Self = Self(0);
    /// Bits that hold the offset.
    pub const OFFSET_BITS: u32 = 40;
    /// The highest generation: versions stay below 2^53, which Redis scripts compare exactly as doubles.
    pub const MAX_GENERATION: u16 = (1 << 13) - 1;

    /// The version that the record at `offset` gives to the rows it changes.
    pub fn of(generation: u16, offset: u64) -> Self {
        debug_assert!((1..=Self::MAX_GENERATION).contains(&generation), "generation {generation}");
        debug_assert!(offset < 1 << Self::OFFSET_BITS, "offset {offset}");
        Self((u64::from(generation) << Self::OFFSET_BITS) | offset)
    }

    /// The generation part.
    pub fn generation(self) -> u16 {
        (self.0 >> Self::OFFSET_BITS) as u16
    }

    /// The offset part.
    pub fn offset(self) -> u64 {
        self.0 & ((1 << Self::OFFSET_BITS) - 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.generation(), self.offset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record_is_above_no_row() {
        assert!(Version::of(1, 0) > Version::NONE);
    }

    #[test]
    fn a_later_generation_is_above_every_offset_of_an_earlier_one() {
        assert!(Version::of(2, 0) > Version::of(1, (1 << 40) - 1));
        assert_eq!((Version::of(2, 7).generation(), Version::of(2, 7).offset()), (2, 7));
    }
}
