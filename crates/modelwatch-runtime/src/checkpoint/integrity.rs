//! Whether what a store gives is what a checkpoint's id stands for.

use modelwatch_sdk::{
    DType, Error, ErrorKind, Host, TensorView,
    store::{CheckpointId, CheckpointManifest, CheckpointReader, CheckpointStore, FileEntry, TensorEntry},
};

use super::{CHUNK, CheckpointError, id_of_content};

/// Holds what a store says is in a checkpoint against the id, which stands for all of it.
///
/// # Errors
/// `Corrupt` where it is another content, or out of order.
pub(crate) fn check_manifest(id: &CheckpointId, manifest: &CheckpointManifest) -> modelwatch_sdk::Result<()> {
    let CheckpointManifest { id: said, metadata, files, tensors } = manifest;
    let is_sorted = files.is_sorted_by(|a, b| a.name < b.name) && tensors.is_sorted_by(|a, b| a.name < b.name);
    if said == id && is_sorted && id_of_content(metadata, files, tensors)? == *id {
        Ok(())
    } else {
        Err(is_another(id, "the manifest"))
    }
}

/// Holds what a store gave as the tensor of that name against a manifest that was checked.
///
/// # Errors
/// `Corrupt` where it is another one.
pub(crate) fn check_tensor(
    manifest: &CheckpointManifest,
    name: &str,
    found: Option<&TensorView<'_>>,
) -> modelwatch_sdk::Result<()> {
    let listed = manifest.tensors.binary_search_by(|it| it.name.as_str().cmp(name)).ok();
    let listed = listed.map(|at| &manifest.tensors[at]);
    let as_listed = |it: &TensorView<'_>| TensorEntry {
        name: it.name.to_owned(),
        dtype: it.dtype.to_string(),
        shape: it.shape.to_vec(),
        digest: blake3::hash(it.bytes).to_hex().to_string(),
    };
    if found.map(as_listed).as_ref() == listed {
        Ok(())
    } else {
        Err(is_another(&manifest.id, &format!("the tensor `{}`", name.escape_debug())))
    }
}

/// Reads every byte of a checkpoint, in pieces, and holds its files and tensors against their digests.
///
/// # Errors
/// When something does not verify.
pub fn verify(store: &dyn CheckpointStore, host: &dyn Host, id: &CheckpointId) -> Result<(), CheckpointError> {
    let reader = store.open(host, id)?;
    for file in &reader.manifest().files {
        each_chunk(reader.as_ref(), host, file, |_| Ok(()))?;
    }
    for tensor in &reader.manifest().tensors {
        each_chunk_of_tensor(reader.as_ref(), host, tensor, |_| Ok(()))?;
    }
    Ok(())
}

/// Hands out a file piece by piece, and returns how many bytes it has.
///
/// # Errors
/// Those of reading and of `take`; at the end also where it is another file than the manifest lists, so that what was
/// handed out is not to be used.
pub(crate) fn each_chunk(
    reader: &dyn CheckpointReader,
    host: &dyn Host,
    file: &FileEntry,
    take: impl FnMut(&[u8]) -> Result<(), CheckpointError>,
) -> Result<u64, CheckpointError> {
    let listed = Listed { what: "the file", name: &file.name, size: file.size, digest: &file.digest };
    each_piece(reader, host, &listed, |offset, out| reader.read(&file.name, offset, out), take)
}

/// As [`each_chunk`], of a tensor that was stored beside the files.
///
/// # Errors
/// As there.
pub(crate) fn each_chunk_of_tensor(
    reader: &dyn CheckpointReader,
    host: &dyn Host,
    tensor: &TensorEntry,
    take: impl FnMut(&[u8]) -> Result<(), CheckpointError>,
) -> Result<u64, CheckpointError> {
    let TensorEntry { name, dtype, shape, digest } = tensor;
    let Some(known) = DType::parse(dtype) else {
        let (name, dtype) = (name.escape_debug(), dtype.escape_debug());
        let what = format!("the tensor `{name}` is of the type `{dtype}`, which this version does not know");
        return Err(Error::input(what).with_help("use a newer version").into());
    };
    let size = shape.iter().fold(known.size() as u64, |res, &it| res.saturating_mul(it));
    let listed = Listed { what: "the tensor", name, size, digest };
    each_piece(reader, host, &listed, |offset, out| reader.read_tensor(name, offset, out), take)
}

/// What a manifest says of a file or a tensor.
struct Listed<'a> {
    what: &'a str,
    name: &'a str,
    size: u64,
    digest: &'a str,
}

/// Hands out what `read` reads, and holds the whole against what is listed.
fn each_piece(
    reader: &dyn CheckpointReader,
    host: &dyn Host,
    listed: &Listed<'_>,
    read: impl Fn(u64, &mut [u8]) -> modelwatch_sdk::Result<usize>,
    mut take: impl FnMut(&[u8]) -> Result<(), CheckpointError>,
) -> Result<u64, CheckpointError> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        if host.is_cancelled() {
            return Err(host.cancelled().into());
        }
        let n = read(hasher.count(), &mut buffer)?;
        hasher.update(&buffer[..n]);
        // A store that gives more than there is may give it without end.
        if n == 0 || hasher.count() > listed.size {
            break;
        }
        take(&buffer[..n])?;
    }
    if hasher.count() == listed.size && hasher.finalize().to_hex().as_str() == listed.digest {
        return Ok(listed.size);
    }
    let what = format!("{} `{}`", listed.what, listed.name.escape_debug());
    Err(is_another(&reader.manifest().id, &what).into())
}

/// Returns the error of a store that gives something else as a part of a checkpoint.
fn is_another(id: &CheckpointId, what: &str) -> Error {
    let what = format!("{what} of the checkpoint `{}` is not the one that its id stands for", id.short());
    Error::new(ErrorKind::Corrupt, what)
        .with_help("`modelwatch store scrub` tells what is damaged; where nothing is, the store's plugin is at fault")
}
