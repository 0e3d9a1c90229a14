//! How few random cuts set a row apart from the others: the isolation forest (Liu, Ting & Zhou 2008).

use std::collections::BTreeSet;

use crate::error::{Reason, Undefined};
use crate::hash::mix;
use crate::multivariate::Rows;
use crate::random::Random;

/// The trees of a forest that its authors found to be enough.
pub const FOREST_TREES: usize = 100;

/// The rows of a tree that its authors found to be enough: more of them hide outliers behind each other.
pub const FOREST_ROWS: usize = 256;

/// Euler and Mascheroni's constant.
const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

/// How a forest is grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForestOptions {
    /// The number of trees.
    pub n_trees: usize,
    /// How many rows each of them is grown from, at most.
    pub n_rows: usize,
    /// Another seed draws other rows, columns and cuts.
    pub seed: u64,
}

/// Trees of random cuts; see [`IsolationForest::fit`].
#[derive(Clone, Debug)]
pub struct IsolationForest {
    trees: Vec<Tree>,
    width: usize,
    /// `c(ψ)`, the path that is usual.
    usual_path: f64,
}

/// The nodes of a tree, each followed by those on its left.
#[derive(Clone, Debug, Default)]
struct Tree(Vec<Node>);

#[derive(Clone, Copy, Debug)]
enum Node {
    /// Rows with less than `cut` in the column are in the next node, the others in `right`.
    Cut { column: usize, cut: f64, right: usize },
    /// What a path that ends here counts.
    Leaf { path: f64 },
}

/// Returns `c(n) = 2 (ln(n - 1) + γ) - 2 (n - 1) / n`, the average path of an unsuccessful search in a binary tree of `n` rows; 1 for two of
/// them and 0 for fewer (Liu, Ting & Zhou 2012).
///
/// ```
/// use modelwatch_stats::outliers::average_path;
///
/// assert_eq!([0, 1, 2].map(average_path), [0.0, 0.0, 1.0]);
/// // 2 (ln 255 + 0.5772) - 2 · 255 / 256
/// assert!((average_path(256) - 10.244770920119917).abs() < 1e-12);
/// ```
pub fn average_path(n: usize) -> f64 {
    match n {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let rest = n as f64 - 1.0;
            2.0 * (rest.ln() + EULER_GAMMA) - 2.0 * rest / n as f64
        }
    }
}

impl IsolationForest {
    /// Grows trees from rows, each of which counts as often as `counts` says.
    ///
    /// A tree gets `ψ = min(n_rows, n)` rows, drawn without putting them back. It cuts them at random, a column that varies and a place
    /// between its least and greatest value, until they are single, equal, or `⌈log2 ψ⌉` cuts deep. Outliers are set apart by few
    /// cuts, whatever the scale of the columns.
    ///
    /// Undefined without trees, for a tree of fewer than two rows, and for other than one count per row.
    ///
    /// ```
    /// use modelwatch_stats::{multivariate::Rows, outliers::{ForestOptions, IsolationForest, average_path}};
    ///
    /// // The first cut of 0, 1 and 10 sets 10 apart in nine of ten trees, else 0; the second one parts the others.
    /// let rows = Rows::new(&[0.0, 1.0, 10.0], 1).unwrap();
    /// let options = ForestOptions { n_trees: 10_000, n_rows: 256, seed: 1 };
    /// let forest = IsolationForest::fit(rows, &[1, 1, 1], options).unwrap();
    /// let expected = |path: f64| 2_f64.powf(-path / average_path(3));
    /// assert!((forest.score(&[10.0]).unwrap() - expected(0.9 * 1.0 + 0.1 * 2.0)).abs() < 0.005);
    /// assert!((forest.score(&[0.0]).unwrap() - expected(0.9 * 2.0 + 0.1 * 1.0)).abs() < 0.005);
    /// ```
    ///
    /// # Errors
    /// See above.
    pub fn fit(rows: Rows<'_>, counts: &[u64], options: ForestOptions) -> Result<Self, Undefined> {
        if rows.len() != counts.len() {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        let ends: Vec<u64> = counts
            .iter()
            .scan(0_u64, |sum, it| {
                *sum = sum.saturating_add(*it);
                Some(*sum)
            })
            .collect();
        let n = ends.last().copied().unwrap_or(0);
        let n_rows = n.min(options.n_rows as u64);
        if n_rows < 2 || options.n_trees == 0 {
            return Err(Undefined::new(Reason::TooFew));
        }
        let mut grower = Grower {
            rows,
            deepest: (n_rows as f64).log2().ceil() as usize,
            columns: (0..rows.width()).collect(),
            random: Random::new(mix(options.seed)),
        };
        let trees = (0..options.n_trees).map(|_| {
            let mut members = draw(&ends, n_rows, &mut grower.random);
            let mut tree = Tree::default();
            grower.grow(&mut tree, &mut members, 0);
            tree
        });
        Ok(Self { trees: trees.collect(), width: rows.width(), usual_path: average_path(n_rows as usize) })
    }

    /// Returns the score of a row: `2^(-E[h] / c(ψ))`, `h` being the cuts until the row is set apart, and [`average_path`] of the
    /// rows that were left where a tree ended early.
    ///
    /// Close to 1 for outliers, below 0.5 for what is in the midst of others.
    ///
    /// # Errors
    /// For a row of another width, and for NaN.
    pub fn score(&self, row: &[f64]) -> Result<f64, Undefined> {
        if row.len() != self.width {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        if row.iter().any(|it| it.is_nan()) {
            return Err(Undefined::new(Reason::NotANumber));
        }
        let sum: f64 = self.trees.iter().map(|it| it.path(row)).sum();
        Ok((-sum / self.trees.len() as f64 / self.usual_path).exp2())
    }
}

impl Tree {
    /// Returns the length of a row's path.
    fn path(&self, row: &[f64]) -> f64 {
        let mut at = 0;
        loop {
            match self.0[at] {
                Node::Cut { column, cut, right } => at = if row[column] < cut { at + 1 } else { right },
                Node::Leaf { path } => return path,
            }
        }
    }
}

/// What trees are grown from.
struct Grower<'a> {
    rows: Rows<'a>,
    deepest: usize,
    /// All columns, in some order.
    columns: Vec<usize>,
    random: Random,
}

impl Grower<'_> {
    /// Adds the node of these rows and all below it.
    fn grow(&mut self, tree: &mut Tree, members: &mut [usize], depth: usize) {
        let found = if depth < self.deepest { self.varying_column(members) } else { None };
        let Some((column, low, high)) = found else {
            tree.0.push(Node::Leaf { path: depth as f64 + average_path(members.len()) });
            return;
        };
        let share = self.random.positive_unit();
        // Not `low + share * (high - low)`, which overflows. Rounding must not leave a side without rows.
        let cut = (low * (1.0 - share) + high * share).min(high);
        let cut = if cut > low { cut } else { high };
        let n_left = partition(members, |it| self.rows.row(it)[column] < cut);
        let (left, right) = members.split_at_mut(n_left);
        let at = tree.0.len();
        tree.0.push(Node::Cut { column, cut, right: 0 });
        self.grow(tree, left, depth + 1);
        tree.0[at] = Node::Cut { column, cut, right: tree.0.len() };
        self.grow(tree, right, depth + 1);
    }

    /// Returns a random one of the columns in which the rows differ, with its least and greatest value.
    fn varying_column(&mut self, members: &[usize]) -> Option<(usize, f64, f64)> {
        if members.len() < 2 {
            return None;
        }
        // A shuffle that ends as soon as a column will do.
        let n_columns = self.columns.len();
        for at in 0..n_columns {
            self.columns.swap(at, at + self.random.below((n_columns - at) as u64) as usize);
            let column = self.columns[at];
            let values = members.iter().map(|it| self.rows.row(*it)[column]);
            let range = values.fold((f64::INFINITY, f64::NEG_INFINITY), |it, value| (it.0.min(value), it.1.max(value)));
            if range.0 < range.1 {
                return Some((column, range.0, range.1));
            }
        }
        None
    }
}

/// Moves the members for which it holds to the front, and returns how many they are.
fn partition(members: &mut [usize], is_front: impl Fn(usize) -> bool) -> usize {
    let mut n_front = 0;
    for at in 0..members.len() {
        if is_front(members[at]) {
            members.swap(n_front, at);
            n_front += 1;
        }
    }
    n_front
}

/// Returns `n` of the occurrences of rows, whose ends are given: Floyd's algorithm (Bentley & Floyd 1987).
fn draw(ends: &[u64], n: u64, random: &mut Random) -> Vec<usize> {
    let total = ends.last().copied().unwrap_or(0);
    let mut places = BTreeSet::new();
    for last in total - n..total {
        let place = random.below(last + 1);
        if !places.insert(place) {
            places.insert(last);
        }
    }
    places.into_iter().map(|place| ends.partition_point(|end| *end <= place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forest(values: &[f64], width: usize, seed: u64) -> IsolationForest {
        let rows = Rows::new(values, width).unwrap();
        let options = ForestOptions { n_trees: FOREST_TREES, n_rows: FOREST_ROWS, seed };
        IsolationForest::fit(rows, &vec![1; rows.len()], options).unwrap()
    }

    fn normal(n: usize, seed: u64) -> Vec<f64> {
        let mut random = Random::new(seed);
        let mut draw = || {
            let radius = (-2.0 * random.positive_unit().ln()).sqrt();
            radius * (std::f64::consts::TAU * random.positive_unit()).cos()
        };
        (0..n).map(|_| draw()).collect()
    }

    #[test]
    fn the_score_follows_from_the_paths() {
        // Below 5 in the first column: set apart by one cut. Else by the second column: 3 rows are left below 2, and one above.
        let tree = Tree(vec![
            Node::Cut { column: 0, cut: 5.0, right: 2 },
            Node::Leaf { path: 1.0 },
            Node::Cut { column: 1, cut: 2.0, right: 4 },
            Node::Leaf { path: 2.0 + average_path(3) },
            Node::Leaf { path: 2.0 },
        ]);
        let other = Tree(vec![Node::Leaf { path: average_path(5) }]);
        let forest = IsolationForest { trees: vec![tree, other], width: 2, usual_path: average_path(5) };
        // c(5) = 2 (ln 4 + γ) - 8/5 = 2.3270 and c(3) = 2 (ln 2 + γ) - 4/3 = 1.2074.
        let expected = [(1.0 + 2.32702) / 2.0, (2.0 + 1.20739 + 2.32702) / 2.0, (2.0 + 2.32702) / 2.0];
        let rows = [[0.0, 9.0], [7.0, 0.0], [5.0, 2.0]];
        for (row, path) in rows.iter().zip(expected) {
            let score = forest.score(row).unwrap();
            assert!((score - 2_f64.powf(-path / 2.32702)).abs() < 1e-5, "{row:?}: {score}");
        }
    }

    #[test]
    fn planted_outliers_have_the_greatest_scores() {
        // 500 rows of three normal columns, and 10 rows between 5 and 6 standard deviations away in two of them.
        let mut values = normal(1500, 3);
        let mut random = Random::new(4);
        for _ in 0..10 {
            values.extend([5.0 + random.positive_unit(), -5.0 - random.positive_unit(), 0.0]);
        }
        for seed in 0..5 {
            let forest = forest(&values, 3, seed);
            let scores: Vec<f64> = values.chunks(3).map(|it| forest.score(it).unwrap()).collect();
            let (others, planted) = scores.split_at(500);
            let pairs = || planted.iter().flat_map(|it| others.iter().map(move |other| (it, other)));
            let auc = pairs().filter(|it| it.0 > it.1).count() as f64 / pairs().count() as f64;
            assert!(auc > 0.99, "seed {seed}: {auc}");
            // In the midst of the others.
            assert!(forest.score(&[0.0, 0.0, 0.0]).unwrap() < 0.45);
        }
    }

    #[test]
    fn scores_are_those_of_scikit_learn_but_for_chance() {
        // A lattice and two rows apart from it; scikit-learn 1.9.1 with 8000 trees of 128 rows. Its cuts are other ones.
        let lattice = (0..200).flat_map(|it| [f64::from(it * 37 % 101) / 10.0, f64::from(it * 53 % 97) / 10.0]);
        let values: Vec<f64> = lattice.chain([30.0, 30.0, 5.0, -12.0]).collect();
        let rows = Rows::new(&values, 2).unwrap();
        let options = ForestOptions { n_trees: 8000, n_rows: 128, seed: 1 };
        let forest = IsolationForest::fit(rows, &[1; 202], options).unwrap();
        let theirs = [(0, 0.598_13), (7, 0.458_47), (100, 0.446_76), (150, 0.558_29), (200, 0.786_79), (201, 0.683_74)];
        for (row, expected) in theirs {
            let ours = forest.score(rows.row(row)).unwrap();
            assert!((ours - expected).abs() < 0.003, "row {row}: {ours} and {expected}");
        }
    }

    #[test]
    fn a_row_that_comes_often_is_none() {
        let values: Vec<f64> = (0..100).map(f64::from).chain([300.0]).collect();
        let rows = Rows::new(&values, 1).unwrap();
        let options = ForestOptions { n_trees: 200, n_rows: 64, seed: 7 };
        let score = |count: u64| {
            let counts: Vec<u64> = (0..101).map(|it| if it == 100 { count } else { 1 }).collect();
            IsolationForest::fit(rows, &counts, options).unwrap().score(&[300.0]).unwrap()
        };
        assert!(score(1) > 0.75 && score(50) < 0.6, "{} {}", score(1), score(50));
    }

    #[test]
    fn scales_do_not_matter_and_nothing_overflows() {
        let values: Vec<f64> = normal(400, 5);
        let stretched: Vec<f64> = values.chunks(2).flat_map(|it| [it[0] * 1024.0, it[1]]).collect();
        let (plain, other) = (forest(&values, 2, 1), forest(&stretched, 2, 1));
        for row in values.chunks(2) {
            let (left, right) = (plain.score(row).unwrap(), other.score(&[row[0] * 1024.0, row[1]]).unwrap());
            assert!((left - right).abs() < 1e-12);
        }
        let wide = forest(&[f64::MIN, f64::MAX, 0.0, f64::MIN_POSITIVE], 1, 1);
        assert!(wide.score(&[f64::INFINITY]).unwrap().is_finite());
    }

    #[test]
    fn what_cannot_be_cut_is_undefined() {
        let rows = Rows::new(&[1.0, 2.0], 1).unwrap();
        let options = ForestOptions { n_trees: 1, n_rows: 256, seed: 0 };
        let reason = |counts: &[u64], options| IsolationForest::fit(rows, counts, options).unwrap_err().reason;
        assert_eq!(reason(&[1], options), Reason::LengthMismatch);
        assert_eq!(reason(&[1, 0], options), Reason::TooFew);
        assert_eq!(reason(&[1, 1], ForestOptions { n_trees: 0, ..options }), Reason::TooFew);
        let forest = IsolationForest::fit(rows, &[1, 1], options).unwrap();
        assert_eq!(forest.score(&[1.0]), Ok(0.5));
        assert_eq!(forest.score(&[f64::NAN]).unwrap_err().reason, Reason::NotANumber);
        assert_eq!(forest.score(&[1.0, 2.0]).unwrap_err().reason, Reason::LengthMismatch);
        // Equal rows are set apart by no cut, and any count is fine.
        let equal = Rows::new(&[4.0, 4.0], 1).unwrap();
        let forest =
            IsolationForest::fit(equal, &[u64::MAX, u64::MAX], ForestOptions { n_rows: 8, ..options }).unwrap();
        assert_eq!(forest.score(&[4.0]), Ok(0.5));
    }
}
