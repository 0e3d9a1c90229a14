//! Reads the fixtures and compares answers.

use std::collections::BTreeMap;
use std::fs::{self, File};

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowDictionaryKeyType, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use modelwatch_stats::Undefined;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::table::Differs;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/conformance");

pub(crate) fn json(path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(format!("{ROOT}/{path}")).unwrap()).unwrap()
}

pub(crate) fn case_ids(path: &str, filter: impl Fn(&Value) -> bool) -> Vec<String> {
    let cases = json(path);
    let ids = cases["cases"].as_array().unwrap().iter().filter(|it| filter(it));
    ids.map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}

/// One column: its cells as numbers and as text, `None` for a null.
#[derive(Default)]
pub(crate) struct Column {
    pub(crate) numbers: Vec<Option<f64>>,
    pub(crate) texts: Vec<Option<String>>,
    pub(crate) is_whole: bool,
}

impl Column {
    pub(crate) fn present(&self) -> Vec<f64> {
        self.numbers.iter().copied().flatten().collect()
    }

    pub(crate) fn n_null(&self) -> u64 {
        self.texts.iter().filter(|it| it.is_none()).count() as u64
    }

    fn add<T: ToString>(&mut self, cells: impl Iterator<Item = Option<T>>, number: impl Fn(&T) -> f64) {
        for cell in cells {
            self.numbers.push(cell.as_ref().map(&number));
            self.texts.push(cell.map(|it| it.to_string()));
        }
    }
}

pub(crate) fn table(path: &str) -> BTreeMap<String, Column> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(format!("{ROOT}/{path}")).unwrap()).unwrap();
    let names: Vec<String> = reader.schema().fields().iter().map(|it| it.name().clone()).collect();
    let mut res: BTreeMap<String, Column> = names.iter().map(|it| (it.clone(), Column::default())).collect();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        for (name, array) in names.iter().zip(batch.columns()) {
            append(res.get_mut(name).unwrap(), array);
        }
    }
    res
}

fn append(column: &mut Column, array: &ArrayRef) {
    use arrow_array::types::{Float32Type, Float64Type, UInt8Type};
    let any = array.as_ref();
    if let Some(it) = any.as_primitive_opt::<Float64Type>() {
        column.add(it.iter(), |it| *it);
    } else if let Some(it) = any.as_primitive_opt::<Float32Type>() {
        column.add(it.iter(), |it| f64::from(*it));
    } else if let Some(it) = any.as_primitive_opt::<Int64Type>() {
        column.is_whole = true;
        column.add(it.iter(), |it| *it as f64);
    } else if let Some(it) = any.as_primitive_opt::<UInt8Type>() {
        column.is_whole = true;
        column.add(it.iter(), |it| f64::from(*it));
    } else if let Some(it) = any.as_boolean_opt() {
        column.add(it.iter(), |it| f64::from(u8::from(*it)));
    } else if let Some(it) = any.as_string_opt::<i32>() {
        column.add(it.iter(), |_| f64::NAN);
    } else if let Some(it) = any.as_string_opt::<i64>() {
        column.add(it.iter(), |_| f64::NAN);
    } else if !(dictionary::<Int8Type>(column, any)
        || dictionary::<Int16Type>(column, any)
        || dictionary::<Int32Type>(column, any))
    {
        assert!(any.is_empty() || any.null_count() == any.len(), "unexpected column type {:?}", any.data_type());
        column.add((0..any.len()).map(|_| None::<f64>), |it| *it);
    }
}

fn dictionary<K: ArrowDictionaryKeyType>(column: &mut Column, array: &dyn Array) -> bool {
    let Some(dictionary) = array.as_dictionary_opt::<K>() else {
        return false;
    };
    if let Some(typed) = dictionary.downcast_dict::<arrow_array::StringArray>() {
        column.add(typed.into_iter(), |_| f64::NAN);
    } else {
        let typed = dictionary.downcast_dict::<arrow_array::LargeStringArray>().unwrap();
        column.add(typed.into_iter(), |_| f64::NAN);
    }
    true
}

/// What agreed, and what did not.
#[derive(Default)]
pub(crate) struct Comparison {
    agreed: usize,
    differing: BTreeMap<String, (Differs, String)>,
}

impl Comparison {
    /// Compares a statistic to a relative 1e-9.
    pub(crate) fn statistic(&mut self, what: &str, expected: &Value, found: Result<f64, Undefined>) {
        self.number(what, expected, found, 1e-9);
    }

    /// Compares a p-value to a relative 1e-6; below 1e-300 only the size counts.
    pub(crate) fn p_value(&mut self, what: &str, expected: &Value, found: Result<f64, Undefined>) {
        match (expected.as_f64(), &found) {
            (Some(expected), Ok(found)) if expected < 1e-300 && *found < 1e-300 => self.agreed += 1,
            _ => self.number(what, expected, found, 1e-6),
        }
    }

    /// Asserts that exactly the listed answers differ, each in the way that is listed, and how many agree.
    pub(crate) fn check(&self, agreed: usize, skipped: &[(&str, Differs, &str)]) {
        let listed: BTreeMap<&str, Differs> = skipped.iter().map(|it| (it.0, it.1)).collect();
        assert_eq!(listed.len(), skipped.len(), "an answer is listed twice");
        let is_listed = |what: &str, differs: Differs| listed.get(what).is_some_and(|it| it.is(differs));
        let unlisted: Vec<_> = self.differing.iter().filter(|(what, it)| !is_listed(what, it.0)).collect();
        let stale: Vec<_> = listed.keys().filter(|it| !self.differing.contains_key(**it)).collect();
        assert!(
            unlisted.is_empty() && stale.is_empty(),
            "differ without a reason: {unlisted:#?}\nlisted but agree: {stale:#?}"
        );
        assert_eq!(self.agreed, agreed, "number of agreeing answers");
    }

    fn number(&mut self, what: &str, expected: &Value, found: Result<f64, Undefined>, tolerance: f64) {
        let is_undefined = expected.get("error").is_some() || expected == "nan";
        let agrees = match (&found, expected.as_f64()) {
            (Ok(found), Some(expected)) => (found - expected).abs() <= tolerance * expected.abs(),
            (Err(_), None) => is_undefined,
            _ => false,
        };
        if agrees {
            self.agreed += 1;
        } else {
            let text = format!("expected {expected}, found {found:?}");
            self.differing.insert(what.to_owned(), (Differs::of(&found, expected.as_f64()), text));
        }
    }
}
