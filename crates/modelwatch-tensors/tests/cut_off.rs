//! Files that somebody cuts off while they are mapped: an error that names them, and no end of the process.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

use std::{
    env, fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, UNIX_EPOCH},
};

use modelwatch_tensors::{TensorError, TensorFile, map_external_data, whole};

/// More than one page of any system has.
const LARGE: usize = 1 << 20;

fn header(n: usize) -> Vec<u8> {
    let tensor = |name: &str, at: usize| {
        let range = [at * n, (at + 1) * n];
        format!(r#""{name}":{{"dtype":"F32","shape":[{}],"data_offsets":{range:?}}}"#, n / 4)
    };
    let text = format!("{{{},{}}}", tensor("a", 0), tensor("b", 1));
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn write_safetensors(path: &Path) {
    fs::write(path, [header(LARGE), vec![1; 2 * LARGE]].concat()).unwrap();
}

fn cut(path: &Path, len: usize) {
    fs::File::options().write(true).open(path).unwrap().set_len(len as u64).unwrap();
}

fn cut_file<T>(res: Result<T, TensorError>) -> PathBuf {
    match res.map(|_| ()) {
        Err(TensorError::Cut { path }) => path,
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_that_were_borrowed_are_found_to_be_none_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write_safetensors(&path);
    let file = TensorFile::open(&path).unwrap();
    let [a, b] = ["a", "b"].map(|it| file.get(it).unwrap().unwrap());
    cut(&path, LARGE);
    // The first one is all there but for its end.
    assert_eq!(a.bytes[..LARGE / 2], vec![1; LARGE / 2]);
    // Its length says so, also before anything is read past its end.
    assert_eq!(cut_file(file.check()), path);
    assert_eq!(b.values_f64().len(), LARGE / 4);
    let e = file.check().unwrap_err().to_string();
    let expected = format!(
        "`{}` was cut off or changed while it was read; read it when nobody writes to it, or check its disk",
        path.display()
    );
    assert_eq!(e, expected);
    for it in ["a", "b"] {
        assert_eq!(cut_file(file.get(it).unwrap()), path);
    }
    // Another mapping has a fate of its own, also in the place of this one.
    drop(file);
    write_safetensors(&path);
    let again = TensorFile::open(&path).unwrap();
    assert!(again.iter().all(|it| it.unwrap().values_f64().len() == LARGE / 4));
    again.check().unwrap();
}

#[test]
fn a_checksum_is_not_said_to_be_wrong_of_a_file_that_ends_too_early() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.safetensors");
    write_safetensors(&source);
    let path = folder.path().join("model.npz");
    let mut to = fs::File::create(&path).unwrap();
    modelwatch_tensors::write_npz(&mut to, &TensorFile::open(&source).unwrap()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    cut(&path, 100);
    assert_eq!(cut_file(file.get("b").unwrap()), path);
}

/// Writes a small file that was last written to long ago.
fn write_small(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    let long_ago = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
}

/// Of the page in which a file ends the system gives zeros without a fault.
#[test]
fn a_file_below_one_page_is_found_to_be_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let (header, values) = (header(16), [1_u8; 32]);
    for grows_again in [false, true] {
        write_small(&path, &[&header[..], &values].concat());
        let file = TensorFile::open(&path).unwrap();
        file.check().unwrap();
        cut(&path, header.len());
        if grows_again {
            cut(&path, header.len() + values.len());
        }
        assert_eq!(file.get("b").unwrap().unwrap().bytes[..], [0; 16]);
        assert_eq!(cut_file(file.check()), path, "{grows_again}");
    }
}

#[test]
fn a_checksum_is_not_said_to_be_wrong_of_a_file_that_was_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.safetensors");
    write_small(&source, &[header(16), vec![1; 32]].concat());
    let path = folder.path().join("model.npz");
    let mut archive = Vec::new();
    modelwatch_tensors::write_npz(&mut archive, &TensorFile::open(&source).unwrap()).unwrap();
    write_small(&path, &archive);
    let file = TensorFile::open(&path).unwrap();
    cut(&path, 100);
    cut(&path, archive.len());
    assert_eq!(cut_file(file.get("b").unwrap()), path);
    // What is wrong for good is damage all the same.
    archive.truncate(100);
    write_small(&path, &archive);
    let found = TensorFile::open(&path).map(drop);
    assert!(matches!(found, Err(TensorError::Corrupt { .. })), "{found:?}");
}

#[test]
fn a_file_that_is_replaced_is_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write_safetensors(&path);
    let file = TensorFile::open(&path).unwrap();
    let other = folder.path().join("other");
    fs::write(&other, "other").unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(file.get("b").unwrap().unwrap().bytes[..], vec![1; LARGE]);
    file.check().unwrap();
}

#[test]
fn several_threads_meet_the_end_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write_safetensors(&path);
    for _ in 0..20 {
        write_safetensors(&path);
        let file = TensorFile::open(&path).unwrap();
        let tensors = ["a", "b"].map(|it| file.get(it).unwrap().unwrap());
        cut(&path, 0);
        thread::scope(|scope| {
            for it in tensors.iter().cycle().take(8) {
                scope.spawn(|| assert_eq!(it.bytes.iter().filter(|it| **it != 0).count(), 0));
            }
        });
        assert_eq!(cut_file(file.check()), path);
    }
}

#[test]
fn external_data_says_so_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.bin");
    fs::write(&path, vec![1; LARGE]).unwrap();
    let bytes = map_external_data(&folder.path().join("model.onnx"), "it", "weights.bin").unwrap();
    whole(&bytes).unwrap();
    cut(&path, 0);
    assert_eq!(cut_file(whole(&bytes)), path);
    assert_eq!(bytes.iter().map(|it| u64::from(*it)).sum::<u64>(), 0);
    assert_eq!(cut_file(whole(&bytes[LARGE - 1..])), path);
}

/// Set for the child alone.
const CHILD: &str = "MODELWATCH_TEST_FAULT_OF_ITS_OWN";

/// What is no mapping of this crate ends the process as ever, so that nothing goes on with zeros that nobody asks about.
#[test]
#[allow(unsafe_code)]
fn faults_elsewhere_end_the_process_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other");
    write_safetensors(&path);
    if env::var_os(CHILD).is_some() {
        let _guarded = TensorFile::open(&path).unwrap();
        let file = fs::File::open(&path).unwrap();
        // SAFETY: nobody but this test knows the mapping.
        let other = unsafe { memmap2::Mmap::map(&file).unwrap() };
        cut(&path, 0);
        panic!("it was read: {}", other[LARGE]);
    }
    let test = "faults_elsewhere_end_the_process_as_before";
    let status = Command::new(env::current_exe().unwrap()).args([test, "--exact"]).env(CHILD, "1").output().unwrap();
    assert_eq!(status.status.signal(), Some(libc::SIGBUS), "{status:?}");
}

/// A signal that somebody sends is no fault, and does what it did before.
#[test]
#[allow(unsafe_code)]
fn a_signal_that_is_sent_is_ignored_where_it_was_and_ends_the_process_where_it_did() {
    if let Some(case) = env::var_os(CHILD) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        write_safetensors(&path);
        if case == "ignored" {
            // SAFETY: it ignores a signal.
            unsafe { libc::signal(libc::SIGBUS, libc::SIG_IGN) };
        }
        let file = TensorFile::open(&path).unwrap();
        // SAFETY: it sends a signal to this thread.
        unsafe { libc::raise(libc::SIGBUS) };
        // The handler is still there.
        let b = file.get("b").unwrap().unwrap();
        cut(&path, LARGE);
        assert_eq!(b.values_f64().len(), LARGE / 4);
        assert_eq!(cut_file(file.check()), path);
        return;
    }
    let test = "a_signal_that_is_sent_is_ignored_where_it_was_and_ends_the_process_where_it_did";
    for (case, expected) in [("ignored", None), ("default", Some(libc::SIGBUS))] {
        let child =
            Command::new(env::current_exe().unwrap()).args([test, "--exact"]).env(CHILD, case).output().unwrap();
        assert_eq!((child.status.signal(), child.status.success()), (expected, expected.is_none()), "{child:?}");
    }
}
