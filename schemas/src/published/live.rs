use super::{header, open};
use crate::Version;
use crate::codec::{DecodeError, put_varint};

/// Which generation serving answers from. It belongs to no generation itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveGeneration {
    /// How many times it was changed, so that the newest one is known wherever two are found: no offset is in it.
    pub version: Version,
    /// The generation that is live.
    pub generation: u16,
    /// The one that was live before, to which a rollback returns.
    pub previous: u16,
}

impl LiveGeneration {
    /// What follows when `generation` becomes live instead.
    #[must_use]
    pub fn followed_by(&self, generation: u16) -> Self {
        Self { version: Version(self.version.0 + 1), generation, previous: self.generation }
    }

    /// Packs the value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = header(self.version, 4);
        put_varint(&mut out, u64::from(self.generation));
        put_varint(&mut out, u64::from(self.previous));
        out
    }

    /// Unpacks a value.
    ///
    /// # Errors
    /// When the value does not follow the format.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (version, mut reader) = open(bytes)?;
        let mut generation = || match u16::try_from(reader.varint()?) {
            Ok(generation) if (1..=Version::MAX_GENERATION).contains(&generation) => Ok(generation),
            _ => Err(DecodeError::Malformed("generation")),
        };
        let live = Self { version, generation: generation()?, previous: generation()? };
        reader.finish()?;
        Ok(live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_is_newer_and_knows_what_was_before() {
        let live = LiveGeneration { version: Version(3), generation: 1, previous: 1 };
        let next = live.followed_by(200);
        assert_eq!(next, LiveGeneration { version: Version(4), generation: 200, previous: 1 });
        assert_eq!(LiveGeneration::decode(&next.encode()), Ok(next));
        assert_eq!(next.encode(), [1, 0, 0, 0, 0, 0, 0, 0, 4, 200, 1, 1]);
    }

    #[test]
    fn a_generation_that_cannot_be_is_malformed() {
        for (generation, previous) in [(0, 1), (1, 0), (8192, 1)] {
            let live = LiveGeneration { version: Version(1), generation, previous };
            assert_eq!(LiveGeneration::decode(&live.encode()), Err(DecodeError::Malformed("generation")));
        }
    }
}
