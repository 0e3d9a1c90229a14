//! How a column is compared, and what each way gives.

use modelwatch_sdk::JsonSchema;
use serde::Deserialize;

/// How a column is compared.
///
/// Tests are judged by their p-value and by the size of the difference, distances by their size and the p-value of `auto`: a distance is no
/// test of its own, since how large it is by chance would have to be found by dealing out rows that a profile does not keep, thousands of
/// times for each column, and would tell less than `auto` does of the same values.
/// A method of another tool gives that tool's number, right or wrong, and is judged by that tool's own rule alone; `thresholds`
/// changes its threshold. Missing values are compared beside it, by their own test, and a column is drifted by either: with
/// `min_effect = { missing = 1.0 }` the tool's number alone decides, unless all values go missing. Such a number needs every value, so that `budget` has to be at least the number of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Ours. Numbers: rank tests for a shift and for a change of spread together with Kolmogorov-Smirnov; the latter alone, exact,
    /// where there are too few rows beside the most frequent value; Fisher's exact test for two values. Categories: the
    /// chi-squared and G tests together with Fisher's exact test of each category against all others; the
    /// rows of categories that one role lacks; and chi-squared by its permutation distribution where many are rare. Of weighted rows chi-squared
    /// and G alone, with rare categories in one cell. Fisher's exact test for two.
    #[default]
    Auto,
    /// Numbers: Kolmogorov-Smirnov; exact where that is worth its time.
    Ks,
    /// Numbers: Cramér-von Mises. Where values come more than once, its p-value is of the distribution that it has with them, and of
    /// Kolmogorov-Smirnov where there are too few rows beside the most frequent value.
    CramerVonMises,
    /// Numbers: Anderson-Darling; with values that come more than once as `cramer-von-mises`.
    AndersonDarling,
    /// Numbers: Mann-Whitney, two-sided.
    MannWhitney,
    /// Numbers: Student's t with a pooled variance. It compares means, so that by its definition one outlier can hide any shift. It has no
    /// answer where values are so skewed and one role so small that its mean is not normal.
    T,
    /// Numbers: Welch's t. It compares means, so that by its definition one outlier can hide any shift. It has no answer where values are
    /// skewed and one role is small: a fifth as skewed as `t` takes, as its variance is that of each role alone.
    Welch,
    /// Numbers: Epps-Singleton, with the covariance of all rows: SciPy's, which takes that of each role alone, calls counts different that
    /// are not. What is too rare in the smaller role for the limit to hold is not looked at, and where nothing is left, or the quartiles are
    /// equal, it has no answer.
    EppsSingleton,
    /// Numbers: Kuiper.
    Kuiper,
    /// Numbers: the Wasserstein distance in standard deviations of the reference. In its size, the outermost hundredth of the rows of each
    /// role at each end, of one row at least and five at most, counts as its neighbors do, so that one outlier neither makes a distance
    /// nor hides one. Where the distance of the reference's quartiles says that most of its values vary less, the deviation is that of these.
    Wasserstein,
    /// Numbers: the energy distance over the root of that standard deviation.
    Energy,
    /// Numbers: the maximum mean discrepancy, with a Laplace kernel as wide as that standard deviation. At most √2, of two constants that are
    /// far apart; 0.92 of two normal distributions that are. One row changes it by no more than its share, wherever it is. It is biased: with
    /// no drift it is about 0.05 at 400 rows of each role, and less the more there are.
    Mmd,
    /// The population stability index; of numbers, over the tenths of the reference.
    Psi,
    /// The Jensen-Shannon distance in base 2; of numbers, over the tenths of the reference.
    JensenShannon,
    /// The Kullback-Leibler divergence of the reference from the current values; of numbers, over the tenths of the reference.
    Kl,
    /// The Hellinger distance; of numbers, over the tenths of the reference.
    Hellinger,
    /// The total variation distance; of numbers, over the tenths of the reference.
    TotalVariation,
    /// The greatest difference of two shares; of numbers, over the tenths of the reference.
    Chebyshev,
    /// Categories: the two-sample chi-squared test, corrected by Yates for two of them. Where some are rare, its p-value is of the permutation
    /// distribution, and beyond that of the categories that changed most. Of weighted rows, rare categories share a cell.
    Chi2,
    /// Categories: the two-sample G test; of rare ones as `chi2`.
    G,
    /// Two categories: Fisher's exact test.
    Fisher,
    /// Two categories: the z test of two shares.
    Z,
    /// Evidently's default rule.
    #[serde(rename = "evidently:auto")]
    EvidentlyAuto,
    /// Evidently's `anderson`, for numbers.
    #[serde(rename = "evidently:anderson")]
    EvidentlyAnderson,
    /// Evidently's `cramer_von_mises`, for numbers.
    #[serde(rename = "evidently:cramer_von_mises")]
    EvidentlyCramerVonMises,
    /// Evidently's `ed`, for numbers.
    #[serde(rename = "evidently:ed")]
    EvidentlyEd,
    /// Evidently's `es`, for numbers.
    #[serde(rename = "evidently:es")]
    EvidentlyEs,
    /// Evidently's `ks`, for numbers.
    #[serde(rename = "evidently:ks")]
    EvidentlyKs,
    /// Evidently's `mannw`, for numbers.
    #[serde(rename = "evidently:mannw")]
    EvidentlyMannw,
    /// Evidently's `t_test`, for numbers.
    #[serde(rename = "evidently:t_test")]
    EvidentlyTTest,
    /// Evidently's `wasserstein`, for numbers.
    #[serde(rename = "evidently:wasserstein")]
    EvidentlyWasserstein,
    /// Evidently's `empirical_mmd`, for numbers of up to 5,000 rows of both roles; its dealings of the rows are other random ones at each call.
    #[serde(rename = "evidently:empirical_mmd")]
    EvidentlyEmpiricalMmd,
    /// Evidently's `psi`.
    #[serde(rename = "evidently:psi")]
    EvidentlyPsi,
    /// Evidently's `jensenshannon`.
    #[serde(rename = "evidently:jensenshannon")]
    EvidentlyJensenshannon,
    /// Evidently's `kl_div`.
    #[serde(rename = "evidently:kl_div")]
    EvidentlyKlDiv,
    /// Evidently's `hellinger`.
    #[serde(rename = "evidently:hellinger")]
    EvidentlyHellinger,
    /// Evidently's `chisquare`, for categories.
    #[serde(rename = "evidently:chisquare")]
    EvidentlyChisquare,
    /// Evidently's `fisher_exact`, for two categories and roles of equal size.
    #[serde(rename = "evidently:fisher_exact")]
    EvidentlyFisherExact,
    /// Evidently's `g_test`, for categories and roles of equal size.
    #[serde(rename = "evidently:g_test")]
    EvidentlyGTest,
    /// Evidently's `z`, for categories.
    #[serde(rename = "evidently:z")]
    EvidentlyZ,
    /// Evidently's `TVD`, for categories of up to 100,000 rows of both roles; with other random dealings of the rows.
    #[serde(rename = "evidently:tvd")]
    EvidentlyTvd,
    /// NannyML's `jensen_shannon`. Needs a threshold.
    #[serde(rename = "nannyml:jensen_shannon")]
    NannymlJensenShannon,
    /// NannyML's `hellinger`. Needs a threshold.
    #[serde(rename = "nannyml:hellinger")]
    NannymlHellinger,
    /// NannyML's `kolmogorov_smirnov`, for numbers. Needs a threshold.
    #[serde(rename = "nannyml:kolmogorov_smirnov")]
    NannymlKolmogorovSmirnov,
    /// NannyML's `wasserstein`, for numbers. Needs a threshold.
    #[serde(rename = "nannyml:wasserstein")]
    NannymlWasserstein,
    /// NannyML's `chi2`, for categories.
    #[serde(rename = "nannyml:chi2")]
    NannymlChi2,
    /// NannyML's `l_infinity`, for categories. Needs a threshold.
    #[serde(rename = "nannyml:l_infinity")]
    NannymlLInfinity,
    /// alibi-detect's `KSDrift`, for numbers; without a correction for the number of columns.
    #[serde(rename = "alibi:ks")]
    AlibiKs,
    /// alibi-detect's `CVMDrift`, for numbers; without a correction for the number of columns.
    #[serde(rename = "alibi:cvm")]
    AlibiCvm,
    /// alibi-detect's `ChiSquareDrift`, for categories; without a correction for the number of columns.
    #[serde(rename = "alibi:chi2")]
    AlibiChi2,
    /// alibi-detect's `FETDrift`, for two categories without missing values, of which the later one by name is counted; with its default
    /// alternative that it is more frequent in the current rows, and without a correction for the number of columns.
    #[serde(rename = "alibi:fet")]
    AlibiFet,
    /// TFDV's `infinity_norm`, for categories. Needs a threshold.
    #[serde(rename = "tfdv:l_infinity")]
    TfdvLInfinity,
    /// TFDV's `jensen_shannon_divergence`; of numbers, its histograms are approximate and this differs by a few percent. Needs a
    /// threshold.
    #[serde(rename = "tfdv:jensen_shannon_divergence")]
    TfdvJensenShannonDivergence,
    /// SciPy's `ks_2samp`, for numbers. Needs a threshold for the p-value.
    #[serde(rename = "scipy:ks_2samp")]
    ScipyKs2samp,
    /// SciPy's `cramervonmises_2samp`, for numbers. Needs a threshold for the p-value.
    #[serde(rename = "scipy:cramervonmises_2samp")]
    ScipyCramervonmises2samp,
    /// SciPy's `anderson_ksamp`, for numbers. Needs a threshold for the p-value.
    #[serde(rename = "scipy:anderson_ksamp")]
    ScipyAndersonKsamp,
    /// SciPy's `mannwhitneyu`, for numbers. Needs a threshold for the p-value.
    #[serde(rename = "scipy:mannwhitneyu")]
    ScipyMannwhitneyu,
    /// SciPy's `ttest_ind`, for numbers. Needs a threshold for the p-value.
    #[serde(rename = "scipy:ttest_ind")]
    ScipyTtestInd,
    /// SciPy's `epps_singleton_2samp`, for numbers. Needs a threshold for the p-value.
    #[serde(rename = "scipy:epps_singleton_2samp")]
    ScipyEppsSingleton2samp,
    /// SciPy's `wasserstein_distance`, for numbers, in units of the column. Needs a threshold.
    #[serde(rename = "scipy:wasserstein_distance")]
    ScipyWassersteinDistance,
    /// SciPy's `energy_distance`, for numbers. Needs a threshold.
    #[serde(rename = "scipy:energy_distance")]
    ScipyEnergyDistance,
    /// SciPy's `chi2_contingency`, for categories. Needs a threshold for the p-value.
    #[serde(rename = "scipy:chi2_contingency")]
    ScipyChi2Contingency,
}

/// What kind of values a column has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Numbers.
    Numbers,
    /// Names.
    Categories,
}

/// When another tool's number means drift.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rule {
    /// A p-value below the number.
    Below(f64),
    /// A p-value of at most the number.
    AtMost(f64),
    /// A distance of at least the number.
    AtLeast(f64),
    /// A distance above the number.
    Above(f64),
}

impl Rule {
    /// Returns whether the value means drift.
    pub(crate) fn is_drift(self, value: f64) -> bool {
        match self {
            Self::Below(it) => value < it,
            Self::AtMost(it) => value <= it,
            Self::AtLeast(it) => value >= it,
            Self::Above(it) => value > it,
        }
    }

    /// Returns the number that the value is held against.
    pub(crate) fn threshold(self) -> f64 {
        match self {
            Self::Below(it) | Self::AtMost(it) | Self::AtLeast(it) | Self::Above(it) => it,
        }
    }

    /// Returns whether the value is a p-value.
    pub(crate) fn is_of_p_value(self) -> bool {
        matches!(self, Self::Below(_) | Self::AtMost(_))
    }

    /// Returns the rule with another threshold.
    pub(crate) fn with(self, threshold: f64) -> Self {
        match self {
            Self::Below(_) => Self::Below(threshold),
            Self::AtMost(_) => Self::AtMost(threshold),
            Self::AtLeast(_) => Self::AtLeast(threshold),
            Self::Above(_) => Self::Above(threshold),
        }
    }

    /// Returns the rule in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Below(_) => "below",
            Self::AtMost(_) => "at most",
            Self::AtLeast(_) => "at least",
            Self::Above(_) => "above",
        }
    }
}

/// The name, the kinds of values it can compare, and another tool's rule, NaN where the user has to give its threshold.
type Row = (Method, &'static str, Option<Kind>, Option<Rule>);

#[rustfmt::skip] // It is a table.
const METHODS: [Row; 62] = {
    use {Kind::{Categories, Numbers}, Rule::{Above, AtLeast, AtMost, Below}};
    const NAN: f64 = f64::NAN;
    [
        (Method::Auto, "auto", None, None),
        (Method::Ks, "ks", Some(Numbers), None),
        (Method::CramerVonMises, "cramer-von-mises", Some(Numbers), None),
        (Method::AndersonDarling, "anderson-darling", Some(Numbers), None),
        (Method::MannWhitney, "mann-whitney", Some(Numbers), None),
        (Method::T, "t", Some(Numbers), None),
        (Method::Welch, "welch", Some(Numbers), None),
        (Method::EppsSingleton, "epps-singleton", Some(Numbers), None),
        (Method::Kuiper, "kuiper", Some(Numbers), None),
        (Method::Wasserstein, "wasserstein", Some(Numbers), None),
        (Method::Energy, "energy", Some(Numbers), None),
        (Method::Mmd, "mmd", Some(Numbers), None),
        (Method::Psi, "psi", None, None),
        (Method::JensenShannon, "jensen-shannon", None, None),
        (Method::Kl, "kl", None, None),
        (Method::Hellinger, "hellinger", None, None),
        (Method::TotalVariation, "total-variation", None, None),
        (Method::Chebyshev, "chebyshev", None, None),
        (Method::Chi2, "chi2", Some(Categories), None),
        (Method::G, "g", Some(Categories), None),
        (Method::Fisher, "fisher", Some(Categories), None),
        (Method::Z, "z", Some(Categories), None),
        (Method::EvidentlyAuto, "evidently:auto", None, Some(AtLeast(0.1))),
        (Method::EvidentlyAnderson, "evidently:anderson", Some(Numbers), Some(Below(0.1))),
        (Method::EvidentlyCramerVonMises, "evidently:cramer_von_mises", Some(Numbers), Some(AtMost(0.1))),
        (Method::EvidentlyEd, "evidently:ed", Some(Numbers), Some(Above(0.1))),
        (Method::EvidentlyEs, "evidently:es", Some(Numbers), Some(Below(0.05))),
        (Method::EvidentlyKs, "evidently:ks", Some(Numbers), Some(AtMost(0.05))),
        (Method::EvidentlyMannw, "evidently:mannw", Some(Numbers), Some(Below(0.05))),
        (Method::EvidentlyTTest, "evidently:t_test", Some(Numbers), Some(Below(0.05))),
        (Method::EvidentlyWasserstein, "evidently:wasserstein", Some(Numbers), Some(AtLeast(0.1))),
        (Method::EvidentlyEmpiricalMmd, "evidently:empirical_mmd", Some(Numbers), Some(Below(0.1))),
        (Method::EvidentlyPsi, "evidently:psi", None, Some(AtLeast(0.1))),
        (Method::EvidentlyJensenshannon, "evidently:jensenshannon", None, Some(AtLeast(0.1))),
        (Method::EvidentlyKlDiv, "evidently:kl_div", None, Some(AtLeast(0.1))),
        (Method::EvidentlyHellinger, "evidently:hellinger", None, Some(AtLeast(0.1))),
        (Method::EvidentlyChisquare, "evidently:chisquare", Some(Categories), Some(Below(0.05))),
        (Method::EvidentlyFisherExact, "evidently:fisher_exact", Some(Categories), Some(Below(0.1))),
        (Method::EvidentlyGTest, "evidently:g_test", Some(Categories), Some(Below(0.1))),
        (Method::EvidentlyZ, "evidently:z", Some(Categories), Some(Below(0.05))),
        (Method::EvidentlyTvd, "evidently:tvd", Some(Categories), Some(Below(0.1))),
        (Method::NannymlJensenShannon, "nannyml:jensen_shannon", None, Some(Above(NAN))),
        (Method::NannymlHellinger, "nannyml:hellinger", None, Some(Above(NAN))),
        (Method::NannymlKolmogorovSmirnov, "nannyml:kolmogorov_smirnov", Some(Numbers), Some(Above(NAN))),
        (Method::NannymlWasserstein, "nannyml:wasserstein", Some(Numbers), Some(Above(NAN))),
        (Method::NannymlChi2, "nannyml:chi2", Some(Categories), Some(Below(0.05))),
        (Method::NannymlLInfinity, "nannyml:l_infinity", Some(Categories), Some(Above(NAN))),
        (Method::AlibiKs, "alibi:ks", Some(Numbers), Some(Below(0.05))),
        (Method::AlibiCvm, "alibi:cvm", Some(Numbers), Some(Below(0.05))),
        (Method::AlibiChi2, "alibi:chi2", Some(Categories), Some(Below(0.05))),
        (Method::AlibiFet, "alibi:fet", Some(Categories), Some(Below(0.05))),
        (Method::TfdvLInfinity, "tfdv:l_infinity", Some(Categories), Some(Above(NAN))),
        (Method::TfdvJensenShannonDivergence, "tfdv:jensen_shannon_divergence", None, Some(Above(NAN))),
        (Method::ScipyKs2samp, "scipy:ks_2samp", Some(Numbers), Some(AtMost(NAN))),
        (Method::ScipyCramervonmises2samp, "scipy:cramervonmises_2samp", Some(Numbers), Some(AtMost(NAN))),
        (Method::ScipyAndersonKsamp, "scipy:anderson_ksamp", Some(Numbers), Some(AtMost(NAN))),
        (Method::ScipyMannwhitneyu, "scipy:mannwhitneyu", Some(Numbers), Some(AtMost(NAN))),
        (Method::ScipyTtestInd, "scipy:ttest_ind", Some(Numbers), Some(AtMost(NAN))),
        (Method::ScipyEppsSingleton2samp, "scipy:epps_singleton_2samp", Some(Numbers), Some(AtMost(NAN))),
        (Method::ScipyWassersteinDistance, "scipy:wasserstein_distance", Some(Numbers), Some(Above(NAN))),
        (Method::ScipyEnergyDistance, "scipy:energy_distance", Some(Numbers), Some(Above(NAN))),
        (Method::ScipyChi2Contingency, "scipy:chi2_contingency", Some(Categories), Some(AtMost(NAN))),
    ]
};

impl Method {
    /// Returns its name, as options have it.
    pub(crate) fn name(self) -> &'static str {
        self.row().1
    }

    /// Returns whether it can compare such values.
    pub(crate) fn fits(self, kind: Kind) -> bool {
        self.row().2.is_none_or(|it| it == kind)
    }

    /// Returns the rule of the tool whose number it is; the threshold is NaN where that tool has none.
    pub(crate) fn rule(self) -> Option<Rule> {
        self.row().3
    }

    fn row(self) -> &'static Row {
        // In the order of the variants, which a test checks.
        &METHODS[self as usize]
    }
}

impl Kind {
    /// Returns the word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Numbers => "numbers",
            Self::Categories => "categories",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_has_every_method_in_order_under_its_name() {
        for (idx, (method, name, ..)) in METHODS.iter().enumerate() {
            assert_eq!(*method as usize, idx);
            assert_eq!(serde_json::from_value::<Method>(json!(name)).unwrap(), *method);
        }
        assert_eq!(METHODS.len() - 1, Method::ScipyChi2Contingency as usize);
    }

    #[test]
    fn rules_hold_at_their_threshold_as_the_tools_do() {
        let cases = [
            (Rule::Below(0.05), 0.05, false),
            (Rule::AtMost(0.05), 0.05, true),
            (Rule::AtLeast(0.1), 0.1, true),
            (Rule::Above(0.1), 0.1, false),
            (Rule::Above(f64::NAN), 9.0, false),
        ];
        for (rule, value, expected) in cases {
            assert_eq!(rule.is_drift(value), expected, "{rule:?}");
        }
    }
}
