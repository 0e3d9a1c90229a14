//! The predictive power score: how much better one column tells another than a guess does.
//!
//! The score is that of ppscore (Wetschoreck, Krabel & Krishnamurthy 2020): a decision tree of one column, cross-validated, against the
//! best guess that does not look at the column. A tree that is grown until nothing is left to split, as theirs, says of a value what
//! the rows with the nearest value say, so that no tree is needed here.
//! Differences: folds are taken by the rows' hashes instead of by a shuffle with a seed, no rows are sampled, and the score of random
//! guesses is their expectation instead of that of one draw.

use std::collections::BTreeMap;

use crate::error::{Reason, Undefined};
use crate::prefix::{key_of, middle};

/// How many parts of the rows are held out in turn.
const N_FOLDS: u64 = 4;

/// What a column has in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// Nothing: the row is left out.
    Missing,
    /// A number, which has neighbors.
    Number(f64),
    /// A name, by its number from 0.
    Name(u32),
}

/// One row: what is to tell, what is told, how often the row occurs, and a hash that says to which fold it belongs.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What is to tell.
    pub feature: Cell,
    /// What is told; all names or all numbers.
    pub label: Cell,
    /// How often the row occurs.
    pub weight: f64,
    /// A hash of the row.
    pub hash: u64,
}

/// Rows of one feature value.
#[derive(Default)]
struct Leaf {
    weight: f64,
    sum: f64,
    names: BTreeMap<u32, f64>,
}

/// The rows of the folds that are learned from.
#[derive(Default)]
struct Tree {
    numbers: BTreeMap<u64, Leaf>,
    names: BTreeMap<u32, Leaf>,
    all: Leaf,
}

/// Returns the predictive power score of rows, from 0 (no better than a guess) to 1 (always right).
///
/// For names: `(F1 - F1 of a guess) / (1 - F1 of a guess)`, F1 averaged over classes by their weight, the guess being the better one of
/// the most frequent class and of random draws. For numbers: `1 - MAE / MAE of the median`.
///
/// ```
/// use modelwatch_stats::predictive::{Cell, Row, predictive_power};
///
/// let row = |it: u32| Row {
///     feature: Cell::Number(f64::from(it)), label: Cell::Name(it / 50), weight: 1.0, hash: (it * 7).into(),
/// };
/// let rows: Vec<_> = (0..100).map(row).collect();
/// assert!(predictive_power(&rows).unwrap() > 0.95);
/// // A feature that does not vary says nothing.
/// let constant: Vec<_> = rows.iter().map(|it| Row { feature: Cell::Number(1.0), ..*it }).collect();
/// assert_eq!(predictive_power(&constant), Ok(0.0));
/// ```
///
/// # Errors
/// When fewer rows than folds are complete, labels are of both kinds, or they do not vary.
pub fn predictive_power(rows: &[Row]) -> Result<f64, Undefined> {
    let is_complete = |it: &&Row| it.feature != Cell::Missing && it.label != Cell::Missing && it.weight > 0.0;
    let rows: Vec<Row> = rows.iter().filter(is_complete).copied().collect();
    if (rows.len() as u64) < N_FOLDS {
        return Err(Undefined::new(Reason::TooFew));
    }
    if rows.iter().any(|it| matches!(it.feature, Cell::Number(it) if it.is_nan())) {
        return Err(Undefined::new(Reason::NotANumber));
    }
    let n_names = rows.iter().filter(|it| matches!(it.label, Cell::Name(_))).count();
    if n_names == rows.len() {
        power_for_names(&rows)
    } else if n_names == 0 {
        power_for_numbers(&rows)
    } else {
        Err(Undefined::new(Reason::OutOfRange))
    }
}

fn power_for_names(rows: &[Row]) -> Result<f64, Undefined> {
    let mut shares: BTreeMap<u32, f64> = BTreeMap::new();
    let total: f64 = rows.iter().map(|it| it.weight).sum();
    for row in rows {
        if let Cell::Name(it) = row.label {
            *shares.entry(it).or_insert(0.0) += row.weight / total;
        }
    }
    if shares.len() < 2 {
        return Err(Undefined::new(Reason::OneClass));
    }
    let greatest = shares.values().copied().fold(0.0, f64::max);
    // Always the most frequent class: precision p, recall 1, and the class weighs p. Random draws: precision and recall are p.
    let guess = (greatest * 2.0 * greatest / (1.0 + greatest)).max(shares.values().map(|it| it * it).sum());
    let mut pairs: BTreeMap<(u32, u32), f64> = BTreeMap::new();
    for_held_out(rows, |tree, row| {
        if let (Cell::Name(label), Some(said)) = (row.label, tree.name_for(row.feature)) {
            *pairs.entry((label, said)).or_insert(0.0) += row.weight / total;
        }
    });
    let (mut labels, mut answers): (BTreeMap<u32, f64>, BTreeMap<u32, f64>) = (BTreeMap::new(), BTreeMap::new());
    for (&(label, said), &weight) in &pairs {
        *labels.entry(label).or_insert(0.0) += weight;
        *answers.entry(said).or_insert(0.0) += weight;
    }
    let f1 = |class: u32| {
        let right = pairs.get(&(class, class)).copied().unwrap_or(0.0);
        let of = |it: &BTreeMap<u32, f64>| it.get(&class).copied().unwrap_or(0.0);
        let all = of(&labels) + of(&answers);
        if all > 0.0 { 2.0 * right / all } else { 0.0 }
    };
    let reached: f64 = shares.iter().map(|(class, share)| share * f1(*class)).sum();
    Ok(((reached - guess) / (1.0 - guess)).clamp(0.0, 1.0))
}

fn power_for_numbers(rows: &[Row]) -> Result<f64, Undefined> {
    let number = |it: &Row| match it.label {
        Cell::Number(it) => it,
        _ => f64::NAN,
    };
    if rows.iter().any(|it| !number(it).is_finite()) {
        return Err(Undefined::new(Reason::Infinite));
    }
    let median = weighted_median(rows.iter().map(|it| (number(it), it.weight)).collect());
    let naive: f64 = rows.iter().map(|it| it.weight * (number(it) - median).abs()).sum();
    if naive <= 0.0 {
        return Err(Undefined::new(Reason::NoSpread));
    }
    let mut error = 0.0;
    for_held_out(rows, |tree, row| error += row.weight * (number(row) - tree.mean_for(row.feature)).abs());
    Ok((1.0 - error / naive).clamp(0.0, 1.0))
}

/// Calls with each row and the tree of the folds that it is not in.
fn for_held_out(rows: &[Row], mut call: impl FnMut(&Tree, &Row)) {
    for fold in 0..N_FOLDS {
        let mut tree = Tree::default();
        rows.iter().filter(|it| it.hash % N_FOLDS != fold).for_each(|it| tree.learn(it));
        if tree.all.weight > 0.0 {
            rows.iter().filter(|it| it.hash % N_FOLDS == fold).for_each(|it| call(&tree, it));
        }
    }
}

impl Tree {
    fn learn(&mut self, row: &Row) {
        let leaf = match row.feature {
            // Adding 0 turns -0 into 0.
            Cell::Number(it) => self.numbers.entry(key_of(it + 0.0)).or_default(),
            Cell::Name(it) => self.names.entry(it).or_default(),
            Cell::Missing => return,
        };
        leaf.add(row);
        self.all.add(row);
    }

    /// The rows of the value, else of the nearest number; a name that was never seen tells nothing.
    fn leaf(&self, feature: Cell) -> &Leaf {
        match feature {
            Cell::Number(it) => {
                let key = key_of(it + 0.0);
                let below = self.numbers.range(..=key).next_back();
                let above = self.numbers.range(key..).next();
                match (below, above) {
                    (Some(below), Some(above)) => {
                        // A tree splits halfway, and takes what is there to the left.
                        let is_below = it - middle(*below.0, 0) <= middle(*above.0, 0) - it;
                        if is_below { below.1 } else { above.1 }
                    }
                    (Some(one), None) | (None, Some(one)) => one.1,
                    (None, None) => &self.all,
                }
            }
            Cell::Name(it) => self.names.get(&it).unwrap_or(&self.all),
            Cell::Missing => &self.all,
        }
    }

    fn name_for(&self, feature: Cell) -> Option<u32> {
        // Of equally frequent ones the first, as everywhere in such trees.
        let names = self.leaf(feature).names.iter().rev();
        names.max_by(|left, right| left.1.total_cmp(right.1)).map(|it| *it.0)
    }

    fn mean_for(&self, feature: Cell) -> f64 {
        let leaf = self.leaf(feature);
        leaf.sum / leaf.weight
    }
}

impl Leaf {
    fn add(&mut self, row: &Row) {
        self.weight += row.weight;
        match row.label {
            Cell::Name(it) => *self.names.entry(it).or_insert(0.0) += row.weight,
            Cell::Number(it) => self.sum += row.weight * it,
            Cell::Missing => {}
        }
    }
}

fn weighted_median(mut values: Vec<(f64, f64)>) -> f64 {
    values.sort_by(|left, right| left.0.total_cmp(&right.0));
    let half = values.iter().map(|it| it.1).sum::<f64>() / 2.0;
    let mut seen = 0.0;
    let middle = values.iter().position(|it| {
        seen += it.1;
        seen >= half
    });
    match middle {
        // Halfway between the two in the middle, as for an even number of rows.
        Some(at) if seen == half && at + 1 < values.len() => (values[at].0 + values[at + 1].0) / 2.0,
        Some(at) => values[at].0,
        None => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;

    fn rows(of: impl Fn(u64) -> (Cell, Cell)) -> Vec<Row> {
        let row = |it| {
            let (feature, label) = of(it);
            Row { feature, label, weight: 1.0, hash: mix(it) }
        };
        (0..400).map(row).collect()
    }

    fn number(it: u64) -> Cell {
        Cell::Number(it as f64)
    }

    #[test]
    fn keys_keep_the_order_of_numbers() {
        let (order, value) = (|it: f64| key_of(it + 0.0), |it: u64| middle(it, 0));
        let values = [f64::NEG_INFINITY, -2.0, -1e-300, 0.0, 1e-300, 5.0, f64::INFINITY];
        assert!(values.windows(2).all(|it| order(it[0]) < order(it[1])));
        assert!(values.iter().all(|it| value(order(*it)) == *it));
        assert_eq!(order(-0.0), order(0.0));
    }

    #[test]
    fn a_function_is_told_and_noise_is_not() {
        let told = rows(|it| (number(it), number(3 * it)));
        assert!(predictive_power(&told).unwrap() > 0.95);
        let by_name = rows(|it| (Cell::Name(it as u32 % 5), number(it % 5 * 10)));
        assert_eq!(predictive_power(&by_name), Ok(1.0));
        let noise = rows(|it| (number(mix(it + 1000)), Cell::Name(mix(it + 7) as u32 % 2)));
        assert!(predictive_power(&noise).unwrap() < 0.15);
        // A tree of an identifier learns by heart, which does not help with others.
        let noise = rows(|it| (number(it), number(mix(it + 7) % 100)));
        assert_eq!(predictive_power(&noise), Ok(0.0));
    }

    #[test]
    fn what_cannot_be_told_has_no_score() {
        let one_class = rows(|it| (number(it), Cell::Name(0)));
        assert_eq!(predictive_power(&one_class), Err(Undefined::new(Reason::OneClass)));
        let constant = rows(|it| (number(it), number(7)));
        assert_eq!(predictive_power(&constant), Err(Undefined::new(Reason::NoSpread)));
        let both = rows(|it| (number(it), if it % 2 == 0 { number(1) } else { Cell::Name(1) }));
        assert_eq!(predictive_power(&both), Err(Undefined::new(Reason::OutOfRange)));
        assert_eq!(predictive_power(&[]), Err(Undefined::new(Reason::TooFew)));
        let missing = rows(|it| (Cell::Missing, number(it)));
        assert_eq!(predictive_power(&missing), Err(Undefined::new(Reason::TooFew)));
    }
}
