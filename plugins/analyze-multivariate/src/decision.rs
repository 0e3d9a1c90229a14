//! What is drifted, given the answers to all questions.

use modelwatch_sdk::{
    Host, Result,
    arrow::schema::{DataType, Field},
    report::Gap,
    rows::{Use, has_use},
};
use modelwatch_stats::{Reason, multiple::holm, multivariate::CalibrationChange};

use crate::{
    calibration,
    config::Config,
    draw::{Draw, draw},
    question::{Asked, Topic, asked},
    scores::{Scores, scores},
    side::Side,
};

/// The most dealings that are made where more than `permutations` are needed.
const MAX_RAISED: usize = 9_999;

/// What one run has to say.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How many rows of each role there are, how many of them are compared, and whether that is in a part of them.
    pub(crate) sampled: [Sampled; 2],
    /// The questions that were answered.
    pub(crate) answers: Vec<Answer>,
    /// What became of calibration, if it was asked.
    pub(crate) calibration: Option<Calibration>,
    /// The features that only one role has, or that have different types, with what is wrong.
    pub(crate) mismatches: Vec<(String, String)>,
    /// What could not be compared.
    pub(crate) gaps: Vec<Gap>,
}

/// The rows of one role.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sampled {
    /// How many there are.
    pub(crate) of: u64,
    /// How many are compared.
    pub(crate) rows: u64,
}

/// The answer to one question.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What was asked.
    pub(crate) topic: Topic,
    /// What the tests said.
    pub(crate) scores: Scores,
    /// The p-value, corrected for the tests and the questions.
    pub(crate) p_value: f64,
    /// Whether it is at most `alpha`.
    pub(crate) is_drifted: bool,
}

/// The answer about calibration.
#[derive(Debug)]
pub(crate) struct Calibration {
    /// What changed.
    pub(crate) change: CalibrationChange,
    /// How many rows of each role have a label and a probability.
    pub(crate) rows: [usize; 2],
    /// The p-value, corrected for the questions.
    pub(crate) p_value: f64,
    /// Whether it is at most `alpha`.
    pub(crate) is_drifted: bool,
}

/// Returns the answers to all questions that the rows allow, which are not decided: see [`correct`].
///
/// The tests of one question are a family of their own, corrected by their common dealings.
///
/// # Errors
/// When the run is cancelled, or a sample was read from damaged bytes.
pub(crate) fn ask(config: &Config, host: &dyn Host, reference: &Side, current: &Side) -> Result<Outcome> {
    let of = [reference.rows(), current.rows()];
    let mut outcome = Outcome {
        sampled: of.map(|of| Sampled { of, rows: 0 }),
        answers: Vec::new(),
        calibration: None,
        mismatches: Vec::new(),
        gaps: Vec::new(),
    };
    for (role, side) in [("reference", reference), ("current", current)].into_iter().filter(|it| it.1.rows() == 0) {
        let which = if side.is_weighted() { " that weigh anything" } else { "" };
        outcome.gaps.push(Gap::new("multivariate drift", format!("there are no {role} rows{which}")));
    }
    let draws = if outcome.gaps.is_empty() { draw(config, reference, current)? } else { None };
    let Some(draws) = draws else { return Ok(outcome) };
    for (sampled, draw) in outcome.sampled.iter_mut().zip(&draws) {
        sampled.rows = draw.rows.num_rows() as u64;
    }
    outcome.gaps.extend(sampling_gaps(config, &draws));
    for name in reference.rounded_lists().union(current.rounded_lists()) {
        let why = "whole numbers from 2^53 on are rounded in lists";
        outcome.gaps.push(Gap::new(format!("column `{name}`, in part"), why));
    }
    let n = draws.each_ref().map(|it| it.rows.num_rows());
    if n.iter().any(|it| *it < config.min_rows) {
        return Ok(outcome);
    }
    let Asked { questions, mismatches, gaps } = asked(config, &draws)?;
    outcome.mismatches = mismatches;
    outcome.gaps.extend(gaps);
    if !questions.keys().any(|it| matches!(it, Topic::Features | Topic::List(_) | Topic::Layer(_))) {
        outcome.gaps.push(Gap::new("features", "there is no column to compare"));
    }
    let n_questions = questions.len() as u64;
    for (done, (topic, encoded)) in (0..).zip(questions) {
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        host.progress(done, n_questions);
        if encoded.width() == 0 {
            outcome.gaps.push(Gap::new(topic.name(), "every column is constant, the same in both roles"));
            continue;
        }
        match scores(config, &encoded, n, &|| host.is_cancelled()) {
            Ok(scores) => {
                let untested = scores.untested.iter();
                let gap = |test: &str, why: &str| Gap::new(format!("{}, test `{test}`", topic.name()), why);
                outcome.gaps.extend(untested.map(|(test, why)| gap(test.name(), why)));
                if let Some(p_value) = scores.p_value() {
                    outcome.answers.push(Answer { topic, scores, p_value, is_drifted: false });
                }
            }
            Err(e) if e.reason == Reason::Interrupted => return Err(host.cancelled()),
            Err(e) => outcome.gaps.push(Gap::new(topic.name(), e.reason.to_string())),
        }
    }
    if config.calibration && calibration::is_asked(&draws) {
        match calibration::change(config, &draws)? {
            Ok((change, rows)) => {
                let p_value = change.p_value;
                outcome.calibration = Some(Calibration { change, rows, p_value, is_drifted: false });
            }
            Err(why) => outcome.gaps.push(Gap::new("calibration", why)),
        }
    }
    Ok(outcome)
}

/// Returns how many questions can be asked of rows at most, by their columns.
pub(crate) fn n_questions(config: &Config, side: &Side) -> usize {
    let Some(schema) = side.sample().schema() else { return 0 };
    let has = |wanted: Use| schema.fields().iter().any(|it| has_use(it, wanted));
    let is_list = |it: &Field| matches!(it.data_type(), DataType::FixedSizeList(..));
    let features = || schema.fields().iter().filter(|it| has_use(it, Use::Feature));
    let (has_label, has_output) = (has(Use::Label), has(Use::Candidate));
    features().filter(|it| is_list(it)).count()
        + usize::from(features().any(|it| !is_list(it)))
        + usize::from(has(Use::CandidateLayer))
        + usize::from(config.predictions && has_output)
        + usize::from(config.label && has_label)
        + usize::from(config.calibration && has_label && has_output)
}

/// Returns how many questions can be answered to `alpha`.
pub(crate) fn most_questions(config: &Config) -> usize {
    (config.alpha * config.permutations.max(MAX_RAISED) as f64) as usize
}

/// Returns the options with as many dealings as so many questions take, as far as there may be.
pub(crate) fn dealt(config: &Config, n_questions: usize) -> Config {
    let needed = (n_questions as f64 / config.alpha).ceil() as usize;
    Config { permutations: config.permutations.max(needed.min(MAX_RAISED)), ..config.clone() }
}

/// Corrects the p-values for the number of questions, and decides.
///
/// The questions of all chunks and slices are one family by Holm. So `alpha` bounds the chance of any false alarm of the run.
pub(crate) fn correct<'a>(config: &Config, outcomes: impl IntoIterator<Item = &'a mut Outcome>) {
    let mut outcomes: Vec<&mut Outcome> = outcomes.into_iter().collect();
    let p_values = |it: &Outcome| -> Vec<f64> {
        it.answers.iter().map(|it| it.p_value).chain(it.calibration.iter().map(|it| it.p_value)).collect()
    };
    let known: Vec<f64> = outcomes.iter().flat_map(|it| p_values(it)).collect();
    let least = known.len() as f64 / (config.permutations + 1) as f64;
    if least > config.alpha {
        let enough = (known.len() as f64 / config.alpha).ceil();
        let why = format!(
            "no p-value of {} questions can be below {least} with {} permutations, and `alpha` is {}; use at least {enough}",
            known.len(),
            config.permutations,
            config.alpha,
        );
        for it in outcomes {
            it.gaps.push(Gap::new("multivariate drift", why.clone()));
            it.answers.clear();
            it.calibration = None;
        }
        return;
    }
    // Shares of dealings are from 0 to 1, so that there is always an answer.
    let mut corrected = holm(&known).unwrap_or_default().into_iter();
    for outcome in &mut outcomes {
        for answer in &mut outcome.answers {
            answer.p_value = corrected.next().unwrap_or(1.0);
            answer.is_drifted = answer.p_value <= config.alpha;
        }
        if let Some(it) = &mut outcome.calibration {
            it.p_value = corrected.next().unwrap_or(1.0);
            it.is_drifted = it.p_value <= config.alpha;
        }
    }
}

fn sampling_gaps(config: &Config, draws: &[Draw; 2]) -> Vec<Gap> {
    let mut res = Vec::new();
    let is_any_weighted = draws.iter().any(|it| it.is_weighted);
    for (draw, role) in draws.iter().zip(["reference", "current"]) {
        if is_any_weighted && !draw.is_weighted {
            res.push(Gap::new(format!("row weights of the {role} rows"), "there are none, and each row counts once"));
        }
        let (n, of) = (draw.rows.num_rows(), draw.of);
        let how = match (draw.is_partial, draw.is_weighted) {
            (true, _) if is_any_weighted => {
                "; rows come more than once and are too many to be kept, and of rows with weights no part is compared: raise `rows`, or count each row once with `weights = false`"
            }
            (true, _) => {
                "; rows come more than once and are too many to be kept, so that it is of those whose hash is lowest in both roles, and how often the others come is not compared"
            }
            (false, true) => ", drawn by their weights",
            (false, false) => "",
        };
        if n < config.min_rows {
            let why = format!("{n} of {of} {role} rows can be compared, and {} are needed{how}", config.min_rows);
            res.push(Gap::new("multivariate drift", why));
        } else if (n as u64) < of {
            res.push(Gap::new(format!("{role} rows, in part"), format!("a sample of {n} of {of} is compared{how}")));
        }
    }
    res
}
