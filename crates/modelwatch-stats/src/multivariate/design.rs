//! Logistic models of the same rows and several sets of labels, learned together.

use crate::boosting::logistic;
use crate::error::{Reason, Undefined};

use super::lanes::{LANES, Lanes, Panels};
use super::logistic::{Logistic, Penalty};
use super::symmetric::Cholesky;

/// When an iteration ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// After so many steps.
    pub(super) steps: usize,
    /// After a step in which nothing moved by more.
    pub(super) moved: f64,
}

/// Rows with what depends on them alone, so that many sets of labels can be learned from them.
pub(super) struct Design {
    by_row: Panels,
    by_column: Panels,
    width: usize,
    penalty: f64,
    factor: Cholesky,
}

/// A model in each lane.
pub(super) struct Models {
    intercepts: Lanes,
    weights: Vec<Lanes>,
}

impl Design {
    pub(super) fn new(rows: &[&[f64]], Penalty(penalty): Penalty) -> Result<Self, Undefined> {
        if !(penalty > 0.0 && penalty.is_finite()) {
            return Err(Undefined::new(Reason::OutOfRange));
        }
        let width = rows.first().ok_or(Undefined::new(Reason::Empty))?.len();
        let size = width + 1;
        // The lower triangle; the intercept comes first.
        let mut bound = vec![0.0; size * size];
        for row in rows {
            bound[0] += 0.25;
            for (idx, value) in row.iter().enumerate() {
                let quarter = value * 0.25;
                let to = &mut bound[(idx + 1) * size..][..idx + 2];
                to[0] += quarter;
                to[1..].iter_mut().zip(*row).for_each(|(sum, it)| *sum += quarter * it);
            }
        }
        (1..size).for_each(|it| bound[it * size + it] += penalty);
        Ok(Self {
            by_row: Panels::new(rows.len(), width, |row, column| rows[row][column]),
            by_column: Panels::new(width, rows.len(), |column, row| rows[row][column]),
            width,
            penalty,
            factor: Cholesky::new(size, bound)?,
        })
    }

    /// Returns the models of labels 0 and 1, row by row one in each lane, both of which have to be there.
    pub(super) fn fit(&self, labels: &[Lanes], stop: Stop) -> Models {
        let mut counts = [0.0; LANES];
        labels.iter().for_each(|it| add(&mut counts, it));
        let log_odds = |count: f64| {
            let share = count / labels.len() as f64;
            (share / (1.0 - share)).ln()
        };
        let mut res = Models { intercepts: counts.map(log_odds), weights: vec![[0.0; LANES]; self.width] };
        let mut is_moving = [true; LANES];
        let mut residuals = Vec::with_capacity(labels.len());
        let mut step = vec![[0.0; LANES]; self.width + 1];
        for _ in 0..stop.steps {
            residuals.clear();
            step[0] = [0.0; LANES];
            res.each_score(&self.by_row, |row, scores| {
                let residual = std::array::from_fn(|it| labels[row][it] - logistic(scores[it]));
                add(&mut step[0], &residual);
                residuals.push(residual);
            });
            let start = |column: usize| res.weights[column].map(|it| -self.penalty * it);
            self.by_column.sums(&residuals, start, |column, sums| step[column + 1] = sums);
            self.factor.solve(&mut step);
            // A model that moves no more stays as it is, whatever becomes of the others.
            for (lane, is_moving) in is_moving.iter_mut().enumerate().filter(|it| *it.1) {
                res.intercepts[lane] += step[0][lane];
                res.weights.iter_mut().zip(&step[1..]).for_each(|(weight, it)| weight[lane] += it[lane]);
                *is_moving = !step.iter().all(|it| it[lane].abs() <= stop.moved);
            }
            if is_moving == [false; LANES] {
                break;
            }
        }
        res
    }
}

impl Models {
    /// Returns the model of the first lane.
    pub(super) fn first(self) -> Logistic {
        Logistic { intercept: self.intercepts[0], weights: self.weights.iter().map(|it| it[0]).collect() }
    }

    /// Gives `each` of every row the log-odds of all models.
    pub(super) fn each_score(&self, rows: &Panels, mut each: impl FnMut(usize, Lanes)) {
        // What Rust's sums begin with.
        let start = |_| [-0.0; LANES];
        rows.sums(&self.weights, start, |row, sums| {
            each(row, std::array::from_fn(|it| self.intercepts[it] + sums[it]));
        });
    }
}

fn add(sums: &mut Lanes, values: &Lanes) {
    sums.iter_mut().zip(values).for_each(|(sum, it)| *sum += it);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multivariate::Rows;

    #[test]
    fn a_model_does_not_depend_on_those_beside_it() {
        let values: Vec<f64> = (0..150).map(|it| f64::from(it * 7919 % 101) / 25.0 - 2.0).collect();
        let rows = Rows::new(&values, 3).unwrap();
        // The first lanes learn what is easy, and end later than those of noise.
        let label = |row: usize, lane: usize| rows.row(row)[0] > if lane < 3 { 0.0 } else { rows.row(row * 7 % 50)[1] };
        let labels: Vec<Lanes> =
            (0..50).map(|row| std::array::from_fn(|it| f64::from(u8::from(label(row, it))))).collect();
        let design = Design::new(&rows.iter().collect::<Vec<_>>(), Penalty(0.5)).unwrap();
        let stop = Stop { steps: 100, moved: 1e-3 };
        let together = design.fit(&labels, stop);
        for lane in 0..LANES {
            let alone: Vec<Lanes> = labels.iter().map(|it| [it[lane]; LANES]).collect();
            let alone = design.fit(&alone, stop).first();
            assert_eq!(alone.intercept.to_bits(), together.intercepts[lane].to_bits());
            assert!(alone.weights.iter().zip(&together.weights).all(|(a, b)| a.to_bits() == b[lane].to_bits()));
        }
        let model = design.fit(&labels, stop).first();
        let fold = Panels::new(rows.len(), 3, |row, column| rows.row(row)[column]);
        together.each_score(&fold, |row, it| assert_eq!(it[0].to_bits(), model.score(rows.row(row)).to_bits()));
    }
}
