//! One column, reference against current: what can be said before looking at the other columns.

use std::collections::BTreeSet;

use crate::{
    column::{Body, Column},
    comparison_categorical::compare_categories,
    comparison_numeric::{Origin, compare_numbers},
    config::Config,
    profile::{Group, Key, Profile},
    proportions::two_proportions,
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
    /// The p-value for a difference of the shares of unusable rows, where both roles have enough rows.
    pub(crate) missing_p: Option<f64>,
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
    /// Those that are infinite.
    pub(crate) infinite: u64,
    /// Whether whole numbers beyond 2^53 were rounded.
    pub(crate) has_rounded: bool,
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
    /// The statistic of the test.
    pub(crate) statistic: f64,
    /// The p-value of the test.
    pub(crate) p_value: f64,
    /// The distance that the method asks for.
    pub(crate) effect: f64,
    /// What that distance is.
    pub(crate) effect_name: &'static str,
    /// The least effect that matters.
    pub(crate) min_effect: f64,
    /// The population stability index.
    pub(crate) psi: f64,
    /// The Jensen-Shannon distance in base 2.
    pub(crate) jensen_shannon: f64,
    /// The shares behind both.
    pub(crate) cells: Vec<Cell>,
    /// The role in which the values are constant while they are not in the other.
    pub(crate) constant: Option<Constant>,
    /// What only numbers or only categories have.
    pub(crate) detail: Detail,
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
        /// Whether the histogram had too few buckets to see most differences.
        is_coarse: bool,
        /// Shares for a picture.
        histogram: Histogram,
    },
    /// Of categories.
    Categorical {
        /// Categories that the reference does not have.
        unseen: Option<Unseen>,
        /// Whether all rows fell into one cell, so that nothing was tested.
        is_untested: bool,
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
    /// The share that sampling alone explains.
    pub(crate) expected: f64,
}

impl Part {
    /// Returns whether the difference is large enough to matter; one that cannot be measured is.
    pub(crate) fn is_large(&self) -> bool {
        self.effect.is_nan() || self.effect >= self.min_effect
    }
}

/// Compares every column that either role has.
pub(crate) fn compare(config: &Config, reference: &Profile, current: &Profile) -> Vec<Comparison> {
    let keys: BTreeSet<&Key> = reference.columns().keys().chain(current.columns().keys()).collect();
    let has_outputs = reference.has(Group::Output) && current.has(Group::Output);
    let keys = keys.into_iter().filter(|it| it.0 == Group::Feature || has_outputs);
    let one = |key: &Key| {
        let (left, right) = (reference.columns().get(key), current.columns().get(key));
        compare_column(config, key, left, right)
    };
    keys.map(one).collect()
}

fn compare_column(config: &Config, key: &Key, reference: Option<&Column>, current: Option<&Column>) -> Comparison {
    let side = |it: Option<&Column>| it.map(Side::of).unwrap_or_default();
    let (left, right) = (side(reference), side(current));
    let outcome = match (reference, current) {
        (Some(reference), Some(current)) => compare_values(config, reference, current),
        (Some(_), None) => Outcome::Mismatch("is only in the reference rows".to_owned()),
        _ => Outcome::Mismatch("is only in the current rows".to_owned()),
    };
    let has_enough = left.rows.min(right.rows) >= config.min_rows && !matches!(outcome, Outcome::Mismatch(_));
    let missing_p =
        has_enough.then(|| two_proportions((left.unusable, right.unusable), (left.rows, right.rows))).flatten();
    Comparison { key: key.clone(), reference: left, current: right, outcome, missing_p }
}

fn compare_values(config: &Config, reference: &Column, current: &Column) -> Outcome {
    for (role, column) in [("reference", reference), ("current", current)] {
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
            return Outcome::Gap(format!(
                "{} cannot be compared; convert the column to numbers or text",
                column.kind()
            ));
        }
        if column.n_usable() < config.min_rows {
            let (n, rows, least) = (column.n_usable(), column.rows(), config.min_rows);
            return Outcome::Gap(format!("{n} of {rows} {role} rows have a usable value, and {least} are needed"));
        }
    }
    let parts = match (reference.body(), current.body()) {
        (Body::Numeric(left), Body::Numeric(right)) => {
            vec![compare_numbers(config, None, Origin::Data, left, right)]
        }
        (Body::Categorical(left), Body::Categorical(right)) => vec![compare_categories(config, None, left, right)],
        (Body::Tensor(left), Body::Tensor(right)) => {
            let summaries = left.summaries().zip(right.summaries()).map(|((name, left), (_, right))| {
                compare_numbers(config, Some(PartName::Summary(name)), Origin::Computed, left, right)
            });
            let elements = left.elements().zip(right.elements()).map(|((place, left), (_, right))| {
                compare_numbers(config, Some(PartName::Element(place)), Origin::Data, left, right)
            });
            let argmax = left.argmax().zip(right.argmax());
            let argmax =
                argmax.map(|(left, right)| compare_categories(config, Some(PartName::Summary("argmax")), left, right));
            summaries.chain(argmax).chain(elements).collect()
        }
        _ => return Outcome::Gap("the values are of different kinds".to_owned()),
    };
    match parts.into_iter().collect::<Result<Vec<_>, String>>() {
        Ok(parts) => check_resolution(parts),
        Err(why) => Outcome::Gap(why),
    }
}

/// Turns a comparison that could not have seen a difference into a gap.
fn check_resolution(parts: Vec<Part>) -> Outcome {
    let untested = |it: &Part| match &it.detail {
        Detail::Numeric { is_coarse, .. } if *is_coarse && !it.is_large() => {
            Some("the values differ too little for their magnitude to be told apart beyond the `budget`; raise it")
        }
        Detail::Categorical { is_untested: true, .. } => {
            Some("almost every category is rare, as in a column of names or ids; leave it out with `exclude`")
        }
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
    fn of(column: &Column) -> Self {
        Self {
            rows: column.rows(),
            usable: column.n_usable(),
            unusable: column.n_unusable(),
            nulls: column.nulls(),
            infinite: column.n_infinite(),
            has_rounded: column.has_rounded(),
        }
    }

    /// Returns the share of rows that are null, NaN or infinite; NaN where there are no rows.
    pub(crate) fn missing_share(&self) -> f64 {
        self.unusable as f64 / self.rows as f64
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
