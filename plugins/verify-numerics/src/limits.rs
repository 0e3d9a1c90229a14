//! Limits on the numbers of the data: how large they may be, where they may lie, and how many may be at a bound.

use modelwatch_sdk::{
    Report,
    numerics::NodeNumbers,
    report::{Check, Finding, Labels, Metric, Severity, Status},
};

use crate::{
    config::{Config, Precision, Scope},
    numbers::Seen,
    report::{DATA, check, computed, n_non_finite, operator, shown, size},
};

/// Holds the size of all numbers against `max_abs`, and that of constants too against what `fits` can hold.
pub(crate) fn sizes(res: &mut Report, config: &Config, seen: &Seen) {
    let numbers = &seen.numbers;
    // Inputs count: they are converted as well.
    let nodes: Vec<(&NodeNumbers, &str)> = numbers.nodes.iter().map(|it| (it, operator(it))).collect();
    if let Some(limit) = config.max_abs {
        too_large(res, &nodes, seen, (limit, None));
    }
    if let Some(precision) = config.fits {
        // Constants first: the data does not matter to them.
        let constants = numbers.constants.iter().map(|it| (it, "constant"));
        // Whole numbers stay what they are in a conversion.
        let all: Vec<_> = constants.chain(nodes).filter(|it| it.0.is_float).collect();
        too_large(res, &all, seen, (precision.greatest(), Some(precision)));
    }
}

/// Holds sizes against a limit, which is that of a precision or an option.
fn too_large(
    res: &mut Report,
    nodes: &[(&NodeNumbers, &str)],
    seen: &Seen,
    (limit, precision): (f64, Option<Precision>),
) {
    let (metric, code, what) = match precision {
        None => ("max_abs".to_owned(), "MW-F002", "out of the range that `max_abs` allows".to_owned()),
        Some(it) => (format!("max_abs_{}", it.name()), "MW-F003", format!("that overflow in {}", it.name())),
    };
    let greatest = nodes.iter().map(|it| size(it.0.range)).fold(0.0, f64::max);
    let mut beyond = nodes.iter().filter(|it| size(it.0.range) > limit);
    let first = beyond.next();
    let n = nodes.iter().filter(|it| it.0.n > 0).count() as u64;
    let message = format!("the greatest number is {}, allowed {}", shown(greatest), shown(limit));
    let (status, message) = seen.judge(n, first.is_none(), message);
    let observed = (n > 0).then_some(greatest);
    res.checks.push(check(&metric, DATA, &format!("<= {limit}"), observed, seen.numbers.rows, status, message));
    let Some((node, operator)) = first else { return };
    let later = match beyond.count() {
        0 => String::new(),
        1 => format!("; 1 later {} too", seen.scope.singular()),
        n => format!("; {n} later {} too", seen.scope.plural()),
    };
    let (greatest, limit) = (shown(size(node.range)), shown(limit));
    let message =
        format!("`{}` ({operator}) has numbers {what}: up to {greatest}, more than {limit}{later}", node.name);
    res.findings.push(
        Finding::new(code, Severity::Error, &*node.name, message)
            .advice("normalize in front of the node, or keep it in single precision"),
    );
}

/// Holds single outputs, nodes and inputs against their ranges.
pub(crate) fn ranges(res: &mut Report, config: &Config, seen: &Seen) {
    let numbers = &seen.numbers;
    for (name, &[least, greatest]) in &config.ranges {
        // What is named but not there was asked for and cannot be said: no reason to pass.
        let found = numbers.nodes.iter().find(|it| it.outputs.iter().any(|it| it == name));
        let found = found.or_else(|| numbers.nodes.iter().find(|it| it.name == *name));
        let range = found.and_then(|it| it.range);
        let (n, holds, message) = match (found, range, &seen.obstacle) {
            // What is no output may be a node or an input.
            (None, _, Some(why)) => (0, false, format!("`{name}` is no output with numbers; {why}")),
            (None, ..) if seen.scope == Scope::Outputs => {
                (1, false, format!("there is no output `{name}` with numbers"))
            }
            (None, ..) => (1, false, format!("there is no output, node or input `{name}`")),
            (Some(it), ..) if n_non_finite(it) > 0 => {
                (it.n, false, format!("{} of {} numbers of `{name}` are not finite", n_non_finite(it), it.n))
            }
            (Some(it), None, _) => (it.n, false, format!("`{name}` has no numbers")),
            (Some(it), Some(range), _) => {
                let holds = least <= range.least && range.greatest <= greatest;
                let seen = format!("{} to {}", shown(range.least), shown(range.greatest));
                (
                    it.n,
                    holds,
                    format!("`{name}` has numbers from {seen}, allowed {} to {}", shown(least), shown(greatest)),
                )
            }
        };
        if !holds && n > 0 {
            let advice = "look for an activation that is missing or another, or change the range";
            res.findings.push(Finding::new("MW-F002", Severity::Error, &**name, message.clone()).advice(advice));
        }
        // The number that is further out, or the greatest.
        let observed = range.map(|it| if it.least < least { it.least } else { it.greatest });
        res.checks.push(Check {
            labels: Labels::from([("inputs".to_owned(), DATA.to_owned()), ("of".to_owned(), name.clone())]),
            ..check("range", DATA, &format!("{least} to {greatest}"), observed, n, Status::of(n, holds), message)
        });
    }
}

/// Reports how many numbers are at a bound of their operator, and holds the greatest share against its limit.
pub(crate) fn saturation(res: &mut Report, config: &Config, seen: &Seen) {
    let numbers = &seen.numbers;
    let share = |it: &NodeNumbers| it.n_saturated.filter(|_| it.n > 0).map(|n| n as f64 / it.n as f64);
    let bounded: Vec<(&NodeNumbers, f64)> = computed(numbers).filter_map(|it| Some((it, share(it)?))).collect();
    for (node, share) in &bounded {
        let metric = Metric::new("saturated_share", *share).n(node.n);
        res.metrics.push(metric.label("inputs", DATA).label("node", &*node.name));
    }
    let Some(limit) = config.max_saturated_share else { return };
    let n = bounded.len() as u64;
    let greatest = bounded.iter().map(|it| it.1).fold(0.0, f64::max);
    let beyond: Vec<_> = bounded.iter().filter(|it| it.1 > limit).collect();
    let message = match n {
        0 => "no node has an operator with bounds".to_owned(),
        _ => format!("up to {greatest:.3} of the elements of a node are at a bound of its operator, allowed {limit}"),
    };
    let observed = (n > 0).then_some(greatest);
    let (status, message) = seen.judge(n, beyond.is_empty(), message);
    res.checks.push(check("max_saturated_share", DATA, &format!("<= {limit}"), observed, n, status, message));
    let Some((first, share)) = beyond.first() else { return };
    let later = match beyond.len() - 1 {
        0 => "",
        1 => "; 1 later node is saturated too",
        n => &format!("; {n} later nodes are saturated too"),
    };
    let message = format!(
        "{:.0} % of the numbers of `{}` ({}) are at a bound of the operator{later}",
        100.0 * share,
        first.name,
        first.operator
    );
    res.findings.push(
        Finding::new("MW-F007", Severity::Warning, &*first.name, message)
            .advice("look for weights or inputs that grew, and for a scale of a quantization that is too small; where that is what the node is for, raise `max_saturated_share`")
            .evidence("share", *share),
    );
}
