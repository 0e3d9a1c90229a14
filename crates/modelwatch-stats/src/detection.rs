//! Detected boxes against the objects that are there, as the COCO challenge counts them.
//!
//! Crowds, areas and difficult objects are not here: every object counts.

/// The thresholds of the intersection over union: 0.50, 0.55, …, 0.95.
pub const THRESHOLDS: [f64; 10] = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95];

/// A box by its corners.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The left edge.
    pub x1: f64,
    /// The upper edge.
    pub y1: f64,
    /// The right edge.
    pub x2: f64,
    /// The lower edge.
    pub y2: f64,
}

/// A detection: where, and how sure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// The box.
    pub bounds: Bounds,
    /// The score by which detections are ranked.
    pub score: f64,
}

impl Bounds {
    /// Returns the intersection over union with another box, 0 where neither has an area.
    ///
    /// ```
    /// use modelwatch_stats::detection::Bounds;
    ///
    /// let left = Bounds { x1: 0.0, y1: 0.0, x2: 2.0, y2: 2.0 };
    /// let right = Bounds { x1: 1.0, y1: 0.0, x2: 3.0, y2: 2.0 };
    /// assert_eq!(left.iou(right), 2.0 / 6.0);
    /// ```
    pub fn iou(self, other: Self) -> f64 {
        let overlap = |low: f64, high: f64| (high - low).max(0.0);
        let shared = overlap(self.x1.max(other.x1), self.x2.min(other.x2))
            * overlap(self.y1.max(other.y1), self.y2.min(other.y2));
        let area = |it: Self| overlap(it.x1, it.x2) * overlap(it.y1, it.y2);
        let all = area(self) + area(other) - shared;
        if all > 0.0 { shared / all } else { 0.0 }
    }
}

/// Returns, for each detection of one class in one image, a bit per threshold: whether it finds an object.
///
/// In the order of their scores, each takes the object with the greatest overlap that no detection before it took, if the
/// overlap reaches the threshold (Lin et al. 2014, the reference code of COCO). Detections must come in that order.
///
/// ```
/// use modelwatch_stats::detection::{Bounds, Detection, matches};
///
/// let bounds = |x1: f64, x2: f64| Bounds { x1, y1: 0.0, x2, y2: 1.0 };
/// let detections = [(0.0, 10.0, 0.9), (1.0, 10.0, 0.8)].map(|(x1, x2, score)| Detection { bounds: bounds(x1, x2), score });
/// // The first finds the object at every threshold, so that nothing is left for the second.
/// assert_eq!(matches(&[bounds(0.0, 10.0)], &detections), [0b11_1111_1111, 0]);
/// ```
pub fn matches(objects: &[Bounds], detections: &[Detection]) -> Vec<u16> {
    let mut res = vec![0; detections.len()];
    for (nth, threshold) in THRESHOLDS.iter().enumerate() {
        let mut is_taken = vec![false; objects.len()];
        for (detection, found) in detections.iter().zip(&mut res) {
            let mut best = None;
            // The reference code lets rounding fall to the detection's side.
            let mut reached = threshold - 1e-10;
            for (idx, object) in objects.iter().enumerate().filter(|it| !is_taken[it.0]) {
                let overlap = detection.bounds.iou(*object);
                if overlap >= reached {
                    (best, reached) = (Some(idx), overlap);
                }
            }
            if let Some(idx) = best {
                is_taken[idx] = true;
                *found |= 1 << nth;
            }
        }
    }
    res
}

/// Returns average precision and greatest recall of one class at one threshold, from the weight of detections that found
/// an object and of those that did not at each distinct score, the highest first, and the weight of all objects.
///
/// The precision is made to fall with the recall, read off at the recalls 0, 0.01, …, 1, and averaged; 0 where no score reaches
/// a recall. NaN without objects. Detections of one score count together, so that their order does not matter.
///
/// ```
/// use modelwatch_stats::detection::average_precision;
///
/// // A hit, a miss, a hit, of two objects: precision 1 up to a recall of ½ (51 of 101 points), then ⅔.
/// let (precision, recall) = average_precision(&[(1.0, 0.0), (0.0, 1.0), (1.0, 0.0)], 2.0);
/// assert!((precision - (51.0 + 50.0 * 2.0 / 3.0) / 101.0).abs() < 1e-12 && recall == 1.0);
/// ```
pub fn average_precision(groups: &[(f64, f64)], n_objects: f64) -> (f64, f64) {
    if n_objects <= 0.0 {
        return (f64::NAN, f64::NAN);
    }
    let (mut hits, mut alarms) = (0.0, 0.0);
    let mut points: Vec<(f64, f64)> = Vec::with_capacity(groups.len());
    for &(hit, alarm) in groups {
        hits += hit;
        alarms += alarm;
        if hits + alarms > 0.0 {
            points.push((hits / n_objects, hits / (hits + alarms)));
        }
    }
    for idx in (1..points.len()).rev() {
        points[idx - 1].1 = points[idx - 1].1.max(points[idx].1);
    }
    let mut sum = 0.0;
    let mut rest = &points[..];
    for step in 0..=100 {
        // As NumPy's linspace makes them, because a recall may fall on one.
        let recall = f64::from(step) * 0.01;
        while rest.first().is_some_and(|it| it.0 < recall) {
            rest = &rest[1..];
        }
        sum += rest.first().map_or(0.0, |it| it.1);
    }
    (sum / 101.0, points.last().map_or(0.0, |it| it.0.min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_area_and_no_objects() {
        let point = Bounds { x1: 1.0, y1: 1.0, x2: 1.0, y2: 1.0 };
        assert_eq!(point.iou(point), 0.0);
        let inverted = Bounds { x1: 2.0, y1: 0.0, x2: 0.0, y2: 2.0 };
        assert_eq!(inverted.iou(Bounds { x1: 0.0, y1: 0.0, x2: 2.0, y2: 2.0 }), 0.0);
        assert!(average_precision(&[(0.0, 1.0)], 0.0).0.is_nan());
        assert_eq!(average_precision(&[], 3.0), (0.0, 0.0));
        assert!(matches(&[], &[]).is_empty());
    }

    #[test]
    fn the_better_object_is_taken() {
        let bounds = |x1: f64, x2: f64| Bounds { x1, y1: 0.0, x2, y2: 1.0 };
        let detections = [Detection { bounds: bounds(0.0, 10.0), score: 0.9 }];
        // Overlaps of 0.6 and 0.9: the second object is found at all thresholds up to 0.9.
        assert_eq!(matches(&[bounds(0.0, 6.0), bounds(0.0, 9.0)], &detections), [0b1_1111_1111]);
        let both = [detections[0], Detection { bounds: bounds(0.0, 10.0), score: 0.8 }];
        assert_eq!(matches(&[bounds(0.0, 6.0), bounds(0.0, 9.0)], &both), [0b1_1111_1111, 0b111]);
    }
}
