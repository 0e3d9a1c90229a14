//! Writes named tensors as safetensors or NPZ, one piece of a tensor after the other.
//!
//! The same tensors give the same bytes: nothing depends on the clock or on hash order.
//! Replacing a file that others read is deliberately not here: write beside it, then rename.

mod npz;

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use safetensors::Dtype;
use serde_json::{Map, Value, json};

pub use self::npz::NpzWriter;
use crate::{
    archive::leads_out,
    catalog::{Lost, Skipped},
    dtype::{DType, extent},
    error::TensorError,
    file::TensorFile,
    opaque::Opaque,
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

    /// Returns the tensors of types that are not read, which are written as they are stored, with the file that they are in.
    fn unread(&self) -> Vec<(&TensorFile, &Skipped)> {
        Vec::new()
    }
}

/// A tensor that is to be written.
struct Entry<'a> {
    name: &'a str,
    shape: &'a [u64],
    of: Of<'a>,
}

/// Where its elements come from.
enum Of<'a> {
    Read(usize, DType),
    Unread(&'a TensorFile, &'a Skipped),
}

/// Why tensors were not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The format has no such element type.
    #[error("cannot write tensor `{name}` as {format}: it has no {dtype}; {}", remedy(format))]
    ElementType {
        /// The tensor.
        name: String,
        /// The format.
        format: &'static str,
        /// The element type.
        dtype: String,
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
    order.sort_by_key(|it| std::cmp::Reverse(it.width()));
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA.to_owned(), json!(metadata));
    }
    let mut start = 0_usize;
    for it in &order {
        if it.name == METADATA {
            return Err(WriteError::Name { name: it.name.to_owned(), problem: "is that of the metadata" });
        }
        let dtype = it.safetensors_type().ok_or_else(|| it.has_no_place("safetensors"))?;
        let end =
            it.n_bytes().and_then(|n_bytes| start.checked_add(n_bytes)).ok_or_else(|| it.wrong_length(it.found()))?;
        header.insert(it.name.to_owned(), json!({"dtype": dtype, "shape": it.shape, "data_offsets": [start, end]}));
        start = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    if text.len() > MAX_HEADER {
        return Err(WriteError::Header { found: text.len() });
    }
    to.write_all(&(text.len() as u64).to_le_bytes())?;
    to.write_all(&text)?;
    for it in &order {
        it.write_elements(to, tensors)?;
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
    for it in &order {
        if it.numpy_type().is_none() {
            return Err(it.has_no_place("NPZ"));
        }
        if it.name.contains('\0') || it.name.len() > 60_000 {
            let name = it.name.to_owned();
            return Err(WriteError::Name { name, problem: "cannot be that of an archive's entry" });
        }
        if leads_out(&format!("{}.npy", it.name)) {
            let name = it.name.escape_debug().to_string();
            return Err(WriteError::Name { name, problem: "leads out of the folder that an archive is unpacked in" });
        }
    }
    let mut archive = NpzWriter::new(to);
    for it in &order {
        let n_bytes = it.n_bytes().ok_or_else(|| it.wrong_length(it.found()))? as u64;
        let descr = it.numpy_type().unwrap_or_default();
        archive.array(it.name, descr, it.shape, n_bytes, |to| it.write_elements(to, tensors))?;
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

    fn unread(&self) -> Vec<(&TensorFile, &Skipped)> {
        self.skipped().iter().filter(|it| it.lost != Lost::Nothing).map(|it| (self, it)).collect()
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

fn by_name(tensors: &dyn TensorSource) -> Result<Vec<Entry<'_>>, WriteError> {
    let read = (0..tensors.n_tensors()).map(|idx| {
        let info = tensors.info(idx);
        Entry { name: &info.name, shape: &info.shape, of: Of::Read(idx, info.dtype) }
    });
    let unread = tensors.unread().into_iter().map(|(file, it)| {
        let shape = it.shape().unwrap_or_default();
        Entry { name: &it.name, shape, of: Of::Unread(file, it) }
    });
    let mut res: Vec<_> = read.chain(unread).collect();
    res.sort_by_key(|it| it.name);
    match res.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(WriteError::Name { name: pair[0].name.to_owned(), problem: "is there twice" }),
        None => Ok(res),
    }
}

impl<'a> Entry<'a> {
    fn safetensors_type(&self) -> Option<Dtype> {
        match &self.of {
            Of::Read(_, dtype) => Some(safetensors_type(*dtype)),
            Of::Unread(_, it) => it.opaque()?.element.as_ref()?.safetensors(),
        }
    }

    fn numpy_type(&self) -> Option<&'a str> {
        match &self.of {
            Of::Read(_, dtype) => numpy_type(*dtype),
            Of::Unread(_, it) => it.opaque()?.element.as_ref()?.numpy(),
        }
    }

    /// Returns the bytes that an element takes, as far as its alignment is concerned.
    fn width(&self) -> usize {
        match &self.of {
            Of::Read(_, dtype) => dtype.size(),
            Of::Unread(_, it) => {
                let bits = it.opaque().and_then(|it| it.element.as_ref()?.bits);
                bits.map_or(0, |it| it / 8)
            }
        }
    }

    /// Returns the bytes that its type and shape ask for; nothing of what is not read where it has others.
    fn n_bytes(&self) -> Option<usize> {
        match &self.of {
            Of::Read(_, dtype) => extent(*dtype, self.shape).map(|it| it.1),
            Of::Unread(_, it) => it.opaque()?.checked_len(),
        }
    }

    /// Returns how many bytes of what is not read are there.
    fn found(&self) -> usize {
        match &self.of {
            Of::Read(..) => 0,
            Of::Unread(_, it) => it.opaque().map_or(0, Opaque::len),
        }
    }

    fn wrong_length(&self, found: usize) -> WriteError {
        WriteError::Length { name: self.name.to_owned(), found }
    }

    fn has_no_place(&self, format: &'static str) -> WriteError {
        let dtype = match &self.of {
            Of::Read(_, dtype) => dtype.to_string(),
            Of::Unread(_, it) => it.element_type().unwrap_or("such type").to_owned(),
        };
        WriteError::ElementType { name: self.name.to_owned(), format, dtype }
    }

    /// Writes the elements, as many bytes as the shape says.
    fn write_elements(&self, to: &mut dyn Write, tensors: &dyn TensorSource) -> Result<(), WriteError> {
        let wanted = self.n_bytes();
        let mut n = 0;
        let mut take = |piece: &[u8]| {
            n += piece.len();
            if wanted.is_none_or(|it| n > it) {
                return Err(self.wrong_length(n));
            }
            // Other readers take a byte that is neither for damage.
            if matches!(self.of, Of::Read(_, DType::Bool)) && piece.iter().any(|&it| it > 1) {
                let bytes: Vec<u8> = piece.iter().map(|&it| u8::from(it != 0)).collect();
                return Ok(to.write_all(&bytes)?);
            }
            Ok(to.write_all(piece)?)
        };
        match &self.of {
            Of::Read(idx, _) => tensors.each_piece(*idx, &mut take)?,
            Of::Unread(file, it) => file.unread_pieces(it, &mut take)?,
        }
        if wanted == Some(n) { Ok(()) } else { Err(self.wrong_length(n)) }
    }
}

fn remedy(format: &str) -> &'static str {
    if format == "NPZ" { "write safetensors" } else { "keep the files as they are" }
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
