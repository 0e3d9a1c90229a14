//! Which columns are drifted, given all of them.

use modelwatch_stats::multiple::{benjamini_hochberg, holm};

use crate::{
    comparison::{Comparison, Constant, Outcome, Part, compare},
    config::{Config, Correction},
    scores::reaches,
    side::Kept,
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

/// Returns the decisions in the order of groups and names.
pub(crate) fn decide(config: &Config, reference: &Kept, current: &Kept) -> Vec<Decision> {
    judge(config, compare(config, reference, current))
}

/// Returns what is decided of all comparisons of a run, in their order.
///
/// The values and the missing values of all columns and outputs are one family, so that `alpha` bounds the chance of any false alarm
/// of the run. What cannot differ, as a column without missing values, does not count: given the values of both roles together, no
/// way of dealing them out would make it significant (Tarone 1990).
pub(crate) fn judge(config: &Config, comparisons: Vec<Comparison>) -> Vec<Decision> {
    let leading: Vec<_> = comparisons.iter().map(leading_part).collect();
    let values = comparisons.iter().zip(&leading).map(|(comparison, leading)| {
        let p_value = leading.as_ref()?.1?;
        let can_differ = !comparison.parts().iter().all(|it| it.has_one_value);
        Some((p_value, can_differ))
    });
    let missing = comparisons.iter().map(|it| Some((it.missing_p?, it.reference.unusable + it.current.unusable > 0)));
    let mut corrected = correct(config, values.chain(missing).collect());
    let missing = corrected.split_off(comparisons.len());
    let mut res = Vec::new();
    for (((comparison, leading), p_value), missing_p) in
        comparisons.into_iter().zip(leading).zip(corrected).zip(missing)
    {
        let leading = leading.map_or(0, |it| it.0);
        let is_significant = |p: Option<f64>| p.is_some_and(|it| it <= config.alpha());
        let is_missing_large = reaches(comparison.missing_effect(), config.min_effect.missing);
        let part = comparison.parts().get(leading);
        let is_constant_news = is_significant(p_value);
        let mut decision = Decision {
            p_value,
            leading,
            // Another tool's rule decides alone.
            has_drifted_values: part.is_some_and(|it| it.is_large() && (it.peer.is_some() || is_significant(p_value))),
            missing_p,
            has_drifted_missing: is_significant(missing_p) && is_missing_large,
            has_new_constant: false,
            comparison,
        };
        decision.has_new_constant =
            is_constant_news && decision.constant().is_some_and(|it| it.chance <= config.alpha());
        let undecided = decision.comparison.parts().iter().find_map(Part::undecided).map(str::to_owned);
        if let Some(why) = undecided.filter(|_| !decision.has_drifted_values && !decision.has_new_constant) {
            decision.comparison.outcome = Outcome::Gap(why);
            (decision.p_value, decision.leading) = (None, 0);
        }
        res.push(decision);
    }
    res
}

/// Returns the part with the least p-value among those with a large effect, else among all, with its p-value corrected
/// for the number of parts; without a p-value where another tool's rule decides.
fn leading_part(comparison: &Comparison) -> Option<(usize, Option<f64>)> {
    let parts = comparison.parts();
    let rank = |part: &Part| (!part.is_large(), part.score.p_value, -part.score.effect.value);
    let (idx, part) = parts.iter().enumerate().min_by(|left, right| {
        let (left, right) = (rank(left.1), rank(right.1));
        left.0.cmp(&right.0).then(left.1.total_cmp(&right.1)).then(left.2.total_cmp(&right.2))
    })?;
    Some((idx, part.p_value().map(|it| (it * parts.len() as f64).min(1.0))))
}

/// Returns the corrected p-values, given each with whether it could be small.
fn correct(config: &Config, p_values: Vec<Option<(f64, bool)>>) -> Vec<Option<f64>> {
    let known: Vec<f64> = p_values.iter().flatten().filter(|it| it.1).map(|it| it.0).collect();
    let corrected = match config.correction {
        Correction::Holm => holm(&known),
        Correction::BenjaminiHochberg => benjamini_hochberg(&known),
        Correction::None => Ok(known),
    };
    // Every p-value is from 0 to 1, so there is always an answer; without one nothing counts as compared.
    let mut corrected = corrected.unwrap_or_default().into_iter();
    p_values
        .into_iter()
        .map(|it| it.and_then(|(p, can_differ)| if can_differ { corrected.next() } else { Some(p) }))
        .collect()
}
