//! Which output is the probability of the label, and whether it comes true as often as it did.

use modelwatch_sdk::{
    RecordBatch, Result,
    arrow::array::ArrayRef,
    rows::{Numbers, Use, columns, numbers, texts},
};
use modelwatch_stats::multivariate::{CalibrationChange, calibration_change};

use crate::{config::Config, draw::Draw};

/// In so many parts of equal size rows are compared by their score.
const N_PARTS: usize = 10;

/// How far from 1 the probabilities of a row may sum up.
const ROUNDING: f64 = 1e-3;

/// Returns the change of calibration with the numbers of rows, or why there is none.
///
/// # Errors
/// When an array is not what its type says.
pub(crate) fn change(
    config: &Config,
    draws: &[Draw; 2],
) -> Result<std::result::Result<(CalibrationChange, [usize; 2]), String>> {
    let mut sides = Vec::with_capacity(2);
    for (draw, role) in draws.iter().zip(["reference", "current"]) {
        match outcomes(config, &draw.rows)? {
            Ok(it) if it.len() < config.min_rows => {
                let (n, least) = (it.len(), config.min_rows);
                return Ok(Err(format!("{n} {role} rows have a label and a probability, and {least} are needed")));
            }
            Ok(it) => sides.push(it),
            Err(why) => return Ok(Err(format!("in the {role} rows {why}"))),
        }
    }
    let found = calibration_change(&sides[0], &sides[1], N_PARTS, config.permutations, config.seed);
    Ok(found.map(|it| (it, [sides[0].len(), sides[1].len()])).map_err(|e| e.reason.to_string()))
}

/// Returns whether both roles have labels and outputs, so that calibration is worth a word.
pub(crate) fn is_asked(draws: &[Draw; 2]) -> bool {
    let has = |it: &RecordBatch, wanted| columns(it, wanted).next().is_some();
    draws.iter().all(|it| has(&it.rows, Use::Label) && has(&it.rows, Use::Candidate))
}

/// Returns the predicted probability of each row with whether it came true: of the positive class, or of the most likely class.
fn outcomes(config: &Config, batch: &RecordBatch) -> Result<std::result::Result<Vec<(f64, bool)>, String>> {
    let Some((_, label)) = columns(batch, Use::Label).next() else { return Ok(Err("there is no label".to_owned())) };
    let Ok(labels) = texts(label.as_ref()) else { return Ok(Err("the label is no class".to_owned())) };
    for (_, output) in columns(batch, Use::Candidate) {
        let Some(scores) = probabilities(output)? else { continue };
        let mut res = Vec::new();
        for (row, label) in labels.iter().enumerate() {
            let Some(label) = label.as_deref() else { continue };
            let scores = scores.row(row);
            if scores.iter().any(|it| it.is_nan()) {
                continue;
            }
            let class = config.class(label);
            match class.and_then(|it| outcome(scores, it, config.positive_class())) {
                Some(it) => res.push(it),
                None => {
                    let why = if config.classes.is_empty() { "no number of a class" } else { "none of the classes" };
                    let help = "list every class in `classes`, in the order of the scores";
                    return Ok(Err(format!("the label `{label}` is {why}: {help}")));
                }
            }
        }
        return Ok(Ok(res));
    }
    Ok(Err("no output is a probability".to_owned()))
}

fn outcome(scores: &[f64], class: usize, positive: usize) -> Option<(f64, bool)> {
    if let [score] = scores {
        return (class <= 1).then_some((*score, class == positive));
    }
    let likely = (0..scores.len()).max_by(|&left, &right| {
        // The first one of equally likely classes.
        scores[left].total_cmp(&scores[right]).then(right.cmp(&left))
    })?;
    (class < scores.len()).then_some((scores[likely].clamp(0.0, 1.0), class == likely))
}

/// Returns the numbers of an output if every row that has any is of probabilities.
fn probabilities(output: &ArrayRef) -> Result<Option<Numbers<'_>>> {
    let Ok(numbers) = numbers(output.as_ref()) else { return Ok(None) };
    let is_fine = (0..numbers.rows()).map(|it| numbers.row(it)).all(|row| {
        let is_missing = row.iter().any(|it| it.is_nan());
        let is_share = row.iter().all(|it| (0.0..=1.0).contains(it));
        let is_one = row.len() == 1 || (row.iter().sum::<f64>() - 1.0).abs() <= ROUNDING;
        is_missing || (is_share && is_one)
    });
    Ok(is_fine.then_some(numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_its_most_likely_class_or_the_class_one() {
        assert_eq!(outcome(&[0.3], 1, 1), Some((0.3, true)));
        assert_eq!(outcome(&[0.3], 0, 1), Some((0.3, false)));
        assert_eq!(outcome(&[0.3], 0, 0), Some((0.3, true)));
        assert_eq!(outcome(&[0.3], 2, 1), None);
        assert_eq!(outcome(&[0.2, 0.4, 0.4], 1, 1), Some((0.4, true)));
        assert_eq!(outcome(&[0.2, 0.4, 0.4], 2, 1), Some((0.4, false)));
        assert_eq!(outcome(&[0.2, 0.8], 2, 1), None);
    }

    #[test]
    fn classes_are_numbers_where_they_have_no_names() {
        let of = |classes: &[&str], positive: Option<&str>| Config {
            classes: classes.iter().map(|it| (*it).to_owned()).collect(),
            positive: positive.map(str::to_owned),
            ..Config::default()
        };
        let config = of(&[], None);
        assert_eq!(["0", "true", "cat"].map(|it| config.class(it)), [Some(0), Some(1), None]);
        let config = of(&["benign", "malignant"], Some("benign"));
        assert_eq!(["benign", "malignant", "1"].map(|it| config.class(it)), [Some(0), Some(1), None]);
        assert_eq!((config.positive_class(), of(&["a", "b"], None).positive_class()), (0, 1));
        let refused = |classes: &[&str], positive| of(classes, positive).validated().unwrap_err().path;
        assert_eq!(refused(&["a"], None), "/classes");
        assert_eq!(refused(&["a", "b", "a"], None), "/classes");
        assert_eq!(refused(&["a", "b"], Some("c")), "/positive");
    }
}
