//! Sums over pairs of rows, for all dealings in one pass.

use crate::error::Undefined;

use super::pool::Dealings;
use super::rows::{Rows, squared_distance};

/// How many rows share one reading of the dealings.
const BLOCK: usize = 4;

/// Sums of a function of pairs in one dealing, each pair once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PairSums {
    /// Over pairs of the reference.
    pub(super) reference: f64,
    /// Over pairs of the current sample.
    pub(super) current: f64,
    /// Over pairs of one row each.
    pub(super) across: f64,
}

/// Returns the sums of a function of the squared distance in each dealing.
///
/// No matrix of distances is kept: memory is that of the dealings. Time is that of `rows² · dealings / 2` multiplications.
pub(super) fn pair_sums(
    rows: Rows<'_>,
    dealings: &Dealings<'_>,
    of: impl Fn(f64) -> f64,
) -> Result<Vec<PairSums>, Undefined> {
    let mut res = vec![PairSums::default(); dealings.len()];
    let mut sums: [Vec<f64>; BLOCK] = std::array::from_fn(|_| vec![0.0; dealings.len()]);
    for start in (0..rows.len()).step_by(BLOCK) {
        dealings.go_on()?;
        let block = start..(start + BLOCK).min(rows.len());
        sums.iter_mut().for_each(|it| it.fill(0.0));
        let mut totals = [0.0; BLOCK];
        for other in start + 1..rows.len() {
            let mut values = [0.0; BLOCK];
            for (value, row) in values.iter_mut().zip(block.clone()).filter(|it| it.1 < other) {
                *value = of(squared_distance(rows.row(row), rows.row(other)));
            }
            totals.iter_mut().zip(values).for_each(|(total, it)| *total += it);
            add(&mut sums, values, dealings.of_row(other));
        }
        for ((row, sums), total) in block.zip(&sums).zip(totals) {
            for ((res, sum), is_current) in res.iter_mut().zip(sums).zip(dealings.of_row(row)) {
                let (same, other) = if *is_current > 0.0 { (*sum, total - sum) } else { (total - sum, *sum) };
                let within = if *is_current > 0.0 { &mut res.current } else { &mut res.reference };
                *within += same;
                res.across += other;
            }
        }
    }
    Ok(res)
}

/// Adds the values of a block to the sums over the current sample, dealing by dealing.
fn add(sums: &mut [Vec<f64>; BLOCK], values: [f64; BLOCK], labels: &[f64]) {
    let [a, b, c, d] = sums;
    let sums = a.iter_mut().zip(b).zip(c).zip(d);
    for ((((a, b), c), d), label) in sums.zip(labels) {
        *a += values[0] * label;
        *b += values[1] * label;
        *c += values[2] * label;
        *d += values[3] * label;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multivariate::Strata;

    #[test]
    fn sums_are_those_of_the_pairs() {
        for n in [2_usize, 3, 5, 9, 12] {
            let values: Vec<f64> = (0..n).map(|it| (it * it % 7) as f64).collect();
            let labels: Vec<bool> = (0..n).map(|it| it % 2 == 0).collect();
            let dealings = Dealings::new(&labels, Strata::One, 6, 11).unwrap();
            let sums = pair_sums(Rows::new(&values, 1).unwrap(), &dealings, f64::sqrt).unwrap();
            for (dealing, found) in sums.iter().enumerate() {
                let labels: Vec<bool> = dealings.dealing(dealing).map(|it| it > 0.0).collect();
                let mut expected = PairSums::default();
                for i in 0..n {
                    for j in 0..i {
                        let to = match (labels[i], labels[j]) {
                            (false, false) => &mut expected.reference,
                            (true, true) => &mut expected.current,
                            _ => &mut expected.across,
                        };
                        *to += (values[i] - values[j]).abs();
                    }
                }
                let off = (found.reference - expected.reference).abs()
                    + (found.current - expected.current).abs()
                    + (found.across - expected.across).abs();
                assert!(off < 1e-9, "{n} {dealing}: {found:?} {expected:?}");
            }
        }
    }
}
