//! What the fuzz targets share: bytes become files, and everything in them is read.
//!
//! The tests of `modelwatch-tensors` have it as a module, and its targets too, and call these with seeds and a few thousand
//! changes of them. Those of the store and of models are compiled and called by the tests of their crates.

use std::{
    fs,
    io::{Cursor, Write},
    path::Path,
};

use modelwatch_tensors::{
    HANDOFF_FILE, Handoff, MLMODEL_FILE, MlModel, OnnxModel, TensorFile, find_model, find_weights,
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// More than that is only slow; the readers' own limits are tested elsewhere.
const MAX_VALUES: u64 = 1 << 20;

/// The data of the index and of the model that targets start from.
const BUNDLE_DATA: &[u8] = include_bytes!("../../tests/fixtures/digits/cnn/tf_checkpoint/ckpt.data-00000-of-00001");
const EXTERNAL_DATA: &[u8] = include_bytes!("../../tests/fixtures/digits/cnn/external/weights.bin");

/// Reads all tensors of a file of that name.
pub fn read_file(name: &str, bytes: &[u8]) {
    in_folder(name, bytes, |folder| read_all(&folder.join(name)));
}

/// Reads an ONNX model beside the data that it may name.
pub fn read_onnx(bytes: &[u8]) {
    in_folder("model.onnx", bytes, |folder| {
        put(folder, "weights.bin", EXTERNAL_DATA);
        let path = folder.join("model.onnx");
        read_all(&path);
        let _ = OnnxModel::open(&path);
    });
}

/// Reads the index of a TensorFlow checkpoint beside its data.
pub fn read_bundle(bytes: &[u8]) {
    in_folder("ckpt.index", bytes, |folder| {
        put(folder, "ckpt.data-00000-of-00001", BUNDLE_DATA);
        read_all(&folder.join("ckpt.index"));
    });
}

/// Reads an archive around a pickle, with a few storages that it may refer to.
pub fn read_pickle(bytes: &[u8]) {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let zeros = [0; 64];
    for (name, content) in [("it/data.pkl", bytes), ("it/data/0", &zeros), ("it/data/1", &zeros[..16])] {
        zip.start_file(name, options).expect("the name is short");
        zip.write_all(content).expect("memory does not fail");
    }
    read_file("it.pt", zip.finish().expect("memory does not fail").get_ref());
}

/// Reads an index that may name two shards.
pub fn read_sharded(bytes: &[u8]) {
    const INDEX: &str = "model.safetensors.index.json";
    in_folder(INDEX, bytes, |folder| {
        for (shard, tensor) in [("1.safetensors", "a"), ("2.safetensors", "b")] {
            let header = format!(r#"{{"{tensor}":{{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}}}"#);
            let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[1, 2, 3, 4]].concat();
            put(folder, shard, &file);
        }
        read_all(&folder.join(INDEX));
    });
}

/// Reads a manifest and holds it against its folder.
pub fn read_handoff(bytes: &[u8]) {
    in_folder(HANDOFF_FILE, bytes, |folder| {
        if let Ok(handoff) = Handoff::open(folder) {
            let _ = handoff.verify(folder);
        }
    });
}

/// Reads the file of an MLflow model and looks for what it names.
pub fn read_mlmodel(bytes: &[u8]) {
    in_folder(MLMODEL_FILE, bytes, |folder| {
        let _ = MlModel::open(folder);
        let _ = (find_model(folder, None), find_weights(folder));
    });
}

fn read_all(path: &Path) {
    let Ok(file) = TensorFile::open(path) else { return };
    for (info, tensor) in file.infos().iter().zip(file.iter()) {
        let Ok(tensor) = tensor else { continue };
        if info.n_elements() <= MAX_VALUES {
            assert_eq!(tensor.values_f64().len() as u64, info.n_elements());
        }
    }
}

fn in_folder(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    put(folder.path(), name, bytes);
    read(folder.path());
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).expect("a temporary file can be written");
}
