//! The distribution of the one-sample Kolmogorov–Smirnov statistic.
//!
//! Which formula serves which region follows Simard & L'Ecuyer (2011), "Computing the Two-Sided Kolmogorov-Smirnov Distribution".

use std::f64::consts::{FRAC_PI_2, PI};

use statrs::function::gamma::ln_gamma;

/// Returns `P(D_n >= x)` for the two-sided one-sample statistic of `n` rows.
///
/// The relative error is a few 1e-6 at most up to a million rows. Beyond that the tail is a series whose relative error grows as
/// n x⁴, which matters only for probabilities that are tiny anyway. Probabilities below about 1e-320 become 0.
///
/// ```
/// use modelwatch_stats::two_sample::kolmogorov_sf;
///
/// // For one row, D = max(U, 1 - U), so P(D >= 0.75) = 0.5.
/// assert!((kolmogorov_sf(1, 0.75) - 0.5).abs() < 1e-15);
/// ```
pub fn kolmogorov_sf(n: u64, x: f64) -> f64 {
    let rows = n as f64;
    let scaled = rows * x;
    let squared = scaled * x;
    if n == 0 || scaled <= 0.5 {
        return 1.0;
    }
    if x >= 1.0 || squared >= 370.0 {
        return 0.0;
    }
    if scaled <= 1.0 {
        // Ruben & Gambino (1982): n! (2x - 1/n)^n.
        return 1.0 - (ln_gamma(rows + 1.0) - rows * rows.ln() + rows * (2.0 * scaled - 1.0).ln()).exp();
    }
    // Twice the one-sided tail counts the paths that cross both lines twice; those are impossible for x >= 1/2 and rare in the tail.
    let is_tail = x >= 0.5 || squared > if n <= 140 { 4.0 } else { 2.2 };
    let res = if is_tail {
        2.0 * one_sided_sf(rows, x)
    } else if n <= 140 || (n <= 100_000 && rows * x.powf(1.5) <= 1.4) {
        1.0 - durbin_cdf(n, x)
    } else {
        1.0 - pelz_good_cdf(rows, x)
    };
    res.clamp(0.0, 1.0)
}

/// `P(D+ >= x)` by the sum of Birnbaum & Tingey (1951); by Maag & Dicaire (1971) beyond a million rows.
fn one_sided_sf(n: f64, x: f64) -> f64 {
    if n > 1e6 {
        let base = 6.0 * n * x + 1.0;
        return (-base * base / (18.0 * n)).exp();
    }
    let ln_factorial = ln_gamma(n + 1.0);
    let last = (n * (1.0 - x)).floor();
    let mut sum = 0.0;
    let mut j = 0.0;
    while j <= last {
        let rest = 1.0 - x - j / n;
        // At the end of the sum the last factor is 0 to a positive power; rounding may put it below.
        if rest > 0.0 {
            let ln_choose = ln_factorial - ln_gamma(j + 1.0) - ln_gamma(n - j + 1.0);
            sum += (ln_choose + (j - 1.0) * (x + j / n).ln() + (n - j) * rest.ln()).exp();
        }
        j += 1.0;
    }
    sum * x
}

/// `P(D_n < x)` as a power of a matrix (Durbin 1968; Marsaglia, Tsang & Wang 2003).
fn durbin_cdf(n: u64, x: f64) -> f64 {
    let scaled = n as f64 * x;
    let k = scaled.ceil();
    let h = k - scaled;
    let size = 2 * k as usize - 1;
    let mut base = vec![0.0; size * size];
    for row in 0..size {
        for column in 0..size.min(row + 2) {
            base[row * size + column] = 1.0;
        }
    }
    for idx in 0..size {
        base[idx * size] -= h.powi(idx as i32 + 1);
        base[(size - 1) * size + idx] -= h.powi((size - idx) as i32);
    }
    if 2.0 * h > 1.0 {
        base[(size - 1) * size] += (2.0 * h - 1.0).powi(size as i32);
    }
    for row in 0..size {
        let mut factorial = 1.0;
        for column in (0..=row).rev() {
            factorial *= (row - column + 1) as f64;
            base[row * size + column] /= factorial;
        }
    }
    let (power, mut exponent) = power(base, size, n);
    let center = k as usize - 1;
    let mut res = power[center * size + center];
    // Times n! / n^n, with the scale watched.
    for idx in 1..=n {
        res *= idx as f64 / n as f64;
        if res < 1e-140 {
            res *= 1e140;
            exponent -= 140;
        }
    }
    res * 10f64.powi(exponent)
}

/// `base^n` and the power of ten by which it must be multiplied.
fn power(mut base: Vec<f64>, size: usize, mut n: u64) -> (Vec<f64>, i32) {
    let mut res = vec![0.0; size * size];
    for idx in 0..size {
        res[idx * size + idx] = 1.0;
    }
    let (mut res_exponent, mut base_exponent) = (0, 0);
    let center = size / 2 * size + size / 2;
    let mut scratch = vec![0.0; size * size];
    loop {
        if n & 1 == 1 {
            multiply(&res, &base, &mut scratch, size);
            std::mem::swap(&mut res, &mut scratch);
            res_exponent += base_exponent;
            rescale(&mut res, &mut res_exponent, center);
        }
        n >>= 1;
        if n == 0 {
            return (res, res_exponent);
        }
        multiply(&base, &base, &mut scratch, size);
        std::mem::swap(&mut base, &mut scratch);
        base_exponent *= 2;
        rescale(&mut base, &mut base_exponent, center);
    }
}

fn rescale(matrix: &mut [f64], exponent: &mut i32, center: usize) {
    if matrix[center] > 1e140 {
        matrix.iter_mut().for_each(|it| *it *= 1e-140);
        *exponent += 140;
    }
}

fn multiply(left: &[f64], right: &[f64], out: &mut [f64], size: usize) {
    out.fill(0.0);
    for row in 0..size {
        let target = &mut out[row * size..(row + 1) * size];
        for (inner, source) in right.chunks_exact(size).enumerate() {
            let factor = left[row * size + inner];
            for (slot, value) in target.iter_mut().zip(source) {
                *slot += factor * value;
            }
        }
    }
}

/// `P(D_n < x)` by the asymptotic series of Pelz & Good (1976), as written in Simard & L'Ecuyer (2011), eq. 13.
fn pelz_good_cdf(n: f64, x: f64) -> f64 {
    let z = n.sqrt() * x;
    let (z2, z4, z6) = (z * z, z.powi(4), z.powi(6));
    let pi2 = PI * PI;
    let (mut k0, mut k1, mut k2, mut k3) = (0.0, 0.0, 0.0, 0.0);
    let (mut k2_tail, mut k3_tail) = (0.0, 0.0);
    for idx in 0..20 {
        let half = (f64::from(idx) + 0.5).powi(2) * pi2;
        let weight = (-half / (2.0 * z2)).exp();
        k0 += weight;
        k1 += (half - z2) * weight;
        k2 += (6.0 * z6 + 2.0 * z4 + half * (2.0 * z4 - 5.0 * z2) + half * half * (1.0 - 2.0 * z2)) * weight;
        k3 += (half.powi(3) * (5.0 - 30.0 * z2)
            + half * half * (212.0 * z4 - 60.0 * z2)
            + half * (135.0 * z4 - 96.0 * z6)
            - 30.0 * z6
            - 90.0 * z4 * z4)
            * weight;
        let whole = f64::from(idx * idx) * pi2;
        let weight = (-whole / (2.0 * z2)).exp();
        k2_tail += whole * weight;
        k3_tail += (3.0 * whole * z2 - whole * whole) * weight;
    }
    // The sums run over all integers; both halves are alike.
    let root = FRAC_PI_2.sqrt();
    let k0 = (2.0 * PI).sqrt() / z * k0;
    let k1 = 2.0 * root / (6.0 * z4) * k1;
    let k2 = 2.0 * root / (72.0 * z.powi(7)) * k2 - 2.0 * root / (36.0 * z2 * z) * k2_tail;
    let k3 = 2.0 * root / (6480.0 * z.powi(10)) * k3 + 2.0 * root / (216.0 * z6) * k3_tail;
    k0 + k1 / n.sqrt() + k2 / n + k3 / (n * n.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_agree_where_their_regions_meet() {
        for n in [141u64, 500, 2000] {
            for z in [0.5, 0.7, 0.9, 1.1, 1.3] {
                let x = z / (n as f64).sqrt();
                let (exact, series) = (durbin_cdf(n, x), pelz_good_cdf(n as f64, x));
                assert!((exact - series).abs() < 5e-6 * (141.0 / n as f64).powi(2) + 1e-8, "{n} {z}: {exact} {series}");
            }
            let x = (2.2 / n as f64).sqrt();
            let (exact, tail) = (1.0 - durbin_cdf(n, x), 2.0 * one_sided_sf(n as f64, x));
            assert!((exact / tail - 1.0).abs() < 2e-6, "{n}: {exact} {tail}");
        }
        let (sum, series) = (one_sided_sf(1e6, 0.003), one_sided_sf(1e6 + 1.0, 0.003));
        assert!((sum / series - 1.0).abs() < 1e-3, "{sum} {series}");
    }

    #[test]
    fn published_value_is_reproduced() {
        // Marsaglia, Tsang & Wang (2003): P(D_10 < 0.274) = 0.6284796154565...
        assert!((1.0 - kolmogorov_sf(10, 0.274) - 0.628_479_615_456_5).abs() < 1e-12);
    }

    #[test]
    fn the_ends_are_zero_and_one() {
        assert_eq!(kolmogorov_sf(0, 0.5), 1.0);
        assert_eq!(kolmogorov_sf(100, 0.0), 1.0);
        assert_eq!(kolmogorov_sf(100, 1.0), 0.0);
        assert!(kolmogorov_sf(100, 0.0051) > 1.0 - 1e-12);
    }
}
