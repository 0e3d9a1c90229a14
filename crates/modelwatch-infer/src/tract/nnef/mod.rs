//! Reads NNEF models, whose graphs come with types and shapes.

mod files;
mod graph;

use std::{collections::BTreeMap, path::Path};

use tract_onnx::{
    prelude::{DatumType, Framework, TractError},
    tract_core::ops::konst::Const,
};

use super::{
    convert, guard,
    source::{Examined, Graph, Source, known_dims},
};
use crate::{
    error::InferError,
    spec::{ModelFormat, ModelInfo, TensorSpec},
};

/// Reads an NNEF folder or archive.
pub(super) fn examine(path: &Path) -> Result<Examined, InferError> {
    let format = ModelFormat::Nnef;
    let malformed = |it| InferError::Malformed { path: path.to_path_buf(), format, reason: reason(&it) };
    let (nnef, proto) = (tract_nnef::nnef(), files::read(path)?);
    let unknown = graph::unknown(&proto.doc, &nnef.registries).map_err(|it| it.of(path))?;
    if !unknown.is_empty() {
        return Err(InferError::unsupported(path, unknown));
    }
    let model = nnef.model_for_proto_model(&proto).map_err(malformed)?;
    let mut operators = BTreeMap::new();
    let mut n_parameters = 0u64;
    for node in model.nodes() {
        match node.op_as::<Const>() {
            Some(it) => n_parameters = n_parameters.saturating_add(n_numbers(it)),
            None if node.op().name() == "Source" => (),
            None => *operators.entry(node.op().name().to_string()).or_default() += 1,
        }
    }
    let specs = |outlets: &[tract_onnx::prelude::OutletId]| {
        let mut res = Vec::new();
        for &outlet in outlets {
            let fact = model.outlet_fact(outlet).map_err(malformed)?;
            let name = model.outlet_label(outlet).unwrap_or(&model.node(outlet.node).name).to_string();
            let dtype = convert::element_type(fact.datum_type).ok_or_else(|| InferError::Interface {
                path: path.to_path_buf(),
                reason: format!("`{name}` has the unsupported element type {:?}", fact.datum_type),
            })?;
            res.push((TensorSpec { name, dtype, shape: known_dims(fact.shape.iter()) }, fact.datum_type));
        }
        Ok::<(Vec<TensorSpec>, Vec<DatumType>), InferError>(res.into_iter().unzip())
    };
    let (inputs, input_types) = specs(&model.inputs)?;
    let (outputs, _) = specs(&model.outputs)?;
    let row_by_row = operators.keys().any(|it: &String| it.contains("Conv"));
    let (signature, signatures, is_one_file) = (None, Vec::new(), path.is_file());
    let info = ModelInfo { format, inputs, outputs, operators, n_parameters, signature, signatures, is_one_file };
    let graph = Graph::Typed(model);
    let source = Source { row_by_row, ..Source::new(graph, info.clone(), input_types) };
    Ok(Examined { info, obstacles: Vec::new(), attempts: Ok(source.into()) })
}

/// Returns the lines of an error that name the value and the operator, and the root: what tract says first is the same for all.
fn reason(error: &TractError) -> String {
    const NAMED: [&str; 2] = ["Plugging in assignement for", "Deserializing op"];
    let lines: Vec<String> = error.chain().map(|it| guard::one_line(&it.to_string())).collect();
    let mut res: Vec<&str> = Vec::new();
    for name in NAMED {
        res.extend(lines.iter().find(|it| it.starts_with(name)).map(String::as_str));
    }
    if res.is_empty() {
        return guard::reason(error);
    }
    res.extend(lines.last().map(String::as_str));
    res.dedup();
    res.join(": ")
}

fn n_numbers(constant: &Const) -> u64 {
    let tensor = constant.val();
    let dtype = tensor.datum_type();
    let counts = dtype.is_float() || dtype.is_quantized() || matches!(dtype, DatumType::I8 | DatumType::U8);
    if counts { tensor.len() as u64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use arrow_array::{RecordBatch, cast::AsArray, types::Float32Type};
    use tract_onnx::prelude::{DatumExt, InferenceModelExt, TypedModel};

    use super::*;
    use crate::{HostTensor, Model, Values, columns_out::batch_of};

    fn typed_mlp(rows: usize) -> TypedModel {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/digits/mlp_series/e08.onnx");
        let mut model = tract_onnx::onnx().model_for_path(path).unwrap();
        model.set_input_fact(0, f32::fact([rows, 64]).into()).unwrap();
        model.set_output_fact(0, Default::default()).unwrap();
        model.into_typed().unwrap().into_decluttered().unwrap()
    }

    fn run(model: &Model) -> Vec<f32> {
        let values: Vec<_> = (0..10 * 64).map(|it| ((it * 7) % 17) as f32 / 16.0).collect();
        let name = model.info().inputs[0].name.clone();
        let input: RecordBatch =
            batch_of(10, vec![(name, HostTensor { shape: vec![10, 64], values: Values::F32(values.into()) })]).unwrap();
        let output = model.run(&input, NonZeroUsize::MIN).unwrap();
        output.column(0).as_fixed_size_list().values().as_primitive::<Float32Type>().values().to_vec()
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_value_and_operator() {
        let refusal = |body: &str| {
            let folder = tempfile::tempdir().unwrap();
            let text = format!("version 1.0;\ngraph g(x) -> (y) {{ x = external<scalar>(shape = [1, 4]); {body} }}");
            std::fs::write(folder.path().join("graph.nnef"), text).unwrap();
            Model::load(folder.path()).unwrap_err().to_string()
        };
        let unknown = refusal("z = mystery(relu(x)); (a, y) = riddle(z);");
        assert!(unknown.contains("mystery (node `z`), riddle (node `a`)"), "{unknown}");
        let wrong = refusal("z = relu(x); y = reshape(z, shape = 'wide');");
        assert!(wrong.contains("\"y\"") && wrong.contains("`reshape'"), "{wrong}");
        // What has no value at all.
        let missing = refusal("z = relu(x);");
        assert!(missing.contains("\"y\""), "{missing}");
    }

    #[test]
    fn nnef_and_tflite_equal_the_onnx_model_they_came_from() {
        let onnx = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/digits/mlp_series/e08.onnx");
        let wanted = run(&Model::load(Path::new(onnx)).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let nnef = tract_nnef::nnef();
        let model = typed_mlp(4);
        nnef.write_to_dir(&model, folder.path().join("nnef")).unwrap();
        let archive = std::fs::File::create(folder.path().join("archive")).unwrap();
        nnef.write_to_tar(&model, archive).unwrap();
        let file = std::fs::File::create(folder.path().join("tflite")).unwrap();
        tract_tflite::tflite().write(&model, file).unwrap();
        for (name, format) in
            [("nnef", ModelFormat::Nnef), ("archive", ModelFormat::Nnef), ("tflite", ModelFormat::TfLite)]
        {
            let model = Model::load(&folder.path().join(name)).unwrap();
            assert_eq!((model.info().format, model.micro_batch()), (format, 4));
            let got = run(&model);
            assert_eq!(got.len(), 100);
            assert!(got.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-5), "{name}: {got:?} {wanted:?}");
        }
    }
}
