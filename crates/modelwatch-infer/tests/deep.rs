//! A network of fifty layers, compared node by node.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use common::{
    Npy, batch,
    networks::{Network, SIZE},
    process::peak_kib,
    threads,
};
use modelwatch_infer::{Comparison, Model, Terms};
/// Set for the process that is measured: what it does, and the folder with the models.
const TASK: &str = "MODELWATCH_TEST_TASK";
const FOLDER: &str = "MODELWATCH_TEST_FOLDER";
fn images() -> Npy {
    let n = 2 * 3 * SIZE * SIZE;
    Npy {
        shape: vec![2, 3, SIZE, SIZE],
        values: (0..n).map(|it| (it as f64 * 0.618_033_988_749_895).fract()).collect(),
    }
}

/// The node whose weights are others in the second model.
const CHANGED: &str = "conv_64";

/// Runs this test again in a process of its own, and returns what it says of its peak memory, in KiB.
fn peak(task: &str, folder: &Path) -> u64 {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "what_is_kept_of_a_deep_network_is_small", "--nocapture"])
        .env(TASK, task)
        .env(FOLDER, folder);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines().find_map(|it| it.split_once("peak ")?.1.trim().parse().ok()).unwrap()
}

fn task(task: &str, folder: PathBuf) {
    let [reference, candidate] = ["reference.onnx", "candidate.onnx"].map(|it| folder.join(it));
    let images = batch(&[("x", &images())]);
    if task == "plain" {
        let model = Model::load(&reference).unwrap();
        model.run(&images, threads(1)).unwrap();
    } else {
        let [reference, candidate] = [reference, candidate].map(|it| Model::load(&it).unwrap());
        let mut comparison = Comparison::new(&reference, &candidate, &Terms::default()).unwrap();
        comparison.run(&images, &images).unwrap();
        let nodes = comparison.nodes();
        assert!(nodes.iter().all(|it| it.counterpart.is_some()) && nodes.len() > 100, "{}", nodes.len());
        let differs = nodes.iter().filter(|it| it.counterpart.as_ref().unwrap().isolated.n_beyond > 0);
        assert_eq!(differs.map(|it| &*it.name).collect::<Vec<_>>(), [CHANGED]);
    }
    println!("peak {}", peak_kib());
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_kept_of_a_deep_network_is_small() {
    if let (Ok(name), Some(folder)) = (env::var(TASK), env::var_os(FOLDER)) {
        return task(&name, folder.into());
    }
    let folder = tempfile::tempdir().unwrap();
    Network::resnet_50().write(&folder.path().join("reference.onnx"), &[3, SIZE, SIZE]);
    let mut changed = Network::resnet_50();
    let weights = changed.weights.iter_mut().find(|it| it.name == format!("{CHANGED}.weight")).unwrap();
    let first = f32::from_le_bytes(weights.raw_data[..4].try_into().unwrap());
    weights.raw_data[..4].copy_from_slice(&(first + 1.0).to_le_bytes());
    changed.write(&folder.path().join("candidate.onnx"), &[3, SIZE, SIZE]);
    let (plain, nodes) = (peak("plain", folder.path()), peak("nodes", folder.path()));
    println!("plain inference {plain} KiB, two models node by node {nodes} KiB, {:.2} ×", nodes as f64 / plain as f64);
    assert!(nodes < 2 * plain, "{nodes} KiB, with {plain} KiB for plain inference");
}
