//! What a format reader hands over: named tensors and where their bytes are.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use prost::bytes::Bytes;
use serde_json::{Map, Value};

use crate::{
    archive::{Checksum, Zip},
    code::Code,
    dtype::extent,
    error::{Site, TensorError},
    hdf5,
    metadata::Metadata,
    npy::NpyLayout,
    npz,
    opaque::{Opaque, Run},
    strided::Strides,
    tensor::TensorInfo,
    tensorflow::{self, crc32c},
};

/// Something in a file that is named like a tensor but was not read as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The name, as the file has it.
    pub name: String,
    /// Why it is not among the tensors.
    pub reason: String,
    /// What whoever reads the tensors alone goes without.
    pub lost: Lost,
    /// The elements as they are stored, where those are one run of bytes, or one that is packed.
    opaque: Option<Opaque>,
}

/// What is lost where something in a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Numbers, or what may hold some: nobody knows whether they are finite.
    Numbers,
    /// An array of what is always finite: integers, texts.
    Finite,
    /// No array: a note, an object, an entry that is something else.
    Nothing,
}

impl Skipped {
    /// Returns the name of the element type, where it is known; the elements of two tensors of one such name are compared by
    /// [`has_same_elements`](crate::has_same_elements).
    pub fn element_type(&self) -> Option<&str> {
        self.opaque.as_ref()?.element.as_ref().map(|it| &*it.name)
    }

    /// Returns the shape, where the elements are one run of bytes, or one that is packed.
    pub fn shape(&self) -> Option<&[u64]> {
        self.opaque.as_ref().map(|it| &*it.shape)
    }

    /// Returns shape and elements as they are stored, where those are one run of bytes that is not packed. Of what is skipped for
    /// the same reason, the same shape and bytes are the same elements.
    pub fn stored(&self) -> Option<(&[u64], &[u8])> {
        let opaque = self.opaque.as_ref()?;
        match &opaque.run {
            Run::Here(bytes) => Some((&opaque.shape, bytes)),
            Run::Zipped { .. } => None,
        }
    }

    /// Returns whether safetensors have the type, so that [`write_safetensors`](crate::write_safetensors) keeps the elements.
    pub fn is_of_safetensors(&self) -> bool {
        self.opaque.as_ref().and_then(|it| it.element.as_ref()?.safetensors()).is_some()
    }

    /// Returns whether NumPy has the type, so that [`write_npz`](crate::write_npz) keeps the elements.
    pub fn is_of_numpy(&self) -> bool {
        self.opaque.as_ref().and_then(|it| it.element.as_ref()?.numpy()).is_some()
    }

    pub(crate) fn opaque(&self) -> Option<&Opaque> {
        self.opaque.as_ref()
    }
}

/// The tensors of one file, in any order.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    entries: Vec<(TensorInfo, Data)>,
    skipped: Vec<Skipped>,
    metadata: Metadata,
    /// The name of another file that is read for them, relative to the folder of this one.
    pub(crate) sibling: Option<String>,
    /// The names of all files that an index has for shards, relative to its folder.
    pub(crate) shards: Vec<String>,
    /// What those who load the file run.
    pub(crate) code: Code,
}

/// What a [`TensorFile`](crate::TensorFile) keeps: the entries of a catalog, sorted by name.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) infos: Vec<TensorInfo>,
    /// One for each of `infos`.
    pub(crate) data: Vec<Data>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) sibling: Option<String>,
    pub(crate) shards: Vec<String>,
    pub(crate) code: Vec<String>,
}

/// Where the bytes of a tensor are and what must happen before they can be used.
#[derive(Debug)]
pub(crate) enum Data {
    /// As they are used.
    Ready(Bytes),
    /// As they are used, with a masked CRC-32C.
    Checked { bytes: Bytes, checksum: u32, offset: u64 },
    /// In the byte order and element order of an NPY file.
    Npy { bytes: Bytes, layout: NpyLayout },
    /// Elements that lie apart in a storage.
    Strided { bytes: Bytes, strides: Strides, layout: NpyLayout },
    /// An NPY file in a zip archive.
    Zipped { archive: Zip, idx: usize, layout: NpyLayout },
    /// An HDF5 dataset that is not one run of bytes, in the byte order of the file.
    Hdf5 { dataset: hdf5::Stored, layout: NpyLayout },
    /// Anything inside a stored entry of an archive, whose checksum is verified first.
    Guarded { checksum: Arc<Checksum>, inner: Box<Data> },
    /// The first values; the rest of the tensor repeats the last one.
    Repeated(Bytes),
}

impl Catalog {
    /// Adds a tensor whose stored bytes must be exactly as many as its shape says.
    pub(crate) fn add_exact(&mut self, site: Site<'_>, info: TensorInfo, bytes: Bytes) -> Result<(), TensorError> {
        let n_bytes = checked_len(site, &info)?;
        if bytes.len() != n_bytes {
            return Err(length_mismatch(site, &info, n_bytes, bytes.len()));
        }
        self.add(info, Data::Ready(bytes));
        Ok(())
    }

    pub(crate) fn add(&mut self, info: TensorInfo, data: Data) {
        self.entries.push((info, data));
    }

    pub(crate) fn skip(&mut self, name: impl Into<String>, lost: Lost, reason: impl Into<String>) {
        self.skipped.push(Skipped { name: name.into(), reason: reason.into(), lost, opaque: None });
    }

    /// As [`Self::skip`], of something whose elements are these.
    pub(crate) fn skip_stored(&mut self, name: String, lost: Lost, reason: String, opaque: Opaque) {
        self.skipped.push(Skipped { name, reason, lost, opaque: Some(opaque) });
    }

    /// Adds what the file says of itself; of two notes with one key the first is kept.
    pub(crate) fn note(&mut self, key: &str, value: impl Into<Value>) {
        if let Err(reason) = self.metadata.add(key, value.into()) {
            self.skip(key, Lost::Nothing, reason);
        }
    }

    /// Has the checksum verified before any of the tensors that were added so far is read.
    pub(crate) fn guard(&mut self, checksum: &Arc<Checksum>) {
        let guard = |inner| Data::Guarded { checksum: Arc::clone(checksum), inner: Box::new(inner) };
        let entries = std::mem::take(&mut self.entries);
        self.entries = entries.into_iter().map(|(info, data)| (info, guard(data))).collect();
    }

    /// Adds all of `other`.
    pub(crate) fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.skipped.extend(other.skipped);
        self.code.extend(other.code);
        for (key, value) in other.metadata.into_entries() {
            self.note(&key, value);
        }
    }

    /// Returns the names of everything that is listed, read or not.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        let read = self.entries.iter().map(|(info, _)| info.name.as_str());
        read.chain(self.skipped.iter().map(|it| it.name.as_str())).collect()
    }

    /// Sorts by name and refuses a name that is there twice.
    pub(crate) fn finish(mut self, site: Site<'_>) -> Result<Listing, TensorError> {
        self.entries.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        self.skipped.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = self.entries.windows(2).find(|pair| pair[0].0.name == pair[1].0.name) {
            return Err(site.corrupt(tensor(&pair[0].0.name), "is there twice"));
        }
        let (infos, data) = self.entries.into_iter().unzip();
        let metadata = self.metadata.into_entries();
        let (sibling, shards, code) = (self.sibling, self.shards, self.code.into_list());
        Ok(Listing { infos, data, skipped: self.skipped, metadata, sibling, shards, code })
    }
}

impl Data {
    /// Returns the stored bytes, if they are one run of a file.
    pub(crate) fn stored(&self) -> Option<&[u8]> {
        match self {
            Self::Ready(it) | Self::Repeated(it) => Some(it),
            Self::Checked { bytes, .. } | Self::Npy { bytes, .. } | Self::Strided { bytes, .. } => Some(bytes),
            Self::Guarded { inner, .. } => inner.stored(),
            Self::Zipped { .. } | Self::Hdf5 { .. } => None,
        }
    }

    /// Returns the elements of `info`, little-endian and row-major.
    pub(crate) fn read(&self, site: Site<'_>, info: &TensorInfo) -> Result<Cow<'_, [u8]>, TensorError> {
        match self {
            Self::Ready(bytes) => Ok(Cow::Borrowed(bytes)),
            Self::Checked { bytes, checksum, offset } => {
                let found = crc32c::masked(crc32c::checksum(bytes));
                if found != *checksum {
                    return Err(site.corrupt(
                        tensor(&info.name),
                        format!(
                            "at offset {offset} of the data file has checksum {found:#010x} instead of {checksum:#010x}"
                        ),
                    ));
                }
                Ok(Cow::Borrowed(bytes))
            }
            Self::Npy { bytes, layout } => Ok(layout.to_row_major(Cow::Borrowed(bytes), info)),
            Self::Strided { bytes, strides, layout } => {
                let gathered = strides.gather(bytes, info.dtype.size(), &info.shape);
                Ok(layout.to_row_major(Cow::Owned(gathered), info))
            }
            Self::Zipped { archive, idx, layout } => {
                let bytes = npz::read_entry(site, archive.clone(), *idx, *layout, info)?;
                Ok(layout.to_row_major(Cow::Owned(bytes), info))
            }
            Self::Hdf5 { dataset, layout } => {
                let bytes = dataset.read(site, info)?;
                Ok(layout.to_row_major(Cow::Owned(bytes), info))
            }
            Self::Guarded { checksum, inner } => {
                checksum.verify(site, &tensor(&info.name))?;
                inner.read(site, info)
            }
            Self::Repeated(values) => tensorflow::repeat(site, info, values).map(Cow::Owned),
        }
    }
}

/// Returns the bytes that `info` takes.
pub(crate) fn checked_len(site: Site<'_>, info: &TensorInfo) -> Result<usize, TensorError> {
    match extent(info.dtype, &info.shape) {
        Some((_, n_bytes)) => Ok(n_bytes),
        None => Err(site.corrupt(tensor(&info.name), format!("has shape {:?}, whose size overflows", info.shape))),
    }
}

pub(crate) fn length_mismatch(site: Site<'_>, info: &TensorInfo, want: usize, found: usize) -> TensorError {
    site.corrupt(
        tensor(&info.name),
        format!(
            "holds {found} bytes where {} elements of {} with shape {:?} take {want}",
            info.n_elements(),
            info.dtype,
            info.shape
        ),
    )
}

/// Returns how errors call the tensor of that name.
pub(crate) fn tensor(name: &str) -> String {
    format!("tensor `{}`", name.escape_debug())
}

/// Converts dimensions that a format keeps signed.
pub(crate) fn unsigned_shape(site: Site<'_>, name: &str, dims: &[i64]) -> Result<Vec<u64>, TensorError> {
    dims.iter()
        .map(|&dim| {
            u64::try_from(dim).map_err(|_| site.corrupt(tensor(name), format!("has the negative dimension {dim}")))
        })
        .collect()
}
