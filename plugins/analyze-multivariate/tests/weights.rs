//! Rows that count by their weights.
#![allow(clippy::unwrap_used)]

mod common;

use modelwatch_sdk::{Need, RecordBatch, Role, rows::Use};
use serde_json::json;

use common::{Random, batch_of, codes, features, floats, gap, of_question, open, overall, run};

/// A row: two numbers that go together, and a weight.
type Row = (f64, f64, f64);

fn plain(seed: u64, n: usize) -> Vec<Row> {
    let mut random = Random(seed << 40);
    (0..n)
        .map(|_| {
            let common = random.normal();
            (common + random.normal(), common + random.normal(), 1.0)
        })
        .collect()
}

/// Rows of which those that are far to one side were drawn four times as seldom, and weigh four times as much.
fn thinned(seed: u64, n: usize) -> Vec<Row> {
    let mut random = Random(seed << 40 | 7);
    let weigh = |it: Row| (it.0, it.1, if it.0 + it.1 > 0.0 { 4.0 } else { 1.0 });
    plain(seed, 8 * n).into_iter().map(weigh).filter(|it| random.uniform() < 1.0 / it.2).take(n).collect()
}

fn alike(rows: &[Row]) -> RecordBatch {
    features(vec![("a", floats(rows.iter().map(|it| it.0))), ("b", floats(rows.iter().map(|it| it.1)))])
}

fn by_weight(rows: &[Row]) -> RecordBatch {
    batch_of(vec![
        ("a", Use::Feature, floats(rows.iter().map(|it| it.0))),
        ("b", Use::Feature, floats(rows.iter().map(|it| it.1))),
        ("w", Use::Weight, floats(rows.iter().map(|it| it.2))),
    ])
}

#[test]
fn weights_make_up_for_how_rows_were_drawn() {
    let tests = json!(["energy", "mmd", "neighbors", "classifier", "correlation", "reconstruction"]);
    let config = json!({ "tests": tests, "permutations": 199 });
    let (reference, current) = (alike(&plain(1, 800)), thinned(2, 800));
    assert_eq!(codes(&run(&config, &reference, &alike(&current))), [("MW-J001", "features")]);
    let report = run(&config, &reference, &by_weight(&current));
    assert_eq!(codes(&report), []);
    // Four times as many of the heavy ones stay: of 800 rows as many as these weigh over 4.
    let n =
        report.metrics.iter().find(|it| it.name == "compared_rows" && it.labels["data"] == "current").unwrap().value;
    let mass: f64 = current.iter().map(|it| it.2).sum();
    assert!((n - mass / 4.0).abs() < 60.0, "{n} {mass}");
    assert_eq!(
        gap(&report, "current rows, in part"),
        format!("a sample of {n} of 800 is compared, drawn by their weights")
    );
    assert_eq!(gap(&report, "row weights of the reference rows"), "there are none, and each row counts once");
}

#[test]
fn a_shift_of_weights_alone_is_drift() {
    let mut current = plain(2, 800);
    current.iter_mut().for_each(|it| it.2 = if it.0 - it.1 > 0.5 { 5.0 } else { 1.0 });
    let config = json!({ "permutations": 199 });
    let reference = by_weight(&plain(1, 800));
    assert_eq!(codes(&run(&config, &reference, &alike(&current))), []);
    assert_eq!(codes(&run(&config, &reference, &by_weight(&current))), [("MW-J001", "features")]);
}

#[test]
fn false_alarms_stay_within_alpha_whatever_the_weights_are() {
    let (alpha, n_runs) = (0.05, 60_u32);
    let allowed = f64::from(n_runs) * alpha + 3.0 * (f64::from(n_runs) * alpha * (1.0 - alpha)).sqrt();
    // How rows without drift are weighed: the weighted rows of both roles are distributed alike.
    type Scheme = (&'static str, fn(u64, usize) -> RecordBatch);
    let schemes: [Scheme; 4] = [
        (
            "one role is thinned",
            |seed, n| if seed % 2 == 0 { alike(&plain(seed, n)) } else { by_weight(&thinned(seed, n)) },
        ),
        ("both are", |seed, n| by_weight(&thinned(seed, n))),
        ("weights of no meaning", |seed, n| {
            let mut random = Random(seed << 40 | 3);
            let weigh = |it: Row| (it.0, it.1, random.normal().exp().clamp(0.05, 8.0));
            by_weight(&plain(seed, n).into_iter().map(weigh).collect::<Vec<_>>())
        }),
        ("rows come more than once", |seed, n| {
            let round = |it: Row| (it.0.signum(), (it.1 / 2.0).round(), it.2);
            by_weight(&thinned(seed, n).into_iter().map(round).collect::<Vec<_>>())
        }),
    ];
    // Eight times as many different rows are kept as are compared: all of the first, and of the second a part.
    for (n, n_compared) in [(150, 1000), (500, 40)] {
        for (scheme, rows) in schemes {
            let config = json!({ "alpha": alpha, "permutations": 99, "rows": n_compared });
            let is_alarm = |it: &u32| {
                let seed = 2 * u64::from(*it) + 10;
                !codes(&run(&config, &rows(seed, n), &rows(seed + 1, n))).is_empty()
            };
            let alarms = (0..n_runs).filter(is_alarm).count();
            assert!(alarms as f64 <= allowed, "{scheme}, {n_compared} of {n}: {alarms} of {n_runs}");
        }
    }
}

#[test]
fn each_role_is_drawn_by_random_numbers_of_its_own() {
    // By the same ones, the same rows of two equal roles would be drawn.
    let rows: Vec<Row> = plain(1, 800).into_iter().map(|it| (it.0, it.1, if it.0 > 0.0 { 2.0 } else { 1.0 })).collect();
    for rows in [alike(&rows), by_weight(&rows)] {
        let config = json!({ "rows": 200, "permutations": 99, "alpha": 0.05, "tests": ["energy"] });
        let report = run(&config, &rows, &rows);
        let distance = of_question(&report, "energy_distance", "features").unwrap();
        assert!(distance.abs() > 1e-9, "{distance}");
    }
}

#[test]
fn of_many_weighted_rows_as_many_are_compared_as_are_wanted() {
    let rows = |seed| {
        by_weight(
            &plain(seed, 3000)
                .into_iter()
                .map(|it| (it.0, it.1, if it.0 > 0.0 { 4.0 } else { 1.0 }))
                .collect::<Vec<_>>(),
        )
    };
    let report = run(&json!({ "rows": 100, "permutations": 199 }), &rows(1), &rows(2));
    let compared: Vec<f64> = report.metrics.iter().filter(|it| it.name == "compared_rows").map(|it| it.value).collect();
    assert_eq!((compared, codes(&report)), (vec![100.0, 100.0], vec![]));
}

#[test]
fn of_weighted_rows_that_come_more_than_once_no_part_is_compared() {
    // Every other row is the same, and weighs what it likes.
    let rows = |seed: u64| {
        let mut rows = plain(seed, 2000);
        rows.iter_mut()
            .step_by(2)
            .enumerate()
            .for_each(|(at, it)| *it = (0.0, 0.0, 1.0 + (at as u64 % (seed + 1)) as f64));
        rows
    };
    for seed in 0..8 {
        for reference in [alike(&rows(1)), by_weight(&rows(1))] {
            let run = |n: usize| {
                run(&json!({ "rows": n, "permutations": 199, "seed": seed }), &reference, &by_weight(&rows(2)))
            };
            let report = run(50);
            assert_eq!((codes(&report), overall(&report, "answered_questions")), (vec![], 0.0));
            let why = gap(&report, "multivariate drift");
            assert!(
                why.ends_with("no part is compared: raise `rows`, or count each row once with `weights = false`"),
                "{why}"
            );
        }
    }
    // All are kept, with how often each comes.
    let report = run(&json!({ "rows": 200, "permutations": 199 }), &alike(&rows(1)), &by_weight(&rows(2)));
    assert_eq!(overall(&report, "answered_questions"), 1.0);
}

#[test]
fn rows_of_weight_zero_are_not_there() {
    let (current, mut padded) = (plain(2, 400), plain(3, 6000));
    padded.iter_mut().for_each(|it| it.2 = 0.0);
    padded.splice(3000..3000, current.iter().copied());
    let reference = alike(&plain(1, 400));
    let config = json!({ "rows": 100, "permutations": 199 });
    let report = run(&config, &reference, &by_weight(&padded));
    assert_eq!(overall(&report, "answered_questions"), 1.0);
    assert_eq!(report, run(&config, &reference, &by_weight(&current)));
    padded.retain(|it| it.2 == 0.0);
    let nothing = run(&config, &reference, &by_weight(&padded));
    assert_eq!(gap(&nothing, "multivariate drift"), "there are no current rows that weigh anything");
}

#[test]
fn rows_of_weight_zero_are_not_compared() {
    let mut current = plain(2, 300);
    current.extend((0..300).map(|it| (50.0 + f64::from(it), -50.0, 0.0)));
    let report = run(&json!({ "permutations": 199 }), &alike(&plain(1, 300)), &by_weight(&current));
    assert_eq!((codes(&report), overall(&report, "answered_questions")), (vec![], 1.0));
}

#[test]
fn parts_in_any_order_are_the_same_bytes_as_the_whole() {
    let rows = thinned(5, 400);
    let of = |rows: &[Row]| {
        let mut probe = open(&json!({ "rows": 20 }));
        probe.update(&(), Role::Current, &by_weight(rows)).unwrap();
        probe.state().unwrap()
    };
    let (whole, parts) = (of(&rows), rows.chunks(90).map(of).collect::<Vec<_>>());
    for order in [[0, 1, 2, 3, 4], [4, 2, 1, 0, 3]] {
        let mut probe = open(&json!({ "rows": 20 }));
        order.iter().for_each(|it| probe.merge(&parts[*it]).unwrap());
        assert_eq!(probe.state().unwrap(), whole);
    }
}

#[test]
fn what_is_no_weight_is_refused_and_weights_can_be_left_alone() {
    let mut rows = plain(1, 50);
    rows[3].2 = -1.0;
    let error = open(&json!({})).update(&(), Role::Current, &by_weight(&rows)).unwrap_err();
    assert!(error.to_string().contains("the weight -1 in `w`"), "{error}");
    let config = json!({ "weights": false });
    let reference = plain(2, 50);
    assert_eq!(run(&config, &alike(&reference), &by_weight(&rows)), run(&json!({}), &alike(&reference), &alike(&rows)));
    let needs = open(&config).needs();
    assert_eq!((needs.current.unwrap().weight, needs.reference.unwrap().weight), (Need::No, Need::No));
}
