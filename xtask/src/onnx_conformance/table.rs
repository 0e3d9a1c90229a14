//! The table that is committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{Counts, Outcome, cases};

/// Where models of several nodes are counted that are not the written-out form of one operator.
const SEVERAL: &str = "(several operators)";

/// Returns how often each result occurred.
pub(super) fn count<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Counts {
    let mut res = Counts::default();
    for it in outcomes {
        match &*it.result {
            "pass" => res.pass += 1,
            "refused" => res.refused += 1,
            "wrong" => res.wrong += 1,
            _ => res.failed += 1,
        }
    }
    res
}

/// Returns the table as Markdown.
pub(super) fn render(outcomes: &[Outcome], audited: &str) -> String {
    let (outcomes, extreme): (Vec<&Outcome>, Vec<&Outcome>) = outcomes.iter().partition(|it| it.is_of_onnx());
    let by_name: BTreeMap<&str, &str> =
        outcomes.iter().filter(|it| !it.operator.is_empty()).map(|it| (&*it.name, &*it.operator)).collect();
    let mut by_operator: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for &it in &outcomes {
        let short = it.name.split_once("_expanded").map_or(&*it.name, |it| it.0);
        let operator =
            if it.operator.is_empty() { by_name.get(short).copied().unwrap_or(SEVERAL) } else { &it.operator };
        by_operator.entry(operator).or_default().push(it);
    }
    let Counts { pass, refused, failed, wrong } = count(outcomes.iter().copied());
    let mut res = String::new();
    let _ = write!(
        res,
        "# ONNX operators\n\n\
         Written by `cargo xtask onnx-conformance`; do not edit.\n\n\
         Of the {} backend test cases of ONNX {}, {pass} pass, {refused} are refused by name, {failed} end \
         with an error, and {wrong} are computed wrongly.\n\
         An operator that is not in the table has no case.\n\n\
         | operator | pass | refused | error | wrong | of | reasons |\n\
         |---|---:|---:|---:|---:|---:|---|\n",
        outcomes.len(),
        cases::VERSION,
    );
    for (operator, outcomes) in by_operator {
        let Counts { pass, refused, failed, wrong } = count(outcomes.iter().copied());
        let reasons: BTreeSet<String> =
            outcomes.iter().filter(|it| it.result != "pass").map(|it| cell(&it.reason)).collect();
        let shown: Vec<String> = reasons.iter().take(3).cloned().collect();
        let more = if reasons.len() > 3 { "; …" } else { "" };
        let _ = writeln!(
            res,
            "| {operator} | {pass} | {refused} | {failed} | {wrong} | {} | {}{more} |",
            outcomes.len(),
            shown.join("; ")
        );
    }
    res.push_str(&render_extreme(&extreme));
    let _ = write!(
        res,
        "\n## What the runtime computes wrongly\n\n\
         tract is what runs the models, at a version that is pinned.\n\
         What it is known to compute wrongly never runs so: a node of these is computed by an operator of this project, the graph is \
         written otherwise, or the model is refused by the name of the operator.\n\n{audited}"
    );
    res
}

/// Returns what is said of the cases with extreme values.
fn render_extreme(outcomes: &[&Outcome]) -> String {
    let Counts { pass, refused, failed, wrong } = count(outcomes.iter().copied());
    let mut res = format!(
        "\n## Extreme values\n\n\
         The cases above have ordinary numbers.\n\
         Of {} more with NaN, infinities, the largest and the least numbers, integers that no floating point number is, and tensors of \
         nothing, {pass} pass; refused by name: {refused}, ended with an error: {failed}, computed wrongly: {wrong}.\n\
         What is expected comes from the operator's definition, to 5 digits of single precision, 12 of double precision, and all of an \
         integer.\n\
         Means of single precision overflow where their sums do, as those of ONNX Runtime.\n\
         Where that leaves something open, or the case does not pass:\n\n\
         | case | result | what is expected |\n\
         |---|---|---|\n",
        outcomes.len()
    );
    for it in outcomes.iter().filter(|it| !it.note.is_empty() || it.result != "pass") {
        let name = it.name.split_once('/').map_or(&*it.name, |it| it.1);
        let reason = if it.result == "pass" { String::new() } else { format!(": {}", cell(&it.reason)) };
        let _ = writeln!(res, "| {name} | {}{reason} | {} |", it.result, cell(&it.note));
    }
    res
}

/// Returns text that fits a cell of a Markdown table.
fn cell(text: &str) -> String {
    const LIMIT: usize = 100;
    let text = text.replace('|', "\\|").replace('\n', " ");
    match text.char_indices().nth(LIMIT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
