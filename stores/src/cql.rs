//! The cql adapter.
