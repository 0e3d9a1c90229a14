//! Finds the output to look at and reads it as scores, labels or numbers.

use std::borrow::Cow;

use modelwatch_sdk::{
    Error, ModelRole, RecordBatch, Result,
    arrow::{
        array::{Array, ArrayRef, cast::AsArray, types::Float32Type},
        schema::DataType,
    },
    rows::{self, Numbers},
};

use crate::{
    config::{Settings, Task, quoted},
    row::ModelLayout,
};

/// An output of a model.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) name: String,
    array: ArrayRef,
    leaf: DataType,
    width: usize,
}

/// The values of an output.
pub(crate) enum Values<'a> {
    /// One score per class, or one for the positive class.
    Scores(Numbers<'a>),
    Labels(Vec<Option<Cow<'a, str>>>),
    Numbers(Numbers<'a>),
}

/// Returns the output of a model to look at; none where the batch has no outputs of that model.
///
/// # Errors
/// When there is not exactly one that is named or fits the task.
pub(crate) fn choose(
    batch: &RecordBatch,
    model: ModelRole,
    settings: &Settings,
    like: Option<&str>,
) -> Result<Option<Output>> {
    let all: Vec<Output> = rows::outputs(batch, model).map(|(name, array)| Output::new(name, array)).collect();
    let find = |wanted: &str| all.iter().find(|it| it.name == wanted).cloned();
    if all.is_empty() {
        return Ok(None);
    }
    if let Some(wanted) = &settings.output {
        let help = format!("the outputs are {}", listed(&all));
        let message = format!("the {} model has no output `{wanted}`", model.as_str());
        return find(wanted).map(Some).ok_or_else(|| Error::config("/output", message).with_help(help));
    }
    if let Some(found) = like.and_then(find) {
        return Ok(Some(found));
    }
    if let [only] = &all[..] {
        return Ok(Some(only.clone()));
    }
    let mut fitting: Vec<&Output> = all.iter().filter(|it| it.fits(settings)).collect();
    if fitting.len() > 1 && settings.task == Task::Binary {
        fitting.retain(|it| it.width == 2);
    }
    match &fitting[..] {
        [only] => Ok(Some((*only).clone())),
        _ => {
            let message = format!(
                "{} of the {} model's outputs fit the task: it has {}",
                if fitting.is_empty() { "none" } else { "several" },
                model.as_str(),
                listed(&all)
            );
            Err(Error::config("/output", message).with_help("name one of them in `output`"))
        }
    }
}

impl Output {
    fn new(name: &str, array: &ArrayRef) -> Self {
        let (leaf, width) = shape(array.data_type());
        Self { name: name.to_owned(), array: array.clone(), leaf, width }
    }

    /// Returns the output of some of the rows.
    pub(crate) fn slice(&self, start: usize, n: usize) -> Self {
        Self { name: self.name.clone(), array: self.array.slice(start, n), leaf: self.leaf.clone(), width: self.width }
    }

    /// Returns the number of classes that it has scores for, where it has one score per class.
    pub(crate) fn n_scores(&self) -> Option<usize> {
        (self.width > 1 && self.leaf.is_numeric()).then_some(self.width)
    }

    /// Returns its numbers as they are, where a row has a single `f32`, plain or in a list, and none is missing.
    pub(crate) fn floats(&self) -> Option<&[f32]> {
        let (mut array, mut start) = (&self.array, 0);
        while let Some(list) =
            array.as_fixed_size_list_opt().filter(|it| it.value_length() == 1 && it.null_count() == 0)
        {
            start += list.value_offset(0) as usize;
            array = list.values();
        }
        let floats = array.as_primitive_opt::<Float32Type>().filter(|it| it.null_count() == 0)?;
        floats.values().get(start..start + self.array.len())
    }

    /// Returns what is kept of it.
    pub(crate) fn layout(&self, settings: &Settings) -> ModelLayout {
        let is_scored = match settings.task {
            Task::Binary => self.width > 1 || self.leaf.is_floating(),
            Task::Multiclass => self.width > 1,
            _ => false,
        };
        let n_digits = match self.leaf {
            DataType::Float16 => 10,
            DataType::Float32 => 23,
            _ => 52,
        };
        ModelLayout { output: self.name.clone(), is_scored, n_digits }
    }

    /// Reads the values.
    ///
    /// # Errors
    /// When they do not fit the task or the number of classes.
    pub(crate) fn values(&self, settings: &Settings, n_classes: usize) -> Result<Values<'_>> {
        let array = self.array.as_ref();
        let refuse = |wanted: &str| {
            Err(Error::input(format!("output {} does not fit the task: expected {wanted}", self.describe()))
                .with_help("name another output in `output`, or correct `task` or `classes`"))
        };
        if settings.task == Task::Regression {
            let is_number = self.width == 1 && self.leaf.is_numeric();
            return if is_number { Ok(Values::Numbers(rows::numbers(array)?)) } else { refuse("one number per row") };
        }
        if self.layout(settings).is_scored {
            let is_single = settings.task == Task::Binary && self.width == 1;
            return if is_single || self.n_scores() == Some(n_classes) {
                Ok(Values::Scores(rows::numbers(array)?))
            } else {
                refuse(&format!("{n_classes} scores per row"))
            };
        }
        if self.width != 1 {
            return refuse("one label per row");
        }
        labels(array).map(Values::Labels)
    }

    /// Returns the values as they came.
    pub(crate) fn array(&self) -> &ArrayRef {
        &self.array
    }

    fn fits(&self, settings: &Settings) -> bool {
        let n_classes = settings.classes.as_ref().map(Vec::len);
        match settings.task {
            Task::Regression | Task::Ranking => self.width == 1 && self.leaf.is_floating(),
            Task::MultiLabel => n_classes.map_or(self.width > 1, |it| it == self.width) && self.leaf.is_numeric(),
            Task::Segmentation | Task::Detection => self.width > 1 && self.leaf.is_numeric(),
            Task::Sequences => matches!(self.leaf, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
            Task::Binary => self.width <= 2 && self.leaf.is_floating(),
            Task::Multiclass => {
                self.width > 1 && self.leaf.is_floating() && n_classes.is_none_or(|it| it == self.width)
            }
        }
    }

    fn describe(&self) -> String {
        format!("`{}` ({} × {})", self.name, self.width, self.leaf)
    }
}

/// Returns the values of a column of labels: plain, or in lists of one.
pub(crate) fn labels(array: &dyn Array) -> Result<Vec<Option<Cow<'_, str>>>> {
    let DataType::FixedSizeList(_, 1) = array.data_type() else { return rows::texts(array) };
    let list = array.as_fixed_size_list();
    let start = list.value_offset(0) as usize;
    let inner = labels(list.values().as_ref())?;
    let rows = inner.into_iter().skip(start).take(list.len()).enumerate();
    Ok(rows.map(|(row, it)| if list.is_null(row) { None } else { it }).collect())
}

fn shape(data_type: &DataType) -> (DataType, usize) {
    match data_type {
        DataType::FixedSizeList(field, width) => {
            let (leaf, inner) = shape(field.data_type());
            (leaf, inner.saturating_mul(usize::try_from(*width).unwrap_or(0)))
        }
        other => (other.clone(), 1),
    }
}

fn listed(outputs: &[Output]) -> String {
    quoted(outputs.iter().map(|it| format!("{} ({} × {})", it.name, it.width, it.leaf)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use modelwatch_sdk::arrow::{
        array::{FixedSizeListArray, Float32Array},
        schema::Field,
    };

    use super::*;

    #[test]
    fn floats_of_lists_of_one_are_those_of_their_rows() {
        let lists = |values: Float32Array, width| -> ArrayRef {
            let item = Arc::new(Field::new("item", DataType::Float32, true));
            Arc::new(FixedSizeListArray::new(item, width, Arc::new(values), None))
        };
        let values = || Float32Array::from(vec![0.0, 0.25, 0.5, 0.75]);
        let plain = Output::new("p", &(Arc::new(values()) as ArrayRef));
        let listed = Output::new("p", &lists(values(), 1).slice(1, 3));
        assert_eq!(
            (plain.floats(), listed.floats()),
            (Some(&[0.0, 0.25, 0.5, 0.75][..]), Some(&[0.25, 0.5, 0.75][..]))
        );
        assert_eq!((plain.slice(2, 1).floats(), listed.slice(1, 1).floats()), (Some(&[0.5][..]), Some(&[0.5][..])));
        let missing = lists(Float32Array::from(vec![Some(0.5), None]), 1);
        for other in [missing, lists(values(), 2), lists(values(), 1).slice(0, 1)] {
            assert_eq!(Output::new("p", &other).floats().map(<[f32]>::len), (other.len() == 1).then_some(1));
        }
    }
}
