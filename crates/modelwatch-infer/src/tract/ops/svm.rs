//! `SVMClassifier` and `SVMRegressor`.
//!
//! One-against-one decisions and pairwise coupling follow LIBSVM (Chang and Lin, "LIBSVM: a library for support vector machines",
//! and Wu, Lin and Weng, "Probability estimates for multi-class classification by pairwise coupling", 2004, second method).

use tract_onnx::{
    pb::NodeProto,
    prelude::TractResult,
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::labels::Labels;
use crate::tract::{
    attributes::{floats, int, ints, text},
    post_transform::{PostTransform, logistic},
};

/// A kernel with gamma, the constant and the degree.
#[derive(Debug)]
enum Kernel {
    Linear,
    Poly(f64, f64, f64),
    Rbf(f64),
    Sigmoid(f64, f64),
}

impl Kernel {
    fn parse(node: &NodeProto) -> TractResult<Self> {
        let parameter = |idx: usize| floats(node, "kernel_params").get(idx).map_or(0.0, |&it| f64::from(it));
        Ok(match text(node, "kernel_type").unwrap_or("LINEAR") {
            "LINEAR" => Self::Linear,
            "POLY" => Self::Poly(parameter(0), parameter(1), parameter(2)),
            "RBF" => Self::Rbf(parameter(0)),
            "SIGMOID" => Self::Sigmoid(parameter(0), parameter(1)),
            other => bail!("kernel {other:?} is not known"),
        })
    }

    fn of(&self, a: &[f64], b: &[f64]) -> f64 {
        let dot = || sum_of(a, b, |a, b| a * b);
        match *self {
            Self::Linear => dot(),
            Self::Poly(gamma, constant, degree) => (gamma * dot() + constant).powf(degree),
            Self::Rbf(gamma) => (-gamma * sum_of(a, b, |a, b| (a - b).powi(2))).exp(),
            Self::Sigmoid(gamma, constant) => (gamma * dot() + constant).tanh(),
        }
    }
}

/// Returns the sum of what is made of pairs: four sums, which do not wait for each other.
fn sum_of(a: &[f64], b: &[f64], of: impl Fn(f64, f64) -> f64) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    let mut sums = [0.0; 4];
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += of(*a, *b));
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| of(*a, *b)).sum::<f64>()
}

fn widened(node: &NodeProto, name: &str) -> Vec<f64> {
    floats(node, name).iter().map(|&it| f64::from(it)).collect()
}

fn check_width(row: &[f64], width: usize) -> TractResult<()> {
    ensure!(row.len() == width, "there are vectors of {width} features, and {} features", row.len());
    Ok(())
}

#[derive(Debug)]
pub(super) struct Regressor {
    kernel: Kernel,
    width: usize,
    /// None where there is a hyperplane instead.
    vectors: Vec<f64>,
    coefficients: Vec<f64>,
    rho: f64,
    is_one_class: bool,
}

impl Regressor {
    pub(super) fn parse(node: &NodeProto) -> TractResult<Self> {
        let (vectors, coefficients) = (widened(node, "support_vectors"), widened(node, "coefficients"));
        let n_supports = usize::try_from(int(node, "n_supports").unwrap_or(0))?;
        let width = vectors.len().checked_div(n_supports).unwrap_or(coefficients.len());
        ensure!(
            width > 0 && (n_supports == 0 || (coefficients.len() == n_supports && vectors.len() == n_supports * width)),
            "{n_supports} vectors have {} coefficients and {} numbers",
            coefficients.len(),
            vectors.len()
        );
        Ok(Self {
            kernel: Kernel::parse(node)?,
            width,
            vectors: if n_supports > 0 { vectors } else { Vec::new() },
            coefficients,
            rho: floats(node, "rho").first().map_or(0.0, |&it| f64::from(it)),
            is_one_class: int(node, "one_class").unwrap_or(0) != 0,
        })
    }

    /// Appends the prediction.
    pub(super) fn predict(&self, row: &[f64], out: &mut Vec<f32>) -> TractResult<()> {
        check_width(row, self.width)?;
        let sum: f64 = if self.vectors.is_empty() {
            self.kernel.of(row, &self.coefficients)
        } else {
            let vectors = self.vectors.chunks_exact(self.width).zip(&self.coefficients);
            vectors.map(|(it, weight)| weight * self.kernel.of(row, it)).sum()
        };
        let score = sum + self.rho;
        let score = if !self.is_one_class {
            score
        } else if score > 0.0 {
            1.0
        } else {
            -1.0
        };
        // As onnxruntime does, whatever the specification says: nothing is transformed.
        out.push(score as f32);
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Classifier {
    kernel: Kernel,
    width: usize,
    labels: Labels,
    vectors: Vec<f64>,
    /// Where the vectors of each class start, and the number of all.
    starts: Vec<usize>,
    coefficients: Vec<f64>,
    rho: Vec<f64>,
    prob_a: Vec<f64>,
    prob_b: Vec<f64>,
    transform: PostTransform,
}

impl Classifier {
    pub(super) fn parse(node: &NodeProto) -> TractResult<Self> {
        let labels = Labels::parse(node, "classlabels_ints", "classlabels_strings");
        let n_classes = labels.len();
        ensure!((2..1 << 16).contains(&n_classes), "a classifier needs two classes, not {n_classes}");
        let mut starts = vec![0usize];
        for &it in ints(node, "vectors_per_class") {
            let next = starts[starts.len() - 1].checked_add(usize::try_from(it)?).context("too many vectors")?;
            starts.push(next);
        }
        let (vectors, coefficients) = (widened(node, "support_vectors"), widened(node, "coefficients"));
        let n_vectors = starts[starts.len() - 1];
        let is_linear = starts.len() == 1;
        let width = if is_linear { coefficients.len() / n_classes } else { vectors.len() / n_vectors.max(1) };
        let res = Self {
            kernel: Kernel::parse(node)?,
            width,
            labels,
            vectors,
            starts,
            coefficients,
            rho: widened(node, "rho"),
            prob_a: widened(node, "prob_a"),
            prob_b: widened(node, "prob_b"),
            transform: PostTransform::of(node)?,
        };
        ensure!(width > 0, "there are no numbers for {n_classes} classes");
        if is_linear {
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
                    && res.rho.len() >= res.n_pairs(),
                "the attributes do not fit {n_classes} classes, {n_vectors} vectors and {width} features"
            );
            let has_fitting = |it: &[f64]| it.is_empty() || it.len() >= res.n_pairs();
            ensure!(
                has_fitting(&res.prob_a) && res.prob_a.len() == res.prob_b.len(),
                "`prob_a` and `prob_b` do not fit"
            );
        }
        Ok(res)
    }

    pub(super) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Returns the number of scores of a row.
    pub(super) fn n_scores(&self) -> usize {
        let of_classes = self.is_linear() || !self.prob_a.is_empty();
        if of_classes { self.labels.len() } else { self.n_pairs().max(2) }
    }

    fn n_pairs(&self) -> usize {
        self.labels.len() * (self.labels.len() - 1) / 2
    }

    /// Appends the scores and returns the index of the class.
    pub(super) fn classify(&self, row: &[f64], out: &mut Vec<f32>) -> TractResult<usize> {
        check_width(row, self.width)?;
        let (votes, mut scores) = if self.is_linear() {
            let score = |it: &[f64]| self.kernel.of(row, it) + self.rho[0];
            let scores: Vec<f64> = self.coefficients.chunks_exact(self.width).map(score).collect();
            (scores.clone(), scores)
        } else {
            let decisions = self.decisions(row);
            let votes = self.votes(&decisions);
            let scores = match (self.prob_a.is_empty(), &*decisions) {
                (false, _) => self.probabilities(&decisions),
                // The decision is for the first class; scores grow with the second, as onnxruntime writes them.
                // What makes shares of several scores is left out.
                (true, &[one]) => match self.transform {
                    PostTransform::None => vec![-one, one],
                    PostTransform::Logistic => vec![logistic(-one), logistic(one)],
                    _ => vec![1.0 - one, one],
                },
                (true, _) => decisions,
            };
            (votes, scores)
        };
        if !self.is_linear() && self.prob_a.is_empty() && self.labels.len() == 2 {
            out.extend(scores.iter().map(|it| *it as f32));
        } else {
            self.transform.append(&mut scores, out);
        }
        Ok((0..votes.len()).rev().fold(0, |best, it| if votes[it] >= votes[best] { it } else { best }))
    }

    /// Returns whether there is a hyperplane per class instead of support vectors.
    fn is_linear(&self) -> bool {
        self.starts.len() == 1
    }

    /// Returns the decision between each pair of classes; a positive one is for the first.
    fn decisions(&self, row: &[f64]) -> Vec<f64> {
        let values: Vec<f64> = self.vectors.chunks_exact(self.width).map(|it| self.kernel.of(row, it)).collect();
        let n_vectors = values.len();
        let sum = |class: usize, coefficient_row: usize| -> f64 {
            let range = self.starts[class]..self.starts[class + 1];
            range.map(|it| self.coefficients[coefficient_row * n_vectors + it] * values[it]).sum()
        };
        self.pairs().zip(&self.rho).map(|((i, j), rho)| sum(i, j - 1) + sum(j, i) + rho).collect()
    }

    fn votes(&self, decisions: &[f64]) -> Vec<f64> {
        let mut res = vec![0.0; self.labels.len()];
        for ((i, j), &decision) in self.pairs().zip(decisions) {
            res[if decision > 0.0 { i } else { j }] += 1.0;
        }
        res
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let n = self.labels.len();
        (0..n).flat_map(move |i| (i + 1..n).map(move |j| (i, j)))
    }

    fn probabilities(&self, decisions: &[f64]) -> Vec<f64> {
        let n = self.labels.len();
        let mut pairwise = vec![0.0; n * n];
        for (idx, (i, j)) in self.pairs().enumerate() {
            let logit = decisions[idx] * self.prob_a[idx] + self.prob_b[idx];
            let probability = (1.0 / (1.0 + logit.exp())).clamp(1e-7, 1.0 - 1e-7);
            (pairwise[i * n + j], pairwise[j * n + i]) = (probability, 1.0 - probability);
        }
        couple(n, &pairwise)
    }
}

/// Returns the probabilities of `n` classes that agree best with those of pairs, by the one and the other.
fn couple(n: usize, pairwise: &[f64]) -> Vec<f64> {
    let q = |t: usize, j: usize| {
        if t == j {
            (0..n).filter(|&it| it != t).map(|it| pairwise[it * n + t].powi(2)).sum::<f64>()
        } else {
            -pairwise[j * n + t] * pairwise[t * n + j]
        }
    };
    let matrix: Vec<f64> = (0..n * n).map(|it| q(it / n, it % n)).collect();
    let mut p = vec![1.0 / n as f64; n];
    let mut qp = vec![0.0; n];
    for _ in 0..n.max(100) {
        for (qp, row) in qp.iter_mut().zip(matrix.chunks_exact(n)) {
            *qp = row.iter().zip(&p).map(|(a, b)| a * b).sum();
        }
        let mut pqp: f64 = qp.iter().zip(&p).map(|(a, b)| a * b).sum();
        if qp.iter().all(|it| (it - pqp).abs() < 0.005 / n as f64) {
            break;
        }
        for (t, row) in matrix.chunks_exact(n).enumerate() {
            let difference = (pqp - qp[t]) / row[t];
            p[t] += difference;
            let scale = 1.0 + difference;
            pqp = (pqp + difference * (difference * row[t] + 2.0 * qp[t])) / (scale * scale);
            for ((qp, p), it) in qp.iter_mut().zip(&mut p).zip(row) {
                *qp = (*qp + difference * it) / scale;
                *p /= scale;
            }
        }
    }
    p
}
