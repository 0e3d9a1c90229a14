//! One execution of a pipeline.
//!
//! Planning finds everything that the pipeline itself can be blamed for, and returns it as diagnostics
//! that point into its file. From then on nothing ends the run but an interruption: what goes wrong
//! is an `error` of the probes that it concerns, and the rest goes on.

mod execute;
mod kept_profile;
mod outcome;
mod plan;
mod ready;
mod resumption;
mod rows;

pub(crate) use plan::some;

use std::{
    num::NonZeroUsize,
    sync::{Arc, atomic::AtomicBool},
};

use jiff::Timestamp;
use modelwatch_config::{Diagnostic, Document, Pipeline};
use modelwatch_sdk::store::CheckpointId;

use crate::{history::HistoryError, model::Runtimes, plugin::Catalog, record::RunRecord};

/// How a run is carried out.
pub struct Options<'a> {
    /// The plugins.
    pub catalog: &'a Catalog,
    /// What there is to run models with.
    pub runtimes: &'a Runtimes,
    /// Set to end the run.
    pub cancelled: Arc<AtomicBool>,
    /// Set before `cancelled` where the machine is about to be taken away: the run may still import.
    pub preempted: Arc<AtomicBool>,
    /// The time, which names the run.
    pub now: Timestamp,
    /// Told what is going on.
    pub on_event: &'a (dyn Fn(Event) + Sync),
    /// Whether the run goes into the history.
    pub keep: bool,
    /// Whether a run that had nothing to check ends as one that passed.
    pub allow_empty: bool,
}

/// Something to show while a run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A phase has begun.
    Phase(&'static str),
    /// How far the phase is with its rows.
    Rows {
        /// Those that are done.
        done: u64,
        /// All of them; 0 where that is not known.
        total: u64,
    },
    /// A probe says how far it is with what it does, at most ten times a second.
    Probe {
        /// Which one.
        id: String,
        /// The units that are done.
        done: u64,
        /// All units; 0 where that is not known.
        total: u64,
    },
}

/// A run that came to its end.
#[derive(Debug)]
pub struct Outcome {
    /// The record.
    pub record: RunRecord,
    /// Why the record is not in the history, although it should be.
    pub history_error: Option<HistoryError>,
    /// Whether the store of the pipeline could be opened, if it has one. Where it could not, nothing is written that
    /// [`is_first_in_its_folder`](crate::is_first_in_its_folder): the store and what is written may belong on a file system that
    /// is not mounted, whose place would no longer look like that.
    pub has_store: bool,
}

/// Why there is no record.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// The pipeline is at fault.
    Pipeline(Vec<Diagnostic>),
    /// The run was told to end. No ref was moved.
    Interrupted {
        /// What was imported all the same, since the pipeline says so.
        stored: Option<CheckpointId>,
    },
}

/// Runs the pipeline.
///
/// # Errors
/// When the pipeline is at fault, or the run was told to end.
pub fn run(document: &Document, pipeline: &Pipeline, options: &Options<'_>) -> Result<Outcome, Problem> {
    let plan = plan::plan(document, pipeline, options)?;
    execute::execute(document, pipeline, plan, options)
}

/// Returns everything that the pipeline can be blamed for before it runs: components and options that
/// do not exist, and, if `environment` is set, data and columns that do not either.
pub fn check(document: &Document, pipeline: &Pipeline, options: &Options<'_>, environment: bool) -> Vec<Diagnostic> {
    examine(document, pipeline, options, environment, &[])
}

/// Returns what else the pipeline can be blamed for, beside the errors of its file that `draft` comes from.
///
/// What may only follow from those is left out.
pub fn check_draft(
    document: &Document,
    draft: &Pipeline,
    errors: &[Diagnostic],
    options: &Options<'_>,
    environment: bool,
) -> Vec<Diagnostic> {
    examine(document, draft, options, environment, errors)
}

fn examine(
    document: &Document,
    pipeline: &Pipeline,
    options: &Options<'_>,
    environment: bool,
    errors: &[Diagnostic],
) -> Vec<Diagnostic> {
    if !environment {
        return plan::components(document, pipeline, options, errors).1;
    }
    let (plan, mut problems) = plan::look(document, pipeline, options, errors);
    problems.extend(plan::missing(document, pipeline, &plan, options, errors));
    problems
}

/// Returns how many threads the pipeline may use.
pub(crate) fn threads(pipeline: &Pipeline) -> NonZeroUsize {
    let available = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    pipeline.run.threads.unwrap_or_else(available)
}
