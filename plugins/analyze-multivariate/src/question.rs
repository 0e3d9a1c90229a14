//! What is asked of the rows: features together, each column of lists, the outputs, the label.

use std::{borrow::Cow, collections::BTreeMap};

use modelwatch_sdk::{
    arrow::schema::DataType,
    report::Gap,
    rows::{Use, has_use},
};

use crate::{
    config::Config,
    draw::Draw,
    encode::Encoded,
    table::{Lists, compared, unused},
};

/// What a column is for, and its values or why they cannot be compared.
type Compared = (Use, Result<Lists, String>);

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// All features of one value a row.
    Features,
    /// A feature that is a list.
    List(String),
    /// A layer of the model, a tensor of that name.
    Layer(String),
    /// The model's outputs.
    Predictions,
    /// The labels.
    Label,
}

/// The words for what is no column.
const WORDS: [&str; 5] = ["features", "layer", "predictions", "label", "calibration"];

impl Topic {
    /// Returns the word for it in the labels of metrics: no two have the same.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Self::Features => "features",
            Self::List(name) if WORDS.contains(&&**name) => return Cow::Owned(format!("list {name}")),
            Self::List(name) => name,
            Self::Layer(_) => "layer",
            Self::Predictions => "predictions",
            Self::Label => "label",
        })
    }

    /// Returns what a person would call it, with its verb.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Features => "the rows of the features are".to_owned(),
            Self::List(name) => format!("the lists of column `{name}` are"),
            Self::Layer(name) => format!("the values of the model's layer `{name}` are"),
            Self::Predictions => "the outputs of the model are".to_owned(),
            Self::Label => "the labels are".to_owned(),
        }
    }
}

/// The questions, and what can be no part of one.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The rows of each as numbers.
    pub(crate) questions: BTreeMap<Topic, Encoded>,
    /// The features that only one role has, or that have different types, with what is wrong.
    pub(crate) mismatches: Vec<(String, String)>,
    /// The columns that say nothing, with why.
    pub(crate) gaps: Vec<Gap>,
}

/// Returns what is asked of these rows.
///
/// # Errors
/// When an array is not what its type says.
pub(crate) fn asked(config: &Config, draws: &[Draw; 2]) -> modelwatch_sdk::Result<Asked> {
    let [left, right] = draws.each_ref().map(|it| &it.rows);
    let mut res = Asked::default();
    for (name, why) in unused(&left.schema()).into_iter().chain(unused(&right.schema())) {
        let gap = Gap::new(format!("column `{name}`"), why);
        if !res.gaps.contains(&gap) {
            res.gaps.push(gap);
        }
    }
    let mut columns: BTreeMap<&String, [Option<Compared>; 2]> = BTreeMap::new();
    for (side, batch) in [left, right].into_iter().enumerate() {
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let uses = [Use::Feature, Use::CandidateLayer, Use::Candidate, Use::Label].into_iter();
            if let Some(what_for) = uses.into_iter().find(|it| has_use(field, *it)) {
                columns.entry(field.name()).or_default()[side] = Some((what_for, compared(field, array)));
            }
        }
    }
    for (name, sides) in columns {
        let Some(what_for) = sides.iter().flatten().map(|it| it.0).next() else { continue };
        let is_wanted = match what_for {
            Use::Candidate => config.predictions,
            Use::Label => config.label,
            _ => true,
        };
        if !is_wanted {
            continue;
        }
        let [Some((_, left)), Some((_, right))] = &sides else {
            let side = if sides[0].is_some() { "reference" } else { "current" };
            match what_for {
                Use::Feature => res.mismatches.push((name.clone(), format!("is only in the {side} rows"))),
                _ => res.gaps.push(Gap::new(format!("column `{name}`"), format!("it is only in the {side} rows"))),
            }
            continue;
        };
        let ((left, left_length), (right, right_length)) = match (left, right) {
            (Ok(left), Ok(right)) => (left, right),
            (Err(why), _) | (_, Err(why)) => {
                res.gaps.push(Gap::new(format!("column `{name}`"), why.clone()));
                continue;
            }
        };
        if let Some((left, right)) = left_length.zip(*right_length).filter(|it| it.0 != it.1) {
            let why = format!("has lists of {left} numbers in the reference rows and of {right} in the current rows");
            res.mismatches.push((name.clone(), why));
            continue;
        }
        let are_numbers = [left, right].iter().all(|it| it.data_type().is_numeric());
        if left.data_type() != right.data_type() && !are_numbers {
            let why = "has another type in the reference rows than in the current rows".to_owned();
            res.mismatches.push((name.clone(), why));
            continue;
        }
        let topic = match (what_for, left.data_type()) {
            (Use::CandidateLayer, _) => Topic::Layer(name.split_once(':').map_or(&**name, |it| it.1).to_owned()),
            (Use::Candidate, _) => Topic::Predictions,
            (Use::Label, _) => Topic::Label,
            (_, DataType::FixedSizeList(..)) => Topic::List(name.clone()),
            _ => Topic::Features,
        };
        res.questions.entry(topic).or_default().add(config, name, [left, right])?;
    }
    for name in res.questions.values().flat_map(|it| &it.constants) {
        res.gaps.push(Gap::new(format!("column `{name}`"), "it is constant, the same in both roles"));
    }
    for it in res.questions.values().flat_map(|it| &it.lumped) {
        let why = format!(
            "of the {} categories in the rows that are compared the {} least frequent ones count as one, {:.1} % of these rows; raise `max_categories` to tell more apart",
            it.n_categories,
            it.n_lumped,
            it.share * 100.0,
        );
        res.gaps.push(Gap::new(format!("column `{}`, in part", it.name), why));
    }
    for name in res.questions.values().flat_map(|it| &it.rounded) {
        let why = "whole numbers from 2^53 on are rounded, as the column has another type in the other role";
        res.gaps.push(Gap::new(format!("column `{name}`, in part"), why));
    }
    Ok(res)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_not_called_as_what_is_none() {
        let others = [Topic::Features, Topic::Layer("x".to_owned()), Topic::Predictions, Topic::Label];
        for it in others {
            let name = it.name().into_owned();
            assert_ne!(Topic::List(name.clone()).name(), name);
        }
        assert_eq!(Topic::List("calibration".to_owned()).name(), "list calibration");
        assert_eq!(Topic::List("image".to_owned()).name(), "image");
    }
}
