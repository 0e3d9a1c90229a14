//! Checks, metrics, findings and figures.

use modelwatch_sdk::{
    KnownMetric, Report,
    nodes::ValueRange,
    numerics::{NodeNumbers, Numerics},
    report::{Check, Figure, FigureData, Finding, Gap, Labels, Metric, Severity, Status, float},
};

use crate::{
    config::{Config, Edge, Scope},
    limits,
    numbers::Seen,
};

/// What stands for the data where edges have their names.
pub(crate) const DATA: &str = "data";

/// Says why there was nothing to look at.
pub(crate) fn nothing(res: &mut Report, scope: Scope, why: &str) {
    res.checks.push(check(&non_finite_name(scope), DATA, "== 0", None, 0, Status::NotChecked, why.to_owned()));
    res.gaps.push(Gap::new(DATA, why));
}

/// Says that the model could not be run at an edge.
pub(crate) fn unknown_edge(res: &mut Report, scope: Scope, edge: Edge, why: &str) {
    let message = format!("the model cannot be run on {} inputs: {why}", edge.name());
    res.checks.push(check(&non_finite_name(scope), edge.name(), "== 0", None, 0, Status::NotChecked, message));
    res.gaps.push(Gap::new(format!("{} inputs", edge.name()), why.to_owned()));
}

pub(crate) fn n_non_finite(it: &NodeNumbers) -> u64 {
    it.n_nan + it.n_infinite
}

/// Returns the greatest size of a node's finite numbers; 0 without any.
pub(crate) fn size(range: Option<ValueRange>) -> f64 {
    range.map_or(0.0, |it| it.least.abs().max(it.greatest.abs()))
}

/// Returns the metrics that there can be.
pub(crate) fn known(config: &Config) -> impl Iterator<Item = KnownMetric> {
    // Of NaN it is asked where the outputs hide them.
    let edges = config.edges.iter().filter(|it| **it != Edge::Nan).map(|it| it.name());
    let inputs = [DATA].into_iter().chain(edges);
    let of_data = KnownMetric::all([config.scope.plural(), "max_abs", "max_subnormal_share"], &["inputs"])
        .chain(KnownMetric::all(["saturated_share"], &["inputs", "node"]));
    KnownMetric::all([non_finite_name(config.scope)], &["inputs"])
        .map(move |it| it.only("inputs", inputs.clone()))
        .chain(of_data.map(|it| it.only("inputs", [DATA])))
}

/// Returns what made a node's numbers.
pub(crate) fn operator(it: &NodeNumbers) -> &str {
    if it.operator.is_empty() { "input" } else { &it.operator }
}

fn subnormal_share(it: &NodeNumbers) -> f64 {
    if it.n == 0 { 0.0 } else { it.n_subnormal as f64 / it.n as f64 }
}

/// The nodes, without the inputs.
pub(crate) fn computed(numbers: &Numerics) -> impl Iterator<Item = &NodeNumbers> {
    numbers.nodes.iter().filter(|it| !it.operator.is_empty())
}

/// Returns what is not known of the subnormal numbers of nodes that sum products: run one by one they take them for 0.
pub(crate) fn flushed(seen: &Seen) -> Option<Gap> {
    const SUMS: [&str; 5] = ["MatMul", "Gemm", "Conv", "ConvTranspose", "EinSum"];
    let is_there =
        |name: &&str| computed(&seen.numbers).any(|it| it.is_float && it.operator.eq_ignore_ascii_case(name));
    let names: Vec<&str> = SUMS.into_iter().filter(is_there).collect();
    let (last, others) = names.split_last()?;
    let names = if others.is_empty() { (*last).to_owned() } else { format!("{} and {last}", others.join(", ")) };
    let why =
        "run node by node, they can take such numbers for 0, so that theirs are not seen; those of other nodes are";
    Some(Gap::new(format!("subnormal numbers of {names}"), why))
}

/// Reports on a sample of the data.
pub(crate) fn data(res: &mut Report, config: &Config, seen: &Seen) {
    let numbers = &seen.numbers;
    non_finite(res, DATA, seen);
    let n_nodes = seen.n_judged();
    let greatest = computed(numbers).map(|it| size(it.range)).fold(0.0, f64::max);
    let subnormal = computed(numbers).map(subnormal_share).fold(0.0, f64::max);
    for (name, value, bounds) in [
        (seen.scope.plural(), n_nodes as f64, None),
        ("max_abs", greatest, seen.bounds(greatest, f64::INFINITY)),
        ("max_subnormal_share", subnormal, seen.bounds(subnormal, 1.0)),
    ] {
        res.metrics.push(Metric::new(name, value).n(seen.n_rows()).interval(bounds).label("inputs", DATA));
    }
    limits::sizes(res, config, seen);
    limits::ranges(res, config, seen);
    limits::saturation(res, config, seen);
    let limit = config.max_subnormal_share;
    let worst = computed(numbers).filter(|it| subnormal_share(it) > limit).max_by(|a, b| {
        // Of equal ones the first.
        subnormal_share(a).total_cmp(&subnormal_share(b)).then(std::cmp::Ordering::Greater)
    });
    let one = seen.scope.singular();
    let message = format!("up to {subnormal:.3} of the elements of one {one} are subnormal, allowed {limit}");
    let (status, message) = seen.judge(n_nodes, worst.is_none(), message);
    res.checks.push(check(
        "max_subnormal_share",
        DATA,
        &format!("<= {limit}"),
        Some(subnormal),
        numbers.rows,
        status,
        message,
    ));
    if let Some(it) = worst {
        let message = format!(
            "{:.0} % of the numbers of `{}` ({}) are subnormal: slow, and 0 on much hardware",
            100.0 * subnormal_share(it),
            it.name,
            it.operator
        );
        res.findings.push(
            Finding::new("MW-F004", Severity::Warning, &*it.name, message)
                .advice("look for weights that faded away, or scale the layer; where such numbers do not matter, raise `max_subnormal_share`"),
        );
    }
    res.figures.extend(figure(config, seen));
}

/// Reports on inputs at an edge.
pub(crate) fn edge(res: &mut Report, edge: Edge, seen: &Seen) {
    let numbers = &seen.numbers;
    match edge {
        Edge::Zeros | Edge::Subnormal => non_finite(res, edge.name(), seen),
        Edge::Greatest | Edge::Least => {
            let bad: Vec<_> = computed(numbers).filter(|it| n_non_finite(it) > 0).collect();
            count_non_finite(res, edge.name(), seen, bad.len());
            if let Some(first) = bad.first() {
                let hidden = computed(numbers).all(|it| it.outputs.is_empty() || n_non_finite(it) == 0);
                let ending = if hidden { ", and the outputs do not show it" } else { "" };
                let message = format!(
                    "on {} inputs `{}` ({}) is the first {} to overflow{ending}",
                    edge.name(),
                    first.name,
                    first.operator,
                    seen.scope.singular()
                );
                res.findings.push(
                    Finding::new("MW-F005", Severity::Info, &*first.name, message)
                        .advice("bound the inputs before the model, as by clipping, where such values can come"),
                );
            }
        }
        Edge::Nan => nan(res, numbers),
    }
}

/// Checks that NaN inputs are NaN at every output of floating-point numbers.
fn nan(res: &mut Report, numbers: &Numerics) {
    let outputs: Vec<_> = computed(numbers).filter(|it| !it.outputs.is_empty() && it.is_float && it.n > 0).collect();
    let swallowed: Vec<_> = outputs.iter().filter(|it| it.n_nan < it.n).collect();
    let n = outputs.iter().map(|it| it.outputs.len()).sum::<usize>() as u64;
    let names: Vec<_> = swallowed.iter().flat_map(|it| it.outputs.iter().map(String::as_str)).collect();
    let message = match (n, names.is_empty()) {
        (0, _) => "the model has no output of floating-point numbers".to_owned(),
        (_, true) => "NaN inputs are NaN at every output".to_owned(),
        (_, false) => format!("NaN inputs are plausible numbers at output {}", names.join(", ")),
    };
    let observed = (n > 0).then_some(names.len() as f64);
    res.checks.push(check(
        "outputs_that_hide_nan",
        "nan",
        "== 0",
        observed,
        n,
        Status::of(n, names.is_empty()),
        message,
    ));
    if swallowed.is_empty() {
        return;
    }
    let first = computed(numbers).find(|it| it.is_float && it.n > 0 && it.n_nan < it.n);
    let place = first.map_or("outputs", |it| &it.name);
    let operator = first.map_or("", |it| &it.operator);
    let message =
        format!("`{place}` ({operator}) makes numbers of NaN, so that a missing value looks like a prediction");
    res.findings.push(
        Finding::new("MW-F006", Severity::Error, place, message)
            .advice("check inputs for NaN before they reach the model; leave `nan` out of `edges` if the model is made for missing values"),
    );
}

/// Checks that every number is finite.
fn non_finite(res: &mut Report, inputs: &str, seen: &Seen) {
    let numbers = &seen.numbers;
    let bad: Vec<_> = computed(numbers).filter(|it| n_non_finite(it) > 0).collect();
    let n_nodes = seen.n_judged();
    let n = bad.len() as f64;
    count_non_finite(res, inputs, seen, bad.len());
    let many = seen.scope.plural();
    let message = match bad.first() {
        None if n_nodes == 0 => format!("there are no {many} with numbers that could be other than finite"),
        None => format!("every number of {n_nodes} {many} is finite"),
        Some(it) => {
            format!("{n} of {n_nodes} {many} have numbers that are not finite, `{}` ({}) first", it.name, it.operator)
        }
    };
    let observed = (n_nodes > 0).then_some(n);
    let (status, message) = seen.judge(n_nodes, bad.is_empty(), message);
    res.checks.push(check(&non_finite_name(seen.scope), inputs, "== 0", observed, numbers.rows, status, message));
    let input = numbers.nodes.iter().find(|it| it.operator.is_empty() && n_non_finite(it) > 0);
    let Some(first) = bad.first() else {
        res.findings.extend(input.map(|it| no_trace(it, seen.scope)));
        return;
    };
    let source = match input {
        _ if seen.is_of_outputs_alone() => "",
        Some(_) => ", as are some of the inputs",
        None => ", though all inputs are finite",
    };
    let hidden = computed(numbers).all(|it| it.outputs.is_empty() || n_non_finite(it) == 0);
    let ending = if hidden { "; the outputs do not show it" } else { "" };
    let message = format!(
        "{} NaN and {} infinite of {} numbers of `{}` ({}) on {inputs}{source}{ending}",
        first.n_nan, first.n_infinite, first.n, first.name, first.operator
    );
    res.findings.push(
        Finding::new("MW-F001", Severity::Error, &*first.name, message)
            .advice(match seen.scope {
                Scope::Nodes => {
                    "look at the node's weights and at what it divides by, exponentiates or takes the logarithm of"
                }
                Scope::Outputs => "look at every node where the model can be run node by node, and at what it is given",
            })
            .evidence("inputs", inputs)
            .evidence("nan", first.n_nan)
            .evidence("infinite", first.n_infinite)
            .evidence("range", float::to_value(size(first.range))),
    );
}

/// Warns of an input that is not finite, and all that is made of it is.
fn no_trace(input: &NodeNumbers, scope: Scope) -> Finding {
    let message = format!(
        "{} NaN and {} infinite of {} numbers of input `{}`, and the {} do not show it",
        input.n_nan,
        input.n_infinite,
        input.n,
        input.name,
        scope.plural()
    );
    Finding::new("MW-F008", Severity::Warning, &*input.name, message)
        .advice("check inputs before they reach the model, or fill in what is missing; a model that is made for missing values may have them")
        .evidence("nan", input.n_nan)
        .evidence("infinite", input.n_infinite)
}

fn count_non_finite(res: &mut Report, inputs: &str, seen: &Seen, n: usize) {
    let n = n as f64;
    let metric = Metric::new(non_finite_name(seen.scope), n).n(seen.n_rows()).interval(seen.bounds(n, f64::INFINITY));
    res.metrics.push(metric.label("inputs", inputs));
}

fn non_finite_name(scope: Scope) -> String {
    format!("non_finite_{}", scope.plural())
}

fn figure(config: &Config, seen: &Seen) -> Option<Figure> {
    let numbers = &seen.numbers;
    let mut nodes: Vec<(usize, &NodeNumbers)> = numbers.nodes.iter().enumerate().collect();
    nodes.sort_by(|a, b| {
        let key = |it: &NodeNumbers| (n_non_finite(it) > 0, size(it.range));
        let (left, right) = (key(a.1), key(b.1));
        right.0.cmp(&left.0).then(right.1.total_cmp(&left.1)).then(a.0.cmp(&b.0))
    });
    nodes.truncate(config.listed_nodes);
    let row = |(at, it): (usize, &NodeNumbers)| {
        let range = it.range.map_or_else(String::new, |it| format!("{} … {}", shown(it.least), shown(it.greatest)));
        let counts = [it.n_nan, it.n_infinite, it.n_subnormal].map(|it| it.to_string());
        let root = shown(it.mean_square.sqrt());
        [vec![(at + 1).to_string(), it.name.clone(), operator(it).to_owned(), range, root], counts.to_vec()].concat()
    };
    let one = seen.scope.singular();
    let columns = ["#", one, "operator", "range", "root mean square", "NaN", "infinite", "subnormal"];
    let table =
        FigureData::Table { columns: columns.map(str::to_owned).into(), rows: nodes.into_iter().map(row).collect() };
    let all = match seen.scope {
        Scope::Nodes => "Inputs and nodes",
        Scope::Outputs => "Outputs",
    };
    let caption = format!("{all} on the data: those that are not finite first, then those with the greatest numbers.");
    (!numbers.nodes.is_empty()).then(|| Figure { title: format!("Numbers by {one}"), caption, data: table })
}

/// Returns a number in four digits, without an exponent where it needs none.
pub(crate) fn shown(it: f64) -> String {
    match it.abs() {
        0.0 => "0".to_owned(),
        1e-3..1e6 => format!("{it:.4}").trim_end_matches('0').trim_end_matches('.').to_owned(),
        _ => format!("{it:.3e}"),
    }
}

pub(crate) fn check(
    metric: &str,
    inputs: &str,
    requirement: &str,
    observed: Option<f64>,
    n: u64,
    status: Status,
    message: String,
) -> Check {
    Check {
        metric: metric.to_owned(),
        labels: Labels::from([("inputs".to_owned(), inputs.to_owned())]),
        requirement: requirement.to_owned(),
        observed,
        interval: None,
        n,
        status,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let all = [0.0, 1.0, -3.245_82, 65504.0, 0.001, 1e-7, -2.5e9].map(shown);
        assert_eq!(all, ["0", "1", "-3.2458", "65504", "0.001", "1.000e-7", "-2.500e9"]);
    }
}
