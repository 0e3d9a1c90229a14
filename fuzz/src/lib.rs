//! What the fuzz targets share: bytes become files, and everything in them is read.

use std::{
    fs,
    io::{Cursor, Write},
    panic,
    path::Path,
    sync::Once,
};

use modelwatch_tensors::{
    HANDOFF_FILE, Handoff, MLMODEL_FILE, MlModel, OnnxModel, TensorFile, find_model, find_weights,
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// More than that is only slow; the readers' own limits are tested elsewhere.
const MAX_VALUES: u64 = 1 << 20;

/// Reads all tensors of a file of that name.
pub fn read_file(name: &str, bytes: &[u8]) {
    in_folder(name, bytes, |folder| {
        let path = folder.join(name);
        read_all(&path);
        let _ = OnnxModel::open(&path);
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
            fs::write(folder.join(shard), file).expect("a temporary file can be written");
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

/// Prepares a model, whatever its format, and runs what it is tested with.
pub fn load_model(bytes: &[u8]) {
    static QUIET: Once = Once::new();
    // A panic of the runtime is an error of the model; libFuzzer's hook would end the process before it is one.
    // What is not caught ends it all the same.
    QUIET.call_once(|| panic::set_hook(Box::new(|_| ())));
    in_folder("model", bytes, |folder| _ = modelwatch_infer::inspect(&folder.join("model")));
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
    fs::write(folder.path().join(name), bytes).expect("a temporary file can be written");
    read(folder.path());
}
