//! Metrics, checks, findings and figures.

use modelwatch_sdk::{
    KnownMetric, Report,
    report::{Check, Figure, FigureData, Finding, Gap, Interval, Labels, Metric, Severity, Status, float},
};
use modelwatch_stats::intervals::wilson;

use crate::{
    cases::Outcome,
    config::{Case, Direction},
    settings::{Expected, Settings, Test},
    tally::Tally,
};

/// The metric of a test: the share of rows for which it held.
pub(crate) const PASS_RATE: &str = "pass_rate";

/// The metric of all cases together.
pub(crate) const CASE_PASS_RATE: &str = "case_pass_rate";

/// Returns the metrics that there can be with these options.
pub(crate) fn known(settings: &Settings) -> impl Iterator<Item = KnownMetric> + use<> {
    let names: Vec<_> = settings.tests.iter().map(|it| it.name.clone()).collect();
    let of_tests = || {
        KnownMetric::all([PASS_RATE, "non_finite_rows", "greatest_change"], &["test"])
            .map(move |it| it.only("test", names.clone()))
    };
    let of_cases = || KnownMetric::all([CASE_PASS_RATE], &[]);
    let tests = (!settings.tests.is_empty()).then(of_tests);
    let cases = (!settings.cases.is_empty()).then(of_cases);
    tests.into_iter().flatten().chain(cases.into_iter().flatten())
}

/// Reports a test that is held against rows.
pub(crate) fn test(res: &mut Report, test: &Test, tally: &Tally, level: f64) {
    let labels = Labels::from([("test".to_owned(), test.name.clone())]);
    let rate = tally.passed as f64 / tally.exercised as f64;
    let interval = wilson(tally.passed, tally.exercised, level).ok();
    let interval = interval.map(|it| Interval { low: it.low, high: it.high, level });
    let (status, message) = match (tally.rows, tally.exercised) {
        (_, 1..) if rate >= test.share && tally.non_finite == 0 => {
            (Status::Pass, format!("`{}` holds for {} of {} rows", test.name, tally.passed, tally.exercised))
        }
        (_, 1..) => (Status::Fail, failure(test, tally)),
        (0, 0) if test.only.is_empty() => (Status::NotChecked, "there are no rows".to_owned()),
        (0, 0) => (Status::Fail, format!("`{}` tests nothing: no row is what its `where` says", test.name)),
        (rows, 0) => {
            (Status::Fail, format!("`{}` tests nothing: its change leaves all of {rows} rows as they are", test.name))
        }
    };
    if tally.exercised > 0 {
        let left = tally.rows.saturating_sub(tally.exercised);
        if left > 0 {
            let were = if left == 1 { "was left as it is" } else { "were left as they are" };
            let why = format!("{left} of {} rows {were}, so that they test nothing", tally.rows);
            res.gaps.push(Gap::new(format!("test `{}`", test.name), why));
        }
        let metric = Metric::new(PASS_RATE, rate).n(tally.exercised).labels(&labels).interval(interval);
        res.metrics.push(metric);
        let counted = Metric::new("non_finite_rows", tally.non_finite as f64).n(tally.exercised).labels(&labels);
        res.metrics.push(counted);
        let greatest = tally.greatest.map(|it| Metric::new("greatest_change", it).n(tally.exercised).labels(&labels));
        res.metrics.extend(greatest);
    } else {
        res.gaps.push(Gap::new(format!("test `{}`", test.name), message.clone()));
    }
    if status == Status::Fail {
        res.findings.push(finding(test, tally, &message));
    }
    res.checks.push(Check {
        metric: PASS_RATE.to_owned(),
        labels,
        requirement: format!(">= {}", test.share),
        observed: (tally.exercised > 0).then_some(rate),
        interval,
        n: tally.exercised,
        status,
        message,
    });
    worst(res, test, tally);
}

fn failure(test: &Test, tally: &Tally) -> String {
    let worst = tally
        .worst
        .first()
        .map_or_else(String::new, |it| format!(", worst in row `{}`: {} becomes {}", it.id, it.before, it.after));
    let n = tally.exercised - tally.passed;
    let broken = match tally.non_finite {
        0 => String::new(),
        it => format!(", of which {it} are not finite"),
    };
    let required = format!("required is a share of {}", test.share);
    match &test.expected {
        Expected::Same { tolerance, class } => {
            let words = match (tolerance, class) {
                (Some(it), false) => format!("answers change by more than {it}"),
                (Some(it), true) => format!("answers change by more than {it} or say another class"),
                (None, _) => "answers say another class".to_owned(),
            };
            format!("`{}`: {n} of {} {words}{broken}{worst}; {required}", test.name, tally.exercised)
        }
        Expected::Direction { expect, slack, .. } => {
            let word = if *expect == Direction::NotLower { "fall" } else { "rise" };
            format!(
                "`{}`: {n} of {} answers {word} by more than {slack}{broken}{worst}; {required}",
                test.name, tally.exercised
            )
        }
    }
}

fn finding(test: &Test, tally: &Tally, message: &str) -> Finding {
    let (code, advice) = match &test.expected {
        _ if tally.exercised == 0 => {
            ("MW-B004", "correct `where`, `columns` or `change`, or give data that has such rows")
        }
        _ if tally.non_finite > 0 => {
            ("MW-B005", "look for operators and weights that turn the changed input into NaN or infinity")
        }
        Expected::Same { .. } => {
            ("MW-B001", "train with such changes as augmentation, or allow them with `tolerance` or `share`")
        }
        Expected::Direction { .. } => {
            ("MW-B002", "look for confounded columns and for the model's use of this one; constrain it to be monotonic")
        }
    };
    let res = Finding::new(code, Severity::Error, &test.name, message).advice(advice);
    let res = res.evidence("rows", tally.rows).evidence("exercised", tally.exercised).evidence("passed", tally.passed);
    let greatest = tally.greatest.unwrap_or(f64::NAN);
    res.evidence("non_finite", tally.non_finite).evidence("greatest_change", float::to_value(greatest))
}

fn worst(res: &mut Report, test: &Test, tally: &Tally) {
    if tally.worst.is_empty() {
        return;
    }
    let rows = tally.worst.iter();
    let rows = rows.map(|it| vec![it.id.clone(), it.before.clone(), it.after.clone(), it.moved.to_string()]);
    res.figures.push(Figure {
        title: format!("Worst rows of `{}`", test.name),
        caption: "The answers that moved the most among those that should not have.".to_owned(),
        data: FigureData::Table {
            columns: ["id", "before", "after", "moved"].map(str::to_owned).into(),
            rows: rows.collect(),
        },
    });
}

/// Reports the cases.
pub(crate) fn cases(res: &mut Report, cases: &[(&Case, Outcome)], level: f64) {
    let answered = cases.iter().filter(|it| !matches!(it.1, Outcome::NoAnswer(_))).count() as u64;
    let right = cases.iter().filter(|it| matches!(it.1, Outcome::Right)).count() as u64;
    if answered > 0 {
        let interval = wilson(right, answered, level).ok();
        let interval = interval.map(|it| Interval { low: it.low, high: it.high, level });
        let rate = right as f64 / answered as f64;
        res.metrics.push(Metric::new(CASE_PASS_RATE, rate).n(answered).interval(interval));
    }
    for (case, outcome) in cases {
        let name = &case.name;
        let (n, status, message) = match outcome {
            Outcome::Right => (1, Status::Pass, format!("the case `{name}` has the answer that it should have")),
            Outcome::Wrong(got) => {
                (1, Status::Fail, format!("the case `{name}` is answered with {got}, expected {}", expected(case)))
            }
            Outcome::Broken(got) => (1, Status::Fail, format!("the case `{name}` is answered with {got}")),
            Outcome::NoAnswer(why) => (0, Status::Error, format!("the case `{name}` has no answer: {why}")),
        };
        let (code, advice) = match outcome {
            Outcome::Broken(_) => {
                ("MW-B005", "look for operators and weights that turn this input into NaN or infinity")
            }
            _ => (
                "MW-B003",
                "look at the training data for inputs like this one; if it changed on purpose, change the case",
            ),
        };
        if status == Status::Fail {
            res.findings.push(Finding::new(code, Severity::Error, name, message.clone()).advice(advice));
        }
        res.checks.push(Check {
            metric: "case".to_owned(),
            labels: Labels::from([("case".to_owned(), name.clone())]),
            requirement: format!("is {}", expected(case)),
            observed: None,
            interval: None,
            n,
            status,
            message,
        });
    }
}

fn expected(case: &Case) -> String {
    use crate::config::Known;
    match (&case.class, &case.output) {
        (Some(Known::Text(it)), _) => format!("class {it}"),
        (Some(Known::Number(it)), _) => format!("class {it}"),
        (_, Some(Known::Number(it))) => format!("{it} ± {}", case.tolerance),
        (_, Some(Known::Numbers(it))) => format!("{it:?} ± {}", case.tolerance),
        _ => "an answer".to_owned(),
    }
}
