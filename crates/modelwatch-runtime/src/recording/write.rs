//! Rows into a file, in the format that its name says.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use arrow_array::RecordBatch;
use arrow_ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use tempfile::NamedTempFile;

use super::{RecordError, arrays::Arrays};
use crate::whole_file;

/// Writes rows into a file beside the one that is to be.
pub(super) struct Writer {
    path: PathBuf,
    file: NamedTempFile,
    format: Format,
    /// Opened with the first batch, which says what the columns are.
    to: Option<To>,
}

#[derive(Clone, Copy)]
enum Format {
    Arrow,
    Parquet,
    Npz,
}

enum To {
    Arrow(Box<FileWriter<File>>),
    Parquet(Box<ArrowWriter<File>>),
    Npz(Arrays, File),
}

impl Writer {
    pub(super) fn new(path: &Path) -> Result<Self, RecordError> {
        let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default().to_ascii_lowercase();
        let format = match extension.as_str() {
            "parquet" => Format::Parquet,
            "arrow" | "ipc" | "feather" => Format::Arrow,
            "npz" => Format::Npz,
            _ => return Err(RecordError::Format { path: path.to_owned() }),
        };
        let file = whole_file::beside(path);
        let file = file.map_err(|source| RecordError::Write { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, format, to: None })
    }

    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), RecordError> {
        let path = self.path.clone();
        self.try_add(batch).map_err(|source| RecordError::Write { path, source })
    }

    fn try_add(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let to = match &mut self.to {
            Some(it) => it,
            None => {
                let (file, schema) = (self.file.as_file().try_clone()?, batch.schema());
                self.to.insert(match self.format {
                    Format::Arrow => To::Arrow(Box::new(FileWriter::try_new(file, &schema).map_err(io::Error::other)?)),
                    Format::Parquet => {
                        To::Parquet(Box::new(ArrowWriter::try_new(file, schema, None).map_err(io::Error::other)?))
                    }
                    Format::Npz => To::Npz(Arrays::new(batch, whole_file::folder(&self.path))?, file),
                })
            }
        };
        match to {
            To::Arrow(it) => it.write(batch).map_err(io::Error::other),
            To::Parquet(it) => it.write(batch).map_err(io::Error::other),
            To::Npz(it, _) => it.add(batch),
        }
    }

    /// Ends the file, makes it durable and gives it its name.
    pub(super) fn finish(self, replace: bool) -> Result<(), RecordError> {
        let Self { path, file, to, .. } = self;
        let failed = |source| RecordError::Write { path: path.clone(), source };
        match to {
            Some(To::Arrow(mut it)) => it.finish().map_err(|e| failed(io::Error::other(e)))?,
            Some(To::Parquet(it)) => drop(it.close().map_err(|e| failed(io::Error::other(e)))?),
            Some(To::Npz(it, to)) => it.finish(to).map_err(failed)?,
            None => {}
        }
        whole_file::publish(file, &path, replace).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => RecordError::Exists { path: path.clone() },
            _ => failed(e),
        })
    }
}
