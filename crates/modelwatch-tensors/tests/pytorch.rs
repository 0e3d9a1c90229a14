//! PyTorch checkpoints: what `torch.save` wrote is read, and code is refused by its name.

#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf};

use modelwatch_tensors::{Format, TensorFile, is_tensor_file, pickled};
use serde_json::json;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/torch")).join(name)
}

#[test]
fn every_element_type_and_view_is_read() {
    for name in ["variety.pt", "variety_protocol4.pt"] {
        let file = TensorFile::open(&fixture(name)).unwrap();
        assert_eq!(file.format(), Format::PyTorch);
        let cases: [(&str, &str, &[u64], &[f64]); 19] = [
            ("bf16", "bf16", &[2], &[1.5, -3.0]),
            ("bool", "bool", &[2], &[1.0, 0.0]),
            ("column", "f32", &[3], &[1.0, 5.0, 9.0]),
            ("empty", "f32", &[0, 3], &[]),
            ("expanded", "f32", &[2, 3], &[5.0; 6]),
            ("f16", "f16", &[2], &[0.5, -2.0]),
            ("i16", "i16", &[2], &[-300.0, 300.0]),
            ("i32", "i32", &[2], &[-70000.0, 1.0]),
            ("i64", "i64", &[2], &[-1_099_511_627_776.0, 1.0]),
            ("i8", "i8", &[2], &[-1.0, 2.0]),
            ("layers.0", "f32", &[1], &[1.0]),
            ("layers.1.0", "f32", &[1], &[2.0]),
            ("layers.1.1", "f32", &[1], &[3.0]),
            ("parameter", "f32", &[2], &[1.0, -1.0]),
            ("scalar", "f64", &[], &[2.5]),
            ("tail", "f32", &[2, 4], &[4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]),
            ("transposed", "f32", &[4, 3], &[0.0, 4.0, 8.0, 1.0, 5.0, 9.0, 2.0, 6.0, 10.0, 3.0, 7.0, 11.0]),
            ("u16", "u16", &[2], &[1.0, 65535.0]),
            ("u8", "u8", &[2], &[1.0, 255.0]),
        ];
        let names: Vec<&str> = file.infos().iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, cases.map(|it| it.0), "{name}");
        for (tensor_name, dtype, shape, want) in cases {
            let tensor = file.get(tensor_name).unwrap().unwrap();
            assert_eq!((tensor.info.dtype.name(), tensor.info.shape.as_slice()), (dtype, shape), "{tensor_name}");
            assert_eq!(tensor.values_f64(), want, "{tensor_name}");
        }
        let skipped: Vec<String> = file.skipped().iter().map(|it| format!("{} {}", it.name, it.reason)).collect();
        assert_eq!(skipped, ["complex has element type torch.complex64, which is not supported"]);
    }
}

#[test]
fn training_state_is_tensors_and_metadata() {
    let file = TensorFile::open(&fixture("training.pt")).unwrap();
    assert_eq!(file.skipped(), []);
    assert_eq!(file.len(), 27);
    let step = file.get("optimizer.state.0.step").unwrap().unwrap();
    assert_eq!(step.values_f64(), [2.0]);
    assert_eq!(file.get("model.0.weight").unwrap().unwrap().info.shape, [4, 3]);
    assert_eq!(file.get("optimizer.state.5.exp_avg_sq").unwrap().unwrap().info.shape, [2]);
    let metadata = file.metadata();
    let cases = [
        ("epoch", json!(2)),
        ("global_step", json!(1_099_511_627_776_u64)),
        ("metrics.loss", json!(0.25)),
        ("metrics.worst", json!("inf")),
        ("metrics.history", json!([1.5, 0.25])),
        ("best", json!(null)),
        ("is_finished", json!(false)),
        ("torch_version", json!("2.15.0+cu132")),
        ("seed", json!(7)),
        ("shape", json!([3, 2])),
        ("device", json!("cpu")),
        ("dtype", json!("torch.float32")),
        ("scheduler.last_epoch", json!(2)),
        ("optimizer.param_groups.0.params", json!([0, 1, 2, 3, 4, 5])),
        ("framework", json!("pytorch")),
    ];
    for (key, want) in cases {
        assert_eq!(metadata.get(key), Some(&want), "{key}");
    }
}

#[test]
fn hostile_pickles_are_refused_and_nothing_runs() {
    let cases = [
        ("hostile_system.pt", "its pickle wants `posix.system`, which is code; save the state_dict alone"),
        ("hostile_eval.pt", "its pickle wants `builtins.eval`, which is code"),
        ("hostile_whole_model.pt", "its pickle wants `torch.nn.modules.container.Sequential`, which is code"),
        ("hostile_no_storage.pt", "tensor `w` is in storage `0`, which is not there"),
        ("hostile_depth.pt", "data.pkl nests at `0.0.0.0"),
        ("hostile_cycle.pt", "data.pkl nests at `0.0.0.0"),
        ("hostile_laughs.pt", "data.pkl repeats itself at `0.0"),
        ("legacy.pt", "a pickle outside a zip archive, as PyTorch wrote before 1.6; save it again"),
        ("legacy.pt", "by `torch.save(torch.load(path, weights_only=True), path)`"),
    ];
    for (name, want) in cases {
        let error = TensorFile::open(&fixture(name)).unwrap_err().to_string();
        assert!(error.contains(want), "{name}: {error}");
    }
    assert!(!PathBuf::from("never_run").exists());
}

#[test]
fn what_a_pickle_outside_an_archive_wants_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.pt");
    let pickles: [&[u8]; 2] =
        [b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x85R.", b"cposix\nsystem\n(S'id'\ntR."];
    for bytes in pickles {
        fs::write(&path, bytes).unwrap();
        let error = TensorFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("outside a zip archive and wants `posix.system`, which is code"), "{error}");
        assert_eq!(pickled(&path).unwrap().wants.as_deref(), Some("posix.system"));
    }
    // Under another name that weights have, too, which early protocols do not mark.
    for name in ["pytorch_model.bin", "model.ckpt", "other.pth"] {
        let path = folder.path().join(name);
        fs::write(&path, b"N0cposix\nsystem\np 1\n(S'\\x69d'\ntR.and more").unwrap();
        assert!(is_tensor_file(&path), "{name}");
        let error = TensorFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("outside a zip archive and wants `posix.system`, which is code"), "{name}: {error}");
    }
    fs::write(folder.path().join("data.bin"), b"not\nthat").unwrap();
    assert!(!is_tensor_file(&folder.path().join("data.bin")));
    for name in ["cnn.pt", "hostile_system.pt"] {
        assert_eq!(pickled(&fixture(name)), None, "{name}");
    }
    assert_eq!(pickled(folder.path()), None);
}

#[test]
fn damage_in_a_storage_is_found_when_it_is_read() {
    let mut bytes = fs::read(fixture("cnn.pt")).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.pt");
    fs::write(&path, bytes).unwrap();
    let file = TensorFile::open(&path).unwrap();
    let errors: Vec<String> = file.iter().filter_map(Result::err).map(|it| it.to_string()).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("fc1.kernel") && errors[0].contains("with checksum"), "{errors:?}");
}

#[test]
fn shards_are_read_through_their_index() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("pytorch_model.bin.index.json");
    for (from, to) in [("cnn.pt", "1.bin"), ("training.pt", "2.bin"), ("hostile_system.pt", "3.bin")] {
        fs::copy(fixture(from), folder.path().join(to)).unwrap();
    }
    let open = |weight_map: serde_json::Value| {
        let text = json!({"metadata": {"total_size": 9}, "weight_map": weight_map}).to_string();
        fs::write(&index, text).unwrap();
        TensorFile::open(&index).map_err(|it| it.to_string())
    };
    let file = open(json!({"digits_cnn.fc1.bias": "1.bin", "model.0.weight": "2.bin"})).unwrap();
    assert_eq!((file.format(), file.len()), (Format::ShardedPyTorch, 12 + 27));
    assert_eq!(file.metadata()["total_size"], json!(9));
    assert_eq!(file.get("model.0.weight").unwrap().unwrap().info.shape, [4, 3]);
    let error = open(json!({"w": "4.bin"})).unwrap_err();
    assert!(error.ends_with("shard `4.bin` is not there; put all shards beside the index"), "{error}");
    let error = open(json!({"absent": "1.bin"})).unwrap_err();
    assert!(error.contains("tensor `absent` is not in its shard"), "{error}");
    let error = open(json!({"w": "3.bin"})).unwrap_err();
    assert!(error.contains("posix.system"), "{error}");
    let error = open(json!({"w": "../1.bin"})).unwrap_err();
    assert!(error.contains("not inside the folder"), "{error}");
}
