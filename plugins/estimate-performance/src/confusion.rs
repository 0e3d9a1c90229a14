//! The expected confusion matrix of several classes.

use modelwatch_stats::{
    Undefined,
    estimation::{ExpectedCounts, ExpectedMasses, Spread},
};

use crate::{
    config::{Config, Task},
    estimator::Sample,
};

/// Matrices of more classes are not reported: their cells would be most of the report.
pub(crate) const MAX_CLASSES: usize = 30;

/// A cell counts a row whose class is the one and that is called the other.
const OF_CELL: ExpectedCounts =
    ExpectedCounts { true_positive: 1.0, false_positive: 0.0, false_negative: 0.0, true_negative: 0.0 };

/// Shares of rows by what they are and what they are called.
pub(crate) struct Confusion {
    pub(crate) classes: Vec<String>,
    /// Class by class, by what is called.
    pub(crate) cells: Vec<Vec<Cell>>,
    pub(crate) n_rows: u64,
    pub(crate) n_labeled: u64,
}

/// The share of rows that are of one class and are called one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) value: f64,
    /// The standard error of what labels will give.
    pub(crate) error: f64,
    /// What labels gave in the reference.
    pub(crate) reference: f64,
    /// What labels gave; none where there are none.
    pub(crate) realized: Option<f64>,
}

/// Returns a cell's share of rows, and how it spreads over samples like these rows.
///
/// It is the weighted mean chance of the class over all rows, of those that are called something else 0.
///
/// # Errors
/// Without rows.
pub(crate) fn cell(chances: &[f64], is_called: &[bool], weights: &[f64]) -> Result<(f64, Spread), Undefined> {
    let counts = ExpectedMasses::of(chances, is_called, weights)?;
    let spread = counts.value_spread(OF_CELL)?;
    Ok((counts.weights.true_positive / counts.weights.total(), spread))
}

/// Returns the matrix of a multiclass model, given the labeled rows of the reference, what is expected of the current rows, and those of
/// them that have labels; none for other models, for too many classes, and without rows.
pub(crate) fn confusion(
    config: &Config,
    classes: Vec<String>,
    reference: &Sample,
    expected: &Sample,
    labeled: &Sample,
) -> Option<Confusion> {
    if config.task != Task::Multiclass || classes.len() > MAX_CLASSES {
        return None;
    }
    let of = |sample: &Sample, class, called| sample.confusion_cell(class, called);
    let cell = |class: usize, called: usize| {
        // As for every metric, the error is that of the reference.
        let (usual, spread) = of(reference, class, called)?;
        Some(Cell {
            value: of(expected, class, called)?.0,
            error: spread.error(expected.mass().size()),
            reference: usual,
            realized: of(labeled, class, called).map(|it| it.0),
        })
    };
    let row = |class: usize| (0..classes.len()).map(|called| cell(class, called)).collect::<Option<Vec<_>>>();
    let cells = (0..classes.len()).map(row).collect::<Option<Vec<_>>>()?;
    Some(Confusion { classes, cells, n_rows: expected.n_rows(), n_labeled: labeled.n_rows() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_the_mean_chance_of_rows_that_are_called_so() {
        // Called so are the first two of four rows.
        let (share, spread) = cell(&[0.75, 0.25, 0.5, 1.0], &[true, true, false, false], &[1.0; 4]).unwrap();
        assert_eq!(share, 0.25);
        // √(0.25 · 0.75 / n)
        assert!((spread.error(300.0) - 0.025).abs() < 1e-15);
        assert!(cell(&[], &[], &[]).is_err());
    }
}
