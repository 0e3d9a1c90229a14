//! The same table in every format, as one file or several, is the same rows.
#![allow(clippy::unwrap_used)]

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    sync::Arc,
};

use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, FixedSizeListArray, Float32Array, Float64Array, Int8Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
    cast::AsArray,
    types::{Float64Type, Int8Type},
};
use arrow_ipc::{
    CompressionType,
    writer::{FileWriter, IpcWriteOptions, StreamWriter},
};
use arrow_schema::{DataType, Field, Schema};
use modelwatch_config::Source;
use modelwatch_runtime::data::{DataError, Dataset, PARTITION_ROWS, Scan};
use npyz::WriterBuilder;
use parquet::{
    arrow::{ArrowWriter, add_encoded_arrow_schema_to_metadata, arrow_writer::ArrowWriterOptions},
    basic::Compression,
    file::properties::WriterProperties,
};
use zip::{ZipWriter, write::SimpleFileOptions};

const ROWS: usize = PARTITION_ROWS + 1234;

fn value(row: usize) -> f64 {
    (row * 7 % 1001) as f64 / 8.0
}

fn table() -> RecordBatch {
    let y = Int64Array::from_iter_values((0..ROWS).map(|it| it as i64 % 10));
    let x = Float64Array::from_iter_values((0..ROWS).map(value));
    RecordBatch::try_from_iter([("y", Arc::new(y) as ArrayRef), ("x", Arc::new(x) as ArrayRef)]).unwrap()
}

/// Reads column `x` and says how many rows each partition has.
fn read(pattern: &Path, batch_rows: usize) -> (Vec<f64>, Vec<usize>) {
    let dataset = Dataset::open(pattern.to_str().unwrap(), None).unwrap();
    let scan = Scan { columns: vec!["x".to_owned()], batch_rows };
    let (mut values, mut partitions) = (Vec::new(), Vec::new());
    for partition in dataset.scan(&scan).unwrap() {
        let before = values.len();
        for batch in partition.unwrap() {
            let batch = batch.unwrap();
            assert!(batch.num_rows() <= batch_rows && batch.num_columns() == 1);
            values.extend(batch.column(0).as_primitive::<Float64Type>().values());
        }
        partitions.push(values.len() - before);
    }
    (values, partitions)
}

fn npy<T: npyz::Serialize + npyz::AutoSerialize>(out: &mut dyn Write, shape: &[u64], values: impl Iterator<Item = T>) {
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(out).begin_nd().unwrap();
    writer.extend(values).unwrap();
    writer.finish().unwrap();
}

type Fill<'a> = &'a dyn Fn(&mut dyn Write);

fn npz(path: &Path, arrays: &[(&str, Fill<'_>)]) {
    let mut archive = ZipWriter::new(File::create(path).unwrap());
    for (name, write) in arrays {
        archive.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        write(&mut archive);
    }
    archive.finish().unwrap();
}

#[test]
fn every_format_gives_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let table = table();

    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(20_000)).build();
    let mut writer =
        ArrowWriter::try_new(File::create(path("t.parquet")).unwrap(), table.schema(), Some(properties)).unwrap();
    writer.write(&table).unwrap();
    writer.close().unwrap();

    let mut csv = String::from("y,x\n");
    (0..ROWS).for_each(|row| csv.push_str(&format!("{},{:?}\n", row % 10, value(row))));
    fs::write(path("t.csv"), &csv).unwrap();
    fs::write(path("t.tsv"), csv.replace(',', "\t")).unwrap();
    fs::write(path("semicolons.csv"), csv.replace("y,x", "\"y\";x").replace(',', ";")).unwrap();

    let mut writer = FileWriter::try_new(File::create(path("t.arrow")).unwrap(), &table.schema()).unwrap();
    writer.write(&table).unwrap();
    writer.finish().unwrap();
    let mut writer = StreamWriter::try_new(File::create(path("t.arrows")).unwrap(), &table.schema()).unwrap();
    writer.write(&table).unwrap();
    writer.finish().unwrap();

    npy(&mut File::create(path("t.npy")).unwrap(), &[ROWS as u64], (0..ROWS).map(value));
    let y = |out: &mut dyn Write| npy(out, &[ROWS as u64], (0..ROWS).map(|it| it as i64 % 10));
    let x = |out: &mut dyn Write| npy(out, &[ROWS as u64], (0..ROWS).map(value));
    npz(&path("t.npz"), &[("y", &y), ("x", &x)]);

    let expected: Vec<f64> = (0..ROWS).map(value).collect();
    for name in ["t.parquet", "t.csv", "t.tsv", "semicolons.csv", "t.arrow", "t.arrows", "t.npy", "t.npz"] {
        let (values, partitions) = read(&path(name), 4096);
        assert!(values == expected, "{name}: {} rows", values.len());
        let wanted = if name == "t.parquet" { vec![20_000, 20_000, 20_000, 6770] } else { vec![PARTITION_ROWS, 1234] };
        assert_eq!(partitions, wanted, "{name}");
        assert_eq!(read(&path(name), 256), (values, partitions), "{name}");
    }
}

#[test]
fn a_glob_is_its_files_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for (name, value) in [("b.csv", 2), ("a.csv", 1), ("c.txt", 3)] {
        fs::write(dir.path().join(name), format!("x\n{value}.5\n")).unwrap();
    }
    assert_eq!(read(&dir.path().join("*.csv"), 256).0, [1.5, 2.5]);
    fs::write(dir.path().join("d.csv"), "z\n1.5\n").unwrap();
    let error = Dataset::open(dir.path().join("*.csv").to_str().unwrap(), None).unwrap_err();
    assert!(matches!(error, DataError::ColumnsDiffer { .. }), "{error}");
    assert!(error.to_string().contains("column 1 is `z`, not `x`"), "{error}");
}

#[test]
fn words_for_missing_values_are_none_of_a_column_of_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("a.csv", "name,x,day,n\nNA,1.5,2024-01-01,1\nnull,NA,NULL,2\nann,n/a,2024-01-03,3\n");
    let all = |name: &str| {
        let dataset = Dataset::open(dir.path().join(name).to_str().unwrap(), None).unwrap();
        let columns = dataset.schema().fields().iter().map(|it| it.name().clone()).collect();
        let batches = dataset.batches(&Scan { columns, batch_rows: 256 }).unwrap();
        let batches: Vec<RecordBatch> = batches.map(|it| it.unwrap()).collect();
        batches
    };
    let batch = all("a.csv").remove(0);
    let types: Vec<_> = batch.schema_ref().fields().iter().map(|it| it.data_type().clone()).collect();
    assert_eq!(types, [DataType::Utf8, DataType::Float64, DataType::Date32, DataType::Int64]);
    let nulls: Vec<usize> = batch.columns().iter().map(|it| it.null_count()).collect();
    // In text they are words.
    assert_eq!(nulls, [0, 2, 1, 0]);
    assert_eq!(batch.column(0).as_string::<i32>().value(0), "NA");
    assert_eq!(batch.column(1).as_primitive::<Float64Type>().value(0), 1.5);
    // A file without a number has a column of them all the same, and one with a word has text.
    write("b.csv", "name,x,day,n\nbob,NA,NA,4\n");
    let batches = all("*.csv");
    assert_eq!(batches[1].column(1).data_type(), &DataType::Float64);
    assert_eq!((batches[1].column(1).null_count(), batches[1].column(0).null_count()), (1, 0));
    write("c.csv", "name,x,day,n\ncid,high,NA,5\n");
    let batches = all("*.csv");
    assert_eq!(batches[0].column(1).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["1.5", "NA", "n/a"]);
}

#[test]
fn numbers_without_missing_values_are_of_one_column_with_others() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, column: ArrayRef| {
        let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
        let mut writer =
            ArrowWriter::try_new(File::create(dir.path().join(name)).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    };
    write("a.parquet", Arc::new(Int64Array::from(vec![1, 2])));
    write("b.parquet", Arc::new(Float32Array::from(vec![Some(2.5), None])));
    write("c.parquet", Arc::new(Int8Array::from(vec![-3])));
    let pattern = dir.path().join("*.parquet");
    let dataset = Dataset::open(pattern.to_str().unwrap(), None).unwrap();
    assert_eq!(dataset.schema().field(0).data_type(), &DataType::Float64);
    let scan = Scan { columns: vec!["x".to_owned()], batch_rows: 256 };
    let batches: Vec<_> = dataset.batches(&scan).unwrap().map(|it| it.unwrap()).collect();
    let values: Vec<_> = batches.iter().flat_map(|it| it.column(0).as_primitive::<Float64Type>().iter()).collect();
    assert_eq!(values, [Some(1.0), Some(2.0), Some(2.5), None, Some(-3.0)]);

    write("c.parquet", Arc::new(Int64Array::from(vec![(1 << 53) + 1])));
    let dataset = Dataset::open(pattern.to_str().unwrap(), None).unwrap();
    let error = dataset.batches(&scan).unwrap().find_map(Result::err).unwrap().to_string();
    assert!(error.contains("c.parquet") && error.contains("column `x` has integers that no float is"), "{error}");

    write("c.parquet", Arc::new(StringArray::from(vec!["1"])));
    let error = Dataset::open(pattern.to_str().unwrap(), None).unwrap_err().to_string();
    assert!(error.contains("column `x` is of type Utf8, not Float64"), "{error}");
}

/// Returns why files cannot be read.
fn refused(pattern: &Path) -> String {
    Dataset::open(pattern.to_str().unwrap(), None).unwrap_err().to_string()
}

#[cfg(target_os = "linux")]
#[test]
fn what_matches_a_glob_and_cannot_be_read_is_an_error() {
    use std::os::unix::{ffi::OsStrExt, fs::symlink};

    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir_all(path("shards/a/part-old")).unwrap();
    for name in ["shards/a/part-0.csv", "shards/a/part-2.csv"] {
        fs::write(path(name), "x\n1.5\n").unwrap();
    }
    assert_eq!(read(&path("shards/a/part-*"), 256).0, [1.5; 2], "a folder is none of its files");
    assert_eq!(read(&path("shards/**/part-[0-9].csv"), 256).0, [1.5; 2]);
    assert_eq!(read(&path("shards/*/part-0.csv"), 256).0, [1.5]);

    let says = |pattern: &str, name: &str| {
        let said = refused(&path(pattern));
        let pattern = path(pattern).display().to_string();
        for it in [&format!("`{}`, which `{pattern}` matches", path(name).display()), "a link to nothing: bring back"] {
            assert!(said.contains(it), "{said}");
        }
    };
    let link = path("shards/a/part-1.csv");
    symlink(path("lost/part-1.csv"), &link).unwrap();
    says("shards/a/part-*.csv", "shards/a/part-1.csv");
    says("shards/*/part-1.csv", "shards/a/part-1.csv");
    fs::remove_file(&link).unwrap();
    symlink(path("lost"), path("shards/b")).unwrap();
    for pattern in ["shards/*/part-0.csv", "shards/*/*.csv", "shards/**/*.csv"] {
        says(pattern, "shards/b");
    }
    fs::remove_file(path("shards/b")).unwrap();

    let foreign = path("shards/a").join(std::ffi::OsStr::from_bytes(b"part-\xff.csv"));
    fs::write(&foreign, "x\n1.5\n").unwrap();
    let said = refused(&path("shards/a/part-*.csv"));
    assert!(said.contains("has a name that is not UTF-8; rename it"), "{said}");
    assert_eq!(read(&path("shards/a/part-[0-9].csv"), 256).0, [1.5; 2], "it does not match");
}

#[test]
fn a_folder_of_a_pipeline_is_no_pattern() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a*b", "a1b", "[v1]"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("a.csv"), "x\n1.5\n").unwrap();
    }
    for (folder, pattern) in [("a*b", "a.cs[v]"), ("[v1]", "*.csv"), ("[v1]", "../[[]v1]/*.csv")] {
        let source = Source { root: dir.path().join(folder), ..Source::at(pattern) };
        let dataset = Dataset::of(&source).unwrap();
        let files: Vec<_> = dataset.files().iter().map(|it| it.canonicalize().unwrap()).collect();
        assert_eq!(files, [dir.path().join(folder).join("a.csv").canonicalize().unwrap()], "{pattern}");
    }
    let none = Dataset::of(&Source { root: dir.path().join("[v1]"), ..Source::at("*.npz") }).unwrap_err();
    let path = dir.path().join("[v1]/*.npz");
    assert_eq!(none.to_string(), format!("no file matches `{}`; correct the path", path.display()));
}

#[test]
fn a_value_of_a_csv_file_that_has_not_its_columns_type_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    fs::write(&path, "x,day\n1,2026-01-01\n2,2026-13-45\n").unwrap();
    let dataset = Dataset::open(path.to_str().unwrap(), None).unwrap();
    let scan = Scan { columns: vec!["day".to_owned()], batch_rows: 256 };
    let error = dataset.batches(&scan).unwrap().find_map(Result::err).unwrap().to_string();
    let place = format!("cannot read `{}` at row 2, column `day`: `2026-13-45` is no date", path.display());
    assert!(error.starts_with(&place) && error.ends_with("correct it") && !error.contains("Row data"), "{error}");
}

#[test]
fn a_quote_that_is_never_closed_hides_no_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    let rows = |last: &str| {
        let row = |it: usize| match it {
            100 => format!("3,4.5,{last}\n"),
            it if it < 100 => format!("{it},0.5,\"an, \"\"other\"\"\"\n"),
            it => format!("{it},0.5,another\n"),
        };
        format!("x,y,z\n{}", (1..=200).map(row).collect::<String>())
    };
    fs::write(&path, rows("\"oops\"")).unwrap();
    let dataset = Dataset::open(path.to_str().unwrap(), None).unwrap();
    let counted = |dataset: &Dataset| read_all(dataset).map(|it| it.iter().map(RecordBatch::num_rows).sum::<usize>());
    assert_eq!(counted(&dataset).unwrap(), 200);
    for last in ["\"oops", "\"oops\"\"", "\"\"\"oops\"\""] {
        fs::write(&path, rows(last)).unwrap();
        let place = format!("cannot read `{}` at line 101: a quote opens a value there", path.display());
        // A run that has looked at the columns before reads what the file has become.
        for said in [refused(&path), counted(&dataset).unwrap_err().to_string()] {
            assert!(said.starts_with(&place) && said.contains("; close it"), "{said}");
        }
    }
}

#[test]
fn what_separates_values_fits_the_rows_or_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    fs::write(&path, "id;price, EUR;label\n1;2,5;0\n").unwrap();
    let columns = |separator| {
        let dataset = Dataset::of(&Source { separator, ..Source::at(path.to_str().unwrap()) }).unwrap();
        assert_eq!(read_all(&dataset).unwrap()[0].num_rows(), 1);
        dataset.schema().fields().iter().map(|it| it.name().clone()).collect::<Vec<_>>()
    };
    assert_eq!(columns(None), ["id", "price, EUR", "label"]);
    assert_eq!(columns(Some(b',')), ["id;price", " EUR;label"]);
    npy(&mut File::create(dir.path().join("x.npy")).unwrap(), &[1], [1.0_f64].into_iter());
    let source = Source { separator: Some(b';'), ..Source::at(dir.path().join("x.npy").to_str().unwrap()) };
    let said = Dataset::of(&source).unwrap_err().to_string();
    assert!(said.contains("it is NPY, in which nothing separates values; remove `separator`"), "{said}");
}

#[test]
fn csv_files_have_the_types_of_all_their_lines() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, values: [&str; 3]| {
        let rows = values.map(|it| format!("{it},1\n")).concat();
        fs::write(dir.path().join(name), format!("x,y\n{rows}")).unwrap();
    };
    write("0.csv", ["", "", ""]);
    write("1.csv", ["1", "2", "3"]);
    write("2.csv", ["0.5", "", "4"]);
    let (values, partitions) = read(&dir.path().join("[12].csv"), 256);
    assert_eq!((&values[..4], &values[5..], partitions), (&[1.0, 2.0, 3.0, 0.5][..], &[4.0][..], vec![3, 3]));

    let types = |glob: &str, one: &str| {
        let of = |it: &str| Dataset::open(dir.path().join(it).to_str().unwrap(), None).unwrap().schema().clone();
        let lines: String = of_files(dir.path(), glob);
        fs::write(dir.path().join(one), format!("x,y\n{lines}")).unwrap();
        (of(glob).field(0).data_type().clone(), of(one).field(0).data_type().clone())
    };
    write("3.csv", ["many", "few", "none"]);
    write("4.csv", ["2026-01-01", "2026-01-02", "2026-01-03"]);
    write("5.csv", ["2026-01-01T10:00:00", "2026-01-02T10:00:00", "2026-01-03T10:00:00"]);
    write("6.csv", ["2026-01-01T10:00:00.125", "2026-01-02T10:00:00", "2026-01-03T10:00:00"]);
    write("7.csv", ["true", "false", "true"]);
    for glob in ["[01].csv", "[012].csv", "[13].csv", "[45].csv", "[56].csv", "[14].csv", "[17].csv", "[06].csv"] {
        let (several, one) = types(glob, "one.csv");
        assert_eq!(several, one, "{glob}");
    }
}

/// Returns the lines below the head lines of all files.
fn of_files(folder: &Path, glob: &str) -> String {
    let files = glob.trim_start_matches('[').split(']').next().unwrap();
    files
        .chars()
        .map(|it| fs::read_to_string(folder.join(format!("{it}.csv"))).unwrap().replacen("x,y\n", "", 1))
        .collect()
}

#[test]
fn further_axes_are_a_tensor() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.npz");
    npz(&path, &[("image", &|out| npy(out, &[3, 2, 2], (0..12).map(|it| it as f32)))]);
    let dataset = Dataset::open(path.to_str().unwrap(), None).unwrap();
    let field = dataset.schema().field(0);
    assert_eq!(field.data_type(), &DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float32, true)), 4));
    assert_eq!(field.metadata()["ARROW:extension:name"], "arrow.fixed_shape_tensor");
    assert_eq!(field.metadata()["ARROW:extension:metadata"], r#"{"shape":[2,2]}"#);
    let scan = Scan { columns: vec!["image".to_owned()], batch_rows: 256 };
    let batch = dataset.scan(&scan).unwrap().next().unwrap().unwrap().next().unwrap().unwrap();
    let list: &FixedSizeListArray = batch.column(0).as_fixed_size_list();
    assert_eq!((list.len(), list.value_length()), (3, 4));
}

#[test]
fn fortran_order_is_read_by_rows() {
    let dir = tempfile::tempdir().unwrap();
    let columns_first = |out: &mut dyn Write, shape: &[u64], values: Vec<i64>| {
        let options = npyz::WriteOptions::new().default_dtype().shape(shape).order(npyz::Order::Fortran);
        let mut writer = options.writer(out).begin_nd().unwrap();
        values.into_iter().for_each(|it| writer.push(&it).unwrap());
        writer.finish().unwrap();
    };
    // What NumPy writes of np.asfortranarray(np.arange(12).reshape(3, 2, 2)).
    let values = vec![0, 4, 8, 2, 6, 10, 1, 5, 9, 3, 7, 11];
    let whole = dir.path().join("t.npz");
    npz(&whole, &[("x", &|out| columns_first(out, &[3, 2, 2], values.clone()))]);
    let alone = dir.path().join("t.npy");
    columns_first(&mut File::create(&alone).unwrap(), &[3, 2, 2], values.clone());
    // Many partitions are read of one array.
    let long = dir.path().join("long.npy");
    let n = 200_000;
    columns_first(
        &mut File::create(&long).unwrap(),
        &[n, 2],
        (0..n * 2).map(|it| (it % n * 2 + it / n) as i64).collect(),
    );
    for (path, n) in [(whole, 12), (alone, 12), (long, 2 * n as i64)] {
        let dataset = Dataset::open(path.to_str().unwrap(), None).unwrap();
        let batches = dataset.batches(&Scan { columns: vec!["x".to_owned()], batch_rows: 256 }).unwrap();
        let read: Vec<i64> = batches
            .flat_map(|it| {
                let batch = it.unwrap();
                let list = batch.column(0).as_fixed_size_list();
                list.values().as_primitive::<arrow_array::types::Int64Type>().values().to_vec()
            })
            .collect();
        assert_eq!(read, (0..n).collect::<Vec<_>>(), "{}", path.display());
    }
    // Of another type.
    let halves = dir.path().join("halves.npy");
    let options = npyz::WriteOptions::new().default_dtype().shape(&[2, 3, 1]).order(npyz::Order::Fortran);
    let mut file = File::create(&halves).unwrap();
    let mut writer = options.writer(&mut file).begin_nd().unwrap();
    [0.0_f32, 1.5, 0.5, 2.0, 1.0, 2.5].iter().for_each(|it| writer.push(it).unwrap());
    writer.finish().unwrap();
    let dataset = Dataset::open(halves.to_str().unwrap(), None).unwrap();
    let batch = dataset.batches(&Scan { columns: vec!["x".to_owned()], batch_rows: 256 }).unwrap().next().unwrap();
    let batch = batch.unwrap();
    let values = batch.column(0).as_fixed_size_list().values().as_primitive::<arrow_array::types::Float32Type>();
    assert_eq!(values.values().to_vec(), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
    // Texts, as NumPy writes np.array([["a", "b"], ["", "é"], ["c", "d"]], order="F").
    let words = dir.path().join("words.npy");
    let head = "{'descr': '<U1', 'fortran_order': True, 'shape': (3, 2), }";
    let mut bytes = [b"\x93NUMPY\x01\0", &(head.len() as u16).to_le_bytes()[..], head.as_bytes()].concat();
    bytes.extend("a\0cbéd".chars().flat_map(|it| u32::from(it).to_le_bytes()));
    fs::write(&words, bytes).unwrap();
    let dataset = Dataset::open(words.to_str().unwrap(), None).unwrap();
    let mut batches = dataset.batches(&Scan { columns: vec!["x".to_owned()], batch_rows: 256 }).unwrap();
    let batch = batches.next().unwrap().unwrap();
    let texts = batch.column(0).as_fixed_size_list().values().as_string::<i32>();
    assert_eq!(texts.iter().flatten().collect::<Vec<_>>(), ["a", "b", "", "é", "c", "d"]);
    // One that ends early is an error, however it is ordered.
    let cut = dir.path().join("cut.npy");
    let bytes = fs::read(dir.path().join("t.npy")).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 8]).unwrap();
    let dataset = Dataset::open(cut.to_str().unwrap(), None).unwrap();
    let scan = Scan { columns: vec!["x".to_owned()], batch_rows: 256 };
    assert!(dataset.batches(&scan).unwrap().any(|it| it.is_err()));
}

/// Writes an array of any type, whose elements are these bytes.
fn npy_of(out: &mut dyn Write, descr: &str, shape: &str, bytes: &[u8]) {
    let head = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}");
    out.write_all(&[b"\x93NUMPY\x01\0", &(head.len() as u16).to_le_bytes()[..], head.as_bytes(), bytes].concat())
        .unwrap();
}

#[test]
fn arrays_that_nobody_reads_may_be_anything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.npz");
    let others: [(&str, &str, &str, &[u8], &str); 6] = [
        ("k", "'<i8'", "()", &[4, 0, 0, 0, 0, 0, 0, 0], "it is a single value, not rows"),
        ("day", "'<M8[D]'", "(1,)", &[0; 8], "elements of type <M8[D] are not supported"),
        ("word", "'|S2'", "(1,)", b"ab", "elements of type |S2 are not supported"),
        ("any", "'|O'", "(1,)", b"\x80\x04.", "elements of type |O are not supported"),
        ("record", "[('a', '<i8')]", "(1,)", &[0; 8], "records with named fields are not supported"),
        ("empty", "'<f8'", "(3, 0)", &[], "has no elements"),
    ];
    let fills = others.map(|(_, descr, shape, bytes, _)| move |out: &mut dyn Write| npy_of(out, descr, shape, bytes));
    let x = |out: &mut dyn Write| npy(out, &[3], (0..3).map(value));
    let mut arrays: Vec<(&str, Fill<'_>)> =
        others.iter().zip(&fills).map(|(it, fill)| (it.0, fill as Fill<'_>)).collect();
    arrays.insert(2, ("x", &x));
    npz(&path, &arrays);
    assert_eq!(read(&path, 256).0, (0..3).map(value).collect::<Vec<_>>());
    let dataset = Dataset::open(path.to_str().unwrap(), None).unwrap();
    for (name, .., why) in others {
        let said = dataset.check(&["x".to_owned(), name.to_owned()]).unwrap_err().to_string();
        assert!(said.contains(&format!("array `{name}`: {why}")) || said.contains(why), "{said}");
        assert!(said.contains("t.npz") && said.ends_with(", or name it in `[data.columns] ignore`"), "{said}");
        let scan = Scan { columns: vec![name.to_owned()], batch_rows: 256 };
        assert!(dataset.batches(&scan).unwrap().next().unwrap().is_err(), "{name}");
    }
    npz(&path, &arrays[..1]);
    let said = refused(&path);
    assert!(said.contains("array `k`") && said.contains("a single value"), "{said}");
}

#[test]
fn numbers_of_half_precision_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let halves = [0x3c00_u16, 0xc000, 0x0001, 0x7bff, 0x7c00];
    let expected = [1.0_f32, -2.0, 5.960_464_5e-8, 65504.0, f32::INFINITY];
    for (descr, bytes) in [("'<f2'", halves.map(u16::to_le_bytes)), ("'>f2'", halves.map(u16::to_be_bytes))] {
        let path = dir.path().join("x.npy");
        npy_of(&mut File::create(&path).unwrap(), descr, "(5,)", bytes.as_flattened());
        let dataset = Dataset::open(path.to_str().unwrap(), None).unwrap();
        let batch = read_all(&dataset).unwrap().remove(0);
        assert_eq!(batch.column(0).as_primitive::<arrow_array::types::Float32Type>().values()[..], expected, "{descr}");
    }
}

#[test]
fn many_arrays_are_one_table() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.npz");
    let names: Vec<_> = (0..300).map(|it| format!("c{it}")).collect();
    let fills: Vec<_> =
        (0..300).map(|nth| move |out: &mut dyn Write| npy(out, &[10], (0..10).map(|it| value(it + nth)))).collect();
    npz(&path, &names.iter().zip(&fills).map(|(it, fill)| (it.as_str(), fill as Fill<'_>)).collect::<Vec<_>>());
    let table = read_all(&Dataset::open(path.to_str().unwrap(), None).unwrap()).unwrap().remove(0);
    for (nth, name) in names.iter().enumerate() {
        let expected: Vec<_> = (0..10).map(|it| value(it + nth)).collect();
        assert_eq!(table[name.as_str()].as_primitive::<Float64Type>().values()[..], expected, "{name}");
    }
}

#[test]
fn files_that_are_damaged_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.npz");
    let (short, long) =
        (|out: &mut dyn Write| npy(out, &[3], 0..3_i64), |out: &mut dyn Write| npy(out, &[4], 0..4_i64));
    npz(&path, &[("a", &short), ("b", &long)]);
    let dataset = Dataset::open(path.to_str().unwrap(), None).unwrap();
    let read = |columns: &[&str]| {
        let columns = columns.iter().map(|it| (*it).to_owned()).collect();
        dataset.batches(&Scan { columns, batch_rows: 256 })
    };
    // Only those that are read need as many rows.
    for (column, rows) in [("a", 3), ("b", 4)] {
        let read: usize = read(&[column]).unwrap().map(|it| it.unwrap().num_rows()).sum();
        assert_eq!(read, rows, "{column}");
    }
    let error = read(&["a", "b"]).unwrap().find_map(Result::err).unwrap().to_string();
    assert!(error.contains("array `b`") && error.contains("4 rows, `a` has 3") && error.contains("ignore"), "{error}");

    // The head promises more rows than there are.
    let path = dir.path().join("short.npy");
    npy(&mut File::create(&path).unwrap(), &[1000], (0..1000).map(value));
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 100);
    fs::write(&path, bytes).unwrap();
    let dataset = Dataset::open(path.to_str().unwrap(), None).unwrap();
    let scan = Scan { columns: vec!["x".to_owned()], batch_rows: 256 };
    let error = dataset.scan(&scan).unwrap().find_map(Result::err).unwrap().to_string();
    assert!(error.contains("short.npy") && error.contains("array `x`"), "{error}");
}

#[test]
fn a_dot_in_a_name_is_a_letter_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let column = |value: f64| Arc::new(Float64Array::from(vec![value])) as ArrayRef;
    let table = RecordBatch::try_from_iter([("a", column(1.0)), ("a.b", column(2.0)), ("x", column(3.0))]).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), table.schema(), None).unwrap();
    writer.write(&table).unwrap();
    writer.close().unwrap();
    let dataset = Dataset::open(path.to_str().unwrap(), None).unwrap();
    let scan = Scan { columns: vec!["a.b".to_owned(), "x".to_owned()], batch_rows: 256 };
    let batch = dataset.scan(&scan).unwrap().next().unwrap().unwrap().next().unwrap().unwrap();
    let names: Vec<_> = batch.schema().fields().iter().map(|it| it.name().clone()).collect();
    assert_eq!(names, ["a.b", "x"]);
}

/// Writes a column `c` as that of a dictionary of its values, as pandas writes a column of categories.
fn dictionary_of(path: &Path, values: ArrayRef) -> Dataset {
    let batch = RecordBatch::try_from_iter_with_nullable([("c", values, true)]).unwrap();
    let of = DataType::Dictionary(Box::new(DataType::Int8), Box::new(batch.column(0).data_type().clone()));
    let mut properties = WriterProperties::builder().build();
    add_encoded_arrow_schema_to_metadata(&Schema::new(vec![Field::new("c", of, true)]), &mut properties);
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(File::create(path).unwrap(), batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    Dataset::open(path.to_str().unwrap(), None).unwrap()
}

fn read_all(dataset: &Dataset) -> Result<Vec<RecordBatch>, DataError> {
    let columns = dataset.schema().fields().iter().map(|it| it.name().clone()).collect();
    dataset.batches(&Scan { columns, batch_rows: 256 })?.collect()
}

#[test]
fn categories_of_any_values_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let plain: [ArrayRef; 3] = [
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(Date32Array::from(vec![Some(1), None, Some(2)])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None, Some(2)])),
    ];
    for (at, values) in plain.into_iter().enumerate() {
        let dataset = dictionary_of(&dir.path().join(format!("{at}.parquet")), Arc::clone(&values));
        assert_eq!(dataset.schema().field(0).data_type(), values.data_type());
        assert_eq!(read_all(&dataset).unwrap()[0].column(0), &values);
    }
    let kept: [ArrayRef; 2] = [
        Arc::new(StringArray::from(vec![Some("b"), None, Some("a")])),
        Arc::new(Int64Array::from(vec![Some(20), None, Some(10)])),
    ];
    for (at, values) in kept.into_iter().enumerate() {
        let dataset = dictionary_of(&dir.path().join(format!("kept-{at}.parquet")), Arc::clone(&values));
        let read = read_all(&dataset).unwrap();
        let read = read[0].column(0).as_dictionary::<Int8Type>();
        assert_eq!((read.values().data_type(), read.len(), read.null_count()), (values.data_type(), 3, 1));
    }
}

#[test]
fn compressed_buffers_of_arrow_files_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let batch = table().slice(0, 3000);
    for (name, codec) in [("lz4", CompressionType::LZ4_FRAME), ("zstd", CompressionType::ZSTD)] {
        let options = || IpcWriteOptions::default().try_with_compression(Some(codec)).unwrap();
        let [file, stream] = ["feather", "arrows"].map(|it| dir.path().join(format!("{name}.{it}")));
        let mut writer =
            FileWriter::try_new_with_options(File::create(&file).unwrap(), &batch.schema(), options()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let mut writer =
            StreamWriter::try_new_with_options(File::create(&stream).unwrap(), &batch.schema(), options()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        for path in [file, stream] {
            assert_eq!(read(&path, 256).0, (0..3000).map(value).collect::<Vec<_>>(), "{}", path.display());
        }
    }
}

#[test]
fn a_compression_that_is_not_supported_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let column = Arc::new(Float64Array::from(vec![1.0, 2.0])) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("packed", column)]).unwrap();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let snappy = fs::read(&path).unwrap();
    // The codec of the column is the number behind its name in the footer, doubled.
    let name = b"packed\x15\x02";
    let at = snappy.windows(name.len()).rposition(|it| it == name).unwrap() + name.len() - 1;
    for (codec, number) in [("lzo", 3), ("brotli", 4)] {
        let mut bytes = snappy.clone();
        bytes[at] = 2 * number;
        fs::write(&path, bytes).unwrap();
        let said = read_all(&Dataset::open(path.to_str().unwrap(), None).unwrap()).unwrap_err().to_string();
        let expected = format!(
            "t.parquet` at row group 0: its compression, {codec}, is not supported; save it with another, as zstd"
        );
        assert!(said.ends_with(&expected), "{said}");
    }
}

#[test]
fn a_reader_that_gives_up_ends_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("many.parquet");
    // More values than keys of one byte.
    let dataset = dictionary_of(&path, Arc::new(Int64Array::from_iter_values(0..300)));
    let error = read_all(&dataset).unwrap_err().to_string();
    let place = format!("cannot read `{}`: its reader gave up: ", path.display());
    assert!(error.starts_with(&place) && error.ends_with("; write or copy the file again"), "{error}");
}
