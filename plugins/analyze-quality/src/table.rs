//! Whether there are as many rows as expected, and whether they are young enough.

use modelwatch_sdk::{
    Report,
    report::{Check, Metric, Severity},
    rows::Use,
};

use crate::{
    column::{Body, Column},
    context::{Context, finding, measure, number},
    kind::Kind,
    numbers::Exact,
    settings::Expected,
    time::{SECOND, is_time, show_span, show_time},
};

/// Judges the number of rows.
pub(crate) fn volume(context: &Context<'_>, report: &mut Report) {
    let (config, rows) = (&context.settings.config, context.current.rows());
    measure(report, "rows", rows as f64, rows);
    measure(report, "n_columns", context.current.columns().len() as f64, rows);
    let mut problems = Vec::new();
    if let Some(least) = config.min_rows.filter(|it| rows < *it) {
        problems.push((Severity::Error, format!("there are {rows} rows, fewer than `min_rows`, {least}")));
    }
    if let Some(greatest) = config.max_rows.filter(|it| rows > *it) {
        problems.push((Severity::Error, format!("there are {rows} rows, more than `max_rows`, {greatest}")));
    }
    if let Some(reference) = context.reference {
        let ratio = rows as f64 / reference.rows() as f64;
        measure(report, "rows_ratio", ratio, rows);
        if ratio <= config.limits.size_ratio {
            // No rows at all are no matter of degree.
            let severity = if rows == 0 { Severity::Error } else { context.severity() };
            let limit = config.limits.size_ratio;
            let message = format!(
                "there are {rows} current rows and {} reference rows; more than {limit} times as many are expected",
                reference.rows()
            );
            problems.push((severity, message));
        }
    }
    let of = |(severity, message)| finding("MW-Q001", severity, "rows", message).evidence("rows", rows);
    report.findings.extend(problems.into_iter().map(of));
}

/// Judges how young the rows are.
pub(crate) fn freshness(context: &Context<'_>, report: &mut Report) {
    let Some(expected) = &context.settings.freshness else { return };
    let (name, column, newest) = match youngest(context, expected) {
        Ok(it) => it,
        Err(why) => {
            let requirement = "the youngest row is as young as `freshness` says";
            return report.checks.push(Check::not_checked("freshness", requirement, why));
        }
    };
    let mut problems = Vec::new();
    let least = [expected.newest, expected.as_of.zip(expected.max_age).map(|(as_of, age)| as_of - age)];
    if let Some(least) = least.into_iter().flatten().max().filter(|it| newest < *it) {
        problems.push(format!(
            "the youngest row is of {}, {} older than the least that is expected, {}",
            show_time(newest),
            show_span(least - newest),
            show_time(least),
        ));
    }
    if let Some(as_of) = expected.as_of {
        let age = as_of - newest;
        report.metrics.push(Metric::new("age", age as f64 / SECOND as f64).n(column.n_present()).unit("s"));
        if age < 0 {
            let (late, as_of) = (show_time(newest), show_time(as_of));
            problems.push(format!("the youngest row is of {late}, later than `freshness.as_of`, {as_of}"));
        }
    }
    for message in problems {
        let finding = finding("MW-Q002", Severity::Error, name, message).evidence("newest", show_time(newest));
        report.findings.push(number(finding, "n", column.n_present() as f64));
    }
}

/// Returns the column with the times and the latest of them.
///
/// # Errors
/// Why there is none.
fn youngest<'a>(context: &Context<'a>, expected: &'a Expected) -> Result<(&'a str, &'a Column, i128), String> {
    let column = match &expected.column {
        Some(name) => context.current.columns().get_key_value(name).map(|it| (it.0.as_str(), it.1)),
        None => context.current.column_for(Use::Timestamp),
    };
    let Some((name, column)) = column else {
        let what = expected.column.as_ref().map_or("a timestamp column".to_owned(), |it| format!("the column `{it}`"));
        return Err(format!("the current rows do not have {what}"));
    };
    let newest = match column.body() {
        _ if column.n_present() == 0 => None,
        Body::Times(it) => it.range().map(|it| it.1),
        // As where chunks are cut by them.
        Body::Numbers(it) if column.kinds().all(|it| it != Kind::Decimal) => {
            let seconds = it.range_with_infinities().map(|it| it.1);
            let nanoseconds = seconds.map(|it| match it {
                Exact::Whole(it) => it.saturating_mul(SECOND),
                Exact::Real(it) => (it * SECOND as f64) as i128,
            });
            if nanoseconds.is_some_and(|it| !is_time(it)) {
                return Err(format!(
                    "numbers are seconds since 1970, and the greatest of the column `{name}` is beyond the calendar: divide milliseconds by 1000, or convert them to times"
                ));
            }
            nanoseconds
        }
        _ => {
            return Err(format!(
                "the column `{name}` has values of type {}, and no dates, timestamps or seconds since 1970: convert it to times",
                column.types()
            ));
        }
    };
    newest.map(|it| (name, column, it)).ok_or_else(|| format!("every value of the column `{name}` is missing"))
}
