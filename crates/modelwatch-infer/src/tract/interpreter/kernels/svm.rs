//! `SVMClassifier` and `SVMRegressor`.
//!
//! One-against-one decisions and pairwise coupling follow LIBSVM (Chang and Lin, "LIBSVM: a library for support vector machines",
//! and Wu, Lin and Weng, "Probability estimates for multi-class classification by pairwise coupling", 2004, second method).

use tract_onnx::{
    prelude::{Tensor, TractResult, tensor1, tract_ndarray::ArrayD},
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::arrays::full;
use crate::tract::{
    interpreter::{call::Call, value::Value},
    post_transform::PostTransform,
};

/// A kernel with gamma, the constant and the degree.
enum Kernel {
    Linear,
    Poly(f64, f64, f64),
    Rbf(f64),
    Sigmoid(f64, f64),
}

impl Kernel {
    fn read(call: &Call<'_>) -> TractResult<Self> {
        let parameter = |idx: usize| call.float_list("kernel_params").get(idx).map_or(0.0, |&it| f64::from(it));
        Ok(match call.text("kernel_type", "LINEAR") {
            "LINEAR" => Self::Linear,
            "POLY" => Self::Poly(parameter(0), parameter(1), parameter(2)),
            "RBF" => Self::Rbf(parameter(0)),
            "SIGMOID" => Self::Sigmoid(parameter(0), parameter(1)),
            other => bail!("kernel {other:?} is not known"),
        })
    }

    fn of(&self, a: &[f64], b: &[f64]) -> f64 {
        let dot = || a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        match *self {
            Self::Linear => dot(),
            Self::Poly(gamma, constant, degree) => (gamma * dot() + constant).powf(degree),
            Self::Rbf(gamma) => (-gamma * a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>()).exp(),
            Self::Sigmoid(gamma, constant) => (gamma * dot() + constant).tanh(),
        }
    }
}

/// Returns the rows of input 0 and their width.
fn rows(call: &Call<'_>) -> TractResult<(Vec<f64>, usize)> {
    let input = call.floats(0)?;
    let width = input.shape().last().copied().context("a scalar has no features")?;
    ensure!(width > 0 && input.ndim() <= 2, "an input of shape {:?} has no features", input.shape());
    Ok((input.as_standard_layout().iter().copied().collect(), width))
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&it| f64::from(it)).collect()
}

pub(super) fn regressor(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let (input, width) = rows(call)?;
    let kernel = Kernel::read(call)?;
    let coefficients = widened(call.float_list("coefficients"));
    let vectors = widened(call.float_list("support_vectors"));
    let rho = call.float_list("rho").first().map_or(0.0, |&it| f64::from(it));
    let transform = PostTransform::parse(call.text("post_transform", "NONE"))?;
    let n_supports = usize::try_from(call.int("n_supports", 0))?;
    if n_supports > 0 {
        ensure!(
            coefficients.len() == n_supports && n_supports.checked_mul(width) == Some(vectors.len()),
            "{n_supports} vectors of {width} features have {} coefficients and {} numbers",
            coefficients.len(),
            vectors.len()
        );
    } else {
        ensure!(coefficients.len() == width, "{} coefficients for {width} features", coefficients.len());
    }
    let one = |row: &[f64]| {
        let sum: f64 = if n_supports > 0 {
            vectors.chunks_exact(width).zip(&coefficients).map(|(it, weight)| weight * kernel.of(row, it)).sum()
        } else {
            kernel.of(row, &coefficients)
        };
        let score = sum + rho;
        let mut res = if call.flag("one_class") { [if score > 0.0 { 1.0 } else { -1.0 }] } else { [score] };
        transform.apply(&mut res);
        res[0] as f32
    };
    let scores: Vec<f32> = input.chunks_exact(width).map(one).collect();
    Ok(vec![Tensor::from_shape(&[scores.len(), 1], &scores)?.into()])
}

struct Classifier {
    kernel: Kernel,
    width: usize,
    n_classes: usize,
    vectors: Vec<f64>,
    /// Where the vectors of each class start, and the number of all.
    starts: Vec<usize>,
    coefficients: Vec<f64>,
    rho: Vec<f64>,
    prob_a: Vec<f64>,
    prob_b: Vec<f64>,
}

impl Classifier {
    fn read(call: &Call<'_>, width: usize, n_classes: usize) -> TractResult<Self> {
        let mut starts = vec![0usize];
        for &it in call.int_list("vectors_per_class").unwrap_or_default() {
            let next = starts[starts.len() - 1].checked_add(usize::try_from(it)?).context("too many vectors")?;
            starts.push(next);
        }
        let res = Self {
            kernel: Kernel::read(call)?,
            width,
            n_classes,
            vectors: widened(call.float_list("support_vectors")),
            starts,
            coefficients: widened(call.float_list("coefficients")),
            rho: widened(call.float_list("rho")),
            prob_a: widened(call.float_list("prob_a")),
            prob_b: widened(call.float_list("prob_b")),
        };
        let n_pairs = n_classes * (n_classes - 1) / 2;
        let n_vectors = res.n_vectors();
        if res.is_linear() {
            ensure!(
                res.coefficients.len() == n_classes * width,
                "{} coefficients for {n_classes} classes",
                res.coefficients.len()
            );
            ensure!(!res.rho.is_empty(), "`rho` is missing");
        } else {
            ensure!(
                n_vectors.checked_mul(width) == Some(res.vectors.len())
                    && n_vectors.checked_mul(n_classes - 1) == Some(res.coefficients.len())
                    && res.starts.len() == n_classes + 1
                    && res.rho.len() >= n_pairs,
                "the attributes do not fit {n_classes} classes, {n_vectors} vectors and {width} features"
            );
            let has_fitting = |it: &[f64]| it.is_empty() || it.len() >= n_pairs;
            ensure!(
                has_fitting(&res.prob_a) && res.prob_a.len() == res.prob_b.len(),
                "`prob_a` and `prob_b` do not fit"
            );
        }
        Ok(res)
    }

    /// Returns whether there is a hyperplane per class instead of support vectors.
    fn is_linear(&self) -> bool {
        self.starts.len() == 1
    }

    fn n_vectors(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// Returns the decision between each pair of classes; a positive one is for the first.
    fn decisions(&self, row: &[f64]) -> Vec<f64> {
        let values: Vec<f64> = self.vectors.chunks_exact(self.width).map(|it| self.kernel.of(row, it)).collect();
        let n_vectors = values.len();
        let sum = |class: usize, coefficient_row: usize| -> f64 {
            let range = self.starts[class]..self.starts[class + 1];
            range.map(|it| self.coefficients[coefficient_row * n_vectors + it] * values[it]).sum()
        };
        let pairs = (0..self.n_classes).flat_map(|i| (i + 1..self.n_classes).map(move |j| (i, j)));
        pairs.zip(&self.rho).map(|((i, j), rho)| sum(i, j - 1) + sum(j, i) + rho).collect()
    }

    fn votes(&self, decisions: &[f64]) -> Vec<usize> {
        let mut res = vec![0; self.n_classes];
        let pairs = (0..self.n_classes).flat_map(|i| (i + 1..self.n_classes).map(move |j| (i, j)));
        for ((i, j), &decision) in pairs.zip(decisions) {
            res[if decision > 0.0 { i } else { j }] += 1;
        }
        res
    }

    fn probabilities(&self, decisions: &[f64]) -> Vec<f64> {
        let n = self.n_classes;
        let mut pairwise = vec![vec![0.0; n]; n];
        let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
        for (idx, (i, j)) in pairs.enumerate() {
            let logit = decisions[idx] * self.prob_a[idx] + self.prob_b[idx];
            let probability = (1.0 / (1.0 + logit.exp())).clamp(1e-7, 1.0 - 1e-7);
            (pairwise[i][j], pairwise[j][i]) = (probability, 1.0 - probability);
        }
        couple(&pairwise)
    }
}

/// Returns the class probabilities that agree best with those of pairs.
fn couple(pairwise: &[Vec<f64>]) -> Vec<f64> {
    let n = pairwise.len();
    let q = |t: usize, j: usize| {
        if t == j {
            (0..n).filter(|&it| it != t).map(|it| pairwise[it][t].powi(2)).sum::<f64>()
        } else {
            -pairwise[j][t] * pairwise[t][j]
        }
    };
    let matrix: Vec<Vec<f64>> = (0..n).map(|t| (0..n).map(|j| q(t, j)).collect()).collect();
    let mut p = vec![1.0 / n as f64; n];
    for _ in 0..n.max(100) {
        let mut qp: Vec<f64> = matrix.iter().map(|row| row.iter().zip(&p).map(|(a, b)| a * b).sum()).collect();
        let mut pqp: f64 = qp.iter().zip(&p).map(|(a, b)| a * b).sum();
        if qp.iter().all(|it| (it - pqp).abs() < 0.005 / n as f64) {
            break;
        }
        for t in 0..n {
            let difference = (pqp - qp[t]) / matrix[t][t];
            p[t] += difference;
            let scale = 1.0 + difference;
            pqp = (pqp + difference * (difference * matrix[t][t] + 2.0 * qp[t])) / (scale * scale);
            for j in 0..n {
                qp[j] = (qp[j] + difference * matrix[t][j]) / scale;
                p[j] /= scale;
            }
        }
    }
    p
}

pub(super) fn classifier(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let (input, width) = rows(call)?;
    let ints = call.int_list("classlabels_ints").unwrap_or_default();
    let texts = call.texts("classlabels_strings");
    let n_classes = ints.len().max(texts.len());
    ensure!(n_classes > 1, "a classifier needs two classes");
    let model = Classifier::read(call, width, n_classes)?;
    let transform = PostTransform::parse(call.text("post_transform", "NONE"))?;
    let first_max =
        |values: &[f64]| (0..values.len()).rev().fold(0, |best, it| if values[it] >= values[best] { it } else { best });
    let (mut labels, mut scores, mut n_scores) = (Vec::new(), Vec::new(), 0);
    for row in input.chunks_exact(width) {
        let (label, mut row_scores) = if model.is_linear() {
            let score = |it: &[f64]| model.kernel.of(row, it) + model.rho[0];
            let values: Vec<f64> = model.coefficients.chunks_exact(width).map(score).collect();
            (first_max(&values), values)
        } else {
            let decisions = model.decisions(row);
            let votes: Vec<f64> = model.votes(&decisions).into_iter().map(|it| it as f64).collect();
            let scores = match (model.prob_a.is_empty(), &*decisions) {
                (false, _) => model.probabilities(&decisions),
                // The decision is for the first class; scores grow with the second, as onnxruntime writes them.
                (true, &[one]) => vec![-one, one],
                (true, _) => decisions,
            };
            (first_max(&votes), scores)
        };
        transform.apply(&mut row_scores);
        labels.push(label);
        n_scores = row_scores.len();
        scores.extend(row_scores);
    }
    let mut table = full(&[labels.len(), n_scores], 0f32)?;
    table.iter_mut().zip(scores).for_each(|(to, from)| *to = from as f32);
    let labels = if texts.is_empty() {
        tensor1(&labels.iter().map(|&it| ints[it]).collect::<Vec<_>>())
    } else {
        tensor1(&labels.iter().map(|&it| texts[it].clone()).collect::<Vec<_>>())
    };
    let table: ArrayD<f32> = table;
    Ok(vec![labels.into(), table.into()])
}
