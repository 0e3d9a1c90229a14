//! What the current rows share with the reference that they should not.

use modelwatch_sdk::{Report, report::Gap, rows::Use};
use modelwatch_stats::keys::{KeyTallies, Overlap};

use crate::{
    column::Body,
    context::{Context, above, chance, finding, measure, percent},
    profile::Profile,
    time::{SECOND, show_time},
};

/// Judges rows, identifiers and times.
pub(crate) fn judge(context: &Context<'_>, report: &mut Report) {
    let Some(reference) = context.reference else { return };
    if context.current.rows() == 0 {
        return;
    }
    if context.reference_rows().is_some() {
        same_rows(context, reference, report);
        same_ids(context, reference, report);
    }
    old_times(context, reference, report);
}

fn same_rows(context: &Context<'_>, reference: &Profile, report: &mut Report) {
    let features = |it: &Profile| -> Vec<String> {
        let features = it.columns().iter().filter(|it| it.1.has_use(Use::Feature) && !it.1.is_opaque());
        features.map(|it| it.0.clone()).collect()
    };
    let names = features(context.current);
    if names != features(reference) {
        let why = "reference and current rows have different features, so that no row can be the same";
        report.gaps.push(Gap::new("rows in both reference and current", why));
        return;
    }
    if names.is_empty() {
        return;
    }
    let keys = context.current.feature_keys();
    let Some((share, n)) = shared(keys, reference.feature_keys()) else {
        report
            .gaps
            .push(Gap::new("rows in both reference and current", "too few of the rows that are kept can be compared"));
        return;
    };
    measure(report, "samples_mix", share, n);
    // Few combinations of features are bound to come again: as often as a row of the reference finds another one there.
    let usual = reference.feature_keys().recurring_share();
    let expected = usual + chance(usual, n) + chance(usual, reference.feature_keys().n());
    let limit = context.settings.config.limits.samples_mix.max(expected);
    if share > limit {
        let message = format!(
            "{} of the current rows have the features of a reference row, more than {}",
            percent(share),
            percent(limit)
        );
        let finding = finding("MW-Q040", context.severity(), "rows", message);
        report.findings.push(above(finding, share, limit, n));
    }
}

fn same_ids(context: &Context<'_>, reference: &Profile, report: &mut Report) {
    let Some((name, current)) = context.current.column_for(Use::Id) else { return };
    let Some(known) = reference.columns().get(name).filter(|it| !it.is_opaque() && !current.is_opaque()) else {
        return;
    };
    let Some((share, n)) = shared(current.values(), known.values()) else {
        report.gaps.push(Gap::new(
            "identifiers in both reference and current",
            "too few of those that are kept can be compared",
        ));
        return;
    };
    measure(report, "id_overlap", share, n);
    let limit = context.settings.config.limits.id_overlap;
    if share > limit {
        let message = format!(
            "{} of the current rows have an identifier (`{name}`) of a reference row, more than {}",
            percent(share),
            percent(limit)
        );
        let finding = finding("MW-Q041", context.severity(), name, message);
        report.findings.push(above(finding, share, limit, n));
    }
}

fn old_times(context: &Context<'_>, reference: &Profile, report: &mut Report) {
    let Some((name, current)) = context.current.column_for(Use::Timestamp) else { return };
    let known = reference.columns().get(name).and_then(|it| match it.body() {
        Body::Times(it) => it.range(),
        Body::Stored(it) => it.times(),
        _ => None,
    });
    let Body::Times(current) = current.body() else { return };
    let (Some((oldest, _)), Some((_, newest))) = (current.range(), known) else { return };
    let points = current.points();
    let n = points.iter().map(|it| it.1).fold(0, u64::saturating_add);
    // The bounds are exact; between them a histogram may answer.
    let last = newest as f64 / SECOND as f64;
    let n_old = points.iter().filter(|it| it.0 <= last).map(|it| it.1).fold(0, u64::saturating_add);
    let share = if oldest > newest { 0.0 } else { n_old.max(1) as f64 / n as f64 };
    measure(report, "time_overlap", share, n);
    let limit = context.settings.config.limits.time_overlap;
    if share > limit {
        let message = format!(
            "{} of the current rows are not after {}, the time of the youngest reference row (`{name}`), more than {}",
            percent(share),
            show_time(newest),
            percent(limit),
        );
        let finding = finding("MW-Q042", context.severity(), name, message).evidence("oldest", show_time(oldest));
        report.findings.push(above(finding, share, limit, n));
    }
}

/// Returns the share of rows whose key the reference has, and of how many rows it is known.
fn shared(current: &KeyTallies, reference: &KeyTallies) -> Option<(f64, u64)> {
    let Overlap { n, n_shared } = current.overlap(reference);
    (n > 0).then(|| (n_shared as f64 / n as f64, n))
}
