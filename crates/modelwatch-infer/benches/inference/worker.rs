//! This side of a case.

use std::{
    env,
    io::{self, BufRead},
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
    time::Instant,
};

use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use modelwatch_infer::{Model, ModelInfo};

use crate::process::{cpu_ms, peak_kib};

/// Set for the process that works: the model, and the rows and threads.
pub(crate) const MODEL: &str = "MODELWATCH_BENCH_MODEL";
pub(crate) const CASE: &str = "MODELWATCH_BENCH_CASE";

pub(crate) fn is_asked_for() -> bool {
    env::var_os(MODEL).is_some()
}

/// Loads and runs the model, then runs it as often as each line of the input says, and answers with the processor time.
pub(crate) fn work() {
    let case = env::var(CASE).unwrap();
    let mut case = case.split(' ').map(|it| it.parse::<usize>().unwrap());
    let (batch, threads) = (case.next().unwrap(), NonZeroUsize::new(case.next().unwrap()).unwrap());
    let model = match Model::load(Path::new(&env::var_os(MODEL).unwrap())) {
        Ok(it) => it,
        Err(error) => return println!("{error}"),
    };
    let Some(rows) = rows(model.info(), batch) else {
        return println!("its inputs have no fixed rows of single precision");
    };
    let run = || model.run(&rows, threads).map(drop);
    // The first run prepares the plan.
    if let Err(error) = run() {
        return println!("{error}");
    }
    let (start, before) = (Instant::now(), cpu_ms());
    run().unwrap();
    // The clock on the wall also counts what else the machine does, that of the processor only hundredths of a second.
    let seconds = start.elapsed().as_secs_f64().min((cpu_ms() - before + 10) as f64 / 1000.0);
    println!("ready {seconds}");
    for line in io::stdin().lock().lines() {
        let n_runs: usize = line.unwrap().parse().unwrap();
        let before = cpu_ms();
        (0..n_runs).for_each(|_| run().unwrap());
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
