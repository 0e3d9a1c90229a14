//! Reads a pipeline file: TOML in, validated settings or diagnostics with exact spans out.
//!
//! [`parse`] takes text and `--set` overrides and returns a [`Parsed`]: the [`Document`] (source text and where each
//! value stands in it), every problem found as a [`Diagnostic`], and the [`Pipeline`] if there was no error. What only
//! the runtime can know, such as whether a plugin or a column exists, is reported later through [`Document::at`] and
//! [`Document::component_errors`], so that all errors look alike and point into the file.
//!
//! Deliberately not here: loading plugins, opening data or stores, environment variables in values. A plugin never
//! sees TOML; it gets the JSON form of its `with` table.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod checkpoint;
pub mod code;
mod consequences;
mod diagnostic;
mod document;
mod load;
mod options;
mod overrides;
mod pipeline;
mod policy;
mod render;
pub mod requirement;
mod resolve;
mod schema_errors;
mod shape;
mod suggest;
mod tree;

pub use checkpoint::{CheckpointSpec, CheckpointSpecError, PROFILES_SUFFIX, Selector};
pub use code::{codes, explain};
pub use diagnostic::{Diagnostic, Location, Origin, Related, Severity, render, to_json};
pub use document::{Document, EditError, MetricPart, sort_diagnostics};
pub use load::{ConfigError, MAX_BYTES, Parsed, load, of_arguments, parse};
pub use options::schema;
pub use overrides::{Override, OverrideError};
pub use pipeline::{
    Action, Actions, Baseline, BaselineSource, CheckpointSource, Columns, Component, Data, DataFormat, FailOn,
    Isolation, ModelRuntime, Pipeline, PluginSettings, Probe, ProbeKind, ProbeSeverity, ProfiledData, Report,
    RunSettings, Source, When,
};
pub use policy::{Best, Improved, Keep, Mode, RefRules, Require, Save};
pub use requirement::{
    Bound, LabelMatch, MetricAddress, Op, Operand, Reference, Relative, Requirement, RequirementError, RequirementPart,
    SLICE, slice_parts,
};
pub use resolve::parse_span;
pub use suggest::{did_you_mean, may_mean, same_method};
pub use tree::join as pointer;
