//! Units that cannot fire: W005 from bounds of the first layer's inputs, W012 from the shift of a bias.

use modelwatch_sdk::report::Severity;

use super::{Found, finding, json, short};
use crate::{
    config::Config,
    layer::Part,
    model::{Layer, Model},
};

pub(super) fn check(config: &Config, model: &Model<'_>, found: &mut Found) {
    if let Some((name, is_named)) = model.first_layer
        && let Some(layer) = model.layers.get(name)
    {
        cannot_fire(config, (name, is_named), layer, found);
    }
    for tensor in model.floats().filter(|it| it.part == Part::Bias) {
        let (now, Some(before)) = (tensor.now, tensor.before) else {
            continue;
        };
        let (range, shift) = (before.max - before.min, now.mean - before.mean);
        let times = shift.abs() / range;
        let is_known = range > 0.0 && now.non_finite() == 0 && tensor.change.is_some();
        if !is_known || times <= config.max_bias_shift {
            continue;
        }
        let message = format!(
            "the biases moved by {} on average, {} times the range of their values in the baseline (limit {})",
            short(shift),
            short(times),
            short(config.max_bias_shift),
        );
        let finding = finding("MW-W012", Severity::Warning, tensor.name, message)
            .advice("look at the activations of this layer: units far below zero no longer react, units far above no longer bend")
            .evidence("mean_shift", json(shift));
        found.push(finding.evidence("baseline_range", json(range)).evidence("times", json(times)));
    }
}

/// A unit's input to its activation is at most b + bound · Σ|w| for inputs within ±bound.
fn cannot_fire(config: &Config, (name, is_named): (&str, bool), layer: &Layer<'_>, found: &mut Found) {
    let Some(output) = layer.output else { return };
    let (Some(units), Some((bias_name, bias))) = (layer.weight.units(output), layer.bias) else {
        return;
    };
    let Some(bias) = &bias.candidate else { return };
    let is_known = !units.l1.is_empty() && units.l1.len() == bias.vector.len();
    if !is_known || layer.weight.non_finite() > 0 || bias.non_finite() > 0 {
        return;
    }
    let reach = units.l1.iter().zip(&bias.vector).map(|(l1, bias)| (*l1, bias + config.input_bound * l1));
    // Units without weights are W004's.
    let silent = reach.clone().filter(|&(l1, it)| l1 > 0.0 && it < 0.0).count();
    let n = bias.vector.len();
    if silent == 0 {
        return;
    }
    let (bound, highest) = (short(config.input_bound), reach.map(|it| it.1).fold(f64::NEG_INFINITY, f64::max));
    let message = if silent == n {
        let highest = short(highest);
        format!(
            "no input within ±{bound} makes a sum of any of the {n} units of `{name}` positive (the highest possible is {highest})"
        )
    } else {
        format!("no input within ±{bound} makes the sums of {silent} of the {n} units of `{name}` positive")
    };
    let severity = if silent == n { Severity::Error } else { Severity::Warning };
    let advice = if is_named {
        "rectified units there always give 0; check the bias, or set `input_bound` to the inputs' real bound"
    } else {
        "rectified units there always give 0; check the bias, or set `input_bound` to the inputs' real bound and \
         `first_layer`, which was guessed from the layers' widths"
    };
    let finding = finding("MW-W005", severity, bias_name, message).advice(advice);
    let finding = finding.evidence("silent", silent).evidence("units", n).evidence("highest_sum", json(highest));
    found.push(finding.evidence("input_bound", json(config.input_bound)));
}
