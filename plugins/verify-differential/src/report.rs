//! Checks, metrics and findings.

use modelwatch_sdk::{
    KnownMetric, Report,
    nodes::{Counterpart, NodeComparison, NodeDifference, OutputDifference},
    report::{Check, Finding, Gap, Labels, Metric, Severity, Status, float},
};

use crate::{
    config::Config,
    figures,
    judge::{self, Where},
    outputs, uncompared,
};

/// Returns the metrics that there can be.
pub(crate) fn known() -> impl Iterator<Item = KnownMetric> {
    let of_outputs =
        ["max_abs_error", "relative_norm", "mismatch_share", outputs::NAN_IN_BOTH, outputs::INFINITE_IN_BOTH];
    KnownMetric::all(of_outputs, &["output"])
        .chain(KnownMetric::all([uncompared::OF_NODE], &["node"]))
        .chain(KnownMetric::all(["unmatched_outputs"].into_iter().chain(uncompared::COUNTS), &[]))
}

/// Returns what is said of no rows at all.
pub(crate) fn of_nothing(why: &str) -> Report {
    let check = Check::not_checked("mismatch_share", "== 0", why);
    Report { checks: vec![check], gaps: vec![Gap::new("outputs", why)], ..Report::default() }
}

pub(crate) fn report(config: &Config, comparison: &NodeComparison) -> Report {
    if comparison.rows == 0 {
        return of_nothing("there are no rows");
    }
    let mut res = Report::default();
    let mut all_agree = true;
    for it in &comparison.outputs {
        all_agree &= output(&mut res, config, it);
        outputs::not_finite(&mut res, config, comparison, it);
    }
    outputs::unmatched(&mut res, comparison);
    if let Some(why) = &comparison.obstacle {
        uncompared::all(&mut res, why);
        return res;
    }
    let found = Where::new(config, comparison);
    let n = comparison.nodes.len() as u64;
    let n_unmatched = comparison.nodes.iter().filter(|it| it.counterpart.is_none()).count() as u64;
    let [nodes, without, that_differ] = uncompared::COUNTS;
    let counts = [(nodes, n), (without, n_unmatched)];
    res.metrics.extend(counts.map(|(name, value)| Metric::new(name, value as f64).n(comparison.rows)));
    res.metrics.push(match found.n_compared {
        0 => Metric::new(that_differ, f64::NAN).unfit(Some("no node was compared".to_owned())),
        _ => Metric::new(that_differ, found.culprits.len() as f64).n(comparison.rows),
    });
    uncompared::each(&mut res, comparison);
    uncompared::gaps(&mut res, n, found.n_compared, n_unmatched);
    findings(&mut res, comparison, &found, all_agree);
    res.figures.extend(figures::nodes(config, comparison));
    res
}

/// Says how far an output is from the baseline's. Returns whether it is near enough.
fn output(res: &mut Report, config: &Config, it: &OutputDifference) -> bool {
    let labels = Labels::from([("output".to_owned(), it.name.clone())]);
    let share = judge::mismatch_share(&it.difference);
    let values = [
        ("max_abs_error", it.difference.max_absolute),
        ("relative_norm", it.difference.relative_norm),
        ("mismatch_share", share),
    ];
    let n = it.difference.n;
    res.metrics.extend(values.map(|(name, value)| Metric::new(name, value).n(n).label("output", &*it.name)));
    let (metric, observed, limit) = match config.max_relative_norm {
        Some(limit) => ("relative_norm", it.difference.relative_norm, limit),
        None => ("mismatch_share", share, config.max_mismatch_share),
    };
    let agrees = judge::agrees(config, &it.difference);
    let beside = if it.baseline == it.name { String::new() } else { format!(", `{}` in the baseline", it.baseline) };
    res.checks.push(Check {
        metric: metric.to_owned(),
        labels,
        requirement: format!("<= {limit}"),
        observed: Some(observed),
        interval: None,
        n,
        status: Status::of(n, agrees),
        message: match n {
            0 => format!("output `{}` has no elements", it.name),
            _ if observed == 0.0 => format!("{metric} of output `{}`{beside} is 0, allowed {limit}", it.name),
            _ => format!("{metric} of output `{}`{beside} is {observed:.3e}, allowed {limit}", it.name),
        },
    });
    agrees
}

fn findings(res: &mut Report, comparison: &NodeComparison, found: &Where<'_>, all_agree: bool) {
    if let Some((node, counterpart)) = found.culprits.first() {
        let others = match found.culprits.len() - 1 {
            0 => String::new(),
            1 => ", as does one later node".to_owned(),
            n => format!(", as do {n} later nodes"),
        };
        let (code, severity, what) = if all_agree {
            ("MW-N002", Severity::Info, "the outputs agree, but a node does not:")
        } else {
            ("MW-N001", Severity::Error, "the outputs part at")
        };
        let message = format!(
            "{what} `{}` ({}), which makes something else of the same values{others}: off by {:.1e} of their norm, by at most {:.1e} in any element",
            node.name, node.operator, counterpart.isolated.relative_norm, counterpart.isolated.max_absolute
        );
        res.findings.push(with_evidence(Finding::new(code, severity, &*node.name, message), node, counterpart).advice(
            "compare the node's weights and attributes in both files; of a quantized model, look at the ranges: a value far outside of what calibration saw, or one scale for channels of different size",
        ));
    } else if let Some((node, counterpart)) = found.first_beyond.filter(|_| !all_agree) {
        res.findings.push(added_up(found, node, counterpart));
    } else if !all_agree {
        let (subject, after) = match found.last_agreeing {
            Some(it) => (it.name.clone(), format!("after `{}` ({}), where they still agree", it.name, it.operator)),
            None => ("outputs".to_owned(), "and no node before them has a counterpart that agrees".to_owned()),
        };
        let (why, advice) = match uncompared::suspects(comparison) {
            None => (
                "nor is any beyond the limits with what comes before it".to_owned(),
                "look whether `outputs` names the right ones, and at outputs without elements",
            ),
            Some(suspects) => (
                format!("so that it is {suspects}, or small errors of many that add up"),
                "export both models by one exporter, or without fusing operators, so that more nodes find a counterpart",
            ),
        };
        let message = format!(
            "the outputs part {after}; no node with a counterpart does something else with the same values, {why}"
        );
        res.findings.push(Finding::new("MW-N003", Severity::Error, subject, message).advice(advice));
    }
    let is_broken =
        |it: &&NodeDifference| it.counterpart.as_ref().is_some_and(|it| it.cumulative.max_absolute.is_infinite());
    if let Some(node) = comparison.nodes.iter().find(is_broken) {
        let message = format!(
            "`{}` ({}) is the first node with a value that is finite in one model alone",
            node.name, node.operator
        );
        let finding = Finding::new("MW-N004", Severity::Error, &*node.name, message);
        let finding = match &node.counterpart {
            Some(it) => with_evidence(finding, node, it),
            None => finding,
        };
        res.findings.push(
            finding.advice("look for NaN or infinite weights in the node, and for inputs that overflow its type"),
        );
    }
}

/// Says where errors that are small at each node have become too great together.
fn added_up(found: &Where<'_>, node: &NodeDifference, counterpart: &Counterpart) -> Finding {
    let shown = |(it, of): &(&NodeDifference, &Counterpart)| {
        format!("`{}` ({}) by {:.1e}", it.name, it.operator, of.isolated.relative_norm)
    };
    let contributors: Vec<_> = found.contributors.iter().map(shown).collect();
    let most = match &contributors[..] {
        [] => "none is off by itself".to_owned(),
        some => format!("farthest off by themselves are {}", some.join(", ")),
    };
    let message = format!(
        "no node does something else with the same values, but errors add up: with all before it `{}` ({}) is the first beyond the \
         limits, off by {:.1e} of its norm, by at most {:.1e} in any element; {most}",
        node.name, node.operator, counterpart.cumulative.relative_norm, counterpart.cumulative.max_absolute
    );
    let finding = Finding::new("MW-N007", Severity::Error, &*node.name, message).advice(
        "compute the nodes that are farthest off with more digits, as by leaving them out of a quantization; where the outputs are good enough as they are, raise their limit",
    );
    with_evidence(finding, node, counterpart)
        .evidence("cumulative_max_abs_error", float::to_value(counterpart.cumulative.max_absolute))
        .evidence("contributors", contributors.join("; "))
}

fn with_evidence(finding: Finding, node: &NodeDifference, it: &Counterpart) -> Finding {
    let inputs: Vec<_> = node.inputs.iter().map(|it| format!("{}: {}", it.node, figures::range(it.range))).collect();
    finding
        .evidence("operator", &*node.operator)
        .evidence("counterpart", &*it.name)
        .evidence("isolated_relative_norm", float::to_value(it.isolated.relative_norm))
        .evidence("isolated_max_abs_error", float::to_value(it.isolated.max_absolute))
        .evidence("cumulative_relative_norm", float::to_value(it.cumulative.relative_norm))
        .evidence("range", figures::range(node.range))
        .evidence("baseline_range", figures::range(it.range))
        .evidence("inputs", inputs.join("; "))
}
