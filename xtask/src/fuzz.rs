//! Throws bytes at everything that reads files, by libFuzzer through cargo-fuzz.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// The targets of `fuzz/`, each with fixtures to start from.
const TARGETS: &[(&str, &[&str])] = &[
    ("safetensors", &["digits/cnn/cnn.safetensors", "conformance/checkpoints/ok.safetensors"]),
    ("sharded", &["fuzz/model.safetensors.index.json"]),
    ("npz", &["digits/cnn/cnn.npz", "tabular/wine/ref_ort.npz"]),
    ("npy", &["fuzz/kernel.npy"]),
    (
        "onnx",
        &[
            "tabular/wine/pca.onnx",
            "traps/softmax_qdq/model.onnx",
            "digits/cnn/mlp_int8_dynamic.onnx",
            "digits/cnn/external/model.onnx",
        ],
    ),
    ("tensor_bundle", &["digits/cnn/tf_checkpoint/ckpt.index", "digits/cnn_series/e01.tfckpt.index"]),
    ("tensorflow_graph", &["digits/cnn/cnn_frozen_b1.pb", "digits/cnn/saved_model/saved_model.pb"]),
    ("tflite", &["digits/cnn/cnn.tflite"]),
    ("hdf5", &["hdf5/variety.h5", "hdf5/hostile_cycle.h5", "hdf5/hostile_sparse.h5", "digits/cnn/cnn.weights.h5"]),
    ("keras", &["digits/cnn/cnn.keras"]),
    ("pytorch", &["torch/training.pt", "torch/variety.pt"]),
    ("pickle", &["torch/training.pkl", "torch/variety_protocol4.pkl"]),
    ("handoff", &["handoff/checkpoint.json"]),
    ("mlmodel", &["mlflow/MLmodel"]),
    ("frame", &[]),
    ("footer", &["store-v1/store/packs/07/072ddfc13ee07e044d76279ec9d3dd09e50e9ae0befde4ce08f5b95c9adf36a9.pack"]),
    (
        "manifest",
        &["store-v1/store/manifests/70/709660e715867a472ca22cdb1f4647a671d311d46eaa2bbc5e0ee6c8005a58a2.json"],
    ),
    (
        "log_entry",
        &[
            "store-v1/store/log/digits/00000000000000000001.json",
            "store-v1/store/log/letters/00000000000000000002.json",
        ],
    ),
    ("fold", &["fuzz/events"]),
    (
        "model",
        &[
            "traps/lstm_reverse/model.onnx",
            "traps/softmax_qdq/model.onnx",
            "tabular/wine/pca.onnx",
            "tabular/wine/svc.onnx",
            "tensorflow/two.tflite",
            "digits/cnn/cnn_frozen_b1.pb",
        ],
    ),
];
const MAX_LEN: usize = 100_000;
const MEMORY_MB: usize = 2048;
const SECONDS_PER_INPUT: u32 = 20;

/// Runs one target, or all of them one after another.
pub(crate) fn fuzz(target: Option<&str>, seconds: u32) -> Result<()> {
    let known: Vec<&str> = TARGETS.iter().map(|it| it.0).collect();
    if let Some(target) = target.filter(|it| !known.contains(it)) {
        bail!("there is no fuzz target `{target}`; known are {}", known.join(", "));
    }
    let version = workspace::cargo(&["fuzz", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !version.is_ok_and(|it| it.success()) {
        bail!("cargo-fuzz is missing; install it with `cargo install cargo-fuzz --locked`");
    }
    for (name, seeds) in TARGETS.iter().filter(|it| target.is_none_or(|target| target == it.0)) {
        run(name, &seeds_of(name, seeds)?, seconds)?;
    }
    Ok(())
}

fn run(name: &str, seeds: &Path, seconds: u32) -> Result<()> {
    let corpus = workspace::root().join("fuzz/corpus").join(name);
    fs::create_dir_all(&corpus)?;
    let mut command = workspace::cargo(&["fuzz", "run", "--fuzz-dir", "fuzz", "--target-dir"]);
    command.arg(workspace::target().join("fuzz")).arg(name).args([&corpus, seeds]).arg("--");
    command.args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={MAX_LEN}"),
        format!("-rss_limit_mb={MEMORY_MB}"),
        format!("-timeout={SECONDS_PER_INPUT}"),
        "-print_final_stats=1".to_owned(),
    ]);
    // The sanitizers are behind flags that stable compilers have but do not offer.
    workspace::run(command.env("RUSTC_BOOTSTRAP", "1"))
}

/// Copies the fixtures to a folder of their own, because libFuzzer takes folders.
fn seeds_of(name: &str, seeds: &[&str]) -> Result<PathBuf> {
    let to = workspace::target().join("fuzz-seeds").join(name);
    fs::create_dir_all(&to)?;
    for (idx, seed) in seeds.iter().enumerate() {
        let from = workspace::root().join("tests/fixtures").join(seed);
        fs::copy(&from, to.join(idx.to_string())).with_context(|| format!("cannot copy `{}`", from.display()))?;
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_target_is_built_and_has_seeds() {
        let fuzz = workspace::root().join("fuzz");
        let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        let known: BTreeSet<String> = TARGETS.iter().map(|it| it.0.to_owned()).collect();
        let bins = manifest.split("[[bin]]").skip(1).map(|it| it.split('"').nth(1).unwrap().to_owned());
        assert_eq!(bins.collect::<BTreeSet<_>>(), known);
        let sources = fs::read_dir(fuzz.join("fuzz_targets")).unwrap().map(|it| it.unwrap().path());
        let names = sources.map(|it| it.file_stem().unwrap().to_str().unwrap().to_owned());
        assert_eq!(names.collect::<BTreeSet<_>>(), known);
        for (name, seeds) in TARGETS {
            for it in *seeds {
                assert!(workspace::root().join("tests/fixtures").join(it).is_file(), "{name}: {it}");
            }
        }
    }
}
