//! What probes are told about models and the machine.

use std::{collections::BTreeMap, env::consts, fs, thread};

use modelwatch_infer::{ModelFormat, ModelInfo, Runtime, TensorSpec, TractRuntime, model_bytes};
use modelwatch_sdk::{
    Error, Result,
    about::{MachineDescription, MlflowField, MlflowSignature, ModelDescription, Port},
};
use modelwatch_tensors::{DType, Dimension, MLMODEL_FILE, MlModel, OnnxModel, OnnxValue, SignatureField};

use crate::model::{Origin, Refused, format_name};

/// Returns what is known of a model that cannot be run.
pub(crate) fn refused(model: &Refused) -> Result<ModelDescription> {
    let (info, origin) = model.examine().map_err(|e| Error::io(e.to_string()))?;
    Ok(ModelDescription { refusal: Some(model.why.clone()), ..self::model(&info, &origin)? })
}

/// Returns what is known of a model.
pub(crate) fn model(info: &ModelInfo, origin: &Origin) -> Result<ModelDescription> {
    let bytes = model_bytes(&origin.file, info).map_err(Error::io)?;
    // Read again rather than kept: few probes ask, and only the file says it.
    let onnx = match info.format {
        ModelFormat::Onnx => Some(OnnxModel::open(&origin.file).map_err(Error::io)?),
        _ => None,
    };
    let declared_outputs = onnx.iter().flat_map(|it| &it.outputs).map(declared).collect();
    let (operators, first_nodes, opsets) = match onnx {
        Some(it) => (it.op_counts, it.first_nodes, Some(it.opset_imports)),
        None => {
            let counts = info.operators.iter().map(|(name, &n)| (name.clone(), n as u64)).collect();
            (counts, BTreeMap::new(), None)
        }
    };
    let mlflow = match MlModel::open(&origin.checkpoint) {
        Ok(it) => Some(MlflowSignature { inputs: fields(it.inputs), outputs: fields(it.outputs) }),
        Err(_) if !origin.checkpoint.join(MLMODEL_FILE).exists() => None,
        Err(e) => return Err(Error::io(e)),
    };
    Ok(ModelDescription {
        format: format_name(info.format).to_owned(),
        file: origin.name.clone(),
        bytes,
        parameters: info.n_parameters,
        inputs: info.inputs.iter().map(port).collect(),
        outputs: info.outputs.iter().map(port).collect(),
        declared_outputs,
        operators,
        first_nodes,
        opsets,
        signature: info.signature.clone(),
        mlflow,
        load_seconds: origin.load_seconds,
        refusal: None,
    })
}

fn port(spec: &TensorSpec) -> Port {
    let shape = spec.shape.iter().map(|it| it.map(|it| it as u64)).collect();
    Port { name: spec.name.clone(), dtype: spec.dtype.to_string(), shape }
}

fn declared(value: &OnnxValue) -> Port {
    let extent = |it: &Dimension| match it {
        Dimension::Fixed(it) => Some(*it),
        _ => None,
    };
    let shape = value.shape.iter().flatten().map(extent).collect();
    Port { name: value.name.clone(), dtype: value.dtype.map_or_else(String::new, |it: DType| it.to_string()), shape }
}

fn fields(fields: Vec<SignatureField>) -> Vec<MlflowField> {
    let one =
        |it: SignatureField| MlflowField { name: it.name, dtype: it.dtype, shape: it.shape, optional: !it.is_required };
    fields.into_iter().map(one).collect()
}

/// Returns what is known of this machine, and of what runs the models on it.
pub(crate) fn machine(runtime: Option<&str>) -> MachineDescription {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu_info.lines().find_map(|it| it.strip_prefix("model name")?.split_once(':')).map(|it| it.1.trim());
    MachineDescription {
        os: consts::OS.to_owned(),
        arch: consts::ARCH.to_owned(),
        cpu: cpu.unwrap_or_default().to_owned(),
        threads: thread::available_parallelism().map_or(1, |it| it.get() as u64),
        runtime: runtime.map_or_else(|| TractRuntime::default().name().to_owned(), str::to_owned),
    }
}
