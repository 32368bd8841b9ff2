//! Which primary of a cluster holds which keys.

use ::redis::{ErrorKind, RedisResult, Value};
use std::collections::{BTreeMap, HashMap};

const SLOTS: usize = 16384;

/// The slot of a key: CRC16 (XMODEM) of its hash tag, or of all of it. From the Redis Cluster specification.
pub(super) fn slot_of(key: &str) -> u16 {
    let bytes = key.as_bytes();
    let tag = bytes.iter().position(|&byte| byte == b'{').and_then(|open| {
        let inside = &bytes[open + 1..];
        inside.iter().position(|&byte| byte == b'}').map(|length| &inside[..length])
    });
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(bytes)) % SLOTS as u16
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// A primary and the keys it can be asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Primary {
    /// `host:port`, for messages.
    pub(super) name: String,
    /// One of its slots: a command routed by it lands there.
    pub(super) slot: u16,
    /// A hash tag that lands there: the least number with such a slot, so that every process chooses the same.
    pub(super) tag: String,
}

/// Who had which slots when the cluster was asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Topology {
    pub(super) primaries: Vec<Primary>,
    /// Index into `primaries` by slot; [`NOBODY`] where no one answers for it.
    owners: Box<[u16; SLOTS]>,
}

const NOBODY: u16 = u16::MAX;
/// As many numbers as it takes to reach every slot.
const TAGS: u32 = 200_000;

impl Primary {
    /// Where it listens; `asked` is the host of the server that named it, which may not know its own.
    pub(super) fn address(&self, asked: &str) -> Option<(String, u16)> {
        let (host, port) = self.name.rsplit_once(':')?;
        Some((if host.is_empty() { asked } else { host }.to_owned(), port.parse().ok()?))
    }
}

impl Topology {
    /// Reads the answer to `CLUSTER SLOTS`.
    pub(super) fn parse(answer: Value) -> RedisResult<Self> {
        let malformed = || (ErrorKind::UnexpectedReturnType, "unexpected answer to CLUSTER SLOTS");
        let mut owners = Box::new([NOBODY; SLOTS]);
        let mut indexes = HashMap::new();
        let mut names = Vec::new();
        for range in ::redis::from_redis_value::<Vec<Vec<Value>>>(answer)? {
            let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = range.as_slice() else {
                return Err(malformed().into());
            };
            let owned = usize::try_from(*first).ok().zip(usize::try_from(*last).ok());
            let owned = owned.and_then(|(first, last)| owners.get_mut(first..=last)).ok_or_else(malformed)?;
            let name = name_of(primary).ok_or_else(malformed)?;
            let index = *indexes.entry(name).or_insert_with_key(|name| {
                names.push(name.clone());
                names.len() as u16 - 1
            });
            owned.fill(index);
        }
        Ok(Self { primaries: tagged(names, &owners).ok_or_else(malformed)?, owners })
    }

    /// The indexes of `keys` by their primary, as an index into [`Topology::primaries`], and of those that nobody answers for.
    pub(super) fn grouped<'a>(
        &self,
        keys: impl Iterator<Item = &'a str>,
    ) -> (BTreeMap<usize, Vec<usize>>, Vec<usize>) {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut strays = Vec::new();
        for (index, key) in keys.enumerate() {
            match self.owner(key) {
                Some(owner) => groups.entry(owner).or_default().push(index),
                None => strays.push(index),
            }
        }
        (groups, strays)
    }

    /// The primary of a key, as an index into [`Topology::primaries`].
    pub(super) fn owner(&self, key: &str) -> Option<usize> {
        let owner = usize::from(self.owners[usize::from(slot_of(key))]);
        (owner < self.primaries.len()).then_some(owner)
    }
}

/// `host:port`. A host that the cluster does not know (the node asked does not know its own) is left empty.
fn name_of(node: &[Value]) -> Option<String> {
    let [host, Value::Int(port), ..] = node else { return None };
    let host = match host {
        Value::BulkString(host) => String::from_utf8_lossy(host),
        _ => "".into(),
    };
    Some(format!("{host}:{port}"))
}

/// `None` when a primary was named but has no slot of its own, as when ranges overlap.
fn tagged(names: Vec<String>, owners: &[u16; SLOTS]) -> Option<Vec<Primary>> {
    let mut primaries: Vec<Option<Primary>> = names.iter().map(|_| None).collect();
    let mut missing = names.len();
    for tag in (0..TAGS).map(|number| number.to_string()) {
        if missing == 0 {
            break;
        }
        let slot = slot_of(&tag);
        let owner = usize::from(owners[usize::from(slot)]);
        if let Some(primary @ None) = primaries.get_mut(owner) {
            *primary = Some(Primary { name: names[owner].clone(), slot, tag });
            missing -= 1;
        }
    }
    primaries.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64, port: i64) -> Value {
        let node = Value::Array(vec![Value::BulkString(b"host".to_vec()), Value::Int(port)]);
        Value::Array(vec![Value::Int(first), Value::Int(last), node])
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of("foo"), 12182);
        assert_eq!(slot_of("{foo}bar"), slot_of("foo"));
        assert_eq!(slot_of("bar{foo}{zap}"), slot_of("foo"));
        // An empty tag, or one that does not end, is none.
        assert_eq!(slot_of("{}foo"), crc16(b"{}foo") % 16384);
        assert_eq!(slot_of("foo{{bar"), crc16(b"foo{{bar") % 16384);
        assert_eq!(slot_of("foo{{bar}}zap"), slot_of("{bar"));
    }

    #[test]
    fn every_slot_has_a_number_as_its_tag() {
        let reached: std::collections::HashSet<u16> =
            (0..TAGS).map(|tag| slot_of(&tag.to_string())).collect();
        assert_eq!(reached.len(), SLOTS);
    }

    #[test]
    fn each_primary_gets_a_tag_that_lands_on_it() {
        let answer = Value::Array(vec![range(0, 99, 1), range(100, 16000, 2), range(16001, 16383, 1)]);
        let topology = Topology::parse(answer).unwrap();
        assert_eq!(
            topology.primaries.iter().map(|primary| primary.name.as_str()).collect::<Vec<_>>(),
            ["host:1", "host:2"]
        );
        for (index, primary) in topology.primaries.iter().enumerate() {
            assert_eq!(topology.owner(&format!("{{{}}}m:{{x}}", primary.tag)), Some(index));
        }
    }

    #[test]
    fn a_primary_without_a_host_is_where_it_was_asked() {
        let at = |name: &str| {
            let primary = Primary { name: name.to_owned(), slot: 0, tag: String::new() };
            primary.address("asked")
        };
        assert_eq!(at(":7000"), Some(("asked".to_owned(), 7000)));
        assert_eq!(at("2001:db8::1:7000"), Some(("2001:db8::1".to_owned(), 7000)));
        assert_eq!(at("host:70000"), None);
    }

    #[test]
    fn a_slot_without_a_primary_has_no_owner() {
        let topology = Topology::parse(Value::Array(vec![range(0, 9, 1)])).unwrap();
        assert_eq!(topology.owner("foo"), None);
        assert_eq!(topology.primaries.len(), 1);
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_an_error() {
        assert!(Topology::parse(Value::Array(vec![range(0, 16384, 1)])).is_err());
        assert!(Topology::parse(Value::Array(vec![range(9, -1, 1)])).is_err());
        assert!(Topology::parse(Value::Int(1)).is_err());
    }
}
