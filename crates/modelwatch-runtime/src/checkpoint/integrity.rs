//! Whether what a store gives is what a checkpoint's id stands for.

use modelwatch_sdk::{
    DType, Error, ErrorKind, Host, TensorView,
    store::{CheckpointId, CheckpointManifest, CheckpointReader, CheckpointStore, FileEntry, TensorEntry},
};

use super::{CHUNK, CheckpointError, id_of_content};

/// Holds what a store says is in a checkpoint against the id, which stands for all of it.
///
/// # Errors
/// `Corrupt` where it is another content, or out of order.
pub(crate) fn check_manifest(id: &CheckpointId, manifest: &CheckpointManifest) -> modelwatch_sdk::Result<()> {
    let CheckpointManifest { id: said, metadata, files, tensors } = manifest;
    let is_sorted = files.is_sorted_by(|a, b| a.name < b.name) && tensors.is_sorted_by(|a, b| a.name < b.name);
    if said == id && is_sorted && id_of_content(metadata, files, tensors)? == *id {
        Ok(())
    } else {
        Err(is_another(id, "the manifest"))
    }
}

/// Holds what a store gave as the tensor of that name against a manifest that was checked.
///
/// # Errors
/// `Corrupt` where it is another one.
pub(crate) fn check_tensor(
    manifest: &CheckpointManifest,
    name: &str,
    found: Option<&TensorView<'_>>,
) -> modelwatch_sdk::Result<()> {
    let listed = manifest.tensors.binary_search_by(|it| it.name.as_str().cmp(name)).ok();
    let listed = listed.map(|at| &manifest.tensors[at]);
    let as_listed = |it: &TensorView<'_>| TensorEntry {
        name: it.name.to_owned(),
        dtype: it.dtype.to_string(),
        shape: it.shape.to_vec(),
        digest: blake3::hash(it.bytes).to_hex().to_string(),
    };
    if found.map(as_listed).as_ref() == listed {
        Ok(())
    } else {
        Err(is_another(&manifest.id, &format!("the tensor `{}`", name.escape_debug())))
    }
}

/// Reads every byte of a checkpoint, in pieces, and holds its files and tensors against their digests.
///
/// # Errors
/// When something does not verify.
pub fn verify(store: &dyn CheckpointStore, host: &dyn Host, id: &CheckpointId) -> Result<(), CheckpointError> {
    let reader = store.open(host, id)?;
    for file in &reader.manifest().files {
        each_chunk(reader.as_ref(), host, file, |_| Ok(()))?;
    }
    for tensor in &reader.manifest().tensors {
        each_piece(Pieces::of_tensor(reader.as_ref(), tensor)?, host, |_| Ok(()))?;
    }
    Ok(())
}

/// Hands out a file piece by piece, and returns how many bytes it has.
///
/// # Errors
/// Those of reading and of `take`; at the end also where it is another file than the manifest lists, so that what was
/// handed out is not to be used.
pub(crate) fn each_chunk(
    reader: &dyn CheckpointReader,
    host: &dyn Host,
    file: &FileEntry,
    take: impl FnMut(&[u8]) -> Result<(), CheckpointError>,
) -> Result<u64, CheckpointError> {
    each_piece(Pieces::of_file(reader, file), host, take)
}

/// Hands out all pieces, and returns how many bytes they have.
fn each_piece(
    mut pieces: Pieces<'_>,
    host: &dyn Host,
    mut take: impl FnMut(&[u8]) -> Result<(), CheckpointError>,
) -> Result<u64, CheckpointError> {
    while let Some(it) = pieces.next(host)? {
        take(it)?;
    }
    Ok(pieces.size)
}

/// A file or tensor of a checkpoint piece by piece, held against what the manifest lists.
pub(crate) struct Pieces<'a> {
    reader: &'a dyn CheckpointReader,
    part: Part<'a>,
    size: u64,
    digest: &'a str,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Part<'a> {
    File(&'a str),
    Tensor(&'a str),
}

impl<'a> Pieces<'a> {
    fn of_file(reader: &'a dyn CheckpointReader, file: &'a FileEntry) -> Self {
        Self::new(reader, Part::File(&file.name), file.size, &file.digest)
    }

    /// Returns those of a tensor that was stored beside the files.
    ///
    /// # Errors
    /// When it is of a type that only a newer version knows.
    pub(crate) fn of_tensor(
        reader: &'a dyn CheckpointReader,
        tensor: &'a TensorEntry,
    ) -> Result<Self, CheckpointError> {
        let TensorEntry { name, dtype, shape, digest } = tensor;
        let Some(known) = DType::parse(dtype) else {
            let (name, dtype) = (name.escape_debug(), dtype.escape_debug());
            let what = format!("the tensor `{name}` is of the type `{dtype}`, which this version does not know");
            return Err(Error::input(what).with_help("use a newer version").into());
        };
        let size = shape.iter().fold(known.size() as u64, |res, &it| res.saturating_mul(it));
        Ok(Self::new(reader, Part::Tensor(name), size, digest))
    }

    fn new(reader: &'a dyn CheckpointReader, part: Part<'a>, size: u64, digest: &'a str) -> Self {
        Self { reader, part, size, digest, hasher: blake3::Hasher::new(), buffer: vec![0; CHUNK] }
    }

    /// Returns the next piece, of [`CHUNK`] bytes but for the last one, and nothing after that.
    ///
    /// # Errors
    /// Those of reading; at the end also where the whole is another one than the manifest lists, so that what was handed
    /// out is not to be used.
    pub(crate) fn next(&mut self, host: &dyn Host) -> Result<Option<&[u8]>, CheckpointError> {
        if host.is_cancelled() {
            return Err(host.cancelled().into());
        }
        let mut n = 0;
        while n < CHUNK {
            let (offset, out) = (self.hasher.count() + n as u64, &mut self.buffer[n..]);
            let n_read = match self.part {
                Part::File(it) => self.reader.read(it, offset, out)?,
                Part::Tensor(it) => self.reader.read_tensor(it, offset, out)?,
            };
            if n_read == 0 {
                break;
            }
            n += n_read;
        }
        self.hasher.update(&self.buffer[..n]);
        // A store that gives more than there is may give it without end.
        if n > 0 && self.hasher.count() <= self.size {
            return Ok(Some(&self.buffer[..n]));
        }
        if self.hasher.count() == self.size && self.hasher.finalize().to_hex().as_str() == self.digest {
            return Ok(None);
        }
        let what = match self.part {
            Part::File(it) => format!("the file `{}`", it.escape_debug()),
            Part::Tensor(it) => format!("the tensor `{}`", it.escape_debug()),
        };
        Err(is_another(&self.reader.manifest().id, &what).into())
    }
}

/// Returns the error of a store that gives something else as a part of a checkpoint.
fn is_another(id: &CheckpointId, what: &str) -> Error {
    let what = format!("{what} of the checkpoint `{}` is not the one that its id stands for", id.short());
    Error::new(ErrorKind::Corrupt, what)
        .with_help("`modelwatch store scrub` tells what is damaged; where nothing is, the store's plugin is at fault")
}
