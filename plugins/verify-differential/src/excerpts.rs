//! The smallest model in which the difference shows, as files beside the report.
//!
//! Two files per excerpt: the model as ONNX, and its data as NPZ. ONNX's own layout of test data, a folder of tensors in
//! protobuf, was considered: it takes a folder, needs a package to be read, and holds one expected output. An NPZ archive is one
//! file, opens in NumPy alone, keeps both models' values under their names, and is data for `golden`, so that a run can hold a
//! mended model against it.

use modelwatch_sdk::{Host, RecordBatch, Report, report::Gap, reproduction::Excerpt};

/// The findings that name where the outputs part.
const PARTING: [&str; 2] = ["MW-N001", "MW-N007"];

/// Looks for the finding that names where the outputs part, and adds the files that show it.
pub(crate) fn add(report: &mut Report, host: &dyn Host, rows: &RecordBatch) {
    let what = "the smallest model in which the difference shows";
    let Some(at) = report.findings.iter().position(|it| PARTING.contains(&it.code.as_str())) else { return };
    let finding = &mut report.findings[at];
    if host.artifact_bytes() == 0 {
        finding.advice.push_str("; name a folder in `[report] artifacts`, and ");
        finding.advice.push_str(what);
        finding.advice.push_str(" is written there");
        return;
    }
    let found = match host.reproduce(rows, &finding.place) {
        Ok(it) => it,
        Err(e) => {
            report.gaps.push(Gap::new(what, e.message));
            return;
        }
    };
    // What is not kept the run tells itself.
    let paths: Vec<String> = found.files.iter().filter_map(|it| host.keep(it).ok()).collect();
    let told = found.told;
    let excerpts: Vec<String> = told.excerpts.iter().map(text).collect();
    let it = report.findings.remove(at);
    let it = it.evidence("tensor", told.tensor).evidence("row_of_sample", told.row);
    report.findings.insert(at, it.evidence("excerpts", excerpts.join("; ")).files(paths));
}

fn text(it: &Excerpt) -> String {
    let s = if it.nodes == 1 { "" } else { "s" };
    format!("{}: {} node{s}, off by {:.1e} at most on {}", it.model, it.nodes, it.max_absolute, it.data)
}
