//! The store by hand: what goes in comes out, is compared, checked and mended.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use serde_json::Value;

use crate::support::{Ended, Project, fixtures};

fn store(project: &Project, arguments: &[&str]) -> Ended {
    project.modelwatch(&[&["store", "--store", "store"], arguments].concat())
}

fn ok(project: &Project, arguments: &[&str]) -> String {
    let ended = store(project, arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {}{}", ended.out, ended.err);
    ended.out
}

/// Stores a fixture; returns how to call it.
fn put(project: &Project, fixture: &str, lineage: &str) -> String {
    put_path(project, &fixtures().join(fixture), lineage)
}

fn put_path(project: &Project, path: &Path, lineage: &str) -> String {
    format!("{lineage}@b3:{}", ok(project, &["put", path.to_str().unwrap(), lineage]).trim())
}

/// Files below a folder by their relative names.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut res = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(it) = todo.pop() {
        for entry in fs::read_dir(&it).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().display().to_string();
                res.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    res.sort();
    res
}

/// Makes the checkpoints of which there is no fixture: an array, a PyTorch file by its other name, one in shards, and an
/// MLflow model.
fn made(project: &Project) -> Vec<PathBuf> {
    let folder = |name: &str, files: &[(&str, &str)], text: (&str, &str)| {
        let res = project.path().join(name);
        fs::create_dir(&res).unwrap();
        for (from, to) in files {
            fs::copy(fixtures().join(from), res.join(to)).unwrap();
        }
        fs::write(res.join(text.0), text.1).unwrap();
        res
    };
    let weights = [("digits/cnn/cnn.safetensors", "1.safetensors")];
    let index = r#"{"metadata": {}, "weight_map": {"digits_cnn.fc1.bias": "1.safetensors"}}"#;
    let flavor = "flavors: {onnx: {data: cnn.onnx}}\n";
    vec![
        numpy(project, "kernel.npy", "<f4", &[0; 12]),
        folder("bin", &[("torch/cnn.pt", "pytorch_model.bin")], ("config.json", "{}")),
        folder("sharded", &weights, ("model.safetensors.index.json", index)),
        folder("mlflow", &[("digits/cnn/cnn.onnx", "cnn.onnx")], ("MLmodel", flavor)),
    ]
}

/// Writes an array of three elements.
fn numpy(project: &Project, name: &str, dtype: &str, values: &[u8]) -> PathBuf {
    let header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': (3,), }}");
    let bytes = [b"\x93NUMPY\x01\0\x76\0", format!("{header:<117}\n").as_bytes(), values].concat();
    let path = project.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn every_format_is_given_back_byte_for_byte_and_its_tensors_as_safetensors_and_npz() {
    let project = Project::new();
    let formats = [
        "digits/cnn/cnn.onnx",
        "digits/cnn/cnn.safetensors",
        "digits/cnn/cnn.npz",
        "digits/cnn/cnn.h5",
        "digits/cnn/cnn.weights.h5",
        "digits/cnn/cnn.keras",
        "digits/cnn/cnn.tflite",
        "digits/cnn/cnn_frozen.pb",
        "digits/cnn/external",
        "digits/cnn/tf_checkpoint",
        "digits/cnn/saved_model",
        "torch/cnn.pt",
        "torch/training.pt",
        "keras_handoff/step-00000002",
    ];
    let originals = formats.iter().map(|it| fixtures().join(it)).chain(made(&project));
    for (at, original) in originals.enumerate() {
        let lineage = format!("l{at}");
        let spec = put_path(&project, &original, &lineage);
        let out = format!("out-{at}");
        ok(&project, &["get", &spec, &out]);
        let format = original.file_name().unwrap().to_str().unwrap();
        let came = files(&project.path().join(&out));
        if original.is_dir() {
            assert!(came == files(&original), "{format}");
        } else {
            assert!(came == [(format.to_owned(), fs::read(&original).unwrap())], "{format}");
        }
        for kind in ["safetensors", "npz"] {
            let file = format!("as-{at}.{kind}");
            ok(&project, &["get", &spec, &file, "--as", kind]);
            // What was written has the same tensors, bit by bit, under the same names.
            let path = project.path().join(&file);
            let again = ok(&project, &["put", path.to_str().unwrap(), &lineage]);
            let again = format!("{lineage}@b3:{}", again.trim());
            let diff = store(&project, &["diff", &spec, &again, "--tensors"]);
            assert_eq!(diff.code, 0, "{format} as {kind}: {}{}", diff.out, diff.err);
        }
        let again = store(&project, &["get", &spec, &out]);
        assert_eq!(again.code, 2, "it does not write over what is there");
    }
}

#[test]
fn what_the_reader_of_its_format_refuses_is_not_stored() {
    let project = Project::new();
    let mut n_refused = 0;
    let mut refused = |path: &Path, want: &str| {
        n_refused += 1;
        let name = path.file_name().unwrap().to_str().unwrap();
        let put = store(&project, &["put", path.to_str().unwrap(), "digits"]);
        assert_eq!(put.code, 3, "{name}: {}", put.out);
        assert_eq!(put.err.lines().count(), 1, "{name}: {}", put.err);
        let says = ["nothing was stored", name, want];
        assert!(says.iter().all(|it| put.err.contains(it)), "{name}: {}", put.err);
    };
    for folder in ["torch", "hdf5"] {
        for file in crate::support::walk(&fixtures().join(folder)) {
            if file.file_name().unwrap().to_str().unwrap().starts_with("hostile_") {
                refused(&file, "cannot read ");
            }
        }
    }
    refused(&fixtures().join("torch/legacy.pt"), "is a pickle outside a zip archive");
    refused(&fixtures().join("conformance/checkpoints/bad_overlap.safetensors"), "cannot read safetensors");
    // Half a file, as after a copy that was cut off.
    for (file, want) in [
        ("digits/cnn/cnn.onnx", "failed to decode"),
        ("digits/cnn/cnn_frozen.pb", "failed to decode"),
        ("digits/cnn/cnn.tflite", "past the end of the file"),
        ("digits/cnn/cnn.keras", "the archive is damaged"),
        ("digits/cnn/cnn.h5", "cannot be read"),
        ("digits/cnn/cnn.weights.h5", "cannot be read"),
        ("digits/cnn/cnn.npz", "the archive is damaged"),
    ] {
        let bytes = fs::read(fixtures().join(file)).unwrap();
        let path = project.path().join(Path::new(file).file_name().unwrap());
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        refused(&path, want);
    }
    refused(&numpy(&project, "short.npy", "<f4", &[0; 11]), "holds 11 bytes where 3 elements");
    // A folder with something in it that is changed, or points out of it.
    for (folder, file, from, to, want) in [
        ("digits/cnn/tf_checkpoint", "ckpt.data-00000-of-00001", None, "", "has checksum"),
        ("digits/cnn/saved_model", "variables/variables.data-00000-of-00001", None, "", "has checksum"),
        ("digits/cnn/external", "model.onnx", Some("weights.bin"), "../cnn.onnx", "not inside the folder"),
    ] {
        let copy = project.path().join(Path::new(folder).file_name().unwrap());
        for (name, mut bytes) in files(&fixtures().join(folder)) {
            let path = copy.join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if name == file {
                match from {
                    Some(from) => bytes = replaced(&bytes, from.as_bytes(), to.as_bytes()),
                    None => bytes[400] ^= 1,
                }
            }
            fs::write(path, bytes).unwrap();
        }
        refused(&copy, want);
    }
    let [_, _, sharded, mlflow] = &made(&project)[..] else { panic!("there are four") };
    fs::write(sharded.join("model.safetensors.index.json"), r#"{"weight_map": {"w": "../w.safetensors"}}"#).unwrap();
    refused(sharded, "not inside the folder");
    fs::write(mlflow.join("MLmodel"), "flavors: {onnx: {data: ../cnn.onnx}}\n").unwrap();
    refused(mlflow, "not inside the folder");
    fs::write(mlflow.join("checkpoint.json"), r#"{"version": 1, "files": [{"path": "../cnn.onnx"}]}"#).unwrap();
    refused(mlflow, "checkpoint.json");
    assert_eq!(n_refused, 12 + 2 + 7 + 1 + 3 + 3);
    assert_eq!(ok(&project, &["list"]).lines().count(), 1);

    // What no reader knows is kept as it is, and that is said.
    let opaque = project.write("notes.dat", "no tensors");
    let put = store(&project, &["put", opaque.to_str().unwrap(), "digits"]);
    assert!(
        put.code == 0 && put.err.contains("stored as it is") && put.err.contains("cannot tell the format"),
        "{}",
        put.err
    );
    let show: Value = serde_json::from_str(&ok(&project, &["show", "digits@latest", "--json"])).unwrap();
    assert_eq!((&show["tensors"], &show["files"][0]["name"]), (&serde_json::json!([]), &"notes.dat".into()));
}

/// Returns the bytes with the one place of `from` replaced by `to`, which is as long.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut res = bytes.to_vec();
    let at = res.windows(from.len()).position(|it| it == from).unwrap();
    res[at..at + to.len()].copy_from_slice(to);
    res
}

#[test]
fn one_file_of_several_is_no_checkpoint() {
    let project = Project::new();
    let sharded = made(&project).swap_remove(2).join("model.safetensors.index.json");
    for (file, sibling) in [
        (fixtures().join("digits/cnn/external/model.onnx"), "weights.bin"),
        (fixtures().join("digits/cnn/tf_checkpoint/ckpt.index"), "ckpt.data-00000-of-00001"),
        (fixtures().join("digits/cnn/saved_model/saved_model.pb"), "variables/variables.data-00000-of-00001"),
        (sharded, "1.safetensors"),
    ] {
        let path = file.to_str().unwrap();
        let put = store(&project, &["put", path, "digits"]);
        assert_eq!(put.code, 3, "{path}: {}", put.out);
        let sibling = format!("in another file, `{sibling}`, and is not stored without it; store its folder");
        let says = [&*sibling, path];
        assert!(says.iter().all(|it| put.err.contains(it)), "{}", put.err);
        ok(&project, &["put", file.parent().unwrap().to_str().unwrap(), "digits"]);
    }
}

#[test]
fn the_tensors_of_what_was_imported_are_shown() {
    let project = Project::new();
    for (file, name, dtype, shape) in [
        ("digits/cnn/cnn.safetensors", "digits_cnn.fc1.bias", "f32", serde_json::json!([32])),
        ("torch/cnn.pt", "digits_cnn.fc1.bias", "f32", serde_json::json!([32])),
    ] {
        let spec = put(&project, file, "digits");
        let show: Value = serde_json::from_str(&ok(&project, &["show", &spec, "--json"])).unwrap();
        let found = show["tensors"].as_array().unwrap().iter().find(|it| it["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no `{name}` in {show:#}"));
        assert_eq!((&found["dtype"], &found["shape"]), (&dtype.into(), &shape), "{file}");
    }
    let spec = put(&project, "torch/training.pt", "digits");
    let show: Value = serde_json::from_str(&ok(&project, &["show", &spec, "--json"])).unwrap();
    let names: Vec<_> = show["tensors"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert!(names.iter().any(|it| it.contains("optimizer") && it.ends_with("exp_avg")), "{names:?}");
}

#[test]
fn a_wrong_command_says_so_once() {
    let project = Project::new();
    let name = store(&project, &["put", fixtures().join("digits/cnn/cnn.npz").to_str().unwrap(), "bad/name"]);
    assert!(name.code == 2 && name.err.contains("`bad/name` is no name for a lineage"), "{}: {}", name.code, name.err);
    let missing = store(&project, &["put", "nothere", "digits"]);
    let told = missing.err.matches("there is no file or folder `nothere`").count();
    assert_eq!((missing.code, told), (2, 1), "{}", missing.err);
}

#[test]
fn a_diff_says_which_tensors_changed_and_by_how_much() {
    let project = Project::new();
    let good = put(&project, "digits/cnn_series/e08.safetensors", "digits");
    let bad = put(&project, "digits/cnn_series/bad_bitflip.safetensors", "digits");
    let same = store(&project, &["diff", &good, &good]);
    assert_eq!(same.code, 0);
    let diff = store(&project, &["diff", &good, &bad]);
    assert_eq!(diff.code, 1, "{}", diff.err);
    let json = store(&project, &["diff", &good, &bad, "--json"]);
    let diff: Value = serde_json::from_str(&json.out).unwrap();
    let tensors = diff["tensors"].as_array().unwrap();
    // One bit of one weight; it became 6.9e37.
    assert_eq!(tensors.len(), 1, "{diff:#}");
    let it = &tensors[0];
    assert_eq!(it["change"], "changed");
    let elements = it["elements"].as_f64().unwrap();
    assert_eq!(it["share"].as_f64().unwrap() * elements, 1.0);
    assert!(it["max_delta"].as_f64().unwrap() > 1e37, "{it}");
    let all = store(&project, &["diff", &good, &bad, "--json", "--all"]);
    let all: Value = serde_json::from_str(&all.out).unwrap();
    let n_same = diff["same"].as_u64().unwrap();
    assert_eq!(all["tensors"].as_array().unwrap().len() as u64, n_same + 1);

    // Another network has other tensors.
    let other = put(&project, "digits/mlp_series/e08.safetensors", "digits");
    let diff = store(&project, &["diff", &good, &other]);
    assert!(diff.code == 1 && (diff.out.contains("gone: ") || diff.out.contains(" → ")), "{}", diff.out);
}

/// A safetensors file of one tensor; what it says of itself moves the tensor in it.
fn with_note(tensor: &str, note: &str, values: &[u8]) -> Vec<u8> {
    let header = serde_json::json!({
        "__metadata__": {"note": note},
        tensor: {"dtype": "F32", "shape": [values.len() / 4], "data_offsets": [0, values.len()]},
    });
    let header = header.to_string().into_bytes();
    [&(header.len() as u64).to_le_bytes()[..], &header, values].concat()
}

#[test]
fn a_tensor_that_moved_in_its_file_is_stored_once() {
    let project = Project::new();
    // Nothing that compresses, and no piece of it twice.
    let value = |it: u32| it.wrapping_mul(0x9e37_79b9).rotate_left(it % 31) | 1;
    let values: Vec<u8> = (0..700_000).flat_map(|it| value(it).to_le_bytes()).collect();
    let file = project.path().join("weights.safetensors");
    let mut sizes = Vec::new();
    for note in ["step 1", "step 2, and much more to say than before"] {
        fs::write(&file, with_note("kernel", note, &values)).unwrap();
        let id = ok(&project, &["put", file.to_str().unwrap(), "moved"]);
        let out = format!("out-{}", sizes.len());
        ok(&project, &["get", &format!("moved@b3:{}", id.trim()), &out]);
        assert!(files(&project.path().join(out))[0].1 == with_note("kernel", note, &values), "{note}");
        let packs = files(&project.path().join("store/packs"));
        sizes.push(packs.iter().map(|it| it.1.len()).sum::<usize>());
    }
    let added = sizes[1] - sizes[0];
    assert!(added < 10_000, "{added} bytes more for another header");
}

#[test]
fn a_store_is_measured_examined_and_mended_from_a_replica() {
    let project = Project::new();
    let spec = put(&project, "digits/cnn/cnn.onnx", "digits");
    put(&project, "digits/cnn_series/e07.onnx", "digits");
    let stats: Value = serde_json::from_str(&ok(&project, &["stats", "--json"])).unwrap();
    assert_eq!((stats["checkpoints"].as_u64(), stats["spare_bytes"].as_u64()), (Some(2), Some(0)));
    assert!(ok(&project, &["stats"]).contains("ratio"));
    assert_eq!(ok(&project, &["doctor"]).lines().filter(|it| it.starts_with("sound: ")).count(), 6);

    let copy = project.path().join("copy");
    for (name, bytes) in files(&project.path().join("store")) {
        let to = copy.join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    let packs = files(&project.path().join("store/packs"));
    let path = project.path().join("store/packs").join(&packs[0].0);
    let mut bytes = packs[0].1.clone();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let scrub = store(&project, &["fsck"]);
    assert!(scrub.code == 1 && scrub.out.contains("damaged: "), "{}{}", scrub.out, scrub.err);
    assert_eq!(store(&project, &["repair"]).code, 1, "nothing to mend it from");

    let pipeline = "name = 'x'\n[store]\nuses = 'local'\nwith = { path = 'store', replicas = ['copy'] }\n\
                    [checkpoint]\nfrom = 'digits@latest'\n[[analyze]]\nuses = 'weights'\n";
    project.write("x.toml", pipeline);
    let mended = project.modelwatch(&["store", "--pipeline", "x.toml", "repair"]);
    assert!(mended.code == 0 && mended.out.contains("mended: "), "{}{}", mended.out, mended.err);
    let scrub = ok(&project, &["scrub"]);
    assert!(scrub.starts_with("2 checkpoints without damage; "), "{scrub}");
    ok(&project, &["scrub", "--fast"]);
    ok(&project, &["scrub", "--sample", "50"]);
    assert_eq!(store(&project, &["scrub", "--sample", "0"]).code, 2);
    ok(&project, &["get", &spec, "out"]);
    assert_eq!(files(&project.path().join("store/quarantine")).len(), 1);
}

#[test]
fn a_ref_that_is_taken_away_leaves_its_history() {
    let project = Project::new();
    let spec = put(&project, "digits/cnn/cnn.onnx", "digits");
    ok(&project, &["set", "digits@pinned", &spec]);
    assert!(ok(&project, &["list", "digits"]).contains("pinned"));
    ok(&project, &["unset", "digits@pinned", "--reason", "no longer compared with"]);
    assert!(!ok(&project, &["list", "digits"]).contains("pinned"));
    assert!(ok(&project, &["log", "digits"]).contains("no longer compared with"));
    assert_eq!(store(&project, &["unset", "digits@pinned"]).code, 2);
}

#[test]
fn no_store_begins_in_an_empty_folder_unless_that_is_said() {
    let project = Project::new();
    let mount = project.path().join("mnt");
    fs::create_dir(&mount).unwrap();
    let pipeline = "name = 'test'\nstore = { uses = 'local', with = { path = 'mnt/store' } }\n\
                    run = { history = 'mnt/history.db' }\n[report]\nhtml = 'mnt/reports/run.html'\n\
                    json = 'mnt/run.json'\n[[analyze]]\nuses = 'weights'\n";
    let model = fixtures().join("digits/cnn/cnn.onnx");
    let import = format!("[checkpoint]\nimport = '{}'\nname = 'digits'\n", model.display());
    project.write("pipeline.toml", &format!("{pipeline}{import}"));
    let run = || project.modelwatch(&["run", "pipeline.toml"]);
    // Nothing makes the folder look as if it were what it is not, so that the next one is refused as well.
    for _ in 0..2 {
        let ended = run();
        assert_eq!(ended.code, 3, "{} {}", ended.out, ended.err);
        // Lines are broken anywhere.
        let said = ended.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            said.contains("as where a file system is not mounted") && said.contains("`modelwatch store init --store"),
            "{said}"
        );
        let left_out = ended.err.matches("would be the first thing in an empty folder").count();
        assert_eq!(left_out, 3, "the reports and the record: {}", ended.err);
        assert_eq!(fs::read_dir(&mount).unwrap().count(), 0);
    }
    let put = project.modelwatch(&["store", "--store", "mnt/store", "put", model.to_str().unwrap(), "digits"]);
    assert!(put.code == 3 && put.err.contains("`modelwatch store init --store"), "{} {}", put.code, put.err);
    let init = project.modelwatch(&["store", "--pipeline", "pipeline.toml", "init"]);
    assert_eq!(init.code, 0, "{}", init.err);
    assert_ne!(run().code, 3);
    assert!(project.modelwatch(&["store", "--store", "mnt/store", "list"]).out.contains("digits"));
    assert!(mount.join("history.db").exists() && mount.join("reports/run.html").exists());
}

#[test]
fn a_history_that_belongs_to_no_empty_folder_is_kept_although_there_is_no_store() {
    let project = Project::new();
    fs::create_dir(project.path().join("mnt")).unwrap();
    let model = fixtures().join("digits/cnn/cnn.onnx");
    project.write(
        "pipeline.toml",
        &format!(
            "name = 'test'\nstore = {{ uses = 'local', with = {{ path = 'mnt/store' }} }}\n[[analyze]]\nuses = 'weights'\n\
             [checkpoint]\nimport = '{}'\nname = 'digits'\n",
            model.display()
        ),
    );
    assert_eq!(project.modelwatch(&["run", "pipeline.toml"]).code, 3);
    assert!(project.path().join(".modelwatch/history.db").exists());
}

/// Starts the command on a folder with hand-offs.
fn watching(project: &Project, folder: &str) -> Child {
    let mut command = project.command(&["store", "--store", "store", "watch", folder, "digits", "--every", "20ms"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn publish(project: &Project, step: &str) {
    let (from, to) = (fixtures().join("keras_handoff").join(step), project.path().join("drop").join(step));
    let staged = project.path().join("drop/.staged");
    fs::create_dir_all(&staged).unwrap();
    for it in files(&from) {
        fs::write(staged.join(it.0), it.1).unwrap();
    }
    fs::rename(staged, to).unwrap();
}

fn terminate(child: Child) -> (i32, String) {
    let killed = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn hand_offs_are_stored_while_the_training_goes_on() {
    let project = Project::new();
    publish(&project, "step-00000001");
    let mut child = watching(&project, "drop");
    let mut ids = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = ids.next().unwrap().unwrap();
    publish(&project, "step-00000002");
    publish(&project, "step-00000004");
    let more = [ids.next().unwrap().unwrap(), ids.next().unwrap().unwrap()];
    assert_eq!(terminate(child), (0, String::new()));
    assert!(ids.next().is_none());
    // What it said is durable, in the order in which it came.
    for (id, step) in [&first, &more[0], &more[1]].into_iter().zip([1, 2, 4]) {
        let show: Value = serde_json::from_str(&ok(&project, &["show", &format!("digits@b3:{id}"), "--json"])).unwrap();
        assert_eq!(show["metadata"]["step"], step);
    }
    assert!(ok(&project, &["log", "digits"]).lines().count() == 4);
}

#[test]
fn a_hand_off_that_cannot_be_stored_is_said_and_the_next_is_stored() {
    let project = Project::new();
    publish(&project, "step-00000001");
    publish(&project, "step-00000002");
    let model = project.path().join("drop/step-00000001/model.keras");
    fs::write(&model, "half a mod").unwrap();
    let mut child = watching(&project, "drop");
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut id = String::new();
    out.read_line(&mut id).unwrap();
    let (code, said) = terminate(child);
    assert_eq!((code, said.lines().count()), (3, 1), "{said}");
    assert!(said.contains("step-00000001") && said.contains("is not what it says"), "{said}");
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), ok(&project, &["list", "digits"]).lines().count()), ("", 2));
    let missing = project.modelwatch(&["store", "--store", "store", "watch", "nowhere", "digits"]);
    assert_eq!(missing.code, 2, "{}", missing.err);
}

/// Has hand-offs published while something is wrong with the store, which is told with these words, and once.
fn waits(spoil: impl FnOnce(&Path) -> Box<dyn FnOnce()>, words: &str) {
    let project = Project::new();
    publish(&project, "step-00000001");
    let mut child = watching(&project, "drop");
    let mut ids = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    ids.next().unwrap().unwrap();
    let mend = spoil(&project.path().join("store"));
    publish(&project, "step-00000002");
    let error = said.next().unwrap().unwrap();
    assert!(error.contains("drop/step-00000002` was not stored") && error.contains(words), "{error}");
    publish(&project, "step-00000004");
    mend();
    for step in [2, 4] {
        let id = ids.next().unwrap().unwrap();
        let show: Value = serde_json::from_str(&ok(&project, &["show", &format!("digits@b3:{id}"), "--json"])).unwrap();
        assert_eq!(show["metadata"]["step"], step);
    }
    assert_eq!(terminate(child).0, 0);
    assert!(said.next().is_none(), "it is said once");
}

#[test]
fn a_hand_off_waits_for_a_store_that_is_away_and_so_do_those_after_it() {
    let spoil = |store: &Path| -> Box<dyn FnOnce()> {
        let (here, away) = (store.to_owned(), store.with_file_name("away"));
        fs::rename(&here, &away).unwrap();
        Box::new(move || fs::rename(&away, &here).unwrap())
    };
    waits(spoil, "is not there");
}

#[test]
fn a_hand_off_waits_for_a_log_that_is_damaged_until_it_is_mended() {
    let spoil = |store: &Path| -> Box<dyn FnOnce()> {
        let entry = store.join("log/digits/00000000000000000001.json");
        let whole = fs::read(&entry).unwrap();
        fs::write(&entry, &whole[..whole.len() - 1]).unwrap();
        Box::new(move || fs::write(&entry, &whole).unwrap())
    };
    waits(spoil, "store repair");
}

#[test]
fn what_was_pruned_is_not_stored_again_by_who_watches_next() {
    let project = Project::new();
    let watch = |n: usize| {
        let mut child = watching(&project, "drop");
        let mut ids = BufReader::new(child.stdout.take().unwrap()).lines();
        let ids: Vec<String> = (0..n).map(|_| ids.next().unwrap().unwrap()).collect();
        (ids, terminate(child))
    };
    publish(&project, "step-00000001");
    publish(&project, "step-00000002");
    let (before, ended) = watch(2);
    assert_eq!(ended, (0, String::new()));
    project.write(
        "pipeline.toml",
        "name = 'test'\nstore = { uses = 'local', with = { path = 'store' } }\n[[analyze]]\nuses = 'weights'\n\
         [checkpoint]\nimport = 'm.bin'\nname = 'digits'\nkeep = { last = 1, grace = '0s' }\n",
    );
    let pruned = project.modelwatch(&["store", "--pipeline", "pipeline.toml", "prune"]);
    assert!(pruned.code == 0 && pruned.out.contains("1 of 2 checkpoints was removed"), "{}{}", pruned.out, pruned.err);
    publish(&project, "step-00000004");
    let (after, (code, said)) = watch(2);
    assert_eq!((code, said.lines().count()), (0, 1), "{said}");
    assert!(said.contains("drop/step-00000001") && said.contains("was removed from `digits`"), "{said}");
    assert_eq!(after[0], before[1], "what is there is said to be");
    let list = ok(&project, &["list", "digits"]);
    assert!(!list.contains(&before[0][..12]) && list.contains(&after[1][..12]), "{list}");
    // By hand it comes back.
    let again = put_path(&project, &project.path().join("drop/step-00000001"), "digits");
    assert!(again.ends_with(&before[0]), "{again}");
}

#[test]
fn a_damaged_log_is_found_serves_what_verifies_takes_nothing_and_is_mended() {
    let project = Project::new();
    let [first, second] = ["digits/cnn/cnn.safetensors", "digits/cnn/cnn.npz"].map(|it| put(&project, it, "digits"));
    ok(&project, &["set", "digits@good", &first]);
    let replica = project.path().join("replica");
    for (name, bytes) in files(&project.path().join("store")) {
        fs::create_dir_all(replica.join(&name).parent().unwrap()).unwrap();
        fs::write(replica.join(&name), bytes).unwrap();
    }
    let name = "log/digits/00000000000000000002.json";
    let (entry, whole) = (project.path().join("store").join(name), fs::read(replica.join(name)).unwrap());
    fs::write(&entry, &whole[..whole.len() - 1]).unwrap();

    let scrub = store(&project, &["scrub"]);
    assert!(scrub.code == 1 && scrub.out.contains(name) && scrub.out.contains("store repair"), "{}", scrub.out);
    let list = store(&project, &["list", "digits"]);
    assert!(
        list.out.contains(&first["digits@b3:".len()..][..12]) && list.err.contains(name),
        "{}{}",
        list.out,
        list.err
    );
    ok(&project, &["get", &first, "by-id"]);
    ok(&project, &["get", "digits@latest", "stands-in", "--policy", "latest"]);
    assert!(files(&project.path().join("stands-in")) == files(&project.path().join("by-id")));
    let model = fixtures().join("torch/cnn.pt");
    for refused in [
        &["get", &second, "out"][..],
        &["get", "digits@latest", "out"],
        &["get", "digits@good", "out"],
        &["set", "digits@good", &first],
        &["set", "digits@new", &first],
        &["put", model.to_str().unwrap(), "digits"],
    ] {
        let ended = store(&project, refused);
        assert!(ended.code == 3 && ended.err.contains(name), "{refused:?}: {}: {}", ended.code, ended.err);
        assert!(ended.err.contains("store repair"), "{refused:?}: {}", ended.err);
    }
    assert!(!project.path().join("out").exists());

    let alone = store(&project, &["repair"]);
    assert!(alone.code == 1 && alone.out.contains(name) && !alone.out.contains("mended"), "{}", alone.out);
    project.write(
        "pipeline.toml",
        "name = 'test'\nstore = { uses = 'local', with = { path = 'store', replicas = ['replica'] } }\n\
         [[analyze]]\nuses = 'weights'\n[checkpoint]\nimport = 'm.bin'\nname = 'digits'\n",
    );
    let mended = project.modelwatch(&["store", "--pipeline", "pipeline.toml", "repair"]);
    assert_eq!(mended.code, 0, "{}{}", mended.out, mended.err);
    assert!(mended.out.starts_with("mended: ") && mended.out.contains(name), "{}", mended.out);
    assert_eq!(fs::read(&entry).unwrap(), whole);
    let kept = files(&project.path().join("store/quarantine"));
    assert!(kept.iter().any(|it| it.1 == whole[..whole.len() - 1]), "damaged bytes are kept");
    ok(&project, &["scrub"]);
    ok(&project, &["get", &second, "out"]);
    ok(&project, &["set", "digits@good", &second]);
    put(&project, "torch/cnn.pt", "digits");
}

#[test]
fn ids_are_taken_as_they_are_printed() {
    let project = Project::new();
    project.write("w.npy", "");
    let file = crate::support::fixtures().join("digits/cnn_series/e08.onnx");
    let id = ok(&project, &["put", file.to_str().unwrap(), "digits"]).trim().to_owned();
    let short = &id[..12];
    for text in [id.clone(), short.to_owned(), format!("digits@{short}"), format!("digits@{id}")] {
        let shown = ok(&project, &["show", &text]);
        assert!(shown.starts_with("digits@b3:") && shown.contains("\nfile "), "{text}: {shown}");
    }
    let unknown = project.modelwatch(&["store", "--store", "store", "show", "0123456789ab"]);
    assert_eq!(unknown.code, 2, "{}", unknown.err);
    assert!(unknown.err.contains("the store has no checkpoint `0123456789ab`"), "{}", unknown.err);
}

#[test]
fn an_id_that_may_be_in_what_is_damaged_is_not_said_to_be_unknown() {
    let project = Project::new();
    let [first, second] = ["digits/cnn/cnn.safetensors", "digits/cnn/cnn.npz"].map(|it| put(&project, it, "digits"));
    let other = put(&project, "torch/cnn.pt", "other");
    let short = |it: &str| it.split_once("@b3:").unwrap().1[..12].to_owned();
    let name = "log/digits/00000000000000000002.json";
    let entry = project.path().join("store").join(name);
    let whole = fs::read(&entry).unwrap();
    fs::write(&entry, &whole[..whole.len() - 1]).unwrap();
    let lost = store(&project, &["show", &short(&second)]);
    assert!(
        lost.code == 3 && lost.err.contains(name) && lost.err.contains("store repair"),
        "{}: {}",
        lost.code,
        lost.err
    );
    for it in [first, other] {
        let shown = store(&project, &["show", &short(&it)]);
        // It may be a checkpoint of the other lineage as well.
        assert!(
            shown.code == 0 && shown.out.starts_with(&it) && shown.err.contains(name),
            "{}{}",
            shown.out,
            shown.err
        );
    }
}

#[test]
fn a_ref_that_is_named_as_another_checkpoint_is_ambiguous() {
    let project = Project::new();
    let [first, second] = ["digits/cnn/cnn.safetensors", "digits/cnn/cnn.npz"].map(|it| put(&project, it, "digits"));
    let short = &first["digits@b3:".len()..][..12];
    let name = format!("digits@{short}");
    ok(&project, &["set", &name, &first]);
    assert!(ok(&project, &["show", &name]).starts_with(&first));
    ok(&project, &["set", &name, &second]);
    let ended = store(&project, &["show", &name]);
    assert_eq!(ended.code, 2, "{}{}", ended.out, ended.err);
    let told = ended.err.contains(&format!("write `digits@b3:{short}`")) && ended.err.contains("store unset");
    assert!(told, "{}", ended.err);
    assert!(ok(&project, &["show", &format!("digits@b3:{short}")]).starts_with(&first));
}

/// As versions did that let `latest` be set: it is called so in the last entry of the log.
#[test]
fn a_latest_that_was_set_is_told_of_with_its_remedy() {
    let project = Project::new();
    let first = &put(&project, "digits/cnn_series/e08.safetensors", "digits");
    put(&project, "digits/mlp_series/e08.safetensors", "digits");
    assert!(!store(&project, &["list", "digits"]).err.contains("latest"));
    assert!(store(&project, &["set", "digits@latest", first]).err.contains("is always the newest checkpoint; choose"));
    ok(&project, &["set", "digits@pinned", first]);
    let log = project.path().join("store/log/digits");
    let mut entries: Vec<PathBuf> = fs::read_dir(log).unwrap().map(|it| it.unwrap().path()).collect();
    entries.sort();
    let entry = entries.last().unwrap();
    let text = fs::read_to_string(entry).unwrap().replace(r#""name":"pinned""#, r#""name":"latest""#);
    let (body, _) = text.split_once(r#","digest":""#).unwrap();
    let digest = blake3::hash(body.as_bytes()).to_hex();
    fs::remove_file(entry).unwrap();
    fs::write(entry, format!(r#"{body},"digest":"{digest}"}}"#)).unwrap();
    let says = "`digits@latest` stays at ";
    let remedy = "`modelwatch store unset digits@latest` makes it the newest checkpoint again";
    for (arguments, code) in [
        (&["list"][..], 0),
        (&["list", "digits"], 0),
        (&["scrub"], 0),
        (&["set", "digits@latest", first], 2),
        (&["rollback", "digits@latest"], 2),
    ] {
        let ended = store(&project, arguments);
        assert!(ended.err.contains(says) && ended.err.contains(remedy), "{arguments:?}: {}", ended.err);
        assert_eq!(ended.code, code, "{arguments:?}: {}", ended.err);
    }
    ok(&project, &["unset", "digits@latest"]);
    assert!(!store(&project, &["list", "digits"]).err.contains("latest"));
}
