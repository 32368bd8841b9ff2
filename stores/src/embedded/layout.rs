//! How a row lies in the database. Key: generation (big-endian), in sharded tables the shard, then the row's key; so a
//! generation, and a shard in it, is one contiguous range. Value: version (big-endian), then the state.

use crate::packed::STATE_STORE;
use crate::{Row, StoreError, Table};
use bytes::Bytes;
use schemas::Version;

const GENERATION_BYTES: usize = size_of::<u16>();
const SHARD_BYTES: usize = size_of::<u16>();
const VERSION_BYTES: usize = size_of::<u64>();

/// The log lives in the same database: a prefix keeps the names apart.
pub(super) fn keyspace_name(table: Table) -> String {
    format!("state_{}", table.name())
}

/// Where the row's own key begins.
pub(super) fn key_start(table: Table) -> usize {
    GENERATION_BYTES + if table.is_sharded() { SHARD_BYTES } else { 0 }
}

pub(super) fn generation_prefix(generation: u16) -> Vec<u8> {
    generation.to_be_bytes().to_vec()
}

pub(super) fn shard_prefix(generation: u16, shard: u32) -> Vec<u8> {
    let mut prefix = generation_prefix(generation);
    // There are 256 shards at most; a number beyond finds nothing, as it should.
    prefix.extend_from_slice(&u16::try_from(shard).unwrap_or(u16::MAX).to_be_bytes());
    prefix
}

pub(super) fn stored_key(table: Table, generation: u16, key: &str) -> Vec<u8> {
    let mut stored = match table.shard_of(key) {
        Some(shard) => shard_prefix(generation, shard),
        None => generation_prefix(generation),
    };
    stored.extend_from_slice(key.as_bytes());
    stored
}

/// Makes `value` the value of a row.
pub(super) fn pack(row: &Row, value: &mut Vec<u8>) {
    value.clear();
    value.extend_from_slice(&row.version.0.to_be_bytes());
    value.extend_from_slice(&row.state);
}

pub(super) fn version(value: &[u8]) -> Result<Version, StoreError> {
    let bytes = value.first_chunk::<VERSION_BYTES>().ok_or_else(|| damaged("a row without a version"))?;
    Ok(Version(u64::from_be_bytes(*bytes)))
}

pub(super) fn row(key: &[u8], value: &[u8]) -> Result<Row, StoreError> {
    let key = std::str::from_utf8(key).map_err(|_| damaged("a key that is not UTF-8"))?;
    Ok(Row {
        key: key.to_owned(),
        version: version(value)?,
        state: Bytes::copy_from_slice(&value[VERSION_BYTES..]),
    })
}

fn damaged(what: &str) -> StoreError {
    StoreError::Unusable { store: STATE_STORE, reason: format!("the database holds {what}: it is damaged") }
}
