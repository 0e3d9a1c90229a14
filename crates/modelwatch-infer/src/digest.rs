//! What a model is, byte by byte.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use blake3::Hasher;
use modelwatch_tensors::whole;

use crate::{
    error::InferError,
    format,
    spec::ModelFormat,
    tract::{self, ExternalData},
};

/// Returns the digest of the model at `path`: of its file with the data that it names beside it, or of all files of its folder.
///
/// Where the model lies does not matter, nor what else lies beside its file. Of a folder every file counts but profiles (`*.mwp`).
///
/// # Errors
/// Fails if it is no model, or some of it cannot be read.
pub fn digest(path: &Path) -> Result<String, InferError> {
    let beside = match format::detect(path)? {
        ModelFormat::Onnx => Some(tract::onnx_data(path)?),
        _ => None,
    };
    let mut hasher = Hasher::new();
    add_model(&mut hasher, path, beside.as_deref())
        .map_err(|source| InferError::Open { path: path.to_path_buf(), source })?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Adds bytes, with their number in front, so that no two things run into each other.
pub(crate) fn add(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
}

/// Adds the files of a model.
pub(crate) fn add_model(hasher: &mut Hasher, path: &Path, beside: Option<&ExternalData>) -> io::Result<()> {
    let mut files = files(path)?;
    files.sort();
    for file in files {
        add(hasher, file.strip_prefix(path).unwrap_or(Path::new("")).as_os_str().as_encoded_bytes());
        add(hasher, Hasher::new().update_reader(fs::File::open(&file)?)?.finalize().as_bytes());
    }
    for it in beside.into_iter().flat_map(ExternalData::contents) {
        add(hasher, it);
        whole(it).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Returns the file, or those of the folder and of the folders in it; links out of it are not followed.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    /// No model has as many.
    const MAX_FILES: usize = 10_000;
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let (mut res, mut folders) = (Vec::new(), vec![path.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()? {
                it if it.is_dir() => folders.push(entry.path()),
                // What was kept of data may lie beside a model, and is none of it.
                it if it.is_file() && entry.path().extension().is_none_or(|it| it != "mwp") => res.push(entry.path()),
                it if it.is_file() => {}
                _ => return Err(io::Error::other("the folder has links")),
            }
            if res.len() + folders.len() > MAX_FILES {
                return Err(io::Error::other("the folder has too many files"));
            }
        }
    }
    Ok(res)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_its_bytes_wherever_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let folder = |name: &str, weights: &str| {
            let folder = dir.path().join(name);
            fs::create_dir(&folder).unwrap();
            let graph = "version 1.0;\ngraph g(x) -> (y) { x = external(shape = [1, 4]); y = tanh(x); }";
            fs::write(folder.join("graph.nnef"), graph).unwrap();
            fs::write(folder.join("w.dat"), weights).unwrap();
            folder
        };
        let (one, copy, other) = (folder("one", "1"), folder("copy", "1"), folder("other", "2"));
        let first = digest(&one).unwrap();
        assert_eq!(digest(&copy).unwrap(), first);
        assert_ne!(digest(&other).unwrap(), first);
        // A profile that was put beside the model names this digest, so that it cannot be part of it.
        fs::write(one.join("reference.mwp"), "x").unwrap();
        assert_eq!(digest(&one).unwrap(), first);
    }

    #[test]
    fn data_that_is_cut_off_while_it_is_read_has_no_digest() {
        let fixtures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/digits/cnn/external"));
        let dir = tempfile::tempdir().unwrap();
        for it in fs::read_dir(fixtures).unwrap() {
            let from = it.unwrap().path();
            fs::copy(&from, dir.path().join(from.file_name().unwrap())).unwrap();
        }
        let named = |ending: &str| {
            let mut all = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().path());
            all.find(|it| it.extension().is_some_and(|it| it == ending)).unwrap()
        };
        let model = named("onnx");
        let beside = tract::onnx_data(&model).unwrap();
        add_model(&mut Hasher::new(), &model, Some(&beside)).unwrap();
        fs::File::options().write(true).open(named("bin")).unwrap().set_len(1).unwrap();
        assert!(add_model(&mut Hasher::new(), &model, Some(&beside)).is_err());
    }
}
