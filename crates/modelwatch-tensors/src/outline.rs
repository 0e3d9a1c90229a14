//! Lists tensors of files that are somewhere else, reading little of them.
//!
//! A file becomes memory of its size, into which only what its reader looks at to list its tensors is read; the system has
//! no memory for the rest of it before it is used. Of safetensors and arrays that is the header, of archives the directory
//! and the beginnings of what is in them, of the data beside an index or a model nothing. All of other files is read: those
//! formats have what they say between the values, or are written by limits of their own.

use std::{
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use memmap2::{MmapMut, MmapOptions};
use prost::bytes::Bytes;
use zip::ZipArchive;

use crate::{
    catalog::Skipped,
    error::TensorError,
    file::TensorFile,
    tensor::TensorInfo,
    tree::{Files, Tree},
};

/// The most that is read of an end, in which the header of an array lies, and of each entry of an archive.
const END: u64 = 64 << 10;
/// A smaller file, or entry of an archive, is read whole.
const SMALL: u64 = 1 << 20;
/// What says what an archive holds, however large it is.
const SAYING: [&str; 3] = [".pkl", ".json", ".h5"];

/// Returns what tensors files have, sorted by name, and what is not read of them: those of the file that [`find_weights`](crate::find_weights) finds in
/// their folder. Their values are not read, so that damage to these is not seen.
///
/// # Errors
///
/// Fails as [`TensorFile::open`] does, and where a file cannot be read.
pub fn list_tensors(files: &dyn Files) -> Result<(Vec<TensorInfo>, Vec<Skipped>), TensorError> {
    let file = TensorFile::open_in(Tree::Outlined(files), Path::new(""))?;
    Ok((file.infos().to_vec(), file.skipped().to_vec()))
}

/// Memory for one file.
pub(crate) struct Sheet<'a> {
    files: &'a dyn Files,
    path: PathBuf,
    bytes: Option<MmapMut>,
}

impl<'a> Sheet<'a> {
    pub(crate) fn of(files: &'a dyn Files, path: &Path, size: u64) -> Result<Self, TensorError> {
        let len = usize::try_from(size).map_err(|it| TensorError::io(path)(io::Error::other(it)))?;
        // None is mapped for an empty one.
        let bytes = (len > 0).then(|| MmapOptions::new().len(len).no_reserve_swap().map_anon()).transpose();
        Ok(Self { files, path: path.to_owned(), bytes: bytes.map_err(TensorError::io(path))? })
    }

    /// Reads the ends.
    pub(crate) fn ends(mut self) -> Result<Bytes, TensorError> {
        self.read(0, END)?;
        self.read(self.len().saturating_sub(END), END)?;
        Ok(self.into_bytes())
    }

    /// Reads what lists the tensors.
    pub(crate) fn table(mut self) -> Result<Bytes, TensorError> {
        self.read(0, END)?;
        match self.header() {
            Some(end) => self.read(0, end)?,
            None if self.starts_with(b"PK") => self.directory()?,
            None => self.read(0, u64::MAX)?,
        }
        Ok(self.into_bytes())
    }

    /// Reads what lists the tensors of a file that another one names: nothing of one that is data alone.
    pub(crate) fn table_beside(mut self) -> Result<Bytes, TensorError> {
        self.read(0, END)?;
        let is_data = self.header().is_none() && !self.starts_with(b"PK");
        if is_data && self.len() > SMALL && self.path.extension().is_none_or(|it| it != "index") {
            return Ok(self.into_bytes());
        }
        self.table()
    }

    /// Returns where the header ends of a file that begins with one.
    fn header(&self) -> Option<u64> {
        let bytes = self.bytes.as_deref()?;
        if bytes.starts_with(b"\x93NUMPY") {
            return Some(END);
        }
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let end = u64::from_le_bytes(*length).checked_add(8)?;
        (rest.first() == Some(&b'{') && end <= self.len()).then_some(end)
    }

    /// Reads the directory of an archive, and of each entry the beginning. What is wrong with it is for its reader to say.
    fn directory(&mut self) -> Result<(), TensorError> {
        let reader = Seeking { files: self.files, name: name(&self.path), size: self.len(), at: 0 };
        let Ok(mut zip) = ZipArchive::new(io::BufReader::with_capacity(END as usize, reader)) else {
            return self.read(0, u64::MAX);
        };
        self.read(zip.central_directory_start(), u64::MAX)?;
        for idx in 0..zip.len() {
            let Ok(entry) = zip.by_index_raw(idx) else { return self.read(0, u64::MAX) };
            let start = entry.data_start();
            let is_saying = entry.name().is_ok_and(|name| SAYING.iter().any(|it| name.ends_with(it)));
            let size = entry.compressed_size();
            let wanted = if is_saying || size <= SMALL { size } else { END };
            let from = entry.header_start();
            drop(entry);
            let Some(start) = start else { return self.read(0, u64::MAX) };
            self.read(from, start.saturating_sub(from).saturating_add(wanted))?;
        }
        Ok(())
    }

    fn starts_with(&self, mark: &[u8]) -> bool {
        self.bytes.as_deref().is_some_and(|it| it.starts_with(mark))
    }

    fn len(&self) -> u64 {
        self.bytes.as_deref().map_or(0, |it| it.len() as u64)
    }

    /// Reads a range, as far as there is one.
    fn read(&mut self, from: u64, n: u64) -> Result<(), TensorError> {
        let Some(bytes) = &mut self.bytes else { return Ok(()) };
        let size = bytes.len() as u64;
        let range = from.min(size) as usize..from.saturating_add(n).min(size) as usize;
        let name = name(&self.path);
        self.files.read_at(&name, range.start as u64, &mut bytes[range]).map_err(TensorError::io(&self.path))
    }

    fn into_bytes(self) -> Bytes {
        self.bytes.map_or_else(Bytes::new, Bytes::from_owner)
    }
}

/// Returns the name of the file at a path of the tree.
pub(crate) fn name(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|it| it.to_string_lossy()).collect();
    parts.join("/")
}

/// A file as a stream.
struct Seeking<'a> {
    files: &'a dyn Files,
    name: String,
    size: u64,
    at: u64,
}

impl Read for Seeking<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = out.len().min(usize::try_from(self.size.saturating_sub(self.at)).unwrap_or(usize::MAX));
        self.files.read_at(&self.name, self.at, &mut out[..n])?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Seeking<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(it) => it,
            SeekFrom::End(it) => self.size.checked_add_signed(it).ok_or(io::ErrorKind::InvalidInput)?,
            SeekFrom::Current(it) => self.at.checked_add_signed(it).ok_or(io::ErrorKind::InvalidInput)?,
        };
        Ok(self.at)
    }
}
