//! Since when values have been as they are.

/// Returns where the second part of the values starts, if they are cut into two with the most different means; `None` with fewer than two
/// values.
///
/// The cut is that of least squares, `argmax n S² / (k (n - k))` with the sum `S` of the deviations of the first `k` values from the mean of
/// all: for normal values with one shift of the mean, the most likely place of it (Hinkley 1970). A detector reports a change some time
/// after it; this says when it began. Of equal cuts it is the first. The values are finite.
///
/// ```
/// use modelwatch_stats::online::onset;
///
/// assert_eq!(onset(&[0.1, -0.1, 0.0, 2.0, 1.9, 2.1]), Some(3));
/// assert_eq!(onset(&[1.0]), None);
/// ```
pub fn onset(values: &[f64]) -> Option<usize> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let mut sum = 0.0;
    let mut best = None;
    for (before, value) in (1..values.len()).zip(values) {
        sum += value - mean;
        let k = before as f64;
        let distance = sum * sum / (k * (n - k));
        if best.is_none_or(|(greatest, _)| distance > greatest) {
            best = Some((distance, before));
        }
    }
    best.map(|it| it.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_all_alike_are_cut_at_the_first_place() {
        assert_eq!(onset(&[]), None);
        assert_eq!(onset(&[0.3; 5]), Some(1));
        assert_eq!(onset(&[1.0, 0.0]), Some(1));
    }
}
