//! Writes named tensors as safetensors or NPZ, one piece of a tensor after the other.
//!
//! The same tensors give the same bytes: nothing depends on the clock or on hash order.
//! Replacing a file that others read is deliberately not here: write beside it, then rename.

mod npz;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use safetensors::Dtype;
use serde_json::{Map, Value, json};

pub use self::npz::NpzWriter;
use crate::{
    archive::leads_out,
    dtype::{DType, extent},
    error::TensorError,
    file::TensorFile,
    tensor::{TensorInfo, TensorRef},
};

/// Readers of safetensors refuse longer headers.
const MAX_HEADER: usize = 100_000_000;
/// The entry of a safetensors header that is not a tensor.
const METADATA: &str = "__metadata__";

/// Named tensors that are read when it is their turn.
pub trait TensorSource {
    /// Returns the number of tensors.
    fn n_tensors(&self) -> usize;

    /// Returns what the tensor of that number is.
    fn info(&self, idx: usize) -> &TensorInfo;

    /// Hands out the elements of the tensor of that number piece by piece, little-endian and row-major.
    ///
    /// # Errors
    ///
    /// Fails if the tensor cannot be read, and if `take` does.
    fn each_piece(&self, idx: usize, take: &mut dyn FnMut(&[u8]) -> Result<(), WriteError>) -> Result<(), WriteError>;
}

/// Why tensors were not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The format has no such element type.
    #[error("cannot write tensor `{name}` as {format}: it has no {dtype}; write safetensors")]
    ElementType {
        /// The tensor.
        name: String,
        /// The format.
        format: &'static str,
        /// The element type.
        dtype: DType,
    },
    /// The name cannot be used.
    #[error("cannot write tensor `{name}`: its name {problem}; rename it")]
    Name {
        /// The tensor.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There are more or fewer bytes than the shape says.
    #[error("cannot write tensor `{name}`: it holds {found} bytes, which do not fit its shape and type")]
    Length {
        /// The tensor.
        name: String,
        /// The bytes that are there.
        found: usize,
    },
    /// The names and shapes take more than the format allows.
    #[error(
        "cannot write safetensors: the header takes {found} bytes, past the limit of {MAX_HEADER}; write several files"
    )]
    Header {
        /// The bytes that it would take.
        found: usize,
    },
    /// A tensor could not be read.
    #[error(transparent)]
    Read(#[from] TensorError),
    /// The destination refused.
    #[error("cannot write tensors")]
    Io(#[from] io::Error),
}

/// Writes safetensors, with these words as its metadata.
///
/// Every element type is kept bit for bit, but that all true values become 1.
///
/// # Errors
///
/// Fails if a name is there twice or is the format's own, if a tensor cannot be read, or if the writer fails.
pub fn write_safetensors(
    to: &mut dyn Write,
    tensors: &dyn TensorSource,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WriteError> {
    let mut order = by_name(tensors)?;
    // The widest first, so that every tensor is aligned to its element.
    order.sort_by_key(|&idx| std::cmp::Reverse(tensors.info(idx).dtype.size()));
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA.to_owned(), json!(metadata));
    }
    let mut start = 0_usize;
    for &idx in &order {
        let info = tensors.info(idx);
        if info.name == METADATA {
            return Err(WriteError::Name { name: info.name.clone(), problem: "is that of the metadata" });
        }
        let end = extent(info.dtype, &info.shape).and_then(|(_, n_bytes)| start.checked_add(n_bytes));
        let end = end.ok_or_else(|| WriteError::Length { name: info.name.clone(), found: 0 })?;
        let entry = json!({"dtype": safetensors_type(info.dtype), "shape": info.shape, "data_offsets": [start, end]});
        header.insert(info.name.clone(), entry);
        start = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    if text.len() > MAX_HEADER {
        return Err(WriteError::Header { found: text.len() });
    }
    to.write_all(&(text.len() as u64).to_le_bytes())?;
    to.write_all(&text)?;
    for idx in order {
        write_elements(to, tensors, idx)?;
    }
    to.flush()?;
    Ok(())
}

/// Writes an NPZ without compression, as `numpy.savez` does.
///
/// # Errors
///
/// Fails if a tensor is of a type that NumPy does not have, if a name is there twice or cannot be that of an entry,
/// if a tensor cannot be read, or if the writer fails.
pub fn write_npz(to: &mut dyn Write, tensors: &dyn TensorSource) -> Result<(), WriteError> {
    let order = by_name(tensors)?;
    for &idx in &order {
        let info = tensors.info(idx);
        if numpy_type(info.dtype).is_none() {
            return Err(WriteError::ElementType { name: info.name.clone(), format: "NPZ", dtype: info.dtype });
        }
        if info.name.contains('\0') || info.name.len() > 60_000 {
            return Err(WriteError::Name { name: info.name.clone(), problem: "cannot be that of an archive's entry" });
        }
        if leads_out(&format!("{}.npy", info.name)) {
            let name = info.name.escape_debug().to_string();
            return Err(WriteError::Name { name, problem: "leads out of the folder that an archive is unpacked in" });
        }
    }
    let mut archive = NpzWriter::new(to);
    for idx in order {
        let info = tensors.info(idx);
        let descr = numpy_type(info.dtype).unwrap_or_default();
        let n_bytes = extent(info.dtype, &info.shape).map_or(0, |it| it.1) as u64;
        archive.array(&info.name, descr, &info.shape, n_bytes, |to| write_elements(to, tensors, idx))?;
    }
    archive.finish()?;
    Ok(())
}

impl TensorSource for TensorFile {
    fn n_tensors(&self) -> usize {
        self.len()
    }

    fn info(&self, idx: usize) -> &TensorInfo {
        &self.infos()[idx]
    }

    fn each_piece(&self, idx: usize, take: &mut dyn FnMut(&[u8]) -> Result<(), WriteError>) -> Result<(), WriteError> {
        self.pieces_of(idx, take, true)
    }
}

impl TensorSource for Vec<TensorRef<'_>> {
    fn n_tensors(&self) -> usize {
        self.len()
    }

    fn info(&self, idx: usize) -> &TensorInfo {
        self[idx].info
    }

    fn each_piece(&self, idx: usize, take: &mut dyn FnMut(&[u8]) -> Result<(), WriteError>) -> Result<(), WriteError> {
        take(self[idx].bytes)
    }
}

fn by_name(tensors: &dyn TensorSource) -> Result<Vec<usize>, WriteError> {
    let mut names = BTreeSet::new();
    for idx in 0..tensors.n_tensors() {
        let name = tensors.info(idx).name.as_str();
        if !names.insert((name, idx)) || names.range((name, 0)..(name, idx)).next().is_some() {
            return Err(WriteError::Name { name: name.to_owned(), problem: "is there twice" });
        }
    }
    Ok(names.into_iter().map(|(_, idx)| idx).collect())
}

/// Writes the elements of a tensor, as many bytes as its shape says.
fn write_elements(to: &mut dyn Write, tensors: &dyn TensorSource, idx: usize) -> Result<(), WriteError> {
    let info = tensors.info(idx);
    let wanted = extent(info.dtype, &info.shape).map(|(_, n_bytes)| n_bytes);
    let length = |found| WriteError::Length { name: info.name.clone(), found };
    let mut n = 0;
    tensors.each_piece(idx, &mut |piece| {
        n += piece.len();
        if wanted.is_none_or(|it| n > it) {
            return Err(length(n));
        }
        // Other readers take a byte that is neither for damage.
        if info.dtype == DType::Bool && piece.iter().any(|&it| it > 1) {
            let bytes: Vec<u8> = piece.iter().map(|&it| u8::from(it != 0)).collect();
            return Ok(to.write_all(&bytes)?);
        }
        Ok(to.write_all(piece)?)
    })?;
    if wanted == Some(n) { Ok(()) } else { Err(length(n)) }
}

fn safetensors_type(dtype: DType) -> Dtype {
    match dtype {
        DType::F16 => Dtype::F16,
        DType::Bf16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::I8 => Dtype::I8,
        DType::I16 => Dtype::I16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::U8 => Dtype::U8,
        DType::U16 => Dtype::U16,
        DType::U32 => Dtype::U32,
        DType::U64 => Dtype::U64,
        DType::Bool => Dtype::BOOL,
    }
}

fn numpy_type(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::Bf16 => return None,
        DType::F16 => "<f2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U8 => "|u1",
        DType::U16 => "<u2",
        DType::U32 => "<u4",
        DType::U64 => "<u8",
        DType::Bool => "|b1",
    })
}
