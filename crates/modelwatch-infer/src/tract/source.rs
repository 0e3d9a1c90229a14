//! A parsed model, before shapes are known.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use tract_onnx::{
    prelude::{DatumType, Framework, InferenceModel, InferenceModelExt, ToDim, TractResult, TypedModel},
    tract_core::ops::konst::Const,
    tract_hir::{
        infer::{Factoid, InferenceFact},
        internal::{DimLike, OutletId, Symbol, TDim, TractErrorContext, bail, ensure},
    },
};
use tract_tensorflow::tfpb::tensorflow::{
    AttrValue, GraphDef, TensorShapeProto, attr_value::Value, tensor_shape_proto::Dim,
};

use super::{
    lengths, nan, onnx::Uncompiled, preflight::ExternalData, recurrence, repair::repair, requantize::requantize,
    tf_ops, tflite::TfLite, widened::widen_convolutions,
};
use crate::{
    error::InferError,
    spec::{ElementType, Layers, ModelInfo, TensorSpec},
};

/// What can be told of a model without running it.
pub(super) struct Examined {
    pub info: ModelInfo,
    /// The operators that cannot be run, each with its node.
    pub obstacles: Vec<(String, String)>,
    pub attempts: Result<Attempts, InferError>,
}

/// The ways to read a model.
pub(super) struct Attempts {
    /// The best first.
    pub sources: Vec<Source>,
    /// What is run where none of them can be compiled.
    pub uncompiled: Option<Uncompiled>,
    /// The data that lies beside the file.
    pub beside: Option<Arc<ExternalData>>,
}

impl From<Source> for Attempts {
    fn from(source: Source) -> Self {
        Self { sources: vec![source], uncompiled: None, beside: None }
    }
}

/// The graph in the form its reader gives.
pub(super) enum Graph {
    /// Any shapes can be set.
    Inference(InferenceModel),
    /// Shapes are part of the proto and analyzed while parsing, so it is parsed anew for each.
    TensorFlow {
        /// The proto.
        graph: GraphDef,
        /// The nodes that are outputs.
        outputs: Vec<String>,
    },
    /// Shapes are part of the file, which is changed and parsed anew for each.
    TfLite(TfLite),
    /// Shapes are fixed, or symbols.
    Typed(TypedModel),
    /// tract cannot compile it.
    Uncompiled,
}

/// The operator whose scale is taken from all numbers that it is given, those of other rows among them.
pub(super) const DYNAMIC_QUANTIZATION: &str = "DynamicQuantizeLinear";

/// The operator that takes what is at some places of an axis.
const GATHER: &str = "Gather";

/// A parsed model and what is known of it.
pub(super) struct Source {
    pub graph: Graph,
    pub info: ModelInfo,
    /// The types of the inputs in tract's terms.
    pub input_types: Vec<DatumType>,
    /// Rows are cheaper alone, or would influence each other.
    pub row_by_row: bool,
    /// Operations for one row, as far as they are known before it is there.
    pub row_work: u64,
    /// The tensors inside of the graph, where the format has names for them.
    pub layers: Option<Layers>,
    /// Those of them that are given behind the outputs.
    pub given: Vec<String>,
    /// The operators of the file's nodes by their names, where the format has them.
    pub operators: Arc<BTreeMap<String, String>>,
}

impl Source {
    /// Returns the graph of which no layers are known, whose rows are computed together.
    pub(super) fn new(graph: Graph, info: ModelInfo, input_types: Vec<DatumType>) -> Self {
        let (layers, given, operators) = (None, Vec::new(), Arc::default());
        Self { graph, info, input_types, row_by_row: false, row_work: 0, layers, given, operators }
    }

    /// Returns the graph that gives these tensors inside of it as well, behind its outputs; an output is not given twice.
    pub(super) fn with_layers(&self, layers: &[String]) -> TractResult<Self> {
        let mut info = self.info.clone();
        let given = layers.iter().filter(|name| info.outputs.iter().all(|it| it.name != **name));
        let given: Vec<String> = given.cloned().collect();
        let graph = match &self.graph {
            Graph::Inference(model) => {
                let mut model = model.clone();
                for name in &given {
                    let label = model.outlet_labels.iter().find(|it| it.1 == name);
                    model.outputs.push(*label.with_context(|| format!("nothing computes `{name}`"))?.0);
                }
                Graph::Inference(model)
            }
            Graph::Uncompiled => Graph::Uncompiled,
            Graph::TensorFlow { .. } | Graph::TfLite(_) | Graph::Typed(_) => bail!("its format has no layers"),
        };
        // Replaced by what the prepared plan says, as those of the outputs are.
        let spec = |name: &String| TensorSpec { name: name.clone(), dtype: ElementType::F32, shape: vec![None] };
        info.outputs.extend(given.iter().map(spec));
        let (input_types, layers) = (self.input_types.clone(), self.layers.clone());
        let (row_by_row, row_work, operators) = (self.row_by_row, self.row_work, self.operators.clone());
        Ok(Self { graph, info, input_types, row_by_row, row_work, layers, given, operators })
    }

    /// Returns whether some numbers are quantized by a scale that is taken from them.
    pub(super) fn is_quantized_as_it_runs(&self) -> bool {
        self.info.operators.contains_key(DYNAMIC_QUANTIZATION)
    }

    /// Returns whether all that gathers does so from values that are computed from inputs, at constant places, and makes nothing that
    /// is larger: columns of a table, say, and nothing of embeddings.
    pub(super) fn gathers_nothing_larger(&self) -> bool {
        let (Graph::Inference(model), Some(row_shapes)) = (&self.graph, self.info.fixed_rows()) else { return false };
        let Some(gathers) = gathers_of_inputs(model) else { return false };
        // There may be more of them in the graphs of loops and branches.
        let n_all: usize = self.info.operators.iter().filter(|it| it.0.contains(GATHER)).map(|it| it.1).sum();
        if n_all != gathers.len() {
            return false;
        }
        // Only an analyzed graph has all shapes.
        let row: Vec<Vec<usize>> = row_shapes.iter().map(|it| [&[1], &**it].concat()).collect();
        let Ok(mut analyzed) = self.concrete(model, &row) else { return false };
        let size = |model: &InferenceModel, outlet: OutletId| {
            let dims = known_dims(&model.outlet_fact(outlet).ok()?.shape.concretize()?);
            dims.into_iter().try_fold(1_usize, |acc, it| acc.checked_mul(it?))
        };
        analyzed.analyse(false).is_ok()
            && gathers.into_iter().all(|(of, made)| {
                let sizes = size(&analyzed, of).zip(size(&analyzed, made));
                sizes.is_some_and(|(of, made)| made <= of)
            })
    }

    /// Returns the typed graph for `rows` rows of these shapes.
    pub(super) fn typed(&self, rows: usize, row_shapes: &[Vec<usize>]) -> TractResult<TypedModel> {
        let shapes: Vec<Vec<usize>> = row_shapes.iter().map(|it| [&[rows], &**it].concat()).collect();
        ensure!(shapes.len() == self.input_types.len(), "the model has {} inputs", self.input_types.len());
        let res = match &self.graph {
            Graph::Inference(model) => return into_typed(self.concrete(model, &shapes)?),
            Graph::TensorFlow { graph, outputs } => {
                let graph = with_shapes(graph.clone(), &shapes)?;
                let mut model = tf_ops::tensorflow().model_for_proto_model(&graph)?;
                model.select_outputs_by_name(outputs)?;
                return into_typed(model);
            }
            Graph::TfLite(file) => file.typed(&shapes)?,
            Graph::Typed(model) => {
                lengths::check(model)?;
                with_symbols(model, &shapes)?
            }
            Graph::Uncompiled => bail!("some operator is not computed by tract"),
        };
        lengths::check(&res)?;
        Ok(res)
    }

    /// Returns the graph as written, with what is known to be wrong in it replaced, and where in it the tensors of an ONNX file are.
    ///
    /// Several of them may be in one place: a node that changes nothing is none in the graph.
    pub(super) fn typed_with_tensors(
        &self,
        rows: usize,
        row_shapes: &[Vec<usize>],
    ) -> TractResult<(TypedModel, HashMap<String, OutletId>)> {
        let Graph::Inference(model) = &self.graph else { bail!("only ONNX models are cut, and it is none") };
        let shapes: Vec<Vec<usize>> = row_shapes.iter().map(|it| [&[rows], &**it].concat()).collect();
        let mut model = self.concrete(model, &shapes)?;
        let n_outputs = model.outputs.len();
        let mut names = Vec::new();
        // As outputs, because those are followed through everything that is done to the graph.
        for id in model.eval_order()? {
            for outlet in (0..model.node(id).outputs.len()).map(|it| OutletId::new(id, it)) {
                if let Some(name) = model.outlet_label(outlet).map(str::to_owned) {
                    names.push(name);
                    model.outputs.push(outlet);
                }
            }
        }
        let mut typed = into_typed(model)?;
        as_answered(&mut typed)?;
        let outlets = typed.outputs.split_off(n_outputs);
        Ok((typed, names.into_iter().zip(outlets).collect()))
    }

    /// Returns the graph for inputs of these shapes.
    fn concrete(&self, model: &InferenceModel, shapes: &[Vec<usize>]) -> TractResult<InferenceModel> {
        let mut res = model.clone();
        for (idx, (shape, dtype)) in shapes.iter().zip(&self.input_types).enumerate() {
            res.set_input_fact(idx, InferenceFact::dt_shape(*dtype, &**shape))?;
        }
        // Exporters name the batch in the outputs, which clashes with a concrete number.
        for idx in 0..res.outputs.len() {
            res.set_output_fact(idx, InferenceFact::default())?;
        }
        Ok(res)
    }
}

/// Returns what is gathered from and what is made of it, by node that gathers at constant places of what is computed from inputs.
fn gathers_of_inputs(model: &InferenceModel) -> Option<Vec<(OutletId, OutletId)>> {
    let mut varying = HashSet::new();
    let mut res = Vec::new();
    for node in model.eval_order().ok()?.into_iter().map(|it| model.node(it)) {
        let is_input = node.inputs.is_empty() && !node.op_is::<Const>();
        if is_input || node.inputs.iter().any(|it| varying.contains(&it.node)) {
            varying.insert(node.id);
        }
        if let (GATHER, &[of, at, ..]) = (&*node.op.name(), &*node.inputs)
            && varying.contains(&of.node)
            && model.node(at.node).op_is::<Const>()
        {
            res.push((of, OutletId::new(node.id, 0)));
        }
    }
    Some(res)
}

/// Replaces what is known to be wrong, so that every node gives what it has a part in.
pub(super) fn as_answered(model: &mut TypedModel) -> TractResult<()> {
    repair(model);
    widen_convolutions(model)?;
    requantize(model)?;
    nan::keep(model);
    Ok(())
}

/// Returns the typed graph, or says what tract would compute wrongly while it makes it.
pub(super) fn into_typed(mut model: InferenceModel) -> TractResult<TypedModel> {
    model.analyse(false)?;
    lengths::check_operands(&model)?;
    let res = model.into_typed()?;
    lengths::check(&res)?;
    recurrence::check(&res)?;
    Ok(res)
}

fn with_shapes(mut graph: GraphDef, shapes: &[Vec<usize>]) -> TractResult<GraphDef> {
    let placeholders = graph.node.iter_mut().filter(|it| it.op == "Placeholder");
    for (node, shape) in placeholders.zip(shapes) {
        let dim = |&size: &usize| Ok(Dim { size: i64::try_from(size)?, name: String::new() });
        let dims = shape.iter().map(dim).collect::<TractResult<_>>()?;
        let value = Value::Shape(TensorShapeProto { dim: dims, unknown_rank: false });
        node.attr.insert("shape".to_string(), AttrValue { value: Some(value) });
    }
    Ok(graph)
}

fn with_symbols(model: &TypedModel, shapes: &[Vec<usize>]) -> TractResult<TypedModel> {
    // Symbols hash by identity, which never changes.
    #[allow(clippy::mutable_key_type)]
    let mut bound: HashMap<Symbol, TDim> = HashMap::new();
    for (idx, shape) in shapes.iter().enumerate() {
        let fact = model.input_fact(idx)?;
        ensure!(fact.rank() == shape.len(), "input {idx} has rank {}, not {}", fact.rank(), shape.len());
        for (dim, &size) in fact.shape.iter().zip(shape) {
            match dim {
                TDim::Sym(symbol) => {
                    bound.insert(symbol.clone(), size.to_dim());
                }
                other => {
                    let fixed = other.to_usize().with_context(|| format!("input {idx} has the dimension {other}"))?;
                    if fixed != size {
                        bail!("input {idx} has a dimension fixed to {fixed}, not {size}");
                    }
                }
            }
        }
    }
    if bound.is_empty() { Ok(model.clone()) } else { model.set_symbols(&bound) }
}

/// Returns the concrete dimensions of a tract shape.
pub(super) fn known_dims<'a>(dims: impl IntoIterator<Item = &'a TDim>) -> Vec<Option<usize>> {
    dims.into_iter().map(|it| it.to_usize().ok()).collect()
}
