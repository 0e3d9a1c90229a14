//! Fixture access shared by the tests of this crate.
#![allow(clippy::unwrap_used, dead_code)]

pub(crate) mod cost;
pub(crate) mod networks;
pub(crate) mod process;
pub(crate) mod proto;
pub(crate) mod tensorflow;
pub(crate) mod tflite;

use std::{
    collections::HashMap,
    fs::File,
    io::Read,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch, cast::AsArray, types::*,
};
use arrow_schema::{DataType, Field, Schema};
use modelwatch_infer::{InferError, Model};
use prost::Message;
use tract_onnx::pb::ModelProto;

/// One array of an `.npz`.
#[derive(Clone, Debug)]
pub(crate) struct Npy {
    /// The dimensions.
    pub(crate) shape: Vec<usize>,
    /// The values; integers are small enough to be exact.
    pub(crate) values: Vec<f64>,
}

impl Npy {
    /// Returns the first `n` rows.
    pub(crate) fn head(&self, n: usize) -> Self {
        let width: usize = self.shape[1..].iter().product();
        Self { shape: [&[n], &self.shape[1..]].concat(), values: self.values[..n * width].to_vec() }
    }
}

pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")).join(path)
}

pub(crate) fn npz(path: &str) -> HashMap<String, Npy> {
    let mut archive = zip::ZipArchive::new(File::open(fixture(path)).unwrap()).unwrap();
    let mut res = HashMap::new();
    for idx in 0..archive.len() {
        let mut entry = archive.by_index(idx).unwrap();
        let name = entry.name().unwrap().trim_end_matches(".npy").to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let file = npyz::NpyFile::new(&bytes[..]).unwrap();
        let shape = file.shape().iter().map(|&it| it as usize).collect();
        let is_int = matches!(file.dtype(), npyz::DType::Plain(it) if it.type_char() == npyz::TypeChar::Int);
        let values = if is_int {
            file.into_vec::<i64>().unwrap().into_iter().map(|it| it as f64).collect()
        } else {
            file.into_vec::<f32>().unwrap().into_iter().map(f64::from).collect()
        };
        res.insert(name, Npy { shape, values });
    }
    res
}

/// Returns a batch with one flat fixed-size list column of f32 per array.
pub(crate) fn batch(columns: &[(&str, &Npy)]) -> RecordBatch {
    let column = |(name, npy): &(&str, &Npy)| {
        let width = npy.shape[1..].iter().product::<usize>() as i32;
        let values = Float32Array::from_iter_values(npy.values.iter().map(|&it| it as f32));
        let item = Arc::new(Field::new("item", DataType::Float32, true));
        let list = FixedSizeListArray::new(item, width, Arc::new(values), None);
        (Field::new(*name, list.data_type().clone(), true), Arc::new(list) as ArrayRef)
    };
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.iter().map(column).unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// Returns the flattened numbers of an output column.
pub(crate) fn numbers(column: &ArrayRef) -> Vec<f64> {
    let values = match column.as_fixed_size_list_opt() {
        Some(it) => it.values().clone(),
        None => column.clone(),
    };
    match values.data_type() {
        DataType::Float32 => values.as_primitive::<Float32Type>().values().iter().map(|&it| f64::from(it)).collect(),
        DataType::Int64 => {
            values.as_any().downcast_ref::<Int64Array>().unwrap().values().iter().map(|&it| it as f64).collect()
        }
        DataType::Int8 => values.as_primitive::<Int8Type>().values().iter().map(|&it| f64::from(it)).collect(),
        DataType::UInt8 => values.as_primitive::<UInt8Type>().values().iter().map(|&it| f64::from(it)).collect(),
        DataType::Int16 => values.as_primitive::<Int16Type>().values().iter().map(|&it| f64::from(it)).collect(),
        DataType::Int32 => values.as_primitive::<Int32Type>().values().iter().map(|&it| f64::from(it)).collect(),
        DataType::Boolean => values.as_boolean().values().iter().map(|it| f64::from(u8::from(it))).collect(),
        other => panic!("unexpected type {other}"),
    }
}

pub(crate) fn threads(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

/// Runs the model on arrays, in the order of its inputs.
pub(crate) fn run(model: &Model, inputs: &[&Npy]) -> RecordBatch {
    let names: Vec<String> = model.info().inputs.iter().map(|it| it.name.clone()).collect();
    let columns: Vec<_> = names.iter().map(String::as_str).zip(inputs.iter().copied()).collect();
    model.run(&batch(&columns), threads(1)).unwrap()
}

/// Returns the first output of an ONNX model that takes `x`.
pub(crate) fn answer(model: &ModelProto, x: &Npy) -> Result<Vec<f64>, InferError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    let outputs = Model::load(&path)?.run(&batch(&[("x", x)]), threads(1))?;
    Ok(numbers(outputs.column(0)))
}

/// Fails unless all numbers agree within 1e-5 relative + 1e-6, NaN with NaN.
pub(crate) fn assert_close(what: &str, got: &[f64], wanted: &[f64]) {
    assert_within(1e-5, what, got, wanted);
}

/// Fails unless all numbers agree within `relative` + 1e-6, NaN with NaN.
pub(crate) fn assert_within(relative: f64, what: &str, got: &[f64], wanted: &[f64]) {
    assert_eq!(got.len(), wanted.len(), "{what}: number of values");
    for (idx, (&got, &wanted)) in got.iter().zip(wanted).enumerate() {
        let is_within = (got - wanted).abs() <= 1e-6 + relative * wanted.abs();
        // Any number is within a part of an infinity.
        let agrees = got == wanted || (got.is_nan() && wanted.is_nan()) || (is_within && wanted.is_finite());
        assert!(agrees, "{what}: value {idx} is {got}, not {wanted}");
    }
}
