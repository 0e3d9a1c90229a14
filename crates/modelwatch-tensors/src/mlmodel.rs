//! The `MLmodel` file of an MLflow model: which flavors it has, where the model is, what goes in and out.
//!
//! `python_model.pkl` and every other pickled object are code, and are never opened.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use serde_json::Value;

/// The name of the file in its folder.
pub const MLMODEL_FILE: &str = "MLmodel";
const MAX_BYTES: u64 = 1 << 20;
const MAX_FIELDS: usize = 10_000;
/// Flavors in the order of preference, with the keys that may name the file or folder of the model.
const FLAVORS: [(&str, &[&str]); 7] = [
    ("onnx", &["data"]),
    ("tensorflow", &["saved_model_dir", "data"]),
    ("keras", &["data"]),
    ("transformers", &["model_binary"]),
    ("pytorch", &["model_data"]),
    ("tflite", &["data"]),
    ("python_function", &["data"]),
];

/// What an `MLmodel` file says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MlModel {
    /// The flavors, sorted: `onnx`, `python_function`, …
    pub flavors: Vec<String>,
    /// The file or folder of the model or its weights, relative to the folder and inside it;
    /// `None` if all that is there is a pickled object.
    pub path: Option<String>,
    /// The inputs of the signature; empty without one.
    pub inputs: Vec<SignatureField>,
    /// The outputs of the signature; empty without one.
    pub outputs: Vec<SignatureField>,
    /// The version of MLflow that wrote it; may be empty.
    pub mlflow_version: String,
    /// The identity that MLflow gave the model; may be empty.
    pub model_uuid: String,
    /// The run that logged it; may be empty.
    pub run_id: String,
}

/// A column or tensor of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignatureField {
    /// The name; a single tensor may have none.
    pub name: Option<String>,
    /// The type in MLflow's words for columns, such as `double`, and in NumPy's for tensors, such as `float32`.
    pub dtype: String,
    /// The shape of a tensor, with -1 where any size will do; `None` for a column.
    pub shape: Option<Vec<i64>>,
    /// Whether it may not be left out.
    pub is_required: bool,
}

/// Why an `MLmodel` file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MlModelError {
    /// The operating system refused.
    #[error("cannot read `{}`: {source}; check its path and who may read it", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("cannot read the MLflow model `{}`: {problem}; log the model again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        problem: String,
    },
}

impl MlModel {
    /// Reads the `MLmodel` file of a folder.
    ///
    /// # Errors
    ///
    /// Fails if there is none, if it is no YAML of the right shape, or if it names a path outside the folder.
    pub fn open(folder: &Path) -> Result<Self, MlModelError> {
        let path = folder.join(MLMODEL_FILE);
        let io = |source| MlModelError::Io { path: path.clone(), source };
        if !fs::symlink_metadata(&path).map_err(io)?.is_file() {
            return Err(io(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
        }
        let mut bytes = Vec::new();
        File::open(&path).map_err(io)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
        let res = Self::parse(&bytes).and_then(|model| match &model.path {
            Some(inside) => refuse_links(folder, inside).map(|()| model),
            None => Ok(model),
        });
        res.map_err(|problem| MlModelError::Malformed { path, problem })
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(format!("it has more than {MAX_BYTES} bytes"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let raw: RawModel = serde_saphyr::from_str(text).map_err(|error| one_line(&error.to_string()))?;
        let signature = raw.signature.unwrap_or_default();
        Ok(Self {
            path: model_path(&raw.flavors)?,
            flavors: raw.flavors.into_keys().collect(),
            inputs: fields("inputs", signature.inputs)?,
            outputs: fields("outputs", signature.outputs)?,
            mlflow_version: raw.mlflow_version.unwrap_or_default(),
            model_uuid: raw.model_uuid.unwrap_or_default(),
            run_id: raw.run_id.unwrap_or_default(),
        })
    }
}

#[derive(serde::Deserialize)]
struct RawModel {
    flavors: BTreeMap<String, BTreeMap<String, Value>>,
    #[serde(default)]
    signature: Option<RawSignature>,
    #[serde(default)]
    mlflow_version: Option<String>,
    #[serde(default)]
    model_uuid: Option<String>,
    #[serde(default)]
    run_id: Option<String>,
}

/// Both are JSON, as a string in the YAML.
#[derive(Default, serde::Deserialize)]
struct RawSignature {
    #[serde(default)]
    inputs: Option<String>,
    #[serde(default)]
    outputs: Option<String>,
}

#[derive(serde::Deserialize)]
struct RawField {
    r#type: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    required: Option<bool>,
    #[serde(default, rename = "tensor-spec")]
    tensor_spec: Option<RawTensor>,
}

#[derive(serde::Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<i64>,
}

fn model_path(flavors: &BTreeMap<String, BTreeMap<String, Value>>) -> Result<Option<String>, String> {
    for (flavor, keys) in FLAVORS {
        let Some(entries) = flavors.get(flavor) else { continue };
        let Some(path) = keys.iter().find_map(|&key| entries.get(key)?.as_str()) else { continue };
        let is_inside = Path::new(path).components().all(|it| matches!(it, Component::Normal(_)));
        if path.is_empty() || !is_inside || path.contains(['\\', '\0']) {
            return Err(format!("flavor {flavor} names `{}`, which is not inside the folder", path.escape_debug()));
        }
        // Flavors of code name what they pickled.
        if !is_pickle(path) {
            return Ok(Some(path.to_owned()));
        }
    }
    Ok(None)
}

fn is_pickle(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    [".pkl", ".pickle", ".cloudpickle", ".joblib"].iter().any(|it| path.ends_with(it))
}

fn fields(place: &str, text: Option<String>) -> Result<Vec<SignatureField>, String> {
    let Some(text) = text else { return Ok(vec![]) };
    let raw: Vec<RawField> =
        serde_json::from_str(&text).map_err(|error| format!("the {place} of its signature are wrong: {error}"))?;
    if raw.len() > MAX_FIELDS {
        return Err(format!("the {place} of its signature are {}, past the limit of {MAX_FIELDS}", raw.len()));
    }
    let field = |raw: RawField| {
        let (dtype, shape) = match raw.tensor_spec {
            Some(tensor) => (tensor.dtype, Some(tensor.shape)),
            None => (raw.r#type, None),
        };
        SignatureField { name: raw.name, dtype, shape, is_required: raw.required.unwrap_or(true) }
    };
    Ok(raw.into_iter().map(field).collect())
}

/// A folder from elsewhere must not lead to files of this machine.
fn refuse_links(folder: &Path, inside: &str) -> Result<(), String> {
    let mut path = folder.to_owned();
    for component in Path::new(inside).components() {
        path.push(component);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.file_type().is_symlink() => {
                return Err(format!("it names `{inside}`, which goes through a symbolic link"));
            }
            Ok(_) => {}
            Err(_) => return Err(format!("it names `{inside}`, which is not there")),
        }
    }
    Ok(())
}

fn one_line(text: &str) -> String {
    const MAX: usize = 300;
    let first = text.lines().next().unwrap_or_default();
    first.chars().take(MAX).map(|it| if it.is_control() { ' ' } else { it }).collect()
}
