//! The data of tensors in the file and beside it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use modelwatch_tensors::{TensorError, map_external_data, whole};
use prost::bytes::Bytes;
use tract_onnx::{
    data_resolver::ModelDataResolver,
    pb::{FunctionProto, GraphProto, NodeProto, SparseTensorProto, TensorProto, tensor_proto::DataLocation},
    prelude::TractResult,
    tract_hir::internal::TractErrorContext,
};

use super::Fault;
use crate::tract::{attributes::label, memory::widest};

/// The most files of external data.
const MAX_FILES: usize = 10_000;
/// ONNX's numbers of element types.
const STRING: i32 = 8;
const COMPLEX: [i32; 2] = [14, 15];

const RESAVE: &str = "save the model again with its data in one file beside it";

/// The files beside a model that hold its data, open since they were looked at.
///
/// tract asks for a file again when it reads a tensor; what it gets is what was looked at, whatever lies there meanwhile.
pub(crate) struct ExternalData {
    /// By the path without links, which is how tract asks.
    files: HashMap<PathBuf, Bytes>,
    /// Whether a tensor says that its data is elsewhere, also one that nobody reads.
    is_named: bool,
}

impl ExternalData {
    /// Returns whether no tensor names one.
    pub(in crate::tract) fn is_empty(&self) -> bool {
        self.files.is_empty() && !self.is_named
    }

    /// Returns what is in the files, in the order of their names.
    pub(crate) fn contents(&self) -> Vec<&[u8]> {
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort_by_key(|it| it.0);
        files.into_iter().map(|it| &**it.1).collect()
    }
}

impl ModelDataResolver for ExternalData {
    fn read_bytes_from_path(
        &self,
        buffer: &mut Vec<u8>,
        path: &Path,
        offset: usize,
        length: Option<usize>,
    ) -> TractResult<()> {
        let file = self.files.get(path).with_context(|| format!("{} was changed meanwhile", path.display()))?;
        let end = length.map_or(Some(file.len()), |it| offset.checked_add(it));
        let bytes = end.and_then(|end| file.get(offset..end));
        buffer.extend_from_slice(bytes.with_context(|| format!("{} is too short", path.display()))?);
        Ok(whole(file)?)
    }
}

/// Looks at all tensors of a graph, of those nested in it and of the model's own functions.
pub(super) fn check(path: &Path, graph: &GraphProto, functions: &[FunctionProto]) -> Result<ExternalData, Fault> {
    let mut beside = Beside { path, opened: HashMap::new(), is_named: false };
    // Stacks, because files can nest deeper than threads can recurse.
    let mut graphs = vec![graph];
    let mut nodes: Vec<&NodeProto> = functions.iter().flat_map(|it| &it.node).collect();
    while !graphs.is_empty() || !nodes.is_empty() {
        for graph in graphs.drain(..) {
            for tensor in graph.initializer.iter().chain(graph.sparse_initializer.iter().flat_map(parts)) {
                check_tensor(tensor, &mut beside, &|| format!("initializer `{}`", tensor.name))?;
            }
            nodes.extend(&graph.node);
        }
        for node in nodes.drain(..) {
            for attribute in &node.attribute {
                let sparse = attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors).flat_map(parts);
                for tensor in attribute.t.iter().chain(&attribute.tensors).chain(sparse) {
                    check_tensor(tensor, &mut beside, &|| {
                        format!("attribute `{}` of {}", attribute.name, label(node))
                    })?;
                }
                graphs.extend(attribute.g.iter().chain(&attribute.graphs));
            }
        }
    }
    beside.finish()
}

/// Returns what a sparse tensor is made of.
fn parts(it: &SparseTensorProto) -> impl Iterator<Item = &TensorProto> {
    it.values.iter().chain(&it.indices)
}

type Place<'a> = dyn Fn() -> String + 'a;

fn check_tensor(tensor: &TensorProto, beside: &mut Beside<'_>, place: &Place<'_>) -> Result<(), Fault> {
    let damaged = |what: String| Err(Fault::damaged(format!("{} {what}", place())));
    let is_external = tensor.data_location == Some(DataLocation::External as i32);
    beside.is_named |= is_external || !tensor.external_data.is_empty();
    if tensor.segment.is_some() {
        return damaged("is one segment of a tensor".to_owned());
    }
    let Some(n_elements) = n_elements(&tensor.dims) else {
        return damaged(format!("has the shape {:?}, which no tensor has", tensor.dims));
    };
    if tensor.data_type == STRING {
        return match tensor.string_data.len() as u64 {
            _ if is_external || !tensor.raw_data.is_empty() => damaged("has text as raw data".to_owned()),
            n if n != n_elements => damaged(format!("has {n} texts, not {n_elements}")),
            _ => Ok(()),
        };
    }
    if is_external && !tensor.raw_data.is_empty() {
        return damaged("has data in the file and beside it".to_owned());
    }
    // Types of later versions are refused by who reads them.
    let Some(bits) = bits(tensor.data_type) else { return Ok(()) };
    let n_bytes = n_elements.checked_mul(bits).map(|it| it.div_ceil(8));
    let Some(n_bytes) = n_bytes.filter(|&it| isize::try_from(it).is_ok()) else {
        return damaged(format!("has the shape {:?}, which fits in no memory", tensor.dims));
    };
    if !tensor.raw_data.is_empty() {
        return match tensor.raw_data.len() as u64 {
            n if n != n_bytes => damaged(format!("has {n} bytes of data, not the {n_bytes} of {:?}", tensor.dims)),
            _ => Ok(()),
        };
    }
    if is_external {
        return beside.check(tensor, n_bytes, place);
    }
    // Packed types and pairs have another number of values.
    let n_values = if bits < 8 || COMPLEX.contains(&tensor.data_type) { None } else { n_typed(tensor) };
    match n_values {
        Some(n) if n as u64 != n_elements => {
            damaged(format!("has {n} values, not the {n_elements} of {:?}", tensor.dims))
        }
        _ => Ok(()),
    }
}

/// Returns the product of the dimensions, or nothing if no tensor has them.
fn n_elements(dims: &[i64]) -> Option<u64> {
    let widest = widest(dims)?;
    Some(if dims.contains(&0) { 0 } else { widest })
}

/// Returns the bits of an element of the type with this number.
pub(super) fn bits(data_type: i32) -> Option<u64> {
    Some(match data_type {
        2 | 3 | 9 | 17..=20 | 24 => 8,
        4 | 5 | 10 | 16 => 16,
        1 | 6 | 12 => 32,
        7 | 11 | 13 | 14 => 64,
        15 => 128,
        21..=23 => 4,
        25 | 26 => 2,
        _ => return None,
    })
}

/// Returns the bytes of an element of the type with this number, at least: 1 where it is not known.
pub(super) fn element_bytes(data_type: i32) -> u64 {
    bits(data_type).map_or(1, |it| it.div_ceil(8))
}

/// Returns the number of values in the field for the tensor's type.
fn n_typed(tensor: &TensorProto) -> Option<usize> {
    Some(match tensor.data_type {
        1 => tensor.float_data.len(),
        7 => tensor.int64_data.len(),
        11 => tensor.double_data.len(),
        12 | 13 => tensor.uint64_data.len(),
        2..=6 | 9 | 10 | 16..=20 | 24 => tensor.int32_data.len(),
        _ => return None,
    })
}

/// The files beside a model, as far as they were asked for.
struct Beside<'a> {
    path: &'a Path,
    opened: HashMap<String, Bytes>,
    is_named: bool,
}

impl Beside<'_> {
    fn check(&mut self, tensor: &TensorProto, n_bytes: u64, place: &Place<'_>) -> Result<(), Fault> {
        let fault = |what: String| Fault { what: format!("{} {what}", place()), remedy: RESAVE };
        let field = |key: &str| tensor.external_data.iter().find(|it| it.key == key).map(|it| &*it.value);
        let number = |key: &str| match field(key) {
            None => Ok(None),
            Some(it) => it.parse::<u64>().map(Some).map_err(|_| fault(format!("has {it:?} as external {key}"))),
        };
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let location = field("location").unwrap_or_default();
        let file = match self.opened.get(location) {
            Some(it) => it,
            None if self.opened.len() >= MAX_FILES => {
                return Err(fault(format!("is in one data file too many; {MAX_FILES} are read")));
            }
            None => {
                let file = map_external_data(self.path, &place(), location).map_err(|it| match it {
                    TensorError::Corrupt { place, problem, .. } => {
                        Fault { what: format!("{place} {problem}"), remedy: RESAVE }
                    }
                    TensorError::Io { source, .. } => fault(format!("names the data file `{location}`: {source}")),
                    other => fault(other.to_string()),
                })?;
                self.opened.entry(location.to_owned()).or_insert(file)
            }
        };
        let n_there = (file.len() as u64).checked_sub(offset).map(|rest| length.map_or(rest, |it| it.min(rest)));
        if n_there != Some(n_bytes) || length.is_some_and(|it| it != n_bytes) {
            let what =
                format!("needs {n_bytes} bytes from {offset} of the data file `{location}`, which has {}", file.len());
            return Err(fault(match length {
                Some(it) if it != n_bytes => format!("{what}, and says that it is {it}"),
                _ => what,
            }));
        }
        Ok(())
    }

    fn finish(self) -> Result<ExternalData, Fault> {
        let folder = match self.path.parent() {
            Some(it) if !it.as_os_str().is_empty() => it,
            _ => Path::new("."),
        };
        let files = self.opened.into_iter().map(|(location, bytes)| {
            let path = folder.canonicalize().and_then(|it| it.join(&location).canonicalize());
            let missing = |it| Fault { what: format!("the data file `{location}` is gone: {it}"), remedy: RESAVE };
            Ok((path.map_err(missing)?, bytes))
        });
        Ok(ExternalData { files: files.collect::<Result<_, Fault>>()?, is_named: self.is_named })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(tensor: TensorProto) -> Option<String> {
        let mut beside = Beside { path: Path::new("none"), opened: HashMap::new(), is_named: false };
        check_tensor(&tensor, &mut beside, &|| "it".to_owned()).err().map(|it| it.what)
    }

    #[test]
    fn data_fits_the_shape_and_type() {
        let floats = |dims: &[i64], raw_data: Vec<u8>| {
            what(TensorProto { data_type: 1, dims: dims.to_vec(), raw_data, ..Default::default() })
        };
        assert_eq!(floats(&[2, 2], vec![0; 16]), None);
        assert_eq!(floats(&[0, 7], vec![]), None);
        assert_eq!(floats(&[2, 2], vec![0; 15]).unwrap(), "it has 15 bytes of data, not the 16 of [2, 2]");
        assert_eq!(floats(&[2, 2], vec![]).unwrap(), "it has 0 values, not the 4 of [2, 2]");
        assert_eq!(floats(&[-1], vec![0; 4]).unwrap(), "it has the shape [-1], which no tensor has");
        assert_eq!(
            floats(&[1 << 40, 1 << 40], vec![0; 4]).unwrap(),
            format!("it has the shape {:?}, which no tensor has", [1u64 << 40; 2])
        );
        assert_eq!(floats(&[0, i64::MAX, 3], vec![]).unwrap().matches("no tensor has").count(), 1);
        let text = TensorProto { data_type: 8, dims: vec![1], raw_data: vec![0], ..Default::default() };
        assert_eq!(what(text).unwrap(), "it has text as raw data");
        let twice = TensorProto {
            data_type: 1,
            dims: vec![1],
            raw_data: vec![0; 4],
            data_location: Some(DataLocation::External as i32),
            ..Default::default()
        };
        assert_eq!(what(twice).unwrap(), "it has data in the file and beside it");
        // Two numbers of four bits in a byte.
        let narrow = TensorProto { data_type: 22, dims: vec![3], raw_data: vec![0; 2], ..Default::default() };
        assert_eq!(what(narrow), None);
    }
}
