//! TensorFlow Lite: the constant tensors of a model, with their quantized types.
//!
//! Of the schema only what leads to weights is read: `Model.subgraphs` and `.buffers`, `SubGraph.tensors`,
//! and of a tensor its shape, type, buffer and name. Scales and zero points of quantized tensors are not applied.

mod flatbuffer;

use std::collections::HashSet;

use prost::bytes::Bytes;

use self::flatbuffer::{Flatbuffer, Table};
use crate::{
    catalog::{Catalog, Lost, tensor, unsigned_shape},
    dtype::DType,
    error::{Site, TensorError},
    opaque::Opaque,
    tensor::TensorInfo,
};

const MAX_TENSORS: usize = 1_000_000;
const MAX_NAME: usize = 4096;

/// Lists the tensors that have a buffer with data; what is only computed has none.
///
/// Names are those of the file; those of a further subgraph follow `subgraph<n>/`, and a name that is there twice
/// is followed by the number of the tensor.
pub(crate) fn read(site: Site<'_>, bytes: &Bytes) -> Result<Catalog, TensorError> {
    let damaged = |problem: String| site.corrupt("the model", problem);
    let file = Flatbuffer(bytes);
    let model = file.root().map_err(damaged)?;
    let buffers = model.tables(4).map_err(damaged)?;
    let mut catalog = Catalog::default();
    if let Some(description) = model.text(3, MAX_NAME).map_err(damaged)? {
        catalog.note("description", description);
    }
    catalog.note("schema_version", model.u32(0).map_err(damaged)?.unwrap_or(0));
    catalog.note("framework", "tflite");
    let mut names = HashSet::new();
    let mut n_tensors = 0;
    for (subgraph_idx, subgraph) in model.tables(2).map_err(damaged)?.enumerate() {
        for (idx, found) in subgraph.map_err(damaged)?.tables(0).map_err(damaged)?.enumerate() {
            n_tensors += 1;
            if n_tensors > MAX_TENSORS {
                return Err(site.limit("the model", "has one tensor too many", MAX_TENSORS as u64));
            }
            let found = found.map_err(damaged)?;
            let buffer_idx = found.u32(2).map_err(damaged)?.unwrap_or(0) as usize;
            let buffer = buffers.get(buffer_idx).map_err(damaged)?;
            let name = found.text(3, MAX_NAME).map_err(damaged)?.unwrap_or_default();
            let scope = if subgraph_idx == 0 { String::new() } else { format!("subgraph{subgraph_idx}/") };
            let mut name = format!("{scope}{name}");
            let Some(data) = data(bytes, buffer).map_err(|problem| site.corrupt(tensor(&name), problem))? else {
                continue;
            };
            if name.is_empty() || names.contains(&name) {
                name = format!("{name}#{idx}");
            }
            names.insert(name.clone());
            add(site, name, found, data, &mut catalog)?;
        }
    }
    Ok(catalog)
}

fn add(site: Site<'_>, name: String, found: Table<'_>, data: Bytes, catalog: &mut Catalog) -> Result<(), TensorError> {
    let damaged = |problem: String| site.corrupt(tensor(&name), problem);
    let number = found.u8(1).map_err(damaged)?.unwrap_or(0);
    let is_sparse = found.table(6).map_err(damaged)?.is_some();
    let dims: Vec<i64> = found.i32s(0).map_err(damaged)?;
    let Some(dtype) = dtype(number).filter(|_| !is_sparse) else {
        let reason = match number {
            _ if is_sparse => "is sparse, which is not supported".to_owned(),
            5 => "holds strings, not numbers".to_owned(),
            _ => format!("has TensorFlow Lite element type {number}, which is not supported"),
        };
        let lost = match number {
            _ if is_sparse => Lost::Numbers,
            // Strings, and integers of four bits.
            5 | 17 => Lost::Finite,
            // Resources and variants are no arrays.
            13 | 14 => Lost::Nothing,
            _ => Lost::Numbers,
        };
        if is_sparse {
            catalog.skip(name, lost, reason);
        } else {
            let shape = unsigned_shape(site, &name, &dims)?;
            catalog.skip_stored(name, lost, reason, Opaque::new(None, shape, data));
        }
        return Ok(());
    };
    let shape = unsigned_shape(site, &name, &dims)?;
    catalog.add_exact(site, TensorInfo { name, dtype, shape }, data)
}

/// Returns the bytes of a buffer, inside the flatbuffer or, in large models, behind it.
fn data(file: &Bytes, buffer: Table<'_>) -> Result<Option<Bytes>, String> {
    if let Some(range) = buffer.bytes(0)? {
        return Ok((!range.is_empty()).then(|| file.slice(range)));
    }
    let (offset, size) = (buffer.u64(1)?.unwrap_or(0), buffer.u64(2)?.unwrap_or(0));
    // The schema reserves 0 for nothing and 1 for what the writer has not placed yet.
    if offset <= 1 || size == 0 {
        return Ok(None);
    }
    let end = offset.checked_add(size).filter(|&it| it <= file.len() as u64);
    let range = end.and_then(|end| Some(usize::try_from(offset).ok()?..usize::try_from(end).ok()?));
    let range = range.ok_or_else(|| format!("lies past the end of the file, which has {} bytes", file.len()))?;
    Ok(Some(file.slice(range)))
}

/// Returns the element type that a number of `TensorType` stands for.
fn dtype(number: u8) -> Option<DType> {
    Some(match number {
        0 => DType::F32,
        1 => DType::F16,
        2 => DType::I32,
        3 => DType::U8,
        4 => DType::I64,
        6 => DType::Bool,
        7 => DType::I16,
        9 => DType::I8,
        10 => DType::F64,
        12 => DType::U64,
        15 => DType::U32,
        16 => DType::U16,
        18 => DType::Bf16,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{format::Format, tree::Tree};

    /// A table whose fields are references to what follows, or numbers.
    enum Field {
        Absent,
        Number(Vec<u8>),
        At(usize),
    }

    /// Writes from the front, so that references are known only after what they point to was laid out by hand.
    fn table(position: usize, fields: &[Field]) -> Vec<u8> {
        let vtable_len = 4 + 2 * fields.len();
        let mut body = vec![];
        let mut offsets = vec![];
        for field in fields {
            let at = 4 + body.len();
            match field {
                Field::Absent => offsets.push(0),
                Field::Number(bytes) => {
                    offsets.push(u16::try_from(at).unwrap());
                    body.extend(bytes);
                }
                Field::At(target) => {
                    offsets.push(u16::try_from(at).unwrap());
                    let here = position + at;
                    body.extend(u32::try_from(target - here).unwrap().to_le_bytes());
                }
            }
        }
        // The vtable follows the table, which its signed offset allows.
        let mut res = (-i32::try_from(4 + body.len()).unwrap()).to_le_bytes().to_vec();
        res.extend(&body);
        res.extend(u16::try_from(vtable_len).unwrap().to_le_bytes());
        res.extend(u16::try_from(4 + body.len()).unwrap().to_le_bytes());
        res.extend(offsets.into_iter().flat_map(u16::to_le_bytes));
        res
    }

    fn place(file: &mut Vec<u8>, position: usize, bytes: &[u8]) {
        file.resize(file.len().max(position + bytes.len()), 0);
        file[position..position + bytes.len()].copy_from_slice(bytes);
    }

    fn reference(position: usize, targets: &[usize]) -> Vec<u8> {
        let mut res = u32::try_from(targets.len()).unwrap().to_le_bytes().to_vec();
        for (idx, target) in targets.iter().enumerate() {
            let here = position + 4 + 4 * idx;
            res.extend(u32::try_from(target - here).unwrap().to_le_bytes());
        }
        res
    }

    /// A model of one tensor `w` with this type and dimension, whose buffer is behind the flatbuffer.
    fn model(number: u8, dim: i32, offset: u64, size: u64) -> Bytes {
        let mut file = vec![];
        place(&mut file, 0, &[16, 0, 0, 0]);
        place(&mut file, 4, b"TFL3");
        let fields = [Field::Number(vec![3, 0, 0, 0]), Field::Absent, Field::At(100), Field::Absent, Field::At(300)];
        let bytes = table(16, &fields);
        place(&mut file, 16, &bytes);
        place(&mut file, 100, &reference(100, &[120]));
        place(&mut file, 120, &table(120, &[Field::At(150)]));
        place(&mut file, 150, &reference(150, &[170]));
        let fields = [Field::At(220), Field::Number(vec![number]), Field::Number(vec![1, 0, 0, 0]), Field::At(230)];
        place(&mut file, 170, &table(170, &fields));
        place(&mut file, 220, &[&[1, 0, 0, 0], &dim.to_le_bytes()[..]].concat());
        place(&mut file, 230, &[1, 0, 0, 0, b'w']);
        place(&mut file, 300, &reference(300, &[330, 350]));
        place(&mut file, 330, &table(330, &[]));
        let fields =
            [Field::Absent, Field::Number(offset.to_le_bytes().to_vec()), Field::Number(size.to_le_bytes().to_vec())];
        place(&mut file, 350, &table(350, &fields));
        place(&mut file, 400, &[7, 0, 8, 0]);
        file.into()
    }

    fn values(bytes: &Bytes) -> Result<Vec<f64>, String> {
        let site = Site { path: Path::new("it.tflite"), format: Format::TfLite, tree: Tree::Disk };
        let found = read(site, bytes).and_then(|it| it.finish(site)).map_err(|it| it.to_string())?;
        if let Some(it) = found.skipped.first() {
            return Err(format!("{} {}", it.name, it.reason));
        }
        let bytes = found.data[0].read(site, &found.infos[0]).map_err(|it| it.to_string())?;
        Ok(crate::TensorRef { info: &found.infos[0], bytes: &bytes }.values_f64())
    }

    #[test]
    fn buffers_behind_the_flatbuffer_are_read() {
        assert_eq!(values(&model(7, 2, 400, 4)).unwrap(), [7.0, 8.0]);
        assert_eq!(values(&model(3, 4, 400, 4)).unwrap(), [7.0, 0.0, 8.0, 0.0]);
    }

    #[test]
    fn lying_models_are_refused() {
        let cut = model(7, 2, 400, 4);
        let cases = [
            (model(7, 2, 401, 4), "lies past the end of the file, which has 404 bytes"),
            (model(7, 2, u64::MAX, 4), "lies past the end"),
            (model(7, 3, 400, 4), "holds 4 bytes where 3 elements of i16"),
            (model(7, -2, 400, 4), "negative dimension -2"),
            (model(5, 2, 400, 4), "w holds strings"),
            (model(17, 2, 400, 4), "w has TensorFlow Lite element type 17"),
            (cut.slice(..160), "reaches past the end"),
            (cut.slice(..9), "reaches past the end"),
        ];
        for (bytes, want) in cases {
            let error = values(&bytes).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
        assert!(
            read(Site { path: Path::new("it"), format: Format::TfLite, tree: Tree::Disk }, &model(7, 2, 1, 4))
                .unwrap()
                .names()
                .is_empty()
        );
    }
}
