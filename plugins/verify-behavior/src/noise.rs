//! Noise that is a function of a seed, a test and a row, so that neither batches nor threads show in it.

use std::f64::consts::TAU;

use modelwatch_stats::hash::mix;

/// Takes bytes into a hash (FNV-1a).
pub(crate) fn hash(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |it, &byte| (it ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Returns a standard normal number for each place of a row (Box & Muller 1958).
pub(crate) fn normal(key: u64, place: u64) -> f64 {
    let first = uniform(mix(key ^ mix(place.wrapping_mul(2))));
    let second = uniform(mix(key ^ mix(place.wrapping_mul(2) + 1)));
    (-2.0 * first.ln()).sqrt() * (TAU * second).cos()
}

/// A number in (0, 1].
fn uniform(it: u64) -> f64 {
    ((it >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_normal_and_its_rows_are_strangers() {
        let n = 20_000;
        let values: Vec<f64> = (0..n).map(|it| normal(hash(7, &[1, 2]), it)).collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        let variance = values.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / n as f64;
        let within = values.iter().filter(|it| it.abs() < 1.0).count() as f64 / n as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03 && (within - 0.6827).abs() < 0.01);
        let rows: Vec<f64> = (0..n).map(|it| normal(hash(7, &it.to_le_bytes()), 0)).collect();
        let mean = rows.iter().sum::<f64>() / n as f64;
        let product = rows.windows(2).map(|it| it[0] * it[1]).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.02 && product.abs() < 0.02, "{mean} {product}");
        assert_eq!(normal(3, 4).to_bits(), normal(3, 4).to_bits());
    }
}
