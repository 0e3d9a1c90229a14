//! Turns a batch into rows of words.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use modelwatch_sdk::{
    Error, ModelRole, RecordBatch, Result,
    arrow::array::{Array, ArrayRef, downcast_integer_array},
    rows::{self, Use},
    slices::Cut,
};

use crate::{
    config::{MAX_CLASSES, Scores, Settings, Task, quoted},
    cuts,
    outputs::{self, Output, Values},
    read_scores,
    row::{Layout, Prediction, RowScores},
    state::State,
    summed::{Judged, SumLayout},
    tasks::{multi_label, queries, sequences},
};

/// How far probabilities may be beyond 0 and 1, and their sum beyond 1.
const TOLERANCE: f64 = 1e-3;
/// How far from 1 the sum of the probabilities of a row may be for reasons of rounding: those of eight bits are as far off.
const SUM_TOLERANCE: f64 = 0.02;

/// Takes a batch into the state.
pub(crate) fn read(batch: &RecordBatch, settings: &Settings, state: &mut State) -> Result<()> {
    let candidate = outputs::choose(batch, ModelRole::Candidate, settings, None)?
        .ok_or_else(|| Error::input("the rows have no outputs of the candidate model"))?;
    let baseline = outputs::choose(batch, ModelRole::Baseline, settings, Some(&candidate.name))?;
    let models: Vec<Output> = [Some(candidate), baseline].into_iter().flatten().collect();
    let cuts = cuts::cuts(batch, settings)?;
    let sums = SumLayout::of(settings, batch, models[0].array())?;
    let layout = Layout {
        classes: if sums.is_some() { Vec::new() } else { classes(settings, &models[0])? },
        positive: settings.positive,
        has_weights: rows::columns(batch, Use::Weight).next().is_some(),
        has_margin: settings.scores == Scores::Logits,
        top_k: settings.top_k.clone(),
        calibration_bins: if settings.is_of_classes() { settings.calibration_bins } else { 0 },
        sums,
        slice_columns: cuts.iter().map(|it| it.group.clone()).collect(),
        models: models.iter().map(|it| it.layout(settings)).collect(),
    };
    state.set_layout(&layout)?;
    state.head.n_rows += batch.num_rows() as u64;
    if layout.is_of_grid() {
        return read_scores::read(batch, settings, &layout, &models[0], state);
    }

    let weights = weights(batch)?;
    let slices: Vec<Vec<u64>> =
        cuts.iter().enumerate().map(|(nth, it)| slice_keys(it, nth, settings, &layout, state)).collect();
    let kept: BTreeSet<u64> = state.kept();
    let mut words = Vec::with_capacity(layout.width());
    let start = |words: &mut Vec<u64>, label: u64, row: usize| {
        words.clear();
        words.push(label);
        words.extend(weights.as_ref().map(|it| it[row]));
        words.extend(slices.iter().map(|it| it[row]));
    };
    if let Some(sums) = &layout.sums {
        let judged = judge(batch, settings, sums, &models)?;
        if settings.task == Task::MultiLabel && settings.scores == Scores::Auto {
            for (model, (output, judged)) in models.iter().zip(&judged).enumerate() {
                state.head.add_readings(model, multi_label::readings(output.array(), judged)?);
            }
        }
        if settings.task == Task::Sequences {
            state.head.add_texts(sequences::texts(label_column(batch)?.1, models[0].array(), &judged[0])?);
        }
        let keys = if layout.is_of_documents() { Some(queries::keys(batch, settings)?) } else { None };
        for row in 0..batch.num_rows() {
            if judged.iter().any(|it| it[row] == Judged::Unlabeled) {
                state.head.n_unlabeled += 1;
                continue;
            }
            start(&mut words, keys.as_ref().map_or(0, |it| it[row]), row);
            for it in &judged {
                layout.push_judged(&mut words, if let Judged::Words(it) = &it[row] { Some(it) } else { None });
            }
            state.add(&layout, &words, 1, &kept);
        }
        return Ok(());
    }

    let values = models.iter().map(|it| it.values(settings, layout.classes.len())).collect::<Result<Vec<_>>>()?;
    let labels = labels(batch, settings, &layout)?;
    let mut readers: Vec<Reader> =
        values.iter().enumerate().map(|(model, it)| Reader::new(it, settings, &layout, model)).collect();
    for (row, label) in labels.into_iter().enumerate() {
        let Some(label) = label else {
            state.head.n_unlabeled += 1;
            continue;
        };
        start(&mut words, label, row);
        for (model, reader) in readers.iter_mut().enumerate() {
            layout.push(&mut words, model, reader.prediction(&layout, row, label)?);
        }
        state.add(&layout, &words, 1, &kept);
    }
    for (model, reader) in readers.iter().enumerate() {
        state.head.add_readings(model, reader.n_read);
        state.head.add_scaled(model, reader.n_scaled);
    }
    Ok(())
}

/// Returns what a task of sums keeps of each model's predictions.
fn judge(batch: &RecordBatch, settings: &Settings, sums: &SumLayout, models: &[Output]) -> Result<Vec<Vec<Judged>>> {
    let (name, label) = label_column(batch)?;
    // Lists of which none is there have no length.
    if label.null_count() == label.len() {
        let none = || (0..label.len()).map(|_| Judged::Unlabeled).collect();
        return Ok(models.iter().map(|_| none()).collect());
    }
    if rows::are_number_lists(label.data_type()) {
        rows::numbers(label.as_ref())
            .map_err(|e| Error::input(format!("the label `{name}`: {}", e.message)).with_help(e.help))?;
    }
    models.iter().map(|it| sums.task().judge(sums, settings, label, it.array())).collect()
}

fn classes(settings: &Settings, candidate: &Output) -> Result<Vec<String>> {
    match (settings.task, &settings.classes, candidate.n_scores()) {
        (Task::Regression, ..) => Ok(Vec::new()),
        (_, Some(classes), _) => Ok(classes.clone()),
        (_, None, Some(n)) if n <= MAX_CLASSES => Ok((0..n).map(|it| it.to_string()).collect()),
        (_, None, Some(n)) => {
            Err(Error::input(format!("output `{}` has {n} scores per row, more than {MAX_CLASSES}", candidate.name)))
        }
        (_, None, None) => {
            let message =
                format!("output `{}` has labels, so that the classes of the model are not known", candidate.name);
            Err(Error::config("/classes", message).with_help("list them in `classes`"))
        }
    }
}

/// The label of a binary model's row that has none.
pub(crate) const UNLABELED: u8 = u8::MAX;

/// Returns the labels of a binary model as classes; [`UNLABELED`] where one is missing.
pub(crate) fn binary_labels(batch: &RecordBatch, layout: &Layout) -> Result<Vec<u8>> {
    classes_of(label_column(batch)?.1.as_ref(), layout, UNLABELED, |it| it as u8)
}

/// Returns the labels as words; none where it is missing.
pub(crate) fn labels(batch: &RecordBatch, settings: &Settings, layout: &Layout) -> Result<Vec<Option<u64>>> {
    let (name, array) = label_column(batch)?;
    if settings.task == Task::Regression {
        let numbers = rows::numbers(array.as_ref()).map_err(|e| {
            let message = format!("the label `{name}` of a regression has no numbers: {}", e.message);
            Error::input(message).with_help("name another column as `label`, or set `task` to `binary` or `multiclass`")
        })?;
        if numbers.width != 1 {
            return Err(Error::input(format!("expected one number per label, got {}", numbers.width)));
        }
        if let Some(it) = numbers.values.iter().find(|it| it.is_infinite()) {
            return Err(Error::input(format!("a label in `{name}` is {it}, expected a finite number"))
                .with_help("correct it, or leave the row out; a label that is not known is missing or NaN"));
        }
        // Adding 0 turns -0 into 0, so that equal labels are equal words.
        return Ok(numbers.values.iter().map(|it| (!it.is_nan()).then(|| (it + 0.0).to_bits())).collect());
    }
    classes_of(array.as_ref(), layout, None, |it| Some(it as u64))
}

fn label_column(batch: &RecordBatch) -> Result<(&str, &ArrayRef)> {
    rows::columns(batch, Use::Label).next().ok_or_else(|| Error::input("the rows have no label column"))
}

/// Returns the classes of labels as `of` says; `missing` where there is none.
fn classes_of<T: Copy + PartialEq>(
    array: &dyn Array,
    layout: &Layout,
    missing: T,
    of: impl Fn(usize) -> T,
) -> Result<Vec<T>> {
    let names = Names::new(layout);
    let mut classes = IntegerClasses::new(&names, missing, &of);
    let mut res: Vec<T> = Vec::new();
    downcast_integer_array!(
        array => {
            res.extend(array.values().iter().map(|&it| classes.known(it)));
            // A null has some number under it.
            if array.null_count() > 0 || res.contains(&missing) {
                for (row, place) in res.iter_mut().enumerate() {
                    if array.is_null(row) {
                        *place = missing;
                    } else if *place == missing {
                        *place = classes.find(array.value(row).into())?;
                    }
                }
            }
        },
        _ => for it in outputs::labels(array)? {
            res.push(it.map_or(Ok(missing), |it| names.find(&it, "label").map(&of))?);
        },
    );
    Ok(res)
}

/// Returns the weights as words, 0 where one is missing; none where the rows have no weights.
fn weights(batch: &RecordBatch) -> Result<Option<Vec<u64>>> {
    let Some((name, numbers)) = rows::weight_numbers(batch)? else { return Ok(None) };
    let word = |&it: &f64| {
        let it = if it.is_nan() { 0.0 } else { it };
        // Adding 0 turns -0 into 0.
        (0.0..f64::INFINITY).contains(&it).then(|| (it + 0.0).to_bits()).ok_or_else(|| {
            Error::input(format!("the weight {it} in `{name}` is not a finite number from 0 on"))
                .with_help("leave out rows that must not count, or give them the weight 0")
        })
    };
    numbers.values.iter().map(word).collect::<Result<_>>().map(Some)
}

fn slice_keys(cut: &Cut, nth: usize, settings: &Settings, layout: &Layout, state: &mut State) -> Vec<u64> {
    let keys: Vec<u64> = cut.names.iter().map(|it| state.see_slice(layout, nth, it, &settings.expected)).collect();
    cut.rows.iter().map(|it| it.map_or(0, |it| keys[it])).collect()
}

/// Finds classes by name.
struct Names<'a> {
    classes: &'a [String],
    indices: BTreeMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn new(layout: &'a Layout) -> Self {
        let indices = layout.classes.iter().enumerate().map(|(idx, it)| (it.as_str(), idx)).collect();
        Self { classes: &layout.classes, indices }
    }

    fn find(&self, name: &str, what: &str) -> Result<usize> {
        // Booleans are read as words; a model's classes are more often 0 and 1.
        let number = match name {
            "true" => "1",
            "false" => "0",
            other => other,
        };
        self.indices.get(name).or_else(|| self.indices.get(number)).copied().ok_or_else(|| {
            Error::input(format!("the {what} `{name}` is not one of the classes {}", quoted(self.classes.iter())))
                .with_help("list every class in `classes`, in the order of the model's scores")
        })
    }
}

/// Finds the classes of labels that are whole numbers. Small ones are found without a search; of many rows there are few classes, so that
/// any other number is written and looked for once.
struct IntegerClasses<'a, T, F> {
    names: &'a Names<'a>,
    missing: T,
    of: &'a F,
    /// Those from -128 on.
    small: [T; 256],
    others: BTreeMap<i128, T>,
}

impl<'a, T: Copy, F: Fn(usize) -> T> IntegerClasses<'a, T, F> {
    fn new(names: &'a Names<'a>, missing: T, of: &'a F) -> Self {
        let mut small = [missing; 256];
        for (&name, &class) in &names.indices {
            let number = name.parse::<i8>().ok().filter(|it| it.to_string() == name);
            if let Some(it) = number {
                small[(i64::from(it) + 128) as usize] = of(class);
            }
        }
        Self { names, missing, of, small, others: BTreeMap::new() }
    }

    /// Returns the class of a small number.
    #[inline]
    fn known(&self, number: impl TryInto<i64>) -> T {
        // Those beyond `i64` are not small.
        let place = number.try_into().ok().map(|it: i64| it.wrapping_add(128) as usize);
        place.and_then(|it| self.small.get(it)).copied().unwrap_or(self.missing)
    }

    fn find(&mut self, number: i128) -> Result<T> {
        if let Some(it) = self.others.get(&number) {
            return Ok(*it);
        }
        let class = (self.of)(self.names.find(&number.to_string(), "label")?);
        self.others.insert(number, class);
        Ok(class)
    }
}

/// Reads the predictions of one model.
pub(crate) struct Reader<'a> {
    values: &'a Values<'a>,
    settings: &'a Settings,
    names: Names<'a>,
    least: f64,
    /// How many rows were taken for probabilities and for logits where the option does not say what they are.
    pub(crate) n_read: [u64; 2],
    /// In how many rows scores that were taken for probabilities do not add up to 1.
    pub(crate) n_scaled: u64,
    /// Those of a row and, as words, the ranked ones of them, for as many rows as there are.
    probabilities: Vec<f64>,
    ranked: Vec<u64>,
}

impl<'a> Reader<'a> {
    /// Returns the reader of the values of a model.
    pub(crate) fn new(values: &'a Values<'a>, settings: &'a Settings, layout: &'a Layout, model: usize) -> Self {
        Self {
            values,
            settings,
            names: Names::new(layout),
            least: layout.models[model].least_probability(),
            n_read: [0; 2],
            n_scaled: 0,
            probabilities: Vec::new(),
            ranked: Vec::new(),
        }
    }

    pub(crate) fn prediction(&mut self, layout: &Layout, row: usize, label: u64) -> Result<Prediction<'_>> {
        Ok(match self.values {
            Values::Numbers(numbers) => {
                let value = numbers.values[row];
                if value.is_finite() { Prediction::Number(value + 0.0) } else { Prediction::Unusable }
            }
            Values::Labels(labels) => {
                let find = |it: &Cow<'_, str>| self.names.find(it, "predicted label").map(Prediction::Label);
                labels[row].as_ref().map_or(Ok(Prediction::Unusable), find)?
            }
            Values::Scores(numbers) => {
                let scores = numbers.row(row);
                if scores.iter().all(|it| it.is_finite()) {
                    Prediction::Scores(self.scores(layout, scores, label as usize))
                } else {
                    Prediction::Unusable
                }
            }
        })
    }

    fn scores(&mut self, layout: &Layout, scores: &[f64], label: usize) -> RowScores<'_> {
        let Self { settings, least, n_read, n_scaled, probabilities, ranked, .. } = self;
        let of_classes = numbers_per_class(scores, layout);
        let is_of_all = matches!(of_classes, PerClass::All(_));
        let Reading { is_proper, is_softmax, is_scaled } =
            read_probabilities(of_classes, settings.scores, probabilities);
        if is_of_all && settings.scores == Scores::Auto {
            n_read[usize::from(is_softmax)] += 1;
        }
        *n_scaled += u64::from(is_scaled);
        let class = match layout.positive {
            Some(it) if probabilities[it] >= settings.threshold => it,
            Some(it) => 1 - it,
            None => first_greatest(probabilities),
        };
        let truth = probabilities[label];
        // Of equal scores the last class comes first, as in scikit-learn's top-k accuracy.
        let before = |idx: usize, it: f64| it > truth || (it == truth && idx > label);
        let rank = probabilities.iter().enumerate().filter(|&(idx, &it)| before(idx, it)).count() as u64;
        let miss = |(idx, it): (usize, &f64)| (it - f64::from(u8::from(idx == label))).powi(2);
        let squares: f64 = probabilities.iter().enumerate().map(miss).sum();
        ranked.clear();
        // Dividing scores by their sum would part equal ones of different rows.
        let as_given = if is_of_all && !is_softmax { scores } else { &probabilities[..] };
        ranked.extend(layout.ranked_classes().map(|it| (as_given[it] + 0.0).to_bits()));
        RowScores {
            class,
            rank,
            log_loss: if is_proper { -truth.clamp(*least, 1.0 - *least).ln() } else { f64::NAN },
            brier: if layout.positive.is_some() { squares / 2.0 } else { squares },
            confidence: probabilities[layout.positive.unwrap_or(class)],
            margin: if layout.has_margin { margin(scores, layout, label) } else { 0.0 },
            kept: ranked,
        }
    }
}

/// Returns by how much the raw score of the true class exceeds the greatest other (Crammer & Singer 2001); of a
/// single score, how far it is on the right side of 0.
fn margin(scores: &[f64], layout: &Layout, label: usize) -> f64 {
    match (scores, layout.positive) {
        (&[score], Some(positive)) => {
            if label == positive {
                score
            } else {
                -score
            }
        }
        _ => {
            let others = scores.iter().enumerate().filter(|it| it.0 != label).map(|it| *it.1);
            scores[label] - others.fold(f64::NEG_INFINITY, f64::max)
        }
    }
}

/// The scores of a row: one per class, or the one of the positive class of two.
enum PerClass<'a> {
    All(&'a [f64]),
    Single { positive: usize, score: f64 },
}

fn numbers_per_class<'a>(scores: &'a [f64], layout: &Layout) -> PerClass<'a> {
    match (scores, layout.positive) {
        (&[score], Some(positive)) => PerClass::Single { positive, score },
        _ => PerClass::All(scores),
    }
}

/// What became of the scores of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reading {
    /// Whether they are probabilities now.
    is_proper: bool,
    /// Whether the softmax of several was taken.
    is_softmax: bool,
    /// Whether they were divided by a sum that is not 1.
    is_scaled: bool,
}

/// Puts one probability per class into `res`.
fn read_probabilities(scores: PerClass<'_>, how: Scores, res: &mut Vec<f64>) -> Reading {
    let given = |is_proper| Reading { is_proper, is_softmax: false, is_scaled: false };
    res.clear();
    match scores {
        PerClass::Single { positive, score } => {
            let score = if how == Scores::Logits { 1.0 / (1.0 + (-score).exp()) } else { score };
            res.resize(2, 1.0 - score);
            res[positive] = score;
            given((0.0..=1.0).contains(&score))
        }
        PerClass::All(scores) => match how {
            Scores::Auto if may_be_probabilities(scores) => {
                // Those of few digits do not add up to 1, and rounding puts some beyond 0 or 1.
                res.extend(scores.iter().map(|it| it.clamp(0.0, 1.0)));
                let sum: f64 = res.iter().sum();
                if sum > 0.0 {
                    scale(res, sum);
                }
                Reading { is_scaled: sum > 0.0 && (sum - 1.0).abs() > SUM_TOLERANCE, ..given(sum > 0.0) }
            }
            Scores::Probabilities => {
                res.extend(scores);
                let sum: f64 = scores.iter().sum();
                let is_distribution = scores.iter().all(|&it| it >= 0.0) && (sum - 1.0).abs() <= TOLERANCE;
                if is_distribution {
                    // Probabilities of low precision do not quite add up to 1.
                    scale(res, sum);
                }
                given(is_distribution)
            }
            Scores::Auto | Scores::Logits => {
                softmax(scores, res);
                Reading { is_proper: true, is_softmax: true, is_scaled: false }
            }
        },
    }
}

/// Returns whether scores that the option leaves open are taken for probabilities.
pub(crate) fn may_be_probabilities(scores: &[f64]) -> bool {
    scores.iter().all(|it| (-TOLERANCE..=1.0 + TOLERANCE).contains(it))
}

fn softmax(scores: &[f64], res: &mut Vec<f64>) {
    let greatest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    res.extend(scores.iter().map(|it| (it - greatest).exp()));
    let sum: f64 = res.iter().sum();
    scale(res, sum);
}

fn scale(numbers: &mut [f64], sum: f64) {
    numbers.iter_mut().for_each(|it| *it /= sum);
}

fn first_greatest(scores: &[f64]) -> usize {
    let mut res = 0;
    for (idx, &score) in scores.iter().enumerate() {
        if score > scores[res] {
            res = idx;
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use modelwatch_sdk::{
        arrow::{
            array::{ArrayRef, Int16Array, Int64Array, StringArray, UInt64Array},
            schema::{Field, Schema},
        },
        rows::with_uses,
    };
    use serde_json::json;

    use super::*;

    fn texts(numbers: &[Option<impl ToString>]) -> Vec<Option<String>> {
        numbers.iter().map(|it| it.as_ref().map(ToString::to_string)).collect()
    }

    /// Numbers are found as their digits are, whether or not they are small, and beyond 2^53 by all of them.
    #[test]
    fn labels_of_integers_are_those_of_their_digits() {
        let found = |array: ArrayRef, classes: &[String]| {
            let settings = json!({"task": "multiclass", "classes": classes});
            let settings = Settings::new(serde_json::from_value(settings).unwrap()).unwrap();
            let layout = Layout {
                classes: classes.into(),
                positive: None,
                has_weights: false,
                has_margin: false,
                top_k: Vec::new(),
                calibration_bins: 10,
                slice_columns: Vec::new(),
                sums: None,
                models: Vec::new(),
            };
            let field = with_uses(Field::new("label", array.data_type().clone(), true), &[Use::Label]);
            let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap();
            labels(&batch, &settings, &layout).unwrap()
        };
        let beyond = 1_u64 << 53;
        let unsigned = [Some(u64::MAX), Some(beyond + 1), None, Some(beyond), Some(128), Some(127), Some(0)];
        let signed = [Some(-129), Some(-128), Some(i64::MIN), None, Some(-1), Some(127), Some(128), Some(0)];
        let small = [Some(-129), Some(-128), None, Some(-1), Some(255), Some(128)];
        let arrays: [(ArrayRef, _); 3] = [
            (Arc::new(UInt64Array::from_iter(unsigned.repeat(2))), texts(&unsigned.repeat(2))),
            (Arc::new(Int64Array::from_iter(signed.repeat(2))), texts(&signed.repeat(2))),
            (Arc::new(Int16Array::from_iter(small.repeat(2))), texts(&small.repeat(2))),
        ];
        for (integers, texts) in arrays {
            let mut classes: Vec<String> = texts.iter().flatten().cloned().collect();
            classes.sort();
            classes.dedup();
            let place = |it: &String| classes.iter().position(|class| class == it).unwrap() as u64;
            let expected: Vec<Option<u64>> = texts.iter().map(|it| it.as_ref().map(place)).collect();
            assert_eq!(found(integers, &classes), expected);
            assert_eq!(found(Arc::new(StringArray::from_iter(&texts)), &classes), expected);
        }
    }

    #[test]
    fn scores_are_read_as_the_options_say() {
        let check = |scores: PerClass<'_>, how, expected: &[f64], proper| {
            let mut got = vec![7.0; 5];
            let is_proper = read_probabilities(scores, how, &mut got).is_proper;
            assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?}");
            assert_eq!(is_proper, proper);
        };
        let third = [1.0 / 3.0; 3];
        check(PerClass::All(&[0.2, 0.3, 0.5]), Scores::Auto, &[0.2, 0.3, 0.5], true);
        check(PerClass::All(&[2.0, 2.0, 2.0]), Scores::Auto, &third, true);
        check(PerClass::All(&[2.0, 2.0, 2.0]), Scores::Probabilities, &[2.0, 2.0, 2.0], false);
        check(PerClass::All(&[1000.0, 0.0]), Scores::Logits, &[1.0, 0.0], true);
        check(PerClass::Single { positive: 1, score: 0.8 }, Scores::Auto, &[0.2, 0.8], true);
        check(PerClass::Single { positive: 0, score: 0.0 }, Scores::Logits, &[0.5, 0.5], true);
        check(PerClass::Single { positive: 1, score: 1.5 }, Scores::Auto, &[-0.5, 1.5], false);
    }
}
