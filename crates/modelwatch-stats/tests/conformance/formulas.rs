//! What the peers answer for numbers and categories that a formula makes: one pair of samples, a definition a row.

use modelwatch_stats::{
    Point,
    categories::{AlignedCounts, CategoryCounts, align},
    estimation::{ExpectedCounts, expected_average_precision, expected_roc_auc},
    peers::{Categories, Numbers, alibi, evidently, nannyml},
    sample::NumericSample,
    two_sample::{Values, ks, ks_asymptotic, wasserstein},
};
use serde_json::Value;

use crate::{
    fixtures::json,
    table::{Differs::By, Exception, Table, Tolerance},
};

/// The numbers of a linear congruential generator (Knuth's MMIX) between 0 and 1.
struct Uniform(u64);

impl Iterator for Uniform {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(((self.0 >> 11) as f64 + 0.5) / 2f64.powi(53))
    }
}

/// Normal numbers by Box and Muller, to six places.
fn normal(seed: u64, n: usize, (mean, deviation): (f64, f64)) -> Vec<f64> {
    let mut uniform = Uniform(seed);
    let mut pair = || {
        let (u, v) = (uniform.next().unwrap(), uniform.next().unwrap());
        let (radius, angle) = ((-2.0 * u.ln()).sqrt(), std::f64::consts::TAU * v);
        [radius * angle.cos(), radius * angle.sin()]
    };
    let all = (0..n.div_ceil(2)).flat_map(|_| pair());
    all.map(|it| ((mean + deviation * it) * 1e6).round_ties_even() / 1e6).take(n).collect()
}

fn categories(seed: u64, n: usize, shares: &[f64]) -> Vec<&'static str> {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let name = |at: f64| {
        let mut sum = 0.0;
        let place = shares.iter().position(|it| {
            sum += it;
            at < sum
        });
        NAMES[place.unwrap_or(shares.len() - 1)]
    };
    Uniform(seed).take(n).map(name).collect()
}

/// The samples of numbers by their names.
fn numbers() -> [(&'static str, [Vec<f64>; 2]); 2] {
    let (reference, current) = (normal(1, 2000, (0.0, 1.0)), normal(2, 1500, (0.15, 1.1)));
    let parts = [reference[..400].to_vec(), current[..300].to_vec()];
    [("num_2000_1500", [reference, current]), ("num_400_300", parts)]
}

/// The samples of categories by their names.
fn all_categories() -> [(&'static str, AlignedCounts); 3] {
    let (reference, current) = (categories(3, 2000, &[0.5, 0.3, 0.2]), categories(4, 1500, &[0.42, 0.33, 0.2, 0.05]));
    let [heads, other] = [(5, 400, [0.5, 0.5]), (6, 300, [0.6, 0.4])].map(|(seed, n, it)| categories(seed, n, &it));
    let counts = |names: &[&str]| {
        let mut res = CategoryCounts::default();
        res.update(names.iter().copied());
        res
    };
    let aligned = |left: &[&str], right: &[&str]| align(&counts(left), &counts(right));
    [
        ("cat_2000_1500", aligned(&reference, &current)),
        ("cat_400_300", aligned(&reference[..400], &current[..300])),
        ("bin_400_300", aligned(&heads, &other)),
    ]
}

fn points(values: &[f64]) -> Vec<Point> {
    let mut sample = NumericSample::new(u64::MAX);
    sample.update(values);
    sample.points()
}

fn of<'a>([reference, current]: &'a [Vec<Point>; 2]) -> Numbers<'a> {
    Numbers { reference, current, values: Values::Real }
}

#[test]
fn evidently_formulas() {
    let expected = json("formulas/evidently.json");
    let mut table = Table::new("evidently");
    for (case, samples) in numbers() {
        let samples = samples.map(|it| points(&it));
        let (numbers, expected) = (of(&samples), &expected[case]);
        let mut add = |method: &str, tolerance, found| {
            table.add(case, method, tolerance, score(&expected[method]), found);
        };
        add("anderson", Tolerance::PValue, evidently::anderson(numbers));
        add("cramer_von_mises", Tolerance::PValue, evidently::cramer_von_mises(numbers));
        add("es", Tolerance::PValue, evidently::es(numbers));
        add("ks", Tolerance::PValue, evidently::ks(numbers));
        add("mannw", Tolerance::PValue, evidently::mannw(numbers));
        add("t_test", Tolerance::PValue, evidently::t_test(numbers));
        add("ed", Tolerance::Statistic, evidently::ed(numbers));
        add("hellinger", Tolerance::Statistic, evidently::hellinger(numbers));
        add("jensenshannon", Tolerance::Statistic, evidently::jensenshannon(numbers));
        add("kl_div", Tolerance::Statistic, evidently::kl_div(numbers));
        add("psi", Tolerance::Statistic, evidently::psi(numbers));
        add("wasserstein", Tolerance::Statistic, evidently::wasserstein(numbers));
        let default = score(&expected[expected["__default"].as_str().unwrap()]);
        let found = evidently::default_of_numbers(numbers).map(|it| it.1);
        table.add(case, "default", Tolerance::PValue, default, found);
    }
    for (case, counts) in all_categories() {
        let (categories, expected) =
            (Categories { reference: &counts.reference, current: &counts.current }, &expected[case]);
        let mut add = |method: &str, tolerance, found| {
            table.add(case, method, tolerance, score(&expected[method]), found);
        };
        add("chisquare", Tolerance::PValue, evidently::chisquare(categories));
        add("fisher_exact", Tolerance::PValue, evidently::fisher_exact(categories));
        add("g_test", Tolerance::PValue, evidently::g_test(categories));
        add("z", Tolerance::PValue, evidently::z(categories));
        add("hellinger", Tolerance::Statistic, evidently::hellinger_of_categories(categories));
        add("jensenshannon", Tolerance::Statistic, evidently::jensenshannon_of_categories(categories));
        add("kl_div", Tolerance::Statistic, evidently::kl_div_of_categories(categories));
        add("psi", Tolerance::Statistic, evidently::psi_of_categories(categories));
        let default = score(&expected[expected["__default"].as_str().unwrap()]);
        let found = evidently::default_of_categories(categories).map(|it| it.1);
        table.add(case, "default", Tolerance::PValue, default, found);
    }
    table.check(&[]);
}

#[test]
fn nannyml_formulas() {
    let expected = json("formulas/nannyml.json");
    let mut table = Table::new("nannyml");
    let [(case, samples), (_, parts)] = numbers();
    let samples = samples.map(|it| points(&it));
    let numbers = of(&samples);
    let mut add = |case: &str, method: &str, found| {
        table.add(case, method, Tolerance::Statistic, &expected[case][method]["value"], found);
    };
    add(case, "jensen_shannon", nannyml::jensen_shannon(numbers));
    add(case, "hellinger", nannyml::hellinger(numbers));
    add(case, "kolmogorov_smirnov", nannyml::kolmogorov_smirnov(numbers));
    add(case, "wasserstein", nannyml::wasserstein(numbers));
    let [(case, counts), ..] = all_categories();
    let categories = Categories { reference: &counts.reference, current: &counts.current };
    add(case, "jensen_shannon", nannyml::jensen_shannon_of_categories(categories));
    add(case, "hellinger", nannyml::hellinger_of_categories(categories));
    add(case, "l_infinity", nannyml::l_infinity(categories));
    add(case, "chi2", nannyml::chi2(categories).map(|it| it.statistic));
    let chances: Vec<f64> = parts[1].iter().map(|it| 1.0 / (1.0 + (-it).exp())).collect();
    let is_called: Vec<bool> = chances.iter().map(|it| *it >= 0.5).collect();
    let counts = ExpectedCounts::of(&chances, &is_called).unwrap();
    let ones = vec![1.0; chances.len()];
    for (metric, found) in [
        ("accuracy", counts.accuracy()),
        ("precision", counts.precision()),
        ("recall", counts.recall()),
        ("specificity", counts.specificity()),
        ("f1", counts.f1()),
        ("roc_auc", expected_roc_auc(&chances, &chances, &ones)),
        ("ap", expected_average_precision(&chances, &chances, &ones)),
    ] {
        table.add("cbpe", metric, Tolerance::Statistic, &expected["cbpe"][metric], found);
    }
    table.check(&[Exception {
        case: "cbpe",
        methods: &[("roc_auc", By(1.2e-8)), ("ap", By(2.1e-8))],
        reason: "the peer rounds its sums to five places; ours are not rounded",
    }]);
}

#[test]
fn alibi_formulas() {
    let expected = json("formulas/alibi.json");
    let mut table = Table::new("alibi");
    let [(_, samples), _] = numbers();
    let samples = samples.map(|it| points(&it));
    let other = [normal(21, 2000, (0.0, 1.0)), normal(22, 1500, (0.0, 1.0))].map(|it| points(&it));
    let [(_, counts), ..] = all_categories();
    let categories = Categories { reference: &counts.reference, current: &counts.current };
    for (case, at, found) in [
        ("ks_1d", 0, alibi::ks(of(&samples))),
        ("ks_2d_bonferroni", 1, alibi::ks(of(&other))),
        ("cvm_1d", 0, alibi::cvm(of(&samples))),
        ("chi2_cat", 0, alibi::chi2(categories)),
    ] {
        let expected = &expected[case];
        table.add(case, "distance", Tolerance::Single, &expected["distance"][at], found.map(|it| it.statistic));
        table.add(case, "p_val", Tolerance::Single, &expected["p_val"][at], found.map(|it| it.p_value));
    }
    table.check(&[]);
}

/// The same names of the peers, each with its own number.
#[test]
fn variants_of_one_name() {
    let expected = json("formulas/variants.json");
    let mut table = Table::new("variant");
    let [(_, samples), _] = numbers();
    let samples = samples.map(|it| points(&it));
    let (numbers, [reference, current]) = (of(&samples), &samples);
    for (variant, found) in [
        ("psi_evidently", evidently::psi(numbers)),
        ("js_evidently_sqrt_ln", evidently::jensenshannon(numbers)),
        ("js_nannyml_sqrt_log2_doane_ref", nannyml::jensen_shannon(numbers)),
        ("wasserstein_raw", wasserstein(reference, current)),
        ("wasserstein_evidently_div_std_ref_ddof0", evidently::wasserstein(numbers)),
        ("ks_stat", ks(reference, current).map(|it| it.statistic)),
    ] {
        table.add("num_2000_1500", variant, Tolerance::Statistic, &expected[variant], found);
    }
    for (variant, found) in
        [("ks_p_auto", ks(reference, current)), ("ks_p_asymp_alibi", ks_asymptotic(reference, current))]
    {
        table.add("num_2000_1500", variant, Tolerance::PValue, &expected[variant], found.map(|it| it.p_value));
    }
    table.check(&[]);
}

/// The number of an answer, or the error that it is.
fn score(answer: &Value) -> &Value {
    answer.get("score").unwrap_or(answer)
}
