//! What passes, what fails, and what nobody can tell.

use modelwatch_config::requirement::parse;
use modelwatch_sdk::report::Better;

use super::*;

fn interval(low: f64, high: f64) -> Option<Interval> {
    Some(Interval { low, high, level: 0.95 })
}

fn report() -> Report {
    let metrics = vec![
        Metric::new("accuracy", 0.93).n(100).interval(interval(0.90, 0.95)),
        Metric::new("accuracy", 0.92).n(100).role(MetricRole::Baseline),
        Metric::new("accuracy", 0.01).n(100).role(MetricRole::Difference).interval(interval(-0.01, 0.03)),
        Metric::new("accuracy", 1.01).n(100).role(MetricRole::Ratio).interval(interval(0.985, 1.03)),
        Metric::new("recall", 0.8).n(50).label("class", "1"),
        Metric::new("recall", 0.6).n(50).label("class", "2"),
        Metric::new("log_loss", f64::NAN).n(100),
        Metric::new("mae", 0.5).n(0),
        Metric::new("r2", 0.5).n(10),
        Metric::new("share", 0.1).n(10).interval(Some(Interval::certain(0.1, 0.3))),
        Metric::new("known", 0.4).n(10).interval(Some(Interval::certain(0.4, 0.4))),
        Metric::new("half_known", 0.1).n(10).interval(Some(Interval::certain(0.1, f64::NAN))),
        Metric::new("upside_down", 0.3).n(10).interval(Some(Interval::certain(0.5, 0.1))),
    ];
    Report { metrics, ..Report::default() }
}

fn statuses(metric: &str, condition: &str, report: &Report) -> Vec<Status> {
    let it = parse(metric, condition).unwrap();
    let checks = requirement(&it, report);
    checks.into_iter().map(|it| it.status).collect()
}

#[test]
fn requirements_are_held_against_metrics() {
    use Status::{Fail, Inconclusive, NotChecked, Pass};
    let report = report();
    for (metric, condition, expected) in [
        ("accuracy", ">= 0.9", &[Pass][..]),
        ("accuracy", "> 0.93", &[Fail]),
        ("accuracy", "between 0.9 and 0.93", &[Pass]),
        ("accuracy", ">= 0.9 with confidence 95%", &[Pass]),
        ("accuracy", ">= 0.91 with confidence 95%", &[Inconclusive]),
        ("accuracy", ">= 0.96 with confidence 95%", &[Fail]),
        ("accuracy", "between 0.8 and 0.94 with confidence 95%", &[Inconclusive]),
        ("accuracy", "between 0.1 and 0.2 with confidence 95%", &[Fail]),
        ("accuracy", ">= baseline + 0.005", &[Pass]),
        ("accuracy", ">= baseline + 0.02", &[Fail]),
        ("accuracy", ">= baseline - 0.02 with confidence 95%", &[Pass]),
        ("accuracy", ">= baseline with confidence 95%", &[Inconclusive]),
        ("accuracy", ">= baseline + 0.05 with confidence 95%", &[Fail]),
        ("accuracy", ">= 98% of baseline with confidence 95%", &[Pass]),
        ("accuracy", ">= 99% of baseline with confidence 95%", &[Inconclusive]),
        ("recall[class=1]", ">= 0.7", &[Pass]),
        ("recall[class=*]", ">= 0.7", &[Pass, Fail]),
        // What is not there, or not a number, never passes.
        ("recall", ">= 0", &[NotChecked]),
        ("recall[class=3]", ">= 0", &[NotChecked]),
        ("recall[slice=*]", ">= 0", &[NotChecked]),
        ("log_loss", "<= 1", &[Fail]),
        ("log_loss", "!= 1", &[Fail]),
        ("mae", "<= 1", &[NotChecked]),
        ("acuracy", ">= 0", &[Fail]),
        ("r2", ">= baseline", &[Fail]),
        ("r2", ">= 0.1 with confidence 95%", &[Inconclusive]),
        ("accuracy", ">= 0.1 with confidence 99%", &[Inconclusive]),
        // What could not be looked at may be the worst of all.
        ("share", "<= 0.3", &[Pass]),
        ("share", "<= 0.2", &[Inconclusive]),
        ("share", "<= 0.05", &[Fail]),
        // How much other rows would make of it, nobody knows.
        ("share", "<= 0.3 with confidence 95%", &[Inconclusive]),
        ("share", "<= 0.2 with confidence 95%", &[Inconclusive]),
        ("share", "<= 0.05 with confidence 95%", &[Fail]),
        ("share", "between 0 and 0.4 with confidence 95%", &[Inconclusive]),
        ("share", "between 0 and 0.2", &[Inconclusive]),
        ("share", "between 0 and 0.4", &[Pass]),
        ("share", "== 0.2", &[Inconclusive]),
        ("share", "!= 0.2", &[Inconclusive]),
        ("share", "!= 0.4", &[Pass]),
        // What is certain is so at any level.
        ("known", ">= 0.3 with confidence 95%", &[Pass]),
        ("known", "<= 0.3 with confidence 95%", &[Fail]),
        ("known", "between 0.1 and 0.3 with confidence 99%", &[Fail]),
        // Bounds that are none say nothing.
        ("half_known", "<= 0.2", &[Inconclusive]),
        ("half_known", "<= 0.2 with confidence 95%", &[Inconclusive]),
        ("upside_down", "<= 0.6", &[Inconclusive]),
        ("upside_down", "between 0.2 and 0.4", &[Inconclusive]),
    ] {
        assert_eq!(statuses(metric, condition, &report), expected, "{metric} {condition}");
    }
}

#[test]
fn what_a_metric_is_reported_with_is_said_where_labels_are_wrong() {
    let mut report = report();
    let cells = [("1", "sex=f"), ("2", "sex=m")];
    report.metrics.extend(
        cells.map(|(class, slice)| Metric::new("recall", 0.7).n(20).label("class", class).label("slice", slice)),
    );
    let of_slices = ["age=old", "country=DE", "age=old,size=big"];
    report.metrics.extend(of_slices.map(|it| Metric::new("mae", 0.7).n(20).label("slice", it)));
    let of_tensors = (10..30).map(|it| Metric::new("norm", 1.0).n(9).label("tensor", format!("layer_{it}.weight")));
    report.metrics.extend(of_tensors);
    report.metrics.push(Metric::new("ece", 0.1).n(9).role(MetricRole::Baseline));
    report.gaps.push(modelwatch_sdk::report::Gap { what: "slice `sex=x`".to_owned(), why: "no row".to_owned() });
    let recalls = "it is reported as `recall[class=*, slice=*]` and `recall[class=*]`";
    for (metric, expected) in [
        // The key is wrong.
        ("recall[clas=3]", format!("{recalls}, and has no label `clas` (did you mean `class`?)")),
        ("recall[Class=*]", format!("{recalls}, and has no label `Class` (did you mean `class`?)")),
        ("recall[writer=d]", format!("{recalls}, and has no label `writer`")),
        (
            "recall[clas=1, slise=sex=f]",
            format!("{recalls}, and has no label `clas` (did you mean `class`?) or `slise` (did you mean `slice`?)"),
        ),
        ("accuracy[class=1]", "it is reported as `accuracy`, and has no label `class`".to_owned()),
        // The keys are right, but not together.
        ("recall", recalls.to_owned()),
        ("recall[slice=*]", recalls.to_owned()),
        // A value is wrong. What has one character is no slip of another one.
        ("recall[class=3]", "its `class` is `1` or `2`, not `3`".to_owned()),
        (
            "recall[class=3, slice=sex=mm]",
            "its `class` is `1` or `2`, not `3`; \
             its `slice` is `sex=f` or `sex=m`, not `sex=mm` (did you mean `sex=m`?)"
                .to_owned(),
        ),
        (
            "norm[tensor=layer_29.wieght]",
            "its `tensor` is `layer_10.weight`, `layer_11.weight`, `layer_12.weight`, `layer_13.weight`, \
             `layer_14.weight` or 15 more, not `layer_29.wieght` (did you mean `layer_29.weight`?)"
                .to_owned(),
        ),
        (
            r#"mae[slice="country=DE,age=old"]"#,
            "its `slice` is `age=old`, `age=old,size=big` or `country=DE`, not `country=DE,age=old`: they are slices of their own, and \
             their cross is one only where the options of the probe ask for it (`cross_slices` of `metrics`)"
                .to_owned(),
        ),
        (
            r#"mae[slice="size=big,age=old"]"#,
            "its `slice` is `age=old`, `age=old,size=big` or `country=DE`, not `size=big,age=old` (did you mean \
             `age=old,size=big`?)"
                .to_owned(),
        ),
        ("recall[class=1, slice=sex=m]", "each value is reported, but not with the others".to_owned()),
        // What the probe says of the slice comes with what else is wrong.
        ("recall[class=1, slice=sex=x]", "no row".to_owned()),
        ("accuracy[slice=sex=x]", "no row".to_owned()),
        ("recall[clas=1, slice=sex=x]", format!("no row; {recalls}, and has no label `clas` (did you mean `class`?)")),
        ("ece", "it is not reported of the candidate".to_owned()),
    ] {
        let it = parse(metric, ">= 0.9").unwrap();
        let checks = requirement(&it, &report);
        let [only] = &checks[..] else { panic!("{metric}: {checks:?}") };
        assert_eq!(only.status, Status::NotChecked, "{metric}");
        assert_eq!(only.message, format!("no metric of that name has these labels: {expected}"), "{metric}");
    }
    // The same is said of what it is compared with.
    let it = parse("recall[class=1]", ">= recall[clas=2]").unwrap();
    let checks = requirement(&it, &report);
    let expected = format!(
        "the probe reports no `recall[clas=2]` to compare with: \
         {recalls}, and has no label `clas` (did you mean `class`?)"
    );
    assert_eq!((checks[0].status, &checks[0].message), (Status::NotChecked, &expected));
}

/// A candidate and a baseline, what their difference is, and its interval.
fn pair(name: &str, better: Option<Better>, values: [f64; 2], difference: Option<Interval>) -> Report {
    let of = |value| Metric::new(name, value).n(100).better(better);
    let metrics = vec![
        of(values[0]).interval(interval(values[0] - 0.1, values[0] + 0.1)),
        of(values[1]).role(MetricRole::Baseline),
        of(values[0] - values[1]).role(MetricRole::Difference).interval(difference),
    ];
    Report { metrics, ..Report::default() }
}

#[test]
fn only_what_is_surely_worse_is_worse_with_confidence() {
    use Status::{Fail, Inconclusive, NotChecked, Pass};
    const GATE: &str = "not worse than baseline with confidence 95%";
    let higher = |values, difference| pair("accuracy", Some(Better::Higher), values, difference);
    let lower = |values, difference| pair("log_loss", Some(Better::Lower), values, difference);
    for (metric, condition, report, expected) in [
        ("accuracy", GATE, higher([0.9, 0.9], interval(0.0, 0.0)), Pass),
        ("accuracy", GATE, higher([0.9, 0.9], None), Pass),
        ("accuracy", GATE, higher([0.9, 0.91], interval(-0.03, 0.01)), Pass),
        ("accuracy", GATE, higher([0.9, 0.95], interval(-0.08, -0.02)), Fail),
        // What no interval is known of is no matter of on which side the estimate happens to lie.
        ("accuracy", GATE, higher([0.9, 0.95], None), NotChecked),
        ("accuracy", GATE, higher([0.95, 0.9], None), NotChecked),
        ("log_loss", GATE, lower([0.25, 0.3], None), NotChecked),
        (
            "accuracy",
            "not worse than baseline - 0.03 with confidence 95%",
            higher([0.9, 0.95], interval(-0.08, -0.02)),
            Pass,
        ),
        (
            "accuracy",
            "not worse than baseline with confidence 99%",
            higher([0.9, 0.95], interval(-0.08, -0.02)),
            Inconclusive,
        ),
        ("accuracy", "not worse than baseline", higher([0.9, 0.91], interval(-0.03, 0.01)), Fail),
        ("log_loss", GATE, lower([0.3, 0.25], interval(-0.02, 0.12)), Pass),
        ("log_loss", GATE, lower([0.3, 0.25], interval(0.02, 0.08)), Fail),
        ("bias", GATE, pair("bias", None, [0.1, 0.1], interval(0.0, 0.0)), Fail),
        // A proof is asked of the comparison, which two models that are the same give and two that are alike do not.
        ("accuracy", ">= baseline with confidence 95%", higher([0.9, 0.9], interval(0.0, 0.0)), Pass),
        ("accuracy", "> baseline with confidence 95%", higher([0.9, 0.9], interval(0.0, 0.0)), Fail),
        ("accuracy", ">= baseline with confidence 95%", higher([0.9, 0.9], interval(-0.02, 0.02)), Inconclusive),
        ("accuracy", ">= baseline - 0.03 with confidence 95%", higher([0.9, 0.9], interval(-0.02, 0.02)), Pass),
    ] {
        assert_eq!(statuses(metric, condition, &report), [expected], "{metric} {condition} {report:?}");
    }
}

#[test]
fn what_may_be_worse_where_nobody_looked_is_not_known_to_be_no_worse() {
    use Status::{Fail, Inconclusive, Pass};
    for (low, high, expected) in [(0.0, 0.1, Pass), (-0.1, 0.05, Inconclusive), (-0.1, -0.05, Fail)] {
        let mut report = pair("share", Some(Better::Higher), [0.9, 0.92], Some(Interval::certain(low, high)));
        report.metrics[0].interval = Some(Interval::certain(0.8, 1.0));
        for condition in ["not worse than baseline", "not worse than baseline with confidence 95%"] {
            assert_eq!(statuses("share", condition, &report), [expected], "{condition} {low} {high}");
        }
    }
}

/// A probe may know the difference within bounds and say nothing of how sure the values are.
#[test]
fn a_difference_within_bounds_is_held_against_both() {
    use Status::{Fail, Inconclusive, Pass};
    let none_worse = ["not worse than baseline", "not worse than baseline with confidence 95%"];
    for (low, high, not_worse, at_least, surely) in [
        (-0.1, 0.05, Inconclusive, Inconclusive, Inconclusive),
        (0.0, 0.05, Pass, Pass, Inconclusive),
        (0.0, 0.0, Pass, Pass, Pass),
        (-0.1, -0.05, Fail, Fail, Fail),
    ] {
        let value = if high < 0.0 { 0.8 } else { 0.9 };
        let mut report = pair("share", Some(Better::Higher), [value, 0.9], Some(Interval::certain(low, high)));
        report.metrics[0].interval = None;
        for condition in none_worse {
            assert_eq!(statuses("share", condition, &report), [not_worse], "{condition} {low} {high}");
        }
        assert_eq!(statuses("share", ">= baseline", &report), [at_least], "{low} {high}");
        assert_eq!(statuses("share", ">= baseline with confidence 95%", &report), [surely], "{low} {high}");
    }
}

/// What bins tell of scores is near what the scores would tell, and nothing may rest on which of both it is.
#[test]
fn what_is_not_computed_exactly_holds_within_its_bounds_alone() {
    use Status::{Fail, Inconclusive, Pass};
    let of = |value: f64, role, bounds: [f64; 2], interval: [f64; 2]| {
        let metric = Metric::new("roc_auc", value).n(100).role(role).better(Some(Better::Higher));
        let metric = metric.bounds(Some(Interval::certain(bounds[0], bounds[1])));
        metric.interval(Some(Interval { low: interval[0], high: interval[1], level: 0.95 }))
    };
    let metrics = vec![
        of(0.84, MetricRole::Candidate, [0.83, 0.85], [0.80, 0.88]),
        of(0.81, MetricRole::Baseline, [0.80, 0.90], [0.77, 0.93]),
        of(0.03, MetricRole::Difference, [-0.07, 0.05], [-0.075, 0.055]),
    ];
    let report = Report { metrics, ..Report::default() };
    for (condition, expected) in [
        (">= 0.82", Pass),
        (">= 0.835", Inconclusive),
        (">= 0.845", Inconclusive),
        (">= 0.86", Fail),
        ("between 0.82 and 0.86", Pass),
        ("between 0.82 and 0.84", Inconclusive),
        (">= 0.82 with confidence 95%", Inconclusive),
        (">= 0.79 with confidence 95%", Pass),
        (">= baseline", Inconclusive),
        (">= baseline - 0.07", Pass),
        ("> baseline + 0.06", Fail),
        (">= baseline with confidence 95%", Inconclusive),
        (">= baseline - 0.08 with confidence 95%", Pass),
        ("not worse than baseline", Inconclusive),
        ("not worse than baseline - 0.07", Pass),
        // At the lower bound the whole interval, from -0.075 to -0.065, is worse; at the upper one it is better.
        ("not worse than baseline with confidence 95%", Inconclusive),
        // Some of the interval is no worse at either bound.
        ("not worse than baseline - 0.066 with confidence 95%", Pass),
        ("not worse than baseline + 0.06 with confidence 95%", Fail),
    ] {
        assert_eq!(statuses("roc_auc", condition, &report), [expected], "{condition}");
    }
    // A difference that says nothing of how inexact it is proves nothing, however much better it looks.
    let mut report = report;
    report.metrics[2].bounds = None;
    report.metrics[2].interval = interval(0.01, 0.05);
    let condition = "not worse than baseline with confidence 95%";
    assert_eq!(statuses("roc_auc", condition, &report), [Inconclusive]);
    report.metrics[..2].iter_mut().for_each(|it| it.bounds = None);
    assert_eq!(statuses("roc_auc", condition, &report), [Pass]);
}

/// What is of a sample of the rows is held against what its sampling can be off by, and with a confidence against the interval alone,
/// which covers that.
#[test]
fn what_is_of_a_sample_holds_within_what_that_can_be_off_by() {
    use Status::{Fail, Inconclusive, Pass};
    let of = |value: f64, role, error: f64, interval: [f64; 2]| {
        let metric = Metric::new("map", value).n(100).role(role).better(Some(Better::Higher));
        let metric = metric.bounds(Some(Interval { low: value - error, high: value + error, level: 0.999_999 }));
        metric.interval(Some(Interval { low: interval[0], high: interval[1], level: 0.95 }))
    };
    let metrics = vec![
        of(0.84, MetricRole::Candidate, 0.02, [0.83, 0.85]),
        of(0.81, MetricRole::Baseline, 0.02, [0.80, 0.82]),
        of(0.03, MetricRole::Difference, 0.02, [0.02, 0.04]),
    ];
    let report = Report { metrics, ..Report::default() };
    for (condition, expected) in [
        (">= 0.81", Pass),
        (">= 0.83", Inconclusive),
        (">= 0.85", Inconclusive),
        (">= 0.87", Fail),
        ("between 0.82 and 0.87", Pass),
        ("between 0.83 and 0.87", Inconclusive),
        (">= 0.83 with confidence 95%", Pass),
        (">= 0.835 with confidence 95%", Inconclusive),
        (">= baseline", Pass),
        (">= baseline + 0.02", Inconclusive),
        (">= baseline + 0.06", Fail),
        (">= baseline + 0.02 with confidence 95%", Pass),
        ("not worse than baseline", Pass),
        ("not worse than baseline + 0.02", Inconclusive),
        ("not worse than baseline + 0.035 with confidence 95%", Pass),
        ("not worse than baseline + 0.045 with confidence 95%", Fail),
    ] {
        assert_eq!(statuses("map", condition, &report), [expected], "{condition}");
    }
}

/// Errors of two metrics that are not computed exactly add up.
#[test]
fn what_is_not_exact_on_both_sides_is_within_both_bounds() {
    let of = |value: f64, slice: Option<&str>| {
        let metric = Metric::new("roc_auc", value).n(100).better(Some(Better::Higher));
        let metric = metric.bounds(Some(Interval::certain(value - 0.1, value + 0.1)));
        let metric = metric.interval(interval(value - 0.11, value + 0.11));
        slice.into_iter().fold(metric, |it, slice| it.label("slice", slice))
    };
    let report = Report { metrics: vec![of(0.5, None), of(0.7, Some("a"))], ..Report::default() };
    // Together they are off by up to 0.2, and their intervals by no less: squares alone would say 0.16.
    for condition in [">= overall + 0.01", ">= overall + 0.03 with confidence 95%"] {
        assert_eq!(statuses("roc_auc[slice=a]", condition, &report), [Status::Inconclusive], "{condition}");
    }
}

#[test]
fn what_is_compared_with_bounds_is_held_against_both() {
    let of = |value| Metric::new("share", value).n(10).better(Some(Better::Lower));
    let slice = of(0.1).label("slice", "a").interval(interval(0.05, 0.2));
    let report = Report { metrics: vec![of(0.15).interval(Some(Interval::certain(0.0, 0.3))), slice], ..report() };
    for condition in ["<= overall", "not worse than overall", "not worse than overall with confidence 95%"] {
        assert_eq!(statuses("share[slice=a]", condition, &report), [Status::Inconclusive], "{condition}");
    }
}

#[test]
fn what_is_known_is_held_against_bounds_and_intervals() {
    use Status::{Fail, Inconclusive, Pass};
    let of = |(value, interval): (f64, Option<Interval>)| Metric::new("share", value).n(10).interval(interval);
    let bounds = |low, high| Some(Interval::certain(low, high));
    let cases = [
        // A value without an interval against bounds: no confidence is asked for, so that it is what it is.
        ("<= overall", (0.4, None), (0.15, bounds(0.0, 0.3)), Fail),
        (">= overall", (0.4, None), (0.15, bounds(0.0, 0.3)), Pass),
        ("not worse than overall", (0.4, None), (0.15, bounds(0.0, 0.3)), Fail),
        ("not worse than overall", (0.0, None), (0.15, bounds(0.0, 0.3)), Pass),
        ("<= overall", (0.1, None), (0.15, bounds(0.0, 0.3)), Inconclusive),
        (">= overall", (0.15, bounds(0.0, 0.3)), (0.4, None), Fail),
        ("<= overall", (0.15, bounds(0.0, 0.3)), (0.4, None), Pass),
        (">= overall with confidence 95%", (0.4, None), (0.15, bounds(0.0, 0.3)), Inconclusive),
        // One that is certain against an interval.
        (">= overall with confidence 95%", (0.4, bounds(0.4, 0.4)), (0.25, interval(0.2, 0.3)), Pass),
        (">= overall with confidence 95%", (0.4, interval(0.4, 0.4)), (0.25, interval(0.2, 0.3)), Pass),
        ("<= overall with confidence 95%", (0.4, bounds(0.4, 0.4)), (0.25, interval(0.2, 0.3)), Fail),
        ("<= overall with confidence 95%", (0.4, bounds(0.4, 0.4)), (0.25, interval(0.1, 0.5)), Inconclusive),
        ("<= overall with confidence 99%", (0.4, bounds(0.4, 0.4)), (0.25, interval(0.2, 0.3)), Inconclusive),
        ("<= overall with confidence 95%", (0.25, interval(0.2, 0.3)), (0.4, bounds(0.4, 0.4)), Pass),
        // One without width is no more certain than its level.
        (">= overall with confidence 99%", (0.4, interval(0.4, 0.4)), (0.3, bounds(0.3, 0.3)), Inconclusive),
        ("not worse than overall with confidence 95%", (0.4, bounds(0.4, 0.4)), (0.25, interval(0.2, 0.3)), Fail),
        ("not worse than overall with confidence 95%", (0.4, bounds(0.4, 0.4)), (0.3, bounds(0.3, 0.3)), Fail),
        // Of bounds on one side, other rows may have others.
        (">= overall with confidence 95%", (0.1, interval(0.05, 0.2)), (0.35, bounds(0.3, 0.4)), Fail),
        ("<= overall with confidence 95%", (0.1, interval(0.05, 0.2)), (0.35, bounds(0.3, 0.4)), Inconclusive),
        // Bounds on both sides can both be reached.
        (">= overall", (0.6, bounds(0.5, 0.7)), (0.425, bounds(0.3, 0.55)), Inconclusive),
        (">= overall", (0.6, bounds(0.56, 0.7)), (0.425, bounds(0.3, 0.55)), Pass),
    ];
    for (condition, slice, overall, expected) in cases {
        let slice = of(slice).better(Some(Better::Lower)).label("slice", "a");
        let report = Report { metrics: vec![of(overall), slice], ..Report::default() };
        assert_eq!(statuses("share[slice=a]", condition, &report), [expected], "{condition} {report:?}");
    }
}

/// MLflow lets a candidate pass that is NaN or is held against NaN, and divides by a baseline of 0 that it moves to 1e-10.
#[test]
fn mlflows_holes_are_closed() {
    use Status::{Fail, Inconclusive, NotChecked, Pass};
    let of = |values| pair("accuracy", Some(Better::Higher), values, interval(-0.1, 0.1));
    for condition in [
        ">= baseline",
        "<= baseline",
        "!= baseline",
        ">= baseline - 1",
        ">= 99% of baseline",
        ">= baseline - 1 with confidence 95%",
        "not worse than baseline",
        "not worse than baseline with confidence 95%",
    ] {
        assert_eq!(statuses("accuracy", condition, &of([f64::NAN, 0.5])), [Fail], "NaN candidate, {condition}");
        assert_eq!(statuses("accuracy", condition, &of([0.5, f64::NAN])), [Fail], "NaN baseline, {condition}");
    }
    // A share of nothing is nothing: no relative gain is made up for it.
    for (condition, candidate, expected) in [
        (">= 101% of baseline", 0.0, Pass),
        ("> 101% of baseline", 0.0, Fail),
        (">= 101% of baseline", -0.1, Fail),
        (">= 101% of baseline", 0.1, Pass),
        ("<= 110% of baseline", 0.0, Pass),
        (">= 101% of baseline with confidence 95%", 0.1, Inconclusive),
        ("not worse than 99% of baseline with confidence 95%", -0.1, NotChecked),
    ] {
        assert_eq!(statuses("accuracy", condition, &of([candidate, 0.0])), [expected], "{candidate}, {condition}");
    }
    assert_eq!(statuses("accuracy", ">= 100% of baseline", &of([0.0, 0.0])), [Pass]);
}

/// 110 % of a negative number is less than it, so that a worse model would pass.
#[test]
fn a_share_of_what_is_negative_fails() {
    use Status::{Fail, Pass};
    let difference = interval(-1.5, -0.5);
    let mut report = pair("r2", Some(Better::Higher), [-24.383, -23.397], difference);
    let slice = Metric::new("r2", -24.383).n(50).better(Some(Better::Higher)).label("slice", "a");
    report.metrics.push(slice);
    for (metric, condition, expected) in [
        ("r2", ">= 110% of baseline", Fail),
        ("r2", "<= 90% of baseline", Fail),
        ("r2", ">= 110% of baseline with confidence 95%", Fail),
        ("r2", "not worse than 110% of baseline", Fail),
        ("r2", "not worse than 110% of baseline with confidence 95%", Fail),
        ("r2[slice=a]", ">= 110% of overall", Fail),
        ("r2", ">= baseline", Fail),
        ("r2", ">= baseline - 1", Pass),
        ("r2", ">= 100% of baseline - 1", Pass),
    ] {
        assert_eq!(statuses(metric, condition, &report), [expected], "{metric} {condition}");
    }
    let of =
        |metric: &str, condition: &str| requirement(&parse(metric, condition).unwrap(), &report)[0].message.clone();
    assert_eq!(
        of("r2", ">= 110% of baseline"),
        "a share of a negative value has no direction; write `baseline + x` (baseline -23.397000)"
    );
    let of_overall = of("r2[slice=a]", ">= 110% of overall");
    assert!(of_overall.contains("write `overall + x`"), "{of_overall}");
}

/// TensorFlow Model Analysis computes intervals and gates on the estimate all the same; its documentation takes a relative change for
/// the ratio, its code for the ratio less 1.
#[test]
fn tfmas_holes_are_closed() {
    use Status::{Fail, Inconclusive, NotChecked, Pass};
    let report = report();
    for (metric, condition, expected) in [
        // 0.93 from 0.90 to 0.95: the estimate alone would pass.
        ("accuracy", ">= 0.92 with confidence 95%", Inconclusive),
        ("accuracy", ">= 0.92", Pass),
        ("accuracy", ">= baseline with confidence 95%", Inconclusive),
        // 0.93 / 0.92 is 101.09 % of the baseline, and 1.09 % more than it.
        ("accuracy", ">= 101% of baseline", Pass),
        ("accuracy", ">= 102% of baseline", Fail),
        ("accuracy", ">= 101% of baseline with confidence 95%", Inconclusive),
        // A metric or slice that is not there.
        ("acuracy", ">= 0", Fail),
        ("recall[slice=*]", ">= 0", NotChecked),
    ] {
        assert_eq!(statuses(metric, condition, &report), [expected], "{metric} {condition}");
    }
}

#[test]
fn slices_are_held_against_each_other_and_against_all_rows() {
    use Status::{Fail, Inconclusive, NotChecked, Pass};
    let of = |slice: &str, value: f64| {
        let metric = Metric::new("accuracy", value).n(200).better(Some(Better::Higher)).label("slice", slice);
        metric.interval(interval(value - 0.03, value + 0.03))
    };
    let all = Metric::new("accuracy", 0.88).n(450).interval(interval(0.86, 0.9)).better(Some(Better::Higher));
    let few = of("sex=x", 1.0).unfit(Some("it has 1 row, fewer than `min_slice_size`, 30".to_owned()));
    let report = Report { metrics: vec![all, of("sex=f", 0.85), of("sex=m", 0.9), few], ..Report::default() };
    for (metric, condition, expected) in [
        ("accuracy[slice=sex=f]", ">= accuracy[slice=sex=m] - 0.1", &[Pass][..]),
        ("accuracy[slice=sex=f]", ">= accuracy[slice=sex=m] - 0.02", &[Fail]),
        ("accuracy[slice=sex=f]", ">= 90% of accuracy[slice=sex=m]", &[Pass]),
        // The difference is -0.05 ± √(0.03² + 0.03²).
        ("accuracy[slice=sex=f]", ">= accuracy[slice=sex=m] - 0.1 with confidence 95%", &[Pass]),
        ("accuracy[slice=sex=f]", ">= accuracy[slice=sex=m] - 0.05 with confidence 95%", &[Inconclusive]),
        ("accuracy[slice=sex=f]", ">= accuracy[slice=sex=m] with confidence 95%", &[Fail]),
        ("accuracy[slice=sex=f]", "not worse than accuracy[slice=sex=m] with confidence 95%", &[Fail]),
        ("accuracy[slice=sex=f]", "not worse than overall with confidence 95%", &[Pass]),
        ("accuracy[slice=sex=f]", ">= overall - 0.04", &[Pass]),
        ("accuracy[slice=sex=f]", ">= overall - 0.02", &[Fail]),
        ("accuracy[slice=*]", ">= overall - 0.04", &[Pass, Pass, NotChecked]),
        ("accuracy[slice=*]", ">= accuracy[slice=sex=m] - 0.1 with confidence 95%", &[Pass, Pass, NotChecked]),
        // Of what is held against a share of itself the rest is as unsure: half of 0.9 ± 0.03 is 0.45 ± 0.015.
        (
            "accuracy[slice=*]",
            ">= 50% of accuracy[slice=sex=m] + 0.43 with confidence 95%",
            &[Inconclusive, Pass, NotChecked],
        ),
        (
            "accuracy[slice=*]",
            ">= 50% of accuracy[slice=sex=m] + 0.44 with confidence 95%",
            &[Fail, Inconclusive, NotChecked],
        ),
        (
            "accuracy[slice=*]",
            "<= 150% of accuracy[slice=sex=m] - 0.46 with confidence 95%",
            &[Inconclusive, Inconclusive, NotChecked],
        ),
        ("accuracy[slice=*]", ">= accuracy[slice=sex=m] with confidence 95%", &[Fail, Pass, NotChecked]),
        ("accuracy[slice=sex=f]", ">= accuracy[slice=sex=x]", &[NotChecked]),
        ("accuracy[slice=sex=f]", ">= accuracy[slice=sex=n]", &[NotChecked]),
        ("accuracy[slice=sex=x]", ">= 0.99", &[NotChecked]),
    ] {
        assert_eq!(statuses(metric, condition, &report), expected, "{metric} {condition}");
    }
    let message =
        |metric: &str, condition: &str| requirement(&parse(metric, condition).unwrap(), &report)[0].message.clone();
    let of_few = message("accuracy[slice=sex=x]", ">= 0.99");
    assert_eq!(of_few, "it has 1 row, fewer than `min_slice_size`, 30");
    let of_absent = message("accuracy[slice=sex=f]", ">= accuracy[slice=sex=n]");
    assert!(of_absent.contains("did you mean `sex="), "{of_absent}");
}

#[test]
fn a_report_without_metrics_was_not_checked() {
    assert_eq!(statuses("accuracy", ">= 0", &Report::default()), [Status::NotChecked]);
    let none = findings(&Report::default(), FailOn::Error).unwrap();
    assert_eq!(none.status, Status::NotChecked);
}

#[test]
fn a_comparison_waits_for_a_baseline_that_is_not_there_yet() {
    let it = parse("accuracy", ">= baseline").unwrap();
    let check = not_yet(&it);
    assert_eq!((check.metric.as_str(), check.status, check.n), ("accuracy", Status::NotChecked, 0));
    assert_eq!((check.requirement.as_str(), check.message.as_str()), (">= baseline", "there is no baseline yet"));
}

/// As of a perfect regression, of which no row differs from another.
#[test]
fn a_missing_interval_says_why_and_what_to_do() {
    let it = parse("r2", ">= 0.1 with confidence 95%").unwrap();
    let check = &requirement(&it, &report())[0];
    assert!(check.message.contains("nothing varies in these rows"), "{}", check.message);
    assert!(check.message.contains("require it without `with confidence`"), "{}", check.message);
}

#[test]
fn findings_fail_from_their_severity_on() {
    let finding = |severity| modelwatch_sdk::report::Finding::new("MW-X001", severity, "here", "something");
    for (severity, fail_on, expected) in [
        (Severity::Error, FailOn::Error, Some(Status::Fail)),
        (Severity::Warning, FailOn::Error, Some(Status::Pass)),
        (Severity::Warning, FailOn::Warning, Some(Status::Fail)),
        (Severity::Info, FailOn::Warning, Some(Status::Pass)),
        (Severity::Error, FailOn::Never, None),
    ] {
        let report = Report { findings: vec![finding(severity)], ..report() };
        assert_eq!(findings(&report, fail_on).map(|it| it.status), expected, "{severity:?} {fail_on:?}");
    }
}
