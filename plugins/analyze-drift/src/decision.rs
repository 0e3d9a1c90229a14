//! Which columns are drifted, given all of them.

use modelwatch_stats::multiple::{benjamini_hochberg, holm};

use crate::{
    comparison::{Comparison, Constant, Outcome, Part, compare},
    config::{Config, Correction},
    profile::{Group, Profile},
};

/// A column with what was decided about it.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    /// What was compared.
    pub(crate) comparison: Comparison,
    /// The column's p-value, corrected for its parts and for the number of columns; `None` where nothing was compared.
    pub(crate) p_value: Option<f64>,
    /// The index of the part that speaks for the column.
    pub(crate) leading: usize,
    /// Whether the values are drifted.
    pub(crate) has_drifted_values: bool,
    /// The corrected p-value for a difference of the shares of missing values.
    pub(crate) missing_p: Option<f64>,
    /// Whether the share of missing values is drifted.
    pub(crate) has_drifted_missing: bool,
    /// Whether it is no accident that the values are constant in one role only.
    pub(crate) has_new_constant: bool,
}

impl Decision {
    /// Returns whether anything about the column is drifted.
    pub(crate) fn is_drifted(&self) -> bool {
        self.has_drifted_values || self.has_drifted_missing
    }

    /// Returns whether the values were compared, or the share of missing values alone tells enough.
    pub(crate) fn is_compared(&self) -> bool {
        matches!(self.comparison.outcome, Outcome::Compared(_)) || self.has_drifted_missing
    }

    /// Returns the part that speaks for the column.
    pub(crate) fn leading_part(&self) -> Option<&Part> {
        self.comparison.parts().get(self.leading)
    }

    /// Returns the constant of a plain column.
    pub(crate) fn constant(&self) -> Option<&Constant> {
        match self.comparison.parts() {
            [part] => part.constant.as_ref(),
            _ => None,
        }
    }
}

/// Returns the decisions in the order of groups and names. Features and outputs are families of their own, and so are values
/// and missing values: the chance of a false alarm is bounded in each.
pub(crate) fn decide(config: &Config, reference: &Profile, current: &Profile) -> Vec<Decision> {
    let mut res = Vec::new();
    let (features, outputs): (Vec<_>, Vec<_>) =
        compare(config, reference, current).into_iter().partition(|it| it.key.0 == Group::Feature);
    for family in [features, outputs] {
        let leading: Vec<_> = family.iter().map(leading_part).collect();
        let values = correct(config, leading.iter().map(|it| it.map(|it| it.1)));
        let missing = correct(config, family.iter().map(|it| it.missing_p));
        let n = family.len() as f64;
        for (((comparison, leading), p_value), missing_p) in family.into_iter().zip(leading).zip(values).zip(missing) {
            let leading = leading.map_or(0, |it| it.0);
            let is_significant = |p: Option<f64>| p.is_some_and(|it| it <= config.alpha);
            let is_large = comparison.parts().get(leading).is_some_and(Part::is_large);
            let is_missing_large = comparison.missing_difference().abs() >= config.min_effect.missing;
            let mut decision = Decision {
                p_value,
                leading,
                has_drifted_values: is_significant(p_value) && is_large,
                missing_p,
                has_drifted_missing: is_significant(missing_p) && is_missing_large,
                has_new_constant: false,
                comparison,
            };
            decision.has_new_constant = decision.constant().is_some_and(|it| it.chance * n <= config.alpha);
            res.push(decision);
        }
    }
    res
}

/// Returns the part with the least p-value among those with a large effect, else among all, with its p-value corrected
/// for the number of parts.
fn leading_part(comparison: &Comparison) -> Option<(usize, f64)> {
    let parts = comparison.parts();
    let rank = |part: &Part| (!part.is_large(), part.p_value, -part.effect);
    let (idx, part) = parts.iter().enumerate().min_by(|left, right| {
        let (left, right) = (rank(left.1), rank(right.1));
        left.0.cmp(&right.0).then(left.1.total_cmp(&right.1)).then(left.2.total_cmp(&right.2))
    })?;
    Some((idx, (part.p_value * parts.len() as f64).min(1.0)))
}

fn correct(config: &Config, p_values: impl Iterator<Item = Option<f64>>) -> Vec<Option<f64>> {
    let p_values: Vec<_> = p_values.collect();
    let known: Vec<f64> = p_values.iter().flatten().copied().collect();
    let corrected = match config.correction {
        Correction::Holm => holm(&known),
        Correction::BenjaminiHochberg => benjamini_hochberg(&known),
        Correction::None => Ok(known),
    };
    // Every p-value is from 0 to 1, so there is always an answer; without one nothing counts as compared.
    let mut corrected = corrected.unwrap_or_default().into_iter();
    p_values.into_iter().map(|it| it.and_then(|_| corrected.next())).collect()
}
