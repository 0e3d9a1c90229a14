//! What a process of a case does.

use std::{
    env,
    io::{self, BufRead},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use modelwatch_infer::{InferError, Model, ModelInfo};
use modelwatch_onnxruntime::OnnxRuntime;

use crate::process::{cpu_ms, peak_kib};

/// Set for the process that works: the model, the rows and threads, and the sides.
pub(crate) const MODEL: &str = "MODELWATCH_BENCH_MODEL";
pub(crate) const CASE: &str = "MODELWATCH_BENCH_CASE";
pub(crate) const SIDES: &str = "MODELWATCH_BENCH_SIDES";

/// What a process says of a side that has loaded its model.
pub(crate) const READY: &str = "ready";

/// Who runs a model.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Side {
    /// What pipelines use.
    Own,
    /// ONNX Runtime.
    Peer,
}

impl Side {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Peer => "peer",
        }
    }
}

/// The library of ONNX Runtime, where there is one.
pub(crate) fn library() -> Option<PathBuf> {
    env::var_os("ORT_DYLIB_PATH").map(PathBuf::from)
}

pub(crate) fn is_asked_for() -> bool {
    env::var_os(MODEL).is_some()
}

/// A model that is ready to run.
struct Ready {
    model: Model,
    rows: RecordBatch,
    threads: NonZeroUsize,
    side: Side,
}

impl Ready {
    fn load(side: Side, path: &Path, n_rows: usize, threads: NonZeroUsize) -> Result<Self, String> {
        let load = || match side {
            Side::Own => Model::load(path),
            Side::Peer => Model::load_with(&OnnxRuntime::open(&library().unwrap(), threads)?, path),
        };
        let model = load().map_err(|e| e.to_string())?;
        let rows = rows(model.info(), n_rows).ok_or("its inputs have no fixed rows of single precision")?;
        Ok(Self { model, rows, threads, side })
    }

    fn run(&self) -> Result<(), InferError> {
        match self.side {
            Side::Own => self.model.run(&self.rows, self.threads).map(drop),
            // All rows at once with its own threads, as whoever uses it alone does.
            Side::Peer => self.model.run_at_once(&self.rows).map(drop),
        }
    }
}

/// Loads and runs the model once on each side, then runs it as often as each line of the input says, and answers with the
/// processor time.
pub(crate) fn work() {
    let (case, sides) = (env::var(CASE).unwrap(), env::var(SIDES).unwrap());
    let mut case = case.split(' ').map(|it| it.parse::<usize>().unwrap());
    let (batch, threads) = (case.next().unwrap(), NonZeroUsize::new(case.next().unwrap()).unwrap());
    let path = PathBuf::from(env::var_os(MODEL).unwrap());
    let mut ready: Vec<Ready> = Vec::new();
    for side in [Side::Own, Side::Peer].into_iter().filter(|it| sides.contains(it.as_str())) {
        // The first run prepares the plan.
        let prepared = |it: Ready| it.run().map(|()| it).map_err(|e| e.to_string());
        match Ready::load(side, &path, batch, threads).and_then(prepared) {
            Ok(it) => {
                println!("{READY}");
                ready.push(it);
            }
            Err(why) => println!("{why}"),
        }
    }
    for line in io::stdin().lock().lines() {
        let line = line.unwrap();
        let (side, n_runs) = line.split_once(' ').unwrap();
        let model = ready.iter().find(|it| it.side.as_str() == side).unwrap();
        let n_runs: usize = n_runs.parse().unwrap();
        let before = cpu_ms();
        (0..n_runs).for_each(|_| model.run().unwrap());
        println!("{}", cpu_ms() - before);
    }
    println!("{}", peak_kib());
}

/// Returns rows of numbers between 0 and 1, no two alike.
fn rows(info: &ModelInfo, n_rows: usize) -> Option<RecordBatch> {
    let mut columns: Vec<(Field, ArrayRef)> = Vec::new();
    for input in &info.inputs {
        let width: usize = input.shape[1..].iter().copied().product::<Option<usize>>()?;
        let value = |it: usize| (it as f64 * 0.618_033_988_749_895).fract() as f32;
        let values = Float32Array::from_iter_values((0..n_rows * width).map(value));
        let item = Arc::new(Field::new("item", DataType::Float32, true));
        let list = FixedSizeListArray::new(item, i32::try_from(width).ok()?, Arc::new(values), None);
        columns.push((Field::new(&input.name, arrow_array::Array::data_type(&list).clone(), true), Arc::new(list)));
    }
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).ok()
}
