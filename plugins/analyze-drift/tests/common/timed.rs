//! Rows over days, for the tests of chunks.
#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;

use modelwatch_sdk::{
    RecordBatch, Report,
    arrow::array::{ArrayRef, Float64Array, StringArray, TimestampSecondArray},
    report::Labels,
    rows::Use,
};

use crate::common::{Random, batch_of};

pub const DAY: i64 = 86_400;

/// 2026-03-02, a Monday.
pub const MONDAY: i64 = 20_514 * DAY;

/// Days of rows: columns of normal numbers, `x0` on, with the mean that `mean` gives for a column and a day, and a slice column `region`
/// of `north` and `south` in turn.
pub struct Days<'a> {
    pub seed: u64,
    pub first: i64,
    pub n_days: i64,
    pub rows_a_day: usize,
    pub n_columns: usize,
    pub mean: &'a dyn Fn(usize, i64) -> f64,
}

impl Days<'_> {
    /// Returns the rows, in the order of their times.
    pub fn rows(&self) -> RecordBatch {
        let mut random = Random(self.seed);
        let n_rows = self.n_days as usize * self.rows_a_day;
        let day_of = |row: usize| (row / self.rows_a_day) as i64;
        let second_of = |row: usize| {
            let within = (row % self.rows_a_day) as i64 * DAY / self.rows_a_day as i64;
            self.first + day_of(row) * DAY + within
        };
        let names: Vec<String> = (0..self.n_columns).map(|it| format!("x{it}")).collect();
        let mut columns: Vec<(&str, &[Use], ArrayRef)> = Vec::new();
        for (column, name) in names.iter().enumerate() {
            let values = (0..n_rows).map(|row| random.normal() + (self.mean)(column, day_of(row)));
            columns.push((name, &[Use::Feature], Arc::new(Float64Array::from_iter_values(values))));
        }
        let regions = (0..n_rows).map(|row| if row % 2 == 0 { "north" } else { "south" });
        columns.push(("region", &[Use::Slice], Arc::new(StringArray::from_iter_values(regions))));
        let times: Vec<i64> = (0..n_rows).map(second_of).collect();
        columns.push(("at", &[Use::Timestamp], Arc::new(TimestampSecondArray::from(times))));
        batch_of(columns)
    }
}

/// Returns a metric of exactly these labels.
pub fn labeled(report: &Report, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: Labels = labels.iter().map(|it| (it.0.to_owned(), it.1.to_owned())).collect();
    report.metrics.iter().find(|it| it.name == name && it.labels == wanted).map(|it| it.value)
}

/// Returns the chunks in which a column of all rows was found drifted.
pub fn drifted_in<'a>(report: &'a Report, column: &str) -> Vec<&'a str> {
    let is_it = |it: &Labels| it.get("column").is_some_and(|it| it == column) && !it.contains_key("slice");
    let drifted = report.metrics.iter().filter(|it| it.name == "drifted" && it.value == 1.0 && is_it(&it.labels));
    drifted.filter_map(|it| it.labels.get("chunk").map(String::as_str)).collect()
}

/// Returns why that was not looked at.
pub fn gap<'a>(report: &'a Report, what: &str) -> &'a str {
    let found = report.gaps.iter().find(|it| it.what == what);
    &found.unwrap_or_else(|| panic!("no gap about {what} in {:?}", report.gaps)).why
}
