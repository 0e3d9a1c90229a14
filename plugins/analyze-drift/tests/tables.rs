//! The numbers of four pairs of real tables against those of SciPy, Evidently and NannyML, column by column.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // The table is meant to be seen.

mod common;

use modelwatch_sdk::{Report, Role};
use serde_json::{Value, json};

use common::{fixture, of_column, open};

/// A number that differs on purpose, or that there is none of.
struct Exception {
    table: &'static str,
    /// None for all of them.
    column: Option<&'static str>,
    number: &'static str,
    /// The greatest relative difference; none where we give no such number.
    within: Option<f64>,
    reason: &'static str,
}

const ASYMPTOTIC: &str =
    "SciPy counts paths up to 10,000 rows, ours up to 250,000 pairs of rows and takes the limit beyond";
const BOOLEAN: &str = "true and false are categories, which SciPy was given as 0 and 1";
const YATES: &str = "corrected by Yates, as NannyML's and SciPy's default; SciPy was told not to";
const DEALT: &str = "most categories are rare, so that rows are dealt in place of the chi-squared distribution";

const EXCEPTIONS: [Exception; 10] = [
    except("titanic", None, "scipy ks p", Some(0.05), ASYMPTOTIC),
    except("car_loan", None, "scipy ks p", Some(0.2), ASYMPTOTIC),
    except("car_loan", Some("car_value"), "scipy ks p", Some(0.5), ASYMPTOTIC),
    except("car_loan", Some("repaid_loan_on_prev_car"), "scipy ks", None, BOOLEAN),
    except("car_loan", Some("repaid_loan_on_prev_car"), "scipy ks p", None, BOOLEAN),
    except("car_loan", Some("repaid_loan_on_prev_car"), "scipy wasserstein", None, BOOLEAN),
    except("titanic", Some("Sex"), "scipy chi2", Some(0.3), YATES),
    except("titanic", Some("Sex"), "scipy chi2 p", Some(0.1), YATES),
    except("titanic", Some("Cabin"), "scipy chi2 p", None, DEALT),
    except("titanic", Some("Ticket"), "scipy chi2 p", None, DEALT),
];

const fn except(
    table: &'static str,
    column: Option<&'static str>,
    number: &'static str,
    within: Option<f64>,
    reason: &'static str,
) -> Exception {
    Exception { table, column, number, within, reason }
}

struct Row {
    table: String,
    column: String,
    number: String,
    ours: Option<f64>,
    theirs: f64,
}

impl Row {
    fn difference(&self) -> Option<f64> {
        let ours = self.ours?;
        Some(if ours == self.theirs { 0.0 } else { ((ours - self.theirs) / self.theirs).abs() })
    }

    /// The one that names the column, before those that are for all.
    fn exception(&self) -> Option<usize> {
        let is_meant = |it: &Exception| {
            it.table == self.table && it.number == self.number && it.column.is_none_or(|name| name == self.column)
        };
        let found = |is_named: bool| EXCEPTIONS.iter().position(|it| is_meant(it) && it.column.is_some() == is_named);
        found(true).or_else(|| found(false))
    }
}

fn read(name: &str) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/conformance/tables/");
    serde_json::from_slice(&std::fs::read(format!("{path}{name}.json")).unwrap()).unwrap()
}

fn report(case: &Value, numbers: &str, categories: &str) -> Report {
    let mut config = json!({
        "categorical": case["categorical"],
        "numeric_method": numbers,
        "categorical_method": categories,
        "budget": 10_000,
        "predictions": false,
    });
    // What is missing, these tools give no rule for.
    let unruled = [numbers, categories]
        .into_iter()
        .filter(|it| it.starts_with("scipy:") || (it.starts_with("nannyml:") && *it != "nannyml:chi2"));
    config["thresholds"] = unruled.map(|it| (it.to_owned(), json!(0.05))).collect::<serde_json::Map<_, _>>().into();
    let mut probe = open(config);
    for (role, name) in [(Role::Reference, "reference"), (Role::Current, "current")] {
        for batch in fixture(&format!("conformance/tables/{}.{name}.parquet", case["id"].as_str().unwrap())) {
            probe.update(&(), role, &batch).unwrap();
        }
    }
    probe.evaluate(&()).unwrap()
}

fn of_scipy(case: &Value, expected: &Value, push: &mut impl FnMut(&str, String, Option<f64>, f64)) {
    let (own, same) = (report(case, "auto", "auto"), report(case, "scipy:ks_2samp", "auto"));
    for (column, of) in expected.as_object().unwrap() {
        let number = |key: &str, at: usize| of[key][at].as_f64();
        if let (Some(statistic), Some(p_value)) = (number("ks", 0), number("ks", 1)) {
            push(column, "scipy ks".into(), of_column(&own, "ks_statistic", column), statistic);
            push(column, "scipy ks p".into(), of_column(&own, "ks_p_value", column), p_value);
            push(
                column,
                "scipy wasserstein".into(),
                of_column(&own, "wasserstein", column),
                of["wasserstein"].as_f64().unwrap(),
            );
            if let Some(score) = of_column(&same, "score", column) {
                push(column, "scipy:ks_2samp p".into(), Some(score), p_value);
            }
        }
        if let (Some(statistic), Some(p_value)) = (number("chi2", 0), number("chi2", 1)) {
            push(column, "scipy chi2".into(), of_column(&own, "chi2_statistic", column), statistic);
            push(column, "scipy chi2 p".into(), of_column(&own, "chi2_p_value", column), p_value);
        }
    }
}

fn of_nannyml(case: &Value, expected: &Value, push: &mut impl FnMut(&str, String, Option<f64>, f64)) {
    let methods = [
        ("jensen_shannon", "jensen_shannon"),
        ("hellinger", "hellinger"),
        ("kolmogorov_smirnov", "l_infinity"),
        ("wasserstein", "chi2"),
    ];
    for (numbers, categories) in methods {
        let report = report(case, &format!("nannyml:{numbers}"), &format!("nannyml:{categories}"));
        for (column, of) in expected.as_object().unwrap() {
            for name in [numbers, categories] {
                let Some(theirs) = of[name].as_f64() else { continue };
                // Its number is the statistic, its rule is of the p-value.
                let key = if name == "chi2" { "chi2_statistic" } else { "score" };
                push(column, format!("nannyml:{name}"), of_column(&report, key, column), theirs);
                if numbers == categories {
                    break;
                }
            }
        }
    }
}

fn of_evidently(case: &Value, expected: &Value, push: &mut impl FnMut(&str, String, Option<f64>, f64)) {
    for (key, method) in [("default", "auto"), ("psi", "psi"), ("jensenshannon", "jensenshannon")] {
        let method = format!("evidently:{method}");
        let report = report(case, &method, &method);
        for (name, theirs) in expected[key].as_object().into_iter().flatten() {
            let Some(rest) = name.strip_prefix("ValueDrift(column=") else { continue };
            let column = rest.rsplit_once(",method=").unwrap().0;
            push(column, method.clone(), of_column(&report, "score", column), theirs.as_f64().unwrap());
        }
    }
}

#[test]
fn real_tables_have_the_numbers_of_other_tools() {
    let cases = read("cases");
    let [scipy, nannyml, evidently] = ["scipy", "nannyml", "evidently"].map(|it| read(&format!("expected.{it}")));
    let mut rows: Vec<Row> = Vec::new();
    for case in cases.as_array().unwrap() {
        let table = case["id"].as_str().unwrap();
        let mut push = |column: &str, number: String, ours: Option<f64>, theirs: f64| {
            rows.push(Row { table: table.to_owned(), column: column.to_owned(), number, ours, theirs });
        };
        of_scipy(case, &scipy[table], &mut push);
        of_nannyml(case, &nannyml[table], &mut push);
        of_evidently(case, &evidently[table], &mut push);
    }
    let mut used = [false; EXCEPTIONS.len()];
    let mut wrong = Vec::new();
    for it in &rows {
        let found = it.exception();
        let exception = found.map(|at| &EXCEPTIONS[at]);
        let difference = it.difference();
        // Of p-values, SciPy itself has no more digits.
        let tolerance = if it.number.ends_with(" p") || it.number == "evidently:auto" { 1e-6 } else { 1e-9 };
        let agrees = difference.is_some_and(|it| it <= tolerance);
        let is_meant = exception.is_some_and(|of| match (of.within, difference) {
            (Some(within), Some(difference)) => difference <= within,
            (None, None) => true,
            _ => false,
        });
        let reason = if agrees { "" } else { exception.map_or("", |it| it.reason) };
        let (ours, shown) = (it.ours.map_or("none".into(), |it| format!("{it:.6e}")), difference.unwrap_or(f64::NAN));
        println!(
            "{:>11} {:>28} {:>26} {ours:>13} {:>13.6e} {shown:9.1e} {reason}",
            it.table, it.column, it.number, it.theirs
        );
        if let Some(at) = found.filter(|_| !agrees && is_meant) {
            used[at] = true;
        } else if !agrees {
            wrong.push(format!("{} {} {}: {ours} and {:e}", it.table, it.column, it.number, it.theirs));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(used.iter().all(|it| *it), "an exception is not needed: {used:?}");
    assert!(rows.len() > 250, "{}", rows.len());
}
