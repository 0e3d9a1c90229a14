//! The numbers of single columns against those of pandas and Evidently, through the analyzer.

use modelwatch_sdk::{Report, Role};
use serde_json::{Value, json};

use crate::common::{fixture, of_column, open, overall};

/// What is meant to differ: the tool, the column, the number, and why.
const DIFFERENCES: [(&str, &str, &str, &str); 11] = [
    ("pandas", "with_inf_nan", "min", "infinities are counted, and the range is that of the finite values"),
    ("pandas", "with_inf_nan", "max", "infinities are counted, and the range is that of the finite values"),
    ("pandas", "with_inf_nan", "mean", "one infinity does not hide the mean of all other values"),
    ("pandas", "with_inf_nan", "standard_deviation", "one infinity does not hide the spread of all other values"),
    ("pandas", "with_inf_nan", "skewness", "one infinity does not hide the shape of all other values"),
    ("pandas", "with_inf_nan", "kurtosis", "one infinity does not hide the shape of all other values"),
    ("pandas", "int_big", "standard_deviation", "pandas rounds whole numbers beyond 2^53 to one value"),
    ("evidently", "with_inf_nan", "min", "infinities are counted, and the range is that of the finite values"),
    ("evidently", "with_inf_nan", "max", "infinities are counted, and the range is that of the finite values"),
    ("evidently", "with_inf_nan", "mean", "one infinity does not hide the mean of all other values"),
    ("evidently", "with_inf_nan", "standard_deviation", "one infinity does not hide the spread of all other values"),
];

fn expected(peer: &str) -> Value {
    let path = format!(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/conformance/quality/expected.{}.json"),
        peer
    );
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn report() -> Report {
    let mut probe = open(&json!({}));
    fixture("conformance/quality/table.parquet").iter().for_each(|it| probe.update(&(), Role::Current, it).unwrap());
    probe.evaluate(&()).unwrap()
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(it) => it.as_f64(),
        Value::String(it) => it.parse().ok(),
        _ => None,
    }
}

/// One line of the table that the test prints.
struct Line {
    peer: &'static str,
    column: String,
    what: &'static str,
    ours: Option<f64>,
    theirs: f64,
}

impl Line {
    fn is_equal(&self) -> bool {
        match self.ours {
            Some(ours) => {
                // They sum 32-bit floats in 32 bits.
                let tolerance = if self.column == "f32" { 1e-4 } else { 1e-9 };
                ours == self.theirs || (ours - self.theirs).abs() / self.theirs.abs() <= tolerance
            }
            // What does not exist here is NaN there.
            None => self.theirs.is_nan(),
        }
    }

    fn why(&self) -> Option<&'static str> {
        let is_it = |it: &&(&str, &str, &str, &'static str)| (it.0, it.1, it.2) == (self.peer, &self.column, self.what);
        DIFFERENCES.iter().find(is_it).map(|it| it.3)
    }

    fn print(&self) {
        let ours = self.ours.map_or("-".to_owned(), |it| format!("{it}"));
        let verdict = match (self.is_equal(), self.why()) {
            (true, _) => "equal",
            (false, Some(why)) => why,
            (false, None) => "DIFFERENT",
        };
        println!("{:10} {:20} {:20} {ours:>24} {:>24}  {verdict}", self.peer, self.column, self.what, self.theirs);
    }
}

#[track_caller]
fn judge(lines: &[Line], least: usize) {
    println!("{:10} {:20} {:20} {:>24} {:>24}", "peer", "column", "number", "ours", "theirs");
    lines.iter().for_each(Line::print);
    let wrong: Vec<_> = lines.iter().filter(|it| !it.is_equal() && it.why().is_none()).collect();
    assert!(wrong.is_empty(), "{} numbers differ", wrong.len());
    // A difference that is listed and is none hides the next one.
    for it in lines.iter().filter(|it| it.why().is_some()) {
        assert!(!it.is_equal(), "{} {} {} does not differ", it.peer, it.column, it.what);
    }
    assert!(lines.len() >= least, "{} numbers", lines.len());
}

#[test]
fn columns_agree_with_pandas() {
    let (all, report) = (expected("pandas"), report());
    let rows = all["rows"].as_f64().unwrap();
    let mut lines = Vec::new();
    for (column, theirs) in all["columns_detail"].as_object().unwrap() {
        let get = |name: &str| of_column(&report, name, column);
        let n_present = get("missing_share").map(|it| rows * (1.0 - it));
        let mut push = |what: &'static str, ours: Option<f64>, theirs: &Value| {
            if let Some(theirs) = number(theirs) {
                lines.push(Line { peer: "pandas", column: column.clone(), what, ours, theirs });
            }
        };
        push("missing", get("missing_share").map(|it| it * rows), &theirs["missing"]);
        push("distinct", get("distinct"), &theirs["n_unique"]);
        push("top", get("top_share").zip(n_present).map(|it| (it.0 * it.1).round()), &theirs["top"][1]);
        push("min", get("min"), &theirs["min"]);
        push("max", get("max"), &theirs["max"]);
        push("mean", get("mean"), &theirs["mean"]);
        push("standard_deviation", get("standard_deviation"), &theirs["std_ddof1"]);
        push("quartile_1", get("quartile_1"), &theirs["quantiles_linear"][2]);
        push("median", get("median"), &theirs["quantiles_linear"][3]);
        push("quartile_3", get("quartile_3"), &theirs["quantiles_linear"][4]);
        push("infinite", get("infinite_share").map(|it| it * rows), &theirs["n_inf"]);
        push("skewness", get("skewness"), &theirs["skew"]);
        push("kurtosis", get("kurtosis"), &theirs["kurt"]);
    }
    judge(&lines, 150);
    assert_eq!(overall(&report, "rows"), number(&all["rows"]));
    assert_eq!(overall(&report, "n_columns"), number(&all["columns"]));
    assert_eq!(overall(&report, "duplicate_rows"), number(&all["duplicate_rows"]));
    let identical = report.findings.iter().filter(|it| it.code == "MW-Q031").map(|it| &it.evidence["columns"]);
    let mut theirs = all["duplicate_columns"].clone();
    theirs[0].as_array_mut().unwrap().sort_by_key(|it| it.as_str().map(str::to_owned));
    assert_eq!(identical.cloned().collect::<Vec<_>>(), *theirs.as_array().unwrap());
}

#[test]
fn columns_agree_with_evidently() {
    let (all, report) = (expected("evidently"), report());
    let names = [
        ("MinValue(", "min"),
        ("MaxValue(", "max"),
        ("MeanValue(", "mean"),
        ("StdValue(", "standard_deviation"),
        ("quantile=0.25)", "quartile_1"),
        ("quantile=0.5)", "median"),
        ("quantile=0.75)", "quartile_3"),
        ("MissingValueCount(", "missing_share"),
    ];
    let mut lines = Vec::new();
    for (column, metrics) in all.as_object().unwrap() {
        for metric in metrics.as_array().into_iter().flatten() {
            let name = metric["name"].as_str().unwrap();
            let Some((_, what)) = names.iter().find(|it| name.contains(it.0)) else { continue };
            let value = if *what == "missing_share" { &metric["value"]["share"] } else { &metric["value"] };
            let Some(theirs) = number(value) else { continue };
            let ours = of_column(&report, what, column);
            lines.push(Line { peer: "evidently", column: column.clone(), what, ours, theirs });
        }
    }
    judge(&lines, 70);
    // It has no answer for dates and timestamps.
    for column in ["ts", "date"] {
        assert_eq!(all[column], json!([]));
        assert_eq!(of_column(&report, "missing_share", column), Some(0.0));
        assert!(of_column(&report, "distinct", column).unwrap() > 400.0);
    }
}
