//! Damaged and odd files are refused, or read as the reference implementation reads them.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use modelwatch_tensors::{Format, Lost, NpzWriter, TensorError, TensorFile, TensorSource};

fn fixtures(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")).join(path)
}

#[test]
fn safetensors_conform_to_the_reference_implementation() {
    let folder = fixtures("conformance/checkpoints");
    let expected = fs::read_to_string(folder.join("expected.safetensors.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
    let mut n_cases = 0;
    for (name, expected) in expected.as_object().unwrap().iter().filter(|(name, _)| *name != "_meta") {
        n_cases += 1;
        let found = TensorFile::open(&folder.join(name));
        let Some(loads) = expected.get("loads") else {
            let error = found.unwrap_err();
            assert!(matches!(&error, TensorError::Corrupt { format: Format::Safetensors, .. }), "{name}: {error}");
            assert!(error.to_string().contains(name), "{error}");
            continue;
        };
        let file = found.unwrap();
        let loads = loads.as_object().unwrap();
        assert_eq!(file.len(), loads.len(), "{name}");
        for (tensor_name, it) in loads {
            let tensor = file.get(tensor_name).unwrap().unwrap();
            let dtype = match it[0].as_str().unwrap() {
                "torch.int64" => "i64",
                "torch.float32" => "f32",
                "torch.float16" => "f16",
                other => panic!("{other}"),
            };
            assert_eq!(tensor.info.dtype.name(), dtype, "{name} {tensor_name}");
            let shape: Vec<u64> = it[1].as_array().unwrap().iter().map(|it| it.as_u64().unwrap()).collect();
            assert_eq!(tensor.info.shape, shape, "{name} {tensor_name}");
            let sum: f64 = tensor.values_f64().iter().sum();
            match it[2].as_f64() {
                Some(want) => assert!((sum - want).abs() < 1e-5, "{name} {tensor_name}: {sum} {want}"),
                None => assert!(sum.is_nan(), "{name} {tensor_name}"),
            }
        }
    }
    assert_eq!(n_cases, 24);
}

#[test]
fn flipped_byte_in_a_tensorflow_checkpoint_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (index, data) = (folder.path().join("ckpt.index"), folder.path().join("ckpt.data-00000-of-00001"));
    let source = fixtures("digits/cnn/tf_checkpoint");
    let index_bytes = fs::read(source.join("ckpt.index")).unwrap();
    let data_bytes = fs::read(source.join("ckpt.data-00000-of-00001")).unwrap();
    fs::write(&index, &index_bytes).unwrap();

    // The second kernel fills bytes 300 to 4908.
    let mut flipped = data_bytes.clone();
    flipped[400] ^= 0x10;
    fs::write(&data, &flipped).unwrap();
    let file = TensorFile::open(&index).unwrap();
    let errors: Vec<String> = file.iter().filter_map(Result::err).map(|it| it.to_string()).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("_operations/2/_kernel") && errors[0].contains("has checksum"), "{errors:?}");
    assert_eq!(file.iter().filter(Result::is_ok).count(), 13);

    fs::write(&data, &data_bytes[..30_000]).unwrap();
    let error = TensorFile::open(&index).unwrap_err().to_string();
    assert!(error.contains("ends past the data file"), "{error}");

    fs::write(&data, &data_bytes).unwrap();
    for position in 0..index_bytes.len() - 48 {
        let mut flipped = index_bytes.clone();
        flipped[position] ^= 1;
        fs::write(&index, &flipped).unwrap();
        assert!(TensorFile::open(&index).is_err(), "{position}");
    }
}

#[test]
fn saved_model_whose_variables_are_gone_is_not_taken_for_a_frozen_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixtures("digits/cnn/saved_model/saved_model.pb"), folder.path().join("saved_model.pb")).unwrap();
    let error = TensorFile::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("has the variable") && error.contains("no file of variables"), "{error}");
}

#[test]
fn flipped_byte_in_an_npz_is_found() {
    let path = fixtures("digits/cnn/cnn.npz");
    let mut bytes = fs::read(&path).unwrap();
    // Far inside the compressed data of the largest array.
    bytes[20_000] ^= 0x10;
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("cnn.npz");
    fs::write(&damaged, bytes).unwrap();
    let file = TensorFile::open(&damaged).unwrap();
    let error = file.get("digits_cnn.fc1.kernel").unwrap().unwrap_err().to_string();
    assert!(error.contains("digits_cnn.fc1.kernel") && error.contains("cannot be unpacked"), "{error}");
    assert!(file.get("digits_cnn.fc1.bias").unwrap().is_ok());
    assert!(file.get("absent").is_none());
}

#[test]
fn pickles_outside_an_archive_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("it.safetensors", &b"\x80\x04\x95"[..]), ("it.pt", b"anything")] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let error = TensorFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("is a pickle outside a zip archive"), "{error}");
    }
}

#[test]
fn missing_and_irregular_files_are_io_errors() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("absent.onnx"), PathBuf::from("/dev/null")] {
        let error = TensorFile::open(&path).unwrap_err();
        assert!(matches!(&error, TensorError::Io { .. }), "{error}");
    }
}

/// A safetensors file with one-byte tensors of these names.
fn safetensors(names: &[&str]) -> Vec<u8> {
    let entries: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(idx, name)| {
            format!("\"{name}\":{{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[{idx},{}]}}", idx + 1)
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    let mut res = (header.len() as u64).to_le_bytes().to_vec();
    res.extend(header.as_bytes());
    res.extend((0..names.len()).map(|it| u8::try_from(it).unwrap()));
    res
}

#[test]
fn header_length_that_looks_like_a_pickle_is_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it");
    let mut header = br#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#.to_vec();
    header.resize(0x0280, b' ');
    let mut bytes = 0x0280_u64.to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.push(7);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(Format::detect(&path).unwrap(), Format::Safetensors);
    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.get("a").unwrap().unwrap().values_f64(), [7.0]);
}

#[test]
fn duplicate_names_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.safetensors");
    // The second entry repeats the offsets of the first, which the library alone would accept.
    let header =
        br#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.push(7);
    fs::write(&path, bytes).unwrap();
    let error = TensorFile::open(&path).unwrap_err().to_string();
    assert!(error.contains("tensor `a` is there twice"), "{error}");
}

fn sharded(folder: &Path, weight_map: &str) -> Result<Vec<String>, String> {
    let index = folder.join("model.safetensors.index.json");
    fs::write(&index, format!("{{\"metadata\":{{}},\"weight_map\":{{{weight_map}}}}}")).unwrap();
    let file = TensorFile::open(&index).map_err(|it| it.to_string())?;
    assert_eq!(file.format(), Format::ShardedSafetensors);
    Ok(file.infos().iter().map(|it| it.name.clone()).collect())
}

#[test]
fn shards_are_read_as_one_and_stay_in_their_folder() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("checkpoint");
    fs::create_dir(&folder).unwrap();
    fs::write(outer.path().join("secret.safetensors"), safetensors(&["a"])).unwrap();
    fs::write(folder.join("1.safetensors"), safetensors(&["a", "c"])).unwrap();
    fs::write(folder.join("2.safetensors"), safetensors(&["b"])).unwrap();
    fs::write(folder.join("3.safetensors"), safetensors(&["a"])).unwrap();
    std::os::unix::fs::symlink("../secret.safetensors", folder.join("link.safetensors")).unwrap();

    let names = sharded(&folder, r#""a":"1.safetensors","b":"2.safetensors","c":"1.safetensors""#).unwrap();
    assert_eq!(names, ["a", "b", "c"]);
    let cases = [
        (r#""a":"../secret.safetensors""#, "not inside the folder"),
        (r#""a":"/etc/passwd""#, "not inside the folder"),
        (r#""a":"x/../../secret.safetensors""#, "not inside the folder"),
        (r#""a":"x/secret.safetensors""#, "cannot read"),
        (r#""a":"link.safetensors""#, "symbolic link"),
        (r#""a":"" "#, "no file name"),
        (r#""a":"2.safetensors""#, "is not in its shard"),
        (r#""c":"1.safetensors","a":"3.safetensors""#, "is there twice"),
        (r#""a":1"#, "invalid type"),
    ];
    for (weight_map, want) in cases {
        let error = sharded(&folder, weight_map).unwrap_err();
        assert!(error.contains(want), "{weight_map}: {error}");
    }
}

#[test]
fn variables_of_a_saved_model_are_in_its_folder() {
    let source = fixtures("digits/cnn/saved_model");
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("model");
    let elsewhere = outer.path().join("elsewhere");
    for it in [&folder, &elsewhere] {
        fs::create_dir(it).unwrap();
    }
    fs::copy(source.join("saved_model.pb"), folder.join("saved_model.pb")).unwrap();
    let names = ["variables.index", "variables.data-00000-of-00001"];
    for name in names {
        fs::copy(source.join("variables").join(name), elsewhere.join(name)).unwrap();
    }
    let open = |why: &str| {
        let error = TensorFile::open(&folder).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("which goes through a symbolic link"), "{error}");
    };
    let variables = folder.join("variables");
    std::os::unix::fs::symlink(&elsewhere, &variables).unwrap();
    open("names the data file `variables/variables.index`");
    fs::remove_file(&variables).unwrap();
    fs::create_dir(&variables).unwrap();
    fs::copy(elsewhere.join(names[0]), variables.join(names[0])).unwrap();
    std::os::unix::fs::symlink(elsewhere.join(names[1]), variables.join(names[1])).unwrap();
    open("names the data file `variables/variables.data-00000-of-00001`");
    fs::remove_file(variables.join(names[1])).unwrap();
    fs::copy(elsewhere.join(names[1]), variables.join(names[1])).unwrap();
    assert!(TensorFile::open(&folder).unwrap().iter().all(|it| it.is_ok()));
    // The model itself may be reached by a link, as the user wants.
    let link = outer.path().join("link");
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    assert!(TensorFile::open(&link).unwrap().iter().all(|it| it.is_ok()));
}

/// A safetensors file of one tensor.
fn one_tensor(dtype: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let offsets = format!("[0,{}]", values.len());
    let header = format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), values].concat()
}

/// An NPY file of one array with one axis.
fn npy(dtype: &str, n: usize, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({n},), }}");
    [b"\x93NUMPY\x01\0\x76\0", format!("{header:<117}\n").as_bytes(), values].concat()
}

#[test]
fn what_is_not_read_says_what_is_lost_and_what_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, lost, shape, stored) in [
        ("w.safetensors", one_tensor("F8_E4M3", "[1,2]", &[1, 0x7f]), Lost::Numbers, &[1, 2][..], &[1, 0x7f][..]),
        ("w.safetensors", one_tensor("C64", "[1]", &[7; 8]), Lost::Numbers, &[1], &[7; 8]),
        ("w.safetensors", one_tensor("F4", "[4]", &[1, 2]), Lost::Finite, &[4], &[1, 2]),
        ("w.npy", npy("<c8", 1, &[7; 8]), Lost::Numbers, &[1], &[7; 8]),
        ("w.npy", npy("<U1", 1, &[65, 0, 0, 0]), Lost::Finite, &[1], &[65, 0, 0, 0]),
        ("w.npy", npy("|O", 1, &[0x80, 4]), Lost::Numbers, &[1], &[0x80, 4]),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let file = TensorFile::open(&path).unwrap();
        let skipped = file.skipped();
        assert_eq!((file.len(), skipped.len(), skipped[0].name.as_str()), (0, 1, "w"), "{name}");
        assert_eq!((skipped[0].lost, skipped[0].stored()), (lost, Some((shape, stored))), "{}", skipped[0].reason);
    }
    // What TensorFlow keeps of a program is no tensor.
    let file = TensorFile::open(&fixtures("digits/cnn/tf_checkpoint/ckpt.index")).unwrap();
    assert!(file.skipped().iter().all(|it| it.lost == Lost::Nothing), "{:?}", file.skipped());
}

#[test]
fn an_empty_file_is_refused_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["m.pb", "m.onnx", "m.tflite", "m.npz", "m.safetensors", "m.keras", "m.h5", "ckpt.index"] {
        let path = folder.path().join(name);
        fs::write(&path, "").unwrap();
        let error = TensorFile::open(&path).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("the file is empty"), "{error}");
    }
}

#[test]
fn a_header_of_safetensors_that_is_wrong_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.safetensors");
    let header = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    fs::write(&path, [&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat()).unwrap();
    let error = TensorFile::open(&path).unwrap_err().to_string();
    assert!(error.contains("the header is invalid: "), "{error}");
}

#[test]
fn an_archive_whose_names_lead_out_of_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.npz");
    for name in ["../../etc/x", "a/../../x", "..\\x"] {
        let mut archive = NpzWriter::new(fs::File::create(&path).unwrap());
        archive.array(name, "<f4", &[1], 4, |to| to.write_all(&[0; 4])).unwrap();
        archive.finish().unwrap();
        let error = TensorFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("has a name that leads out of the folder"), "{error}");
    }
    let mut archive = NpzWriter::new(fs::File::create(&path).unwrap());
    archive.array("a..b/c:0", "<f4", &[1], 4, |to| to.write_all(&[0; 4])).unwrap();
    archive.finish().unwrap();
    assert_eq!(TensorFile::open(&path).unwrap().infos()[0].name, "a..b/c:0");
}

#[test]
fn layers_of_keras_that_have_code_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let h5 = folder.path().join("it.h5");
    assert_eq!(TensorFile::open(&fixtures("digits/cnn/cnn.h5")).unwrap().code(), [""; 0]);
    let mut bytes = fs::read(fixtures("digits/cnn/cnn.h5")).unwrap();
    // A class of as many letters.
    let class = br#""class_name": "Conv2D""#;
    let at = bytes.windows(class.len()).position(|it| it == class).unwrap();
    bytes[at..at + class.len()].copy_from_slice(br#""class_name": "Lambda""#);
    fs::write(&h5, bytes).unwrap();
    let found = TensorFile::open(&h5).unwrap().code().to_vec();
    assert!(matches!(&found[..], [it] if it.starts_with("the Lambda layer `")), "{found:?}");

    let source = fixtures("digits/cnn/cnn.keras");
    assert_eq!(TensorFile::open(&source).unwrap().code(), [""; 0]);
    let keras = folder.path().join("it.keras");
    let mut from = zip::ZipArchive::new(fs::File::open(&source).unwrap()).unwrap();
    let mut to = zip::ZipWriter::new(fs::File::create(&keras).unwrap());
    for idx in 0..from.len() {
        let mut entry = from.by_index(idx).unwrap();
        let name = entry.name().unwrap().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if name == "config.json" {
            bytes = String::from_utf8(bytes).unwrap().replace("\"Conv2D\"", "\"Lambda\"").into_bytes();
        }
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        to.start_file(name, stored).unwrap();
        to.write_all(&bytes).unwrap();
    }
    to.finish().unwrap();
    let found = TensorFile::open(&keras).unwrap().code().to_vec();
    assert!(!found.is_empty() && found.iter().all(|it| it.starts_with("the Lambda layer `")), "{found:?}");
}

/// What is compressed is checked without having all of it in memory.
#[test]
fn a_compressed_array_is_read_in_pieces() {
    const LEN: usize = 3_000_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.npz");
    let values: Vec<u8> = (0..LEN as u32).flat_map(|it| (it as f32).to_le_bytes()).collect();
    let header = format!("{:<117}\n", format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({LEN},), }}"));
    let array = [b"\x93NUMPY\x01\x00v\x00", header.as_bytes(), &values].concat();
    let packed = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    archive.start_file("w.npy", packed).unwrap();
    archive.write_all(&array).unwrap();
    archive.finish().unwrap();
    let file = TensorFile::open(&path).unwrap();
    file.verify(0).unwrap();
    let (mut found, mut largest) = (Vec::new(), 0);
    let mut take = |piece: &[u8]| {
        found.extend_from_slice(piece);
        largest = largest.max(piece.len());
        Ok(())
    };
    file.each_piece(0, &mut take).unwrap();
    assert!(found == values && found == *file.get("w").unwrap().unwrap().bytes);
    assert!(largest <= 1 << 20 && largest % 8 == 0, "{largest}");

    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&path, bytes).unwrap();
    let error = TensorFile::open(&path).unwrap().verify(0).unwrap_err().to_string();
    assert!(error.contains("tensor `w`"), "{error}");
}
