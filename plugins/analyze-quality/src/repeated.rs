//! Rows that repeat and columns that are the same.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Report,
    report::{Gap, Severity},
};

use crate::{
    context::{Context, above, chance, finding, measure, percent, some},
    profile::Profile,
};

/// Judges rows that repeat another one.
pub(crate) fn rows(context: &Context<'_>, report: &mut Report) {
    let keys = context.current.row_keys();
    if keys.n() == 0 {
        return;
    }
    let share = keys.repeated_share();
    measure(report, "duplicate_row_share", share, keys.n());
    measure(report, "duplicate_rows", (share * keys.n() as f64).round(), keys.n());
    if keys.is_overflowed() {
        let why = format!(
            "there are more than {} different rows, so that shares of rows are estimated with a relative error of {}",
            context.settings.config.max_keys,
            percent(keys.relative_error()),
        );
        report.gaps.push(Gap::new("repeated rows, in part", why));
    }
    let usual =
        context.reference_rows().filter(|it| it.row_keys().n() > 0).map_or(0.0, |it| it.row_keys().repeated_share());
    let limit = context.settings.config.limits.duplicates.max(usual + chance(usual, keys.n()));
    if share > limit {
        let message = format!(
            "{} of the rows repeat another one in features and label, more than {}",
            percent(share),
            percent(limit)
        );
        let finding = finding("MW-Q030", context.severity(), "rows", message);
        report.findings.push(above(finding, share, limit, keys.n()));
    }
}

/// Judges columns that are equal in every row.
pub(crate) fn columns(context: &Context<'_>, report: &mut Report) {
    let groups = identical(context.current);
    let n: usize = groups.iter().map(|it| it.len() - 1).sum();
    measure(report, "duplicate_columns", n as f64, context.current.rows());
    let known = context.reference_rows().map(identical).unwrap_or_default();
    for group in groups {
        let is_known = known.iter().any(|it| group.iter().all(|name| it.contains(name)));
        let severity = if is_known { Severity::Info } else { context.severity() };
        let message = format!("the columns {} are equal in every row", some(&group));
        report.findings.push(finding("MW-Q031", severity, group[0], message).evidence("columns", group));
    }
}

/// Returns the columns that are equal in every row, in groups. Columns with fewer than two different values are no news.
fn identical(profile: &Profile) -> Vec<Vec<&str>> {
    let mut groups: BTreeMap<(u64, u64), Vec<&str>> = BTreeMap::new();
    for (name, column) in profile.columns() {
        if !column.is_opaque() && (column.values().distinct() > 1.0) {
            groups.entry((column.fingerprint(), column.n_missing())).or_default().push(name);
        }
    }
    let mut res: Vec<_> = groups.into_values().filter(|it| it.len() > 1).collect();
    // Not in the order of the hashes.
    res.sort();
    res
}
