//! Upper tails of the distributions that several tests share.

use std::f64::consts::{PI, SQRT_2};

use statrs::function::{beta::beta_reg, erf::erfc, gamma::gamma_ur};

/// Returns `P(Z > z)` for a standard normal Z.
pub(crate) fn normal_sf(z: f64) -> f64 {
    erfc(z / SQRT_2) / 2.0
}

/// Returns `P(|T| > |t|)` for Student's t.
pub(crate) fn student_two_sided(t: f64, degrees_of_freedom: f64) -> f64 {
    if t.is_infinite() {
        return 0.0;
    }
    beta_reg(degrees_of_freedom / 2.0, 0.5, degrees_of_freedom / (degrees_of_freedom + t * t)).clamp(0.0, 1.0)
}

/// Returns `P(X > x)` for χ².
pub(crate) fn chi_squared_sf(statistic: f64, degrees_of_freedom: f64) -> f64 {
    if statistic <= 0.0 { 1.0 } else { gamma_ur(degrees_of_freedom / 2.0, statistic / 2.0).clamp(0.0, 1.0) }
}

/// Returns `P(W² > x)` for the limit of the Cramér–von Mises statistic, `Σ Z² / (π j)²`.
pub(crate) fn cramer_von_mises_sf(x: f64) -> f64 {
    let pole = |j: f64| (PI * j).powi(2);
    let product = |y: f64| y.sqrt().sin() / y.sqrt();
    if x < 0.012 { 1.0 } else { weighted_chi_squared_sf(x, pole, product) }
}

/// Returns `P(A² > x)` for the limit of the Anderson–Darling statistic, `Σ Z² / (j (j + 1))`.
pub(crate) fn anderson_darling_sf(x: f64) -> f64 {
    let pole = |j: f64| j * (j + 1.0);
    let product = |y: f64| -(PI / 2.0 * (1.0 + 4.0 * y).sqrt()).cos() / (PI * y);
    if x < 0.09 { 1.0 } else { weighted_chi_squared_sf(x, pole, product) }
}

/// `P(Σ Z_j² / a_j > x)` by Smirnov's formula (1937): with `D(y) = Π (1 - y / a_j)`, the alternating sum of
/// `1/π ∫ e^(-xy/2) / (y √|D(y)|) dy` over `(a_1, a_2)`, `(a_3, a_4)`, ….
///
/// All digits are right however small the result is, unlike those of one minus the distribution function.
fn weighted_chi_squared_sf(x: f64, pole: impl Fn(f64) -> f64, product: impl Fn(f64) -> f64) -> f64 {
    let (mut res, mut k) = (0.0, 0.0);
    loop {
        let (low, high) = (pole(2.0 * k + 1.0), pole(2.0 * k + 2.0));
        let (middle, half) = ((low + high) / 2.0, (high - low) / 2.0);
        // Chebyshev's nodes take the inverse square roots at both ends into their weight. What is left is analytic, and as
        // narrow as x is large.
        let n_nodes = 48.0 + (9.0 * x * half).sqrt().ceil();
        let (mut sum, mut node) = (0.0, 0.5);
        while node < n_nodes {
            let angle = node / n_nodes * PI;
            let y = middle - half * angle.cos();
            let weight = half * angle.sin();
            sum += (-x * (y - low) / 2.0).exp() / (y * product(y).abs().sqrt()) * weight;
            node += 1.0;
        }
        let term = sum / n_nodes * (-x * low / 2.0).exp();
        res += if k % 2.0 == 0.0 { term } else { -term };
        k += 1.0;
        if term <= res.abs() * 1e-17 || k > 60.0 {
            return res.clamp(0.0, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_published_tables() {
        // Anderson & Darling (1952), tables 1 and 2: upper percentage points.
        for (x, p) in [(0.34730, 0.10), (0.46136, 0.05), (0.74346, 0.01), (1.16786, 0.001)] {
            assert!((cramer_von_mises_sf(x) / p - 1.0).abs() < 2e-4, "{x}: {}", cramer_von_mises_sf(x));
        }
        for (x, p) in [(1.933, 0.10), (2.492, 0.05), (3.878, 0.01)] {
            assert!((anderson_darling_sf(x) / p - 1.0).abs() < 2e-3, "{x}: {}", anderson_darling_sf(x));
        }
        // SciPy's series for the middle, which is exact there.
        for (x, cdf) in [(0.02, 0.003000614301601878), (0.0248, 0.010004321124811337), (0.1, 0.4151265615932029)] {
            assert!((1.0 - cramer_von_mises_sf(x) - cdf).abs() < 1e-12, "{x}");
        }
        assert!(anderson_darling_sf(0.1) > 0.9999);
        let far = cramer_von_mises_sf(23.0);
        assert!(far < 1e-48 && far > 1e-52, "{far}");
        assert!((normal_sf(1.959_963_984_540_054) / 0.025 - 1.0).abs() < 1e-10);
        assert!((student_two_sided(1.0, 1.0) - 0.5).abs() < 1e-14);
    }
}
