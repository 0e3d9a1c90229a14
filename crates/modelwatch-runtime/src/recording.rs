//! Records a model's outputs beside the rows that they are of, so that `golden` can hold later ones against them.
//!
//! The rows go through the model as in a run, in the same micro-batches, so that a run of the same model on what was recorded
//! agrees to the last bit. The file is written beside its place and renamed, so that there is never half of one.

mod arrays;
mod review;
mod write;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use modelwatch_config::{CheckpointSource, Data, Pipeline};
use modelwatch_infer::InferError;
use modelwatch_sdk::{Error, ModelRole, rows, store::CheckpointStore};
use thiserror::Error;

pub use review::{OutputReview, Review, WorstRow};

use crate::{
    checkpoint::{self, CheckpointError, Laid},
    data::{BATCH_UNIT, Batches, DataError, Dataset, Scan},
    inputs::InputMap,
    model::{self, LoadedModel, ModelError, Runtimes, Wanted},
    run::threads,
};
use review::Reviewer;
use write::Writer;

/// A multiple of the rows at which a run cuts its batches.
const BATCH_ROWS: usize = 16 * BATCH_UNIT;

/// What is recorded, and where.
pub struct Settings<'a> {
    /// The column of each output.
    pub columns: &'a BTreeMap<String, String>,
    /// Whether NaN may be recorded, since it will be held equal to itself.
    pub with_nan: bool,
    /// Whether an infinity may be recorded.
    pub with_infinity: bool,
    /// The file.
    pub into: &'a Path,
    /// What happens where the file exists.
    pub existing: Existing,
    /// What there is to run the model with.
    pub runtimes: &'a Runtimes,
    /// Set to end it.
    pub cancelled: &'a AtomicBool,
}

/// What happens where something was recorded already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Nothing is recorded.
    Refuse,
    /// What would change is told, and nothing is written.
    Review,
    /// What changes is told, and the file is replaced.
    Replace,
}

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// How many rows there are.
    pub rows: u64,
    /// What was there before, held against what is there now; nothing where nothing was.
    pub review: Option<Review>,
    /// Whether the file was written.
    pub is_written: bool,
}

/// Why nothing was recorded. Whatever was there is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The pipeline lacks something.
    #[error("the pipeline has no {what}, so that there is nothing to record")]
    Lacks {
        /// What.
        what: &'static str,
    },
    /// Something was recorded already.
    #[error("`{}` exists; say `--update` to see what would change", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The format is not one that is written.
    #[error("outputs are recorded into `.parquet`, `.arrow` or `.npz` files, and `{}` is none", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// What is to be updated is no file of rows.
    #[error("`{}` exists and is no Parquet, Arrow or NPZ file, so that there is nothing to update; record into another file, or remove it", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The checkpoint cannot be had.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model cannot be run.
    #[error("the model cannot be run: {0}")]
    Model(String),
    /// What it gives cannot be recorded.
    #[error("output `{output}` cannot be recorded: {reason}")]
    Output {
        /// The output.
        output: String,
        /// Why.
        reason: String,
    },
    /// The rows are not those that were recorded.
    #[error("the rows are not those of `{}`: {reason}; record into another file", path.display())]
    OtherRows {
        /// The file.
        path: PathBuf,
        /// The first difference.
        reason: String,
    },
    /// The file cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was told to end.
    #[error("interrupted; nothing was recorded")]
    Interrupted,
}

impl From<Error> for RecordError {
    fn from(error: Error) -> Self {
        CheckpointError::from(error).into()
    }
}

impl From<InferError> for RecordError {
    fn from(error: InferError) -> Self {
        Self::Model(error.to_string())
    }
}

/// Runs the pipeline's model on its current data, and records its outputs with all columns of the data.
///
/// # Errors
/// When the model cannot be run on all rows, gives NaN, or the file exists and is not to be replaced.
pub fn record(
    pipeline: &Pipeline,
    store: Option<&dyn CheckpointStore>,
    settings: &Settings<'_>,
) -> Result<Recorded, RecordError> {
    let exists = settings.into.exists();
    if exists && settings.existing == Existing::Refuse {
        return Err(RecordError::Exists { path: settings.into.to_owned() });
    }
    let data = pipeline.data.as_ref().ok_or(RecordError::Lacks { what: "data" })?;
    let source = data.current.as_ref().ok_or(RecordError::Lacks { what: "current data" })?;
    let (_laid, model) = candidate(pipeline, settings.runtimes, store)?;
    let dataset = Dataset::of(source)?;
    let mut rows = Rows::new(&dataset, data, &model, settings, threads(pipeline))?;
    let mut reviewer = match exists {
        true => Some(Reviewer::open(settings.into, settings.columns, data.columns.id.as_deref())?),
        false => None,
    };
    let is_written = !exists || settings.existing == Existing::Replace;
    let mut writer = if is_written { Some(Writer::new(settings.into)?) } else { None };
    let mut n_rows = 0;
    while let Some(batch) = rows.next()? {
        if settings.cancelled.load(Ordering::Relaxed) {
            return Err(RecordError::Interrupted);
        }
        n_rows += batch.num_rows() as u64;
        if let Some(it) = &mut reviewer {
            it.add(&batch)?;
        }
        if let Some(it) = &mut writer {
            it.add(&batch)?;
        }
    }
    if n_rows == 0 {
        return Err(RecordError::Lacks { what: "rows" });
    }
    let review = reviewer.map(Reviewer::finish).transpose()?;
    if let Some(it) = writer {
        it.finish(settings.existing == Existing::Replace)?;
    }
    Ok(Recorded { rows: n_rows, review, is_written })
}

fn candidate(
    pipeline: &Pipeline,
    runtimes: &Runtimes,
    store: Option<&dyn CheckpointStore>,
) -> Result<(Option<Laid>, LoadedModel), RecordError> {
    let load = |path: &Path, model: &Option<String>| {
        let wanted = Wanted { path, model: model.as_deref(), role: ModelRole::Candidate, layers: BTreeSet::new() };
        let runtime = runtimes.open(pipeline, wanted.role).map_err(ModelError::from);
        runtime.and_then(|it| model::load(&*it, &wanted)).map_err(|e| RecordError::Model(e.to_string()))
    };
    match pipeline.checkpoint.as_ref().ok_or(RecordError::Lacks { what: "checkpoint" })? {
        CheckpointSource::Import { path, model, .. } => Ok((None, load(path, model)?)),
        CheckpointSource::Stored { spec, model, .. } => {
            let store = store.ok_or(RecordError::Lacks { what: "store" })?;
            let id = checkpoint::resolve(&store.history(&spec.lineage)?, spec)?;
            let laid = checkpoint::lay_out(store.open(&(), &id)?.as_ref(), &())?;
            let model = load(laid.path(), model)?;
            Ok((Some(laid), model))
        }
    }
}

/// The rows of the data with the outputs beside them.
struct Rows<'a> {
    dataset: &'a Dataset,
    batches: Batches,
    inputs: InputMap,
    model: &'a LoadedModel,
    settings: &'a Settings<'a>,
    threads: NonZeroUsize,
}

impl<'a> Rows<'a> {
    fn new(
        dataset: &'a Dataset,
        data: &Data,
        model: &'a LoadedModel,
        settings: &'a Settings<'a>,
        threads: NonZeroUsize,
    ) -> Result<Self, RecordError> {
        let inputs = InputMap::of(model.model.info(), &data.columns, dataset).map_err(RecordError::Model)?;
        let columns = dataset.schema().fields().iter().map(|it| it.name().clone()).collect();
        let batches = dataset.batches(&Scan { columns, batch_rows: BATCH_ROWS })?;
        Ok(Self { dataset, batches, inputs, model, settings, threads })
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, RecordError> {
        let Some(rows) = self.batches.next().transpose()? else { return Ok(None) };
        let inputs = self.inputs.assemble(&rows).map_err(RecordError::Model)?;
        let outputs = self.model.model.run(&inputs, self.threads);
        let outputs = outputs.map_err(|e| RecordError::Model(self.inputs.explain(&e, Some(self.dataset))))?;
        let recorded: Vec<&String> = self.settings.columns.values().collect();
        let mut fields: Vec<Arc<Field>> = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (field, array) in rows.schema_ref().fields().iter().zip(rows.columns()) {
            // What was recorded before, in the same file, makes room.
            if !recorded.contains(&field.name()) {
                fields.push(Arc::clone(field));
                arrays.push(Arc::clone(array));
            }
        }
        for (output, column) in self.settings.columns {
            let wrong = |reason: String| RecordError::Output { output: output.clone(), reason };
            let Some((at, field)) = outputs.schema_ref().column_with_name(output) else {
                let names: Vec<_> = outputs.schema_ref().fields().iter().map(|it| it.name().clone()).collect();
                return Err(wrong(format!("the model has none of that name, only {}", names.join(", "))));
            };
            let array = outputs.column(at);
            let values = match rows::is_numeric(array.data_type()) {
                true => rows::numbers(array).map_err(|e| wrong(e.message))?.values,
                false => Cow::default(),
            };
            for (is_allowed, is_such, what, option) in [
                (self.settings.with_nan, f64::is_nan as fn(f64) -> bool, "NaN", "equal_nan"),
                (self.settings.with_infinity, f64::is_infinite, "an infinity", "equal_infinity"),
            ] {
                if !is_allowed && values.iter().any(|&it| is_such(it)) {
                    let remedy = format!("mend the model or the data, or set `{option}`");
                    return Err(wrong(format!("it has {what}, which no output equals; {remedy}")));
                }
            }
            fields.push(Arc::new(field.clone().with_name(column)));
            arrays.push(Arc::clone(array));
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays);
        batch.map(Some).map_err(|e| RecordError::Model(e.to_string()))
    }
}
