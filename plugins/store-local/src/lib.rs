//! The local checkpoint store: a folder that keeps every acknowledged checkpoint through crashes,
//! power cuts and concurrent writers, and that never hands out a byte it did not check.
//!
//! Three promises, in the order in which the modules keep them:
//!
//! 1. *Acknowledged means durable.* Whatever is written is staged, synced, hard-linked into place and
//!    its folder synced before the next thing refers to it ([`disk`]); the log entry comes last ([`log`]).
//! 2. *Verified means verified.* Everything that is read is held against a BLAKE3 digest first ([`reader`]).
//! 3. *Nothing is overwritten.* The one way to change anything is to add the next entry to a lineage's
//!    log, which succeeds for exactly one of several writers. There are no locks to get stuck on.
//!
//! [`mod@format`] specifies every byte on disk. Deliberately not here: deletion of anything but this
//! crate's own staged leftovers (garbage collection is a later reader of the same format).
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(rustdoc::private_intra_doc_links)]

pub mod format;

mod disk;
mod errors;
mod log;
mod manifest;
mod pack;
mod random;
mod reader;
mod scrub;
mod stage;
mod store;
mod writer;

#[cfg(test)]
mod tests;

pub use crate::store::{Config, LocalStore, registry};

modelwatch_sdk::export_plugin!(registry);
