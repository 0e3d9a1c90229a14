//! Several sums of products side by side, as the processor computes them.

/// How many sums are computed together.
pub(super) const LANES: usize = 8;

/// One number of each.
pub(super) type Lanes = [f64; LANES];

/// How many lines of a matrix are read together: with as many sums of each as there are lanes, they fit the registers.
const LINES: usize = 2;

/// A matrix by pairs of lines, the last one filled up with 0.
#[derive(Clone, Debug)]
pub(super) struct Panels {
    values: Vec<[f64; LINES]>,
    n_lines: usize,
    length: usize,
}

impl Panels {
    /// Returns the matrix of so many lines of a length, neither of which is 0.
    pub(super) fn new(n_lines: usize, length: usize, value: impl Fn(usize, usize) -> f64) -> Self {
        let at = |line: usize, place: usize| if line < n_lines { value(line, place) } else { 0.0 };
        let panel = |first: usize| (0..length).map(move |place| [at(first, place), at(first + 1, place)]);
        Self { values: (0..n_lines).step_by(LINES).flat_map(panel).collect(), n_lines, length }
    }

    /// Gives `each` of every line the sum of `start` and its products with the factors, added in the order of the line.
    pub(super) fn sums(&self, factors: &[Lanes], start: impl Fn(usize) -> Lanes, mut each: impl FnMut(usize, Lanes)) {
        for (panel, values) in self.values.chunks_exact(self.length).enumerate() {
            let first = panel * LINES;
            let second = (first + 1).min(self.n_lines - 1);
            let [left, right] = products(values, factors, [start(first), start(second)]);
            each(first, left);
            if second > first {
                each(second, right);
            }
        }
    }
}

fn products(values: &[[f64; LINES]], factors: &[Lanes], [mut left, mut right]: [Lanes; LINES]) -> [Lanes; LINES] {
    for (value, factor) in values.iter().zip(factors) {
        for it in 0..LANES {
            left[it] += factor[it] * value[0];
            right[it] += factor[it] * value[1];
        }
    }
    [left, right]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_summed_once_and_in_order() {
        let value = |line: usize, place: usize| 0.1 * (line * 7 + place * place) as f64;
        for (n_lines, length) in [(1, 1), (2, 3), (5, 4)] {
            let factors: Vec<Lanes> =
                (0..length).map(|it| std::array::from_fn(|lane| 0.3 * (it + lane) as f64)).collect();
            let mut found = Vec::new();
            Panels::new(n_lines, length, value).sums(
                &factors,
                |it| [it as f64; LANES],
                |it, sums| found.push((it, sums)),
            );
            assert_eq!(found.len(), n_lines);
            for (line, (at, sums)) in found.into_iter().enumerate() {
                assert_eq!(at, line);
                for (lane, sum) in sums.into_iter().enumerate() {
                    let expected = (0..length).fold(line as f64, |sum, it| sum + factors[it][lane] * value(line, it));
                    assert_eq!(sum.to_bits(), expected.to_bits());
                }
            }
        }
    }
}
