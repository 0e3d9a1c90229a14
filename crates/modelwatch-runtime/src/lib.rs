//! Loads plugins, plans and runs the pass, decides, acts, and keeps the history.
//!
//! [`run`](run::run) is the whole of it: a pipeline in, a [`RunRecord`] out. The way there is in the
//! order of the modules: [`plugin`]s are found and loaded, the [`checkpoint`] is imported or opened,
//! `model`s are prepared, [`data`] is streamed past the probes in one `pass`, their metrics are held
//! against the requirements (`decide`), refs are moved (`act`), and the run is recorded
//! ([`record`], [`history`]).
//!
//! Threads and channels only; no async. The `plugin` module alone is allowed `unsafe`.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod arrival;
pub mod blessing;
pub mod checkpoint;
pub mod codes;
mod compare;
pub mod contents;
pub mod data;
pub mod due;
pub mod file_changes;
pub mod history;
pub mod inspect;
pub mod load;
pub mod memory;
pub mod plugin;
pub mod profile;
pub mod prune;
pub mod record;
pub mod recording;
pub mod refs;
pub mod retain;
pub mod run;
pub mod saver;

mod act;
mod artifacts;
mod decide;
mod describe;
mod inputs;
mod model;
mod models;
mod pace;
mod pass;
mod reproduce;
mod resume;
mod seen;
mod services;
mod whole_file;

pub use crate::{
    model::{OpenOnnxRuntime, Runtimes},
    record::{RunRecord, Verdict},
    run::{Event, Options, Outcome, Problem, check, check_draft, run},
    whole_file::{is_first_in_its_folder, replaceable},
};
