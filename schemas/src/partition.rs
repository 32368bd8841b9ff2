//! Which partition and which shard a key belongs to.

/// Partitions of a topic at most: a stored number beyond it is damaged, since nobody has a use for so many.
pub const MAX_PARTITIONS: u32 = 16_384;

/// Kafka's murmur2 (seed 0x9747b28c), as the Java client's default partitioner uses it.
///
/// Source: the Apache Kafka protocol's reference client, `Utils.murmur2`.
pub fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h: u32 = 0x9747_b28c ^ key.len() as u32;
    let mut chunks = key.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes(chunk.try_into().expect("chunks of four")).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
    }
    let tail = chunks.remainder();
    if !tail.is_empty() {
        for (i, &byte) in tail.iter().enumerate() {
            h ^= u32::from(byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    h ^ (h >> 15)
}

/// The partition of `key` in a topic of `partitions`, the same as every Kafka client with the murmur2 partitioner picks.
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}

/// How many shards the scanned tables have. Fixed: it does not follow the partition count.
pub const SHARDS: u32 = 256;

/// The shard of a product in the table `open_windows`.
pub fn shard_of(product_id: &str) -> u32 {
    partition_of(product_id.as_bytes(), SHARDS)
}

/// The shards that may hold products of `partition`, of `partitions` in all: few when the partition count divides
/// [`SHARDS`], else all of them.
pub fn shards_of_partition(partition: u32, partitions: u32) -> impl Iterator<Item = u32> {
    let divides = SHARDS.is_multiple_of(partitions);
    (0..SHARDS).filter(move |shard| !divides || shard % partitions == partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own unit test.
    #[test]
    fn hashes_as_kafka_does() {
        let cases: [(&[u8], i32); 7] = [
            (b"21", -973932308),
            (b"foobar", -790332482),
            (b"a-little-bit-long-string", -985981536),
            (b"a-little-bit-longer-string", -1486304829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            (b"abc", 479470107),
            (b"", 275646681),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key) as i32, hash, "{key:?}");
        }
    }

    #[test]
    fn a_partitions_shards_hold_all_its_products() {
        for partitions in [1, 3, 4, 12, 64] {
            for id in 0..2000u32 {
                let id = id.to_string();
                let partition = partition_of(id.as_bytes(), partitions);
                assert!(shards_of_partition(partition, partitions).any(|shard| shard == shard_of(&id)));
            }
        }
    }
}
