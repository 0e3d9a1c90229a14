//! `LinearClassifier` and `LinearRegressor`.
//!
//! tract reads neither every transform nor labels that are text, and gives a single score of two classes another complement than
//! onnxruntime.

use tract_onnx::{pb::NodeProto, prelude::TractResult, tract_hir::internal::ensure};

use super::labels::Labels;
use crate::tract::{
    attributes::{floats, int},
    guard::RefusedOperator,
    post_transform::{PROBIT_OF_ONE, PostTransform, logistic},
};

/// One sum for each row of coefficients.
#[derive(Clone, Debug)]
struct Sums {
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
    n_sums: usize,
}

impl Sums {
    fn parse(node: &NodeProto, n_sums: usize) -> TractResult<Self> {
        let (coefficients, intercepts) = (floats(node, "coefficients").to_vec(), floats(node, "intercepts").to_vec());
        ensure!(
            n_sums > 0 && !coefficients.is_empty() && coefficients.len().is_multiple_of(n_sums),
            "{} coefficients are not for {n_sums} sums",
            coefficients.len()
        );
        ensure!(
            intercepts.is_empty() || intercepts.len() == n_sums,
            "there are {} intercepts for {n_sums} sums",
            intercepts.len()
        );
        Ok(Self { coefficients, intercepts, n_sums })
    }

    /// Puts the sums of a row in the place of those that are there.
    fn of(&self, row: &[f64], sums: &mut Vec<f64>) -> TractResult<()> {
        let width = self.coefficients.len() / self.n_sums;
        ensure!(row.len() == width, "there are coefficients for {width} features, and {} features", row.len());
        let sum = |(idx, weights): (usize, &[f32])| {
            let products = weights.iter().zip(row).map(|(weight, value)| f64::from(*weight) * value);
            products.sum::<f64>() + f64::from(self.intercepts.get(idx).copied().unwrap_or(0.0))
        };
        sums.clear();
        sums.extend(self.coefficients.chunks_exact(width).enumerate().map(sum));
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub(super) struct LinearClassifier {
    sums: Sums,
    labels: Labels,
    transform: PostTransform,
}

impl LinearClassifier {
    pub(super) fn parse(node: &NodeProto) -> TractResult<Self> {
        let labels = Labels::parse(node, "classlabels_ints", "classlabels_strings");
        let n_intercepts = floats(node, "intercepts").len();
        let n_sums = if n_intercepts > 0 { n_intercepts } else { labels.len() };
        let transform = PostTransform::of(node)?;
        let is_single = n_sums == 1 && labels.len() == 2;
        ensure!(is_single || (n_sums == labels.len() && n_sums > 1), "{n_sums} scores are for {} labels", labels.len());
        if is_single && transform == PostTransform::Probit {
            return Err(RefusedOperator::of(node, PROBIT_OF_ONE).into());
        }
        Ok(Self { sums: Sums::parse(node, n_sums)?, labels, transform })
    }

    pub(super) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Appends one score per class and returns the index of the class, which is that of the sums as they are. The sums go where those
    /// of other rows were.
    pub(super) fn classify(&self, row: &[f64], sums: &mut Vec<f64>, out: &mut Vec<f32>) -> TractResult<usize> {
        self.sums.of(row, sums)?;
        if let &[sum] = &**sums {
            // As onnxruntime does, whatever the specification says: what makes shares of several scores is left out.
            let scores = match self.transform {
                PostTransform::Logistic => [logistic(-sum), logistic(sum)],
                _ => [1.0 - sum, sum],
            };
            out.extend(scores.map(|it| it as f32));
            return Ok(usize::from(sum > 0.0));
        }
        let best = (0..sums.len()).fold(0, |best, idx| if sums[idx] > sums[best] { idx } else { best });
        self.transform.append(sums, out);
        Ok(best)
    }
}

#[derive(Clone, Debug)]
pub(super) struct LinearRegressor {
    sums: Sums,
    transform: PostTransform,
}

impl LinearRegressor {
    pub(super) fn parse(node: &NodeProto) -> TractResult<Self> {
        let n_targets = usize::try_from(int(node, "targets").unwrap_or(1))?;
        let transform = PostTransform::of(node)?;
        Ok(Self { sums: Sums::parse(node, n_targets)?, transform: transform.for_targets(n_targets) })
    }

    pub(super) fn n_targets(&self) -> usize {
        self.sums.n_sums
    }

    /// Appends one prediction per target. The sums go where those of other rows were.
    pub(super) fn predict(&self, row: &[f64], sums: &mut Vec<f64>, out: &mut Vec<f32>) -> TractResult<()> {
        self.sums.of(row, sums)?;
        self.transform.append(sums, out);
        Ok(())
    }
}
