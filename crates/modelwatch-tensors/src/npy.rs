//! NPY: one array of NumPy in a file.
//!
//! The header is parsed by `npyz`; its data readers are not used, because they decode value by value.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use npyz::{DType as NumpyType, Endianness, NpyHeader, Order, TypeChar};
use prost::bytes::Bytes;

use crate::{
    catalog::{Catalog, Data, Lost, checked_len, length_mismatch, tensor},
    dtype::DType,
    error::{Site, TensorError},
    opaque::{Element, Opaque},
    strided::Strides,
    tensor::TensorInfo,
};

/// NumPy itself refuses longer headers, for the same reason: they hold an expression to parse.
const MAX_HEADER: usize = 10_000;
/// A plain array needs one dictionary and one tuple.
const MAX_BRACKETS: usize = 32;
/// The bytes in which a header of the greatest length ends.
pub(crate) const PREFIX: usize = MAX_HEADER + START;

/// How the elements lie after the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NpyLayout {
    /// The bytes before the first element.
    pub(crate) data_start: usize,
    is_big_endian: bool,
    is_column_major: bool,
}

/// What an NPY header says.
#[derive(Debug)]
pub(crate) enum NpyKind {
    Tensor { info: TensorInfo, layout: NpyLayout },
    NotNumeric { lost: Lost, reason: String, data_start: usize, shape: Vec<u64>, element: Option<Element> },
}

/// Lists the one tensor of an NPY file under the file's name.
pub(crate) fn read(site: Site<'_>, bytes: &Bytes) -> Result<Catalog, TensorError> {
    let name = site.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut catalog = Catalog::default();
    match parse_header(site, &name, bytes)? {
        NpyKind::NotNumeric { lost, reason, data_start, shape, element } => {
            let elements = bytes.slice(data_start.min(bytes.len())..);
            catalog.skip_stored(name, lost, reason, Opaque::new(element, shape, elements));
        }
        NpyKind::Tensor { info, layout } => {
            let want = checked_len(site, &info)?;
            let body = bytes.slice(layout.data_start.min(bytes.len())..);
            if body.len() != want {
                return Err(length_mismatch(site, &info, want, body.len()));
            }
            catalog.add(info, Data::Npy { bytes: body, layout });
        }
    }
    Ok(catalog)
}

/// Parses the header at the start of `bytes`, which need not hold more than [`PREFIX`] bytes.
pub(crate) fn parse_header(site: Site<'_>, name: &str, bytes: &[u8]) -> Result<NpyKind, TensorError> {
    let data_start = check_header(bytes).map_err(|problem| site.corrupt(tensor(name), problem.to_string()))?;
    let header = NpyHeader::from_reader(&bytes[..data_start]).map_err(|error| {
        site.corrupt(tensor(name), format!("has a bad NPY header: {}", one_line(&error.to_string())))
    })?;
    let is_column_major = header.order() == Order::Fortran && header.shape().len() > 1;
    let not_numeric = |lost, what: &str, element: Option<Element>| {
        let order = if is_column_major { " in column-major order" } else { "" };
        let reason = format!("holds {what}{order}, not numbers of a known type");
        let element = element.filter(|_| !is_column_major);
        Ok(NpyKind::NotNumeric { lost, reason, data_start, shape: header.shape().to_vec(), element })
    };
    let NumpyType::Plain(type_str) = header.dtype() else {
        return not_numeric(Lost::Numbers, "records", None);
    };
    let other = |lost| {
        let text = type_str.to_string();
        // Of texts, a size is that of a character of four bytes.
        let width = if type_str.type_char() == TypeChar::UnicodeStr { 4 } else { 1 };
        let element = Element::of_numpy(&text, type_str.size_field().saturating_mul(width));
        not_numeric(lost, &format!("`{text}`"), Some(element))
    };
    let dtype = match (type_str.type_char(), type_str.size_field()) {
        (TypeChar::Bool, 1) => DType::Bool,
        (TypeChar::Int, 1) => DType::I8,
        (TypeChar::Int, 2) => DType::I16,
        (TypeChar::Int, 4) => DType::I32,
        (TypeChar::Int, 8) => DType::I64,
        (TypeChar::Uint, 1) => DType::U8,
        (TypeChar::Uint, 2) => DType::U16,
        (TypeChar::Uint, 4) => DType::U32,
        (TypeChar::Uint, 8) => DType::U64,
        (TypeChar::Float, 2) => DType::F16,
        (TypeChar::Float, 4) => DType::F32,
        (TypeChar::Float, 8) => DType::F64,
        (TypeChar::Object, _) => {
            return not_numeric(Lost::Numbers, "pickled objects, which are never executed", None);
        }
        (TypeChar::ByteStr | TypeChar::UnicodeStr | TypeChar::TimeDelta | TypeChar::DateTime, _) => {
            return other(Lost::Finite);
        }
        _ => return other(Lost::Numbers),
    };
    let layout = NpyLayout { data_start, is_big_endian: type_str.endianness() == Endianness::Big, is_column_major };
    let info = TensorInfo { name: name.to_owned(), dtype, shape: header.shape().to_vec() };
    Ok(NpyKind::Tensor { info, layout })
}

/// Returns an error in one line: that of the parser draws the place, and says at the end what it expected there.
fn one_line(error: &str) -> String {
    let mut lines = error.lines();
    let first = lines.next().unwrap_or_default();
    let Some(last) = lines.next_back() else { return first.to_owned() };
    let what = first.split("-->").next().unwrap_or_default().trim().trim_end_matches(':');
    format!("{what}: {}", last.trim().trim_start_matches("= "))
}

/// The bytes that say how long the header is.
const START: usize = 12;

/// What keeps a header from being parsed.
#[derive(Debug, thiserror::Error)]
enum NpyFault {
    /// It is not of such a file.
    #[error("does not start with the NPY magic")]
    Magic,
    /// Its length is not there, or is not known.
    #[error("has an unknown NPY version or a cut header")]
    Version,
    /// It has so many bytes, and that is too many.
    #[error("has an NPY header of {0} bytes, over {MAX_HEADER}")]
    Long(usize),
    /// It is not there to its end.
    #[error("ends inside its NPY header")]
    Cut,
    /// It has so many brackets, and that is too many.
    #[error("has a deeply nested NPY header")]
    Nested(usize),
    /// There are more elements than can be counted.
    #[error("has a shape whose size overflows")]
    Overflow,
}

/// Returns where the text of the header starts and where it ends, which is where the data starts, given the first [`START`] bytes.
fn text_of(bytes: &[u8]) -> Result<[usize; 2], NpyFault> {
    if !bytes.starts_with(b"\x93NUMPY") {
        return Err(NpyFault::Magic);
    }
    let (start, len) = match *bytes {
        [_, _, _, _, _, _, 1, _, a, b, ..] => (10, usize::from(u16::from_le_bytes([a, b]))),
        [_, _, _, _, _, _, 2 | 3, _, a, b, c, d, ..] => {
            (12, usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX))
        }
        _ => return Err(NpyFault::Version),
    };
    if len > MAX_HEADER { Err(NpyFault::Long(len)) } else { Ok([start, start + len]) }
}

/// Reads the header of an NPY file up to the first element, as far as a parser can be given it.
///
/// # Errors
///
/// When it cannot be read, or no array needs such a header.
pub fn read_npy_header(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let refused = |fault: NpyFault| {
        let what = match fault {
            NpyFault::Long(n) => format!("its header has {n} bytes, and no more than {MAX_HEADER} are read"),
            NpyFault::Nested(n) => format!("its header has {n} brackets, and no more than {MAX_BRACKETS} are read"),
            other => format!("it {other}"),
        };
        io::Error::new(io::ErrorKind::InvalidData, what)
    };
    let mut bytes = vec![0; START];
    reader.read_exact(&mut bytes)?;
    let [_, data_start] = text_of(&bytes).map_err(refused)?;
    bytes.resize(data_start.max(START), 0);
    reader.read_exact(&mut bytes[START..])?;
    check_header(&bytes).map_err(refused)?;
    Ok(bytes)
}

/// Returns where the data starts, given the header at least.
///
/// The header is a Python expression, parsed by recursive descent and then multiplied out:
/// nesting and numbers are bounded first, so that no header exhausts the stack or overflows.
fn check_header(bytes: &[u8]) -> Result<usize, NpyFault> {
    let [text_start, data_start] = text_of(bytes)?;
    let text = bytes.get(text_start..data_start).ok_or(NpyFault::Cut)?;
    let n_brackets = text.iter().filter(|it| b"([{".contains(it)).count();
    if n_brackets > MAX_BRACKETS {
        return Err(NpyFault::Nested(n_brackets));
    }
    let mut product = 1_u64;
    for digits in text.split(|it| !it.is_ascii_digit()).filter(|it| !it.is_empty()) {
        let number = std::str::from_utf8(digits).ok().and_then(|it| it.parse::<u64>().ok());
        product = number.and_then(|it| product.checked_mul(it.max(1))).ok_or(NpyFault::Overflow)?;
    }
    Ok(data_start)
}

impl NpyLayout {
    /// Returns whether the elements are stored as they are used.
    pub(crate) fn is_as_used(self, info: &TensorInfo) -> bool {
        !self.is_column_major && (!self.is_big_endian || info.dtype.size() == 1)
    }

    /// Rows first, from the first byte on.
    pub(crate) fn row_major(is_big_endian: bool) -> Self {
        Self { data_start: 0, is_big_endian, is_column_major: false }
    }

    /// Returns the elements little-endian and row-major; `bytes` are as many as `info` says.
    pub(crate) fn to_row_major<'a>(self, bytes: Cow<'a, [u8]>, info: &TensorInfo) -> Cow<'a, [u8]> {
        let size = info.dtype.size();
        let mut res = if self.is_column_major { Cow::Owned(transpose(&bytes, info)) } else { bytes };
        if self.is_big_endian && size > 1 {
            for element in res.to_mut().chunks_exact_mut(size) {
                element.reverse();
            }
        }
        res
    }
}

/// Reorders elements from first index fastest to last index fastest.
fn transpose(bytes: &[u8], info: &TensorInfo) -> Vec<u8> {
    let mut steps = Vec::with_capacity(info.shape.len());
    let mut step = 1_usize;
    for &dim in &info.shape {
        steps.push(step);
        step = step.saturating_mul(usize::try_from(dim).unwrap_or(usize::MAX));
    }
    Strides { offset: 0, steps }.gather(bytes, info.dtype.size(), &info.shape)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{format::Format, tree::Tree};

    fn file(header: &str, data: &[u8]) -> Bytes {
        let mut res = b"\x93NUMPY\x01\x00".to_vec();
        res.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        res.extend(header.as_bytes());
        res.extend(data);
        res.into()
    }

    fn values(header: &str, data: &[u8]) -> Result<Vec<f64>, String> {
        let site = Site { path: Path::new("it.npy"), format: Format::Npy, tree: Tree::Disk };
        let found = read(site, &file(header, data)).and_then(|it| it.finish(site)).map_err(|it| it.to_string())?;
        if let Some(it) = found.skipped.first() {
            return Err(it.reason.clone());
        }
        let bytes = found.data[0].read(site, &found.infos[0]).map_err(|it| it.to_string())?;
        Ok(crate::TensorRef { info: &found.infos[0], bytes: &bytes }.values_f64())
    }

    #[test]
    fn column_major_and_big_endian_arrays_become_row_major() {
        let header = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }";
        assert_eq!(values(header, &[1, 4, 2, 5, 3, 6]).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let header = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 2), }";
        assert_eq!(values(header, &[0, 1, 0, 3, 0, 2, 0, 4]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        let header = "{'descr': '>f8', 'fortran_order': False, 'shape': (1,), }";
        assert_eq!(values(header, &0.3_f64.to_be_bytes()).unwrap(), [0.3]);
        let header = "{'descr': '<i8', 'fortran_order': False, 'shape': (), }";
        assert_eq!(values(header, &(-9_i64).to_le_bytes()).unwrap(), [-9.0]);
    }

    #[test]
    fn bad_headers_say_what_is_wrong() {
        let shape = |it: &str| format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({it},), }}");
        let nested = format!("{{'descr': {}", "(".repeat(9_000));
        let cases = [
            (shape("3"), "holds 2 bytes where 3 elements"),
            (shape("18446744073709551616"), "overflows"),
            (shape("4294967296, 4294967296, 4294967296"), "overflows"),
            (shape("-1"), "negative"),
            (nested, "deeply nested"),
            ("{}".to_owned(), "missing key"),
            ("{'descr': '|u1', 'fortran_order': Fal".to_owned(), "has a bad NPY header"),
            ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".to_owned(), "never executed"),
            ("{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }".to_owned(), "not numbers"),
        ];
        for (header, want) in cases {
            let error = values(&header, &[1, 2]).unwrap_err();
            assert!(error.contains(want) && error.lines().count() == 1, "{header}: {error}");
        }
    }
}
