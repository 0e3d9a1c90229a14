//! `store show` says what tensors a checkpoint has, from the store alone.

use serde_json::Value;

use crate::support::{Project, fixtures, flip_a_bit, walk};

/// There is no place for temporary files, so that nothing can be laid out.
fn show(project: &Project, checkpoint: &str) -> (i32, String, String) {
    let mut command = project.command(&["store", "--store", "store", "show", checkpoint, "--json"]);
    let output = command.env("TMPDIR", project.path().join("nowhere")).output().unwrap();
    let text = |it: Vec<u8>| String::from_utf8(it).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn tensors_are_shown_without_room_for_a_file() {
    let project = Project::new();
    let cases = [("digits/cnn/cnn.safetensors", 12), ("digits/cnn/cnn.npz", 12), ("digits/cnn/external", 15)];
    for (fixture, n) in cases {
        let path = fixtures().join(fixture);
        let put = project.modelwatch(&["store", "--store", "store", "put", path.to_str().unwrap(), "m"]);
        assert_eq!(put.code, 0, "{fixture}: {}", put.err);
        let (code, out, said) = show(&project, put.out.trim());
        assert_eq!(code, 0, "{fixture}: {said}");
        let shown: Value = serde_json::from_str(&out).unwrap();
        let tensors = shown["tensors"].as_array().unwrap();
        assert_eq!(tensors.len(), n, "{fixture}");
        let is_told = |it: &Value| it["name"].is_string() && it["dtype"].is_string() && it["shape"].is_array();
        assert!(tensors.iter().all(is_told), "{fixture}: {tensors:?}");
    }
    // What has no tensors is shown, too.
    project.write("note.txt", "nothing");
    let put = project.modelwatch(&["store", "--store", "store", "put", "note.txt", "note"]);
    let (code, out, said) = show(&project, put.out.trim());
    assert_eq!(
        (code, serde_json::from_str::<Value>(&out).unwrap()["tensors"].clone()),
        (0, Value::Array(vec![])),
        "{said}"
    );
}

#[test]
fn damage_to_what_is_shown_is_told() {
    let project = Project::new();
    let path = fixtures().join("digits/cnn/cnn.safetensors");
    let put = project.modelwatch(&["store", "--store", "store", "put", path.to_str().unwrap(), "m"]);
    walk(&project.path().join("store/packs")).iter().for_each(|it| flip_a_bit(it));
    let (code, out, said) = show(&project, put.out.trim());
    assert_eq!((code, out.as_str()), (3, ""), "{said}");
    assert!(said.contains(".pack"), "{said}");
}
