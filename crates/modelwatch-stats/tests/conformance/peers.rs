//! Every case and peer of the univariate set: ours, theirs, the difference. `--no-capture` shows the tables.

use modelwatch_stats::categories::{CategoryCounts, align};
use modelwatch_stats::peers::{Categories, Numbers, alibi, evidently, nannyml, scipy, tfdv};
use modelwatch_stats::sample::NumericSample;
use modelwatch_stats::two_sample::{
    Alternative, CramerVonMises, MannWhitney, Test, Values, Yates, anderson_darling, chi2_contingency,
    chi2_contingency_with, cramers_v, energy, epps_singleton, g_test, ks, ks_asymptotic, ks_statistic, mann_whitney,
    student_t, wasserstein, wasserstein_normed, welch_t,
};
use modelwatch_stats::{Point, Reason, Undefined};
use serde_json::Value;

use crate::fixtures::{Column, case_ids, json, table};
use crate::table::{
    Differs::{Are, By, OursIsNumber, TheirsIsNumber},
    Exception, Table, Tolerance,
};

/// Why answers differ, where several do for the same reason.
const NOISE: &str =
    "the p-value is below 1e-8 and the peer's is one minus a cut series, so that its last digits are noise";
const RANK: &str = "few distinct values: the covariance is singular, and the peer counts rounding noise as rank";
const MEANS: &str = "the values are large for their spread, and the peer's means are rounded; ours are not";
const OVERFLOW: &str = "squares of such values overflow or vanish in the peer's sums; ours are scaled, and are what SciPy gives of scaled values";
const WIDTH: &str = "the peer multiplies a density with a width that is rounded at that magnitude";
const EMPTY: &str = "the peer answers for a side without rows";
const NUMERIC: &str = "the peer takes numbers and booleans for numeric, whatever they are declared to be";
const SKETCH: &str = "the peer's histograms come from a sketch of quantiles; ours from the values";

/// The two columns of a case in every form that a peer wants.
struct Case {
    columns: [Column; 2],
    /// Values as floats, infinities included.
    points: [Vec<Point>; 2],
    /// Whole numbers beyond 2^53 less the smallest of both columns, so that none is rounded.
    exact: [Vec<Point>; 2],
    /// Counts per category, nulls left out.
    counts: [Vec<u64>; 2],
    /// Counts per category, a null being one.
    counts_with_null: [Vec<u64>; 2],
    values: Values,
}

impl Case {
    fn read(id: &str) -> Self {
        let columns =
            ["reference", "current"].map(|role| table(&format!("univariate/{id}.{role}.parquet")).remove("x").unwrap());
        let points = columns.each_ref().map(|it| points(it.present()));
        let is_wide = points.iter().flatten().any(|it| it.0.abs() > 2f64.powi(53) && it.0.is_finite());
        let whole = |it: &Column| it.texts.iter().flatten().map(|it| it.parse().unwrap()).collect::<Vec<i128>>();
        let exact = if is_wide && columns.iter().all(|it| it.is_whole) {
            let [left, right] = columns.each_ref().map(whole);
            let least = *left.iter().chain(&right).min().unwrap();
            [left, right].map(|it| points_of(it.iter().map(|it| (it - least) as f64).collect()))
        } else {
            points.clone()
        };
        let is_whole = columns.iter().all(|it| it.is_whole && it.n_null() == 0 && !it.numbers.is_empty());
        let values = if is_whole { Values::Whole } else { Values::Real };
        let counts = aligned(&columns, None);
        let counts_with_null = aligned(&columns, Some("<NA>"));
        Self { columns, points, exact, counts, counts_with_null, values }
    }

    fn numbers(&self) -> Numbers<'_> {
        Numbers { reference: &self.points[0], current: &self.points[1], values: self.values }
    }

    /// As [`Case::numbers`], but undefined with a NaN in a column, as for a peer that does not look for them.
    fn raw_numbers(&self) -> Result<Numbers<'_>, Undefined> {
        let is_missing = |it: &Column| it.numbers.iter().any(|it| it.is_none_or(f64::is_nan));
        if self.columns.iter().any(is_missing) {
            return Err(Undefined::new(Reason::NotANumber));
        }
        Ok(self.numbers())
    }

    fn exact_numbers(&self) -> Numbers<'_> {
        Numbers { reference: &self.exact[0], current: &self.exact[1], values: self.values }
    }

    fn categories(&self) -> Categories<'_> {
        Categories { reference: &self.counts[0], current: &self.counts[1] }
    }

    fn categories_with_null(&self) -> Categories<'_> {
        Categories { reference: &self.counts_with_null[0], current: &self.counts_with_null[1] }
    }
}

fn points(values: Vec<f64>) -> Vec<Point> {
    points_of(values.into_iter().filter(|it| !it.is_nan()).collect())
}

fn points_of(values: Vec<f64>) -> Vec<Point> {
    let mut sample = NumericSample::new(u64::MAX);
    sample.update(&values);
    sample.points_with_infinities()
}

fn finite(points: &[Point]) -> Vec<Point> {
    points.iter().copied().filter(|it| it.0.is_finite()).collect()
}

fn aligned(columns: &[Column; 2], null: Option<&str>) -> [Vec<u64>; 2] {
    let [left, right] = columns.each_ref().map(|column| {
        let mut res = CategoryCounts::default();
        res.update(column.texts.iter().filter_map(|it| it.as_deref().or(null)));
        res
    });
    let aligned = align(&left, &right);
    [aligned.reference, aligned.current]
}

fn cases(kind: &str) -> Vec<String> {
    case_ids("univariate/cases.json", |it| it["kind"] == kind)
}

/// The first of a list, the `value` of an object, or the answer itself.
fn value(answer: &Value) -> Value {
    match answer {
        Value::Array(it) => it[0].clone(),
        Value::Object(it) => it.get("value").unwrap_or(answer).clone(),
        other => other.clone(),
    }
}

fn at(answer: &Value, idx: usize) -> Value {
    if answer.is_array() { answer[idx].clone() } else { answer.clone() }
}

type TestResult = Result<Test, Undefined>;

#[test]
fn scipy_numbers() {
    let expected = json("univariate/expected.scipy.json");
    let mut table = Table::new("scipy");
    for id in cases("numeric") {
        let case = Case::read(&id);
        for (variant, expected) in expected[&id].as_object().unwrap() {
            let is_cleaned = variant == "cleaned";
            let [left, right] = case.points.each_ref().map(|it| if is_cleaned { finite(it) } else { it.clone() });
            let name = if is_cleaned { id.clone() } else { format!("{id} (with inf)") };
            let mut test = |method: &str, key: &str, found: TestResult| {
                let statistic = found.map(|it| it.statistic);
                table.add(&name, method, Tolerance::Statistic, &at(&expected[key], 0), statistic);
                let p_value = found.map(|it| it.p_value);
                table.add(&name, &format!("{method} p"), Tolerance::PValue, &at(&expected[key], 1), p_value);
            };
            test("ks", "ks_2samp_auto", ks(&left, &right));
            test("ks asymptotic", "ks_2samp_asymp", ks_asymptotic(&left, &right));
            let cvm = scipy::cramervonmises_2samp(&left, &right, CramerVonMises::Asymptotic);
            test("cramervonmises", "cramervonmises_asymp", cvm);
            let u = mann_whitney(&left, &right, Alternative::TwoSided, MannWhitney::Asymptotic);
            test("mannwhitneyu", "mannwhitney_two_sided_asymp", u);
            test("ttest_ind", "ttest_ind", student_t(&left, &right));
            test("welch", "welch", welch_t(&left, &right));
            test("epps_singleton", "epps_singleton", epps_singleton(&left, &right));
            let mut distance = |method: &str, key: &str, found: Result<f64, Undefined>| {
                table.add(&name, method, Tolerance::Statistic, &expected[key], found);
            };
            distance("wasserstein", "wasserstein", wasserstein(&left, &right));
            let normed = wasserstein_normed(&left, &right, 0.001);
            distance("wasserstein normed", "wasserstein_normed_std0", normed);
            distance("energy", "energy", energy(&left, &right));
            let anderson = anderson_darling(&left, &right).map(|it| it.statistic);
            distance("anderson_ksamp", "anderson_ksamp_statistic", anderson);
        }
    }
    table.check(&[
        Exception { case: "num_zero_inflated", methods: &[("cramervonmises p", By(2.6e-5))], reason: NOISE },
        Exception { case: "num_few_unique12", methods: &[("cramervonmises p", By(3.9e-5))], reason: NOISE },
        Exception { case: "num_const_equal", methods: &[("cramervonmises p", By(1.3e-6))], reason: NOISE },
        Exception { case: "num_huge", methods: &[("cramervonmises p", By(2.3e-6))], reason: NOISE },
        Exception { case: "num_tiny_values", methods: &[("cramervonmises p", By(1.2e-5))], reason: NOISE },
        Exception { case: "num_int64_big", methods: &[("cramervonmises p", By(4.4e-6))], reason: NOISE },
        Exception { case: "num_uint8", methods: &[("cramervonmises p", By(4.2e-6))], reason: NOISE },
        Exception {
            case: "num_binary01",
            methods: &[("epps_singleton", By(1.9e-2)), ("epps_singleton p", Are(6.000_419_2e-4, 7.389_295_9e-3))],
            reason: RANK,
        },
        Exception {
            case: "num_negzero",
            methods: &[("epps_singleton", By(8.3e-3)), ("epps_singleton p", By(0.16))],
            reason: RANK,
        },
        Exception {
            case: "num_bool",
            methods: &[("epps_singleton", By(1.8e-2)), ("epps_singleton p", Are(2.220_186_7e-6, 1.123_884_0e-5))],
            reason: RANK,
        },
        Exception {
            case: "num_const_differ",
            methods: &[("epps_singleton", Are(f64::INFINITY, 3.417_601_8e34))],
            reason: RANK,
        },
        Exception {
            case: "num_near_constant",
            methods: &[
                ("ttest_ind", By(0.75)),
                ("ttest_ind p", Are(1.444_518_8e-53, 6.613_471_8e-142)),
                ("welch", By(0.81)),
                ("welch p", Are(9.615_575_3e-48, 1.739_507_7e-135)),
            ],
            reason: MEANS,
        },
        Exception {
            case: "num_large_offset",
            methods: &[
                ("ttest_ind", By(7.4e-4)),
                ("ttest_ind p", By(2.1e-2)),
                ("welch", By(7.4e-4)),
                ("welch p", By(2.1e-2)),
            ],
            reason: MEANS,
        },
        Exception {
            case: "num_int64_big",
            methods: &[
                ("ttest_ind", By(1.2e-2)),
                ("ttest_ind p", By(0.77)),
                ("welch", By(1.2e-2)),
                ("welch p", By(0.77)),
                ("wasserstein normed", By(2.7e-6)),
            ],
            reason: MEANS,
        },
        Exception {
            case: "num_tiny_1_1",
            methods: &[("ks asymptotic", TheirsIsNumber)],
            reason: "no p-value exists for an effective size of half a row, and ours then has no statistic either",
        },
        Exception {
            case: "num_huge",
            methods: &[
                ("ttest_ind", Are(-7.889_158_1, 0.0)),
                ("ttest_ind p", Are(7.315_499_2e-15, 1.0)),
                ("welch", Are(-7.839_764_7, 0.0)),
                ("welch p", Are(1.119_466_9e-14, 1.0)),
                ("wasserstein normed", Are(0.494_961_48, 0.0)),
            ],
            reason: OVERFLOW,
        },
        Exception {
            case: "num_tiny_values",
            methods: &[
                ("ttest_ind", Are(-7.135_338_6, f64::NEG_INFINITY)),
                ("ttest_ind p", Are(1.750_518_0e-12, 0.0)),
                ("welch", Are(-7.107_757_8, f64::NEG_INFINITY)),
                ("welch p", Are(2.181_421_5e-12, 0.0)),
            ],
            reason: OVERFLOW,
        },
    ]);
}

#[test]
fn scipy_categories() {
    let expected = json("univariate/expected.scipy.json");
    let mut table = Table::new("scipy");
    for id in cases("categorical") {
        let case = Case::read(&id);
        let [left, right] = &case.counts;
        let mut test = |method: &str, found: TestResult| {
            let expected = &expected[&id][method];
            table.add(&id, method, Tolerance::Statistic, &at(expected, 0), found.map(|it| it.statistic));
            let p_value = found.map(|it| it.p_value);
            table.add(&id, &format!("{method} p"), Tolerance::PValue, &at(expected, 1), p_value);
        };
        let plain =
            |it: modelwatch_stats::two_sample::ChiSquared| Test { statistic: it.statistic, p_value: it.p_value };
        test("chi2_contingency", chi2_contingency(left, right).map(plain));
        test("chi2_contingency_yates", chi2_contingency_with(left, right, Yates::TwoByTwo).map(plain));
        test("g_contingency", g_test(left, right, Yates::Off).map(plain));
        let chisquare = evidently::chisquare(case.categories());
        table.add(&id, "chisquare scaled p", Tolerance::PValue, &at(&expected[&id]["chisquare_scaled"], 1), chisquare);
        table.add(&id, "cramers_v", Tolerance::Statistic, &expected[&id]["cramers_v"], cramers_v(left, right));
    }
    table.check(&[]);
}

#[test]
fn evidently_numbers() {
    let expected = json("univariate/expected.evidently.json");
    let mut table = Table::new("evidently");
    for id in cases("numeric") {
        let case = Case::read(&id);
        let (numbers, exact) = (case.numbers(), case.exact_numbers());
        let mut p_value = |method: &str, found| {
            table.add(&id, method, Tolerance::PValue, &value(&expected[&id][method]), found);
        };
        p_value("anderson", evidently::anderson(exact));
        p_value("cramer_von_mises", evidently::cramer_von_mises(exact));
        p_value("es", evidently::es(numbers));
        p_value("ks", evidently::ks(exact));
        p_value("mannw", evidently::mannw(numbers));
        p_value("t_test", evidently::t_test(numbers));
        p_value("default", evidently::default_of_numbers(exact).map(|it| it.1));
        let mut distance = |method: &str, found| {
            table.add(&id, method, Tolerance::Statistic, &value(&expected[&id][method]), found);
        };
        distance("ed", evidently::ed(numbers));
        distance("hellinger", evidently::hellinger(numbers));
        distance("jensenshannon", evidently::jensenshannon(numbers));
        distance("kl_div", evidently::kl_div(numbers));
        distance("psi", evidently::psi(numbers));
        distance("wasserstein", evidently::wasserstein(numbers));
    }
    table.check(&[
        Exception { case: "num_zero_inflated", methods: &[("cramer_von_mises", By(2.6e-5))], reason: NOISE },
        Exception { case: "num_few_unique12", methods: &[("cramer_von_mises", By(3.9e-5))], reason: NOISE },
        Exception { case: "num_const_equal", methods: &[("cramer_von_mises", By(1.3e-6))], reason: NOISE },
        Exception { case: "num_huge", methods: &[("cramer_von_mises", By(2.3e-6))], reason: NOISE },
        Exception { case: "num_tiny_values", methods: &[("cramer_von_mises", By(1.2e-5))], reason: NOISE },
        Exception { case: "num_int64_big", methods: &[("cramer_von_mises", By(2.4e-6))], reason: NOISE },
        Exception { case: "num_uint8", methods: &[("cramer_von_mises", By(4.2e-6))], reason: NOISE },
        Exception { case: "num_binary01", methods: &[("es", Are(6.000_419_2e-4, 7.389_295_9e-3))], reason: RANK },
        Exception { case: "num_negzero", methods: &[("es", By(0.16))], reason: RANK },
        Exception {
            case: "num_bool",
            methods: &[("es", OursIsNumber), ("default", OursIsNumber), ("hellinger", Are(0.133_928_63, 0.0))],
            reason: "the peer fails on booleans or puts them into one bin",
        },
        Exception {
            case: "num_near_constant",
            methods: &[("t_test", Are(1.444_518_8e-53, 6.613_471_8e-142))],
            reason: MEANS,
        },
        Exception {
            case: "num_near_constant",
            methods: &[("default", OursIsNumber)],
            reason: "the peer fails while it draws its figure",
        },
        Exception { case: "num_large_offset", methods: &[("t_test", By(2.1e-2))], reason: MEANS },
        Exception {
            case: "num_int64_big",
            methods: &[("t_test", By(0.77)), ("wasserstein", By(2.7e-6))],
            reason: MEANS,
        },
        Exception { case: "num_large_offset", methods: &[("hellinger", By(8.4e-4))], reason: WIDTH },
        Exception { case: "num_int64_big", methods: &[("hellinger", By(0.28))], reason: WIDTH },
        Exception {
            case: "num_tiny_2_3",
            methods: &[("cramer_von_mises", OursIsNumber)],
            reason: "the peer overflows small integers; ours is the exact p-value",
        },
        Exception {
            case: "num_tiny_4_5",
            methods: &[("cramer_von_mises", OursIsNumber)],
            reason: "the peer overflows small integers; ours is the exact p-value",
        },
        Exception {
            case: "num_huge",
            methods: &[
                ("t_test", Are(7.315_499_2e-15, 1.0)),
                ("wasserstein", Are(0.494_961_48, 0.0)),
                ("hellinger", Are(0.192_091_33, 1.0)),
            ],
            reason: OVERFLOW,
        },
        Exception {
            case: "num_tiny_values",
            methods: &[("t_test", Are(1.750_518_0e-12, 0.0)), ("hellinger", Are(0.188_376_28, 0.0))],
            reason: OVERFLOW,
        },
        Exception {
            case: "num_float32",
            methods: &[("es", By(8.9e-6)), ("hellinger", By(9e-6)), ("wasserstein", By(2.3e-8))],
            reason: "the peer computes in 32 bits",
        },
    ]);
}

#[test]
fn evidently_categories() {
    let expected = json("univariate/expected.evidently.json");
    let mut table = Table::new("evidently");
    for id in cases("categorical") {
        let case = Case::read(&id);
        let categories = case.categories();
        let mut p_value = |method: &str, found| {
            table.add(&id, method, Tolerance::PValue, &value(&expected[&id][method]), found);
        };
        p_value("chisquare", evidently::chisquare(categories));
        p_value("fisher_exact", evidently::fisher_exact(categories));
        p_value("g_test", evidently::g_test(categories));
        p_value("z", evidently::z(categories));
        p_value("default", evidently::default_of_categories(categories).map(|it| it.1));
        let mut distance = |method: &str, found| {
            table.add(&id, method, Tolerance::Statistic, &value(&expected[&id][method]), found);
        };
        distance("hellinger", evidently::hellinger_of_categories(categories));
        distance("jensenshannon", evidently::jensenshannon_of_categories(categories));
        distance("kl_div", evidently::kl_div_of_categories(categories));
        distance("psi", evidently::psi_of_categories(categories));
    }
    table.check(&[]);
}

#[test]
fn evidently_dealings() {
    // Shares of random dealings, of which ours are other ones: four standard errors of the difference.
    let expected = json("univariate/dealings.evidently.json");
    let near = |ours: f64, theirs: &Value, n: f64| {
        let theirs = theirs.as_f64().unwrap();
        println!("ours {ours}, theirs {theirs}, of {n} dealings");
        let error = (2.0 * theirs * (1.0 - theirs) / n).sqrt();
        assert!(ours > 0.0 && ours < 1.0, "{ours}");
        assert!((ours - theirs).abs() <= 4.0 * error, "{ours}, theirs {theirs}");
    };
    let counts = |it: &Value| it.as_array().unwrap().iter().map(|it| it.as_u64().unwrap()).collect::<Vec<_>>();
    for id in ["cat_400_300", "bin_400_300"] {
        let (reference, current) = (counts(&expected[id]["reference"]), counts(&expected[id]["current"]));
        let ours = evidently::tvd(Categories { reference: &reference, current: &current }).unwrap();
        near(ours, &expected[id]["TVD"], 1000.0);
    }
    let points = |it: &Value| {
        let mut res = NumericSample::new(1000);
        res.update(&it.as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect::<Vec<_>>());
        res.points()
    };
    let case = &expected["num_400_300"];
    let (reference, current) = (points(&case["reference"]), points(&case["current"]));
    let numbers = Numbers { reference: &reference, current: &current, values: Values::Real };
    near(evidently::empirical_mmd(numbers).unwrap(), &case["empirical_mmd"], 100.0);
}

#[test]
fn nannyml_numbers() {
    let expected = json("univariate/expected.nannyml.json");
    let mut table = Table::new("nannyml");
    for id in cases("numeric") {
        let case = Case::read(&id);
        let (numbers, exact) = (case.numbers(), case.exact_numbers());
        let mut add = |method: &str, found| {
            table.add(&id, method, Tolerance::Statistic, &value(&expected[&id][method]), found);
        };
        add("jensen_shannon", nannyml::jensen_shannon(numbers));
        add("hellinger", nannyml::hellinger(numbers));
        add("kolmogorov_smirnov", nannyml::kolmogorov_smirnov(exact));
        add("wasserstein", nannyml::wasserstein(numbers));
    }
    table.check(&[
        Exception { case: "num_permuted",
            methods: &[("jensen_shannon", Are(0.0, 7.616_680_9e-9)), ("hellinger", Are(0.0, 7.450_580_6e-9))], reason: "equal samples: the peer's rounding noise, ours is exactly 0" },
        Exception { case: "num_bool",
            methods: &[("hellinger", By(0.2)), ("kolmogorov_smirnov", By(0.14)), ("wasserstein", By(0.14))], reason: "the peer takes booleans for categories and answers Jensen-Shannon for every method" },
        Exception { case: "num_ks_10001",
            methods: &[("wasserstein", By(2.4e-2))], reason: "one current value is below the range of the reference: the peer adds bins that do not meet its own" },
    ]);
}

#[test]
fn nannyml_categories() {
    let expected = json("univariate/expected.nannyml.json");
    let mut table = Table::new("nannyml");
    for id in cases("categorical") {
        let case = Case::read(&id);
        let categories = case.categories();
        let chi2 = nannyml::chi2(categories);
        let answer = &expected[&id]["chi2"];
        let p_value = answer.get("p_value").unwrap_or(answer);
        table.add(&id, "chi2 p", Tolerance::PValue, p_value, chi2.map(|it| it.p_value));
        let mut add = |method: &str, found| {
            table.add(&id, method, Tolerance::Statistic, &value(&expected[&id][method]), found);
        };
        add("chi2", chi2.map(|it| it.statistic));
        add("jensen_shannon", nannyml::jensen_shannon_of_categories(categories));
        add("hellinger", nannyml::hellinger_of_categories(categories));
        add("l_infinity", nannyml::l_infinity(categories));
    }
    table.check(&[
        Exception { case: "cat_all_null_cur", methods: &[("chi2 p", TheirsIsNumber)], reason: EMPTY },
        Exception {
            case: "cat_all_null_ref",
            methods: &[("chi2 p", TheirsIsNumber), ("hellinger", TheirsIsNumber), ("l_infinity", TheirsIsNumber)],
            reason: EMPTY,
        },
    ]);
}

#[test]
fn alibi_detect() {
    let expected = json("univariate/expected.alibi.json");
    let mut table = Table::new("alibi-detect");
    let mut add = |id: &str, detector: &str, found: TestResult| {
        let answer = &expected[id][detector];
        let part = |name: &str| answer.get(name).unwrap_or(answer);
        table.add(id, detector, Tolerance::Single, part("statistic"), found.map(|it| it.statistic));
        let method = format!("{detector} p");
        table.add(id, &method, Tolerance::Single, part("p_value"), found.map(|it| it.p_value));
    };
    for id in cases("numeric") {
        let case = Case::read(&id);
        add(&id, "KSDrift", case.raw_numbers().and_then(alibi::ks));
        add(&id, "CVMDrift", case.raw_numbers().and_then(alibi::cvm));
    }
    for id in cases("categorical") {
        add(&id, "ChiSquareDrift", alibi::chi2(Case::read(&id).categories_with_null()));
    }
    table.check(&[
        Exception { case: "num_zero_inflated", methods: &[("CVMDrift p", By(2.6e-5))], reason: NOISE },
        Exception { case: "num_few_unique12", methods: &[("CVMDrift p", By(3.9e-5))], reason: NOISE },
        Exception { case: "num_const_equal", methods: &[("CVMDrift p", By(1.3e-6))], reason: NOISE },
        Exception { case: "num_huge", methods: &[("CVMDrift p", By(2.3e-6))], reason: NOISE },
        Exception { case: "num_tiny_values", methods: &[("CVMDrift p", By(1.2e-5))], reason: NOISE },
        Exception { case: "num_int64_big", methods: &[("CVMDrift p", By(4.4e-6))], reason: NOISE },
        Exception { case: "num_uint8", methods: &[("CVMDrift p", By(4.2e-6))], reason: NOISE },
        Exception {
            case: "num_tiny_1_1",
            methods: &[("KSDrift", TheirsIsNumber)],
            reason: "no p-value exists for an effective size of half a row, and ours then has no statistic either",
        },
    ]);
}

#[test]
fn tensorflow_data_validation() {
    let expected = json("univariate/expected.tfdv.json");
    let mut table = Table::new("tfdv");
    for id in cases("categorical") {
        let case = Case::read(&id);
        let drift = &expected[&id]["drift"];
        let answer = |name: &str| drift.get(name).cloned().unwrap_or(Value::Null);
        let categories = case.categories();
        table.add(&id, "l_infinity", Tolerance::Statistic, &answer("l_infinity"), tfdv::l_infinity(categories));
        let divergence = tfdv::jensen_shannon_divergence_of_categories(categories);
        table.add(&id, "js_divergence", Tolerance::Statistic, &answer("jensen_shannon_divergence"), divergence);
    }
    for id in cases("numeric") {
        let answer = expected[&id]["drift"].get("jensen_shannon_divergence").cloned().unwrap_or(Value::Null);
        let divergence = tfdv::jensen_shannon_divergence(Case::read(&id).numbers());
        table.add(&id, "js_divergence", Tolerance::Statistic, &answer, divergence);
    }
    table.check(&[
        Exception { case: "cat_all_null_ref", methods: &[("l_infinity", TheirsIsNumber)], reason: EMPTY },
        Exception {
            case: "cat_int_labels",
            methods: &[("l_infinity", Are(0.0865, 0.0)), ("js_divergence", By(2.1e-4))],
            reason: NUMERIC,
        },
        Exception {
            case: "cat_float_labels",
            methods: &[("l_infinity", Are(0.198_421_05, 0.0)), ("js_divergence", By(0.13))],
            reason: NUMERIC,
        },
        Exception {
            case: "cat_bool",
            methods: &[("l_infinity", Are(0.240_320_51, 0.0)), ("js_divergence", By(4.8e-4))],
            reason: NUMERIC,
        },
        Exception {
            case: "cat_dictionary_order",
            methods: &[("l_infinity", OursIsNumber), ("js_divergence", OursIsNumber)],
            reason: "the peer gave no answer for a dictionary",
        },
        Exception { case: "num_*", methods: &[("js_divergence", By(4.9e-2))], reason: SKETCH },
        Exception { case: "num_near_constant", methods: &[("js_divergence", TheirsIsNumber)], reason: SKETCH },
        Exception { case: "num_posinf_cur", methods: &[("js_divergence", TheirsIsNumber)], reason: SKETCH },
        Exception { case: "num_inf_both", methods: &[("js_divergence", TheirsIsNumber)], reason: SKETCH },
    ]);
}

#[test]
fn whylogs_and_deepchecks() {
    // Neither has a compatibility mode: the one answers from a random sketch, the other is dormant. Their statistics are ours.
    let (whylogs, deepchecks) = (json("univariate/expected.whylogs.json"), json("univariate/expected.deepchecks.json"));
    let (mut near, mut same) = (Table::new("whylogs"), Table::new("deepchecks"));
    for id in cases("numeric") {
        let case = Case::read(&id);
        let statistic = ks_statistic(&case.points[0], &case.points[1]);
        let answer = |it: &Value, name: &str| it.get(name).unwrap_or(it).clone();
        near.add(&id, "ks", Tolerance::Sketch, &answer(&whylogs[&id]["ks"], "statistic"), statistic);
        same.add(&id, "default", Tolerance::Statistic, &answer(&deepchecks[&id]["default"], "score"), statistic);
    }
    near.check(&[Exception {
        case: "num_tiny_1_1",
        methods: &[("ks", OursIsNumber)],
        reason: "the peer has no answer for one row",
    }]);
    same.check(&[Exception {
        case: "num_tiny_*",
        methods: &[("default", OursIsNumber)],
        reason: "the peer wants ten rows",
    }]);
}
