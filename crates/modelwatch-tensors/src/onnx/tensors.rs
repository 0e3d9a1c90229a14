//! The tensors in an ONNX model: initializers and constants, inline or in external files.

use std::collections::HashMap;

use prost::bytes::Bytes;

use super::{
    model::{decode, graph},
    proto::{AttributeProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto},
    unread,
};
use crate::{
    catalog::{Catalog, Lost, tensor, unsigned_shape},
    dtype::DType,
    error::{Site, TensorError},
    opaque::Opaque,
    sibling::map_lone_sibling,
    tensor::TensorInfo,
};

const EXTERNAL: i32 = 1;
const MAX_EXTERNAL_FILES: usize = 10_000;

/// Lists all tensors of a model.
///
/// An initializer has its own name and a constant that of its output. Inside a subgraph, where names may
/// repeat, both follow the first output of the node that holds it and the attribute: `y.then_branch/w`.
/// Inside a function they follow the function: `domain::name/w`.
pub(crate) fn read(site: Site<'_>, bytes: &Bytes) -> Result<Catalog, TensorError> {
    let model = decode(site, bytes)?;
    graph(site, &model)?;
    let mut walk = Walk { site, catalog: Catalog::default(), files: HashMap::new() };
    note(&model, &mut walk.catalog);
    if let Some(graph) = model.graph {
        walk.graph("", graph)?;
    }
    for function in model.functions {
        walk.nodes(&format!("{}::{}/", function.domain, function.name), function.node)?;
    }
    Ok(walk.catalog)
}

/// Returns the element type that a number of `TensorProto.DataType` stands for.
pub(super) fn dtype(data_type: i32) -> Option<DType> {
    Some(match data_type {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        16 => DType::Bf16,
        _ => return None,
    })
}

fn note(model: &ModelProto, catalog: &mut Catalog) {
    for entry in &model.metadata_props {
        catalog.note(&entry.key, entry.value.as_str());
    }
    if !model.producer_name.is_empty() {
        catalog.note("framework", format!("{} {}", model.producer_name, model.producer_version).trim_end());
    }
    catalog.note("ir_version", model.ir_version);
}

struct Walk<'a> {
    site: Site<'a>,
    catalog: Catalog,
    /// External files by location, each mapped once.
    files: HashMap<String, Bytes>,
}

impl Walk<'_> {
    /// Recursion is bounded by the depth that the decoder accepts.
    fn graph(&mut self, scope: &str, graph: GraphProto) -> Result<(), TensorError> {
        for tensor in graph.initializer {
            if tensor.name.is_empty() {
                return Err(self.site.corrupt("an initializer", "has no name"));
            }
            let name = format!("{scope}{}", tensor.name);
            self.tensor(name, tensor)?;
        }
        for sparse in graph.sparse_initializer {
            sparse.parts().for_each(|it| self.note_sibling(it));
            let name = sparse.values.map(|it| it.name).unwrap_or_default();
            self.catalog.skip(format!("{scope}{name}"), Lost::Numbers, "is sparse, which is not supported");
        }
        self.nodes(scope, graph.node)
    }

    fn nodes(&mut self, scope: &str, nodes: Vec<NodeProto>) -> Result<(), TensorError> {
        for (idx, node) in nodes.into_iter().enumerate() {
            let is_constant = node.op_type == "Constant" && matches!(node.domain.as_str(), "" | "ai.onnx");
            let name = match node.output.into_iter().next() {
                Some(output) if !output.is_empty() => output,
                _ if !node.name.is_empty() => node.name,
                _ => format!("{}#{idx}", node.op_type),
            };
            for attribute in node.attribute {
                let sparse = attribute.sparse_tensor.iter().flat_map(SparseTensorProto::parts);
                attribute.t.iter().chain(sparse).for_each(|it| self.note_sibling(it));
                if is_constant {
                    self.constant(format!("{scope}{name}"), attribute)?;
                    continue;
                }
                let holder = format!("{scope}{name}.{}", attribute.name);
                if let Some(graph) = attribute.g {
                    self.graph(&format!("{holder}/"), graph)?;
                }
                for (idx, graph) in attribute.graphs.into_iter().enumerate() {
                    self.graph(&format!("{holder}[{idx}]/"), graph)?;
                }
            }
        }
        Ok(())
    }

    fn constant(&mut self, name: String, attribute: AttributeProto) -> Result<(), TensorError> {
        let list = |n: usize| vec![n as u64];
        let (dtype, shape, bytes) = match attribute.name.as_str() {
            "value" => match attribute.t {
                Some(tensor) => return self.tensor(name, tensor),
                None => {
                    return Err(self.site.corrupt(tensor(&name), "is a constant without a value"));
                }
            },
            "value_float" => (DType::F32, vec![], attribute.f.to_le_bytes().to_vec()),
            "value_int" => (DType::I64, vec![], attribute.i.to_le_bytes().to_vec()),
            "value_floats" => (
                DType::F32,
                list(attribute.floats.len()),
                attribute.floats.iter().flat_map(|it| it.to_le_bytes()).collect(),
            ),
            "value_ints" => (
                DType::I64,
                list(attribute.ints.len()),
                attribute.ints.iter().flat_map(|it| it.to_le_bytes()).collect(),
            ),
            other => {
                let lost = if other.starts_with("value_string") { Lost::Finite } else { Lost::Numbers };
                self.catalog.skip(name, lost, format!("is a constant given as `{other}`, which is not supported"));
                return Ok(());
            }
        };
        self.catalog.add_exact(self.site, TensorInfo { name, dtype, shape }, bytes.into())
    }

    /// Notes the file that a tensor is in, which it is whether or not the tensor can be read.
    fn note_sibling(&mut self, proto: &TensorProto) {
        if proto.data_location == EXTERNAL {
            let location = external_field(proto, "location").unwrap_or_default();
            self.catalog.sibling.get_or_insert_with(|| location.to_owned());
        }
    }

    fn tensor(&mut self, name: String, proto: TensorProto) -> Result<(), TensorError> {
        self.note_sibling(&proto);
        let Some(dtype) = dtype(proto.data_type) else { return self.unread(name, proto) };
        if proto.segment.is_some() {
            return Err(self.site.corrupt(tensor(&name), "is one segment of a tensor"));
        }
        let shape = unsigned_shape(self.site, &name, &proto.dims)?;
        let bytes = if proto.data_location == EXTERNAL {
            self.external(&name, &proto)?
        } else if let Some(raw) = proto.raw_data {
            raw
        } else {
            typed_data(dtype, &proto).map_err(|problem| self.site.corrupt(tensor(&name), problem))?.into()
        };
        self.catalog.add_exact(self.site, TensorInfo { name, dtype, shape }, bytes)
    }

    /// Adds a tensor whose values are not read, with its elements as raw data would have them.
    fn unread(&mut self, name: String, proto: TensorProto) -> Result<(), TensorError> {
        let element = unread::element(proto.data_type);
        let called = element.as_ref().map_or_else(|| proto.data_type.to_string(), |it| it.0.to_owned());
        let reason = format!("has ONNX element type {called}, which is not supported");
        let lost = if unread::FINITE.contains(&proto.data_type) { Lost::Finite } else { Lost::Numbers };
        let elements = if proto.data_location == EXTERNAL {
            // Where it cannot be had, nobody misses it but who compares.
            self.external(&name, &proto).ok()
        } else if proto.raw_data.is_some() {
            proto.raw_data
        } else {
            unread::typed_data(&proto).map(Bytes::from)
        };
        match elements {
            Some(elements) => {
                let shape = unsigned_shape(self.site, &name, &proto.dims)?;
                self.catalog.skip_stored(name, lost, reason, Opaque::new(element.map(|it| it.1), shape, elements));
            }
            None => self.catalog.skip(name, lost, reason),
        }
        Ok(())
    }

    fn external(&mut self, name: &str, proto: &TensorProto) -> Result<Bytes, TensorError> {
        let place = tensor(name);
        let number = |key: &str| match external_field(proto, key) {
            None => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| {
                self.site.corrupt(place.as_str(), format!("has `{}` as external {key}", text.escape_debug()))
            }),
        };
        let location = external_field(proto, "location").unwrap_or_default();
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let file = match self.files.get(location) {
            Some(file) => file.clone(),
            None => {
                if self.files.len() >= MAX_EXTERNAL_FILES {
                    let limit = MAX_EXTERNAL_FILES as u64;
                    return Err(self.site.limit(place, "is in one data file too many", limit));
                }
                let file = map_lone_sibling(self.site, &place, location)?;
                self.files.insert(location.to_owned(), file.clone());
                file
            }
        };
        let end = length.map_or(Some(file.len()), |length| offset.checked_add(length));
        match end {
            Some(end) if offset <= end && end <= file.len() => Ok(file.slice(offset..end)),
            _ => Err(self
                .site
                .corrupt(place, format!("lies past the end of `{location}`, which has {} bytes", file.len()))),
        }
    }
}

fn external_field<'a>(proto: &'a TensorProto, key: &str) -> Option<&'a str> {
    proto.external_data.iter().find(|it| it.key == key).map(|it| it.value.as_str())
}

/// Returns the little-endian bytes of values that were not stored raw.
///
/// Small types are kept one value per `int32`; one that does not fit its type is an error.
fn typed_data(dtype: DType, proto: &TensorProto) -> Result<Vec<u8>, String> {
    let narrow = |it: i32, fits: bool, size: usize| {
        if fits { Ok(it.to_le_bytes().into_iter().take(size)) } else { Err(format!("has the value {it} as {dtype}")) }
    };
    let narrowed = |fits: fn(i32) -> bool| -> Result<Vec<u8>, String> {
        let mut res = Vec::with_capacity(proto.int32_data.len().saturating_mul(dtype.size()));
        for &it in &proto.int32_data {
            res.extend(narrow(it, fits(it), dtype.size())?);
        }
        Ok(res)
    };
    match dtype {
        DType::F32 => Ok(proto.float_data.iter().flat_map(|it| it.to_le_bytes()).collect()),
        DType::F64 => Ok(proto.double_data.iter().flat_map(|it| it.to_le_bytes()).collect()),
        DType::I64 => Ok(proto.int64_data.iter().flat_map(|it| it.to_le_bytes()).collect()),
        DType::U64 => Ok(proto.uint64_data.iter().flat_map(|it| it.to_le_bytes()).collect()),
        DType::U32 => {
            let mut res = Vec::with_capacity(proto.uint64_data.len().saturating_mul(4));
            for &it in &proto.uint64_data {
                let it = u32::try_from(it).map_err(|_| format!("has the value {it} as {dtype}"))?;
                res.extend(it.to_le_bytes());
            }
            Ok(res)
        }
        DType::I32 => narrowed(|_| true),
        DType::I16 => narrowed(|it| i16::try_from(it).is_ok()),
        DType::I8 => narrowed(|it| i8::try_from(it).is_ok()),
        DType::U16 | DType::F16 | DType::Bf16 => narrowed(|it| u16::try_from(it).is_ok()),
        DType::U8 => narrowed(|it| u8::try_from(it).is_ok()),
        DType::Bool => narrowed(|it| matches!(it, 0 | 1)),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use prost::Message;

    use super::{
        super::proto::{OperatorSetIdProto, StringStringEntryProto},
        *,
    };
    use crate::TensorFile;

    fn proto(name: &str, data_type: i32, dims: &[i64]) -> TensorProto {
        TensorProto { name: name.to_owned(), data_type, dims: dims.to_vec(), ..TensorProto::default() }
    }

    fn open(folder: &Path, graph: GraphProto) -> Result<TensorFile, String> {
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 20 }];
        let model = ModelProto { ir_version: 8, graph: Some(graph), opset_import, ..ModelProto::default() };
        let path = folder.join("model.onnx");
        fs::write(&path, model.encode_to_vec()).unwrap();
        TensorFile::open(&path).map_err(|it| it.to_string())
    }

    fn read_one(tensor: TensorProto) -> Result<Vec<f64>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = open(folder.path(), GraphProto { initializer: vec![tensor], ..GraphProto::default() })?;
        if let Some(it) = file.skipped().first() {
            return Err(it.reason.clone());
        }
        Ok(file.get("w").unwrap().unwrap().values_f64())
    }

    #[test]
    fn typed_fields_hold_the_values_of_their_types() {
        let ints =
            |data_type, values: &[i32]| TensorProto { int32_data: values.to_vec(), ..proto("w", data_type, &[2]) };
        let cases = [
            (TensorProto { float_data: vec![1.5, -2.0], ..proto("w", 1, &[2]) }, [1.5, -2.0]),
            (TensorProto { double_data: vec![0.1, -2.0], ..proto("w", 11, &[2, 1]) }, [0.1, -2.0]),
            (TensorProto { int64_data: vec![-1, 1 << 40], ..proto("w", 7, &[2]) }, [-1.0, 1_099_511_627_776.0]),
            (TensorProto { uint64_data: vec![3, 4], ..proto("w", 13, &[2]) }, [3.0, 4.0]),
            (TensorProto { uint64_data: vec![3, 4_294_967_295], ..proto("w", 12, &[2]) }, [3.0, 4_294_967_295.0]),
            (TensorProto { raw_data: Some(vec![5, 0, 6, 0].into()), ..proto("w", 4, &[2]) }, [5.0, 6.0]),
            (ints(2, &[0, 255]), [0.0, 255.0]),
            (ints(3, &[-128, 127]), [-128.0, 127.0]),
            (ints(4, &[0, 65535]), [0.0, 65535.0]),
            (ints(5, &[-32768, 1]), [-32768.0, 1.0]),
            (ints(6, &[i32::MIN, 1]), [-2_147_483_648.0, 1.0]),
            (ints(9, &[0, 1]), [0.0, 1.0]),
            (ints(10, &[0x3c00, 0xc000]), [1.0, -2.0]),
            (ints(16, &[0x3fc0, 0xbf80]), [1.5, -1.0]),
        ];
        for (tensor, want) in cases {
            assert_eq!(read_one(tensor.clone()).unwrap(), want, "{tensor:?}");
        }
    }

    #[test]
    fn what_is_not_read_is_compared_however_it_is_stored() {
        let ints = |data_type, n| TensorProto { int32_data: vec![0x21, 0x7f], ..proto("w", data_type, &[n]) };
        let texts = |it: &'static str| TensorProto { string_data: vec!["a".into(), it.into()], ..proto("w", 8, &[2]) };
        let raw = |of: TensorProto, bytes: &[u8]| TensorProto {
            raw_data: Some(bytes.to_vec().into()),
            int32_data: vec![],
            float_data: vec![],
            ..of
        };
        let complex = TensorProto { float_data: vec![1.5, -2.0], ..proto("w", 14, &[1]) };
        let of_complex = [1.5_f32, -2.0].iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<_>>();
        let (fp8, int4) = (ints(17, 2), ints(22, 4));
        let cases = [
            (fp8.clone(), raw(fp8.clone(), &[0x21, 0x7f]), "FLOAT8E4M3FN", true),
            (fp8.clone(), raw(fp8, &[0x21, 0x7e]), "FLOAT8E4M3FN", false),
            (int4.clone(), raw(int4, &[0x21, 0x7f]), "INT4", true),
            (complex.clone(), raw(complex, &of_complex), "COMPLEX64", true),
            (texts("b"), texts("b"), "STRING", true),
            (texts("b"), texts("bc"), "STRING", false),
        ];
        for (left, right, name, is_same) in cases {
            let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let opened = |at: usize, it: TensorProto| {
                open(folders[at].path(), GraphProto { initializer: vec![it], ..GraphProto::default() }).unwrap()
            };
            let (left, right) = (opened(0, left), opened(1, right));
            let (a, b) = (&left.skipped()[0], &right.skipped()[0]);
            assert_eq!(a.reason, format!("has ONNX element type {name}, which is not supported"));
            assert_eq!(crate::has_same_elements((&left, a), (&right, b)).unwrap(), Some(is_same), "{name}");
        }
    }

    #[test]
    fn lying_tensors_are_refused() {
        let raw = |dims: &[i64]| TensorProto { raw_data: Some(vec![0; 8].into()), ..proto("w", 1, dims) };
        let cases = [
            (raw(&[3]), "holds 8 bytes where 3 elements"),
            (raw(&[-2]), "negative dimension -2"),
            (raw(&[1 << 62, 1 << 62]), "overflows"),
            (raw(&[i64::MAX]), "overflows"),
            (proto("w", 1, &[4]), "holds 0 bytes"),
            (proto("", 1, &[0]), "has no name"),
            (proto("w", 8, &[1]), "not supported"),
            (TensorProto { int32_data: vec![256], ..proto("w", 2, &[1]) }, "has the value 256 as u8"),
            (TensorProto { int32_data: vec![-1], ..proto("w", 10, &[1]) }, "has the value -1 as f16"),
        ];
        for (tensor, want) in cases {
            let error = read_one(tensor).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn external_data_stays_inside_the_folder_of_the_model() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("model");
        fs::create_dir_all(folder.join("data")).unwrap();
        fs::write(outer.path().join("secret"), [0; 16]).unwrap();
        fs::write(folder.join("data/w.bin"), [1_u8, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]).unwrap();
        std::os::unix::fs::symlink("../secret", folder.join("link")).unwrap();
        std::os::unix::fs::symlink("..", folder.join("up")).unwrap();
        fs::hard_link(outer.path().join("secret"), folder.join("twin")).unwrap();
        let read = |location: &str, offset: &str, length: &str| {
            let entry =
                |key: &str, value: &str| StringStringEntryProto { key: key.to_owned(), value: value.to_owned() };
            let external_data = vec![entry("location", location), entry("offset", offset), entry("length", length)];
            let tensor = TensorProto { external_data, data_location: EXTERNAL, ..proto("w", 6, &[2]) };
            let file = open(&folder, GraphProto { initializer: vec![tensor], ..GraphProto::default() })?;
            Ok::<_, String>(file.get("w").unwrap().unwrap().values_f64())
        };
        assert_eq!(read("data/w.bin", "4", "8").unwrap(), [2.0, 3.0]);
        let cases = [
            ("../secret", "0", "8", "not inside the folder"),
            ("data/../../secret", "0", "8", "not inside the folder"),
            ("/etc/passwd", "0", "8", "not inside the folder"),
            ("link", "0", "8", "symbolic link"),
            ("up/secret", "0", "8", "symbolic link"),
            ("twin", "0", "8", "another name as a hard link"),
            ("", "0", "8", "no file name"),
            ("absent", "0", "8", "cannot read"),
            ("data", "0", "8", "cannot read"),
            ("data/w.bin", "8", "8", "past the end"),
            ("data/w.bin", "18446744073709551615", "8", "past the end"),
            ("data/w.bin", "-1", "8", "as external offset"),
            ("data/w.bin", "0", "4", "holds 4 bytes"),
        ];
        for (location, offset, length, want) in cases {
            let error = read(location, offset, length).unwrap_err();
            assert!(error.contains(want), "{location}: {error}");
        }
    }

    #[test]
    fn another_file_is_named_whether_or_not_what_is_in_it_can_be_read() {
        let location = StringStringEntryProto { key: "location".to_owned(), value: "w.bin".to_owned() };
        let external = |data_type| TensorProto {
            external_data: vec![location.clone()],
            data_location: EXTERNAL,
            ..proto("w", data_type, &[8])
        };
        let constant = |attribute| NodeProto {
            op_type: "Constant".to_owned(),
            output: vec!["w".to_owned()],
            attribute: vec![attribute],
            ..NodeProto::default()
        };
        let (int4, indices) = (external(22), Some(external(7)));
        let sparse = SparseTensorProto { values: Some(proto("w", 1, &[8])), indices };
        let of_sparse = AttributeProto { sparse_tensor: Some(sparse.clone()), ..AttributeProto::default() };
        let of_value = AttributeProto { name: "value".to_owned(), t: Some(int4.clone()), ..AttributeProto::default() };
        let cases = [
            GraphProto { initializer: vec![int4], ..GraphProto::default() },
            GraphProto { sparse_initializer: vec![sparse], ..GraphProto::default() },
            GraphProto { node: vec![constant(of_value)], ..GraphProto::default() },
            GraphProto { node: vec![constant(of_sparse)], ..GraphProto::default() },
        ];
        let folder = tempfile::tempdir().unwrap();
        for graph in cases {
            let file = open(folder.path(), graph.clone()).unwrap();
            assert_eq!((file.sibling(), file.skipped().len()), (Some("w.bin"), 1), "{graph:?}");
        }
    }

    #[test]
    fn constants_and_subgraphs_are_named_by_where_they_are() {
        let scalar = |name: &str, value: f32| TensorProto { float_data: vec![value], ..proto(name, 1, &[]) };
        let constant = |output: &str, attribute: AttributeProto| NodeProto {
            op_type: "Constant".to_owned(),
            output: vec![output.to_owned()],
            attribute: vec![attribute],
            ..NodeProto::default()
        };
        let branch = |value: f32| GraphProto {
            initializer: vec![scalar("w", value)],
            node: vec![constant(
                "c",
                AttributeProto { name: "value_ints".to_owned(), ints: vec![7, 8], ..AttributeProto::default() },
            )],
            ..GraphProto::default()
        };
        let attribute = |name: &str, graph: GraphProto| AttributeProto {
            name: name.to_owned(),
            g: Some(graph),
            ..AttributeProto::default()
        };
        let graph = GraphProto {
            initializer: vec![scalar("w", 1.0)],
            node: vec![
                constant(
                    "k",
                    AttributeProto { name: "value".to_owned(), t: Some(scalar("", 4.0)), ..AttributeProto::default() },
                ),
                NodeProto {
                    op_type: "If".to_owned(),
                    output: vec!["y".to_owned()],
                    attribute: vec![attribute("then_branch", branch(2.0)), attribute("else_branch", branch(3.0))],
                    ..NodeProto::default()
                },
            ],
            ..GraphProto::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let file = open(folder.path(), graph.clone()).unwrap();
        let found: Vec<(&str, f64)> = file
            .infos()
            .iter()
            .map(|it| (it.name.as_str(), file.get(&it.name).unwrap().unwrap().values_f64()[0]))
            .collect();
        let want = [
            ("k", 4.0),
            ("w", 1.0),
            ("y.else_branch/c", 7.0),
            ("y.else_branch/w", 3.0),
            ("y.then_branch/c", 7.0),
            ("y.then_branch/w", 2.0),
        ];
        assert_eq!(found, want);

        let twice = GraphProto { initializer: vec![scalar("w", 1.0), scalar("w", 2.0)], ..graph };
        assert!(open(folder.path(), twice).unwrap_err().contains("tensor `w` is there twice"));
    }
}
