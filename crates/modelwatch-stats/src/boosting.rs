//! Shallow gradient-boosted trees (Friedman 2001), for a number and for the chance of one of two classes.
//!
//! Each tree takes a second-order step (Chen & Guestrin 2016): a leaf with the sums `G` of the gradients and `H` of the
//! Hessians adds `-η G / (H + λ)`, and a split gains `G_l²/(H_l+λ) + G_r²/(H_r+λ) - G²/(H+λ)`. Candidates for splits are
//! the edges of at most 255 bins a column (Ke et al. 2017). Missing values go to whichever side gains more.
//!
//! All sums are of integers, so that neither the order of the rows nor threads show in a result, bit by bit.
//!
//! There is no sampling of rows or columns, no early stopping, and nothing for categories: give them numbers,
//! such as the mean target of each.

mod bins;
mod fixed_point;
mod tree;

use crate::error::{Reason, Undefined};

use self::{
    bins::Binned,
    fixed_point::Scale,
    tree::{Grower, Tree},
};

/// How trees are grown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoostingOptions {
    /// What a prediction is of.
    pub loss: Loss,
    /// The most trees; fewer grow where nothing is left to gain.
    pub n_trees: usize,
    /// The most splits between root and leaf, at most 16.
    pub max_depth: usize,
    /// The share η of each step that is taken.
    pub learning_rate: f64,
    /// The fewest rows of a leaf.
    pub min_leaf_rows: usize,
    /// The λ by which the values of leaves are drawn to 0.
    pub l2: f64,
}

/// What a prediction is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A number: the mean of the target, by squared error.
    Squared,
    /// The chance that a target of 0 or 1 is 1, by log loss.
    Logistic,
}

/// What trees are grown on: columns of equal length, in which NaN is a missing value.
#[derive(Clone, Copy, Debug)]
pub struct TrainingRows<'a> {
    /// The features, column by column.
    pub columns: &'a [&'a [f64]],
    /// What is to be predicted.
    pub target: &'a [f64],
    /// How much each row counts; none is 1 for all. Rows of weight 0 count as if they were not there.
    pub weights: Option<&'a [f64]>,
}

/// A sum of trees.
#[derive(Clone, Debug, PartialEq)]
pub struct BoostedTrees {
    loss: Loss,
    n_columns: usize,
    base: f64,
    trees: Vec<Tree>,
}

impl BoostingOptions {
    /// A hundred trees of depth 3: enough for a smooth function of a few columns, and hard to overfit.
    pub const SHALLOW: Self =
        Self { loss: Loss::Squared, n_trees: 100, max_depth: 3, learning_rate: 0.1, min_leaf_rows: 20, l2: 1.0 };
}

impl BoostedTrees {
    /// Grows trees.
    ///
    /// Undefined for no rows (or none that counts), columns of different lengths, targets and weights that are not
    /// finite, weights below 0, targets other than 0 and 1 under [`Loss::Logistic`], and options out of range.
    /// Without columns, and for a target that does not vary, the prediction is the mean.
    ///
    /// ```
    /// use modelwatch_stats::boosting::{BoostedTrees, BoostingOptions, TrainingRows};
    ///
    /// // A step at 50, from 1 to 3.
    /// let x: Vec<f64> = (0..100).map(f64::from).collect();
    /// let target: Vec<f64> = x.iter().map(|it| if *it < 50.0 { 1.0 } else { 3.0 }).collect();
    /// let rows = TrainingRows { columns: &[&x], target: &target, weights: None };
    /// let trees = BoostedTrees::fit(rows, &BoostingOptions::SHALLOW).unwrap();
    ///
    /// let found = trees.predict(&[&[10.0, 90.0]]).unwrap();
    /// assert!((found[0] - 1.0).abs() < 0.01 && (found[1] - 3.0).abs() < 0.01);
    /// ```
    pub fn fit(rows: TrainingRows<'_>, options: &BoostingOptions) -> Result<Self, Undefined> {
        check_options(options)?;
        let weights = check_rows(rows, options.loss)?;
        let kept: Vec<u32> = (0..weights.len() as u32).filter(|it| weights[*it as usize] > 0.0).collect();
        if kept.is_empty() {
            return Err(Undefined::new(Reason::Empty));
        }
        let base = base(rows.target, &weights, options.loss)?;
        let mut res = Self { loss: options.loss, n_columns: rows.columns.len(), base, trees: Vec::new() };
        if !base.is_finite() {
            // Every row that counts is of one class.
            return Ok(res);
        }
        let binned: Vec<Binned> = rows.columns.iter().map(|it| Binned::new(it, &kept)).collect();
        let mut scores = vec![base; weights.len()];
        let mut grower = Grower::new(&binned, kept, *options);
        let (mut gradients, mut hessians) = (vec![0.0; weights.len()], vec![0.0; weights.len()]);
        for _ in 0..options.n_trees {
            for (row, weight) in weights.iter().enumerate() {
                let (gradient, hessian) = options.loss.derivatives(rows.target[row], scores[row]);
                gradients[row] = weight * gradient;
                hessians[row] = weight * hessian;
            }
            let Some(tree) = grower.grow(&gradients, &hessians, &mut scores) else { break };
            res.trees.push(tree);
        }
        Ok(res)
    }

    /// Returns the prediction of each row: a number, or the chance of 1 under [`Loss::Logistic`].
    ///
    /// Undefined for another number of columns than the trees grew on, and columns of different lengths.
    pub fn predict(&self, columns: &[&[f64]]) -> Result<Vec<f64>, Undefined> {
        let n_rows = columns.first().map_or(0, |it| it.len());
        if columns.len() != self.n_columns || columns.iter().any(|it| it.len() != n_rows) {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        let score = |row: usize| self.trees.iter().fold(self.base, |sum, tree| sum + tree.value(columns, row));
        Ok((0..n_rows).map(|row| self.loss.prediction(score(row))).collect())
    }
}

impl Loss {
    /// Returns the first and second derivative of the loss by the score.
    fn derivatives(self, target: f64, score: f64) -> (f64, f64) {
        match self {
            Self::Squared => (score - target, 1.0),
            Self::Logistic => {
                let chance = logistic(score);
                (chance - target, chance * (1.0 - chance))
            }
        }
    }

    fn prediction(self, score: f64) -> f64 {
        match self {
            Self::Squared => score,
            Self::Logistic => logistic(score),
        }
    }
}

/// Returns the constant score with the least loss.
fn base(target: &[f64], weights: &[f64], loss: Loss) -> Result<f64, Undefined> {
    let weighted: Vec<f64> = target.iter().zip(weights).map(|(target, weight)| target * weight).collect();
    let mean = Scale::sum_of(&weighted) / Scale::sum_of(weights);
    if !mean.is_finite() {
        return Err(Undefined::new(Reason::Overflow));
    }
    Ok(match loss {
        Loss::Squared => mean,
        Loss::Logistic => (mean / (1.0 - mean)).ln(),
    })
}

/// Returns the chance of log-odds.
pub(crate) fn logistic(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

fn check_options(options: &BoostingOptions) -> Result<(), Undefined> {
    let is_fine = (1..=16).contains(&options.max_depth)
        && options.min_leaf_rows > 0
        && options.learning_rate > 0.0
        && options.learning_rate <= 1.0
        && (0.0..f64::INFINITY).contains(&options.l2);
    if is_fine { Ok(()) } else { Err(Undefined::new(Reason::OutOfRange)) }
}

/// Returns the weights.
fn check_rows(rows: TrainingRows<'_>, loss: Loss) -> Result<Vec<f64>, Undefined> {
    let n_rows = rows.target.len();
    let weights = rows.weights.map_or_else(|| vec![1.0; n_rows], <[f64]>::to_vec);
    if weights.len() != n_rows || rows.columns.iter().any(|it| it.len() != n_rows) {
        return Err(Undefined::new(Reason::LengthMismatch));
    }
    let numbers = || rows.target.iter().chain(&weights);
    if numbers().any(|it| it.is_nan()) {
        return Err(Undefined::new(Reason::NotANumber));
    }
    if numbers().any(|it| it.is_infinite()) {
        return Err(Undefined::new(Reason::Infinite));
    }
    let is_class = |it: &f64| *it == 0.0 || *it == 1.0;
    let is_of_classes = loss == Loss::Logistic && !rows.target.iter().all(is_class);
    // A row is a `u32` in a tree that grows.
    if is_of_classes || weights.iter().any(|it| *it < 0.0) || n_rows >= u32::MAX as usize {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    Ok(weights)
}

#[cfg(test)]
mod tests;
