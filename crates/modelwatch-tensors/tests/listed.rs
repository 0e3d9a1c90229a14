//! What files that are somewhere else are listed as, and how little of them is read for that.
#![allow(clippy::unwrap_used)]

use std::{
    cell::Cell,
    fs, io,
    path::{Path, PathBuf},
};

use modelwatch_tensors::{Files, NpzWriter, TensorFile, list_tensors};

/// The files of a folder, and how many bytes were read of them.
struct Elsewhere {
    folder: PathBuf,
    names: Vec<(String, u64)>,
    n_read: Cell<u64>,
}

impl Elsewhere {
    fn of(folder: &Path) -> Self {
        let mut names = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(it) = folders.pop() {
            for it in fs::read_dir(it).unwrap().map(|it| it.unwrap().path()) {
                if it.is_dir() {
                    folders.push(it);
                } else {
                    let name = it.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                    names.push((name, it.metadata().unwrap().len()));
                }
            }
        }
        names.sort();
        Self { folder: folder.to_owned(), names, n_read: Cell::new(0) }
    }
}

impl Files for Elsewhere {
    fn list(&self) -> &[(String, u64)] {
        &self.names
    }

    fn read_at(&self, name: &str, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = fs::read(self.folder.join(name))?;
        out.copy_from_slice(&bytes[offset as usize..][..out.len()]);
        self.n_read.set(self.n_read.get() + out.len() as u64);
        Ok(())
    }
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")).join(name)
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for it in fs::read_dir(from).unwrap().map(|it| it.unwrap()) {
            copy(&it.path(), &to.join(it.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

#[test]
fn every_format_is_listed_as_it_is_opened() {
    for name in [
        "digits/cnn/cnn.safetensors",
        "digits/cnn/cnn.npz",
        "digits/cnn/cnn.keras",
        "digits/cnn/cnn.h5",
        "digits/cnn/cnn.weights.h5",
        "digits/cnn/cnn.onnx",
        "digits/cnn/cnn.tflite",
        "digits/cnn/cnn_frozen_b1.pb",
        "digits/cnn/external",
        "digits/cnn/saved_model",
        "digits/cnn/tf_checkpoint",
        "fuzz/kernel.npy",
        "hdf5/variety.h5",
        "torch/training.pt",
        "torch/variety.pt",
        "tabular/wine/ref_ort.npz",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (fixture(name), folder.path());
        if from.is_dir() {
            copy(&from, to)
        } else {
            copy(&from, &to.join(from.file_name().unwrap()))
        }
        let opened = TensorFile::open(to);
        let listed = list_tensors(&Elsewhere::of(to));
        match opened {
            Ok(it) => {
                let (infos, skipped) = listed.unwrap();
                assert_eq!((&*infos, skipped.len()), (it.infos(), it.skipped().len()), "{name}");
            }
            Err(e) => {
                let shown =
                    |it: String| it.replace(&format!("{}/", to.display()), "").replace(to.to_str().unwrap(), "");
                assert_eq!(shown(listed.unwrap_err().to_string()), shown(e.to_string()), "{name}");
            }
        }
    }
}

/// An array of that many floats, and a shard or archive of it.
const N: usize = 4 << 20;

fn safetensors(name: &str) -> Vec<u8> {
    let text = format!(r#"{{"{name}":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{N}]}}}}"#, N / 4);
    [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &vec![1; N]].concat()
}

#[test]
fn of_large_files_little_is_read() {
    type Make = fn(&Path);
    let cases: [(&str, Make, &[&str]); 4] = [
        ("safetensors", |it| fs::write(it.join("m.safetensors"), safetensors("a")).unwrap(), &["a"]),
        (
            "shards",
            |it| {
                let index = r#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#;
                fs::write(it.join("model.safetensors.index.json"), index).unwrap();
                ["a", "b"].iter().zip(1..).for_each(|(name, at)| {
                    fs::write(it.join(format!("{at}.safetensors")), safetensors(name)).unwrap();
                });
            },
            &["a", "b"],
        ),
        (
            "an archive",
            |it| {
                let mut archive = NpzWriter::new(fs::File::create(it.join("m.npz")).unwrap());
                for name in ["a", "b"] {
                    archive.array(name, "<f4", &[N as u64 / 4], N as u64, |to| to.write_all(&vec![1; N])).unwrap();
                }
                archive.finish().unwrap();
            },
            &["a", "b"],
        ),
        (
            "beside other files",
            |it| {
                fs::write(it.join("m.safetensors"), safetensors("a")).unwrap();
                fs::create_dir(it.join("data")).unwrap();
                fs::write(it.join("data/rows.bin"), vec![7; N]).unwrap();
                fs::write(it.join("rows.bin"), vec![7; N]).unwrap();
            },
            &["a"],
        ),
    ];
    for (case, make, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        let files = Elsewhere::of(folder.path());
        let names: Vec<_> = list_tensors(&files).unwrap().0.into_iter().map(|it| it.name).collect();
        assert_eq!(names, expected, "{case}");
        assert!(files.n_read.get() < 1 << 20, "{case}: {} bytes were read", files.n_read.get());
    }
}

#[test]
fn what_cannot_be_read_or_is_damaged_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("m.safetensors"), safetensors("a")).unwrap();
    let files = Elsewhere::of(folder.path());
    fs::remove_file(folder.path().join("m.safetensors")).unwrap();
    let e = list_tensors(&files).unwrap_err().to_string();
    assert!(e.starts_with("cannot read `m.safetensors`: "), "{e}");
    for (name, bytes) in [("m.npz", &b"PK\x03\x04"[..]), ("m.safetensors", b""), ("m.npy", b"\x93NUMPY")] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
        assert!(list_tensors(&Elsewhere::of(folder.path())).is_err(), "{name}");
        assert!(TensorFile::open(folder.path()).is_err(), "{name}");
    }
    assert!(list_tensors(&Elsewhere::of(tempfile::tempdir().unwrap().path())).is_err());
}
