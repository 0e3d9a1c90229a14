//! The tasks whose metrics are functions of sums, one module each.

use modelwatch_sdk::{Error, RecordBatch, Result, arrow::array::ArrayRef};

use crate::{
    config::{Settings, Task},
    summed::{Kind, SumLayout, Summed},
};

pub(crate) mod detection;
pub(crate) mod multi_label;
pub(crate) mod queries;
mod segmentation;
pub(crate) mod sequences;

/// Returns the task of a kind.
pub(crate) fn of(kind: Kind) -> &'static dyn Summed {
    match kind {
        Kind::MultiLabel => &multi_label::MultiLabel,
        Kind::Sequences => &sequences::Sequences,
        Kind::Segmentation => &segmentation::Segmentation,
        Kind::Documents => &queries::Documents,
        Kind::Queries => &queries::Queries,
        Kind::Detection => &detection::Detection,
    }
}

/// Returns the layout of a task for a batch; none for those that are not of sums.
pub(crate) fn layout(settings: &Settings, batch: &RecordBatch, output: &ArrayRef) -> Result<Option<SumLayout>> {
    let plain = |kind: Kind| SumLayout { kind, classes: Vec::new(), at_k: Vec::new(), slots: 0 };
    Ok(Some(match settings.task {
        Task::Binary | Task::Multiclass | Task::Regression => return Ok(None),
        Task::MultiLabel => SumLayout { classes: multi_label::classes(settings, output)?, ..plain(Kind::MultiLabel) },
        Task::Segmentation => {
            SumLayout { classes: segmentation::classes(settings, batch, output)?, ..plain(Kind::Segmentation) }
        }
        Task::Sequences => plain(Kind::Sequences),
        Task::Detection => SumLayout {
            classes: settings.classes.clone().unwrap_or_default(),
            slots: detection::slots(output)?,
            ..plain(Kind::Detection)
        },
        Task::Ranking => SumLayout { at_k: settings.at_k.clone(), ..plain(Kind::Documents) },
    }))
}

/// Returns the layout of a task that has all metrics, with these classes; none for those that are not of sums.
pub(crate) fn widest_layout(settings: &Settings, classes: Vec<String>) -> Option<SumLayout> {
    let (kind, classes) = match settings.task {
        Task::Binary | Task::Multiclass | Task::Regression => return None,
        Task::MultiLabel => (Kind::MultiLabel, classes),
        Task::Segmentation => (Kind::Segmentation, classes),
        Task::Sequences => (Kind::Sequences, Vec::new()),
        // Without their names it reports none of single classes.
        Task::Detection => (Kind::Detection, settings.classes.clone().unwrap_or_default()),
        Task::Ranking => (Kind::Queries, Vec::new()),
    };
    Some(SumLayout { kind, classes, at_k: settings.at_k.clone(), slots: 0 })
}

/// Returns the names of the metrics of a task; none for those that are not of sums.
pub(crate) fn names(task: Task) -> &'static [&'static str] {
    match task {
        Task::Binary | Task::Multiclass | Task::Regression => &[],
        Task::MultiLabel => multi_label::NAMES,
        Task::Segmentation => segmentation::NAMES,
        Task::Sequences => sequences::NAMES,
        Task::Detection => detection::NAMES,
        Task::Ranking => queries::NAMES,
    }
}

/// Returns the number of values of each row of an array that [`modelwatch_sdk::rows::numbers`] read.
fn same_width(label: usize, output: usize) -> Result<()> {
    if label == output {
        return Ok(());
    }
    Err(Error::input(format!("the label has {label} values per row and the output {output}, expected as many")))
}
