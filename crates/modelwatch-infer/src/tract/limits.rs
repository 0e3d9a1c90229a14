//! What a graph may cost before it is refused, well above what the largest known models need.

use std::path::Path;

use prost::Message;

use super::wire::{self, Schema};
use crate::{error::InferError, spec::ModelFormat};

/// Nodes in a file, and after functions are put in place of their calls.
pub(super) const MAX_NODES: u64 = 400_000;
/// Fields of protobuf messages on all levels.
pub(super) const MAX_FIELDS: u64 = 10_000_000;
/// Functions that are open at once.
pub(super) const MAX_FUNCTION_DEPTH: usize = 64;
/// Bytes of names and attributes that inlining may copy.
pub(super) const MAX_COPIED_BYTES: usize = 256 << 20;
/// Elements of all constants that a file gives by fewer values than they have elements.
pub(super) const MAX_REPEATED: usize = 1 << 26;
/// Elements of one tensor that a graph describes by its shape alone.
pub(super) const MAX_ELEMENTS: u64 = 1 << 27;
/// Bytes of one protobuf message, a limit of protobuf itself.
const MAX_MESSAGE_BYTES: u64 = 2 << 30;

/// Reads and decodes a protobuf file, if what it would allocate is within the limits.
pub(super) fn decode<M: Message + Default>(
    path: &Path,
    format: ModelFormat,
    schema: &'static Schema,
) -> Result<M, InferError> {
    decode_bytes(path, &read(path)?, format, schema)
}

/// Reads a file that is one protobuf message.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, InferError> {
    let open = |source| InferError::Open { path: path.to_path_buf(), source };
    let bytes = std::fs::metadata(path).map_err(open)?.len();
    check(path, bytes, "bytes in one protobuf message", MAX_MESSAGE_BYTES)?;
    std::fs::read(path).map_err(open)
}

/// Decodes what was read of a file, if what it would allocate is within the limits.
pub(super) fn decode_bytes<M: Message + Default>(
    path: &Path,
    bytes: &[u8],
    format: ModelFormat,
    schema: &'static Schema,
) -> Result<M, InferError> {
    let malformed = |reason| InferError::Malformed { path: path.to_path_buf(), format, reason };
    let counts = wire::count(bytes, schema).map_err(malformed)?;
    check(path, counts.nodes, "nodes", MAX_NODES)?;
    check(path, counts.fields, "fields", MAX_FIELDS)?;
    M::decode(bytes).map_err(|it| malformed(it.to_string()))
}

fn check(path: &Path, n: u64, what: &str, limit: u64) -> Result<(), InferError> {
    if n <= limit {
        return Ok(());
    }
    Err(InferError::Limit { path: path.to_path_buf(), what: format!("{n} {what}"), limit })
}

#[cfg(test)]
mod tests {
    use tract_tensorflow::tfpb::tensorflow::GraphDef;

    use super::*;

    #[test]
    fn a_file_of_empty_nodes_is_refused_before_it_is_decoded() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // Two bytes each.
        let decode = |n: u64| {
            std::fs::write(file.path(), b"\x0a\x00".repeat(usize::try_from(n).unwrap())).unwrap();
            decode::<GraphDef>(file.path(), ModelFormat::TfFrozen, &wire::GRAPH)
        };
        assert_eq!(decode(3).unwrap().node.len(), 3);
        let error = decode(MAX_NODES + 1).unwrap_err().to_string();
        assert!(error.contains("400001 nodes, more than the 400000 that are read"), "{error}");
    }
}
