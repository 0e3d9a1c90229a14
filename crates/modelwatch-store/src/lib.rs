//! The checkpoint store engine: keeps every acknowledged checkpoint through crashes, power cuts, lost replies
//! and concurrent writers, and never hands out a byte it did not check.
//!
//! Three promises, in the order in which the modules keep them:
//!
//! 1. *Acknowledged means durable.* Packs come first, then the manifest, then the log entry, each durable
//!    before the next thing refers to it ([`writer`], [`log`]).
//! 2. *Verified means verified.* Everything that is read is held against a BLAKE3 digest first ([`reader`], [`frame`]).
//! 3. *Nothing is overwritten.* The one way to change anything is to add the next entry to a lineage's
//!    log, which succeeds for exactly one of several writers. There are no locks to get stuck on, and what
//!    is deleted is decided by the order of log entries alone ([`condemned`]).
//!
//! [`mod@format`] specifies every byte. Where the bytes are is the business of [`Blobs`]; the plugins
//! implement it. Deliberately not here: what is worth keeping, which is policy.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(rustdoc::private_intra_doc_links)]

pub mod format;

mod blobs;
mod engine;
mod errors;
mod keys;
mod random;

mod buffer;
mod codec;
mod frame;
mod pace;
mod pack;
mod parallel;
mod tree;

mod known;
mod manifest;
mod reader;
mod sink;
mod soundness;
mod writer;

mod condemned;
mod entry;
mod log;
mod relocate;
mod repack;

mod collect;
mod doctor;
mod repair;
mod repair_log;
mod scrub;
mod scrub_log;
mod stats;
mod survey;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

// What the fuzz targets, which the tests compile, call their crates by.
#[cfg(test)]
extern crate self as libfuzzer_sys;
#[cfg(test)]
extern crate self as modelwatch_store;
#[cfg(test)]
pub(crate) use tests::fuzz::fuzz_target;
#[cfg(test)]
mod tests;

pub use crate::{
    blobs::{Blobs, Draft, Published, Stage, Stat},
    doctor::examine,
    engine::{Engine, Settings},
    errors::corrupt,
    keys::STORE_FILE,
    pace::Compression,
    random::{id as random_id, number as random_number},
};
