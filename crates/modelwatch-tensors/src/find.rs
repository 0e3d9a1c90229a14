//! Finds the model and the weights in the folder of a checkpoint.

use std::path::{Component, Path, PathBuf};

use crate::{
    error::TensorError,
    file::TensorFile,
    format::{Format, MODEL_FOLDERS},
    mlmodel::{MLMODEL_FILE, MlModel, MlModelError},
    mmap::watched,
    pytorch::{self, Pickled},
    tree::Tree,
};

/// Endings of files that hold weights, the best first: what is read without a copy and says the most of itself.
const WEIGHTS: [&str; 13] = [
    ".safetensors.index.json",
    ".safetensors",
    ".npz",
    ".keras",
    ".h5",
    ".hdf5",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
    ".pt",
    ".pth",
    ".bin",
    ".ckpt",
    ".index",
];

/// Endings of files that are looked at wherever they are in a checkpoint.
const READ: [&str; 12] = [
    ".safetensors.index.json",
    ".bin.index.json",
    ".safetensors",
    ".npz",
    ".npy",
    ".keras",
    ".h5",
    ".hdf5",
    ".pt",
    ".pth",
    ".onnx",
    ".tflite",
];

/// Returns the file, or the folder of a SavedModel or an unpacked NNEF model, that can be executed.
///
/// `wanted` is a path inside the folder and settles the choice; without it, an `MLmodel` file does.
///
/// # Errors
///
/// Fails if there is no model, if there is more than one and `wanted` does not say which, or if `wanted`
/// leaves the folder or is no model.
pub fn find_model(dir_or_file: &Path, wanted: Option<&str>) -> Result<PathBuf, TensorError> {
    if let Some(wanted) = wanted {
        return wanted_model(dir_or_file, wanted);
    }
    if let Some(path) = mlflow_path(Tree::Disk, dir_or_file)? {
        return model_in(Tree::Disk, &path);
    }
    model_in(Tree::Disk, dir_or_file)
}

fn model_in(tree: Tree<'_>, dir_or_file: &Path) -> Result<PathBuf, TensorError> {
    if let Some(folder) = model_folder(tree, dir_or_file) {
        return Ok(folder);
    }
    if !tree.is_dir(dir_or_file) {
        return if Format::detect_in(tree, dir_or_file)?.is_model() {
            Ok(dir_or_file.to_owned())
        } else {
            Err(no_model(dir_or_file))
        };
    }
    let mut models = vec![];
    for path in children(tree, dir_or_file)? {
        if is_model(tree, &path) {
            models.push(path);
        }
    }
    single(dir_or_file, models, "set `model = \"…\"` to one of them")?.ok_or_else(|| no_model(dir_or_file))
}

/// Returns the file, or the folder of a model, that holds the named tensors.
///
/// A file is returned as it is, but the file of a SavedModel as its folder. In a folder an `MLmodel` file decides;
/// else safetensors come first, then NPZ, Keras, PyTorch, a TensorFlow checkpoint, then the weights inside a model, and last an NPY.
///
/// # Errors
///
/// Fails if there is nothing with tensors, or more than one of the first kind that is there.
pub fn find_weights(dir_or_file: &Path) -> Result<PathBuf, TensorError> {
    find_weights_in(Tree::Disk, dir_or_file)
}

/// As [`find_weights`], wherever the files are.
pub(crate) fn find_weights_in(tree: Tree<'_>, dir_or_file: &Path) -> Result<PathBuf, TensorError> {
    match mlflow_path(tree, dir_or_file)? {
        Some(path) => weights_in(tree, &path),
        None => weights_in(tree, dir_or_file),
    }
}

fn weights_in(tree: Tree<'_>, dir_or_file: &Path) -> Result<PathBuf, TensorError> {
    if let Some(folder) = model_folder(tree, dir_or_file) {
        return Ok(folder);
    }
    if !tree.is_dir(dir_or_file) {
        if matches!(tree, Tree::Disk) {
            dir_or_file.metadata().map_err(TensorError::io(dir_or_file))?;
        }
        return Ok(dir_or_file.to_owned());
    }
    let children = children(tree, dir_or_file)?;
    let remedy = "name the file itself instead of its folder";
    for ending in WEIGHTS {
        let found = children.iter().filter(|path| is_weights(tree, path, ending)).cloned().collect();
        if let Some(path) = single(dir_or_file, found, remedy)? {
            return Ok(path);
        }
    }
    let models = children.iter().filter(|path| is_model(tree, path)).cloned().collect();
    if let Some(path) = single(dir_or_file, models, remedy)? {
        return Ok(path);
    }
    // Beside anything else, an array is more likely an example of data than the weights.
    let arrays = children.into_iter().filter(|path| ends_with(path, ".npy") && tree.is_file(path)).collect();
    single(dir_or_file, arrays, remedy)?.ok_or_else(|| TensorError::NotFound {
        path: dir_or_file.to_owned(),
        wanted: "weights".to_owned(),
        remedy: "put safetensors, an NPZ or NPY, a Keras, PyTorch or TensorFlow checkpoint, or an ONNX model there",
    })
}

/// Returns whether a file of a checkpoint is of a kind that is read wherever it is, so that its reader has a say on it.
///
/// Names decide, since data of any kind may lie beside a model. Only a PyTorch archive is one under any name: whoever
/// loads it may run what is in it.
pub fn is_tensor_file(path: &Path) -> bool {
    if is_apple_double(path) {
        return false;
    }
    let marked = Format::marked(Tree::Disk, path);
    match marked {
        Some(Format::PyTorch) => true,
        Some(Format::TensorBundle) if ends_with(path, ".index") => true,
        Some(Format::Pickle) if ends_with(path, ".ckpt") => true,
        // Numbers alone may begin so, and early protocols have no mark.
        Some(Format::Pickle) | None if ends_with(path, ".bin") || ends_with(path, ".ckpt") => pickled(path).is_some(),
        None if ends_with(path, ".pt") || ends_with(path, ".pth") => may_be_pickle(path),
        _ => READ.iter().any(|ending| ends_with(path, ending)),
    }
}

/// Returns what a file is that is a pickle outside an archive, by its content, whatever it is called; none for any other file, and for
/// one that cannot be read. Whoever loads it with Python runs what it wants.
pub fn pickled(path: &Path) -> Option<Pickled> {
    watched(|| Ok(pytorch::scan(&Tree::Disk.map(path)?))).ok().flatten()
}

/// macOS writes such files beside others on file systems that are not its own, with what it knows of them.
fn is_apple_double(path: &Path) -> bool {
    path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("._"))
}

/// Returns whether a file without a mark may be an archive or a pickle of an early protocol all the same. What cannot be
/// read is for its reader to say.
fn may_be_pickle(path: &Path) -> bool {
    let Ok(bytes) = Tree::Disk.map(path) else { return true };
    bytes.starts_with(b"PK")
        || matches!(bytes.first(), Some(b'c' | b'(' | b']' | b'}' | 0x80))
        || pytorch::scan(&bytes).is_some()
}

/// Other programs call other files so, too: there the content decides.
fn is_weights(tree: Tree<'_>, path: &Path, ending: &str) -> bool {
    let is_meant: Option<&[Format]> = match ending {
        ".bin" => Some(&[Format::PyTorch]),
        ".ckpt" => Some(&[Format::PyTorch, Format::Pickle]),
        _ => None,
    };
    ends_with(path, ending)
        && tree.is_file(path)
        && is_meant.is_none_or(|it| Format::marked(tree, path).is_some_and(|found| it.contains(&found)))
}

/// Returns whether there are weights that can be read, and nothing that is a model or is named as one.
pub fn is_weights_alone(dir_or_file: &Path) -> bool {
    let folder = match TensorFile::open(dir_or_file) {
        Ok(weights) if weights.format().is_model() => return false,
        Ok(weights) if !dir_or_file.is_dir() => return !is_named_as_model(Tree::Disk, weights.path()),
        Ok(weights) => weights.path().parent().map(Path::to_owned),
        // Several, as those of a network and of its optimizer.
        Err(TensorError::Ambiguous { path, .. }) => Some(path),
        Err(_) => return false,
    };
    folder
        .and_then(|it| children(Tree::Disk, &it).ok())
        .is_some_and(|it| !it.iter().any(|it| is_model(Tree::Disk, it) || is_named_as_model(Tree::Disk, it)))
}

/// Returns what the `MLmodel` file of a folder names, if there is one and it names something that can be read.
fn mlflow_path(tree: Tree<'_>, folder: &Path) -> Result<Option<PathBuf>, TensorError> {
    let file = folder.join(MLMODEL_FILE);
    if !tree.is_file(&file) {
        return Ok(None);
    }
    let model = match tree {
        Tree::Disk => MlModel::open(folder)?,
        Tree::Outlined(_) => {
            let bytes = tree.map(&file)?;
            MlModel::parse(&bytes).map_err(|problem| MlModelError::Malformed { path: file, problem })?
        }
    };
    Ok(model.path.map(|it| folder.join(it)))
}

fn wanted_model(dir_or_file: &Path, wanted: &str) -> Result<PathBuf, TensorError> {
    let not_found = |remedy| TensorError::NotFound {
        path: dir_or_file.to_owned(),
        wanted: format!("the model `{}`", wanted.escape_debug()),
        remedy,
    };
    let is_inside = Path::new(wanted).components().all(|it| matches!(it, Component::Normal(_) | Component::CurDir));
    if wanted.is_empty() || !is_inside {
        return Err(not_found("`model` must be a relative path inside the checkpoint, without `..`"));
    }
    if dir_or_file.is_file() {
        return if dir_or_file.ends_with(wanted) {
            find_model(dir_or_file, None)
        } else {
            Err(not_found("the checkpoint is one file of another name; remove `model`"))
        };
    }
    let path = dir_or_file.join(wanted);
    if path.exists() { find_model(&path, None) } else { Err(not_found("set `model` to a file of the checkpoint")) }
}

/// Returns the folder that is a model, if `path` is that or the file that makes it one.
fn model_folder(tree: Tree<'_>, path: &Path) -> Option<PathBuf> {
    if tree.is_dir(path) {
        return Format::of_folder(tree, path).map(|_| path.to_owned());
    }
    if tree.is_file(path) && MODEL_FOLDERS.iter().any(|it| path.file_name() == Some(it.0.as_ref())) {
        return path.parent().map(|it| if it.as_os_str().is_empty() { PathBuf::from(".") } else { it.to_owned() });
    }
    None
}

fn no_model(path: &Path) -> TensorError {
    TensorError::NotFound {
        path: path.to_owned(),
        wanted: "a model".to_owned(),
        remedy: "it must be or hold an ONNX file, a SavedModel folder, a frozen graph (.pb), .tflite, .nnef.tgz or a folder with `graph.nnef`",
    }
}

/// The extension is looked at first, so that a folder of large data files is not read.
fn is_model(tree: Tree<'_>, path: &Path) -> bool {
    is_named_as_model(tree, path) && (tree.is_dir(path) || Format::detect_in(tree, path).is_ok_and(Format::is_model))
}

fn is_named_as_model(tree: Tree<'_>, path: &Path) -> bool {
    if tree.is_dir(path) {
        return model_folder(tree, path).is_some();
    }
    [".onnx", ".pb", ".tflite", ".nnef.tgz", ".nnef.tar"].iter().any(|it| ends_with(path, it))
}

fn ends_with(path: &Path, ending: &str) -> bool {
    path.file_name().is_some_and(|it| it.to_string_lossy().to_ascii_lowercase().ends_with(ending))
}

fn children(tree: Tree<'_>, folder: &Path) -> Result<Vec<PathBuf>, TensorError> {
    let mut res = tree.children(folder)?;
    res.retain(|it| !is_apple_double(it));
    res.sort();
    Ok(res)
}

fn single(folder: &Path, mut found: Vec<PathBuf>, remedy: &'static str) -> Result<Option<PathBuf>, TensorError> {
    if found.len() < 2 {
        return Ok(found.pop());
    }
    let relative = |it: PathBuf| it.strip_prefix(folder).map(Path::to_owned).unwrap_or(it);
    Err(TensorError::Ambiguous {
        path: folder.to_owned(),
        candidates: found.into_iter().map(relative).collect(),
        remedy,
    })
}
