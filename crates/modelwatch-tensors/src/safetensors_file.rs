//! Safetensors, one file.

use std::{collections::BTreeSet, fmt};

use prost::bytes::Bytes;
use safetensors::{Dtype, SafeTensors};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::{
    catalog::{Catalog, Lost, tensor},
    dtype::DType,
    error::{Site, TensorError},
    opaque::{Element, Opaque},
    tensor::TensorInfo,
};

const LENGTH_FIELD: usize = 8;

/// Lists the tensors of one file.
pub(crate) fn read(site: Site<'_>, bytes: &Bytes) -> Result<Catalog, TensorError> {
    let (header_len, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| invalid(site, error))?;
    let data_start = LENGTH_FIELD.saturating_add(header_len);
    let header = bytes.get(LENGTH_FIELD..data_start).unwrap_or_default();
    refuse_duplicates(site, header)?;
    let mut catalog = Catalog::default();
    for (key, value) in metadata.metadata().iter().flatten() {
        catalog.note(key, value.as_str());
    }
    for (name, found) in metadata.tensors() {
        let (start, end) = found.data_offsets;
        let range = data_start.checked_add(start).zip(data_start.checked_add(end));
        let Some((start, end)) = range.filter(|(start, end)| start <= end && *end <= bytes.len()) else {
            return Err(site.corrupt(tensor(&name), "lies outside the file"));
        };
        let shape = found.shape.iter().map(|&dim| dim as u64).collect();
        let Some(dtype) = dtype(found.dtype) else {
            let lost = match found.dtype {
                Dtype::F4 | Dtype::F6_E2M3 | Dtype::F6_E3M2 => Lost::Finite,
                _ => Lost::Numbers,
            };
            let reason = format!("has element type {:?}, which is not supported", found.dtype);
            let element = Some(Element::of_safetensors(found.dtype));
            catalog.skip_stored(name, lost, reason, Opaque::new(element, shape, bytes.slice(start..end)));
            continue;
        };
        catalog.add_exact(site, TensorInfo { name, dtype, shape }, bytes.slice(start..end))?;
    }
    Ok(catalog)
}

fn dtype(found: Dtype) -> Option<DType> {
    Some(match found {
        Dtype::BOOL => DType::Bool,
        Dtype::U8 => DType::U8,
        Dtype::I8 => DType::I8,
        Dtype::I16 => DType::I16,
        Dtype::U16 => DType::U16,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::Bf16,
        Dtype::I32 => DType::I32,
        Dtype::U32 => DType::U32,
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        Dtype::I64 => DType::I64,
        Dtype::U64 => DType::U64,
        _ => return None,
    })
}

/// The library keeps the last of two entries of one name; other readers keep the first.
fn refuse_duplicates(site: Site<'_>, header: &[u8]) -> Result<(), TensorError> {
    serde_json::from_slice::<UniqueKeys>(header).map(|_| ()).map_err(|error| invalid(site, error))
}

fn invalid(site: Site<'_>, error: impl fmt::Display) -> TensorError {
    site.corrupt("the header", format!("is invalid: {error}"))
}

struct UniqueKeys;

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueKeysVisitor)
    }
}

struct UniqueKeysVisitor;

impl<'de> Visitor<'de> for UniqueKeysVisitor {
    type Value = UniqueKeys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueKeys, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some((key, IgnoredAny)) = map.next_entry::<String, _>()? {
            if let Some(twice) = seen.replace(key) {
                return Err(serde::de::Error::custom(format_args!("tensor `{twice}` is there twice")));
            }
        }
        Ok(UniqueKeys)
    }
}
