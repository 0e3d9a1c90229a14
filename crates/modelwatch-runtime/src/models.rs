//! The models of a run: run for what probes ask of them, with their layers, and described.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Instant,
};

use arrow_schema::{Schema, SchemaRef};
use modelwatch_infer::{ElementType, InferError, Model, Runtime, TensorSpec};
use modelwatch_profile::Predictor;
use modelwatch_sdk::{Error, ErrorKind, ModelRole, RecordBatch, Result, about::ModelDescription};

use crate::{
    blessing, checkpoint, describe,
    inputs::InputMap,
    model::{Layered, LoadedModel, Origin, Refused},
};

/// The models of a run, shared by all who run them.
#[derive(Clone, Default)]
pub(crate) struct Models {
    pub(crate) candidate: Option<Arc<RunModel>>,
    pub(crate) baseline: Option<Arc<RunModel>>,
    /// Those that are there and cannot be run.
    pub(crate) refused: BTreeMap<ModelRole, Arc<Refused>>,
    /// Those whose outputs were recorded.
    pub(crate) recorded: BTreeSet<ModelRole>,
    /// What their checkpoints are called.
    pub(crate) names: Arc<[Names]>,
}

/// What a checkpoint is called, and where its files lie: where it comes out of a store, in a private folder that is soon gone.
pub(crate) struct Names {
    pub(crate) laid_out: PathBuf,
    pub(crate) source: String,
}

impl Names {
    /// Returns the message with what the user calls the checkpoint in place of where it lies. One that is a single file is that file.
    pub(crate) fn as_shown(&self, message: &str) -> String {
        let source = Path::new(&self.source);
        let file = source.file_name().filter(|_| source.is_file()).map(|it| self.laid_out.join(it));
        let places = file.iter().chain([&self.laid_out]).map(|it| it.display().to_string());
        places.fold(message.to_owned(), |message, place| message.replace(&place, &self.source))
    }
}

impl Models {
    pub(crate) fn get(&self, role: ModelRole) -> Option<&RunModel> {
        match role {
            ModelRole::Candidate => self.candidate.as_deref(),
            ModelRole::Baseline => self.baseline.as_deref(),
        }
    }

    /// Returns whether both are one model: the same signature of the same file of the same checkpoint, byte by byte, the same
    /// runtime, and inputs that are made of the same columns. What a model is made of may lie beside its file; without its folder
    /// it counts only if nothing of it does.
    pub(crate) fn are_one(&self, is_cancelled: &dyn Fn() -> bool) -> Result<bool> {
        let (Some(left), Some(right)) = (&self.candidate, &self.baseline) else { return Ok(false) };
        let names = [left, right].map(|it| it.name_in_checkpoint());
        let are_whole = [left, right].iter().all(|it| it.model.info().is_one_file);
        // The same model says other things of other columns.
        let inputs = |it: &RunModel| it.inputs.read().unwrap_or_else(PoisonError::into_inner).clone();
        if left.signature() != right.signature() || inputs(left) != inputs(right) {
            return Ok(false);
        }
        let (left, right) = (&left.origin, &right.origin);
        if left.runtime != right.runtime {
            return Ok(false);
        }
        if left.checkpoint.is_dir() && right.checkpoint.is_dir() {
            let digest = |it: &Origin| blessing::digest_of_path(&it.checkpoint, is_cancelled).map_err(Error::io);
            return Ok(names[0] == names[1] && digest(left)? == digest(right)?);
        }
        Ok(are_whole && checkpoint::is_same_file(&left.file, &right.file, is_cancelled).map_err(Error::io)?)
    }

    /// Returns the error with the names that the user gave.
    pub(crate) fn as_shown(&self, error: Error) -> Error {
        let message = self.names.iter().fold(error.message.clone(), |message, it| it.as_shown(&message));
        Error { message, ..error }
    }

    pub(crate) fn required(&self, role: ModelRole) -> Result<&RunModel> {
        let missing = || match self.recorded.contains(&role) {
            true => format!("the outputs of the {} model were recorded, and it is not run", role.as_str()),
            false => format!("there is no {} model in this run", role.as_str()),
        };
        self.get(role).ok_or_else(|| Error::new(ErrorKind::NotFound, missing()))
    }
}

/// The most shapes of rows of which it is kept what layers there are.
const MAX_SHAPES: usize = 32;

/// What a model gave for some rows.
pub(crate) struct Ran {
    pub(crate) outputs: RecordBatch,
    /// The tensors that probes ask for; without columns where there are none.
    pub(crate) layers: RecordBatch,
    /// Why others are not there, by tensor: which ones can be had, the rows may say first.
    pub(crate) refused: BTreeMap<String, String>,
}

impl Ran {
    fn plain(outputs: RecordBatch) -> Self {
        Self { outputs, layers: RecordBatch::new_empty(Arc::new(Schema::empty())), refused: BTreeMap::new() }
    }
}

/// A model of a run.
pub(crate) struct RunModel {
    pub(crate) model: Model,
    /// The same with the layers that probes ask for.
    layered: Option<Layered>,
    /// What of it there is for inputs of a schema, which has the shapes of their rows.
    by_shape: Mutex<Vec<(SchemaRef, Layered)>>,
    origin: Origin,
    /// What its inputs are made of in the data that is being read, or was last.
    inputs: RwLock<Option<InputMap>>,
    /// What loads it again; none where nobody asks for that.
    loader: Option<Arc<dyn Runtime>>,
}

impl RunModel {
    pub(crate) fn new(loaded: &LoadedModel) -> Self {
        Self {
            model: loaded.model.clone(),
            layered: loaded.layered.clone(),
            by_shape: Mutex::default(),
            origin: loaded.origin.clone(),
            inputs: RwLock::default(),
            loader: None,
        }
    }

    /// Sets what loads it again.
    pub(crate) fn loaded_by(self, loader: Option<Arc<dyn Runtime>>) -> Self {
        Self { loader, ..self }
    }

    /// Loads it once more, and returns how many seconds that took.
    pub(crate) fn load_again(&self) -> Result<f64> {
        let missing = || Error::new(ErrorKind::NotFound, "nothing loads models again here");
        let loader = self.loader.as_deref().ok_or_else(missing)?;
        let start = Instant::now();
        let loaded = Model::load_with(loader, &self.origin.file).map_err(Error::input)?;
        let seconds = start.elapsed().as_secs_f64();
        drop(loaded);
        Ok(seconds)
    }

    /// Runs it on inputs, for its outputs and for the layers that probes ask for.
    pub(crate) fn run(&self, inputs: &RecordBatch, threads: NonZeroUsize) -> std::result::Result<Ran, InferError> {
        let Some(mut layered) = self.layered_for(inputs) else {
            return Ok(Ran::plain(self.model.run(inputs, threads)?));
        };
        let mut ran = layered.run(inputs, threads);
        if matches!(ran, Some(Err(_))) {
            // It may be a layer, of which some have as many rows as the values say; or the model itself.
            self.model.run(inputs, threads)?;
            layered = self.fewer(layered, inputs, threads);
            ran = layered.run(inputs, threads);
        }
        let Some(all) = ran.transpose()? else {
            let refused = self.refused(&layered);
            return Ok(Ran { refused, ..Ran::plain(self.model.run(inputs, threads)?) });
        };
        let places: Vec<_> = (0..self.model.info().outputs.len()).collect();
        let outputs = all.project(&places).map_err(InferError::Outputs)?;
        let names: BTreeSet<&String> = layered.tensors.values().flatten().collect();
        let fields = all.schema_ref().fields().iter().enumerate();
        let places: Vec<_> = fields.filter(|it| names.contains(it.1.name())).map(|it| it.0).collect();
        let layers = all.project(&places).map_err(InferError::Outputs)?;
        Ok(Ran { outputs, layers, refused: self.refused(&layered) })
    }

    /// Returns the model with those layers that can be given for rows such as these; none where no probe asks for any.
    fn layered_for(&self, inputs: &RecordBatch) -> Option<Layered> {
        let layered = self.layered.as_ref()?;
        let schema = inputs.schema();
        // Held while it is found out, so that threads do not find out the same.
        let mut by_shape = self.by_shape.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, it)) = by_shape.iter().find(|it| it.0 == schema) {
            return Some(it.clone());
        }
        let res = layered.for_rows(&self.model, inputs);
        if by_shape.len() >= MAX_SHAPES {
            by_shape.clear();
        }
        by_shape.push((schema, res.clone()));
        Some(res)
    }

    /// Returns the model with those of the layers with which it can be run on these rows, and takes note of them for rows of their shape.
    fn fewer(&self, layered: Layered, inputs: &RecordBatch, threads: NonZeroUsize) -> Layered {
        let schema = inputs.schema();
        // Held as in `layered_for`: another thread may have found it out meanwhile, and what it found stays.
        let mut by_shape = self.by_shape.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, kept)) = by_shape.iter_mut().find(|it| it.0 == schema) else {
            return layered.that_runs(&self.model, inputs, threads);
        };
        let is_found = kept.tensors != layered.tensors && !matches!(kept.run(inputs, threads), Some(Err(_)));
        if !is_found {
            *kept = kept.that_runs(&self.model, inputs, threads);
        }
        kept.clone()
    }

    /// Returns why tensors are not given that were there when the model was loaded.
    fn refused(&self, layered: &Layered) -> BTreeMap<String, String> {
        let asked = self.layered.iter().flat_map(|it| &it.tensors);
        let there = asked.filter_map(|(name, it)| Some((name, it.as_ref().ok()?)));
        let why_not = |name: &String| layered.tensors.get(name)?.as_ref().err().cloned();
        there.filter_map(|(name, tensor)| Some((tensor.clone(), why_not(name)?))).collect()
    }

    /// Returns what there is to say about it by now, with its layers and without.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut res = self.model.warnings();
        let by_shape = self.by_shape.lock().unwrap_or_else(PoisonError::into_inner);
        let layered = self.layered.iter().chain(by_shape.iter().map(|it| &it.1));
        for it in layered.filter_map(|it| it.model.as_ref()).flat_map(Model::warnings) {
            if !res.contains(&it) {
                res.push(it);
            }
        }
        res
    }

    /// Returns whether each row is run alone, as others would change its answer.
    pub(crate) fn rows_are_mixed(&self) -> bool {
        self.model.rows_are_mixed()
    }

    /// Returns the bytes of the layers of a row, as far as their shapes are known.
    pub(crate) fn layers_width(&self) -> usize {
        let layered = self.layered.as_ref().and_then(|it| it.model.as_ref());
        let outputs = layered.into_iter().flat_map(|it| &it.info().outputs);
        outputs.skip(self.model.info().outputs.len()).map(width).fold(0, usize::saturating_add)
    }

    /// Returns the tensor that probes call so, or why there is no such layer.
    pub(crate) fn layer(&self, name: &str) -> std::result::Result<String, String> {
        let found = self.layered.as_ref().and_then(|it| it.tensors.get(name));
        found.cloned().unwrap_or_else(|| Err(format!("the model was loaded without its layer `{name}`")))
    }

    /// Returns the file or folder of the model in its checkpoint; empty where it is all of it.
    pub(crate) fn name_in_checkpoint(&self) -> String {
        let Origin { checkpoint, file, .. } = &self.origin;
        match file.strip_prefix(checkpoint) {
            Ok(it) => it.display().to_string(),
            Err(_) => String::new(),
        }
    }

    /// Returns what is known of it from its file.
    pub(crate) fn description(&self) -> Result<ModelDescription> {
        describe::model(self.model.info(), &self.origin)
    }

    /// Returns what runs it, with its version.
    pub(crate) fn runtime(&self) -> &str {
        &self.origin.runtime
    }

    /// Returns which of its signatures is run, in formats that have them.
    pub(crate) fn signature(&self) -> Option<&str> {
        self.model.info().signature.as_deref()
    }

    pub(crate) fn digest(&self) -> Result<String> {
        modelwatch_infer::digest(&self.origin.file).map_err(Error::io)
    }

    /// Returns what its outputs are outputs of, given what its inputs are made of.
    pub(crate) fn predictor(&self, inputs: &InputMap) -> Result<Predictor> {
        Ok(Predictor {
            model: self.digest()?,
            signature: self.signature().map(str::to_owned),
            runtime: self.origin.runtime.clone(),
            inputs: inputs.by_input().to_vec(),
        })
    }

    /// Takes note of what the inputs are made of from now on.
    pub(crate) fn set_inputs(&self, inputs: InputMap) {
        *self.inputs.write().unwrap_or_else(PoisonError::into_inner) = Some(inputs);
    }

    /// Returns the model's inputs for rows with the columns of the data; none where they lack one of them.
    pub(crate) fn assemble(&self, rows: &RecordBatch) -> Result<Option<RecordBatch>> {
        let inputs = self.inputs.read().unwrap_or_else(PoisonError::into_inner);
        let Some(map) = inputs.as_ref().filter(|it| it.columns().all(|it| rows.column_by_name(it).is_some())) else {
            return Ok(None);
        };
        map.assemble(rows).map(Some).map_err(Error::input)
    }
}

/// Returns the bytes of a row of a tensor, as Arrow holds it.
fn width(tensor: &TensorSpec) -> usize {
    let of_element = match tensor.dtype {
        ElementType::F64 | ElementType::I64 | ElementType::U64 => 8,
        _ => 4,
    };
    tensor.shape.iter().skip(1).flatten().fold(of_element, |res, it| res.saturating_mul(*it))
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array};
    use arrow_schema::{DataType, Field};
    use modelwatch_config::Columns;
    use modelwatch_infer::{Executable, Layers, ModelInfo, NodeGraph, Prepared, Runtime, TractRuntime};

    use super::*;
    use crate::model::{self, Wanted};

    /// A runtime whose models with layers have something to say, and cannot be prepared for rows with one of them.
    struct Layering {
        without: &'static str,
        /// Where that is met by threads that run it alone.
        meeting: Option<Arc<Meeting>>,
    }

    /// Two threads that run a model with its layers before one of them finds out that it cannot be.
    struct Meeting {
        barrier: Barrier,
        prepared: AtomicUsize,
        loaded: AtomicUsize,
    }

    /// A model, and the layers that it gives.
    struct WithLayers {
        it: Arc<dyn Executable>,
        without: &'static str,
        meeting: Option<Arc<Meeting>>,
        layers: Vec<String>,
    }

    impl Runtime for Layering {
        fn name(&self) -> &str {
            "test"
        }

        fn load(&self, path: &Path) -> std::result::Result<Arc<dyn Executable>, InferError> {
            let it = TractRuntime::default().load(path)?;
            Ok(Arc::new(WithLayers { it, without: self.without, meeting: self.meeting.clone(), layers: Vec::new() }))
        }
    }

    impl Executable for WithLayers {
        fn path(&self) -> &Path {
            self.it.path()
        }

        fn info(&self) -> &ModelInfo {
            self.it.info()
        }

        fn micro_batch(&self) -> usize {
            self.it.micro_batch()
        }

        fn plan(&self, row_shapes: &[Vec<usize>]) -> std::result::Result<Arc<dyn Prepared>, InferError> {
            if !self.layers.iter().any(|it| it == self.without) {
                return self.it.plan(row_shapes);
            }
            let nth = self.meeting.as_ref().map_or(0, |it| it.prepared.fetch_add(1, Ordering::SeqCst));
            if let Some(it) = &self.meeting {
                match nth {
                    0 => return self.it.plan(row_shapes),
                    1 | 2 => _ = it.barrier.wait(),
                    _ => {}
                }
            }
            Err(InferError::Run { path: self.path().to_owned(), reason: format!("no rows the time {nth}") })
        }

        fn few(&self, row_shapes: &[Vec<usize>]) -> Option<Arc<dyn Prepared>> {
            self.it.few(row_shapes)
        }

        fn single(&self, row_shapes: &[Vec<usize>]) -> Option<Arc<dyn Prepared>> {
            self.it.single(row_shapes)
        }

        fn warnings(&self) -> Vec<String> {
            if self.layers.is_empty() { self.it.warnings() } else { vec!["slow".to_owned()] }
        }

        fn rows_are_mixed(&self) -> bool {
            self.it.rows_are_mixed()
        }

        fn layers(&self) -> std::result::Result<&Layers, InferError> {
            self.it.layers()
        }

        fn with_layers(&self, layers: &[String]) -> std::result::Result<Arc<dyn Executable>, InferError> {
            let it = self.it.with_layers(layers)?;
            self.meeting.iter().for_each(|it| _ = it.loaded.fetch_add(1, Ordering::SeqCst));
            Ok(Arc::new(Self { it, without: self.without, meeting: self.meeting.clone(), layers: layers.to_vec() }))
        }

        fn plan_at(&self, n: usize, shapes: &[Vec<usize>]) -> std::result::Result<Arc<dyn Prepared>, InferError> {
            self.it.plan_at(n, shapes)
        }

        fn nodes(&self, shapes: &[Vec<usize>], rows: Option<usize>) -> std::result::Result<NodeGraph, InferError> {
            self.it.nodes(shapes, rows)
        }

        fn nodes_of_file(
            &self,
            shapes: &[Vec<usize>],
            rows: Option<usize>,
        ) -> std::result::Result<NodeGraph, InferError> {
            self.it.nodes_of_file(shapes, rows)
        }
    }

    const POOL: &str = "digits_cnn_1/pool_1/MaxPool2d:0";

    fn two_images() -> RecordBatch {
        let pixel = Arc::new(Field::new("item", DataType::Float32, false));
        let pixels = FixedSizeListArray::new(pixel, 64, Arc::new(Float32Array::from(vec![0.5; 2 * 64])), None);
        RecordBatch::try_from_iter([("x", Arc::new(pixels) as ArrayRef)]).unwrap()
    }

    fn with_layers(layers: &[&str], without: &'static str, meeting: Option<&Arc<Meeting>>) -> RunModel {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/digits/cnn/cnn.onnx"));
        let layers = layers.iter().map(|it| (*it).to_owned()).collect();
        let wanted = Wanted { path, model: None, role: ModelRole::Candidate, layers };
        RunModel::new(&model::load(&Layering { without, meeting: meeting.cloned() }, &wanted).unwrap())
    }

    #[test]
    fn two_signatures_of_a_file_are_two_models() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tensorflow/signatures.tflite"));
        let model = |signature: Option<&str>| {
            let runtime = TractRuntime::default().of_signature(signature.map(str::to_owned));
            let wanted = Wanted { path, model: None, role: ModelRole::Candidate, layers: BTreeSet::new() };
            Some(Arc::new(RunModel::new(&model::load(&runtime, &wanted).unwrap())))
        };
        let are_one =
            |candidate, baseline| Models { candidate, baseline, ..Models::default() }.are_one(&|| false).unwrap();
        assert!(
            are_one(model(None), model(Some("bounded"))) && are_one(model(Some("squashed")), model(Some("squashed")))
        );
        assert!(!are_one(model(Some("bounded")), model(Some("squashed"))));
    }

    #[test]
    fn a_model_of_other_columns_is_another_one() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/digits/cnn/cnn.onnx"));
        let of_column = |column: &str| {
            let wanted = Wanted { path, model: None, role: ModelRole::Candidate, layers: BTreeSet::new() };
            let res = RunModel::new(&model::load(&TractRuntime::default(), &wanted).unwrap());
            let inputs = BTreeMap::from([(res.model.info().inputs[0].name.clone(), vec![column.to_owned()])]);
            let schema = Schema::new(["left", "right"].map(|it| Field::new(it, DataType::Float32, false)).to_vec());
            let columns = Columns { inputs, ..Columns::default() };
            *res.inputs.write().unwrap() = Some(InputMap::plan(res.model.info(), &columns, &schema).unwrap());
            Some(Arc::new(res))
        };
        let are_one = |baseline| {
            let candidate = of_column("left");
            Models { candidate, baseline: of_column(baseline), ..Models::default() }.are_one(&|| false).unwrap()
        };
        assert!(are_one("left") && !are_one("right"));
    }

    #[test]
    fn what_is_told_of_a_model_with_layers_is_told_of_the_model() {
        let model = with_layers(&["penultimate"], "", None);
        assert_eq!(model.warnings(), ["slow"]);
        assert_eq!(model.layers_width(), 4 * 32);
    }

    #[test]
    fn a_layer_that_rows_leave_no_shape_for_is_refused_by_name_and_the_others_are_there() {
        let inputs = two_images();
        let last = "digits_cnn_1/fc1_1/Relu:0";
        for (without, there) in [("", vec![POOL, last]), (POOL, vec![last]), (last, vec![POOL])] {
            let ran = with_layers(&["penultimate", POOL], without, None).run(&inputs, NonZeroUsize::MIN).unwrap();
            assert_eq!((ran.outputs.num_columns(), ran.outputs.num_rows()), (1, 2));
            let names = |it: &RecordBatch| {
                let names = it.schema_ref().fields().iter().map(|it| it.name().clone());
                names.collect::<BTreeSet<_>>()
            };
            assert_eq!(names(&ran.layers), there.iter().map(|it| (*it).to_owned()).collect());
            let refused: Vec<_> = ran.refused.keys().collect();
            assert_eq!(refused, Vec::from_iter((!without.is_empty()).then_some(without)));
            assert!(ran.refused.values().all(|it| it.contains("no rows")), "{:?}", ran.refused);
        }
        let ran = with_layers(&[POOL], POOL, None).run(&inputs, NonZeroUsize::MIN).unwrap();
        assert_eq!((ran.outputs.num_columns(), ran.layers.num_columns(), ran.refused.len()), (1, 0, 1));
    }

    #[test]
    fn threads_that_meet_a_layer_that_cannot_be_given_find_it_out_once() {
        let meeting = Arc::new(Meeting { barrier: Barrier::new(2), prepared: 0.into(), loaded: 0.into() });
        let (model, inputs) = (with_layers(&["penultimate", POOL], POOL, Some(&meeting)), two_images());
        let refused = thread::scope(|scope| {
            let run = || model.run(&inputs, NonZeroUsize::MIN).unwrap().refused;
            let threads = [(); 2].map(|()| scope.spawn(run));
            threads.map(|it| it.join().unwrap())
        });
        assert_eq!(refused[0].keys().collect::<Vec<_>>(), [POOL]);
        // Why is what was found out first, for both.
        assert_eq!(refused[0], refused[1]);
        // At first with both layers, then with both again, with each alone, and with what is left.
        assert_eq!(meeting.loaded.load(Ordering::SeqCst), 1 + 4);
    }
}
