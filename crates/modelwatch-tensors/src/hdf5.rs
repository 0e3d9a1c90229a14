//! HDF5: the weights that Keras writes, and any other file of plain datasets.
//!
//! The one module that names `hdf5_pure`, a young library: what it is told by a file is checked here again
//! before memory is taken for it, and data that lies in one run is sliced from the mapping without it.

use std::fmt;

use hdf5_pure::{
    AttrValue, Dataset, Datatype, DatatypeByteOrder, File, FixedPointLayout, FloatingPointLayout, FormatError, Group,
    Layout, Source,
};
use prost::bytes::Bytes;
use serde_json::Value;

use crate::{
    archive::MAX_RATIO,
    catalog::{Catalog, Data, Lost, checked_len, length_mismatch, tensor},
    dtype::DType,
    error::{Site, TensorError},
    metadata::number,
    npy::NpyLayout,
    tensor::TensorInfo,
};

/// Groups can hold themselves, so that a file without a limit never ends.
const MAX_DEPTH: usize = 64;
const MAX_OBJECTS: usize = 100_000;
const ALL_IN_ONE: &str = "write the values into the file itself";
/// The filters that are undone, by their registered numbers: deflate, shuffle, Fletcher-32 and LZF.
const FILTERS: [u16; 4] = [1, 2, 3, 32_000];
const PACKING: [u16; 2] = [1, 32_000];
/// What the model is, in the words of Keras: code to build it, not what this checkpoint says of itself.
const ARCHITECTURE: [&str; 2] = [DESCRIPTION, "training_config"];
/// The one of them that has the layers.
const DESCRIPTION: &str = "model_config";

/// How much is unpacked at a time, unless one row of chunks takes more.
const PIECE: u64 = 4 << 20;

/// A dataset in chunks, or one so small that it lies in its header.
pub(crate) struct Stored {
    dataset: Dataset,
    /// How many rows there are in a chunk.
    chunk_rows: u64,
}

/// Lists all datasets of numbers under their paths, and notes the attributes of the root.
///
/// Both of Keras's layouts are datasets in groups: `.weights.h5` has `layers/…/vars/0` and `optimizer/vars/0`,
/// the older `.h5` has `model_weights/…` and `optimizer_weights/…`.
pub(crate) fn read(site: Site<'_>, bytes: &Bytes) -> Result<Catalog, TensorError> {
    let damaged = |error: hdf5_pure::Error| site.corrupt("the file", Clean(&error));
    let file = File::from_source(Mapped(bytes.clone())).map_err(damaged)?;
    let mut walk = Walk { site, bytes, catalog: Catalog::default(), n_objects: 0 };
    walk.note(&file.root())?;
    walk.group("", &file.root(), 0)?;
    Ok(walk.catalog)
}

impl Stored {
    /// Unpacks the elements, in the byte order of the file.
    pub(crate) fn read(&self, site: Site<'_>, info: &TensorInfo) -> Result<Vec<u8>, TensorError> {
        let want = checked_len(site, info)?;
        let bytes = self.dataset.read_raw().map_err(|error| site.corrupt(tensor(&info.name), Clean(&error)))?;
        if bytes.len() != want {
            return Err(length_mismatch(site, info, want, bytes.len()));
        }
        Ok(bytes)
    }

    /// As [`Self::read`], of which only a piece is in memory at a time.
    pub(crate) fn each_piece<E: From<TensorError>>(
        &self,
        site: Site<'_>,
        info: &TensorInfo,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each_piece_of(PIECE, site, info, take)
    }

    fn each_piece_of<E: From<TensorError>>(
        &self,
        piece: u64,
        site: Site<'_>,
        info: &TensorInfo,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let want = checked_len(site, info)? as u64;
        let n_rows = info.shape.first().copied().unwrap_or(1);
        let row = (want / n_rows.max(1)).max(1);
        // Whole chunks, so that none is unpacked twice.
        let n_chunks = (piece / row / self.chunk_rows).max(1);
        let step = usize::try_from(n_chunks.saturating_mul(self.chunk_rows)).unwrap_or(usize::MAX);
        if step as u64 >= n_rows {
            return take(&self.read(site, info)?);
        }
        for start in (0..n_rows).step_by(step) {
            let n = n_rows.min(start + step as u64) - start;
            let rows = self.dataset.read_raw_rows(start, n);
            let rows = rows.map_err(|error| site.corrupt(tensor(&info.name), Clean(&error)))?;
            if rows.len() as u64 != n * row {
                let found = (start * row) as usize + rows.len();
                return Err(length_mismatch(site, info, want as usize, found).into());
            }
            take(&rows)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stored")
    }
}

struct Walk<'a> {
    site: Site<'a>,
    bytes: &'a Bytes,
    catalog: Catalog,
    n_objects: usize,
}

impl Walk<'_> {
    fn group(&mut self, path: &str, group: &Group, depth: usize) -> Result<(), TensorError> {
        let place = || format!("group `/{}`", path.escape_debug());
        if depth > MAX_DEPTH {
            return Err(self.site.limit(place(), "is nested deeply", MAX_DEPTH as u64));
        }
        let site = self.site;
        let damaged = |error: hdf5_pure::Error| site.corrupt(place(), Clean(&error));
        let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        for (name, dataset) in group.iter_datasets().map_err(damaged)? {
            self.count(&place)?;
            self.dataset(join(&name), dataset)?;
        }
        for (name, child) in group.iter_groups().map_err(damaged)? {
            self.count(&place)?;
            self.group(&join(&name), &child, depth + 1)?;
        }
        Ok(())
    }

    fn count(&mut self, place: &dyn Fn() -> String) -> Result<(), TensorError> {
        self.n_objects += 1;
        if self.n_objects > MAX_OBJECTS {
            return Err(self.site.limit(place(), "holds one object too many", MAX_OBJECTS as u64));
        }
        Ok(())
    }

    fn dataset(&mut self, name: String, dataset: Dataset) -> Result<(), TensorError> {
        let place = tensor(&name);
        let site = self.site;
        let damaged = |error: hdf5_pure::Error| site.corrupt(&*place, Clean(&error));
        let datatype = dataset.datatype().map_err(damaged)?;
        let Some((dtype, is_big_endian)) = element(&datatype, || is_bfloat16(&dataset)) else {
            let is_text =
                matches!(datatype, Datatype::String { .. } | Datatype::VariableLength { is_string: true, .. });
            let lost = if is_text { Lost::Finite } else { Lost::Numbers };
            self.catalog.skip(name, lost, "holds no numbers of a known type");
            return Ok(());
        };
        let info = TensorInfo { name, dtype, shape: dataset.shape().map_err(damaged)? };
        let want = checked_len(site, &info)?;
        let layout = dataset.layout().map_err(damaged)?;
        let mut chunk_rows = 1;
        let order = NpyLayout::row_major(is_big_endian);
        match layout {
            Layout::Contiguous { address: Some(address), size } => {
                if size != want as u64 {
                    return Err(length_mismatch(site, &info, want, usize::try_from(size).unwrap_or(usize::MAX)));
                }
                let start = usize::try_from(address).ok();
                let range = start.and_then(|start| Some(start..start.checked_add(want)?));
                let Some(range) = range.filter(|it| it.end <= self.bytes.len()) else {
                    return Err(site.corrupt(&*place, "lies past the end of the file"));
                };
                self.catalog.add(info, Data::Npy { bytes: self.bytes.slice(range), layout: order });
                return Ok(());
            }
            Layout::Compact { size } if size != want as u64 => {
                return Err(length_mismatch(site, &info, want, usize::try_from(size).unwrap_or(usize::MAX)));
            }
            Layout::Compact { .. } => {}
            Layout::Chunked { chunk_shape, .. } => {
                self.check_chunks(&info, &dataset, &chunk_shape)?;
                chunk_rows = chunk_shape.first().map_or(1, |it| *it.max(&1));
            }
            Layout::Contiguous { address: None, .. } if want > 0 => {
                if is_elsewhere(&dataset) {
                    return Err(site.unsupported(format!("{place} has its values in other files"), ALL_IN_ONE));
                }
                self.catalog.skip(info.name, Lost::Numbers, "was never written");
                return Ok(());
            }
            Layout::Contiguous { .. } => {}
            _ => return Err(site.unsupported(format!("{place} is a view of datasets elsewhere"), ALL_IN_ONE)),
        }
        self.catalog.add(info, Data::Hdf5 { dataset: Stored { dataset, chunk_rows }, layout: order });
        Ok(())
    }

    /// Refuses what would unpack to more than the stored bytes can hold.
    fn check_chunks(&self, info: &TensorInfo, dataset: &Dataset, chunk_shape: &[u64]) -> Result<(), TensorError> {
        let site = self.site;
        let place = tensor(&info.name);
        let filters = dataset.filters();
        if let Some(filter) = filters.iter().find(|it| !FILTERS.contains(it)) {
            let reason = format!("{place} is packed with filter {filter}");
            return Err(site.unsupported(reason, "write it with gzip or without compression"));
        }
        if filters.iter().filter(|it| PACKING.contains(it)).count() > 1 {
            return Err(site.corrupt(place, "is packed twice"));
        }
        let ratio = if filters.iter().any(|it| PACKING.contains(it)) { MAX_RATIO } else { 1 };
        let chunks = dataset.chunks().map_err(|error| site.corrupt(&*place, Clean(&error)))?;
        let element = info.dtype.size() as u64;
        let chunk_size = chunk_shape.iter().try_fold(element, |product, &dim| product.checked_mul(dim));
        let chunk_size = chunk_size.ok_or_else(|| site.corrupt(&*place, "has chunks whose size overflows"))?;
        let mut n_stored = 0_u64;
        for chunk in &chunks {
            n_stored = n_stored.saturating_add(chunk.storage_size);
            if chunk_size / ratio > chunk.storage_size.saturating_add(64) {
                let problem = format!("claims to unpack {} bytes to {chunk_size}", chunk.storage_size);
                return Err(site.limit(place, problem, ratio.saturating_mul(chunk.storage_size)));
            }
        }
        // Chunks that share bytes, or lie outside, are how a small file claims to hold a large dataset.
        if n_stored > self.bytes.len() as u64 {
            let problem = format!("has chunks of {n_stored} bytes in a file of {}", self.bytes.len());
            return Err(site.corrupt(place, problem));
        }
        let want = checked_len(site, info)? as u64;
        if want / ratio > n_stored {
            let problem = format!("claims to unpack {n_stored} bytes to {want}");
            return Err(site.limit(place, problem, ratio.saturating_mul(n_stored)));
        }
        Ok(())
    }

    fn note(&mut self, root: &Group) -> Result<(), TensorError> {
        let attributes = root.attrs().map_err(|error| self.site.corrupt("the attributes", Clean(&error)))?;
        let mut attributes: Vec<_> = attributes.into_iter().collect();
        attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(it) = attributes.iter().find(|(key, _)| key == DESCRIPTION).and_then(|(_, value)| value.as_str()) {
            self.catalog.code.look_through(it.as_bytes());
        }
        for (key, value) in attributes.iter().filter(|(key, _)| !ARCHITECTURE.contains(&key.as_str())) {
            if key == "keras_version"
                && let Some(version) = value.as_str()
            {
                self.catalog.note("framework", format!("keras {version}"));
            }
            if let Some(value) = scalar(value) {
                self.catalog.note(key, value);
            }
        }
        Ok(())
    }
}

/// Returns whether a dataset without storage in this file has it in others: to ask for no values tells.
fn is_elsewhere(dataset: &Dataset) -> bool {
    matches!(dataset.read_raw_rows(0, 0), Err(hdf5_pure::Error::Format(FormatError::UnsupportedExternalStorage)))
}

/// Returns the element type and whether it is big-endian.
fn element(datatype: &Datatype, is_bfloat16: impl FnOnce() -> bool) -> Option<(DType, bool)> {
    match datatype {
        Datatype::FixedPoint { size, byte_order, layout } => {
            let FixedPointLayout { signed, bit_offset: 0, bit_precision } = *layout else { return None };
            if u32::from(bit_precision) != size.checked_mul(8)? {
                return None;
            }
            let dtype = match (size, signed) {
                (1, true) => DType::I8,
                (2, true) => DType::I16,
                (4, true) => DType::I32,
                (8, true) => DType::I64,
                (1, false) => DType::U8,
                (2, false) => DType::U16,
                (4, false) => DType::U32,
                (8, false) => DType::U64,
                _ => return None,
            };
            Some((dtype, big_endian(*byte_order)?))
        }
        Datatype::FloatingPoint { size, byte_order, layout } => {
            Some((float(*size, *layout)?, big_endian(*byte_order)?))
        }
        // What h5py writes for booleans.
        Datatype::Enumeration { size: 1, members, .. } => {
            let mut names: Vec<&str> = members.iter().map(|it| it.name.as_str()).collect();
            names.sort_unstable();
            (names == ["FALSE", "TRUE"]).then_some((DType::Bool, false))
        }
        // What h5py writes for the bfloat16 of Keras, which marks it with an attribute.
        Datatype::Opaque { size: 2, .. } => is_bfloat16().then_some((DType::Bf16, false)),
        _ => None,
    }
}

fn float(size: u32, layout: FloatingPointLayout) -> Option<DType> {
    let FloatingPointLayout { bit_offset: 0, mantissa_location: 0, .. } = layout else { return None };
    let parts = (layout.exponent_location, layout.exponent_size, layout.mantissa_size, layout.exponent_bias);
    match (size, parts) {
        (2, (10, 5, 10, 15)) => Some(DType::F16),
        (2, (7, 8, 7, 127)) => Some(DType::Bf16),
        (4, (23, 8, 23, 127)) => Some(DType::F32),
        (8, (52, 11, 52, 1023)) => Some(DType::F64),
        _ => None,
    }
}

fn big_endian(order: DatatypeByteOrder) -> Option<bool> {
    match order {
        DatatypeByteOrder::LittleEndian => Some(false),
        DatatypeByteOrder::BigEndian => Some(true),
        _ => None,
    }
}

fn is_bfloat16(dataset: &Dataset) -> bool {
    let attributes = dataset.attrs().unwrap_or_default();
    attributes.get("dtype").and_then(AttrValue::as_str).is_some_and(|it| it == "bfloat16")
}

fn scalar(value: &AttrValue) -> Option<Value> {
    match value {
        AttrValue::F32(it) => Some(number(f64::from(*it))),
        AttrValue::F64(it) => Some(number(*it)),
        AttrValue::U64(it) => Some(Value::from(*it)),
        _ => value.as_str().map(Value::from).or_else(|| value.as_i64().map(Value::from)),
    }
}

/// The mapped file as the library wants it.
struct Mapped(Bytes);

impl Source for Mapped {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(buf.len());
        let Some(found) = self.0.get(start..end) else {
            return Err(FormatError::UnexpectedEof { expected: end, available: self.0.len() });
        };
        buf.copy_from_slice(found);
        Ok(())
    }
}

/// An error of the library, on one line and no longer than a person reads.
struct Clean<'a>(&'a hdf5_pure::Error);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX: usize = 300;
        let text = self.0.to_string();
        let short: String = text.chars().take(MAX).map(|it| if it.is_control() { ' ' } else { it }).collect();
        write!(f, "cannot be read: {short}")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{format::Format, tree::Tree};

    #[test]
    fn pieces_are_whole_chunks_and_make_up_the_dataset() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/hdf5/variety.h5"));
        let site = Site { path, format: Format::Hdf5, tree: Tree::Disk };
        let bytes = Bytes::from(std::fs::read(path).unwrap());
        let listing = read(site, &bytes).unwrap().finish(site).unwrap();
        let mut sizes = Vec::new();
        for (info, data) in listing.infos.iter().zip(&listing.data) {
            let Data::Hdf5 { dataset, .. } = data else { continue };
            for piece in [1, 2_000, 1 << 20] {
                let mut found = Vec::new();
                let mut n_pieces = 0;
                let mut take = |it: &[u8]| {
                    found.extend_from_slice(it);
                    n_pieces += 1;
                    Ok::<_, TensorError>(())
                };
                dataset.each_piece_of(piece, site, info, &mut take).unwrap();
                assert!(found == dataset.read(site, info).unwrap(), "{} {piece}", info.name);
                if info.name == "a/gzip" {
                    sizes.push(n_pieces);
                }
            }
        }
        // Of twenty rows of 120 bytes, seven in a chunk.
        assert_eq!(sizes, [3, 2, 1]);
    }
}
