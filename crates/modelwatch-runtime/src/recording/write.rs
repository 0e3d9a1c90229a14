//! A file that is there whole or not at all.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use arrow_array::RecordBatch;
use arrow_ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use tempfile::NamedTempFile;

use super::RecordError;

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
}

enum To {
    Arrow(Box<FileWriter<File>>),
    Parquet(Box<ArrowWriter<File>>),
}

impl Writer {
    pub(super) fn new(path: &Path) -> Result<Self, RecordError> {
        let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default().to_ascii_lowercase();
        let format = match extension.as_str() {
            "parquet" => Format::Parquet,
            "arrow" | "ipc" | "feather" => Format::Arrow,
            _ => return Err(RecordError::Format { path: path.to_owned() }),
        };
        // In the same folder, since a rename does not leave a file system.
        let dir = folder(path);
        let file = tempfile::Builder::new().prefix(".recording-").tempfile_in(dir);
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
                })
            }
        };
        match to {
            To::Arrow(it) => it.write(batch).map_err(io::Error::other),
            To::Parquet(it) => it.write(batch).map_err(io::Error::other),
        }
    }

    /// Ends the file, makes it durable and gives it its name.
    pub(super) fn finish(self, replace: bool) -> Result<(), RecordError> {
        let Self { path, file, to, .. } = self;
        let failed = |source| RecordError::Write { path: path.clone(), source };
        match to {
            Some(To::Arrow(mut it)) => it.finish().map_err(|e| failed(io::Error::other(e)))?,
            Some(To::Parquet(it)) => drop(it.close().map_err(|e| failed(io::Error::other(e)))?),
            None => {}
        }
        readable(file.as_file()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        let named = if replace { file.persist(&path) } else { file.persist_noclobber(&path) };
        named.map_err(|e| match e.error.kind() {
            io::ErrorKind::AlreadyExists => RecordError::Exists { path: path.clone() },
            _ => failed(e.error),
        })?;
        // The name is durable with the folder. Where a folder cannot be synced there is nothing more to do.
        if let Ok(dir) = File::open(folder(&path)) {
            let _ = dir.sync_all();
        }
        Ok(())
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Temporary files are their owner's alone; what was recorded is for everyone who may see the folder.
#[cfg(unix)]
fn readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &File) -> io::Result<()> {
    Ok(())
}
