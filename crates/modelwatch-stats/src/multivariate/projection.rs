//! Fewer numbers instead of many, with distances kept (Johnson & Lindenstrauss 1984).

use crate::hash::mix;

/// A random projection with entries `±1 / √dimensions` (Achlioptas 2003), made from a seed and never stored.
///
/// The squared distance of two projected rows is that of the rows on average, with a relative standard deviation of at most
/// `√(2 / dimensions)`. So a difference between samples stays, whatever the numbers mean.
#[derive(Clone, Copy, Debug)]
pub struct Projection {
    dimensions: usize,
    seed: u64,
}

impl Projection {
    /// Returns the projection onto so many dimensions, at least one.
    pub fn new(dimensions: usize, seed: u64) -> Self {
        Self { dimensions: dimensions.max(1), seed: mix(seed) }
    }

    /// Returns the projected row. A NaN in the row is one in every dimension.
    ///
    /// ```
    /// use modelwatch_stats::multivariate::Projection;
    ///
    /// let projection = Projection::new(4, 7);
    /// // One number becomes ± half of itself.
    /// assert!(projection.apply(&[3.0]).iter().all(|it| it.abs() == 1.5));
    /// assert_eq!(projection.apply(&[1.0, 2.0]), projection.apply(&[1.0, 2.0]));
    /// ```
    pub fn apply(&self, row: &[f64]) -> Vec<f64> {
        let mut res = vec![0.0; self.dimensions];
        for (idx, value) in row.iter().enumerate() {
            // One hash has the signs of 64 dimensions.
            for (part, sums) in res.chunks_mut(64).enumerate() {
                let signs = mix(self.seed ^ mix((idx as u64) << 20 | part as u64));
                for (bit, sum) in sums.iter_mut().enumerate() {
                    *sum += if signs >> bit & 1 == 0 { *value } else { -*value };
                }
            }
        }
        let scale = 1.0 / (self.dimensions as f64).sqrt();
        res.iter_mut().for_each(|it| *it *= scale);
        res
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_kept_on_average() {
        let rows: Vec<Vec<f64>> =
            (0..20_u64).map(|row| (0..500).map(|it| (mix(row * 1000 + it) >> 40) as f64 / 1e7).collect()).collect();
        let projection = Projection::new(100, 3);
        let length = |it: &[f64]| it.iter().map(|it| it * it).sum::<f64>();
        let ratio = |it: &Vec<f64>| length(&projection.apply(it)) / length(it);
        let ratios: Vec<f64> = rows.iter().map(ratio).collect();
        let mean = ratios.iter().sum::<f64>() / 20.0;
        // Of one projection the ratios are alike where the rows are; the standard deviation is √(2 / 100).
        assert!(ratios.iter().all(|it| (it - 1.0).abs() < 0.6), "{ratios:?}");
        assert!((mean - 1.0).abs() < 0.4, "{mean}");
    }
}
