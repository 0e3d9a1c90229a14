//! Runs ONNX models on exact tensors, in every way there is.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tract_onnx::{
    Onnx,
    model::ParseResult,
    pb::ModelProto,
    prelude::{Framework, IntoArcTensor, IntoTValue, TVec, Tensor, TractResult},
    tract_hir::{
        infer::InferenceFact,
        internal::{TractErrorContext, ensure},
    },
};

use super::{
    convert, guard,
    interpreter::{Interpreter, Limits, Value, make_constant},
    onnx, ops,
    source::into_typed,
    stages::Stages,
};
use crate::{
    error::InferError,
    exact::{ExactValue, Way},
};

pub(crate) struct Exact {
    path: PathBuf,
    onnx: Arc<Onnx>,
    proto: ModelProto,
    /// The compiled form computes every operator.
    can_compile: bool,
    interpreter: Interpreter,
}

impl Exact {
    pub(crate) fn load(path: &Path) -> Result<Self, InferError> {
        guard::guarded(path, || {
            let (onnx, proto, findings) = onnx::open(path)?;
            let onnx = Arc::new(onnx);
            let interpreter = Interpreter::new(onnx.clone(), &proto, path);
            let interpreter = interpreter.map_err(|it| onnx::malformed(path, guard::reason(&it)))?;
            let can_compile = !findings.needs_interpreter;
            Ok(Self { path: path.to_path_buf(), onnx, proto, can_compile, interpreter })
        })
    }

    pub(crate) fn run(&self, inputs: &[ExactValue], way: Way) -> Result<Vec<ExactValue>, InferError> {
        let failed = |reason| InferError::Run { path: self.path.clone(), reason };
        guard::guarded(&self.path, || self.try_run(inputs, way).map_err(|it| guard::refusal(&self.path, &it, failed)))
    }

    fn try_run(&self, inputs: &[ExactValue], way: Way) -> TractResult<Vec<ExactValue>> {
        let inputs: Vec<Value> = inputs.iter().map(Value::from_exact).collect::<TractResult<_>>()?;
        let outputs = match way {
            Way::Interpreted => self.interpreter.run(inputs, &[], Limits::running(1))?,
            Way::Compiled => self.run_compiled(inputs, |_| false)?,
            Way::CompiledWithConstants => self.run_compiled(inputs, |idx| idx > 0)?,
        };
        outputs.iter().map(Value::to_exact).collect()
    }

    fn run_compiled(&self, inputs: Vec<Value>, is_constant: impl Fn(usize) -> bool) -> TractResult<Vec<Value>> {
        ensure!(self.can_compile, "some operator is not computed by tract");
        let tensors: Vec<Arc<Tensor>> = inputs.iter().map(|it| it.tensor().cloned()).collect::<TractResult<_>>()?;
        let onnx = (*self.onnx).clone().with_ignore_value_info(true);
        let folder = self.path.parent().and_then(Path::to_str);
        let ParseResult { mut model, unresolved_inputs, .. } = onnx.parse(&self.proto, folder)?;
        ensure!(unresolved_inputs.is_empty(), "nothing computes {unresolved_inputs:?}");
        ensure!(model.inputs.len() == tensors.len(), "{} inputs are given", tensors.len());
        for (idx, tensor) in tensors.iter().enumerate() {
            model.set_input_fact(idx, InferenceFact::dt_shape(tensor.datum_type(), tensor.shape()))?;
        }
        let constants = tensors.iter().enumerate().map(|(idx, it)| is_constant(idx).then(|| it.clone())).collect();
        make_constant(&mut model, constants)?;
        let varying = tensors.into_iter().enumerate().filter(|(idx, _)| !is_constant(*idx));
        let varying: TVec<_> = varying.map(|(_, it)| it.into_tvalue()).collect();
        let outputs = Stages::new(into_typed(model)?)?.run(varying)?;
        Ok(outputs.into_iter().map(|it| Value::Tensor(it.into_arc_tensor())).collect())
    }
}

pub(crate) fn decode_tensor(bytes: &[u8]) -> Result<ExactValue, String> {
    // The numbers of the fields in `ModelProto` and `GraphProto`.
    const GRAPH: u8 = 7;
    const INITIALIZER: u8 = 5;
    let decode = || -> TractResult<ExactValue> {
        // tract decodes whole models only, so the tensor becomes the constant of one.
        let model = field(GRAPH, &field(INITIALIZER, bytes));
        let onnx = ops::onnx();
        let proto = onnx.proto_model_for_read(&mut &*model).context("the bytes are no tensor")?;
        let tensor = proto.graph.as_ref().and_then(|it| it.initializer.first()).context("there is no tensor")?;
        Value::from_proto(&onnx, tensor, None)?.to_exact()
    };
    decode().map_err(|it| guard::reason(&it))
}

/// Returns a field of a protobuf message that has a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    const HAS_LENGTH: u8 = 2;
    let mut res = vec![number << 3 | HAS_LENGTH];
    let mut length = content.len();
    while length >= 0x80 {
        res.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    res.push(length as u8);
    res.extend_from_slice(content);
    res
}

impl Value {
    fn from_exact(value: &ExactValue) -> TractResult<Self> {
        Ok(match value {
            ExactValue::Absent => Self::Absent,
            ExactValue::Sequence(it) => Self::Sequence(it.iter().map(Self::from_exact).collect::<TractResult<_>>()?),
            ExactValue::Tensor { data_type, tensor } => {
                let n: usize = tensor.shape.iter().product();
                ensure!(n == tensor.values.len(), "{} values have shape {:?}", tensor.values.len(), tensor.shape);
                Self::of_type(*data_type, |datum_type| convert::to_tract(tensor.clone(), datum_type))?
            }
        })
    }

    fn to_exact(&self) -> TractResult<ExactValue> {
        Ok(match self {
            Self::Absent => ExactValue::Absent,
            Self::Sequence(it) => ExactValue::Sequence(it.iter().map(Self::to_exact).collect::<TractResult<_>>()?),
            Self::Narrow(_, it) | Self::Tensor(it) => {
                ExactValue::Tensor { data_type: self.data_type()?, tensor: convert::from_tract(it)? }
            }
        })
    }
}
