//! What the serving-store adapters know of a published value: where its version is.

use crate::StoreError;
use bytes::Bytes;
use schemas::Version;
use schemas::published::HEADER_BYTES;

/// The version in a value's header. The format byte is not looked at: values of a newer format are versioned alike.
pub(crate) fn version(value: &[u8]) -> Option<Version> {
    let bytes = value.get(1..HEADER_BYTES)?.try_into().ok()?;
    Some(Version(u64::from_be_bytes(bytes)))
}

/// Refuses a value without a header before any store sees it: it could never be compared again.
pub(crate) fn require_version(key: &str, value: &Bytes) -> Result<Version, StoreError> {
    version(value).ok_or_else(|| StoreError::Unusable {
        store: SERVING_STORE,
        reason: format!("the value for `{key}` is shorter than its header of {HEADER_BYTES} bytes"),
    })
}

/// How errors name the serving store.
pub(crate) const SERVING_STORE: &str = "serving store";
/// How errors name the state store.
pub(crate) const STATE_STORE: &str = "state store";
