//! What each method says of two samples.

use modelwatch_stats::{
    Point, Reason, Undefined,
    intervals::Interval,
    peers::{Categories, Numbers, alibi, evidently, nannyml, scipy, tfdv},
    two_sample::{
        Alternative, CellDistance, CramerVonMises, Effect, Levels, MannWhitney, PermutedChi2, Shares, Test, Yates,
        anderson_darling, category_omnibus, cell_effect, chance_variation, chi2_contingency_with,
        cramer_von_mises_tied, dealt_test, discrepancy, energy, epps_singleton, epps_singleton_pooled, fisher_exact,
        g_test, homogeneity, ks_effect_of, kuiper, mann_whitney, omnibus_of, robust_deviation, skewness_of_difference,
        student_t, wasserstein, wasserstein_effect, welch_t, winsorize, z_test,
    },
};

use crate::{
    bins::total,
    config::{Config, MinEffect},
    further::Further,
    method::{Kind, Method, Rule},
};

/// What takes the place of an empty cell's share in logarithms.
pub(crate) const LEAST_SHARE: f64 = 1e-4;

/// A category of which fewer rows are expected in the smaller role is rare.
pub(crate) const MIN_EXPECTED: f64 = 5.0;

/// The confidence of the interval around an effect.
const LEVEL: f64 = 0.95;

/// The greatest skewness of a difference of means that Welch's t takes for normal: beyond it a small role's own variance goes with its mean.
const MOST_SKEWED: f64 = 0.1;

/// The same of Student's t, whose variance is that of all rows.
const MOST_SKEWED_POOLED: f64 = 0.5;

/// A p-value and the size of the difference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Score {
    /// The statistic of the test.
    pub(crate) statistic: f64,
    /// What that is.
    pub(crate) statistic_name: &'static str,
    /// The p-value of the test.
    pub(crate) p_value: f64,
    /// How large the difference is.
    pub(crate) effect: Size,
    /// The Kolmogorov-Smirnov test of numbers.
    pub(crate) ks: Option<Test>,
}

/// The size of a difference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// The size.
    pub(crate) value: f64,
    /// What it is.
    pub(crate) name: &'static str,
    /// Where it lies, where that is known.
    pub(crate) interval: Option<Interval>,
    /// The least size that matters.
    pub(crate) least: f64,
}

/// The number of another tool and the rule by which it means drift.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PeerScore {
    /// The number.
    pub(crate) value: f64,
    /// The rule.
    pub(crate) rule: Rule,
}

/// The counts of categories.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    /// In which rare ones share a cell.
    pub(crate) large: (&'a [u64], &'a [u64]),
    /// Of all categories.
    pub(crate) all: (&'a [u64], &'a [u64]),
    /// Those of them that are not known one by one.
    pub(crate) further: &'a Further,
    /// Whether they are of rows that have different weights, and are as many rows as these are worth.
    pub(crate) is_weighted: bool,
}

impl Tables<'_> {
    /// Whether more is looked at than the large table.
    pub(crate) fn is_of_all(self, method: Method) -> bool {
        !self.is_weighted && !matches!(method, Method::Z | Method::Fisher)
    }

    /// Returns the dealings of all rows, where the test by this name would look at the large table alone, and rare categories share a cell of it.
    /// G is too large as well where some have a cell of their own.
    pub(crate) fn dealt(self, method: Method) -> Option<PermutedChi2> {
        let is_dealt = self.has_rare() || method == Method::G && self.n_categories() > 2 && self.has_few_rows();
        if self.is_weighted || !is_dealt {
            return None;
        }
        match method {
            Method::Chi2 => PermutedChi2::new(self.all.0, self.all.1).ok(),
            Method::G => PermutedChi2::likelihood_ratio(self.all.0, self.all.1).ok(),
            _ => None,
        }
    }

    /// Whether categories share a cell.
    pub(crate) fn has_rare(self) -> bool {
        self.n_categories() > self.large.0.len()
    }

    /// Whether some category is rare.
    fn has_few_rows(self) -> bool {
        let (reference, current) = self.all;
        let rows = |counts: &[u64]| counts.iter().map(|it| *it as f64).sum::<f64>();
        let (n, m) = (rows(reference), rows(current));
        let expected = |it: (&u64, &u64)| (*it.0 as f64 + *it.1 as f64) * n.min(m) / (n + m);
        reference.iter().zip(current).map(expected).any(|it| it > 0.0 && it < MIN_EXPECTED)
    }

    /// How many categories have rows.
    pub(crate) fn n_categories(self) -> usize {
        self.all.0.iter().zip(self.all.1).filter(|it| *it.0 > 0 || *it.1 > 0).count()
    }
}

/// Two numeric samples, and the counts of both in common cells.
pub(crate) struct NumberPair<'a> {
    /// The reference's points.
    pub(crate) reference: &'a [Point],
    /// The current points.
    pub(crate) current: &'a [Point],
    /// Both, merged.
    pub(crate) levels: &'a Levels,
    /// The counts of both in each cell.
    pub(crate) cells: (&'a [u64], &'a [u64]),
}

/// A test for a difference of means.
type MeanTest = fn(&[Point], &[Point]) -> Result<Test, Undefined>;

/// Returns what a test of means says, where means of so many rows are normal.
fn of_means(test: MeanTest, most_skewed: f64, (left, right): (&[Point], &[Point])) -> Result<Test, Undefined> {
    let found = test(left, right)?;
    let is_normal = skewness_of_difference(left, right)? <= most_skewed;
    if is_normal { Ok(found) } else { Err(Undefined { reason: Reason::TooSkewed }) }
}

/// Returns what one of our methods says of numbers.
///
/// # Errors
/// Why the statistic does not exist.
pub(crate) fn score_numbers(method: Method, least: &MinEffect, pair: &NumberPair<'_>) -> Result<Score, Undefined> {
    let (left, right) = (pair.reference, pair.current);
    let omnibus = omnibus_of(pair.levels)?;
    let test = match method {
        Method::CramerVonMises => cramer_von_mises_tied(left, right, pair.levels)?,
        Method::AndersonDarling => anderson_darling(left, right)?,
        Method::MannWhitney => mann_whitney(left, right, Alternative::TwoSided, MannWhitney::Auto)?,
        Method::T => of_means(student_t, MOST_SKEWED_POOLED, (left, right))?,
        Method::Welch => of_means(welch_t, MOST_SKEWED, (left, right))?,
        Method::EppsSingleton => epps_singleton_pooled(pair.levels)?,
        Method::Kuiper => kuiper(left, right)?,
        Method::Ks => omnibus.ks,
        _ => Test { statistic: omnibus.ks.statistic, p_value: omnibus.p_value },
    };
    let effect = size_of_numbers(method, least, pair, pair)?;
    let statistic_name = match method {
        Method::CramerVonMises => "Cramér-von Mises statistic",
        Method::AndersonDarling => "Anderson-Darling statistic",
        Method::MannWhitney => "Mann-Whitney U",
        Method::T => "Student's t",
        Method::Welch => "Welch's t",
        Method::EppsSingleton => "Epps-Singleton W2",
        Method::Kuiper => "Kuiper's V",
        // It is a part of the test that gives the p-value of all other methods.
        _ => "Kolmogorov-Smirnov statistic",
    };
    Ok(Score { statistic: test.statistic, statistic_name, p_value: test.p_value, effect, ks: Some(omnibus.ks) })
}

/// Returns the size of a difference of numbers, given as well the rows that count alike, which say what is an outlier and what is a unit.
///
/// # Errors
/// Why it does not exist.
fn size_of_numbers(
    method: Method,
    least: &MinEffect,
    pair: &NumberPair<'_>,
    alike: &NumberPair<'_>,
) -> Result<Size, Undefined> {
    let pulled_in = || -> Result<(Vec<Point>, Vec<Point>), Undefined> {
        let (left, right) = winsorize(alike.reference, alike.current)?;
        let ends = || left.first().into_iter().chain(right.first()).chain(left.last()).chain(right.last());
        let (low, high) =
            ends().fold((f64::INFINITY, f64::NEG_INFINITY), |it, (value, _)| (it.0.min(*value), it.1.max(*value)));
        let of = |points: &[Point]| points.iter().map(|it| (it.0.clamp(low, high), it.1)).collect();
        Ok((of(pair.reference), of(pair.current)))
    };
    Ok(match method {
        Method::Wasserstein => {
            let unit = robust_deviation(alike.reference)?;
            let (left, right) = pulled_in()?;
            let effect = if unit > 0.0 { wasserstein_effect(&left, &right, unit, LEVEL).ok() } else { None };
            // From a constant, every distance is infinitely many deviations, and so is one that is beyond all numbers.
            let distance = if effect.is_some() { 0.0 } else { wasserstein(&left, &right).unwrap_or(f64::INFINITY) };
            Size::new("normed Wasserstein distance", effect, distance, least.wasserstein)
        }
        Method::Energy => {
            let unit = robust_deviation(alike.reference)?;
            let (left, right) = pulled_in()?;
            let value = energy(&left, &right)?;
            let value = if value == 0.0 { 0.0 } else { value / unit.sqrt() };
            Size { value, name: "normed energy distance", interval: None, least: least.energy }
        }
        Method::Mmd => {
            let value = discrepancy(pair.reference, pair.current, robust_deviation(alike.reference)?)?;
            Size { value, name: "maximum mean discrepancy", interval: None, least: least.mmd }
        }
        _ => match cell_size(method, least, pair.cells)? {
            Some(it) => it,
            None => {
                let effect = ks_effect_of(pair.levels, LEVEL)?;
                Size::new("Kolmogorov-Smirnov statistic", Some(effect), effect.value, least.ks)
            }
        },
    })
}

impl Score {
    /// Puts what the weighted shares give in the place of what rows that count alike give, which are as many whole ones: the tests and the
    /// width of the interval stay theirs.
    ///
    /// # Errors
    /// Why there is no such size.
    pub(crate) fn describe_numbers(
        &mut self,
        method: Method,
        least: &MinEffect,
        weighted: &NumberPair<'_>,
        alike: &NumberPair<'_>,
    ) -> Result<(), Undefined> {
        self.effect.move_to(method, size_of_numbers(method, least, weighted, alike)?.value);
        if let Some(ks) = &mut self.ks {
            ks.statistic = ks_effect_of(weighted.levels, LEVEL)?.value;
        }
        Ok(())
    }

    /// As [`Score::describe_numbers`], of categories by their weights.
    ///
    /// # Errors
    /// Why there is no such size.
    pub(crate) fn describe_categories(
        &mut self,
        method: Method,
        least: &MinEffect,
        weighted: Tables<'_>,
    ) -> Result<(), String> {
        let size = match cell_size(method, least, weighted.all).map_err(|e| e.to_string())? {
            Some(it) => it.value,
            None => total_variation(method, weighted).map_err(|e| e.to_string())?.value,
        };
        self.effect.move_to(method, size);
        Ok(())
    }
}

/// Returns what one of our methods says of categories.
///
/// # Errors
/// Why the statistic does not exist.
pub(crate) fn score_categories(method: Method, least: &MinEffect, tables: Tables<'_>) -> Result<Score, String> {
    let Tables { large: (left, right), all, .. } = tables;
    let text = |e: Undefined| e.to_string();
    let shares = || match (left, right) {
        (&[a, b], &[c, d]) => Ok(Shares {
            reference_hits: a,
            reference_rows: a.saturating_add(b),
            current_hits: c,
            current_rows: c.saturating_add(d),
        }),
        _ => Err(format!("`{}` compares two categories, and there are {}", method.name(), left.len())),
    };
    let plain = |statistic: f64, p_value: f64| Test { statistic, p_value };
    let test = match method {
        _ if left.len() < 2 => plain(0.0, 1.0),
        Method::Chi2 => {
            let test = chi2_contingency_with(left, right, Yates::TwoByTwo).map_err(text)?;
            plain(test.statistic, test.p_value)
        }
        Method::G => {
            let test = g_test(left, right, Yates::TwoByTwo).map_err(text)?;
            plain(test.statistic, test.p_value)
        }
        Method::Z => z_test(shares()?).map_err(text)?,
        Method::Fisher => plain(f64::NAN, fisher_exact(shares()?).map_err(text)?),
        _ => {
            let test = homogeneity(left, right).map_err(text)?;
            let p_value = if left.len() == 2 { fisher_exact(shares()?).map_err(text)? } else { test.p_value };
            let large = plain(test.statistic, p_value);
            // Fisher's test is all there is to say of two.
            let is_of_all = tables.is_of_all(method) && tables.n_categories() > 2;
            if is_of_all { category_omnibus(all.0, all.1, (large, tables.has_rare())) } else { large }
        }
    };
    let test = tables.dealt(method).map_or(test, |it| deal(&it, all, test.p_value));
    let mut effect = match cell_size(method, least, all).map_err(text)? {
        Some(it) => it,
        None => {
            let effect = total_variation(method, tables).map_err(text)?;
            Size::new("total variation distance", Some(effect), effect.value, least.chi2)
        }
    };
    if let Some(it) = &mut effect.interval {
        it.high = tables.further.greatest(distance_of(method), it.high);
    }
    let statistic_name = match method {
        Method::G => "G statistic",
        Method::Z => "z of two shares",
        _ => "chi-squared statistic",
    };
    Ok(Score { statistic: test.statistic, statistic_name, p_value: test.p_value, effect, ks: None })
}

/// Returns the test of all categories by dealing their rows, given the p-value of the large table: where no dealing is as extreme as the data,
/// that and the single categories each have half of the level.
pub(crate) fn deal(dealt: &PermutedChi2, (left, right): (&[u64], &[u64]), large: f64) -> Test {
    let test = dealt_test(dealt, left, right);
    if test.p_value > dealt.resolution() {
        return test;
    }
    Test { p_value: dealt.resolution().min(2.0 * test.p_value.min(large)), ..test }
}

/// Returns what another tool says of numbers, judged by its rule.
///
/// # Errors
/// Why that tool has no answer.
pub(crate) fn peer_score_of_numbers(
    method: Method,
    numbers: Numbers<'_>,
    n_missing: u64,
) -> Result<Option<PeerScore>, String> {
    let Some(rule) = method.rule() else { return Ok(None) };
    let (left, right) = (numbers.reference, numbers.current);
    let is_raw = matches!(method, Method::AlibiKs | Method::AlibiCvm);
    if is_raw && n_missing > 0 {
        return Err(format!("`{}` has no answer for a column with missing values", method.name()));
    }
    let p = |test: Result<Test, Undefined>| test.map(|it| it.p_value);
    let auto = CramerVonMises::Auto;
    let value = match method {
        Method::EvidentlyAuto => return evidently_default(evidently::default_of_numbers(numbers)),
        Method::EvidentlyAnderson => evidently::anderson(numbers),
        Method::EvidentlyCramerVonMises => evidently::cramer_von_mises(numbers),
        Method::EvidentlyEd => evidently::ed(numbers),
        Method::EvidentlyEs => evidently::es(numbers),
        Method::EvidentlyKs => evidently::ks(numbers),
        Method::EvidentlyMannw => evidently::mannw(numbers),
        Method::EvidentlyTTest => evidently::t_test(numbers),
        Method::EvidentlyWasserstein => evidently::wasserstein(numbers),
        Method::EvidentlyEmpiricalMmd => {
            let n = total(left).saturating_add(total(right));
            refuse_many(method, n, evidently::MMD_MAX_ROWS, "looks at each pair of rows", "mmd")?;
            evidently::empirical_mmd(numbers)
        }
        Method::EvidentlyPsi => evidently::psi(numbers),
        Method::EvidentlyJensenshannon => evidently::jensenshannon(numbers),
        Method::EvidentlyKlDiv => evidently::kl_div(numbers),
        Method::EvidentlyHellinger => evidently::hellinger(numbers),
        Method::NannymlJensenShannon => nannyml::jensen_shannon(numbers),
        Method::NannymlHellinger => nannyml::hellinger(numbers),
        Method::NannymlKolmogorovSmirnov => nannyml::kolmogorov_smirnov(numbers),
        Method::NannymlWasserstein => nannyml::wasserstein(numbers),
        Method::AlibiKs => p(alibi::ks(numbers)),
        Method::AlibiCvm => p(alibi::cvm(numbers)),
        Method::TfdvJensenShannonDivergence => tfdv::jensen_shannon_divergence(numbers),
        Method::ScipyKs2samp => p(modelwatch_stats::two_sample::ks(left, right)),
        Method::ScipyCramervonmises2samp => p(scipy::cramervonmises_2samp(left, right, auto)),
        Method::ScipyAndersonKsamp => p(scipy::anderson_ksamp(left, right)),
        Method::ScipyMannwhitneyu => p(mann_whitney(left, right, Alternative::TwoSided, MannWhitney::Auto)),
        Method::ScipyTtestInd => p(student_t(left, right)),
        Method::ScipyEppsSingleton2samp => p(epps_singleton(left, right)),
        Method::ScipyWassersteinDistance => wasserstein(left, right),
        Method::ScipyEnergyDistance => energy(left, right),
        _ => return Err(format!("`{}` cannot compare {}", method.name(), Kind::Numbers.word())),
    };
    judged(method, rule, value)
}

/// Returns what another tool says of categories, judged by its rule.
///
/// # Errors
/// Why that tool has no answer.
pub(crate) fn peer_score_of_categories(
    method: Method,
    categories: Categories<'_>,
) -> Result<Option<PeerScore>, String> {
    let Some(rule) = method.rule() else { return Ok(None) };
    let value = match method {
        Method::EvidentlyAuto => return evidently_default(evidently::default_of_categories(categories)),
        Method::EvidentlyPsi => evidently::psi_of_categories(categories),
        Method::EvidentlyJensenshannon => evidently::jensenshannon_of_categories(categories),
        Method::EvidentlyKlDiv => evidently::kl_div_of_categories(categories),
        Method::EvidentlyHellinger => evidently::hellinger_of_categories(categories),
        Method::EvidentlyChisquare => evidently::chisquare(categories),
        Method::EvidentlyFisherExact => evidently::fisher_exact(categories),
        Method::EvidentlyGTest => evidently::g_test(categories),
        Method::EvidentlyTvd => {
            let n = [categories.reference, categories.current]
                .into_iter()
                .flatten()
                .fold(0u64, |n, it| n.saturating_add(*it));
            refuse_many(method, n, evidently::TVD_MAX_ROWS, "deals all rows many times", "total-variation")?;
            evidently::tvd(categories)
        }
        Method::EvidentlyZ => evidently::z(categories),
        Method::NannymlJensenShannon => nannyml::jensen_shannon_of_categories(categories),
        Method::NannymlHellinger => nannyml::hellinger_of_categories(categories),
        Method::NannymlChi2 | Method::ScipyChi2Contingency => nannyml::chi2(categories).map(|it| it.p_value),
        Method::NannymlLInfinity => nannyml::l_infinity(categories),
        Method::AlibiChi2 => alibi::chi2(categories).map(|it| it.p_value),
        Method::AlibiFet => alibi::fet(categories),
        Method::TfdvLInfinity => tfdv::l_infinity(categories),
        Method::TfdvJensenShannonDivergence => tfdv::jensen_shannon_divergence_of_categories(categories),
        _ => return Err(format!("`{}` cannot compare {}", method.name(), Kind::Categories.word())),
    };
    judged(method, rule, value)
}

impl PeerScore {
    /// Returns the score with the threshold that the options give, if they do.
    pub(crate) fn with_threshold(self, config: &Config, method: Method) -> Self {
        match config.thresholds.get(&method) {
            Some(it) => Self { rule: self.rule.with(*it), ..self },
            None => self,
        }
    }

    /// Returns whether that tool would call it drift.
    pub(crate) fn is_drift(self) -> bool {
        self.rule.is_drift(self.value)
    }
}

impl Size {
    /// Whether the difference is large enough to matter; one that cannot be measured is.
    pub(crate) fn is_large(self) -> bool {
        self.value.is_nan() || reaches(self.value, self.least)
    }

    fn move_to(&mut self, method: Method, value: f64) {
        let has_end = !matches!(method, Method::Psi | Method::Kl | Method::Wasserstein);
        if let Some(it) = &mut self.interval {
            let reach = (it.high - self.value).max(self.value - it.low);
            it.low = (value - reach).max(0.0);
            it.high = if has_end { (value + reach).min(1.0) } else { value + reach };
        }
        self.value = value;
    }

    /// Without an effect the difference is infinite, unless there is none at all.
    fn new(name: &'static str, effect: Option<Effect>, difference: f64, least: f64) -> Self {
        match effect {
            Some(it) => Self { value: it.value, name, interval: Some(it.interval), least },
            None => Self { value: if difference == 0.0 { 0.0 } else { f64::INFINITY }, name, interval: None, least },
        }
    }
}

/// Returns whether an effect is as large as the least that matters, where both may carry rounding errors: a difference of shares that is 0.1
/// has other last bits than 0.1, and which ones depends on the shares.
pub(crate) fn reaches(effect: f64, least: f64) -> bool {
    const ROUNDING: f64 = 16.0 * f64::EPSILON;
    effect >= least - ROUNDING * least.max(1.0)
}

/// Returns the total variation distance: where rare categories are looked at, of all, less what chance makes of them. The interval is of that
/// of all categories, which rare ones that share a cell bound from below.
fn total_variation(method: Method, tables: Tables<'_>) -> Result<Effect, Undefined> {
    let of = |(left, right): (&[u64], &[u64])| cell_effect(CellDistance::TotalVariation, left, right, LEVEL);
    let large = of(tables.large)?;
    if !tables.has_rare() {
        return Ok(large);
    }
    let all = of(tables.all)?;
    let high = all.interval.high;
    let less = all.value - chance_variation(tables.all.0, tables.all.1);
    if !tables.is_of_all(method) || less <= large.value {
        return Ok(Effect { interval: Interval { high, ..large.interval }, ..large });
    }
    let low = all.interval.low.max(large.interval.low).min(less);
    Ok(Effect { value: less, interval: Interval { low, high, ..all.interval } })
}

/// Returns the distance of two rows of counts that sizes a difference of categories.
pub(crate) fn distance_of(method: Method) -> CellDistance {
    match method {
        Method::Psi => CellDistance::Psi(LEAST_SHARE),
        Method::JensenShannon => CellDistance::JensenShannon,
        Method::Kl => CellDistance::Kl(LEAST_SHARE),
        Method::Hellinger => CellDistance::Hellinger,
        Method::Chebyshev => CellDistance::Chebyshev,
        _ => CellDistance::TotalVariation,
    }
}

/// Returns the distance of two rows of counts that the method is, if it is one.
fn cell_size(method: Method, least: &MinEffect, cells: (&[u64], &[u64])) -> Result<Option<Size>, Undefined> {
    let (name, least) = match method {
        Method::Psi => ("population stability index", least.psi),
        Method::JensenShannon => ("Jensen-Shannon distance", least.jensen_shannon),
        Method::Kl => ("Kullback-Leibler divergence", least.kl),
        Method::Hellinger => ("Hellinger distance", least.hellinger),
        Method::TotalVariation => ("total variation distance", least.chi2),
        Method::Chebyshev => ("greatest difference of shares", least.chebyshev),
        _ => return Ok(None),
    };
    let effect = cell_effect(distance_of(method), cells.0, cells.1, LEVEL)?;
    Ok(Some(Size { value: effect.value, name, interval: Some(effect.interval), least }))
}

fn evidently_default(answer: Result<(evidently::Choice, f64), Undefined>) -> Result<Option<PeerScore>, String> {
    let (choice, value) = answer.map_err(|e| format!("Evidently has no answer: {}", e.reason))?;
    let rule = match choice {
        evidently::Choice::Ks => Rule::AtMost(0.05),
        it if it.is_p_value() => Rule::Below(0.05),
        _ => Rule::AtLeast(0.1),
    };
    Ok(Some(PeerScore { value, rule }))
}

/// Refuses rows that are too many for what the method does with them, and names one that takes them.
fn refuse_many(method: Method, n: u64, most: u64, why: &str, other: &str) -> Result<(), String> {
    if n <= most {
        return Ok(());
    }
    Err(format!("`{}` {why}, and {n} are more than {most}; `{other}` takes any number", method.name()))
}

fn judged(method: Method, rule: Rule, value: Result<f64, Undefined>) -> Result<Option<PeerScore>, String> {
    let value = value.map_err(|e| format!("`{}` has no answer: {}", method.name(), e.reason))?;
    Ok(Some(PeerScore { value, rule }))
}
