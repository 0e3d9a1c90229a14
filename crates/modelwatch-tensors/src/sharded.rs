//! Checkpoints in several files, with an index that says which tensor is in which.

use std::{collections::BTreeMap, io};

use prost::bytes::Bytes;
use serde_json::{Map, Value};

use crate::{
    catalog::{Catalog, tensor},
    error::{Site, TensorError},
    sibling::map_sibling,
};

/// The limit of safetensors for a header; an index is no larger than the headers it stands for.
const MAX_INDEX: usize = 100_000_000;

/// Lists the tensors of all shards that an index names, each read by `read`.
pub(crate) fn read(
    site: Site<'_>,
    bytes: &Bytes,
    read: fn(Site<'_>, &Bytes) -> Result<Catalog, TensorError>,
) -> Result<Catalog, TensorError> {
    if bytes.len() > MAX_INDEX {
        return Err(site.limit("the index", format!("has {} bytes", bytes.len()), MAX_INDEX as u64));
    }
    let index: Index = serde_json::from_slice(bytes).map_err(|error| site.corrupt("the index", error))?;
    let mut shards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, shard) in &index.weight_map {
        shards.entry(shard).or_default().push(name);
    }
    let mut catalog = Catalog::default();
    for (key, value) in index.metadata {
        catalog.note(&key, value);
    }
    for (shard, names) in shards {
        let place = format!("shard `{}`", shard.escape_debug());
        let path = site.path.with_file_name(shard);
        let shard_bytes = map_sibling(site, &place, shard).map_err(|e| match e {
            TensorError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                site.unsupported(format!("{place} is not there"), "put all shards beside the index")
            }
            e => e,
        })?;
        let found = read(Site { path: &path, ..site }, &shard_bytes)?;
        let known = found.names();
        if let Some(missing) = names.iter().find(|name| !known.contains(**name)) {
            return Err(site.corrupt(tensor(missing), format!("is not in its shard `{shard}`")));
        }
        catalog.extend(found);
        catalog.sibling.get_or_insert_with(|| shard.to_owned());
        catalog.shards.push(shard.to_owned());
    }
    Ok(catalog)
}

#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
    #[serde(default)]
    metadata: Map<String, Value>,
}
