//! Profiles: made of data, kept as files, and read in place of reference rows.

mod contents;
pub(crate) mod kept;
mod observed;
mod outputs;

use std::{
    fs,
    io::{self, Read, Write},
    num::NonZeroUsize,
    path::{Component, Path, PathBuf},
    slice,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use arrow_array::RecordBatch;
use modelwatch_profile::{
    Group, Predictor, Profile,
    file::{self, FileError},
    stored,
};
use modelwatch_sdk::ModelRole;
use thiserror::Error;

use crate::{
    data::{BATCH_UNIT, Batches, DataError, Dataset, Scan},
    pass::batch_rows,
    whole_file,
};

pub use contents::{ColumnContents, Distinct, ProfileContents, Quantity, describe};
pub use modelwatch_profile::{Settings, file::Stored};
pub use observed::{ObservedColumn, observe, observe_stored};
pub use outputs::Outputs;

/// The most bytes of a profile's file that are read into memory.
const MAX_BYTES: u64 = 1 << 30;

/// The most rows of a batch.
const BATCH_ROWS: usize = 32 * BATCH_UNIT;

/// Why there is no profile.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A column cannot be read.
    #[error("cannot read column `{column}`")]
    Column {
        /// The column.
        column: String,
        /// Why.
        source: modelwatch_sdk::Error,
    },
    /// The data has no row.
    #[error("`{}` has no rows, so that there is nothing to make a profile of; name data that has some", file.display())]
    NoRows {
        /// The data's first file.
        file: PathBuf,
    },
    /// No profile that is to be put together has a row.
    #[error("the profiles are of no rows, so that there is nothing to put together; make them from data that has some")]
    NothingToMerge,
    /// A column that is said to have names is not there.
    #[error("the data has no column `{column}`")]
    NoColumn {
        /// The column.
        column: String,
    },
    /// The data has not what the model wants.
    #[error("the model cannot be run: {0}")]
    Inputs(String),
    /// The model cannot be run on the data.
    #[error("the model cannot be run: {0}")]
    Model(String),
    /// Two parts of the data do not fit together.
    #[error("cannot put the parts of the profile together")]
    Merge(#[source] modelwatch_sdk::Error),
    /// The file of the profile cannot be read.
    #[error("cannot read the profile `{}`", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a file of that name already.
    #[error("`{}` exists already; name a new file", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// The file of the profile cannot be written.
    #[error("cannot write the profile `{}`", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than any profile.
    #[error("the profile `{}` has {size} bytes, and no more than {MAX_BYTES} are read; make it with a smaller `--budget`", file.display())]
    Size {
        /// The file.
        file: PathBuf,
        /// Its bytes.
        size: u64,
    },
    /// The file holds no profile.
    #[error(transparent)]
    File(#[from] FileError),
    /// The work was told to end.
    #[error("interrupted")]
    Interrupted,
}

/// How a profile is made.
pub struct Request<'a> {
    /// How much of each column is kept.
    pub settings: Settings,
    /// Columns whose numbers are names of categories.
    pub categorical: &'a [String],
    /// The model whose outputs are kept as well, if any.
    pub outputs: Option<&'a Outputs>,
    /// How many threads read; nothing of it shows in the result.
    pub threads: NonZeroUsize,
    /// Set to end the work.
    pub cancelled: &'a AtomicBool,
    /// Told the rows that are done, and all of them, 0 where that is not known.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// Returns the profile of all columns of a dataset, and of the model's outputs.
///
/// # Errors
/// When the data cannot be read, the model cannot be run on it, or the work was told to end.
pub fn make(dataset: &Dataset, request: &Request<'_>) -> Result<Stored, ProfileError> {
    let columns: Vec<_> = dataset.schema().fields().iter().map(|it| it.name().clone()).collect();
    if let Some(column) = request.categorical.iter().find(|it| !columns.contains(it)) {
        return Err(ProfileError::NoColumn { column: column.clone() });
    }
    let fields = dataset.schema().fields().iter().map(|it| &**it);
    let batch_rows = batch_rows(fields).next_multiple_of(BATCH_UNIT).min(BATCH_ROWS);
    let partitions = Mutex::new(dataset.scan(&Scan { columns, batch_rows })?);
    let next = || partitions.lock().unwrap_or_else(PoisonError::into_inner).next();
    let (stop, rows) = (AtomicBool::new(false), AtomicU64::new(0));
    let extent = dataset.extent();
    let workers = request.threads.get().min(extent.partitions).max(1);
    let infer_threads = NonZeroUsize::new(request.threads.get() / workers).unwrap_or(NonZeroUsize::MIN);
    let work = || {
        let mut res = Profile::default();
        while !stop.load(Ordering::Relaxed)
            && let Some(batches) = next()
        {
            let mut adding = Adding { profile: &mut res, request, infer_threads, rows: &rows, total: extent.rows };
            let added = batches.map_err(ProfileError::from).and_then(|it| adding.add(it));
            if added.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            added?;
        }
        Ok::<_, ProfileError>(res)
    };
    // A profile does not depend on the order of merges, so that whoever has time takes the next partition.
    let parts: Vec<_> = thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        handles.into_iter().map(|it| it.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
    });
    let mut profile = Profile::default();
    for part in parts {
        profile.merge(part?).map_err(ProfileError::Merge)?;
    }
    if profile.rows() == 0 {
        return Err(ProfileError::NoRows { file: dataset.files().first().cloned().unwrap_or_default() });
    }
    let predictor = request.outputs.map(|it| it.predictor.clone());
    let mut res = Stored { settings: request.settings, predictor, profile };
    res.cut();
    Ok(res)
}

/// A profile that takes in the rows of some partitions.
struct Adding<'a> {
    profile: &'a mut Profile,
    request: &'a Request<'a>,
    infer_threads: NonZeroUsize,
    rows: &'a AtomicU64,
    total: u64,
}

impl Adding<'_> {
    fn add(&mut self, batches: Batches) -> Result<(), ProfileError> {
        for batch in batches {
            if self.request.cancelled.load(Ordering::Relaxed) {
                return Err(ProfileError::Interrupted);
            }
            let batch = batch?;
            self.profile.add_rows(batch.num_rows() as u64);
            self.columns(Group::Feature, &batch)?;
            if let Some(it) = self.request.outputs {
                self.columns(Group::Output, &it.of(&batch, self.infer_threads)?)?;
            }
            let n = batch.num_rows() as u64;
            (self.request.progress)(self.rows.fetch_add(n, Ordering::Relaxed) + n, self.total);
        }
        Ok(())
    }

    fn columns(&mut self, group: Group, batch: &RecordBatch) -> Result<(), ProfileError> {
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let name = field.name();
            let is_declared = group == Group::Feature && self.request.categorical.contains(name);
            let added = self.profile.update(&self.request.settings, (group, name.clone()), is_declared, array);
            added.map_err(|source| ProfileError::Column { column: name.clone(), source })?;
        }
        Ok(())
    }
}

/// Puts profiles together; of settings that differ, those that keep less hold.
///
/// # Errors
/// When columns of lists keep other elements, outputs are not of the same model, or there are no rows.
pub fn merge(parts: impl IntoIterator<Item = Stored>) -> Result<Stored, ProfileError> {
    let whole = parts.into_iter().map(Ok).reduce(|left, right| {
        let (mut left, right): (Stored, Stored) = (left?, right?);
        left.merge(right).map_err(ProfileError::Merge)?;
        Ok::<_, ProfileError>(left)
    });
    let mut res = whole.unwrap_or(Err(ProfileError::NothingToMerge))?;
    if res.profile.rows() == 0 {
        return Err(ProfileError::NothingToMerge);
    }
    res.cut();
    Ok(res)
}

/// Writes a profile into a new file, whose folder is made, and returns its bytes.
///
/// # Errors
/// When it cannot be written, or there is a file of that name, which another writer may have made meanwhile.
pub fn save(path: &Path, stored: &Stored) -> Result<u64, ProfileError> {
    let bytes = to_bytes(stored);
    let write = || {
        fs::create_dir_all(whole_file::folder(path))?;
        let mut file = whole_file::beside(path)?;
        file.write_all(&bytes)?;
        whole_file::publish(file, path, false)
    };
    write().map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => ProfileError::Exists { file: path.to_owned() },
        _ => ProfileError::Write { file: path.to_owned(), source },
    })?;
    Ok(bytes.len() as u64)
}

/// Returns the bytes of a profile's file.
pub(crate) fn to_bytes(stored: &Stored) -> Vec<u8> {
    file::write(stored)
}

/// Reads a profile.
///
/// # Errors
/// When the file cannot be read, or holds no profile that this program can read.
pub fn open(path: &Path) -> Result<Stored, ProfileError> {
    let failed = |source| ProfileError::Io { file: path.to_owned(), source };
    let mut opened = whole_file::open(path).map_err(failed)?;
    let size = opened.metadata().map_err(failed)?.len();
    if size > MAX_BYTES {
        return Err(ProfileError::Size { file: path.to_owned(), size });
    }
    let mut bytes = Vec::new();
    opened.read_to_end(&mut bytes).map_err(failed)?;
    Ok(file::read(path, &bytes)?)
}

/// Data of a run: rows, or what was kept of them.
#[derive(Debug)]
pub(crate) enum Source {
    Rows(Dataset),
    Profile(StandIn),
    /// A profile among the files of a checkpoint, which is not there yet when the run is planned.
    Kept {
        model: ModelRole,
        file: PathBuf,
    },
}

/// A profile that stands in for rows.
#[derive(Debug)]
pub(crate) struct StandIn {
    pub(crate) file: PathBuf,
    pub(crate) rows: u64,
    /// One row of states, under the names of the columns.
    pub(crate) states: RecordBatch,
    /// The same of outputs, and whose they are.
    pub(crate) outputs: Option<(Predictor, RecordBatch)>,
}

impl Source {
    /// Opens data, or a profile of data.
    pub(crate) fn open(settings: &modelwatch_config::Source) -> Result<Self, String> {
        if let Some((scheme, file)) = settings.pattern.split_once("://")
            && let Some(model) = model_of(scheme)
        {
            let file = PathBuf::from(file);
            // Nothing but a file of the checkpoint, however the path is written.
            let is_within = file.components().all(|it| matches!(it, Component::Normal(_)));
            let wrong = || {
                format!("`{}` names no file of a checkpoint; write it as `{scheme}://reference.mwp`", settings.pattern)
            };
            return if is_within && file.file_name().is_some() { Ok(Self::Kept { model, file }) } else { Err(wrong()) };
        }
        let path = settings.path();
        if settings.format.is_none() && is_profile(&path) {
            return StandIn::open(&path).map(Self::Profile);
        }
        Dataset::of(settings).map(Self::Rows).map_err(|e| e.to_string())
    }

    /// Returns the files; what is kept with a checkpoint is none of its own, but one of the checkpoint's.
    pub(crate) fn files(&self) -> &[PathBuf] {
        match self {
            Self::Rows(it) => it.files(),
            Self::Profile(it) => slice::from_ref(&it.file),
            Self::Kept { .. } => &[],
        }
    }

    /// Returns the columns, as far as they are known.
    pub(crate) fn schema(&self) -> Option<&arrow_schema::Schema> {
        match self {
            Self::Rows(it) => Some(it.schema()),
            Self::Profile(it) => Some(it.states.schema_ref()),
            Self::Kept { .. } => None,
        }
    }
}

impl StandIn {
    /// Opens a profile.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        Self::of(path, &open(path).map_err(|e| with_cause(&e))?)
    }

    /// Returns what stands in for the rows of a profile, which errors call by that name.
    pub(crate) fn of(file: impl Into<PathBuf>, stored: &Stored) -> Result<Self, String> {
        let file = file.into();
        if stored.profile.rows() == 0 {
            return Err(format!("the profile `{}` is of no rows; make it from data that has some", file.display()));
        }
        let outputs = stored::outputs(&stored.profile).map_err(|e| e.message)?;
        Ok(Self {
            file,
            rows: stored.profile.rows(),
            states: stored::batch(&stored.profile).map_err(|e| e.message)?,
            outputs: stored.predictor.clone().map(|it| (it, outputs)),
        })
    }
}

/// The checkpoint that a path such as `checkpoint://reference.mwp` starts at.
fn model_of(scheme: &str) -> Option<ModelRole> {
    match scheme {
        "checkpoint" => Some(ModelRole::Candidate),
        "baseline" => Some(ModelRole::Baseline),
        _ => None,
    }
}

/// Returns whether the file is a profile by its first bytes, or was meant to be one by its name.
pub fn is_profile(path: &Path) -> bool {
    let mut head = Vec::new();
    let begins = whole_file::open(path).and_then(|it| it.take(file::MAGIC.len() as u64).read_to_end(&mut head));
    begins.is_ok() && (head == file::MAGIC || path.extension().is_some_and(|it| it == "mwp"))
}

pub(crate) fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_of_no_rows_make_none() {
        let nothing = || Stored { settings: Settings::STORED, predictor: None, profile: Profile::default() };
        for parts in [vec![], vec![nothing()], vec![nothing(), nothing()]] {
            let said = merge(parts).map(drop).unwrap_err().to_string();
            assert!(said.contains("of no rows"), "{said}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ref.mwp");
        std::fs::write(&file, "precious").unwrap();
        assert!(matches!(save(&file, &nothing()), Err(ProfileError::Exists { .. })));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }
}
