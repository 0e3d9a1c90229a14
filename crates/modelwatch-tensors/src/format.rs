//! Tells file formats apart, by content first.

use std::{fmt, path::Path};

use prost::bytes::Bytes;

use crate::{error::TensorError, mmap::whole, pytorch, tensorflow::is_table, tree::Tree};

/// The name of the file that makes a folder a SavedModel.
pub(crate) const SAVED_MODEL_FILE: &str = "saved_model.pb";
/// The files that make a folder a model, each with the model's format.
pub(crate) const MODEL_FOLDERS: [(&str, Format); 2] =
    [(SAVED_MODEL_FILE, Format::SavedModel), ("graph.nnef", Format::Nnef)];
const MAX_TOP_LEVEL_FIELDS: usize = 10_000_000;

/// A format of a checkpoint or model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// An ONNX model.
    Onnx,
    /// Safetensors, one file.
    Safetensors,
    /// The index of a safetensors checkpoint in several files.
    ShardedSafetensors,
    /// A zip archive of NumPy arrays.
    Npz,
    /// One NumPy array.
    Npy,
    /// A TensorFlow checkpoint, named by its `.index` file.
    TensorBundle,
    /// A TensorFlow SavedModel, named by its folder or its `saved_model.pb`.
    SavedModel,
    /// A TensorFlow graph with its weights as constants.
    FrozenGraph,
    /// A TensorFlow Lite model.
    TfLite,
    /// HDF5, in which Keras keeps weights.
    Hdf5,
    /// A `.keras` archive.
    KerasZip,
    /// An NNEF model: an archive or a folder.
    Nnef,
    /// A PyTorch checkpoint: a zip archive of storages and a pickle that is read, but never executed.
    PyTorch,
    /// The index of a PyTorch checkpoint in several files.
    ShardedPyTorch,
    /// Python's pickle on its own, as in PyTorch checkpoints before 1.6; it is not read.
    Pickle,
}

impl Format {
    /// Tells the format of a file, or of the folder that a model is.
    ///
    /// Content decides; the extension does only where the content is damaged or says nothing.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read or nothing says what it is.
    pub fn detect(path: &Path) -> Result<Self, TensorError> {
        Self::detect_in(Tree::Disk, path)
    }

    pub(crate) fn detect_in(tree: Tree<'_>, path: &Path) -> Result<Self, TensorError> {
        if tree.is_dir(path)
            && let Some(it) = Self::of_folder(tree, path)
        {
            return Ok(it);
        }
        let bytes = tree.map(path)?;
        let res = Self::of_bytes(path, &bytes);
        whole(&bytes)?;
        res
    }

    /// Returns the format of the model that a folder is, if it is one.
    pub(crate) fn of_folder(tree: Tree<'_>, folder: &Path) -> Option<Self> {
        MODEL_FOLDERS.iter().find(|it| tree.is_file(&folder.join(it.0))).map(|it| it.1)
    }

    pub(crate) fn of_bytes(path: &Path, bytes: &Bytes) -> Result<Self, TensorError> {
        let known = by_magic(bytes).or_else(|| by_structure(bytes)).or_else(|| by_extension(path));
        // Early protocols have no mark.
        let found = known.or_else(|| pytorch::scan(bytes).map(|_| Self::Pickle));
        found.ok_or_else(|| TensorError::UnknownFormat { path: path.to_owned() })
    }

    /// Tells the format of a file by the mark that it starts or ends with, if it has one.
    pub(crate) fn marked(tree: Tree<'_>, path: &Path) -> Option<Self> {
        by_magic(&tree.map_ends(path).ok()?)
    }

    /// Returns whether files of this format can be executed as a model.
    pub fn is_model(self) -> bool {
        matches!(self, Self::Onnx | Self::SavedModel | Self::FrozenGraph | Self::TfLite | Self::Nnef)
    }

    /// Returns the name as it is written in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Onnx => "ONNX",
            Self::Safetensors => "safetensors",
            Self::ShardedSafetensors => "sharded safetensors",
            Self::Npz => "NPZ",
            Self::Npy => "NPY",
            Self::TensorBundle => "TensorFlow checkpoint",
            Self::SavedModel => "SavedModel",
            Self::FrozenGraph => "frozen graph",
            Self::TfLite => "TensorFlow Lite",
            Self::Hdf5 => "HDF5",
            Self::KerasZip => "Keras archive",
            Self::Nnef => "NNEF",
            Self::PyTorch => "PyTorch checkpoint",
            Self::ShardedPyTorch => "sharded PyTorch checkpoint",
            Self::Pickle => "pickle",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn by_magic(bytes: &[u8]) -> Option<Format> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return zip_kind(bytes);
    }
    if bytes.starts_with(b"\x93NUMPY") {
        return Some(Format::Npy);
    }
    if bytes.starts_with(b"\x89HDF\r\n\x1a\n") {
        return Some(Format::Hdf5);
    }
    if bytes.get(4..8) == Some(b"TFL3") {
        return Some(Format::TfLite);
    }
    // Before pickles: a header of 640 bytes has a length that starts like one.
    if let Some((length, [b'{', ..])) = bytes.split_first_chunk::<8>()
        && u64::from_le_bytes(*length) <= bytes.len() as u64
    {
        return Some(Format::Safetensors);
    }
    if is_table(bytes) {
        return Some(Format::TensorBundle);
    }
    // Protocol 2 and later, then an operation, none of which is zero; earlier protocols have no mark.
    if matches!(bytes, [0x80, 2..=5, 1..=0xff, ..]) {
        return Some(Format::Pickle);
    }
    None
}

/// Zip archives start with the name of their first entry, which tells most of them apart.
fn zip_kind(bytes: &[u8]) -> Option<Format> {
    let name_len = match bytes.get(26..28) {
        Some(&[a, b]) => usize::from(u16::from_le_bytes([a, b])),
        _ => return None,
    };
    let first_name = bytes.get(30..30_usize.checked_add(name_len)?)?;
    if first_name.ends_with(b".npy") {
        return Some(Format::Npz);
    }
    let torch: [&[u8]; 4] = [b"/data.pkl", b"/.format_version", b"/byteorder", b"/version"];
    if torch.iter().any(|it| first_name.ends_with(it)) {
        return Some(Format::PyTorch);
    }
    let keras: [&[u8]; 3] = [b"metadata.json", b"config.json", b"model.weights.h5"];
    keras.contains(&first_name).then_some(Format::KerasZip)
}

fn by_extension(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let known = [
        (".safetensors.index.json", Format::ShardedSafetensors),
        (".bin.index.json", Format::ShardedPyTorch),
        (".safetensors", Format::Safetensors),
        (".onnx", Format::Onnx),
        (".npz", Format::Npz),
        (".npy", Format::Npy),
        (".index", Format::TensorBundle),
        (".tflite", Format::TfLite),
        (".h5", Format::Hdf5),
        (".hdf5", Format::Hdf5),
        (".keras", Format::KerasZip),
        (".nnef.tgz", Format::Nnef),
        (".nnef.tar", Format::Nnef),
        (".pt", Format::Pickle),
        (".pth", Format::Pickle),
        (".pkl", Format::Pickle),
        (SAVED_MODEL_FILE, Format::SavedModel),
        (".pb", Format::FrozenGraph),
    ];
    known.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| *format)
}

/// ONNX models and TensorFlow graphs have no magic: they are told apart by the numbers of their fields.
fn by_structure(bytes: &[u8]) -> Option<Format> {
    const VARINT: u64 = 0;
    const MESSAGE: u64 = 2;
    let mut rest = bytes;
    let (mut has_graph, mut has_version, mut has_meta_graph, mut n_nodes, mut is_graph_def) =
        (false, false, false, 0_u64, true);
    for _ in 0..MAX_TOP_LEVEL_FIELDS {
        if rest.is_empty() {
            break;
        }
        let key = varint(&mut rest)?;
        match key & 7 {
            VARINT => {
                varint(&mut rest)?;
            }
            1 => rest = rest.get(8..)?,
            MESSAGE => {
                let len = usize::try_from(varint(&mut rest)?).ok()?;
                rest = rest.get(len..)?;
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
        match (key >> 3, key & 7) {
            (1, VARINT) => has_version = true,
            (1, MESSAGE) => n_nodes += 1,
            (2, MESSAGE) => has_meta_graph = true,
            (7, MESSAGE) => has_graph = true,
            (0, _) => return None,
            _ => {}
        }
        is_graph_def &= matches!((key >> 3, key & 7), (1 | 2 | 4, MESSAGE) | (3, VARINT));
    }
    if has_graph && has_version {
        Some(Format::Onnx)
    } else if n_nodes > 0 && is_graph_def {
        Some(Format::FrozenGraph)
    } else if has_version && has_meta_graph {
        Some(Format::SavedModel)
    } else {
        None
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut res = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        res |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(res);
        }
    }
    None
}
