//! Whether one tensor changed far more than the others: W006.

use modelwatch_sdk::report::Severity;

use super::{Found, finding, json, short};
use crate::{
    config::Config,
    model::{Model, Tensor},
};

/// The fewest changed tensors of a kind among which one can stand out.
const MIN_TENSORS: usize = 4;

/// The least scale of log relative change: tensors that all changed alike differ by a factor of 1.4.
const MIN_SCALE: f64 = 0.35;

/// Makes the median absolute deviation of a normal sample its standard deviation: 1 / Φ⁻¹(3/4).
const MAD_TO_STD: f64 = 1.482_602_218_505_602;

pub(super) fn check(config: &Config, model: &Model<'_>, found: &mut Found) {
    if !lone_layer(config, model, found) {
        for is_matrix in [true, false] {
            standing_out(config, model, is_matrix, found);
        }
    }
}

/// Reports a layer that alone changed, and much; returns whether only one layer changed.
fn lone_layer(config: &Config, model: &Model<'_>, found: &mut Found) -> bool {
    let compared = || model.floats().filter(|it| it.change.is_some());
    let mut changed = compared().filter(|it| it.change.is_some_and(|it| it.changed > 0));
    let Some(first) = changed.next() else {
        return false;
    };
    let is_one = |it: &Tensor<'_>| {
        if first.layer.is_empty() { it.name == first.name } else { it.layer == first.layer }
    };
    let others = compared().filter(|it| !is_one(it)).count();
    if !changed.all(is_one) || others < 2 {
        return false;
    }
    let worst = compared().filter(|it| is_one(it) && !found.is_explained(it.name)).filter_map(|it| {
        // A bias that was all zero has no relative change to speak of.
        let relative = it.relative_change().filter(|it| it.is_finite())?;
        Some((it.name, relative))
    });
    let is_explained = compared().any(|it| is_one(it) && found.is_explained(it.name));
    let worst = worst.max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((name, relative)) = worst.filter(|it| it.1 > config.max_lone_change && !is_explained) {
        let limit = short(config.max_lone_change);
        let message = format!(
            "the relative change against the baseline is {} (limit {limit}), and all {others} tensors of other layers are unchanged",
            short(relative),
        );
        let finding = finding("MW-W006", Severity::Error, name, message)
            .advice("check that this layer alone was meant to be trained or replaced; raise `max_lone_change` if so")
            .evidence("relative_change", json(relative));
        found.push(finding.evidence("unchanged_tensors", others));
    }
    true
}

/// The robust z of ln(relative change) among tensors of one kind.
fn standing_out(config: &Config, model: &Model<'_>, is_matrix: bool, found: &mut Found) {
    let logs = model.floats().filter(|it| it.now.is_matrix() == is_matrix).filter_map(|it| {
        let relative = it.relative_change().filter(|it| it.is_finite() && *it > 0.0)?;
        Some((it.name, relative, relative.ln()))
    });
    let logs: Vec<_> = logs.collect();
    if logs.len() < MIN_TENSORS {
        return;
    }
    let center = median(logs.iter().map(|it| it.2));
    let scale = (MAD_TO_STD * median(logs.iter().map(|it| (it.2 - center).abs()))).max(MIN_SCALE);
    for (name, relative, log) in logs {
        let z = (log - center) / scale;
        if z <= config.max_change_z || relative < config.min_disproportion || found.is_explained(name) {
            continue;
        }
        let kind = if is_matrix { "matrices" } else { "vectors" };
        let message = format!(
            "the relative change against the baseline is {}, that of other {kind} {} in the middle (robust z {}, limit {})",
            short(relative),
            short(center.exp()),
            short(z),
            short(config.max_change_z),
        );
        let finding = finding("MW-W006", Severity::Warning, name, message)
            .advice("look at this layer's gradients and learning rate, and whether the file is damaged")
            .evidence("relative_change", json(relative));
        found.push(finding.evidence("median_relative_change", json(center.exp())).evidence("z", json(z)));
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    if n % 2 == 1 { values[n / 2] } else { f64::midpoint(values[n / 2 - 1], values[n / 2]) }
}
