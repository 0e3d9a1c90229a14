//! Whether the columns are those that are written, and those of the reference.

use modelwatch_sdk::{
    Report,
    report::{Finding, Gap, Severity},
    rows::{Use, name_matches},
};

use crate::{
    column::Column,
    context::{Context, finding, measure},
    kind::Kind,
    settings::Rule,
};

/// Judges which columns there are and what their types are.
pub(crate) fn judge(context: &Context<'_>, report: &mut Report) {
    let before = report.findings.len();
    missing_columns(context, report);
    new_columns(context, report);
    for (name, column) in context.current.columns() {
        report.findings.extend(wrong_type(context, name, column));
        if context.settings.is_torn(name, column) {
            let why = format!("its rows are of types {}, to which different rules of types apply", column.types());
            report.gaps.push(Gap::new(format!("column `{name}`, its rule"), why));
        }
        if column.is_opaque() {
            let why = format!("values of type {} cannot be told apart; missing ones are counted", column.types());
            report.gaps.push(Gap::new(format!("column `{name}`, its values"), why));
        }
    }
    measure(report, "schema_changes", (report.findings.len() - before) as f64, context.current.rows());
}

fn missing_columns(context: &Context<'_>, report: &mut Report) {
    let current = context.current.columns();
    for name in context.settings.required().filter(|it| !current.contains_key(*it)) {
        let message = format!("the column `{name}` is required, and the current rows do not have it");
        report.findings.push(finding("MW-Q003", Severity::Error, name, message));
    }
    let is_met = |pattern: &str| current.keys().any(|name| name_matches(pattern, name));
    for (pattern, is_required) in context.settings.patterns().filter(|it| !is_met(it.0)) {
        match is_required {
            Some(true) => {
                let message = format!("columns `{pattern}` are required, and the current rows have none");
                report.findings.push(finding("MW-Q003", Severity::Error, pattern, message));
            }
            None => {
                let why = "the current rows have none, so that its rule was not applied; write `required = false` where that is meant";
                report.gaps.push(Gap::new(format!("columns `{pattern}`"), why));
            }
            Some(false) => {}
        }
    }
    for (pattern, is_required) in context.settings.types_without(current) {
        let message = format!("no column of the current rows is of `{pattern}`");
        if is_required {
            report.findings.push(finding("MW-Q003", Severity::Error, pattern, message));
        } else {
            report.gaps.push(Gap::new(format!("columns `{pattern}`"), message));
        }
    }
    let Some(reference) = context.reference else { return };
    for (name, column) in reference.columns().iter().filter(|it| !current.contains_key(it.0)) {
        let is_required = context.settings.required().any(|it| it == name);
        // Labels come later, and where they are needed, the pipeline or another probe asks for them.
        if is_required || column.has_use(Use::Label) {
            continue;
        }
        let is_optional = context.settings.rule(name, column).is_some_and(|it| it.written.required == Some(false));
        let severity = if is_optional { Severity::Info } else { Severity::Error };
        let message =
            format!("the reference rows have the column `{name}` ({}), the current rows do not", column.types());
        report.findings.push(finding("MW-Q003", severity, name, message));
    }
}

fn new_columns(context: &Context<'_>, report: &mut Report) {
    for (name, column) in context.current.columns() {
        let is_written = context.settings.rule(name, column).is_some();
        if context.settings.config.only_these && !is_written {
            let message = format!("the column `{name}` ({}) is not among those that are written", column.types());
            report.findings.push(finding("MW-Q004", Severity::Error, name, message));
        } else if context.reference.is_some_and(|it| !it.columns().contains_key(name)) && !is_written {
            let message = format!("the column `{name}` ({}) is new: the reference rows do not have it", column.types());
            report.findings.push(finding("MW-Q004", context.severity(), name, message));
        }
    }
}

fn wrong_type(context: &Context<'_>, name: &str, column: &Column) -> Option<Finding> {
    if column.is_mixed() {
        let message =
            format!("the column `{name}` has values of types {}, which cannot be put together", column.types());
        return Some(finding("MW-Q006", Severity::Error, name, message));
    }
    let kind = column.kind();
    if let Some(wanted) = context.settings.rule(name, column).and_then(|it: &Rule| it.written.kind) {
        if kind.is_none_or(|it| it.fits(wanted)) {
            return None;
        }
        let message = format!("the column `{name}` is to be of type {}, and it is {}", wanted.as_str(), column.types());
        return Some(finding("MW-Q005", Severity::Error, name, message));
    }
    let reference = context.reference?.columns().get(name)?;
    // Without a single value there is no type to speak of; that it has no values is another finding.
    if column.n_present() == 0 || reference.n_present() == 0 {
        return None;
    }
    if reference.stored().is_some() {
        return unlike_profile(name, column, reference);
    }
    if column.types() == reference.types() {
        return None;
    }
    let (before, now) = (reference.kind()?, kind?);
    let severity = match (before, now) {
        _ if before == now => Severity::Info,
        (Kind::Integer, Kind::Float) | (Kind::Float, Kind::Integer) => Severity::Warning,
        _ => Severity::Error,
    };
    let message = format!(
        "the column `{name}` has {} ({}), and the reference rows have {} ({})",
        now.as_str(),
        column.types(),
        before.as_str(),
        reference.types(),
    );
    Some(finding("MW-Q005", severity, name, message))
}

/// Returns the finding that values are of another type than those of a stored profile, which tells fewer types apart.
fn unlike_profile(name: &str, column: &Column, reference: &Column) -> Option<Finding> {
    let severity = match (reference.kind()?, column.kind()?) {
        (Kind::Text, Kind::Text | Kind::Boolean | Kind::Category) | (Kind::Float, Kind::Decimal) => return None,
        (Kind::Text, _) if column.has_use(Use::Categorical) => return None,
        (Kind::Time, Kind::Time) if column.types() != reference.types() => Severity::Info,
        (before, now) if before == now => return None,
        (Kind::Integer, Kind::Float | Kind::Decimal) | (Kind::Float, Kind::Integer) => Severity::Warning,
        _ => Severity::Error,
    };
    let message = format!(
        "the column `{name}` has {} ({}), and the stored profile of the reference has {}",
        column.kind()?.as_str(),
        column.types(),
        reference.types(),
    );
    Some(finding("MW-Q005", severity, name, message))
}
