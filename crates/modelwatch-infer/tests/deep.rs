//! A network of fifty layers, compared node by node.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{
    Npy, batch,
    proto::{ints, model, value},
    threads,
};
use modelwatch_infer::{Comparison, Model, Tolerance};
use prost::Message;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

/// Set for the process that is measured: what it does, and the folder with the models.
const TASK: &str = "MODELWATCH_TEST_TASK";
const FOLDER: &str = "MODELWATCH_TEST_FOLDER";
const SIZE: usize = 224;

/// ResNet-50 (He et al. 2015, arXiv:1512.03385) with its normalizations folded in, and weights drawn from a seed.
#[derive(Default)]
struct Network {
    nodes: Vec<NodeProto>,
    weights: Vec<TensorProto>,
    state: u64,
}

impl Network {
    fn resnet_50() -> Self {
        let mut it = Self::default();
        let mut x = it.conv("x", 3, 64, 7, 2, 1.0, true);
        let pads = ints("pads", &[1, 1, 1, 1]);
        x = it.node("MaxPool", &[&x], vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), pads]);
        let mut n_in = 64;
        for (stage, n_blocks) in [3, 4, 6, 3].into_iter().enumerate() {
            let width = 64 << stage;
            for block in 0..n_blocks {
                let stride = if block == 0 && stage > 0 { 2 } else { 1 };
                let mut y = it.conv(&x, n_in, width, 1, 1, 1.0, true);
                y = it.conv(&y, width, width, 3, stride, 1.0, true);
                // What is added is small, so that the sum of so many does not grow.
                y = it.conv(&y, width, 4 * width, 1, 1, 0.3, false);
                if block == 0 {
                    x = it.conv(&x, n_in, 4 * width, 1, stride, 1.0, false);
                }
                x = it.node("Add", &[&x, &y], vec![]);
                x = it.node("Relu", &[&x], vec![]);
                n_in = 4 * width;
            }
        }
        x = it.node("GlobalAveragePool", &[&x], vec![]);
        x = it.node("Flatten", &[&x], vec![]);
        let weights = it.tensor("fc.weight", &[n_in, 1000], 1.0 / (n_in as f32).sqrt());
        x = it.node("MatMul", &[&x, &weights], vec![]);
        it.nodes.last_mut().unwrap().output = vec!["y".to_owned()];
        let _ = x;
        it
    }

    fn node(&mut self, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        let output = format!("{}_{}", op.to_lowercase(), self.nodes.len());
        self.nodes.push(NodeProto {
            op_type: op.to_owned(),
            name: output.clone(),
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![output.clone()],
            attribute,
            ..Default::default()
        });
        output
    }

    #[allow(clippy::too_many_arguments)] // What a convolution is.
    fn conv(
        &mut self,
        x: &str,
        n_in: usize,
        n_out: usize,
        size: usize,
        stride: i64,
        gain: f32,
        is_active: bool,
    ) -> String {
        let spread = gain * (2.0 / (n_in * size * size) as f32).sqrt();
        let name = format!("conv_{}", self.nodes.len());
        let weights = self.tensor(&format!("{name}.weight"), &[n_out, n_in, size, size], spread);
        let bias = self.tensor(&format!("{name}.bias"), &[n_out], 0.01);
        let pad = (size / 2) as i64;
        let attributes = vec![ints("strides", &[stride, stride]), ints("pads", &[pad; 4])];
        let x = self.node("Conv", &[x, &weights, &bias], attributes);
        if is_active { self.node("Relu", &[&x], vec![]) } else { x }
    }

    /// Numbers of this standard deviation, evenly distributed.
    fn tensor(&mut self, name: &str, dims: &[usize], spread: f32) -> String {
        let n: usize = dims.iter().product();
        let mut raw_data = Vec::with_capacity(4 * n);
        for _ in 0..n {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let unit = (self.state >> 40) as f32 / (1 << 24) as f32 - 0.5;
            raw_data.extend((unit * spread * 12.0_f32.sqrt()).to_le_bytes());
        }
        let dims = dims.iter().map(|&it| it as i64).collect();
        self.weights.push(TensorProto { name: name.to_owned(), data_type: 1, dims, raw_data, ..Default::default() });
        name.to_owned()
    }

    fn write(self, path: &Path) {
        let size = SIZE as i64;
        let graph = GraphProto {
            node: self.nodes,
            initializer: self.weights,
            input: vec![value("x", &[-1, 3, size, size])],
            output: vec![value("y", &[-1, 1000])],
            ..Default::default()
        };
        fs::write(path, model(17, graph).encode_to_vec()).unwrap();
    }
}

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
        let mut comparison = Comparison::new(&reference, &candidate, Tolerance::default());
        comparison.run(&images, &images).unwrap();
        let nodes = comparison.nodes();
        assert!(nodes.iter().all(|it| it.counterpart.is_some()) && nodes.len() > 100, "{}", nodes.len());
        let differs = nodes.iter().filter(|it| it.counterpart.as_ref().unwrap().isolated.n_beyond > 0);
        assert_eq!(differs.map(|it| &*it.name).collect::<Vec<_>>(), [CHANGED]);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).unwrap();
    println!("peak {}", peak.trim().trim_end_matches("kB").trim());
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_kept_of_a_deep_network_is_small() {
    if let (Ok(name), Some(folder)) = (env::var(TASK), env::var_os(FOLDER)) {
        return task(&name, folder.into());
    }
    let folder = tempfile::tempdir().unwrap();
    Network::resnet_50().write(&folder.path().join("reference.onnx"));
    let mut changed = Network::resnet_50();
    let weights = changed.weights.iter_mut().find(|it| it.name == format!("{CHANGED}.weight")).unwrap();
    let first = f32::from_le_bytes(weights.raw_data[..4].try_into().unwrap());
    weights.raw_data[..4].copy_from_slice(&(first + 1.0).to_le_bytes());
    changed.write(&folder.path().join("candidate.onnx"));
    let (plain, nodes) = (peak("plain", folder.path()), peak("nodes", folder.path()));
    println!("plain inference {plain} KiB, two models node by node {nodes} KiB, {:.2} ×", nodes as f64 / plain as f64);
    assert!(nodes < 2 * plain, "{nodes} KiB, with {plain} KiB for plain inference");
}
