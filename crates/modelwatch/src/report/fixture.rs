//! Records for tests.

use std::collections::BTreeMap;

use modelwatch_runtime::{RunRecord, Verdict, record::*};
use modelwatch_sdk::report::{
    Check, Figure, FigureData, Finding, Interval, Labels, Metric, MetricRole, Series, Severity, Status,
};

fn labels(all: &[(&str, &str)]) -> Labels {
    all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(super) fn of<T>(probe: &str, it: T) -> Of<T> {
    Of { probe: probe.to_owned(), it }
}

pub(super) fn check(
    metric: &str,
    by: &[(&str, &str)],
    requirement: &str,
    observed: Option<f64>,
    status: Status,
    message: &str,
) -> Check {
    let interval = observed.filter(|_| metric != "findings").map(|it| Interval {
        low: it - 0.0123,
        high: it + 0.0118,
        level: 0.95,
    });
    Check {
        metric: metric.to_owned(),
        labels: labels(by),
        requirement: requirement.to_owned(),
        observed,
        interval,
        n: 1797,
        status,
        message: message.to_owned(),
    }
}

fn checkpoint(digit: &str, source: &str) -> CheckpointRecord {
    CheckpointRecord {
        id: Some(digit.repeat(32)),
        lineage: Some("digits".to_owned()),
        source: source.to_owned(),
        files: 3,
        bytes: 152_340,
        blessing: None,
    }
}

fn model(role: &str) -> ModelRecord {
    ModelRecord {
        role: role.to_owned(),
        file: "model.onnx".to_owned(),
        format: "onnx".to_owned(),
        signature: None,
        inputs: vec!["image: f32[?,1,8,8]".to_owned()],
        outputs: vec!["probabilities: f32[?,10]".to_owned()],
        operators: BTreeMap::from([("Conv".to_owned(), 3), ("Gemm".to_owned(), 2), ("Relu".to_owned(), 4)]),
        parameters: 38_410,
        runtime: "tract 0.23.9".to_owned(),
    }
}

fn map<T>(all: impl IntoIterator<Item = (&'static str, T)>) -> BTreeMap<String, T> {
    all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

pub(super) fn series(name: &str, values: impl IntoIterator<Item = f64>) -> Series {
    Series { name: name.to_owned(), values: values.into_iter().collect() }
}

pub(super) fn figure(title: &str, data: FigureData) -> Figure {
    Figure { title: title.to_owned(), caption: "Shares of the values that are not missing.".to_owned(), data }
}

/// A run in which all is well.
pub(super) fn pass() -> RunRecord {
    let probe = |id: &str, kind: &str| ProbeCoverage {
        id: id.to_owned(),
        kind: kind.to_owned(),
        uses: id.to_owned(),
        status: Status::Pass,
        severity: Severity::Error,
        checks: 2,
        measured: [("class".to_owned(), 10), ("metric".to_owned(), 24)].into(),
        unmeasured: Vec::new(),
        message: String::new(),
    };
    let pair = |name: &str, by: &[(&str, &str)], value: f64| {
        let make = |role, value: f64| {
            let interval = Interval { low: value - 0.012, high: value + 0.011, level: 0.95 };
            of("metrics", Metric::new(name, value).n(1797).role(role).labels(&labels(by)).interval(Some(interval)))
        };
        [
            make(MetricRole::Candidate, value),
            make(MetricRole::Baseline, value - 0.004),
            make(MetricRole::Difference, 0.004),
        ]
    };
    let mut metrics: Vec<_> = [("accuracy", 0.9623), ("balanced_accuracy", 0.9608), ("log_loss", 0.1423)]
        .into_iter()
        .flat_map(|(name, value)| pair(name, &[], value))
        .collect();
    for class in 0..10 {
        metrics.extend(pair("recall", &[("class", &class.to_string())], 0.95 - 0.006 * f64::from(class)));
    }
    RunRecord {
        run_id: "20260301T101500Z-9f2c41".to_owned(),
        pipeline: PipelineRecord {
            name: "digits-gate".to_owned(),
            file: Some("configs/digits.toml".to_owned()),
            digest: Some("c0ffee".repeat(10)),
        },
        verdict: Verdict::Pass,
        exit_code: 0,
        checkpoint: Some(checkpoint("ab", "fixtures/digits/ckpt-0006")),
        baseline: Some(checkpoint("12", "digits@good")),
        models: vec![model("candidate"), model("baseline")],
        checks: vec![
            of("metrics", check("accuracy", &[], ">= 0.95", Some(0.9623), Status::Pass, "it holds")),
            of(
                "metrics",
                check(
                    "log_loss",
                    &[],
                    "<= baseline + 0.02",
                    Some(0.1423),
                    Status::Pass,
                    "it holds (baseline 0.138300)",
                ),
            ),
            of("drift", check("drifted_share", &[], "<= 0.2", Some(0.0313), Status::Pass, "it holds")),
            of(
                "drift",
                check(
                    "findings",
                    &[],
                    "no finding of severity error",
                    Some(0.0),
                    Status::Pass,
                    "no finding of severity error",
                ),
            ),
        ],
        metrics,
        findings: Vec::new(),
        figures: figures(),
        actions: vec![ActionRecord {
            kind: ActionKind::Move,
            target: "good".to_owned(),
            from: Some("12".repeat(32)),
            to: Some("ab".repeat(32)),
            status: ActionStatus::Done,
            message: String::new(),
        }],
        coverage: Coverage {
            rows: map([("current", 1797), ("reference", 12_000)]),
            tensors: map([("candidate", 14), ("baseline", 14)]),
            probes: vec![probe("metrics", "verifier"), probe("drift", "analyzer")],
            gaps: Vec::new(),
            resumed: None,
        },
        timings: Timings {
            started: "2026-03-01T10:15:00Z".to_owned(),
            total: 3.214_7,
            phases: map([("plan", 0.012), ("pass", 2.9), ("decide", 0.21), ("act", 0.05)]),
            probes: map([("metrics", 1.4), ("drift", 0.6)]),
        },
    }
}

fn figures() -> Vec<Of<Figure>> {
    let bell = |shift: f64| (0..24).map(move |it| (-((f64::from(it) - 12.0 - shift) / 4.0).powi(2)).exp() / 7.0);
    let names = |n: i32| (0..n).map(|it| it.to_string()).collect::<Vec<_>>();
    let confusion = (0..10).map(|row| {
        (0..10)
            .map(|column| if row == column { 170.0 + f64::from(row) } else { f64::from((row * 3 + column) % 5) })
            .collect()
    });
    let tensors = ["model/conv2d_1/kernel:0", "model/dense/kernel:0", "model/dense/bias:0", "head"];
    vec![
        of(
            "drift",
            figure(
                "Drift of pixel_36",
                FigureData::Histogram {
                    edges: (0..=24).map(f64::from).collect(),
                    series: vec![series("reference", bell(0.0)), series("current", bell(3.0))],
                },
            ),
        ),
        of(
            "drift",
            figure(
                "Drift of writer",
                FigureData::Bars {
                    categories: ["a", "b", "c", "d", "(other categories)"].map(str::to_owned).into(),
                    series: vec![
                        series("reference", [0.3, 0.3, 0.2, 0.15, 0.05]),
                        series("current", [0.5, 0.1, 0.2, 0.1, 0.1]),
                    ],
                },
            ),
        ),
        of(
            "weights",
            figure(
                "Change against the baseline",
                FigureData::Bars {
                    categories: tensors.map(str::to_owned).into(),
                    series: vec![series("relative change", [0.42, 0.13, 0.004, f64::NAN])],
                },
            ),
        ),
        of(
            "metrics",
            figure(
                "Confusion",
                FigureData::HeatMap {
                    y_label: "label".to_owned(),
                    x_label: "prediction".to_owned(),
                    rows: names(10),
                    columns: names(10),
                    values: confusion.collect(),
                },
            ),
        ),
        of(
            "metrics",
            figure(
                "Calibration",
                FigureData::Reliability {
                    confidence: (0..10).map(|it| 0.05 + 0.1 * f64::from(it)).collect(),
                    accuracy: (0..10)
                        .map(|it| if it == 4 { f64::NAN } else { (0.1 + 0.083 * f64::from(it)).min(1.0) })
                        .collect(),
                    counts: (0..10).map(|it| 10 + it * it * 9).collect(),
                },
            ),
        ),
        of(
            "metrics",
            figure(
                "Precision and recall",
                FigureData::Lines {
                    x_label: "threshold".to_owned(),
                    y_label: "share".to_owned(),
                    x: (0..=20).map(|it| f64::from(it) / 20.0).collect(),
                    series: vec![
                        series("precision", (0..=20).map(|it| 0.6 + 0.4 * (f64::from(it) / 20.0).sqrt())),
                        series("recall", (0..=20).map(|it| 1.0 - (f64::from(it) / 20.0).powi(3))),
                    ],
                },
            ),
        ),
        of(
            "drift",
            figure(
                "Drift of all columns",
                FigureData::Table {
                    columns: ["column", "result", "effect", "p-value"].map(str::to_owned).into(),
                    rows: (0..12)
                        .map(|it| {
                            vec![format!("pixel_{it}"), "no drift".to_owned(), format!("0.0{it}"), "3.10e-2".to_owned()]
                        })
                        .collect(),
                },
            ),
        ),
    ]
}

/// A run with every kind of trouble.
pub(super) fn fail() -> RunRecord {
    let mut res = pass();
    (res.verdict, res.exit_code) = (Verdict::Error, 3);
    res.checks.extend([
        of(
            "metrics",
            check("recall", &[("slice", "writer=b")], ">= 0.85", Some(0.8123), Status::Fail, "it does not hold"),
        ),
        of(
            "metrics",
            check(
                "recall",
                &[("slice", "writer=c")],
                ">= 0.85 with confidence 95%",
                Some(0.86),
                Status::Inconclusive,
                "too little data to say with confidence 95%",
            ),
        ),
        of(
            "metrics",
            check(
                "recall",
                &[("slice", "writer=d")],
                ">= 0.85",
                None,
                Status::NotChecked,
                "no metric of that name has these labels: its `slice` is `writer=a`, `writer=b` or `writer=c`, not `writer=d`",
            ),
        ),
        of(
            "golden",
            check(
                "max_error",
                &[],
                "<= 1e-5",
                None,
                Status::Error,
                "the plugin panicked at lib.rs:12: index out of bounds",
            ),
        ),
        of(
            "drift",
            check(
                "findings",
                &[],
                "no finding of severity error",
                Some(1.0),
                Status::Fail,
                "MW-D004 at age: it is missing",
            ),
        ),
    ]);
    res.findings = vec![
        of("weights", Finding::new("MW-W008", Severity::Info, "", "two layers are a permutation of each other")),
        of(
            "weights",
            Finding::new(
                "MW-W003",
                Severity::Warning,
                "model/conv2d_1/kernel:0",
                "12 of 400 units are dead (share 0.03, threshold 0.01)",
            )
            .advice("prune the units, or lower the learning rate and train again")
            .evidence("dead", 12)
            .evidence("units", 400)
            .evidence("share", 0.03),
        ),
        of(
            "drift",
            Finding::new("MW-D004", Severity::Error, "age", "column age is float64 in reference and utf8 in current")
                .advice("give both roles the same columns with the same types, or leave the column out with `exclude`")
                .evidence("n_reference", 12_000)
                .evidence("n_current", 1797),
        ),
    ];
    res.actions = vec![ActionRecord {
        kind: ActionKind::Rollback,
        target: "production".to_owned(),
        from: Some("ab".repeat(32)),
        to: None,
        status: ActionStatus::Conflict,
        message: "another writer moved it meanwhile".to_owned(),
    }];
    res.coverage.gaps = vec![GapRecord {
        probe: "drift".to_owned(),
        what: "column `age`".to_owned(),
        why: "its types differ, so that its values cannot be compared".to_owned(),
    }];
    res.coverage.probes.push(ProbeCoverage {
        id: "golden".to_owned(),
        kind: "verifier".to_owned(),
        uses: "golden".to_owned(),
        status: Status::Error,
        severity: Severity::Error,
        checks: 1,
        measured: [].into(),
        unmeasured: Vec::new(),
        message: "the plugin panicked at lib.rs:12: index out of bounds".to_owned(),
    });
    res
}

/// A run over 200 columns, with a picture, a finding, a check and eight metrics of each.
pub(super) fn wide() -> RunRecord {
    let mut res = fail();
    for column in 0..200 {
        let name = format!("a_column_with_a_long_name_{column}");
        for metric in ["effect", "p_value", "psi", "jensen_shannon", "mean", "std", "missing_share", "drifted"] {
            res.metrics
                .push(of("drift", Metric::new(metric, f64::from(column).sqrt()).n(12_000).label("column", &name)));
        }
        let finding =
            Finding::new("MW-D001", Severity::Warning, &name, "the values have drifted (effect 0.31, threshold 0.1)");
        res.findings.push(of("drift", finding.advice("look at the source of the column").evidence("effect", 0.31)));
        res.checks.push(of(
            "drift",
            check("effect", &[("column", &name)], "<= 0.1", Some(0.31), Status::Fail, "it does not hold"),
        ));
        let mut copy = res.figures[0].clone();
        copy.it.title = format!("Drift of {name}");
        res.figures.push(copy);
    }
    res
}
