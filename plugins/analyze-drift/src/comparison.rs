//! One column, reference against current: what can be said before looking at the other columns.

use std::collections::BTreeSet;

use modelwatch_profile::{Body, Column, Group, Key, Numeric, Tensor};
use modelwatch_sdk::report::Interval;
use modelwatch_stats::{
    categories::CategoryCounts,
    two_sample::{Shares, fisher_exact},
};

use crate::{
    comparison_categorical::{compare_categories, unseen},
    comparison_numeric::{Origin, compare_numbers},
    config::Config,
    cumulative::Cumulative,
    method::{Kind, Method},
    scores::{LEAST_SHARE, PeerScore, Score},
    side::Kept,
    weights::{Counted, rows_alike},
};

/// What came of one column.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    /// The column.
    pub(crate) key: Key,
    /// The reference's rows.
    pub(crate) reference: Side,
    /// The current rows.
    pub(crate) current: Side,
    /// The comparison of the values.
    pub(crate) outcome: Outcome,
    /// The p-value for a difference of the shares of unusable rows, or of infinities of one sign, where both roles have enough rows.
    pub(crate) missing_p: Option<f64>,
    /// Categories that the reference does not have, which are counted also where nothing can be tested.
    pub(crate) unseen: Option<Unseen>,
}

/// Rows of one column in one role.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Side {
    /// All of them.
    pub(crate) rows: u64,
    /// Those whose value can be compared.
    pub(crate) usable: u64,
    /// Those that are null, NaN or infinite, or have an element that is.
    pub(crate) unusable: u64,
    /// Those that are null.
    pub(crate) nulls: u64,
    /// Those that are infinite, below and above everything.
    pub(crate) infinities: [u64; 2],
    /// Whether whole numbers beyond 2^53 were rounded.
    pub(crate) has_rounded: bool,
    /// The unusable rows and all rows, as rows that count alike where they have weights.
    pub(crate) alike: (u64, u64),
    /// The infinities and all rows, as rows that count alike where they have weights.
    infinities_alike: [(u64, u64); 2],
    /// The share of rows that are unusable, by their weights.
    missing_share: f64,
    /// The shares of infinities, by their weights.
    infinite_shares: [f64; 2],
}

/// Whether and how the values were compared.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// They were; a plain column is one part, a column of lists several.
    Compared(Vec<Part>),
    /// They could not be, and this is why.
    Gap(String),
    /// The two roles contradict each other, in this way.
    Mismatch(String),
}

/// One tested quantity of a column.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its name within a column of lists.
    pub(crate) name: Option<PartName>,
    /// How it was compared.
    pub(crate) method: Method,
    /// The p-value and the size of the difference.
    pub(crate) score: Score,
    /// The number of another tool, which then decides alone.
    pub(crate) peer: Option<PeerScore>,
    /// Whether all rows of both roles have one and the same value, so that no difference is possible.
    pub(crate) has_one_value: bool,
    /// The population stability index.
    pub(crate) psi: f64,
    /// The Jensen-Shannon distance in base 2.
    pub(crate) jensen_shannon: f64,
    /// Where both lie, as far as categories are not known one by one.
    pub(crate) bounds: Bounds,
    /// The shares behind both.
    pub(crate) cells: Vec<Cell>,
    /// The role in which the values are constant while they are not in the other.
    pub(crate) constant: Option<Constant>,
    /// What only numbers or only categories have.
    pub(crate) detail: Detail,
}

/// Where numbers lie that are not known exactly.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) psi: Option<Interval>,
    pub(crate) jensen_shannon: Option<Interval>,
}

/// Which quantity of a list is tested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PartName {
    /// A number per row: `mean`.
    Summary(&'static str),
    /// The element of that place in the flattened list.
    Element(usize),
}

/// A bin or category and its shares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    /// The bin's range or the category's name.
    pub(crate) name: String,
    /// The share of the reference's values.
    pub(crate) reference: f64,
    /// The share of the current values.
    pub(crate) current: f64,
}

impl Cell {
    /// Returns what it adds to the population stability index.
    pub(crate) fn psi_part(&self) -> f64 {
        let (p, q) = (self.reference.max(LEAST_SHARE), self.current.max(LEAST_SHARE));
        (p - q) * (p / q).ln()
    }
}

/// Shares between edges of equal distance; empty where a picture of the cells is better.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Histogram {
    /// The ascending edges.
    pub(crate) edges: Vec<f64>,
    /// The shares of the reference, one less than there are edges.
    pub(crate) reference: Vec<f64>,
    /// The shares of the current values.
    pub(crate) current: Vec<f64>,
}

/// Values that vary in one role only.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constant {
    /// Whether it is the current role that is constant.
    pub(crate) is_current: bool,
    /// The value.
    pub(crate) value: String,
    /// The chance of it, were the rows drawn from the other role.
    pub(crate) chance: f64,
}

/// What only numbers or only categories have.
#[derive(Clone, Debug)]
pub(crate) enum Detail {
    /// Of numbers.
    Numeric {
        /// The Wasserstein distance, in units of the column.
        wasserstein: f64,
        /// The same in standard deviations of the reference.
        wasserstein_normed: f64,
        /// Whether whole numbers beyond 2^53 were rounded.
        is_rounded: bool,
        /// Shares for a picture.
        histogram: Histogram,
        /// The same, added up.
        cumulative: Cumulative,
    },
    /// Of categories.
    Categorical {
        /// The chi-squared statistic that was tested; none where no table with two cells is left.
        chi2_statistic: Option<f64>,
        /// Its p-value; none where rows were dealt for a part of the p-value of the column, as no category is frequent.
        chi2_p_value: Option<f64>,
        /// Whether all rows fell into one cell, so that nothing was tested.
        is_untested: bool,
        /// Why there may be drift where none was found.
        undecided: Option<String>,
        /// The rare categories that count as one in the test that was asked for, where their rows cannot be dealt.
        pooled: Option<String>,
    },
}

/// Categories that only the current rows have.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unseen {
    /// The most frequent ones, at most ten.
    pub(crate) names: Vec<String>,
    /// How many there are.
    pub(crate) count: u64,
    /// The share of current rows that have one.
    pub(crate) share: f64,
    /// The share of current rows that have one at most: more where the reference does not know all its categories.
    pub(crate) most: f64,
    /// The share that sampling alone explains.
    pub(crate) expected: f64,
}

impl Part {
    /// Returns whether the difference is large enough to matter; one that cannot be measured is.
    pub(crate) fn is_large(&self) -> bool {
        self.peer.map_or_else(|| self.score.effect.is_large(), PeerScore::is_drift)
    }

    /// Returns the p-value by which the part is judged; `None` where another tool's rule decides.
    pub(crate) fn p_value(&self) -> Option<f64> {
        self.peer.is_none().then_some(self.score.p_value)
    }

    /// Returns why there may be drift where none was found, if there may.
    pub(crate) fn undecided(&self) -> Option<&str> {
        if let Detail::Categorical { undecided: Some(it), .. } = &self.detail { Some(it) } else { None }
    }

    /// Returns the categories that count as one in the test, where the rows of rare ones cannot be dealt.
    pub(crate) fn pooled(&self) -> Option<&str> {
        if let Detail::Categorical { pooled: Some(it), .. } = &self.detail { Some(it) } else { None }
    }

    /// Returns whether whole numbers beyond 2^53 were rounded.
    pub(crate) fn is_rounded(&self) -> bool {
        matches!(self.detail, Detail::Numeric { is_rounded: true, .. })
    }
}

/// Compares every column that either role has.
pub(crate) fn compare(config: &Config, reference: &Kept, current: &Kept) -> Vec<Comparison> {
    let keys: BTreeSet<&Key> = reference.rows.columns().keys().chain(current.rows.columns().keys()).collect();
    let has_outputs = reference.rows.has(Group::Output) && current.rows.has(Group::Output);
    let keys = keys.into_iter().filter(|it| it.0 == Group::Feature || has_outputs);
    let one = |key: &Key| {
        let (left, right) = (reference.column(key), current.column(key));
        compare_column(config, key, left, right)
    };
    keys.map(one).collect()
}

fn compare_column(
    config: &Config,
    key: &Key,
    reference: Option<Counted<'_, Column>>,
    current: Option<Counted<'_, Column>>,
) -> Comparison {
    let side = |it: Option<Counted<'_, Column>>| it.map(Side::of).unwrap_or_default();
    let (left, right) = (side(reference), side(current));
    let outcome = match (reference, current) {
        (Some(reference), Some(current)) => compare_values(config, &key.1, reference, current),
        (Some(_), None) => Outcome::Mismatch("is only in the reference rows".to_owned()),
        _ => Outcome::Mismatch("is only in the current rows".to_owned()),
    };
    let has_enough = left.alike.1.min(right.alike.1) >= config.min_rows && !matches!(outcome, Outcome::Mismatch(_));
    let both = || reference.into_iter().chain(current).map(|it| it.rows);
    let is_uncounted = |it: &Column| (it.is_mixed() && !it.is_ragged()) || it.is_outdated();
    // Of lists of several lengths only nulls were counted, and none of those with an unusable element.
    let has_others = |it: &Column| it.n_unusable() != it.nulls();
    let is_counted = !(both().any(is_uncounted) || both().any(Column::is_ragged) && both().any(has_others));
    let missing_p = if has_enough && is_counted { missing_p_value(&left, &right) } else { None };
    let unseen =
        reference.zip(current).and_then(|(reference, current)| match (reference.rows.body(), current.rows.body()) {
            (Body::Categorical(left), Body::Categorical(right)) => unseen(left, right),
            (Body::Tensor(left), Body::Tensor(right)) => unseen(left.argmax()?, right.argmax()?),
            _ => None,
        });
    Comparison { key: key.clone(), reference: left, current: right, outcome, missing_p, unseen }
}

/// Returns the least p-value of all that can be wrong with a value, corrected for how many of these there are: that it is unusable, and where
/// infinities are not all of that, that it is one of one sign, so that values which turn from one infinity into the other are noticed.
fn missing_p_value(reference: &Side, current: &Side) -> Option<f64> {
    let signs = [0, 1].into_iter().filter(|it| {
        let n = reference.infinities[*it].saturating_add(current.infinities[*it]);
        n > 0 && n < reference.unusable.saturating_add(current.unusable)
    });
    let signs = signs.map(|it| (reference.infinities_alike[it], current.infinities_alike[it]));
    let shares = std::iter::once((reference.alike, current.alike)).chain(signs).map(|(left, right)| Shares {
        reference_hits: left.0,
        reference_rows: left.1,
        current_hits: right.0,
        current_rows: right.1,
    });
    let p_values = shares.map(|it| fisher_exact(it).ok()).collect::<Option<Vec<f64>>>()?;
    let least = p_values.iter().copied().min_by(f64::total_cmp)?;
    Some((least * p_values.len() as f64).min(1.0))
}

fn compare_values(
    config: &Config,
    name: &str,
    weighed: Counted<'_, Column>,
    weighed_current: Counted<'_, Column>,
) -> Outcome {
    let (reference, current) = (weighed.rows, weighed_current.rows);
    for (role, column) in [("reference", reference), ("current", current)] {
        if column.is_ragged() {
            let kinds = column.kind();
            return Outcome::Gap(format!(
                "the {role} rows have {kinds}, and lists are compared that have one length; give all rows lists of one length, or columns with numbers about them"
            ));
        }
        if column.is_outdated() {
            return Outcome::Gap(format!(
                "the stored profile of the {role} rows keeps nothing of {}; make it again from the rows with this program",
                column.kind()
            ));
        }
        if column.is_mixed() {
            return Outcome::Mismatch(format!("has {} in the {role} rows", column.kind()));
        }
    }
    let kinds = (reference.kind(), current.kind());
    if kinds.0 != kinds.1 && !reference.is_all_null() && !current.is_all_null() {
        return Outcome::Mismatch(format!("has {} in the reference rows and {} in the current rows", kinds.0, kinds.1));
    }
    for (role, column) in [("reference", reference), ("current", current)] {
        if matches!(column.body(), Body::Empty) && !column.is_all_null() {
            let advice = if column.is_temporal() {
                "they move on by themselves; give what should not, as the hour or the weekday, a column of its own"
            } else {
                "convert the column to numbers, text, or lists of numbers"
            };
            return Outcome::Gap(format!("{} cannot be compared; {advice}", column.kind()));
        }
        if column.n_usable() < config.min_rows {
            let (n, rows, least) = (column.n_usable(), column.rows(), config.min_rows);
            return Outcome::Gap(format!("{n} of {rows} {role} rows have a usable value, and {least} are needed"));
        }
    }
    match compare_bodies(config, name, weighed, weighed_current) {
        Ok(parts) => check_resolution(parts),
        Err(why) => Outcome::Gap(why),
    }
}

fn compare_bodies(
    config: &Config,
    name: &str,
    reference: Counted<'_, Column>,
    current: Counted<'_, Column>,
) -> Result<Vec<Part>, String> {
    if let Some((left, right)) = both(reference, current, numbers) {
        let method = config.method_of(name, Kind::Numbers)?;
        return Ok(vec![compare_numbers(config, method, (None, Origin::Data), left, right)?]);
    }
    if let Some((left, right)) = both(reference, current, categories) {
        let method = config.method_of(name, Kind::Categories)?;
        return Ok(vec![compare_categories(config, method, None, left, right)?]);
    }
    let Some((left, right)) = both(reference, current, lists) else {
        return Err("the values are of different kinds".to_owned());
    };
    let method = config.method_of(name, Kind::Numbers)?;
    if method.rule().is_some() {
        return Err(format!("`{}` compares plain columns, and this one has lists", method.name()));
    }
    let mut res = Vec::new();
    for (at, (name, _)) in left.rows.summaries().enumerate() {
        let of = |it| Tensor::summaries(it).nth(at).map(|it| it.1);
        let Some((left, right)) = both(left, right, of) else { continue };
        let part = (Some(PartName::Summary(name)), Origin::Computed);
        res.push(compare_numbers(config, method, part, left, right)?);
    }
    if let Some((left, right)) = both(left, right, Tensor::argmax) {
        let name = Some(PartName::Summary("argmax"));
        res.push(compare_categories(config, Method::Auto, name, left, right)?);
    }
    for (place, left, right) in common_elements(left, right) {
        let part = (Some(PartName::Element(place)), Origin::Data);
        res.push(compare_numbers(config, method, part, left, right)?);
    }
    Ok(res)
}

/// Returns the same part of both, where both have it.
fn both<'a, T, U>(
    reference: Counted<'a, T>,
    current: Counted<'a, T>,
    part: impl Fn(&'a T) -> Option<&'a U>,
) -> Option<(Counted<'a, U>, Counted<'a, U>)> {
    Some((reference.part(&part)?, current.part(&part)?))
}

fn numbers(column: &Column) -> Option<&Numeric> {
    if let Body::Numeric(it) = column.body() { Some(it) } else { None }
}

fn categories(column: &Column) -> Option<&CategoryCounts> {
    if let Body::Categorical(it) = column.body() { Some(it) } else { None }
}

fn lists(column: &Column) -> Option<&Tensor> {
    if let Body::Tensor(it) = column.body() { Some(it) } else { None }
}

/// The elements that both roles look at: a stored profile keeps fewer of them.
fn common_elements<'a>(
    left: Counted<'a, Tensor>,
    right: Counted<'a, Tensor>,
) -> impl Iterator<Item = (usize, Counted<'a, Numeric>, Counted<'a, Numeric>)> {
    let mut others = elements(right).into_iter().peekable();
    elements(left).into_iter().filter_map(move |(place, left)| {
        while others.next_if(|it| it.0 < place).is_some() {}
        others.next_if(|it| it.0 == place).map(|(_, right)| (place, left, right))
    })
}

fn elements(lists: Counted<'_, Tensor>) -> Vec<(usize, Counted<'_, Numeric>)> {
    let rows = lists.rows.elements();
    match lists.weighted {
        None => rows.map(|(place, rows)| (place, Counted { rows, weighted: None })).collect(),
        Some([masses, squares]) => rows
            .zip(masses.elements().zip(squares.elements()))
            .map(|((place, rows), (mass, square))| (place, Counted { rows, weighted: Some([mass.1, square.1]) }))
            .collect(),
    }
}

/// Turns a comparison that could not have seen a difference into a gap.
fn check_resolution(parts: Vec<Part>) -> Outcome {
    let untested = |it: &Part| match &it.detail {
        Detail::Categorical { is_untested: true, .. } => Some(
            "there are too few rows per category for any difference to be significant; compare more rows, or leave out a column of names or ids with `exclude`",
        ),
        _ => None,
    };
    let first = parts.iter().find_map(untested);
    // Lists are judged by the parts that can be.
    match first {
        Some(why) if parts.iter().all(|it| untested(it).is_some()) => Outcome::Gap(why.to_owned()),
        _ => Outcome::Compared(parts),
    }
}

impl Side {
    fn of(counted: Counted<'_, Column>) -> Self {
        let (column, masses) = (counted.rows, counted.masses());
        Self {
            alike: rows_alike(counted, Column::n_unusable),
            infinities_alike: [0, 1].map(|sign| rows_alike(counted, |it| it.n_infinities()[sign])),
            infinite_shares: masses.n_infinities().map(|it| it as f64 / masses.rows() as f64),
            missing_share: masses.n_unusable() as f64 / masses.rows() as f64,
            rows: column.rows(),
            usable: column.n_usable(),
            unusable: column.n_unusable(),
            nulls: column.nulls(),
            infinities: column.n_infinities(),
            has_rounded: column.has_rounded(),
        }
    }

    /// Returns how many rows have a usable value, as rows that count alike where they have weights.
    pub(crate) fn usable_alike(&self) -> u64 {
        // Both are rounded; the bytes of a state may say anything.
        self.alike.1.saturating_sub(self.alike.0)
    }

    /// Returns the shares of infinities below and above everything, by their weights; NaN where there are no rows.
    pub(crate) fn infinite_shares(&self) -> [f64; 2] {
        if self.rows == 0 { [f64::NAN; 2] } else { self.infinite_shares }
    }

    /// Returns the share of rows that are null, NaN or infinite, by their weights; NaN where there are no rows.
    pub(crate) fn missing_share(&self) -> f64 {
        if self.rows == 0 { f64::NAN } else { self.missing_share }
    }
}

impl Comparison {
    /// Returns the name of the column or output.
    pub(crate) fn name(&self) -> &str {
        &self.key.1
    }

    /// Returns how much greater the share of missing values is in the current rows.
    pub(crate) fn missing_difference(&self) -> f64 {
        self.current.missing_share() - self.reference.missing_share()
    }

    /// Returns the greatest difference of the shares of missing values and of infinities of one sign, without its own.
    pub(crate) fn missing_effect(&self) -> f64 {
        let pairs = self.reference.infinite_shares().into_iter().zip(self.current.infinite_shares());
        pairs.map(|(reference, current)| (current - reference).abs()).fold(self.missing_difference().abs(), f64::max)
    }

    /// Returns whether the column was compared as categories, or has new ones.
    pub(crate) fn is_categorical(&self) -> bool {
        let is_one = |it: &Part| it.name.is_none() && matches!(it.detail, Detail::Categorical { .. });
        self.unseen.is_some() || self.parts().iter().any(is_one)
    }

    /// Returns whether there is something to compare that could not be: not where both roles are known to have no value at all.
    pub(crate) fn is_untested(&self) -> bool {
        let is_empty = |it: &Side| it.rows > 0 && it.nulls == it.rows;
        !matches!(self.outcome, Outcome::Compared(_)) && (!is_empty(&self.reference) || !is_empty(&self.current))
    }

    /// Returns the parts that were compared.
    pub(crate) fn parts(&self) -> &[Part] {
        match &self.outcome {
            Outcome::Compared(parts) => parts,
            Outcome::Gap(_) | Outcome::Mismatch(_) => &[],
        }
    }
}

impl std::fmt::Display for PartName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Summary(name) => f.write_str(name),
            Self::Element(place) => write!(f, "element {place}"),
        }
    }
}
