//! Inputs of several axes from one column of `arrow.fixed_shape_tensor`.

use std::{fs::File, path::Path, sync::Arc};

use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Float32Array, Int64Array, ListArray, RecordBatch, cast::AsArray,
    types::Float32Type,
};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};

use crate::support::{Project, check, fixtures};

/// Rows of the digits as another program would write them: images of this shape in a column, and what the network answers to them.
fn write(path: &Path, recorded: &[RecordBatch], shape: &str) {
    write_batches(path, &recorded.iter().map(|it| as_tensors(it, shape)).collect::<Vec<_>>());
}

fn write_batches(path: &Path, batches: &[RecordBatch]) {
    let schema = batches[0].schema();
    let file = File::create(path).unwrap();
    match path.extension().unwrap().to_str().unwrap() {
        "parquet" => {
            let mut writer = ArrowWriter::try_new(file, schema, None).unwrap();
            batches.iter().for_each(|it| writer.write(it).unwrap());
            writer.close().unwrap();
        }
        "arrow" => {
            let mut writer = FileWriter::try_new(file, &schema).unwrap();
            batches.iter().for_each(|it| writer.write(it).unwrap());
            writer.finish().unwrap();
        }
        _ => {
            let mut writer = StreamWriter::try_new(file, &schema).unwrap();
            batches.iter().for_each(|it| writer.write(it).unwrap());
            writer.finish().unwrap();
        }
    }
}

fn as_tensors(recorded: &RecordBatch, shape: &str) -> RecordBatch {
    let column = |name: &str| recorded.column_by_name(name).unwrap();
    let pixels = column("x").as_fixed_size_list().values().as_primitive::<Float32Type>().clone();
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let images: ArrayRef = Arc::new(FixedSizeListArray::new(Arc::clone(&item), 64, Arc::new(pixels), None));
    let metadata = [
        ("ARROW:extension:name".to_owned(), "arrow.fixed_shape_tensor".to_owned()),
        ("ARROW:extension:metadata".to_owned(), format!(r#"{{"shape":{shape}}}"#)),
    ];
    let images_field = Field::new("image", DataType::FixedSizeList(item, 64), false).with_metadata(metadata.into());
    let expected = column("expected");
    let expected_field = Field::new("expected", expected.data_type().clone(), true);
    let schema = Arc::new(Schema::new(vec![images_field, expected_field]));
    RecordBatch::try_new(schema, vec![images, Arc::clone(expected)]).unwrap()
}

fn pipeline(data: &str, input: &str) -> String {
    let fixtures = fixtures();
    let fixtures = fixtures.display();
    // To the last bit.
    format!(
        "name = 'tensors'\ncheckpoint = {{ import = '{fixtures}/digits/cnn_series/e08.onnx', name = 'digits' }}\n\
         [data.current]\npath = '{data}'\n[data.columns]\ninputs = {{ x = '{input}' }}\n\
         [[verify]]\nuses = 'golden'\nwith = {{ outputs = {{ probs = 'expected' }}, rtol = 0, atol = 0 }}\n"
    )
}

/// Records what the network answers to the digits.
fn record(project: &Project) -> Vec<RecordBatch> {
    let array = fixtures().join("digits/data/test.npz");
    project.write("pipeline.toml", &pipeline(array.to_str().unwrap(), "x"));
    let recorded = project.modelwatch(&["golden", "pipeline.toml", "--record", "recorded.parquet"]);
    assert_eq!(recorded.code, 0, "{}", recorded.err);
    let file = File::open(project.path().join("recorded.parquet")).unwrap();
    let recorded = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    recorded.map(|it| it.unwrap()).collect()
}

/// Rows as NumPy's view of images with their axes turned: what is meant is the image, and what lies there is its transpose.
fn turned(recorded: &RecordBatch) -> RecordBatch {
    let images = as_tensors(recorded, r#"[1,8,8],"permutation":[2,1,0]"#);
    let pixels = images.column(0).as_fixed_size_list().values().as_primitive::<Float32Type>().clone();
    let lies = |place: usize| pixels.value(place / 64 * 64 + place % 8 * 8 + place % 64 / 8);
    let turned = Arc::new(Float32Array::from_iter_values((0..pixels.len()).map(lies)));
    let DataType::FixedSizeList(item, width) = images.schema().field(0).data_type().clone() else { panic!() };
    let columns: Vec<ArrayRef> =
        vec![Arc::new(FixedSizeListArray::new(item, width, turned, None)), Arc::clone(images.column(1))];
    RecordBatch::try_new(images.schema(), columns).unwrap()
}

#[test]
fn tensors_are_read_along_the_axes_that_are_meant() {
    let project = Project::new();
    let recorded = record(&project);
    for name in ["turned.parquet", "turned.arrow"] {
        let batches: Vec<_> = recorded.iter().map(turned).collect();
        write_batches(&project.path().join(name), &batches);
        let (code, record) = project.run(&pipeline(name, "image"));
        assert_eq!(code, 0, "{name}: {record:#}");
    }
    let wrong: Vec<_> = recorded.iter().map(|it| as_tensors(it, r#"[8,8,1],"permutation":[2,2,0]"#)).collect();
    write_batches(&project.path().join("wrong.parquet"), &wrong);
    let (code, record) = project.run(&pipeline("wrong.parquet", "image"));
    let message = check(&record, "golden", "error")["message"].as_str().unwrap().to_owned();
    let said = "the tensors of column `image` have 3 axes, and a `permutation` that is no order of them; write the column again";
    assert!(code == 3 && message.contains(said), "{message}");
}

#[test]
fn images_in_a_tensor_column_give_what_an_array_of_them_gives() {
    let project = Project::new();
    let recorded = record(&project);
    let n_rows: usize = recorded.iter().map(RecordBatch::num_rows).sum();

    for name in ["images.parquet", "images.arrow", "images.arrows"] {
        let path = project.path().join(name);
        write(&path, &recorded, "[8,8,1]");
        let (code, record) = project.run(&pipeline(name, "image"));
        assert_eq!((code, &record["coverage"]["rows"]["current"]), (0, &n_rows.into()), "{name}: {record:#}");
        // The shape is the column's, and not made of its length.
        write(&path, &recorded, "[4,16,1]");
        let (code, record) = project.run(&pipeline(name, "image"));
        assert_eq!(code, 3, "{name}: {record:#}");
        let message = check(&record, "golden", "error")["message"].as_str().unwrap().to_owned();
        assert!(message.contains("have shape [4, 16, 1], but the model wants [8, 8, 1]"), "{name}: {message}");
        assert!(message.contains("reshape the column (`x` is column `image` of the data)"), "{name}: {message}");
    }
}

#[test]
fn recorded_outputs_need_no_type_that_says_how_long_lists_are() {
    let scores = |row: usize| {
        let first = (row % 7) as f32 / 10.0;
        Some([Some(first), Some(1.0 - first)])
    };
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>((0..60).map(scores)));
    let labels: ArrayRef = Arc::new(Int64Array::from_iter_values((0..60).map(|row| i64::from(row % 7 < 6))));
    let columns = [("scores", Arc::clone(&lists)), ("want", lists), ("y", labels)];
    let project = Project::new();
    write_batches(&project.path().join("rows.parquet"), &[RecordBatch::try_from_iter(columns).unwrap()]);
    let (code, record) = project.run(
        "name = 'lists'\n[data.current]\npath = 'rows.parquet'\n\
         [data.columns]\nlabel = 'y'\npredictions = { probs = 'scores' }\n\
         [[verify]]\nuses = 'metrics'\nwith = { task = 'binary' }\nrequire = { accuracy = '>= 0.8', log_loss = '<= 1' }\n",
    );
    assert_eq!(code, 0, "{record:#}");
    // What the network answers, as a data frame would write it.
    let recorded = record_of_digits(&project);
    let (code, record) = project.run(&pipeline("lists.parquet", "x"));
    assert_eq!(code, 0, "{record:#}");
    assert_eq!(check(&record, "mismatch_share", "pass")["n"], recorded);
}

/// Writes what the network answers to the digits with lists whose type does not say how long they are, and returns how many numbers it is.
fn record_of_digits(project: &Project) -> usize {
    let mut n_numbers = 0;
    let batches: Vec<_> = record(project)
        .iter()
        .map(|batch| {
            let expected = batch.column_by_name("expected").unwrap().as_fixed_size_list();
            let numbers = expected.values().as_primitive::<Float32Type>();
            n_numbers += numbers.len();
            let rows = numbers.values().chunks(expected.value_length() as usize);
            let rows = rows.map(|row| Some(row.iter().copied().map(Some).collect::<Vec<_>>()));
            let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows));
            RecordBatch::try_from_iter([("x", Arc::clone(batch.column_by_name("x").unwrap())), ("expected", lists)])
                .unwrap()
        })
        .collect();
    write_batches(&project.path().join("lists.parquet"), &batches);
    n_numbers
}
