//! What `ai.onnx.ml` operators do with their scores at the end.

use tract_onnx::{pb::NodeProto, prelude::TractResult, tract_hir::internal::bail};

use super::attributes::text;

/// Why a transform is refused.
pub(super) const PROBIT_OF_ONE: &str =
    "PROBIT of the only score of two classes is not defined; give each class a score of its own";

/// See `post_transform` in the specifications.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PostTransform {
    None,
    Softmax,
    Logistic,
    /// Scores of exactly 0 stay 0.
    SoftmaxZero,
    Probit,
}

impl PostTransform {
    /// Returns the transform that a node names.
    pub(super) fn of(node: &NodeProto) -> TractResult<Self> {
        Self::parse(text(node, "post_transform").unwrap_or("NONE"))
    }

    pub(super) fn parse(name: &str) -> TractResult<Self> {
        Ok(match name {
            "NONE" => Self::None,
            "SOFTMAX" => Self::Softmax,
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "PROBIT" => Self::Probit,
            other => bail!("post transform {other:?} is not known"),
        })
    }

    /// Returns the transform with this number in `TreeEnsemble`.
    pub(super) fn numbered(number: i64) -> TractResult<Self> {
        let all = [Self::None, Self::Softmax, Self::Logistic, Self::SoftmaxZero, Self::Probit];
        match usize::try_from(number).ok().and_then(|it| all.get(it)) {
            Some(it) => Ok(*it),
            None => bail!("post transform {number} is not known"),
        }
    }

    /// Returns what is done with the predictions for so many targets: a single one is transformed only by PROBIT, as onnxruntime has it,
    /// whatever the specification says.
    pub(super) fn for_targets(self, n_targets: usize) -> Self {
        if n_targets == 1 && self != Self::Probit { Self::None } else { self }
    }

    pub(super) fn apply(self, scores: &mut [f64]) {
        match self {
            Self::None => (),
            Self::Logistic => scores.iter_mut().for_each(|it| *it = logistic(*it)),
            Self::Probit => scores.iter_mut().for_each(|it| *it = probit(*it)),
            Self::Softmax | Self::SoftmaxZero => {
                let counts = |it: f64| self == Self::Softmax || it != 0.0;
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().filter(|&&it| counts(it)).map(|it| (it - max).exp()).sum();
                scores.iter_mut().filter(|it| counts(**it)).for_each(|it| *it = (*it - max).exp() / sum);
            }
        }
    }

    /// Appends the scores as the transform leaves them.
    pub(super) fn append(self, scores: &mut [f64], out: &mut Vec<f32>) {
        self.apply(scores);
        out.extend(scores.iter().map(|&it| it as f32));
    }
}

pub(super) fn logistic(it: f64) -> f64 {
    1.0 / (1.0 + (-it).exp())
}

/// The inverse of the normal distribution function by Winitzki's approximation of the inverse error function, which ONNX Runtime uses.
fn probit(value: f64) -> f64 {
    let x = 2.0 * value - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let half = 2.0 / (std::f64::consts::PI * 0.147) + 0.5 * log;
    let inner = half * half - log / 0.147;
    std::f64::consts::SQRT_2 * x.signum() * (-half + inner.sqrt()).sqrt()
}
