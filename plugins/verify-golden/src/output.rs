//! Checks, metrics, findings and figures.

use modelwatch_sdk::{
    Report,
    report::{Check, Figure, FigureData, Finding, Gap, Labels, Metric, Series, Severity, Status, float},
};

use crate::{
    compare::{Compared, Kind},
    config::Config,
    probe::Seen,
};

pub(crate) fn report(config: &Config, seen: &Seen) -> Report {
    let mut res = Report::default();
    if seen.rows == 0 {
        res.gaps.push(Gap::new("recorded outputs", "there are no rows"));
    }
    let extra: Vec<_> = seen.extra.iter().filter(|it| !config.ignore_extra.contains(it)).map(String::as_str).collect();
    let none = Compared::default();
    for (name, column) in &config.outputs {
        let it = seen.outputs.get(name).unwrap_or(&none);
        presence(&mut res, seen, (name, it), &extra);
        metrics(&mut res, name, it);
        checks(&mut res, config, seen, name);
        findings(&mut res, config, (name, column), it);
        figures(&mut res, name, it);
    }
    let status = Status::of(seen.rows, extra.is_empty());
    let message = match status {
        Status::Fail => format!("the model also produces {}", extra.join(", ")),
        Status::Pass => "every output that the model produces is listed".to_owned(),
        _ => "there are no rows".to_owned(),
    };
    res.checks.push(check("unlisted_outputs", None, "== 0", Some(extra.len() as f64), seen.rows, status, message));
    for name in extra {
        let finding = Finding::new(
            "MW-G003",
            Severity::Error,
            name,
            "the model produces this output, which `outputs` does not list",
        );
        res.findings.push(
            finding
                .advice("record it and list it in `outputs`, or name it in `ignore_extra`")
                .evidence("kind", "extra"),
        );
    }
    res
}

fn labels(output: &str) -> Labels {
    Labels::from([("output".to_owned(), output.to_owned())])
}

fn check(
    metric: &str,
    output: Option<&str>,
    requirement: &str,
    observed: Option<f64>,
    n: u64,
    status: Status,
    message: String,
) -> Check {
    let labels = output.map(labels).unwrap_or_default();
    let observed = if n == 0 { None } else { observed };
    Check {
        metric: metric.into(),
        labels,
        requirement: requirement.into(),
        observed,
        interval: None,
        n,
        status,
        message,
    }
}

fn presence(res: &mut Report, seen: &Seen, (name, it): (&str, &Compared), extra: &[&str]) {
    let absent = seen.rows.saturating_sub(it.present);
    let status = Status::of(seen.rows, absent == 0);
    let renamed =
        if extra.is_empty() { String::new() } else { format!("; was it renamed to one of {}?", extra.join(", ")) };
    let message = match status {
        Status::Pass => format!("output `{name}` is produced"),
        Status::Fail => format!("output `{name}` is missing from {absent} of {} rows{renamed}", seen.rows),
        _ => "there are no rows".to_owned(),
    };
    res.checks.push(check("missing_rows", Some(name), "== 0", Some(absent as f64), seen.rows, status, message.clone()));
    if absent > 0 {
        let finding = Finding::new("MW-G003", Severity::Error, name, message).evidence("kind", "missing");
        res.findings.push(finding.advice("check the model's output names against `outputs`").evidence("rows", absent));
    }
    if it.wrong_width_rows > 0 {
        let pairs: Vec<_> = it.widths.iter().map(|(new, old)| format!("{new} instead of {old}")).collect();
        let message =
            format!("output `{name}` has another width in {} rows: {}", it.wrong_width_rows, pairs.join(", "));
        let wrong = it.wrong_width_rows;
        res.checks.push(check(
            "wrong_width_rows",
            Some(name),
            "== 0",
            Some(wrong as f64),
            it.present,
            Status::Fail,
            message.clone(),
        ));
        let finding = Finding::new("MW-G003", Severity::Error, name, message).evidence("kind", "width");
        res.findings.push(finding.advice("check that the recorded outputs are of this model").evidence("rows", wrong));
    }
}

/// The names of all metrics, in the order of their values.
pub(crate) const METRICS: [&str; 9] = [
    "max_abs_error",
    "max_rel_error",
    "mean_abs_error",
    "mismatched",
    "mismatch_share",
    "non_finite",
    "max_ulp",
    "min_cosine",
    "top1_agreement",
];

fn metrics(res: &mut Report, name: &str, it: &Compared) {
    if it.elements == 0 {
        return;
    }
    let known = |value: f64| if it.finite == 0 { f64::NAN } else { value };
    let top = if it.wide_rows == 0 { f64::NAN } else { it.same_top as f64 / it.wide_rows as f64 };
    let values = [
        (known(it.max_abs), it.finite),
        (known(it.max_rel), it.finite),
        (known(it.sum_error.value().abs() / it.finite as f64), it.finite),
        (it.mismatched as f64, it.elements),
        (it.mismatched as f64 / it.elements as f64, it.elements),
        (it.non_finite as f64, it.elements),
        (known(it.max_ulp as f64), it.finite),
        (cosine(it), it.wide_rows),
        (top, it.wide_rows),
    ];
    let known = METRICS.into_iter().zip(values).filter(|it| it.1.1 > 0);
    res.metrics.extend(known.map(|(metric, (value, n))| Metric::new(metric, value).n(n).label("output", name)));
}

/// The least cosine; NaN where a row that differs has none.
fn cosine(it: &Compared) -> f64 {
    if it.no_cosine > 0 { f64::NAN } else { it.min_cosine.unwrap_or(f64::NAN) }
}

fn checks(res: &mut Report, config: &Config, seen: &Seen, name: &str) {
    let none = Compared::default();
    let it = seen.outputs.get(name).unwrap_or(&none);
    // What an output has nothing of is a gap where another output has it: the option is for that one.
    let mut gaps = Vec::new();
    let mut is_for = |option: &str, n: fn(&Compared) -> u64, why: &str| {
        let is_left_out = it.elements > 0 && n(it) == 0 && seen.outputs.values().any(|it| n(it) > 0);
        if is_left_out {
            gaps.push(Gap::new(format!("`{option}` of output `{name}`"), why));
        }
        !is_left_out
    };
    let max_ulp =
        config.max_ulp.filter(|_| it.kind != Some(Kind::Texts) || is_for("max_ulp", |it| it.finite, "it is text"));
    let min_cosine = config.min_cosine.filter(|_| is_for("min_cosine", |it| it.wide_rows, "a row has no two numbers"));
    let too_narrow = "a row has no more numbers than the highest that are compared, which would always be the same";
    let top_k = config.top_k.filter(|_| is_for("top_k", |it| it.ranked_rows, too_narrow));
    res.gaps.extend(gaps);
    let mut add = |metric: &str, requirement: String, observed: f64, n: u64, holds: bool| {
        let status = Status::of(n, holds);
        let message = match status {
            Status::NotChecked => "there was nothing to compare".to_owned(),
            _ => format!("{metric} of output `{name}` is {observed}, required {requirement}"),
        };
        res.checks.push(check(metric, Some(name), &requirement, Some(observed), n, status, message));
    };
    let share = it.mismatched as f64 / it.elements as f64;
    let limit = config.max_mismatch_share;
    add("mismatch_share", format!("<= {limit}"), share, it.elements, share <= limit);
    add("non_finite", "== 0".into(), it.non_finite as f64, it.elements, it.non_finite == 0);
    if let Some(limit) = max_ulp {
        add("max_ulp", format!("<= {limit}"), it.max_ulp as f64, it.finite, it.above_ulp == 0 && it.max_ulp <= limit);
    }
    if let Some(limit) = min_cosine {
        add("min_cosine", format!(">= {limit}"), cosine(it), it.wide_rows, cosine(it) >= limit);
    }
    if let Some(k) = top_k {
        let share = it.same_top_k as f64 / it.ranked_rows as f64;
        add("top_k_agreement", format!("== 1 for k = {k}"), share, it.ranked_rows, it.same_top_k == it.ranked_rows);
    }
}

fn findings(res: &mut Report, config: &Config, (name, column): (&str, &str), it: &Compared) {
    if it.elements == 0 {
        return;
    }
    let share = it.mismatched as f64 / it.elements as f64;
    if share > config.max_mismatch_share {
        let (rtol, atol) = config.tolerance(name);
        let by = match it.kind {
            Some(Kind::Texts) => String::new(),
            Some(Kind::Integers) => format!(" by more than {atol}"),
            Some(Kind::Floats) | None => format!(" by more than {atol} + {rtol} × |recorded|"),
        };
        let worst = it.worst.first().map_or_else(String::new, |it| {
            format!(", worst in row `{}`, element {}: {} instead of {}", it.id, it.element, it.produced, it.recorded)
        });
        let message = format!("{} of {} elements differ from column `{column}`{by}{worst}", it.mismatched, it.elements);
        let finding = Finding::new("MW-G001", Severity::Error, name, message)
            .advice("find the layer where the outputs part; if the change was meant, record the outputs again")
            .evidence("mismatch_share", share)
            .evidence("max_abs_error", float::to_value(it.max_abs));
        res.findings.push(finding.evidence("mismatched", it.mismatched));
    }
    if it.non_finite > 0 {
        let what = if it.kind == Some(Kind::Texts) { "missing" } else { "not finite" };
        let message = format!("{} of {} elements are {what} on one side, or on both", it.non_finite, it.elements);
        let finding = Finding::new("MW-G002", Severity::Error, name, message).evidence("non_finite", it.non_finite);
        res.findings.push(finding.advice("look for NaN in weights and inputs, for sums that overflow, or nulls in the recorded column; where the model is to give them, set `equal_nan` or `equal_infinity`"));
    }
}

fn figures(res: &mut Report, name: &str, it: &Compared) {
    if let (Some((&low, _)), Some((&high, _))) = (it.histogram.first_key_value(), it.histogram.last_key_value()) {
        let values = (low..=high).map(|bin| it.histogram.get(&bin).map_or(0.0, |&it| it as f64)).collect();
        res.figures.push(Figure {
            title: format!("Errors of {name}"),
            caption: "Counts of log10 |error|; exact matches are left out.".to_owned(),
            data: FigureData::Histogram {
                edges: (low..=high + 1).map(|it| f64::from(it) / 2.0).collect(),
                series: vec![Series { name: name.to_owned(), values }],
            },
        });
    }
    if !it.worst.is_empty() {
        let row = |it: &crate::compare::WorstRow| {
            vec![it.id.clone(), it.element.to_string(), it.produced.clone(), it.recorded.clone(), it.excess.to_string()]
        };
        res.figures.push(Figure {
            title: format!("Worst rows of {name}"),
            caption: "The element of each row whose error is the greatest multiple of its tolerance.".to_owned(),
            data: FigureData::Table {
                columns: ["id", "element", "produced", "recorded", "error / tolerance"].map(str::to_owned).into(),
                rows: it.worst.iter().map(row).collect(),
            },
        });
    }
}
