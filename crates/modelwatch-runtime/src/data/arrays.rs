//! The arrays of an NPY file or an NPZ archive, which is opened once however many there are.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use modelwatch_config::DataFormat;
use modelwatch_tensors::read_npy_header;
use npyz::NpyHeader;
use zip::ZipArchive;

use super::DataError;

/// The name of the one array of an NPY file.
const NPY_COLUMN: &str = "x";

/// An archive with more arrays than this is refused.
const MAX_ARRAYS: usize = 4096;

/// A file of arrays. Clones read it independently of each other.
#[derive(Clone)]
pub(super) struct Arrays {
    file: PathBuf,
    content: Content,
}

#[derive(Clone)]
enum Content {
    One(Handle),
    Archive(ZipArchive<Handle>),
}

impl Arrays {
    pub(super) fn open(file: &Path, format: DataFormat) -> Result<Self, DataError> {
        let handle = Handle::open(file).map_err(|e| DataError::Io { file: file.to_owned(), source: e })?;
        let content = match format {
            DataFormat::Npy => Content::One(handle),
            _ => Content::Archive(ZipArchive::new(handle).map_err(|e| DataError::damaged(file, "", e))?),
        };
        Ok(Self { file: file.to_owned(), content })
    }

    /// Returns whether there can be other arrays beside one.
    pub(super) fn is_archive(&self) -> bool {
        matches!(self.content, Content::Archive(_))
    }

    pub(super) fn names(&self) -> Result<Vec<String>, DataError> {
        let Content::Archive(archive) = &self.content else { return Ok(vec![NPY_COLUMN.to_owned()]) };
        if archive.len() > MAX_ARRAYS {
            return Err(DataError::broken(&self.file, "", format!("it has more than {MAX_ARRAYS} arrays")));
        }
        let names = archive.file_names().collect::<Result<Vec<_>, _>>();
        let names = names.map_err(|e| DataError::damaged(&self.file, "", e))?;
        Ok(names.iter().filter_map(|it| it.strip_suffix(".npy")).map(str::to_owned).collect())
    }

    /// Calls with the header of an array and what its elements are read from.
    pub(super) fn with<T>(
        &mut self,
        name: &str,
        use_it: impl FnOnce(&NpyHeader, &mut dyn Read) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        let file = &self.file;
        match &mut self.content {
            Content::One(it) => {
                it.rewind().map_err(|e| DataError::Io { file: file.clone(), source: e })?;
                use_it(&header(file, name, it)?, it)
            }
            Content::Archive(it) => {
                let mut entry = it.by_name(&format!("{name}.npy")).map_err(|e| damaged(file, name, e))?;
                use_it(&header(file, name, &mut entry)?, &mut entry)
            }
        }
    }
}

fn header(file: &Path, name: &str, reader: &mut dyn Read) -> Result<NpyHeader, DataError> {
    let bytes = read_npy_header(reader).map_err(|e| damaged(file, name, e))?;
    NpyHeader::from_reader(&bytes[..]).map_err(|e| damaged(file, name, e))
}

pub(super) fn damaged(file: &Path, name: &str, reason: impl ToString) -> DataError {
    DataError::damaged(file, format!("array `{name}`"), reason)
}

/// A place in an open file. A clone is at its start.
struct Handle(BufReader<Place>);

struct Place {
    file: Arc<File>,
    at: u64,
}

impl Handle {
    fn open(file: &Path) -> io::Result<Self> {
        Ok(Self::at_start(Arc::new(File::open(file)?)))
    }

    fn at_start(file: Arc<File>) -> Self {
        Self(BufReader::new(Place { file, at: 0 }))
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::at_start(Arc::clone(&self.0.get_ref().file))
    }
}

impl Read for Handle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for Handle {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl Read for Place {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = read_at(&self.file, buffer, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Place {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, at)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, at)
}
