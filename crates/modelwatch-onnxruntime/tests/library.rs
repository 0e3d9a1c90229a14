//! What is no library of ONNX Runtime; in a process that has not loaded it.
#![allow(clippy::unwrap_used)]

use std::{fs, num::NonZeroUsize, path::Path};

use modelwatch_onnxruntime::OnnxRuntime;

fn refusal(library: &Path) -> String {
    OnnxRuntime::open(library, NonZeroUsize::MIN).err().unwrap().to_string()
}

#[test]
fn a_library_that_is_none_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("libonnxruntime.so");
    assert_eq!(
        refusal(&missing),
        format!("cannot use ONNX Runtime: `{}` is not there; correct the path or install it", missing.display())
    );
    fs::write(&missing, "text").unwrap();
    let said = refusal(&missing);
    assert!(said.contains(&format!("`{}` is not a library", missing.display())), "{said}");
    assert!(said.ends_with("; give the path of `libonnxruntime.so`") && !said.contains('\n'), "{said}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("libonnxruntime.so");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let said = refusal(&fifo);
    assert!(said.ends_with("is no regular file; give the path of `libonnxruntime.so`"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn another_library_is_told_from_it() {
    // One that this process has loaded is sure to be loadable.
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let library = maps.lines().filter_map(|it| it.split_whitespace().nth(5)).find(|it| it.contains("/libc.so"));
    let said = refusal(Path::new(library.unwrap()));
    assert!(said.contains("is a library, but not that of ONNX Runtime"), "{said}");
}
