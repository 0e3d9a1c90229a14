//! The analyzer as a host uses it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;
mod conformance;
mod hard_columns;
mod outlier_rows;
mod parts;
mod rows;
mod schema;
mod state;
mod stored_profile;
mod texts;
mod weights;
mod written;
