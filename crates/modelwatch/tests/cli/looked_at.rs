//! What is looked at in what comes to the store, and what is said where nobody can look.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::support::{Ended, Project, fixtures, flip_a_bit, walk};

fn store(project: &Project, arguments: &[&str]) -> Ended {
    project.modelwatch(&[&["store", "--store", "store"], arguments].concat())
}

fn put(project: &Project, name: &str) -> (String, String) {
    let put = store(project, &["put", name, "m"]);
    assert_eq!(put.code, 0, "{name}: {}", put.err);
    (format!("m@b3:{}", put.out.trim()), put.err)
}

/// A pipeline with the store and these lines about its checkpoint.
fn pipeline(project: &Project, rules: &str) {
    let text = format!(
        "name = 'test'\nstore = {{ uses = 'local', with = {{ path = 'store' }} }}\n\
         [[analyze]]\nuses = 'weights'\n[checkpoint]\nimport = 'm.bin'\nname = 'm'\n{rules}\n"
    );
    project.write("pipeline.toml", &text);
}

fn by_pipeline(project: &Project, arguments: &[&str]) -> Ended {
    project.modelwatch(&[&["store", "--pipeline", "pipeline.toml"], arguments].concat())
}

/// Writes a safetensors file of one tensor.
fn tensor(project: &Project, name: &str, dtype: &str, shape: &str, values: &[u8]) {
    let n = values.len();
    let header = format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{n}]}}}}"#);
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), values].concat();
    let path = project.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Writes an array of texts.
fn texts(project: &Project, name: &str) {
    let header = "{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }";
    let bytes = [b"\x93NUMPY\x01\0\x76\0", format!("{header:<117}\n").as_bytes(), &[65, 0, 0, 0]].concat();
    fs::write(project.path().join(name), bytes).unwrap();
}

#[test]
fn tensors_of_types_that_are_not_read_never_vanish() {
    let project = Project::new();
    tensor(&project, "a.safetensors", "F8_E4M3", "[2]", &[1, 2]);
    let (old, said) = put(&project, "a.safetensors");
    let names = ["without a look at the values", "`w` of `a.safetensors` has element type F8_E4M3"];
    assert!(names.iter().all(|it| said.contains(it)), "{said}");
    tensor(&project, "a.safetensors", "F8_E4M3", "[2]", &[1, 3]);
    let (new, _) = put(&project, "a.safetensors");
    for (arguments, code, words) in [
        (["diff", old.as_str(), new.as_str(), "--tensors"], 1, "its bytes changed; it has element type F8_E4M3"),
        (["diff", old.as_str(), old.as_str(), "--tensors"], 0, "1 of 1 tensor is the same"),
    ] {
        let diff = store(&project, &arguments);
        assert!(diff.code == code && diff.out.contains(words), "{} {}{}", diff.code, diff.out, diff.err);
    }
    texts(&project, "names.npy");
    let (names, _) = put(&project, "names.npy");
    for (spec, tensor, format, other) in [
        (&old, "`w` has element type F8_E4M3", "npz", "safetensors"),
        (&names, "`names` holds `<U1`", "safetensors", "npz"),
    ] {
        let refused = store(&project, &["get", spec, "out", "--as", format]);
        assert_eq!((refused.code, project.path().join("out").exists()), (3, false), "{}", refused.out);
        let says = ["cannot be written without loss", tensor, "without `--as`"];
        assert!(says.iter().all(|it| refused.err.contains(it)), "{}", refused.err);
        let written = store(&project, &["get", spec, &format!("out.{other}"), "--as", other]);
        assert_eq!(written.code, 0, "{}", written.err);
    }
    let again = put(&project, "out.safetensors").0;
    assert_eq!(store(&project, &["diff", &old, &again, "--tensors"]).code, 0, "what was written has the same elements");
    let shown = store(&project, &["show", &old]).out;
    assert!(shown.contains("\n0 tensors\nw has element type F8_E4M3"), "{shown}");
    pipeline(&project, "refuse_nonfinite = true");
    let refused = by_pipeline(&project, &["put", "a.safetensors", "m"]);
    assert!(
        refused.code == 3 && refused.err.contains("tensor `w`") && refused.err.contains("F8_E4M3"),
        "{}",
        refused.err
    );
    assert_eq!(by_pipeline(&project, &["put", "names.npy", "m"]).code, 0, "texts are finite");
    pipeline(&project, "save = { changed = 0.01 }");
    tensor(&project, "a.safetensors", "F8_E4M3", "[2]", &[5, 5]);
    assert_eq!(by_pipeline(&project, &["put", "a.safetensors", "m"]).code, 0, "names have other weights");
    assert_eq!(by_pipeline(&project, &["put", "a.safetensors", "m"]).code, 4, "the same");
    tensor(&project, "a.safetensors", "F8_E4M3", "[2]", &[7, 7]);
    assert_eq!(by_pipeline(&project, &["put", "a.safetensors", "m"]).code, 0, "nobody knows by how much it changed");
}

#[test]
fn a_diff_says_that_files_differ_whose_tensors_are_the_same() {
    let project = Project::new();
    let model = fs::read(fixtures().join("digits/cnn/cnn.onnx")).unwrap();
    let at = model.windows(4).position(|it| it == b"Relu").unwrap();
    let mut other = model.clone();
    other[at..at + 4].copy_from_slice(b"Tanh");
    fs::write(project.path().join("m.onnx"), &model).unwrap();
    let (old, _) = put(&project, "m.onnx");
    fs::write(project.path().join("m.onnx"), &other).unwrap();
    let (new, _) = put(&project, "m.onnx");
    let diff = store(&project, &["diff", &old, &new]);
    assert_eq!(diff.code, 1, "{}", diff.out);
    assert!(diff.out.contains("tensors are the same") && diff.out.contains("files differ: `m.onnx`"), "{}", diff.out);
    let diff = store(&project, &["diff", &old, &new, "--json"]);
    let diff: Value = serde_json::from_str(&diff.out).unwrap();
    assert_eq!(diff["files"], serde_json::json!([{"name": "m.onnx", "change": "changed"}]));
    assert_eq!(store(&project, &["diff", &old, &new, "--tensors"]).code, 0);
    let same = store(&project, &["diff", &old, &old]);
    assert!(same.code == 0 && same.out.contains("the files are the same"), "{}", same.out);
    // Where nobody can look into one, its bytes are compared, and no folder is named but the user's.
    let [a, b] = ["a", "b"].map(|it| {
        project.write("notes.dat", it);
        put(&project, "notes.dat").0
    });
    for (arguments, code) in [([&a, &a], 0), ([&a, &b], 1), ([&old, &b], 1)] {
        let diff = store(&project, &["diff", arguments[0], arguments[1]]);
        assert_eq!(diff.code, code, "{}{}", diff.out, diff.err);
        assert!(
            diff.out.contains("the tensors were not compared") && !diff.out.contains(".modelwatch-"),
            "{}",
            diff.out
        );
    }
}

#[test]
fn a_damaged_newest_checkpoint_does_not_hold_off_the_next_one() {
    let project = Project::new();
    pipeline(&project, "save = { changed = 10.0 }");
    let model = |name: &str| fixtures().join(format!("digits/cnn_series/{name}.safetensors")).display().to_string();
    assert_eq!(by_pipeline(&project, &["put", &model("e07"), "m"]).code, 0);
    let held = by_pipeline(&project, &["put", &model("e08"), "m"]);
    assert_eq!(held.code, 4, "{}", held.err);
    for it in walk(&project.path().join("store/packs")) {
        flip_a_bit(&it);
    }
    let stored = by_pipeline(&project, &["put", &model("e08"), "m"]);
    assert_eq!(stored.code, 0, "{}", stored.err);
}

#[test]
fn every_file_of_a_known_format_in_a_folder_is_looked_at() {
    let project = Project::new();
    tensor(&project, "f/model.safetensors", "F32", "[1]", &1.0_f32.to_le_bytes());
    let torch = |from: &str, to: &str| {
        fs::copy(fixtures().join("torch").join(from), project.path().join("f").join(to)).unwrap();
    };
    for name in ["optimizer.pt", "training_state.dat"] {
        torch("hostile_system.pt", name);
        let refused = store(&project, &["put", "f", "m"]);
        assert_eq!(refused.code, 3, "{}", refused.out);
        let says = ["nothing was stored", name, "`posix.system`, which is code"];
        assert!(says.iter().all(|it| refused.err.contains(it)), "{}", refused.err);
        fs::remove_file(project.path().join("f").join(name)).unwrap();
    }
    // Beside the weights, what only names classes is told of.
    torch("hostile_whole_model.pt", "training_args.bin");
    let (_, said) = put(&project, "f");
    let says = ["`training_args.bin`", "torch.nn.modules.container.Sequential", "never load it with Python"];
    assert!(says.iter().all(|it| said.contains(it)), "{said}");
    fs::remove_file(project.path().join("f/training_args.bin")).unwrap();
    // What the other one says of itself is taken over, and what is in it is looked at.
    torch("training.pt", "last.ckpt");
    let (spec, said) = put(&project, "f");
    assert_eq!(said, "");
    let show: Value = serde_json::from_str(&store(&project, &["show", &spec, "--json"]).out).unwrap();
    assert_eq!((&show["metadata"]["epoch"], &show["metadata"]["seeds"]), (&2.into(), &7.into()), "{show:#}");
    pipeline(&project, "refuse_nonfinite = true");
    assert_eq!(by_pipeline(&project, &["put", "f", "m"]).code, 0);
    tensor(&project, "f/state/optimizer.safetensors", "F32", "[1]", &f32::NAN.to_le_bytes());
    let refused = by_pipeline(&project, &["put", "f", "m"]);
    assert!(refused.code == 3 && refused.err.contains("state/optimizer.safetensors` is NaN"), "{}", refused.err);
    // Several of the first kind: nobody knows which has the weights, and each is looked at.
    tensor(&project, "two/a.safetensors", "F32", "[1]", &1.0_f32.to_le_bytes());
    tensor(&project, "two/b.safetensors", "F32", "[1]", &1.0_f32.to_le_bytes());
    let both = by_pipeline(&project, &["put", "two", "m"]);
    assert_eq!((both.code, both.err.as_str()), (0, ""));
    tensor(&project, "two/b.safetensors", "F32", "[1]", &f32::INFINITY.to_le_bytes());
    let refused = by_pipeline(&project, &["put", "two", "m"]);
    assert!(refused.code == 3 && refused.err.contains("two/b.safetensors` is inf"), "{}", refused.err);
    // Lightning's file alone.
    fs::create_dir(project.path().join("lightning")).unwrap();
    fs::copy(fixtures().join("torch/training.pt"), project.path().join("lightning/last.ckpt")).unwrap();
    let (spec, said) = put(&project, "lightning");
    let show: Value = serde_json::from_str(&store(&project, &["show", &spec, "--json"]).out).unwrap();
    assert_eq!((said.as_str(), &show["metadata"]["epoch"]), ("", &2.into()), "{show:#}");
}

/// As `pickle.dumps` writes an object whose `__reduce__` is `os.system`, by protocol 4 and by 0.
const PICKLES: [&[u8]; 2] = [
    b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.",
    b"cposix\nsystem\np0\n(Vid\np1\ntp2\nRp3\n.",
];

#[test]
fn every_pickle_that_is_stored_unread_is_told_by_its_content() {
    let project = Project::new();
    let folder = project.path().join("f");
    fs::create_dir(&folder).unwrap();
    fs::copy(fixtures().join("digits/cnn/cnn.onnx"), folder.join("cnn.onnx")).unwrap();
    fs::write(folder.join("a.bin"), PICKLES[0]).unwrap();
    let refused = store(&project, &["put", "f", "m"]);
    let says = ["nothing was stored", "a.bin", "outside a zip archive and wants `posix.system`, which is code"];
    assert!(refused.code == 3 && says.iter().all(|it| refused.err.contains(it)), "{} {}", refused.code, refused.err);
    // Numbers that begin like one are none.
    fs::write(folder.join("a.bin"), b"\x80\x04numbers").unwrap();
    fs::write(folder.join("notes.txt"), "class A:\n    pass\n").unwrap();
    assert_eq!(put(&project, "f").1, "");
    let names = ["a.dat", "a.pickle", "data/python_model.pkl"];
    fs::create_dir(folder.join("data")).unwrap();
    for bytes in PICKLES {
        names.iter().for_each(|it| fs::write(folder.join(it), bytes).unwrap());
        let said = put(&project, "f").1;
        let expected = names.map(|it| {
            format!(
                "`{it}` is a pickle, is stored as it is, and was not read: it wants `posix.system`, which is code; never load it \
                 with Python unless you trust it"
            )
        });
        assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn an_old_file_of_pytorch_beside_the_weights_is_told_and_stored() {
    let project = Project::new();
    tensor(&project, "f/model.safetensors", "F32", "[1]", &1.0_f32.to_le_bytes());
    // As `torch.save` wrote before 1.6: a magic number, its version, a description of the machine, and an empty dictionary.
    let old = [
        &b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."[..],
        b"\x80\x02M\xe9\x03.",
        b"\x80\x02}q\x00.",
        b"\x80\x02}q\x00.",
    ];
    fs::write(project.path().join("f/optimizer.bin"), old.concat()).unwrap();
    let said = put(&project, "f").1;
    assert!(
        said.contains("`optimizer.bin` is stored as it is, and was not read: ") && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn layers_that_bring_their_own_code_are_told() {
    let project = Project::new();
    let mut bytes = fs::read(fixtures().join("digits/cnn/cnn.h5")).unwrap();
    let class = br#""class_name": "Conv2D""#;
    let at = bytes.windows(class.len()).position(|it| it == class).unwrap();
    bytes[at..at + class.len()].copy_from_slice(br#""class_name": "Lambda""#);
    fs::write(project.path().join("cnn.h5"), bytes).unwrap();
    let (spec, said) = put(&project, "cnn.h5");
    let says = ["`cnn.h5` would execute code when loaded with Keras: the Lambda layer `", "nothing of it was executed"];
    assert!(said.lines().count() == 1 && says.iter().all(|it| said.contains(it)), "{said}");
    let show: Value = serde_json::from_str(&store(&project, &["show", &spec, "--json"]).out).unwrap();
    // What is found is no part of the checkpoint: else its identity would change with what is looked for.
    assert!(show["metadata"].get("code").is_none(), "{show:#}");
}

#[test]
fn what_is_no_file_and_what_is_not_there_are_refused_with_a_remedy() {
    let project = Project::new();
    tensor(&project, "f/a.safetensors", "F32", "[1]", &1.0_f32.to_le_bytes());
    let pipe = project.path().join("f/pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let refused = store(&project, &["put", "f", "m"]);
    let says = "is neither a file nor a folder; checkpoints hold plain files, leave it out of the folder";
    assert!(refused.code == 3 && refused.err.contains(says), "{} {}", refused.code, refused.err);
    fs::remove_file(pipe).unwrap();
    project.write("f/m.safetensors.index.json", r#"{"weight_map": {"w": "a.safetensors", "v": "b.safetensors"}}"#);
    let refused = store(&project, &["put", "f", "m"]);
    let says = ["nothing was stored", "shard `b.safetensors` is not there; put all shards beside the index"];
    assert!(refused.code == 3 && says.iter().all(|it| refused.err.contains(it)), "{} {}", refused.code, refused.err);
}

#[test]
fn that_nothing_can_stand_in_for_a_checkpoint_is_said_with_a_remedy() {
    let project = Project::new();
    tensor(&project, "m.safetensors", "F32", "[1]", &1.0_f32.to_le_bytes());
    put(&project, "m.safetensors");
    walk(&project.path().join("store/packs")).iter().for_each(|it| flip_a_bit(it));
    let refused = store(&project, &["get", "m@latest", "out", "--policy", "latest"]);
    let says = ["no checkpoint can be given out for `m@latest`", "`modelwatch store repair`", "by its id"];
    assert!(refused.code == 3 && says.iter().all(|it| refused.err.contains(it)), "{} {}", refused.code, refused.err);
}

#[test]
fn a_ref_is_set_only_where_it_is_expected() {
    let project = Project::new();
    let [a, b] = ["a", "b"].map(|it| {
        project.write("m.bin", it);
        put(&project, "m.bin").0
    });
    let set = |to: &str, expect: &str| store(&project, &["set", "m@production", to, "--expect", expect]);
    let refused = set(&a, &b);
    let says = ["`m@production` is not set and was expected to be at", "stays so"];
    assert!(refused.code == 3 && says.iter().all(|it| refused.err.contains(it)), "{} {}", refused.code, refused.err);
    assert_eq!(set(&a, "none").code, 0);
    for wrong in ["none", b.as_str()] {
        let refused = set(&b, wrong);
        assert!(refused.code == 3 && refused.err.contains("`m@production` is at"), "{} {}", refused.code, refused.err);
    }
    assert_eq!(set(&b, &a).code, 0);
    let log = store(&project, &["log", "m@production"]);
    assert_eq!(log.out.lines().count(), 3, "{}", log.out);
}

#[test]
fn the_history_of_latest_is_what_was_stored_and_removed() {
    let project = Project::new();
    let ids = ["a", "b"].map(|it| {
        project.write("m.bin", it);
        put(&project, "m.bin").0
    });
    assert_eq!(store(&project, &["set", "m@production", &ids[0]]).code, 0);
    let log = store(&project, &["log", "m@latest"]);
    assert_eq!((log.code, log.out.lines().count()), (0, 3), "{}{}", log.out, log.err);
    assert!(log.out.matches("was stored").count() == 2 && !log.out.contains("production"), "{}", log.out);
    assert!(log.err.contains("`m@latest` is the newest checkpoint"), "{}", log.err);
    let never = store(&project, &["log", "m@never"]);
    assert!(never.code == 2 && never.err.contains("no ref `never` of `m` was ever set"), "{}", never.err);
}

#[test]
fn nothing_is_written_into_the_folders_of_a_store() {
    let project = Project::new();
    tensor(&project, "m.safetensors", "F32", "[1]", &1.0_f32.to_le_bytes());
    let (spec, _) = put(&project, "m.safetensors");
    let before = walk(&project.path().join("store")).len();
    for (into, more) in
        [("store/log/evil", &[][..]), ("store/log/../packs/a/b", &[]), ("store/tmp/x.npz", &["--as", "npz"])]
    {
        let refused = store(&project, &[&["get", &spec, into], more].concat());
        assert!(refused.code == 2 && refused.err.contains("is in a folder of the store"), "{into}: {}", refused.err);
    }
    assert_eq!(walk(&project.path().join("store")).len(), before);
    assert_eq!(store(&project, &["get", &spec, "log"]).code, 0, "a folder of that name elsewhere is the user's");
}

fn publish(project: &Project, step: &str) {
    let (from, to) = (fixtures().join("keras_handoff").join(step), project.path().join("drop").join(step));
    let staged = project.path().join("drop/.staged");
    fs::create_dir_all(&staged).unwrap();
    for it in walk(&from) {
        fs::copy(&it, staged.join(it.file_name().unwrap())).unwrap();
    }
    fs::rename(staged, to).unwrap();
}

fn watching(project: &Project, of: [&str; 2]) -> Child {
    let mut command = project.command(&["store", of[0], of[1], "watch", "drop", "m", "--every", "20ms"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn terminate(mut child: Child) -> Option<i32> {
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap().code()
}

fn steps(project: &Project) -> Vec<u64> {
    let list = store(project, &["list", "m"]).out;
    let step = |line: &str| {
        let show = store(project, &["show", line.split_whitespace().next().unwrap(), "--json"]);
        serde_json::from_str::<Value>(&show.out).unwrap()["metadata"]["step"].as_u64().unwrap()
    };
    list.lines().skip(1).map(step).collect()
}

#[test]
fn who_watches_waits_for_a_folder_that_is_away() {
    let project = Project::new();
    publish(&project, "step-00000001");
    let mut child = watching(&project, ["--store", "store"]);
    let mut ids = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    ids.next().unwrap().unwrap();
    let [here, away] = ["drop", "away"].map(|it| project.path().join(it));
    fs::rename(&here, &away).unwrap();
    let error = said.next().unwrap().unwrap();
    assert!(error.contains("cannot read `drop`") && error.contains("looked at again"), "{error}");
    fs::rename(&away, &here).unwrap();
    publish(&project, "step-00000002");
    ids.next().unwrap().unwrap();
    assert_eq!(terminate(child), Some(0));
    assert!(said.next().is_none(), "it is said once");
    assert_eq!(steps(&project), [2, 1]);
}

#[test]
fn who_watches_and_is_told_to_end_stores_what_is_there_by_then() {
    let project = Project::new();
    pipeline(&project, "save = { on_signal = true }");
    publish(&project, "step-00000001");
    let mut child = watching(&project, ["--pipeline", "pipeline.toml"]);
    let mut ids = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    ids.next().unwrap().unwrap();
    publish(&project, "step-00000002");
    let note = said.next().unwrap().unwrap();
    assert!(note.contains("step-00000002` was not stored: no rule"), "{note}");
    // Whether it is looked at before the end or not.
    publish(&project, "step-00000004");
    assert_eq!(terminate(child), Some(0));
    assert_eq!(steps(&project), [4, 1]);

    // What no rule wanted is the newest that there is when all ends.
    let mut child = watching(&project, ["--pipeline", "pipeline.toml"]);
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let ids = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut wait = |words: &str| while !said.next().unwrap().unwrap().contains(words) {};
    wait("step-00000004` was not stored");
    publish(&project, "step-00000003");
    wait("step-00000003` was not stored");
    assert_eq!(terminate(child), Some(0));
    drop(ids);
    assert!(steps(&project).contains(&3), "{:?}", steps(&project));
}

#[test]
fn a_hand_off_says_its_epoch_and_seeds_and_a_metric_that_is_none_is_named() {
    let project = Project::new();
    fs::create_dir(project.path().join("step")).unwrap();
    let manifest = |metrics: &str| {
        format!(
            r#"{{"version": 1, "step": 7, "epoch": 3, "seeds": {{"numpy": 42}}, "metrics": {metrics}, "files": []}}"#
        )
    };
    project.write("step/checkpoint.json", &manifest(r#"{"loss": 0.5}"#));
    let (spec, _) = put(&project, "step");
    let show: Value = serde_json::from_str(&store(&project, &["show", &spec, "--json"]).out).unwrap();
    assert_eq!((&show["metadata"]["epoch"], &show["metadata"]["seeds"]["numpy"]), (&3.into(), &42.into()), "{show:#}");
    for (metrics, words) in [
        (r#"{"loss": 0.5, "val_loss": null}"#, "the metric `val_loss` is null, not a number"),
        (r#"{"by_class": {"a": 1}}"#, "the metric `by_class` is {\"a\":1}, not a number"),
    ] {
        project.write("step/checkpoint.json", &manifest(metrics));
        let refused = store(&project, &["put", "step", "m"]);
        assert!(refused.code == 3 && refused.err.contains(words), "{}", refused.err);
    }
}
