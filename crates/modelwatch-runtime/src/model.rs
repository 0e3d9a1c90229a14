//! The models of a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    slice,
    sync::Arc,
    time::Instant,
};

use arrow_array::RecordBatch;
use modelwatch_config::{ModelRuntime, Pipeline, did_you_mean};
use modelwatch_infer::{InferError, Layers, Model, ModelFormat, ModelInfo, Runtime, TensorSpec, TractRuntime};
use modelwatch_sdk::{ModelRole, Need, PENULTIMATE, RowNeeds};
use modelwatch_tensors::{TensorError, find_model};
use thiserror::Error;

use crate::{plugin::check_permissions, record::ModelRecord, run::some};

/// Opens ONNX Runtime, whose library is at a path, and which keeps what came of self-tests in a folder, if there is one.
pub type OpenOnnxRuntime = fn(&Path, Option<&Path>) -> Result<Arc<dyn Runtime>, InferError>;

/// What there is to run models with.
#[derive(Clone, Default)]
pub struct Runtimes {
    /// Opens ONNX Runtime; none in a program that was built without it.
    pub onnxruntime: Option<OpenOnnxRuntime>,
    /// The library of ONNX Runtime where the pipeline does not name one.
    pub library: Option<PathBuf>,
    /// The folder in which what came of self-tests is kept; none to test whatever is loaded.
    pub self_tests: Option<PathBuf>,
}

impl Runtimes {
    /// Returns what the pipeline wants the model of that role to be run with.
    pub(crate) fn open(&self, pipeline: &Pipeline, role: ModelRole) -> Result<Arc<dyn Runtime>, InferError> {
        match wanted(pipeline, role) {
            ModelRuntime::OnnxRuntime => self.onnxruntime(self.library(pipeline)),
            ModelRuntime::Recorded => {
                let reason = "its outputs were recorded, and it is not run; name one that is, without `runtime = \"recorded\"` and `[data.columns] predictions`".to_owned();
                Err(InferError::Unavailable { runtime: "the model", reason })
            }
            _ => {
                let runtime = match &self.self_tests {
                    Some(folder) => TractRuntime::keeping_self_tests(folder.clone()),
                    None => TractRuntime::default(),
                };
                Ok(Arc::new(runtime.of_signature(wanted_signature(pipeline, role).map(str::to_owned))))
            }
        }
    }

    /// Returns the library of ONNX Runtime.
    pub(crate) fn library<'p>(&'p self, pipeline: &'p Pipeline) -> Option<&'p Path> {
        pipeline.run.onnxruntime.as_deref().or(self.library.as_deref())
    }

    fn onnxruntime(&self, library: Option<&Path>) -> Result<Arc<dyn Runtime>, InferError> {
        let unavailable = |reason: String| InferError::Unavailable { runtime: "ONNX Runtime", reason };
        let Some(open) = self.onnxruntime else {
            let why = "this program was built without it; build it with `--features onnxruntime`";
            return Err(unavailable(why.to_owned()));
        };
        let Some(library) = library else {
            let why = "nothing says where it is; set `[run] onnxruntime` or the environment variable ORT_DYLIB_PATH to the path of `libonnxruntime.so`";
            return Err(unavailable(why.to_owned()));
        };
        // As with a plugin: what is loaded runs with all the rights of the run. What is not there is told by who opens it.
        if library.exists() {
            check_permissions(library).map_err(|it| unavailable(format!("`{}`: {}", library.display(), it.message)))?;
        }
        open(library, self.self_tests.as_deref())
    }
}

/// Returns what the pipeline wants a model to be run with.
pub(crate) fn wanted(pipeline: &Pipeline, role: ModelRole) -> ModelRuntime {
    match role {
        ModelRole::Candidate => pipeline.runtime,
        ModelRole::Baseline => pipeline.baseline.as_ref().map(|it| it.runtime).unwrap_or_default(),
    }
}

/// Returns whether the outputs of the model of that role were recorded, so that it is not run.
pub(crate) fn is_recorded(pipeline: &Pipeline, role: ModelRole) -> bool {
    wanted(pipeline, role) == ModelRuntime::Recorded
}

/// Returns how much a probe needs the model of that role to be run.
pub(crate) fn need(pipeline: &Pipeline, needs: &RowNeeds, role: ModelRole) -> Need {
    if is_recorded(pipeline, role) { needs.model_itself(role) } else { needs.model(role) }
}

/// Returns which signature of a model the pipeline wants to be run; none for the one that serves.
pub(crate) fn wanted_signature(pipeline: &Pipeline, role: ModelRole) -> Option<&str> {
    match role {
        ModelRole::Candidate => pipeline.signature.as_deref(),
        ModelRole::Baseline => pipeline.baseline.as_ref().and_then(|it| it.signature.as_deref()),
    }
}

/// Why a checkpoint's model cannot be run.
#[derive(Debug, Error)]
pub(crate) enum ModelError {
    /// Which file it is cannot be told.
    #[error("{0}")]
    Find(#[from] TensorError),
    /// It is, but cannot be loaded.
    #[error("{error}{meant}", error = .0, meant = meant(.0))]
    Load(#[from] InferError),
}

/// Returns a question for what somebody probably meant, behind the error; nothing where it cannot be told.
pub(crate) fn meant(error: &InferError) -> String {
    let InferError::NoSignature { wanted, there, .. } = error else { return String::new() };
    let meant = did_you_mean(wanted, there.iter().map(String::as_str));
    meant.map_or_else(String::new, |it| format!("; did you mean `{it}`?"))
}

/// A model that is ready to run.
pub(crate) struct LoadedModel {
    pub(crate) model: Model,
    /// The model with the layers that probes ask for; none where nobody does.
    pub(crate) layered: Option<Layered>,
    pub(crate) record: ModelRecord,
    pub(crate) origin: Origin,
}

/// A model that gives layers beside its outputs.
#[derive(Clone)]
pub(crate) struct Layered {
    /// What gives them, if there is any.
    pub(crate) model: Option<Model>,
    /// By what probes call it: the tensor, or why there is no such layer.
    pub(crate) tensors: BTreeMap<String, Result<String, String>>,
}

/// Where a model came from.
#[derive(Clone)]
pub(crate) struct Origin {
    /// The folder or file of the checkpoint.
    pub(crate) checkpoint: PathBuf,
    /// The file or folder of the model.
    pub(crate) file: PathBuf,
    /// Its name in the checkpoint.
    pub(crate) name: String,
    pub(crate) load_seconds: f64,
    /// What runs it, with its version.
    pub(crate) runtime: String,
}

/// A model that a run has and cannot run.
pub(crate) struct Refused {
    /// The files of the checkpoint.
    pub(crate) checkpoint: PathBuf,
    /// Which of them it is, if there are several.
    pub(crate) model: Option<String>,
    /// Which signature of it is wanted, if one is.
    pub(crate) signature: Option<String>,
    pub(crate) why: String,
}

impl Refused {
    /// Returns what its file says. Read when somebody asks: few do.
    pub(crate) fn examine(&self) -> Result<(ModelInfo, Origin), ModelError> {
        let file = find_model(&self.checkpoint, self.model.as_deref())?;
        let info = modelwatch_infer::inspect(&file, self.signature.as_deref())?.info;
        let name = name_in(&self.checkpoint, &file);
        let (load_seconds, runtime) = (0.0, String::new());
        Ok((info, Origin { checkpoint: self.checkpoint.clone(), file, name, load_seconds, runtime }))
    }
}

/// A model to be loaded.
pub(crate) struct Wanted<'a> {
    /// The files of the checkpoint.
    pub(crate) path: &'a Path,
    /// Which of them it is, if there are several.
    pub(crate) model: Option<&'a str>,
    pub(crate) role: ModelRole,
    /// The layers that probes ask for, as they call them.
    pub(crate) layers: BTreeSet<String>,
}

/// Loads a model of a checkpoint.
pub(crate) fn load(runtime: &dyn Runtime, wanted: &Wanted<'_>) -> Result<LoadedModel, ModelError> {
    let Wanted { path, model, role, ref layers } = *wanted;
    let file = find_model(path, model)?;
    let start = Instant::now();
    let model = Model::load_with(runtime, &file)?;
    let load_seconds = start.elapsed().as_secs_f64();
    let layered = (!layers.is_empty()).then(|| Layered::of(&model, layers));
    let info = model.info();
    let record = ModelRecord {
        role: role.as_str().to_owned(),
        file: name_in(path, &file),
        format: format_name(info.format).to_owned(),
        signature: info.signature.clone(),
        inputs: info.inputs.iter().map(spec_text).collect(),
        outputs: info.outputs.iter().map(spec_text).collect(),
        operators: info.operators.iter().map(|(name, &n)| (name.clone(), n as u64)).collect(),
        parameters: info.n_parameters,
        runtime: runtime.name().to_owned(),
    };
    let (name, runtime) = (record.file.clone(), record.runtime.clone());
    let origin = Origin { checkpoint: path.to_owned(), file, name, load_seconds, runtime };
    Ok(LoadedModel { model, layered, record, origin })
}

/// Returns what a model of a checkpoint is called.
fn name_in(checkpoint: &Path, file: &Path) -> String {
    // The folder itself may be a temporary one, with what a store has.
    if file == checkpoint && file.is_dir() {
        return "the checkpoint's folder".to_owned();
    }
    let name = file.strip_prefix(checkpoint).ok().filter(|it| !it.as_os_str().is_empty()).unwrap_or(file);
    name.file_name().map_or_else(|| "the checkpoint's folder".into(), |_| name.display().to_string())
}

impl Layered {
    /// Returns the model with the layers that probes ask for.
    fn of(model: &Model, wanted: &BTreeSet<String>) -> Self {
        let found = model.layers().map_err(|e| e.to_string());
        let tensor = |it: &String| found.as_ref().map_err(Clone::clone).and_then(|found| layer(found, it));
        let tensors = wanted.iter().map(|it| (it.clone(), tensor(it))).collect();
        let mut res = Self { model: None, tensors };
        res.give(|layers| model.with_layers(layers));
        res
    }

    /// Returns it with the layers that can be given for rows such as these, whose shapes the file may leave open.
    pub(crate) fn for_rows(&self, plain: &Model, inputs: &RecordBatch) -> Self {
        match &self.model {
            Some(it) if it.prepare(inputs).is_err() => self.that_can(plain, |it| it.prepare(inputs)),
            _ => self.clone(),
        }
    }

    /// Runs the model with its layers; none where there are none.
    pub(crate) fn run(&self, inputs: &RecordBatch, threads: NonZeroUsize) -> Option<Result<RecordBatch, InferError>> {
        self.model.as_ref().map(|it| it.run(inputs, threads))
    }

    /// Returns it with the layers with which it can be run on these rows: how many rows a layer has, their values may say.
    pub(crate) fn that_runs(&self, plain: &Model, inputs: &RecordBatch, threads: NonZeroUsize) -> Self {
        self.that_can(plain, |it| it.run(inputs, threads).map(drop))
    }

    /// Returns it with the layers with which the model can do something.
    fn that_can(&self, plain: &Model, do_it: impl Fn(&Model) -> Result<(), InferError>) -> Self {
        let mut res = self.clone();
        res.give(|layers| {
            let it = plain.with_layers(layers)?;
            do_it(&it).map(|()| it)
        });
        res
    }

    /// Takes the model with the layers that can be given; one that cannot does not take the others with it.
    fn give(&mut self, give: impl Fn(&[String]) -> Result<Model, InferError>) {
        self.model = None;
        let there = self.there();
        if there.is_empty() {
            return;
        }
        let mut given = give(&there);
        if given.is_err() && there.len() > 1 {
            for it in &there {
                if let Err(why) = give(slice::from_ref(it)) {
                    self.refuse(|tensor| tensor == it, &why.to_string());
                }
            }
            let there = self.there();
            if there.is_empty() {
                return;
            }
            given = give(&there);
        }
        match given {
            Ok(it) => self.model = Some(it),
            Err(why) => self.refuse(|_| true, &why.to_string()),
        }
    }

    /// Returns the tensors that there are, each once.
    fn there(&self) -> Vec<String> {
        let tensors: BTreeSet<&String> = self.tensors.values().flatten().collect();
        tensors.into_iter().cloned().collect()
    }

    /// Takes note of why some of the tensors cannot be given.
    fn refuse(&mut self, is: impl Fn(&String) -> bool, why: &str) {
        let refused = self.tensors.values_mut().filter(|it| it.as_ref().is_ok_and(&is));
        refused.for_each(|it| *it = Err(why.to_owned()));
    }
}

/// Returns the tensor that is called so, or why there is none, with the remedy.
fn layer(layers: &Layers, name: &str) -> Result<String, String> {
    if layers.tensors.iter().any(|it| it == name) {
        return Ok(name.to_owned());
    }
    if name == PENULTIMATE {
        let none = "the model has no layer between its inputs and its head; name a tensor, of those that `modelwatch model show` lists";
        return layers.penultimate.clone().ok_or_else(|| none.to_owned());
    }
    let help = match did_you_mean(name, layers.tensors.iter().map(String::as_str)) {
        Some(it) => format!("did you mean `{it}`?"),
        None => format!("its layers are {}", some(&layers.tensors)),
    };
    Err(format!("the model has no layer `{name}`; {help}"))
}

/// Returns what is known of a model, or why it cannot be run as far as that can be told without running it.
pub(crate) fn inspect(
    pipeline: &Pipeline,
    role: ModelRole,
    path: &Path,
    model: Option<&str>,
) -> Result<ModelInfo, ModelError> {
    let file = find_model(path, model)?;
    let found = modelwatch_infer::inspect(&file, wanted_signature(pipeline, role))?;
    // What another runtime can run is for it to say.
    match found.refusal.filter(|_| wanted(pipeline, role) == ModelRuntime::Tract) {
        Some(it) => Err(it.into()),
        None => Ok(found.info),
    }
}

/// Returns why layers of a model cannot be given, by what probes call them, as far as that can be told without running it.
pub(crate) fn refused_layers(
    pipeline: &Pipeline,
    role: ModelRole,
    path: &Path,
    model: Option<&str>,
    names: &BTreeSet<String>,
) -> BTreeMap<String, String> {
    let all = |why: &str| names.iter().map(|it| (it.clone(), why.to_owned())).collect();
    if is_recorded(pipeline, role) {
        return all(&format!("the outputs of the {} model were recorded, and no layer was", role.as_str()));
    }
    if wanted(pipeline, role) != ModelRuntime::Tract {
        let what = format!("nobody can look at the layers of the {} model in ONNX Runtime", role.as_str());
        return all(&format!("{what}; leave `runtime` out for that"));
    }
    let loaded = find_model(path, model).map_err(ModelError::from).and_then(|it| {
        let signature = wanted_signature(pipeline, role).map(str::to_owned);
        Ok(Model::load_with(&TractRuntime::default().of_signature(signature), &it)?)
    });
    match loaded {
        Ok(it) => {
            Layered::of(&it, names).tensors.into_iter().filter_map(|(name, it)| Some((name, it.err()?))).collect()
        }
        Err(e) => all(&e.to_string()),
    }
}

pub(crate) fn format_name(format: ModelFormat) -> &'static str {
    match format {
        ModelFormat::Onnx => "onnx",
        ModelFormat::TfFrozen => "tensorflow-frozen-graph",
        ModelFormat::TfSavedModel => "tensorflow-saved-model",
        ModelFormat::TfLite => "tflite",
        ModelFormat::Nnef => "nnef",
        _ => "other",
    }
}

fn spec_text(spec: &TensorSpec) -> String {
    let axes: Vec<_> = spec.shape.iter().map(|it| it.map_or_else(|| "?".to_owned(), |it| it.to_string())).collect();
    format!("{}: {}[{}]", spec.name, spec.dtype, axes.join(", "))
}

#[cfg(test)]
mod tests {
    use modelwatch_infer::Executable;

    use super::*;

    fn refusal(run: &str, runtimes: &Runtimes) -> String {
        let text = format!(
            "name = 'x'\ncheckpoint = {{ import = 'm', name = 'm' }}\n\
             baseline = {{ import = 'm', runtime = 'onnxruntime' }}\n{run}[[verify]]\nuses = 'x'\n"
        );
        let parsed = modelwatch_config::parse(Path::new("pipeline.toml"), &text, &[]);
        let pipeline = parsed.pipeline.unwrap();
        assert!(runtimes.open(&pipeline, ModelRole::Candidate).unwrap().name().starts_with("tract "));
        runtimes.open(&pipeline, ModelRole::Baseline).err().unwrap().to_string()
    }

    fn runtimes(library: Option<&Path>) -> Runtimes {
        let open: OpenOnnxRuntime =
            |library, _| Err(InferError::Unavailable { runtime: "X", reason: library.display().to_string() });
        Runtimes { onnxruntime: Some(open), library: library.map(Path::to_owned), self_tests: None }
    }

    #[test]
    fn a_runtime_that_is_not_here_is_an_error_with_a_remedy() {
        assert_eq!(
            refusal("", &Runtimes::default()),
            "cannot use ONNX Runtime: this program was built without it; build it with `--features onnxruntime`"
        );
        let nowhere = refusal("", &runtimes(None));
        assert!(nowhere.contains("set `[run] onnxruntime` or the environment variable ORT_DYLIB_PATH"), "{nowhere}");
    }

    #[test]
    fn the_pipeline_goes_before_the_environment() {
        let default = runtimes(Some(Path::new("none/default.so")));
        assert_eq!(refusal("", &default), "cannot use X: none/default.so");
        let own = refusal("run = { onnxruntime = '/none/own.so' }\n", &default);
        assert_eq!(own, "cannot use X: /none/own.so");
    }

    const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/digits/cnn/cnn.onnx");

    fn layered(path: &Path, layers: &[&str]) -> Layered {
        let layers = layers.iter().map(|it| (*it).to_owned()).collect();
        let wanted = Wanted { path, model: None, role: ModelRole::Candidate, layers };
        load(&TractRuntime::default(), &wanted).unwrap().layered.unwrap()
    }

    #[test]
    fn a_layer_that_cannot_be_given_leaves_the_others() {
        // Four numbers, however many rows there are.
        let shape = "Shape__867:0";
        let found = layered(Path::new(DIGITS), &["penultimate", shape]);
        assert!(found.model.is_some() && found.tensors["penultimate"].is_ok(), "{:?}", found.tensors);
        assert!(found.tensors[shape].as_ref().unwrap_err().contains("has shape [4]"), "{:?}", found.tensors);
        let none = layered(Path::new(DIGITS), &[shape]);
        assert!(none.model.is_none() && none.tensors[shape].is_err());
    }

    /// A runtime that takes the file away once it has loaded it.
    struct Once(TractRuntime);

    impl Runtime for Once {
        fn name(&self) -> &str {
            self.0.name()
        }

        fn load(&self, path: &Path) -> Result<Arc<dyn Executable>, InferError> {
            let res = self.0.load(path);
            std::fs::remove_file(path).unwrap();
            res
        }
    }

    #[test]
    fn a_model_is_loaded_once_however_many_layers_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        std::fs::copy(DIGITS, &path).unwrap();
        let layers = BTreeSet::from(["penultimate".to_owned(), "digits_cnn_1/pool_1/MaxPool2d:0".to_owned()]);
        let wanted = Wanted { path: &path, model: None, role: ModelRole::Candidate, layers };
        let found = load(&Once(TractRuntime::default()), &wanted).unwrap().layered.unwrap();
        assert!(found.model.is_some() && found.tensors.values().all(Result::is_ok), "{:?}", found.tensors);
    }

    #[cfg(unix)]
    #[test]
    fn a_library_that_everyone_may_write_is_not_loaded() {
        use std::{fs, os::unix::fs::PermissionsExt};
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("libonnxruntime.so");
        fs::write(&library, "").unwrap();
        fs::set_permissions(&library, fs::Permissions::from_mode(0o666)).unwrap();
        let said = refusal("", &runtimes(Some(&library)));
        assert!(said.contains("it is writable by everyone; run `chmod o-w"), "{said}");
    }
}
