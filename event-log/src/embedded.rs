//! The log in this process, on disk.
