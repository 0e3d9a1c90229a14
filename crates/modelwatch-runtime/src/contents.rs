//! The tensors of stored checkpoints: compared with each other, and written in another format.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter},
    path::{Path, PathBuf},
};

use modelwatch_sdk::{
    Error, ErrorKind, Host,
    report::float,
    store::{CheckpointReader, TensorEntry},
};
use modelwatch_stats::change::ChangeSums;
use modelwatch_tensors::{
    DType, Files, Lost, Skipped, TensorError, TensorFile, TensorInfo, TensorRef, TensorSource, WriteError,
    has_same_elements, list_tensors, write_npz, write_safetensors,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{CHUNK, CheckpointError, Laid, Pieces, lay_out};

/// The tensors of a checkpoint: those that were stored beside its files, and those of its weights file.
pub struct Contents<'a> {
    reader: &'a dyn CheckpointReader,
    beside: Vec<TensorInfo>,
    file: Option<TensorFile>,
    /// Where the file is, for as long as this value.
    _laid: Option<Laid>,
}

/// Why the tensors of a checkpoint cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentsError {
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// None of its files is a weights file, or nobody knows which.
    #[error("cannot read the tensors of the checkpoint: {0}")]
    NoTensors(String),
    /// Its weights file cannot be read.
    #[error("cannot read the tensors of the checkpoint: {0}")]
    Tensors(#[from] TensorError),
    /// Tensors are of types that the format does not have, so that what is written would lack them.
    #[error(
        "the tensors cannot be written without loss, since {format} has no such types: {}; without `--as` the files are \
         written as they came",
        lost.join(", ")
    )]
    Lossy {
        /// The format.
        format: &'static str,
        /// The tensors, and why each has no place there.
        lost: Vec<String>,
    },
    /// A tensor is of a type that a newer version knows.
    #[error("the tensor `{name}` is of the type `{dtype}`, which this version does not know; use a newer one")]
    UnknownType {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// A tensor is stored beside the files and in a file.
    #[error("the checkpoint has two tensors `{0}`: one stored beside its files and one in a file")]
    Twice(String),
    /// The tensors cannot be written.
    #[error("{0}")]
    Write(#[from] WriteError),
    /// The file cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A format in which tensors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenFormat {
    /// Safetensors; holds every type.
    Safetensors,
    /// A NumPy archive; has no bfloat16.
    Npz,
}

impl WrittenFormat {
    fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Npz => "NPZ",
        }
    }

    /// Returns whether the format has the type of a tensor that is not read.
    fn has(self, tensor: &Skipped) -> bool {
        match self {
            Self::Safetensors => tensor.is_of_safetensors(),
            Self::Npz => tensor.is_of_numpy(),
        }
    }
}

/// How a tensor differs between two checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TensorDifference {
    /// The tensor.
    pub name: String,
    /// What became of it.
    #[serde(flatten)]
    pub what: Difference,
}

/// What became of a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Difference {
    /// It is the same, bit by bit.
    Same,
    /// Only the second checkpoint has it.
    Added {
        /// Its type and shape.
        form: String,
    },
    /// Only the first checkpoint has it.
    Removed {
        /// Its type and shape.
        form: String,
    },
    /// Its shape is another, and maybe its type.
    Reshaped {
        /// Type and shape before.
        from: String,
        /// Type and shape after.
        to: String,
    },
    /// Its elements are of another type; its shape is the same.
    Retyped {
        /// The type before.
        from: String,
        /// The type after.
        to: String,
        /// The shape.
        shape: Vec<u64>,
    },
    /// Its bytes changed, and by how much nobody knows: its type is not read.
    Unread {
        /// Why it is not read.
        why: String,
    },
    /// Whether it changed nobody knows: it is not read.
    NotCompared {
        /// Why it is not read.
        why: String,
    },
    /// Values changed.
    Changed {
        /// The number of elements.
        elements: u64,
        /// The share of elements that differ in a bit.
        share: f64,
        /// ‖b − a‖₂ / ‖a‖₂.
        #[serde(with = "float")]
        #[schemars(with = "float::Number")]
        relative: f64,
        /// max |b − a|.
        #[serde(with = "float")]
        #[schemars(with = "float::Number")]
        max_delta: f64,
        /// ‖a‖₂.
        #[serde(with = "float")]
        #[schemars(with = "float::Number")]
        from_l2: f64,
        /// ‖b‖₂.
        #[serde(with = "float")]
        #[schemars(with = "float::Number")]
        to_l2: f64,
        /// The cosine of the two.
        #[serde(with = "float")]
        #[schemars(with = "float::Number")]
        cosine: f64,
    },
}

/// The tensors of a checkpoint, by what is known without reading their values.
pub struct Listed {
    /// Those that are read, sorted by name.
    pub tensors: Vec<TensorInfo>,
    /// Those whose types are not read, sorted by name.
    pub unread: Vec<Skipped>,
}

/// Returns what tensors a checkpoint has: those that were stored beside its files, or else those of its weights
/// file. Little of that is read, and nothing is written: what is damaged of the rest does not show. What is read is held
/// against the digests of its chunks, not against those of whole files.
///
/// # Errors
/// When what is read does not verify or is damaged, or, as [`ContentsError::NoTensors`], when no file is of a format whose
/// tensors are read.
pub fn list(reader: &dyn CheckpointReader, host: &dyn Host) -> Result<Listed, ContentsError> {
    let beside = beside(reader)?;
    if !beside.is_empty() {
        return Ok(Listed { tensors: beside, unread: Vec::new() });
    }
    let names = reader.manifest().files.iter().map(|it| (it.name.clone(), it.size)).collect();
    let files = Stored { reader, host, names, failure: RefCell::default() };
    let found = list_tensors(&files);
    match files.failure.into_inner() {
        Some(e) => Err(CheckpointError::from(e).into()),
        None => match found {
            Ok((tensors, mut unread)) => {
                unread.retain(|it| it.lost != Lost::Nothing);
                Ok(Listed { tensors, unread })
            }
            Err(e) if is_of_no_format(&e) => Err(ContentsError::NoTensors(e.to_string())),
            Err(e) => Err(e.into()),
        },
    }
}

/// Returns whether nobody knows of tensors there; anything else says that what is there cannot be read. A pickle of more
/// than tensors is stored as it is beside the weights.
fn is_of_no_format(e: &TensorError) -> bool {
    use TensorError::{Ambiguous, Class, NotFound, UnknownFormat, Unsupported};
    matches!(e, Ambiguous { .. } | Class { .. } | NotFound { .. } | Unsupported { .. } | UnknownFormat { .. })
}

/// The tensors that were stored beside the files.
fn beside(reader: &dyn CheckpointReader) -> Result<Vec<TensorInfo>, ContentsError> {
    let tensors = reader.manifest().tensors.iter().map(|it| {
        let unknown = || ContentsError::UnknownType { name: it.name.clone(), dtype: it.dtype.clone() };
        let dtype = DType::parse(&it.dtype).ok_or_else(unknown)?;
        Ok(TensorInfo { name: it.name.clone(), dtype, shape: it.shape.clone() })
    });
    tensors.collect()
}

/// The files of a checkpoint, where they are stored.
struct Stored<'a> {
    reader: &'a dyn CheckpointReader,
    host: &'a dyn Host,
    names: Vec<(String, u64)>,
    /// Why the store did not give something.
    failure: RefCell<Option<Error>>,
}

impl Stored<'_> {
    fn read(&self, name: &str, mut offset: u64, mut out: &mut [u8]) -> modelwatch_sdk::Result<()> {
        while !out.is_empty() {
            if self.host.is_cancelled() {
                return Err(self.host.cancelled());
            }
            let piece = out.len().min(CHUNK);
            let n = self.reader.read(name, offset, &mut out[..piece])?;
            if n == 0 {
                let what =
                    format!("the file `{}` ends at {offset}, before what its manifest says", name.escape_debug());
                return Err(
                    Error::new(ErrorKind::Corrupt, what).with_help("`modelwatch store scrub` tells what is damaged")
                );
            }
            offset += n as u64;
            out = &mut out[n..];
        }
        Ok(())
    }
}

impl Files for Stored<'_> {
    fn list(&self) -> &[(String, u64)] {
        &self.names
    }

    fn read_at(&self, name: &str, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read(name, offset, out).map_err(|e| {
            let failed = io::Error::other(e.message.clone());
            self.failure.borrow_mut().get_or_insert(e);
            failed
        })
    }
}

impl<'a> Contents<'a> {
    /// Reads what tensors a checkpoint has; their values are read and verified whenever they are asked for.
    ///
    /// # Errors
    /// When its files do not verify, or none of them is of a format whose tensors are read.
    pub fn of(reader: &'a dyn CheckpointReader, host: &dyn Host) -> Result<Self, ContentsError> {
        let beside = beside(reader)?;
        // What was stored tensor by tensor needs no weights file among its files.
        let (file, laid) = match &beside[..] {
            [] => {
                let laid = lay_out(reader, host)?;
                let opened = TensorFile::open(laid.path());
                let file = opened.map_err(|e| ContentsError::NoTensors(without(&laid, &e.to_string())))?;
                (Some(file), Some(laid))
            }
            _ => match lay_out(reader, host) {
                Ok(laid) => (TensorFile::open(laid.path()).ok(), Some(laid)),
                Err(e) => return Err(e.into()),
            },
        };
        let res = Self { reader, beside, file, _laid: laid };
        match res.beside.iter().find(|it| res.file.as_ref().is_some_and(|file| file.get(&it.name).is_some())) {
            Some(it) => Err(ContentsError::Twice(it.name.clone())),
            None => Ok(res),
        }
    }

    /// Returns what the tensors are: first those that were stored beside the files, then those of the weights file.
    pub fn infos(&self) -> impl Iterator<Item = &TensorInfo> {
        self.beside.iter().chain(self.file.iter().flat_map(TensorFile::infos))
    }

    /// Fails where the weights file was cut off while it was read.
    fn check(&self) -> Result<(), TensorError> {
        self.file.as_ref().map_or(Ok(()), TensorFile::check)
    }

    /// Returns what is no tensor here only because its type is not read.
    fn unread(&self) -> impl Iterator<Item = &Skipped> {
        self.file.iter().flat_map(TensorFile::skipped).filter(|it| it.lost != Lost::Nothing)
    }

    /// Writes all tensors into a new file.
    ///
    /// # Errors
    /// When one of them is of a type that the format cannot hold without loss, or that nobody knows, or the file exists or
    /// cannot be written.
    pub fn write(&self, format: WrittenFormat, path: &Path) -> Result<(), ContentsError> {
        let lost = self.unread().filter(|it| !format.has(it));
        let lost: Vec<_> = lost.map(|it| format!("`{}` {}", it.name.escape_debug(), it.reason)).collect();
        if !lost.is_empty() {
            return Err(ContentsError::Lossy { format: format.name(), lost });
        }
        let io = |source| ContentsError::Io { path: path.to_owned(), source };
        let file = File::create_new(path).map_err(io)?;
        let mut to = BufWriter::new(&file);
        let written = match format {
            WrittenFormat::Safetensors => write_safetensors(&mut to, self, &BTreeMap::new()),
            WrittenFormat::Npz => write_npz(&mut to, self),
        };
        drop(to);
        match written.and_then(|()| Ok(self.check()?)) {
            Ok(()) => file.sync_all().map_err(io),
            Err(e) => {
                // Half a file helps nobody.
                drop(file);
                let _ = std::fs::remove_file(path);
                Err(e.into())
            }
        }
    }
}

impl TensorSource for Contents<'_> {
    fn n_tensors(&self) -> usize {
        self.beside.len() + self.file.as_ref().map_or(0, TensorFile::len)
    }

    fn info(&self, idx: usize) -> &TensorInfo {
        match (self.beside.get(idx), &self.file) {
            (Some(it), _) => it,
            (None, Some(file)) => file.info(idx - self.beside.len()),
            (None, None) => unreachable!("there are no tensors but those beside the files"),
        }
    }

    fn each_piece(&self, idx: usize, take: &mut dyn FnMut(&[u8]) -> Result<(), WriteError>) -> Result<(), WriteError> {
        let mut pieces = self.pieces(idx)?;
        while let Some(it) = pieces.next()? {
            take(it)?;
        }
        Ok(())
    }

    fn unread(&self) -> Vec<(&TensorFile, &Skipped)> {
        self.file.iter().flat_map(|file| Contents::unread(self).map(move |it| (file, it))).collect()
    }
}

/// The elements of a tensor, piece by piece.
enum Elements<'a> {
    /// From the store, verified by the time that all were handed out.
    Stored(&'a str, Box<Pieces<'a>>),
    /// From a file that was verified, and how many bytes were handed out.
    Read(Cow<'a, [u8]>, usize),
}

impl Contents<'_> {
    /// Returns what the manifest says of a tensor, unless it is in a file.
    fn stored(&self, idx: usize) -> Option<&TensorEntry> {
        self.reader.manifest().tensors.get(idx)
    }

    fn pieces(&self, idx: usize) -> Result<Elements<'_>, TensorError> {
        match self.stored(idx) {
            Some(it) => {
                let pieces = Pieces::of_tensor(self.reader, it).map_err(|e| unread(&it.name, &e))?;
                Ok(Elements::Stored(&it.name, Box::new(pieces)))
            }
            None => {
                let file = self.file.as_ref().expect("it is counted only where there is one");
                Ok(Elements::Read(file.get(&file.info(idx - self.beside.len()).name).expect("it is listed")?.bytes, 0))
            }
        }
    }
}

impl Elements<'_> {
    /// Returns the next bytes, [`CHUNK`] of them but for the last ones.
    fn next(&mut self) -> Result<Option<&[u8]>, TensorError> {
        match self {
            Self::Stored(name, pieces) => pieces.next(&()).map_err(|e| unread(name, &e)),
            Self::Read(bytes, at) => {
                let piece = &bytes[*at..bytes.len().min(*at + CHUNK)];
                *at += piece.len();
                Ok((!piece.is_empty()).then_some(piece))
            }
        }
    }
}

fn unread(name: &str, why: &CheckpointError) -> TensorError {
    TensorError::Io { path: PathBuf::from(name), source: io::Error::other(why.to_string()) }
}

/// What a checkpoint has under a name.
enum Entry<'a> {
    /// A tensor, by its number.
    Read(usize),
    Unread(&'a Skipped),
}

impl Entry<'_> {
    /// Returns type and shape, as far as they are known.
    fn type_and_shape<'s>(&'s self, of: &'s Contents<'_>) -> Option<(&'s str, &'s [u64])> {
        match self {
            Self::Read(idx) => Some((of.info(*idx).dtype.name(), &of.info(*idx).shape)),
            Self::Unread(it) => it.element_type().zip(it.shape()),
        }
    }

    fn form(&self, of: &Contents<'_>) -> String {
        match (self, self.type_and_shape(of)) {
            (Self::Unread(it), None) => it.reason.clone(),
            (_, found) => {
                let (dtype, shape) = found.unwrap_or_default();
                format!("{dtype} {shape:?}")
            }
        }
    }
}

/// Returns how two tensors differ that are not of one type and shape.
fn difference_of_forms(
    (of_old, old): (&Contents<'_>, &Entry<'_>),
    (of_new, new): (&Contents<'_>, &Entry<'_>),
) -> Difference {
    match (old.type_and_shape(of_old), new.type_and_shape(of_new)) {
        (Some((from, shape)), Some((to, new_shape))) if from != to && shape == new_shape => {
            Difference::Retyped { from: from.to_owned(), to: to.to_owned(), shape: shape.to_vec() }
        }
        _ => Difference::Reshaped { from: old.form(of_old), to: new.form(of_new) },
    }
}

fn entries<'a>(of: &'a Contents<'_>) -> BTreeMap<String, Entry<'a>> {
    let read = (0..of.n_tensors()).map(|idx| (of.info(idx).name.clone(), Entry::Read(idx)));
    let unread = of.unread().map(|it| (it.name.clone(), Entry::Unread(it)));
    unread.chain(read).collect()
}

/// Compares two tensors that are not read; nothing where they are not of one type and shape.
fn difference_of_unread(
    (from, old): (&Contents<'_>, &Skipped),
    (to, new): (&Contents<'_>, &Skipped),
) -> Result<Option<Difference>, ContentsError> {
    let is_one_type = match (old.element_type(), new.element_type()) {
        (Some(old), Some(new)) => old == new,
        _ => old.reason == new.reason,
    };
    if !is_one_type || old.shape() != new.shape() {
        return Ok(None);
    }
    let (Some(of_old), Some(of_new)) = (&from.file, &to.file) else { return Ok(None) };
    let why = new.reason.clone();
    Ok(Some(match has_same_elements((of_old, old), (of_new, new))? {
        Some(true) => Difference::Same,
        Some(false) => Difference::Unread { why },
        None => Difference::NotCompared { why },
    }))
}

/// Returns a message with the files as they are called in the checkpoint, not where they were laid out.
fn without(laid: &Laid, message: &str) -> String {
    let folder = laid.path().display().to_string();
    message.replace(&format!("{folder}/"), "").replace(&folder, "the checkpoint")
}

/// Compares the tensors of two checkpoints by name, sorted by name. One whose type is not read is compared by its bytes, where it is
/// stored as one run of them.
///
/// # Errors
/// When a tensor cannot be read.
pub fn compare(
    from: &Contents<'_>,
    to: &Contents<'_>,
    host: &dyn Host,
) -> Result<Vec<TensorDifference>, ContentsError> {
    let (old, new) = (entries(from), entries(to));
    let mut res = Vec::new();
    let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for name in names {
        if host.is_cancelled() {
            return Err(CheckpointError::from(host.cancelled()).into());
        }
        let what = match (old.get(name), new.get(name)) {
            (Some(old @ Entry::Read(a)), Some(new @ Entry::Read(b))) => {
                let (before, after) = (from.info(*a), to.info(*b));
                if (before.dtype, &before.shape) == (after.dtype, &after.shape) {
                    difference(from, *a, to, *b)?
                } else {
                    difference_of_forms((from, old), (to, new))
                }
            }
            (Some(old @ Entry::Unread(a)), Some(new @ Entry::Unread(b))) => {
                let found = difference_of_unread((from, a), (to, b))?;
                found.unwrap_or_else(|| difference_of_forms((from, old), (to, new)))
            }
            (Some(old), Some(new)) => difference_of_forms((from, old), (to, new)),
            (Some(it), None) => Difference::Removed { form: it.form(from) },
            (None, Some(it)) => Difference::Added { form: it.form(to) },
            (None, None) => continue,
        };
        res.push(TensorDifference { name: name.clone(), what });
    }
    from.check()?;
    to.check()?;
    Ok(res)
}

/// Compares two tensors of one type and shape.
fn difference(from: &Contents<'_>, a: usize, to: &Contents<'_>, b: usize) -> Result<Difference, ContentsError> {
    let (before, after) = (from.info(a), to.info(b));
    if let (Some(old), Some(new)) = (from.stored(a), to.stored(b))
        && old.digest == new.digest
    {
        return Ok(Difference::Same);
    }
    let (mut old, mut new) = (from.pieces(a)?, to.pieces(b)?);
    if let (Elements::Read(old, _), Elements::Read(new, _)) = (&old, &new)
        && old == new
    {
        return Ok(Difference::Same);
    }
    let mut sums = ChangeSums::default();
    // Of one shape, so that both end at once, or one of them does not verify.
    while let (Some(old), Some(new)) = (old.next()?, new.next()?) {
        add(&mut sums, TensorRef { info: before, bytes: old }, TensorRef { info: after, bytes: new });
    }
    if sums.changed() == 0 {
        return Ok(Difference::Same);
    }
    let it = sums.finish();
    Ok(Difference::Changed {
        elements: it.n,
        share: it.changed as f64 / it.n as f64,
        relative: it.relative(),
        max_delta: it.max_delta,
        from_l2: it.old_l2,
        to_l2: it.new_l2,
        cosine: it.cosine,
    })
}

fn add(sums: &mut ChangeSums, old: TensorRef<'_>, new: TensorRef<'_>) {
    if let (Some(old), Some(new)) = (old.to_wide_iter(), new.to_wide_iter()) {
        return old.zip(new).for_each(|(a, b)| sums.add_integers(a, b));
    }
    let size = old.info.dtype.size();
    let bits = old.bytes.chunks_exact(size).zip(new.bytes.chunks_exact(size));
    for ((a, b), (old_bits, new_bits)) in old.to_f64_iter().zip(new.to_f64_iter()).zip(bits) {
        sums.add(a, b, old_bits != new_bits);
    }
}
