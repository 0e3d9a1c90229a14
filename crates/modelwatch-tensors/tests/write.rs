//! What is written reads back as it was.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use modelwatch_tensors::{
    DType, Format, NpzWriter, TensorFile, TensorInfo, TensorRef, has_same_elements, write_npz, write_safetensors,
};
use proptest::prelude::*;

fn fixture(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")).join(path)
}

fn reopen(name: &str, bytes: &[u8]) -> (tempfile::TempDir, TensorFile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let file = TensorFile::open(&path).unwrap();
    (folder, file)
}

fn assert_same(a: &TensorFile, b: &TensorFile) {
    assert_eq!(a.infos(), b.infos());
    for (a, b) in a.iter().zip(b.iter()) {
        assert_eq!(a.unwrap().bytes, b.unwrap().bytes);
    }
}

#[test]
fn every_format_becomes_safetensors_and_npz() {
    let paths = [
        "digits/cnn/cnn.safetensors",
        "digits/cnn/cnn.keras",
        "digits/cnn/cnn.onnx",
        "digits/cnn/saved_model",
        "digits/cnn/cnn.tflite",
        "torch/training.pt",
    ];
    for path in paths {
        let file = TensorFile::open(&fixture(path)).unwrap();
        let metadata = BTreeMap::from([("step".to_owned(), "3".to_owned()), ("a".to_owned(), "b".to_owned())]);
        let (mut safetensors, mut npz, mut again) = (vec![], vec![], vec![]);
        write_safetensors(&mut safetensors, &file, &metadata).unwrap();
        write_npz(&mut npz, &file).unwrap();
        write_npz(&mut again, &file).unwrap();
        assert_eq!(npz, again);
        let (_folder, found) = reopen("it.safetensors", &safetensors);
        assert_same(&file, &found);
        assert_eq!((found.format(), &found.metadata()["step"]), (Format::Safetensors, &"3".into()));
        let (_folder, found) = reopen("it.npz", &npz);
        assert_same(&file, &found);
        assert_eq!(found.format(), Format::Npz);
    }
}

fn complex(name: &str, descr: &str, shape: &[u64], values: &[u8]) -> (tempfile::TempDir, TensorFile) {
    let mut archive = NpzWriter::new(Vec::new());
    let n_bytes = values.len() as u64;
    archive.array::<io::Error>("w", descr, shape, n_bytes, |to| to.write_all(values)).unwrap();
    reopen(name, &archive.finish().unwrap())
}

#[test]
fn types_that_are_not_read_are_written_as_they_are_stored() {
    let values: Vec<u8> = (0..16).collect();
    let (_folder, file) = complex("it.npz", "<c8", &[2], &values);
    assert!(file.is_empty() && file.skipped()[0].element_type() == Some("C64"), "{:?}", file.skipped());
    let (mut safetensors, mut npz) = (vec![], vec![]);
    write_safetensors(&mut safetensors, &file, &BTreeMap::new()).unwrap();
    write_npz(&mut npz, &file).unwrap();
    for (name, bytes) in [("it.safetensors", &safetensors), ("again.npz", &npz)] {
        let (_folder, found) = reopen(name, bytes);
        let it = &found.skipped()[0];
        assert_eq!((it.element_type(), it.shape()), (Some("C64"), Some(&[2][..])), "{name}");
        assert_eq!(has_same_elements((&file, &file.skipped()[0]), (&found, it)).unwrap(), Some(true), "{name}");
        let (_folder, other) = complex("other.npz", "<c8", &[2], &[7; 16]);
        assert_eq!(has_same_elements((&other, &other.skipped()[0]), (&found, it)).unwrap(), Some(false), "{name}");
    }
    let (_folder, wide) = complex("it.npz", "<c16", &[1], &values);
    let said = write_safetensors(&mut vec![], &wide, &BTreeMap::new()).unwrap_err().to_string();
    assert_eq!(said, "cannot write tensor `w` as safetensors: it has no C128; keep the files as they are");
    let (_folder, short) = complex("it.npz", "<c8", &[3], &values);
    let said = write_npz(&mut vec![], &short).unwrap_err().to_string();
    assert!(said.contains("`w`: it holds 16 bytes, which do not fit"), "{said}");
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let info =
        |name: &str, dtype: DType, shape: &[u64]| TensorInfo { name: name.to_owned(), dtype, shape: shape.to_vec() };
    let check = |infos: &[TensorInfo], n_bytes: usize| {
        let bytes = vec![1; n_bytes];
        let tensors: Vec<TensorRef<'_>> = infos.iter().map(|info| TensorRef { info, bytes: &bytes }).collect();
        let safetensors = write_safetensors(&mut vec![], &tensors, &BTreeMap::new());
        let npz = write_npz(&mut vec![], &tensors);
        (safetensors.map_err(|it| it.to_string()), npz.map_err(|it| it.to_string()))
    };
    let (safetensors, npz) = check(&[info("w", DType::Bf16, &[1])], 2);
    assert_eq!(safetensors, Ok(()));
    assert_eq!(npz.unwrap_err(), "cannot write tensor `w` as NPZ: it has no bf16; write safetensors");
    let (safetensors, npz) = check(&[info("w", DType::U8, &[1]), info("w", DType::I8, &[1])], 1);
    assert_eq!(safetensors.unwrap_err(), "cannot write tensor `w`: its name is there twice; rename it");
    assert!(npz.is_err());
    let (safetensors, npz) = check(&[info("__metadata__", DType::U8, &[1])], 1);
    assert_eq!(
        safetensors.unwrap_err(),
        "cannot write tensor `__metadata__`: its name is that of the metadata; rename it"
    );
    assert_eq!(npz, Ok(()));
    for name in ["../../etc/x", "a/../x", "a\\..\\x"] {
        let (safetensors, npz) = check(&[info(name, DType::U8, &[1])], 1);
        assert_eq!(safetensors, Ok(()));
        assert!(npz.unwrap_err().contains("its name leads out of the folder"), "{name}");
    }
    let (safetensors, npz) = check(&[info("w", DType::F32, &[3])], 8);
    let want = "cannot write tensor `w`: it holds 8 bytes, which do not fit its shape and type";
    assert_eq!((safetensors.unwrap_err().as_str(), npz.unwrap_err().as_str()), (want, want));
    let (safetensors, npz) = check(&[info("w", DType::F32, &[u64::MAX, 2])], 8);
    assert!(safetensors.is_err() && npz.is_err());
}

/// Names that do not lead out of an archive.
fn names() -> impl Strategy<Value = String> {
    "[a-z/.\u{e9}\" ]{0,8}"
        .prop_filter("leads out", |it| !it.starts_with('/') && !it.split('/').rev().skip(1).any(|it| it == ".."))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tensors_survive_the_round_trip(
        tensors in prop::collection::btree_map(names(), (0..DType::ALL.len(), prop::collection::vec(0..4_u64, 0..4), any::<u8>()), 0..6)
    ) {
        let infos: Vec<TensorInfo> = tensors
            .iter()
            .map(|(name, (dtype, shape, _))| TensorInfo { name: name.clone(), dtype: DType::ALL[*dtype], shape: shape.clone() })
            .collect();
        let data: Vec<Vec<u8>> = infos
            .iter()
            .zip(tensors.values())
            .map(|(info, (.., fill))| {
                let n_bytes = usize::try_from(info.n_elements()).unwrap() * info.dtype.size();
                let limit = if info.dtype == DType::Bool { 2 } else { 251 };
                (0..n_bytes).map(|it| u8::try_from((it + usize::from(*fill)) % limit).unwrap()).collect()
            })
            .collect();
        let refs: Vec<TensorRef<'_>> = infos.iter().zip(&data).map(|(info, bytes)| TensorRef { info, bytes }).collect();
        let mut bytes = vec![];
        write_safetensors(&mut bytes, &refs, &BTreeMap::new()).unwrap();
        let (_folder, found) = reopen("it.safetensors", &bytes);
        assert_eq!(found.infos(), infos);
        for (tensor, want) in found.iter().zip(&data) {
            assert_eq!(tensor.unwrap().bytes.as_ref(), want);
        }
        if !infos.iter().any(|it| it.dtype == DType::Bf16) && !infos.is_empty() {
            let mut bytes = vec![];
            write_npz(&mut bytes, &refs).unwrap();
            let (_folder, found) = reopen("it.npz", &bytes);
            assert_eq!(found.infos(), infos);
            for (tensor, want) in found.iter().zip(&data) {
                assert_eq!(tensor.unwrap().bytes.as_ref(), want);
            }
        }
    }
}
