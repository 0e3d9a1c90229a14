//! What inference may cost beside ONNX Runtime.

/// The most that the geometric mean of all ratios of processor time may be.
pub(crate) const MEAN: f64 = 1.0;
/// The most that the ratio of one case may be.
pub(crate) const EACH: f64 = 2.0;

/// A case that both sides ran.
pub(crate) struct Measured {
    /// The model, its rows and its threads.
    pub(crate) case: String,
    /// Processor time over the peer's.
    pub(crate) ratio: f64,
    /// The most memory, and the peer's.
    pub(crate) peaks: [f64; 2],
}

/// Returns the geometric mean of the ratios.
pub(crate) fn mean(cases: &[Measured]) -> f64 {
    (cases.iter().map(|it| it.ratio.ln()).sum::<f64>() / cases.len() as f64).exp()
}

/// Returns which bounds are missed; the mean has one only where `are_all` cases were measured.
pub(crate) fn missed(cases: &[Measured], are_all: bool) -> Vec<String> {
    let mut res = Vec::new();
    // What is no number is within no bound.
    if are_all && !cases.is_empty() && !within(mean(cases), MEAN) {
        res.push(format!("the geometric mean of the ratios is {:.3}, more than {MEAN}", mean(cases)));
    }
    for Measured { case, ratio, peaks: [own, peer] } in cases {
        if !within(*ratio, EACH) {
            res.push(format!("{case}: the ratio is {ratio:.2}, more than {EACH}"));
        }
        if !within(*own, *peer) {
            res.push(format!("{case}: {own:.0} kB of memory at most, more than the {peer:.0} of ONNX Runtime"));
        }
    }
    res
}

fn within(it: f64, bound: f64) -> bool {
    it <= bound
}
