//! What a tensor shows beside the baseline's: W003, W008, W009, W010.

use modelwatch_sdk::report::Severity;
use serde_json::{Value, json};

use super::{Found, finding, json as number, short};
use crate::{
    change::{Change, is_high_bit},
    config::Config,
    layer,
    model::{Model, Tensor},
    permutation::Permutation,
    summary::Summary,
    units::Axis,
};

pub(super) fn check(config: &Config, model: &Model<'_>, found: &mut Found) {
    shapes(model, found);
    for tensor in model.floats() {
        let Some(change) = tensor.change else {
            continue;
        };
        flipped(config, model, tensor, change, found);
        if tensor.now.is_matrix() && change.changed > 0 {
            for permutation in &change.permutations {
                permuted(model, tensor, permutation, found);
            }
        }
        grown(config, tensor, found);
    }
}

fn shapes(model: &Model<'_>, found: &mut Found) {
    let matched = model.tensors.iter().any(|it| it.before.is_some());
    if !matched && !model.tensors.is_empty() {
        let (n, m) = (model.missing.len(), model.tensors.len());
        let message = format!("none of the baseline's {n} tensors has a counterpart among the candidate's {m}");
        let finding = finding("MW-W008", Severity::Error, "checkpoint", message);
        found.push(finding.advice("compare checkpoints of one architecture in one format, or leave the baseline out"));
        return;
    }
    let (mut gone, mut new) = (0_u64, 0_u64);
    for (name, before) in &model.missing {
        if layer::is_generated(name) {
            gone += 1;
            continue;
        }
        let severity = if before.is_float { Severity::Error } else { Severity::Info };
        let message = format!("the baseline has this tensor of shape {:?}, the candidate has not", before.shape);
        let finding = finding("MW-W008", severity, name, message).evidence("baseline_shape", before.shape.clone());
        found.push(finding.advice("check that the whole model was saved, under the names it had before"));
    }
    for tensor in &model.tensors {
        match tensor.before {
            None if layer::is_generated(tensor.name) => new += 1,
            None => {
                let severity = if tensor.now.is_float { Severity::Warning } else { Severity::Info };
                let message =
                    format!("the candidate has this tensor of shape {:?}, the baseline has not", tensor.now.shape);
                let finding =
                    finding("MW-W008", severity, tensor.name, message).evidence("shape", tensor.now.shape.clone());
                found.push(finding.advice("check that the architecture was meant to change"));
            }
            Some(before) => reshaped(tensor, before, found),
        }
    }
    if gone + new > 0 {
        let message = format!("constants that an exporter names anew each time differ: {gone} are gone, {new} are new");
        let finding = finding("MW-W008", Severity::Info, "constants", message);
        found.push(finding.evidence("gone", gone).evidence("new", new).advice("nothing, where the exporter is known"));
    }
}

fn reshaped(tensor: &Tensor<'_>, before: &Summary, found: &mut Found) {
    let now = tensor.now;
    let (severity, message, advice) = if now.shape != before.shape {
        let message = format!("the shape is {:?}, in the baseline {:?}", now.shape, before.shape);
        (Severity::Error, message, "check that the architecture was meant to change")
    } else if now.dtype != before.dtype {
        // A change of kind cannot be compared value by value.
        let severity = if now.is_float == before.is_float { Severity::Info } else { Severity::Warning };
        let message = format!("the element type is {}, in the baseline {}", now.dtype, before.dtype);
        (severity, message, "check that the conversion was meant, and compare outputs")
    } else {
        return;
    };
    let finding =
        finding("MW-W008", severity, tensor.name, message).advice(advice).evidence("shape", now.shape.clone());
    let finding = finding.evidence("baseline_shape", before.shape.clone()).evidence("dtype", now.dtype.clone());
    found.push(finding.evidence("baseline_dtype", before.dtype.clone()));
}

fn flipped(config: &Config, model: &Model<'_>, tensor: &Tensor<'_>, change: &Change, found: &mut Found) {
    let few = 1..=config.max_flipped;
    if !few.contains(&change.changed) || change.first.len() as u64 != change.changed {
        return;
    }
    let bits: Option<Vec<u32>> = change.first.iter().map(|it| it.bit).collect();
    let Some(bits) = bits else { return };
    let others = || model.floats().filter(|it| it.name != tensor.name).filter_map(|it| it.change);
    let is_lone = others().count() > 0 && others().all(|it| it.changed == 0);
    let is_high = bits.iter().any(|&it| is_high_bit(&tensor.now.dtype, it));
    let severity = match tensor.now.n {
        2.. if is_lone => Severity::Error,
        // A step of training can double one number of a few, or move one by its last bit.
        8.. if is_high => Severity::Error,
        64.. => Severity::Warning,
        _ if is_lone => Severity::Warning,
        _ => return,
    };
    let first = &change.first[0];
    let (count, n) = (change.changed, tensor.now.n);
    let what = if count == 1 { "it differs" } else { "each differs" };
    let message = format!(
        "{count} of {n} elements changed, and {what} from the baseline by exactly one bit (element {}, bit {}: {} became {})",
        first.index,
        bits[0],
        short(first.old),
        short(first.new),
    );
    let elements = change
        .first
        .iter()
        .map(|it| json!({ "index": it.index, "bit": it.bit, "old": number(it.old), "new": number(it.new) }));
    let finding = finding("MW-W003", severity, tensor.name, message)
        .advice("training does not do this: copy the checkpoint again, verify its digest, and check memory and disk")
        .evidence("elements", elements.collect::<Vec<Value>>());
    found.push_explaining(finding.evidence("others_unchanged", is_lone));
}

fn permuted(model: &Model<'_>, tensor: &Tensor<'_>, permutation: &Permutation, found: &mut Found) {
    let (axis, n, moved) = (permutation.axis, permutation.from.len(), permutation.moved());
    let is_output = tensor.output.map(|it| it == axis);
    let what = match is_output {
        Some(true) => "output units are",
        Some(false) => "input units are",
        None if axis == Axis::First => "slices along the first axis are",
        None => "slices along the last axis are",
    };
    // A hidden layer whose units moved does the same as before if the next layer's inputs moved with them.
    let undoes = |it: &&Tensor<'_>| {
        let same =
            |axis: Axis| it.change.and_then(|it| it.permutation(axis)).is_some_and(|it| it.from == permutation.from);
        let is_counterpart = |axis: Axis| match (it.output, is_output) {
            (Some(output), Some(is_output)) => (output == axis) != is_output,
            _ => true,
        };
        it.layer != tensor.layer
            && it.now.is_matrix()
            && Axis::BOTH.into_iter().any(|it| is_counterpart(it) && same(it))
    };
    let undone = model.floats().find(undoes);
    let how = permutation.rotation().map_or_else(String::new, |by| format!(", rotated by {by}"));
    let (severity, rest) = match undone {
        Some(it) => (Severity::Info, format!("; `{}` moved with them", it.name)),
        None => (Severity::Error, String::from("; no other tensor moved with them")),
    };
    let message = format!("the {n} {what} the baseline's in another order ({moved} moved{how}){rest}");
    let with_bias = model.floats().any(|it| {
        let change = it.change.and_then(|it| it.permutation(Axis::First));
        it.layer == tensor.layer && it.name != tensor.name && change.is_some_and(|it| it.from == permutation.from)
    });
    let from: Vec<_> = permutation.from.iter().take(64).copied().collect();
    let finding = finding("MW-W009", severity, tensor.name, message)
        .advice("check that classes or features are in the order that the labels and data have")
        .evidence("moved", moved)
        .evidence("units", n);
    found.push_explaining(finding.evidence("from", from).evidence("bias_moved_too", with_bias));
}

fn grown(config: &Config, tensor: &Tensor<'_>, found: &mut Found) {
    let Some(before) = tensor.before else { return };
    let growth = tensor.now.l2 / before.l2;
    let is_known = tensor.now.is_matrix() && before.l2 > 0.0 && before.l2.is_finite();
    if !is_known || found.is_explained(tensor.name) || growth <= config.max_norm_growth || growth.is_nan() {
        return;
    }
    let (now, was, limit) = (short(tensor.now.l2), short(before.l2), short(config.max_norm_growth));
    let message =
        format!("the L2 norm is {now}, in the baseline {was}: {} times as much (limit {limit})", short(growth));
    let finding = finding("MW-W010", Severity::Warning, tensor.name, message)
        .advice("training may be diverging; look at the loss, the learning rate and weight decay")
        .evidence("norm_l2", number(tensor.now.l2));
    found.push(finding.evidence("baseline_norm_l2", number(before.l2)).evidence("growth", number(growth)));
}
