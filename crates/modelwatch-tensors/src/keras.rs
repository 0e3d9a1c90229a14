//! `.keras`: a zip archive of the weights as HDF5, beside the description of the model as JSON.
//!
//! The description in `config.json` names the classes to build the model from; it is only looked through for code.

use prost::bytes::Bytes;
use serde_json::{Map, Value};

use crate::{
    archive,
    catalog::Catalog,
    error::{Site, TensorError},
    hdf5,
};

const WEIGHTS: &str = "model.weights.h5";
const METADATA: &str = "metadata.json";
const MAX_METADATA: u64 = 1 << 20;
const DESCRIPTION: &str = "config.json";
const MAX_DESCRIPTION: u64 = 64 << 20;

/// Lists the tensors of the weights.
pub(crate) fn read(site: Site<'_>, bytes: &Bytes) -> Result<Catalog, TensorError> {
    let mut zip = archive::open(site, bytes)?;
    let Some(idx) = zip.index_for_name(WEIGHTS) else {
        return Err(site.corrupt("the archive", format!("has no entry `{WEIGHTS}`")));
    };
    let place = format!("entry `{WEIGHTS}`");
    let weights = archive::content(site, &mut zip, idx, &place)?;
    let mut catalog = hdf5::read(site, &weights.bytes)?;
    if let Some(checksum) = weights.checksum {
        catalog.guard(&checksum);
    }
    match archive::small_content(site, &mut zip, DESCRIPTION, MAX_DESCRIPTION) {
        Ok(Some(text)) => catalog.code.look_through(&text),
        Ok(None) => {}
        Err(TensorError::Limit { limit: MAX_DESCRIPTION, .. }) => catalog.code.miss(MAX_DESCRIPTION),
        Err(e) => return Err(e),
    }
    if let Some(text) = archive::small_content(site, &mut zip, METADATA, MAX_METADATA)? {
        let metadata: Map<String, Value> = serde_json::from_slice(&text)
            .map_err(|error| site.corrupt(format!("entry `{METADATA}`"), format!("is no JSON object: {error}")))?;
        if let Some(version) = metadata.get("keras_version").and_then(Value::as_str) {
            catalog.note("framework", format!("keras {version}"));
        }
        for (key, value) in metadata {
            catalog.note(&key, value);
        }
    }
    Ok(catalog)
}
