//! TensorFlow Lite files from their parts.
#![allow(clippy::unwrap_used, dead_code)]

use std::path::PathBuf;

use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};
use modelwatch_infer::{InferError, Model};
use tract_tflite::tflite::{
    self, Buffer, BufferArgs, BuiltinOperator, BuiltinOptions, ModelArgs, Operator, OperatorArgs, OperatorCode,
    OperatorCodeArgs, QuantizationParameters, QuantizationParametersArgs, SubGraph, SubGraphArgs, Tensor, TensorArgs,
    TensorType,
};

use super::{Npy, assert_within, batch, numbers, threads};

pub(crate) type Builder = FlatBufferBuilder<'static>;
pub(crate) type Options = (BuiltinOptions, WIPOffset<UnionWIPOffset>);

/// The options of an operator, as their table and its arguments.
#[macro_export]
macro_rules! options {
    ($options:ident, $args:expr) => {
        |builder: &mut $crate::common::tflite::Builder| {
            let options = tract_tflite::tflite::$options::create(builder, &$args).as_union_value();
            Some((tract_tflite::tflite::BuiltinOptions::$options, options))
        }
    };
}

pub(crate) fn none(_builder: &mut Builder) -> Option<Options> {
    None
}

/// A file that is being written.
#[derive(Default)]
pub(crate) struct Lite {
    builder: Builder,
    tensors: Vec<WIPOffset<Tensor<'static>>>,
    buffers: Vec<Vec<u8>>,
    codes: Vec<BuiltinOperator>,
    operators: Vec<WIPOffset<Operator<'static>>>,
}

/// The scales and zero points of a tensor, and the axis along which they are.
pub(crate) type Scales<'a> = (&'a [f32], &'a [i64], i32);

impl Lite {
    /// Adds a tensor, with data if it is a constant; -1 is the batch.
    pub(crate) fn tensor(
        &mut self,
        name: &str,
        type_: TensorType,
        dims: &[i32],
        scales: Option<Scales<'_>>,
        data: Option<Vec<u8>>,
    ) -> i32 {
        let builder = &mut self.builder;
        let fixed: Vec<i32> = dims.iter().map(|it| it.abs()).collect();
        let (shape, shape_signature) = (builder.create_vector(&fixed), builder.create_vector(dims));
        let name = builder.create_string(name);
        let quantization = scales.map(|(scale, zero_point, quantized_dimension)| {
            let (scale, zero_point) = (builder.create_vector(scale), builder.create_vector(zero_point));
            let args = QuantizationParametersArgs {
                scale: Some(scale),
                zero_point: Some(zero_point),
                quantized_dimension,
                ..Default::default()
            };
            QuantizationParameters::create(builder, &args)
        });
        let buffer = data.map_or(0, |it| {
            self.buffers.push(it);
            self.buffers.len() as u32
        });
        let args = TensorArgs {
            shape: Some(shape),
            type_,
            buffer,
            name: Some(name),
            quantization,
            shape_signature: Some(shape_signature),
            ..Default::default()
        };
        self.tensors.push(Tensor::create(builder, &args));
        self.tensors.len() as i32 - 1
    }

    /// Adds a tensor that an operator remembers from run to run.
    pub(crate) fn variable(&mut self, dims: &[i32]) -> i32 {
        let (shape, name) = (self.builder.create_vector(dims), self.builder.create_string("variable"));
        let args = TensorArgs { shape: Some(shape), name: Some(name), is_variable: true, ..Default::default() };
        self.tensors.push(Tensor::create(&mut self.builder, &args));
        self.tensors.len() as i32 - 1
    }

    pub(crate) fn floats(&mut self, dims: &[i32], values: &[f32]) -> i32 {
        let data = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.constant(TensorType::FLOAT32, dims, None, data)
    }

    pub(crate) fn integers(&mut self, dims: &[i32], values: &[i32]) -> i32 {
        let data = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.constant(TensorType::INT32, dims, None, data)
    }

    pub(crate) fn bytes(&mut self, dims: &[i32], scales: Scales<'_>, values: &[i8]) -> i32 {
        self.constant(TensorType::INT8, dims, Some(scales), values.iter().map(|it| it.cast_unsigned()).collect())
    }

    pub(crate) fn constant(
        &mut self,
        type_: TensorType,
        dims: &[i32],
        scales: Option<Scales<'_>>,
        data: Vec<u8>,
    ) -> i32 {
        let name = format!("constant-{}", self.tensors.len());
        self.tensor(&name, type_, dims, scales, Some(data))
    }

    /// Adds an operator between tensors.
    pub(crate) fn operator(
        &mut self,
        operator: BuiltinOperator,
        inputs: &[i32],
        outputs: &[i32],
        options: impl FnOnce(&mut Builder) -> Option<Options>,
    ) {
        let opcode_index = self.codes.len() as u32;
        self.codes.push(operator);
        let options = options(&mut self.builder);
        let (inputs, outputs) = (self.builder.create_vector(inputs), self.builder.create_vector(outputs));
        let args = OperatorArgs {
            opcode_index,
            inputs: Some(inputs),
            outputs: Some(outputs),
            builtin_options_type: options.map_or(BuiltinOptions::NONE, |it| it.0),
            builtin_options: options.map(|it| it.1),
            ..Default::default()
        };
        self.operators.push(Operator::create(&mut self.builder, &args));
    }

    /// Adds an operator that gives one tensor.
    pub(crate) fn one(
        &mut self,
        operator: BuiltinOperator,
        inputs: &[i32],
        type_: TensorType,
        options: impl FnOnce(&mut Builder) -> Option<Options>,
    ) -> i32 {
        let name = format!("node-{}", self.operators.len());
        let output = self.tensor(&name, type_, &[-1], None, None);
        self.operator(operator, inputs, &[output], options);
        output
    }

    /// Adds an operator that gives one tensor of numbers.
    pub(crate) fn float(
        &mut self,
        operator: BuiltinOperator,
        inputs: &[i32],
        options: impl FnOnce(&mut Builder) -> Option<Options>,
    ) -> i32 {
        self.one(operator, inputs, TensorType::FLOAT32, options)
    }

    /// Returns the file.
    pub(crate) fn finish(mut self, inputs: &[i32], outputs: &[i32]) -> Vec<u8> {
        let builder = &mut self.builder;
        let codes: Vec<_> = self
            .codes
            .iter()
            .map(|it| {
                let deprecated = i8::try_from(it.0).unwrap_or(127);
                let args =
                    OperatorCodeArgs { builtin_code: *it, deprecated_builtin_code: deprecated, ..Default::default() };
                OperatorCode::create(builder, &args)
            })
            .collect();
        let mut buffers = vec![Buffer::create(builder, &BufferArgs { data: None })];
        for data in &self.buffers {
            let data = Some(builder.create_vector(data));
            buffers.push(Buffer::create(builder, &BufferArgs { data }));
        }
        let (operator_codes, buffers) = (builder.create_vector(&codes), builder.create_vector(&buffers));
        let args = SubGraphArgs {
            tensors: Some(builder.create_vector(&self.tensors)),
            inputs: Some(builder.create_vector(inputs)),
            outputs: Some(builder.create_vector(outputs)),
            operators: Some(builder.create_vector(&self.operators)),
            ..Default::default()
        };
        let graph = SubGraph::create(builder, &args);
        let subgraphs = builder.create_vector(&[graph]);
        let args = ModelArgs {
            version: 3,
            operator_codes: Some(operator_codes),
            subgraphs: Some(subgraphs),
            buffers: Some(buffers),
            ..Default::default()
        };
        let model = tflite::Model::create(builder, &args);
        builder.finish(model, Some("TFL3"));
        builder.finished_data().to_vec()
    }
}

/// Loads a file.
pub(crate) fn load(bytes: &[u8]) -> Result<Model, InferError> {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("model.tflite");
    std::fs::write(&path, bytes).unwrap();
    Model::load(&path)
}

/// Returns a file of which `build` makes one tensor from rows `x` of these dimensions.
pub(crate) fn file(row: &[i32], build: impl FnOnce(&mut Lite, i32) -> i32) -> Vec<u8> {
    let mut lite = Lite::default();
    let x = lite.tensor("x", TensorType::FLOAT32, &[&[-1], row].concat(), None, None);
    let y = build(&mut lite, x);
    lite.finish(&[x], &[y])
}

/// Runs a model on the numbers of rows.
pub(crate) fn run(what: &str, model: &Model, row: &[i32], x: &[f64]) -> Vec<f64> {
    let dims: Vec<usize> = row.iter().map(|it| *it as usize).collect();
    let n = x.len() / dims.iter().product::<usize>();
    let x = Npy { shape: [&[n], &*dims].concat(), values: x.to_vec() };
    let answer = model.run(&batch(&[("x", &x)]), threads(1)).unwrap_or_else(|it| panic!("{what}: {it}"));
    assert_eq!(model.warnings(), [""; 0], "{what}");
    numbers(answer.column(0))
}

/// Holds what is made of rows against what is wanted.
pub(crate) fn check(what: &str, row: &[i32], build: impl FnOnce(&mut Lite, i32) -> i32, x: &[f64], wanted: &[f64]) {
    let model = load(&file(row, build)).unwrap_or_else(|it| panic!("{what}: {it}"));
    assert_within(1e-6, what, &run(what, &model, row, x), wanted);
}
