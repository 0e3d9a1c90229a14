//! Recognizes model formats by content, never by file name.

use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read, Seek, SeekFrom},
    path::Path,
};

use crate::{error::InferError, spec::ModelFormat};

/// The largest model file that is read, in bytes.
pub const MAX_MODEL_BYTES: u64 = 8 << 30;

/// Returns the format of the model at `path`.
pub(crate) fn detect(path: &Path) -> Result<ModelFormat, InferError> {
    let open = |source| InferError::Open { path: path.to_path_buf(), source };
    let unknown = |found: &str| InferError::UnknownFormat { path: path.to_path_buf(), found: found.to_string() };
    let metadata = std::fs::metadata(path).map_err(open)?;
    if metadata.is_dir() {
        return if path.join("saved_model.pb").is_file() {
            Ok(ModelFormat::TfSavedModel)
        } else if path.join("graph.nnef").is_file() {
            Ok(ModelFormat::Nnef)
        } else {
            Err(unknown("a folder with neither `saved_model.pb` nor `graph.nnef`"))
        };
    }
    let bytes = metadata.len();
    if bytes == 0 {
        return Err(InferError::Empty { path: path.to_path_buf() });
    }
    if bytes > MAX_MODEL_BYTES {
        return Err(InferError::TooLarge { path: path.to_path_buf(), bytes, limit: MAX_MODEL_BYTES });
    }
    let mut file = BufReader::new(File::open(path).map_err(open)?);
    let mut head = Vec::new();
    file.by_ref().take(512).read_to_end(&mut head).map_err(open)?;
    if head.get(4..8) == Some(b"TFL3") {
        return Ok(ModelFormat::TfLite);
    }
    if head.starts_with(&[0x1f, 0x8b]) || head.get(257..262) == Some(b"ustar") {
        return Ok(ModelFormat::Nnef);
    }
    let known = [
        (&b"\x89HDF"[..], "an HDF5 file, which holds weights but no runnable graph"),
        (&b"PK\x03\x04"[..], "a zip archive (Keras, NumPy or PyTorch), which holds no runnable graph"),
        (&b"\x93NUMPY"[..], "a NumPy array"),
        (&b"PAR1"[..], "a Parquet file"),
    ];
    if let Some((_, found)) = known.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(unknown(found));
    }
    if head.get(8) == Some(&b'{') {
        return Err(unknown("a safetensors file, which holds weights but no graph"));
    }
    file.rewind().map_err(open)?;
    match protobuf_kind(&mut file, bytes) {
        Ok(Some(format)) => Ok(format),
        Ok(None) => Err(unknown("the content matches no known format")),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Err(unknown("the content ends inside a protobuf field"))
        }
        Err(error) => Err(open(error)),
    }
}

/// Tells the three protobuf formats apart by their top-level fields.
///
/// Field 1 is a node in a `GraphDef` and a version number in the others; field 7 is the graph of an ONNX model, and field 2 holds the graphs
/// of a SavedModel (in ONNX it is the name of the producer, a few bytes that come before the graph).
fn protobuf_kind(file: &mut (impl Read + Seek), bytes: u64) -> std::io::Result<Option<ModelFormat>> {
    let mut at = 0;
    let mut has_field_2 = false;
    while at < bytes {
        let key = varint(file)?;
        let (field, wire) = (key >> 3, key & 7);
        let skip = match (field, wire) {
            (1, 2) => return Ok(first_node_is_plausible(file)?.then_some(ModelFormat::TfFrozen)),
            (0, _) => return Ok(None),
            (_, 0) => {
                varint(file)?;
                0
            }
            (_, 1) => 8,
            (_, 5) => 4,
            (_, 2) => varint(file)?,
            _ => return Ok(None),
        };
        if (field, wire) == (7, 2) {
            return Ok(Some(ModelFormat::Onnx));
        }
        has_field_2 |= (field, wire) == (2, 2);
        let here = file.stream_position()?;
        match here.checked_add(skip) {
            Some(next) if next <= bytes => at = next,
            _ => return Err(ErrorKind::UnexpectedEof.into()),
        }
        file.seek(SeekFrom::Start(at))?;
    }
    Ok(has_field_2.then_some(ModelFormat::TfSavedModel))
}

/// Returns whether a `NodeDef` with a name follows, so that stray bytes are not taken for a graph.
fn first_node_is_plausible(file: &mut impl Read) -> std::io::Result<bool> {
    let _node_len = varint(file)?;
    let key = varint(file)?;
    let len = varint(file)?;
    Ok(key == 0x0a && len > 0 && len < 4096)
}

fn varint(file: &mut impl Read) -> std::io::Result<u64> {
    let mut res = 0;
    for shift in (0..70).step_by(7) {
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        res |= u64::from(byte[0] & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte[0] & 0x80 == 0 {
            return Ok(res);
        }
    }
    Err(ErrorKind::UnexpectedEof.into())
}
