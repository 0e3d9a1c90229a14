//! The comparison of numbers.

use modelwatch_profile::{Numeric, Paired};
use modelwatch_stats::{
    Point, Undefined,
    peers::Numbers,
    two_sample::{Levels, LogBase, Values, ZeroFill, jensen_shannon, psi, standard_deviation, wasserstein_of},
};

use crate::{
    bins::{Cells, cells, count_of, histogram, total, whole},
    comparison::{Bounds, Constant, Detail, Histogram, Part, PartName},
    config::Config,
    cumulative::{Cumulative, cumulative},
    method::Method,
    scores::{LEAST_SHARE, NumberPair, PeerScore, peer_score_of_numbers, score_numbers},
    weights::{Counted, Footing, check_size, paired_numbers, unweighted},
};

/// What takes the place of an empty bin's share in the population stability index.
pub(crate) const ZERO_FILL: ZeroFill = ZeroFill::Floor(LEAST_SHARE);

/// Sums of floats that should be equal differ by less than this share of their size.
const NOISE: f64 = 1e-6;

/// Where numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// They are in the data.
    Data,
    /// They were computed here, so that they carry rounding errors.
    Computed,
}

/// Returns the comparison of numbers, of which both samples have some.
///
/// # Errors
/// Why the samples cannot be compared.
pub(crate) fn compare_numbers(
    config: &Config,
    method: Method,
    part: (Option<PartName>, Origin),
    reference: Counted<'_, Numeric>,
    current: Counted<'_, Numeric>,
) -> Result<Part, String> {
    let (name, origin) = part;
    let Footing { alike, weighted } = paired_numbers(reference, current);
    check_size(config, [total(&alike.reference), total(&alike.current)])?;
    let samples = |paired: Paired| {
        Samples::of(match origin {
            Origin::Data => paired,
            Origin::Computed => without_noise(paired, reference.masses(), current.masses()),
        })
    };
    let tested = samples(alike).map_err(|e| e.to_string())?;
    let weighted = weighted.map(samples).transpose().map_err(|e| e.to_string())?;
    let no_answer = |e: Undefined| format!("`{}` has no answer: {}", method.name(), e.reason);
    let mut score = score_numbers(method, &config.min_effect, &tested.pair()).map_err(no_answer)?;
    if let Some(it) = &weighted {
        let described = score.describe_numbers(method, &config.min_effect, &it.pair(), &tested.pair());
        described.map_err(no_answer)?;
    }
    let shown = weighted.as_ref().unwrap_or(&tested);
    let Paired { reference: left, current: right, is_rounded, .. } = &shown.paired;
    let shares = shown.cells.shares();
    let (p, q): (Vec<f64>, Vec<f64>) = shares.iter().map(|it| (it.reference, it.current)).unzip();
    let wasserstein = wasserstein_of(&shown.levels).unwrap_or(f64::NAN);
    let deviation = standard_deviation(left).unwrap_or(f64::NAN);
    let peer = peer(config, method, reference, current)?;
    // Nothing else can be drifted, whatever the other columns are, and only what is drifted has a picture.
    let may_be_drawn = peer.map_or(score.p_value <= config.alpha(), PeerScore::is_drift);
    Ok(Part {
        name,
        method,
        peer,
        bounds: Bounds::default(),
        psi: psi(&p, &q, ZERO_FILL).unwrap_or(f64::NAN),
        jensen_shannon: jensen_shannon(&p, &q, LogBase::Two).unwrap_or(f64::NAN),
        cells: shares,
        constant: constant(&shown.paired, &tested.paired, reference.masses(), current.masses()),
        has_one_value: left.len() == 1 && right.len() == 1 && left[0].0 == right[0].0,
        score,
        detail: Detail::Numeric {
            wasserstein,
            wasserstein_normed: if wasserstein == 0.0 { 0.0 } else { wasserstein / deviation },
            is_rounded: *is_rounded,
            histogram: if may_be_drawn { histogram(left, right) } else { Histogram::default() },
            cumulative: if may_be_drawn { cumulative(left, right) } else { Cumulative::default() },
        },
    })
}

fn peer(
    config: &Config,
    method: Method,
    reference: Counted<'_, Numeric>,
    current: Counted<'_, Numeric>,
) -> Result<Option<PeerScore>, String> {
    if method.rule().is_none() {
        return Ok(None);
    }
    let (reference, current) = unweighted(method, reference, current)?;
    let (Some(left), Some(right)) = (reference.all_points(), current.all_points()) else {
        return Err(needs_every_value(config, method, reference, current));
    };
    let is_whole = reference.is_whole() && current.is_whole();
    let values = if is_whole { Values::Whole } else { Values::Real };
    let numbers = Numbers { reference: &left, current: &right, values };
    let score = peer_score_of_numbers(method, numbers, reference.n_nan().saturating_add(current.n_nan()))?;
    Ok(score.map(|it| it.with_threshold(config, method)))
}

/// What to do about a method for which too little is kept.
fn needs_every_value(config: &Config, method: Method, reference: &Numeric, current: &Numeric) -> String {
    let name = method.name();
    if reference.all_points().is_none() && reference.budget() < config.budget {
        let kept = reference.budget();
        return format!(
            "`{name}` needs every value, and the stored profile of the reference keeps {kept} different ones of a column: make the profile with a greater `--budget`, or give the reference's rows"
        );
    }
    let n = reference.n_finite().max(current.n_finite());
    format!("`{name}` needs every value: raise `budget` from {} to at least {n}", config.budget)
}

/// Two numeric samples, in cells and merged.
struct Samples {
    paired: Paired,
    cells: Cells,
    levels: Levels,
}

impl Samples {
    fn of(paired: Paired) -> Result<Self, Undefined> {
        let cells = cells(&paired.reference, &paired.current, paired.offset)?;
        let levels = Levels::new(&paired.reference, &paired.current)?;
        Ok(Self { paired, cells, levels })
    }

    fn pair(&self) -> NumberPair<'_> {
        let Self { paired, cells, levels } = self;
        let cells = (cells.reference.as_slice(), cells.current.as_slice());
        NumberPair { reference: &paired.reference, current: &paired.current, levels, cells }
    }
}

/// Given the values of both, and of how many rows that count alike these are.
fn constant(paired: &Paired, alike: &Paired, reference: &Numeric, current: &Numeric) -> Option<Constant> {
    let value_of = |it: &Numeric, points: &[Point]| {
        let is_constant = points.len() == 1 && it.range().is_some_and(|(min, max)| min == max || paired.is_exact);
        is_constant.then(|| points[0].0)
    };
    let (left, right) = (value_of(reference, &paired.reference), value_of(current, &paired.current));
    let (is_current, value, own, other) = match (left, right) {
        (Some(it), None) => (false, it, &alike.reference, &paired.current),
        (None, Some(it)) => (true, it, &alike.current, &paired.reference),
        _ => return None,
    };
    let share = count_of(other, value) as f64 / total(other) as f64;
    let shown = if is_current { current.range() } else { reference.range() };
    let in_full = whole(value, paired.offset);
    Some(Constant {
        is_current,
        value: in_full.unwrap_or_else(|| shown.map_or(value, |it| it.0).to_string()),
        chance: share.powf(total(own) as f64),
    })
}

/// Makes one value of values that differ by rounding alone.
fn without_noise(paired: Paired, reference: &Numeric, current: &Numeric) -> Paired {
    let (Some(left), Some(right)) = (reference.range(), current.range()) else { return paired };
    let (min, max) = (left.0.min(right.0), left.1.max(right.1));
    if max - min > NOISE * min.abs().max(max.abs()) {
        return paired;
    }
    let one = |points: &[Point]| vec![(min, total(points))];
    Paired { reference: one(&paired.reference), current: one(&paired.current), is_exact: true, ..paired }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_noise_of_computed_numbers_is_no_difference() {
        let of = |offset: f64| {
            let mut res = Numeric::new(1000);
            (0..200).for_each(|it| res.push(0.1 + offset + f64::from(it) * 1e-12));
            res
        };
        let p_value = |origin| {
            let (left, right) = (of(0.0), of(1e-9));
            let [left, right] = [&left, &right].map(|rows| Counted { rows, weighted: None });
            let part = compare_numbers(&Config::default(), Method::Auto, (None, origin), left, right);
            part.unwrap().score.p_value
        };
        assert_eq!(p_value(Origin::Computed), 1.0);
        assert!(p_value(Origin::Data) < 1e-9);
    }

    #[test]
    fn curves_are_computed_of_what_may_be_drifted() {
        let of = |offset: f64| {
            let mut res = Numeric::new(1000);
            (0..200).for_each(|it| res.push(offset + f64::from(it)));
            res
        };
        let is_computed = |offset: f64| {
            let (left, right) = (of(0.0), of(offset));
            let [left, right] = [&left, &right].map(|rows| Counted { rows, weighted: None });
            let part = compare_numbers(&Config::default(), Method::Auto, (None, Origin::Data), left, right).unwrap();
            let Detail::Numeric { histogram, cumulative, .. } = part.detail else { panic!("they are numbers") };
            (histogram != Histogram::default(), cumulative != Cumulative::default())
        };
        assert_eq!((is_computed(100.0), is_computed(1.0)), ((true, true), (false, false)));
    }
}
