//! The analyzer `stream`: when a column, a prediction or the errors of the model changed, by detectors that see one value
//! after the other.
//!
//! # What is compared with what
//! The current rows with those before them, in the order of their times or as they are in the data; there is no reference.
//! Every number of a row that is watched is a stream of its own, with its own detector (`modelwatch_stats::online`). A
//! detector decides at each value from those before it alone, so that a change is reported where it would have been
//! reported live, and rows that come later change nothing of what was said.
//!
//! # What is kept of the rows
//! A detector is sequential: what it does at the end of one partition depends on all before. So the analyzer asks for its rows in
//! their order (`Needs::in_order`), and one instance sees all of them while the other probes of the run are parallel. Its detectors
//! run as rows come, and what is kept of a stream is the state of its detector, its newest changes, a picture of few points, and the values
//! since the last change in blocks that are the longer the older they are: all of it together grows with the logarithm of the rows. As
//! bytes this is the analyzer's state, from which a run that was killed goes on. States do not merge.
//!
//! # Order
//! By time, rows of equal times are in the order of the data. Rows without a time have no place, and are counted. Rows wait until as
//! many came as `max_bytes` has room for; then the earlier half is watched. So data with no more rows than that is sorted whole, and of
//! longer data a row may be late by half as many. One that is later is passed over and counted: it belongs among rows of
//! which everything has been said.
//!
//! # What is told of a change
//! The row at which it was found, and the one at which it seems to have begun: the cut with the most different means since the
//! change before (`modelwatch_stats::online::onset`), of `kswin` the first of the newest values, as it looks for more than
//! means. It is exact within the newest 64 values, and to within a thirty-second of its distance beyond. Levels before and after are of the values between such rows. A window of `adwin` is shed in steps, each of which
//! other tools count; here a step that drops no more than what was there at the last change belongs to that one.
//!
//! # Outliers
//! Standardized values count for ten deviations at most, and so do those of which the scale is made, so that a single value of 1e9 neither
//! makes a scale in which nothing else moves nor outweighs all others. What is cut off is counted. Of a column of which 99 % are one value, each
//! other one is ten deviations off; where more than half of the first values are the same, a value counts up to ten deviations of the others
//! from that one. After a change to where values would be cut off, and where most were the same, the scale and the detector begin anew, as
//! `cusum` does after each change; where the new values are too great for a scale, the one from before stays. Detectors see no values while these wait to make a scale.
//! `cusum` sees the places that values have among the first ones, as numbers of a normal distribution, where it was not given a mean: so it is
//! wrong as often whatever values that all differ are distributed as, and no more often where many are the same. Such ones are spread wider, as
//! long as the few others do not make up a sum alone.
//! Where values of a standardized stream reach farther than ten deviations, `adwin` holds them to a bound that is as much wider.
//! Where the scale is off (`standardize = false`), detectors see what is there, as those of other tools do.
//!
//! # What is no value
//! Null, NaN and infinite values are counted and stated, and no detector sees them.
//!
//! # How often it is wrong
//! Detectors look at every value, and a stream has no end. `adwin` and the two of HDDM bound the chance of a false alarm per
//! look; the others do not. Measured at the defaults that the field gives them, on independent values of which none changes
//! (`tests/false_alarms.rs` prints it): per 100,000 values `adwin` reports 0 to 1 changes, `hddm-a` 1 to 2, `ddm` 3 to 18,
//! `hddm-w` up to 72, `page-hinkley` 44 to 79, `kswin` up to 100, `eddm` 200 and `cusum` 150 to 162, where its threshold is made for 215. Of
//! values most of which are the same, or of which there are two, it reports 39 to 125. Of cubes of normal values, whose tails are that heavy that many of them look like outliers,
//! `page-hinkley` reports 190.
//!
//! # Slices
//! Each slice is watched by detectors of its own, beside those of all rows, from its first row on: of as many slices as `max_slices` says, the first ones
//! that come. Rows of others are counted and told. What a detector takes does not grow with its rows, so that all of them
//! are bounded; each of them is wrong as often as it is by itself, so that the more there are, the more false alarms.
//!
//! # What is not here
//! Weights: a detector is defined on values that come one after the other, and has no value that is half there. Chunks: a change is told by its
//! row. Reference windows: what a value is held against is the detector's own. No several streams in one detector either.

// The macro at the end allows itself the two exported symbols; `forbid` would not let it.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod codes;
mod config;
mod detector;

mod called;
mod read;
mod select;

mod ids;
mod names;
mod rows;
mod times;
mod values;

mod seen;
mod track;
mod tracks;
mod warm_up;

mod course;
mod history;
mod level;
mod picture;
mod ranks;
mod scale;

mod probe;
mod report;
mod report_figures;
mod report_findings;
mod report_metrics;

pub use crate::{
    config::{Config, Loss, NumberType, Order, Watch},
    detector::{
        AdwinOptions, CusumOptions, DdmOptions, DetectorName, EddmOptions, HddmAOptions, HddmWOptions, KswinOptions,
        PageHinkleyOptions,
    },
    probe::{Stream, registry},
};

modelwatch_sdk::export_plugin!(registry);
