//! Two-sample tests, distances, bins and moments against SciPy.

use modelwatch_stats::categories::{AlignedCounts, CategoryCounts, align};
use modelwatch_stats::moments::Moments;
use modelwatch_stats::quantile::quantile;
use modelwatch_stats::sample::NumericSample;
use modelwatch_stats::two_sample::{
    BinRule, LogBase, Values, Yates, ZeroFill, bin_edges, chi2_contingency, chi2_contingency_with, count_into,
    cramers_v, hellinger, jensen_shannon, ks, ks_asymptotic, linf, psi, total_variation, wasserstein,
};
use modelwatch_stats::{Point, Undefined};

use crate::fixtures::{Column, Comparison, case_ids, json, table};
use crate::table::Differs;

fn columns(id: &str) -> (Column, Column) {
    let read = |role| table(&format!("univariate/{id}.{role}.parquet")).remove("x").unwrap();
    (read("reference"), read("current"))
}

fn sample(column: &Column) -> NumericSample {
    let mut res = NumericSample::new(100_000);
    res.update(&column.present());
    res.push_nulls(column.n_null());
    res
}

fn counts(column: &Column) -> CategoryCounts {
    let mut res = CategoryCounts::default();
    res.update(column.texts.iter().flatten().map(String::as_str));
    res.push_nulls(column.n_null());
    res
}

fn weights(counts: &[u64]) -> Vec<f64> {
    counts.iter().map(|&it| it as f64).collect()
}

/// Bins between the distinct inner deciles of the reference, open at both ends.
fn decile_psi(reference: &[Point], current: &[Point]) -> Result<f64, Undefined> {
    let mut edges = vec![f64::NEG_INFINITY];
    for idx in 1..10 {
        edges.push(quantile(reference, f64::from(idx) / 10.0)?);
    }
    edges.push(f64::INFINITY);
    edges.dedup();
    let side = |points: &[Point]| count_into(points, &edges).map(|it| weights(&it.counts));
    psi(&side(reference)?, &side(current)?, ZeroFill::Floor(1e-4))
}

#[test]
fn numeric_columns_agree_with_scipy() {
    let expected = json("univariate/expected.scipy.json");
    let mut comparison = Comparison::default();
    for id in case_ids("univariate/cases.json", |it| it["kind"] == "numeric") {
        let (reference, current) = columns(&id);
        for (variant, expected) in expected[&id].as_object().unwrap() {
            let points = |column: &Column| {
                let sample = sample(column);
                if variant == "dropna" { sample.points_with_infinities() } else { sample.points() }
            };
            let (left, right) = (points(&reference), points(&current));
            let name = |what: &str| format!("{id}/{variant}/{what}");
            let test = ks(&left, &right);
            comparison.statistic(&name("ks_statistic"), &expected["ks_2samp_auto"][0], test.map(|it| it.statistic));
            comparison.p_value(&name("ks_p_value"), &expected["ks_2samp_auto"][1], test.map(|it| it.p_value));
            let test = ks_asymptotic(&left, &right);
            comparison.p_value(
                &name("ks_asymptotic_p_value"),
                &expected["ks_2samp_asymp"][1],
                test.map(|it| it.p_value),
            );
            comparison.statistic(&name("wasserstein"), &expected["wasserstein"], wasserstein(&left, &right));
            if variant == "cleaned" {
                comparison.statistic(
                    &name("psi_decile"),
                    &expected["psi_decile_ref_quantiles_eps1e-4"],
                    decile_psi(&left, &right),
                );
            }
            if left.is_empty() || variant == "dropna" {
                continue;
            }
            for (what, rule) in [("bins_sturges_ref", BinRule::Sturges), ("bins_doane_ref", BinRule::Doane)] {
                let edges = bin_edges(&left, rule, Values::Real);
                let parts: [fn(&Vec<f64>) -> f64; 3] =
                    [|it| (it.len() - 1) as f64, |it| it[0], |it| *it.last().unwrap()];
                for (idx, part) in parts.iter().enumerate() {
                    let expected = if expected[what].is_array() { &expected[what][idx] } else { &expected[what] };
                    comparison.statistic(
                        &name(&format!("{what}[{idx}]")),
                        expected,
                        edges.as_ref().map(part).map_err(|it| *it),
                    );
                }
            }
            let mut moments = Moments::new();
            moments.update(&reference.present());
            let found =
                [Ok(moments.n() as f64), moments.min(), moments.max(), moments.mean(), moments.standard_deviation(1)];
            for (idx, found) in found.into_iter().enumerate() {
                // An infinite standard deviation is undefined here.
                if expected["describe_ref"][idx] != "inf" {
                    comparison.statistic(&name(&format!("describe_ref[{idx}]")), &expected["describe_ref"][idx], found);
                }
            }
            for (idx, level) in [0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0].into_iter().enumerate() {
                comparison.statistic(
                    &name(&format!("quantile[{idx}]")),
                    &expected["quantiles_ref_linear"][idx],
                    quantile(&left, level),
                );
            }
        }
    }
    comparison.check(
        1170,
        &[
            (
                "num_int64_big/cleaned/describe_ref[4]",
                Differs::By(2.7e-6),
                "values near 2^53: the peer's rounded mean is off by 0.66, ours is not",
            ),
            (
                "num_near_constant/cleaned/describe_ref[4]",
                Differs::By(0.42),
                "values within 1 ulp: the peer's mean is rounded to one of them",
            ),
        ],
    );
}

#[test]
fn categorical_columns_agree_with_scipy() {
    let expected = json("univariate/expected.scipy.json");
    let mut comparison = Comparison::default();
    for id in case_ids("univariate/cases.json", |it| it["kind"] == "categorical") {
        let (reference, current) = columns(&id);
        let expected = &expected[&id];
        let aligned = align(&counts(&reference), &counts(&current));
        assert_eq!((aligned.reference_other, aligned.current_other), (0, 0));
        check_table(&id, &expected["table"], &aligned, [reference.n_null(), current.n_null()]);
        let AlignedCounts { reference, current, .. } = aligned;
        let (p, q) = (weights(&reference), weights(&current));
        let name = |what: &str| format!("{id}/{what}");
        let at = |what: &str, idx: usize| {
            if expected[what].is_array() { &expected[what][idx] } else { &expected[what] }
        };
        let test = chi2_contingency(&reference, &current);
        comparison.statistic(&name("chi2"), at("chi2_contingency", 0), test.map(|it| it.statistic));
        comparison.p_value(&name("chi2_p_value"), at("chi2_contingency", 1), test.map(|it| it.p_value));
        comparison.statistic(&name("chi2_dof"), at("chi2_contingency", 2), test.map(|it| it.degrees_of_freedom as f64));
        let test = chi2_contingency_with(&reference, &current, Yates::TwoByTwo);
        comparison.statistic(&name("yates"), at("chi2_contingency_yates", 0), test.map(|it| it.statistic));
        comparison.p_value(&name("yates_p_value"), at("chi2_contingency_yates", 1), test.map(|it| it.p_value));
        comparison.statistic(&name("cramers_v"), &expected["cramers_v"], cramers_v(&reference, &current));
        comparison.statistic(&name("js_e"), &expected["jensenshannon_e"], jensen_shannon(&p, &q, LogBase::E));
        comparison.statistic(&name("js_2"), &expected["jensenshannon_2"], jensen_shannon(&p, &q, LogBase::Two));
        comparison.statistic(&name("tvd"), &expected["tvd"], total_variation(&p, &q));
        comparison.statistic(&name("linf"), &expected["l_infinity"], linf(&p, &q));
        comparison.statistic(&name("hellinger"), &expected["hellinger"], hellinger(&p, &q));
    }
    let reason = "the fixture sums over no proportions and says 0; without rows there is no distance";
    let skipped = ["cat_all_null_cur/hellinger", "cat_all_null_ref/hellinger", "cat_empty_cur/hellinger"];
    comparison.check(316, &skipped.map(|it| (it, Differs::TheirsIsNumber, reason)));
}

/// Compares the counts, in any order of the categories; the fixture shows at most 60 of them.
fn check_table(id: &str, expected: &serde_json::Value, aligned: &AlignedCounts, n_null: [u64; 2]) {
    assert_eq!(expected["n_keys"], aligned.keys.len(), "{id}");
    assert_eq!(expected["nulls"], serde_json::json!(n_null), "{id}");
    if aligned.keys.len() > 60 {
        return;
    }
    let numbers =
        |side: &str| expected[side].as_array().unwrap().iter().map(|it| it.as_u64().unwrap()).collect::<Vec<_>>();
    let mut expected: Vec<_> = numbers("ref").into_iter().zip(numbers("cur")).collect();
    let mut found: Vec<_> = aligned.reference.iter().copied().zip(aligned.current.iter().copied()).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected, "{id}");
}
