//! One tree: how it grows, and what it says of a row.

use super::{
    BoostingOptions,
    bins::{Binned, MISSING},
    fixed_point::Scale,
};

/// A gain below this share of what is there to gain is rounding.
const LEAST_GAIN: f64 = 1e-9;

/// A tree, its root first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Leaf(f64),
    Split {
        column: usize,
        /// Values up to it go left.
        edge: f64,
        is_missing_left: bool,
        /// The left child; the right one follows it.
        left: usize,
    },
}

impl Tree {
    /// Returns what the tree adds to the score of a row.
    pub(super) fn value(&self, columns: &[&[f64]], row: usize) -> f64 {
        let mut at = 0;
        loop {
            match &self.nodes[at] {
                Node::Leaf(value) => return *value,
                Node::Split { column, edge, is_missing_left, left } => {
                    let value = columns[*column][row];
                    let is_left = if value.is_nan() { *is_missing_left } else { value <= *edge };
                    at = left + usize::from(!is_left);
                }
            }
        }
    }
}

/// The sums of the rows in a bin or in a node.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    gradient: i64,
    hessian: i64,
    rows: u64,
}

impl Sums {
    fn plus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient + other.gradient,
            hessian: self.hessian + other.hessian,
            rows: self.rows + other.rows,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient - other.gradient,
            hessian: self.hessian - other.hessian,
            rows: self.rows - other.rows,
        }
    }
}

/// The sums of every bin of every column, 256 bins a column.
type Histogram = Vec<Sums>;

/// A place to cut a node.
#[derive(Clone, Copy, Debug)]
struct Cut {
    gain: f64,
    column: usize,
    /// The last bin that goes left.
    bin: usize,
    is_missing_left: bool,
}

/// A node whose rows are known and whose fate is not.
struct Open {
    node: usize,
    depth: usize,
    /// Its rows, as a part of the grower's.
    start: usize,
    end: usize,
    histogram: Histogram,
}

/// What trees grow from; it is used again for every tree.
pub(super) struct Grower<'a> {
    columns: &'a [Binned],
    options: BoostingOptions,
    /// The rows, those of each node next to each other.
    rows: Vec<u32>,
    /// Gradient and Hessian of each row, in steps.
    derivatives: Vec<(i64, i64)>,
    gradient_scale: Scale,
    hessian_scale: Scale,
}

impl<'a> Grower<'a> {
    pub(super) fn new(columns: &'a [Binned], rows: Vec<u32>, options: BoostingOptions) -> Self {
        let nothing = Scale::new(&[]);
        Self { columns, options, rows, derivatives: Vec::new(), gradient_scale: nothing, hessian_scale: nothing }
    }

    /// Grows a tree and adds what it says to the scores; none where no split gains anything.
    pub(super) fn grow(&mut self, gradients: &[f64], hessians: &[f64], scores: &mut [f64]) -> Option<Tree> {
        self.gradient_scale = Scale::new(gradients);
        self.hessian_scale = Scale::new(hessians);
        self.derivatives = gradients
            .iter()
            .zip(hessians)
            .map(|(gradient, hessian)| (self.gradient_scale.steps(*gradient), self.hessian_scale.steps(*hessian)))
            .collect();
        let mut nodes = vec![Node::Leaf(0.0)];
        let histogram = self.histogram(0, self.rows.len());
        let mut open = vec![Open { node: 0, depth: 0, start: 0, end: self.rows.len(), histogram }];
        while let Some(it) = open.pop() {
            let cut = if it.depth < self.options.max_depth { self.best_cut(&it) } else { None };
            let Some(cut) = cut else {
                let value = self.leaf_value(it.start, it.end);
                nodes[it.node] = Node::Leaf(value);
                self.rows[it.start..it.end].iter().for_each(|row| scores[*row as usize] += value);
                continue;
            };
            let left = nodes.len();
            nodes.extend([Node::Leaf(0.0), Node::Leaf(0.0)]);
            // All values may go left, where the missing ones differ.
            let edge = self.columns[cut.column].edges.get(cut.bin).copied().unwrap_or(f64::INFINITY);
            nodes[it.node] = Node::Split { column: cut.column, edge, is_missing_left: cut.is_missing_left, left };
            open.extend(self.split(it, cut, left));
        }
        (nodes.len() > 1).then_some(Tree { nodes })
    }

    /// Returns the two children. Only the smaller one is counted; the other is the rest.
    fn split(&mut self, parent: Open, cut: Cut, left: usize) -> [Open; 2] {
        let bins = &self.columns[cut.column].bins;
        let is_left = |row: u32| match bins[row as usize] {
            MISSING => cut.is_missing_left,
            bin => usize::from(bin) <= cut.bin,
        };
        let (ours, others): (Vec<u32>, Vec<u32>) =
            self.rows[parent.start..parent.end].iter().partition(|row| is_left(**row));
        let middle = parent.start + ours.len();
        self.rows[parent.start..middle].copy_from_slice(&ours);
        self.rows[middle..parent.end].copy_from_slice(&others);
        let depth = parent.depth + 1;
        let (left_sums, right_sums) = if depth == self.options.max_depth {
            // Leaves are not cut.
            (Histogram::new(), Histogram::new())
        } else {
            let is_left_smaller = ours.len() <= others.len();
            let (start, end) = if is_left_smaller { (parent.start, middle) } else { (middle, parent.end) };
            let smaller = self.histogram(start, end);
            let larger = parent.histogram.iter().zip(&smaller).map(|(all, some)| all.minus(*some)).collect();
            if is_left_smaller { (smaller, larger) } else { (larger, smaller) }
        };
        [
            Open { node: left, depth, start: parent.start, end: middle, histogram: left_sums },
            Open { node: left + 1, depth, start: middle, end: parent.end, histogram: right_sums },
        ]
    }

    fn histogram(&self, start: usize, end: usize) -> Histogram {
        let rows = &self.rows[start..end];
        let mut res = vec![Sums::default(); self.columns.len() * 256];
        for (column, sums) in self.columns.iter().zip(res.chunks_exact_mut(256)) {
            for row in rows {
                let (gradient, hessian) = self.derivatives[*row as usize];
                let bin = &mut sums[usize::from(column.bins[*row as usize])];
                bin.gradient += gradient;
                bin.hessian += hessian;
                bin.rows += 1;
            }
        }
        res
    }

    /// Returns the cut with the greatest gain, the first of equal ones.
    fn best_cut(&self, node: &Open) -> Option<Cut> {
        let mut best: Option<Cut> = None;
        for (column, sums) in node.histogram.chunks_exact(256).enumerate() {
            let total = sums.iter().fold(Sums::default(), |total, it| total.plus(*it));
            let missing = sums[usize::from(MISSING)];
            let whole = self.score(total);
            let least = whole * (1.0 + LEAST_GAIN);
            let mut left = Sums::default();
            for (bin, it) in sums[..=self.columns[column].edges.len()].iter().enumerate() {
                left = left.plus(*it);
                // What was never missing goes to the larger side.
                let is_larger = left.rows > total.minus(left).rows;
                let sides = if missing.rows > 0 { [false, true] } else { [is_larger; 2] };
                for is_missing_left in sides {
                    let left = if is_missing_left { left.plus(missing) } else { left };
                    let right = total.minus(left);
                    if left.rows.min(right.rows) < self.options.min_leaf_rows as u64 {
                        continue;
                    }
                    let score = self.score(left) + self.score(right);
                    let gain = score - whole;
                    if score > least && best.is_none_or(|it| gain > it.gain) {
                        best = Some(Cut { gain, column, bin, is_missing_left });
                    }
                }
            }
        }
        best
    }

    fn leaf_value(&self, start: usize, end: usize) -> f64 {
        let (mut gradient, mut hessian) = (0, 0);
        for row in &self.rows[start..end] {
            let it = self.derivatives[*row as usize];
            gradient += it.0;
            hessian += it.1;
        }
        let hessian = self.hessian_scale.number(hessian) + self.options.l2;
        // Without λ the Hessians of a leaf may add up to nothing, where every row is as good as certain.
        if hessian > 0.0 { -self.options.learning_rate * self.gradient_scale.number(gradient) / hessian } else { 0.0 }
    }

    /// Returns twice what a leaf of these rows takes off the loss.
    fn score(&self, sums: Sums) -> f64 {
        let gradient = self.gradient_scale.number(sums.gradient);
        let hessian = self.hessian_scale.number(sums.hessian) + self.options.l2;
        if hessian > 0.0 { gradient * gradient / hessian } else { 0.0 }
    }
}
