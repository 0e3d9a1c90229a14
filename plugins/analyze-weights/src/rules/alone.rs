//! What a tensor shows by itself: W001, W002, W004, W007, W011.

use modelwatch_sdk::report::Severity;

use super::{Found, finding, json, short};
use crate::{
    config::Config,
    layer::Part,
    model::{Model, Tensor},
    summary::MANY_MAGNITUDES,
    units::Axis,
};

pub(super) fn check(config: &Config, model: &Model<'_>, found: &mut Found) {
    for tensor in model.floats() {
        if tensor.now.non_finite() > 0 {
            non_finite(tensor, found);
        }
        if !tensor.is_mask() {
            extreme(config, tensor, found);
        }
        if !dead_units(tensor, found) {
            constant(tensor, found);
        }
        saturated(config, tensor, found);
    }
}

fn non_finite(tensor: &Tensor<'_>, found: &mut Found) {
    let it = tensor.now;
    let (severity, advice) = if tensor.is_mask() {
        (
            Severity::Info,
            "all its elements are 0 or the lowest number, as in an attention mask; list it in `ignore` if it is one",
        )
    } else {
        (
            Severity::Error,
            "do not use the checkpoint; go back to the last one without such weights and lower the learning rate or clip gradients",
        )
    };
    let message = format!(
        "{} of {} weights are not finite ({} NaN, {} +inf, {} -inf; allowed 0)",
        it.non_finite(),
        it.n,
        it.nan,
        it.positive_infinite,
        it.negative_infinite,
    );
    let finding = finding("MW-W001", severity, tensor.name, message).advice(advice);
    let finding = finding.evidence("nan", it.nan).evidence("positive_infinite", it.positive_infinite);
    found.push_explaining(finding.evidence("negative_infinite", it.negative_infinite).evidence("elements", it.n));
}

fn extreme(config: &Config, tensor: &Tensor<'_>, found: &mut Found) {
    let (max, median, ratio) = (tensor.now.max_abs, tensor.now.median_abs, tensor.now.outlier_ratio());
    let message = if max > config.max_magnitude {
        let limit = short(config.max_magnitude);
        format!("the greatest |w| is {}, above {limit}: its products can overflow", short(max))
    } else if ratio > config.max_outlier_ratio {
        let (ratio, limit) = (short(ratio), short(config.max_outlier_ratio));
        format!("the greatest |w| is {}, {ratio} times the median of the non-zero ones (limit {limit})", short(max))
    } else {
        return;
    };
    let finding = finding("MW-W002", Severity::Error, tensor.name, message)
        .advice("compare the file with its digest or an earlier copy; a damaged weight can stay silent until an input reaches it")
        .evidence("max_abs", json(max))
        .evidence("median_abs", json(median));
    found.push_explaining(
        finding.evidence("outlier_ratio", json(ratio)).evidence("elements_at_max", tensor.now.at_max_abs),
    );
}

/// Reports units that are all zero; returns whether all are.
fn dead_units(tensor: &Tensor<'_>, found: &mut Found) -> bool {
    if tensor.part != Part::Weight || !tensor.now.is_matrix() {
        return false;
    }
    let along = |axis: Axis| tensor.now.units(axis).filter(|it| it.dead > 0);
    let units = match tensor.output {
        Some(axis) => along(axis),
        None => Axis::BOTH.into_iter().filter_map(along).max_by_key(|it| it.dead),
    };
    let Some(units) = units else { return false };
    let is_all = units.dead == units.count;
    let kind = if tensor.output.is_some() { "output units" } else { "slices along an axis" };
    let message = format!("{} of {} {kind} have only zero weights (allowed 0)", units.dead, units.count);
    let severity = if is_all { Severity::Error } else { Severity::Warning };
    let axis = if units.axis == Axis::First { "first" } else { "last" };
    let finding = finding("MW-W004", severity, tensor.name, message)
        .advice("remove the units, or check initialization and weight decay; their outputs do not depend on the inputs")
        .evidence("dead", units.dead);
    found.push(finding.evidence("units", units.count).evidence("axis", axis));
    is_all
}

fn constant(tensor: &Tensor<'_>, found: &mut Found) {
    let it = tensor.now;
    let is_ordinary =
        matches!(tensor.part, Part::Bias | Part::Norm) || it.n < 4 || it.non_finite() > 0 || tensor.is_mask();
    if !it.is_constant || !it.is_matrix() || is_ordinary {
        return;
    }
    let was_so = tensor.before.is_some_and(|before| before.is_constant && before.min == it.min);
    let severity = if was_so { Severity::Info } else { Severity::Warning };
    let value = short(it.min);
    let message = format!("all {} elements are {value}{}", it.n, if was_so { ", as in the baseline" } else { "" });
    let finding = finding("MW-W007", severity, tensor.name, message).advice(
        "check that the tensor was initialized and trained; list it in `ignore` if it is a constant of the graph",
    );
    found.push(finding.evidence("value", json(it.min)).evidence("elements", it.n));
}

fn saturated(config: &Config, tensor: &Tensor<'_>, found: &mut Found) {
    let it = tensor.now;
    let share = it.at_max_abs as f64 / it.n as f64;
    // Weights of a few values, as ternary ones, are meant to be so.
    if it.n < 64 || it.at_max_abs < 8 || it.magnitudes < MANY_MAGNITUDES as u64 || share <= config.max_saturated_share {
        return;
    }
    let (percent, limit) = (short(100.0 * share), short(100.0 * config.max_saturated_share));
    let message =
        format!("{percent} % of the elements have the greatest magnitude {} (limit {limit} %)", short(it.max_abs));
    let finding = finding("MW-W011", Severity::Warning, tensor.name, message)
        .advice("the tensor looks clipped; check weight clipping, quantization ranges and the learning rate")
        .evidence("share", json(share));
    found.push(finding.evidence("max_abs", json(it.max_abs)).evidence("count", it.at_max_abs));
}
