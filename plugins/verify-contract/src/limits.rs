//! Format, operators and sizes against what is allowed.

use modelwatch_sdk::about::ModelDescription;

use crate::{
    config::{Config, Opset},
    sheet::{Clause, Sheet, error},
};

/// The operator sets that come with ONNX.
const STANDARD: [&str; 3] = ["", "ai.onnx", "ai.onnx.ml"];

pub(crate) fn judge(sheet: &mut Sheet, config: &Config, model: &ModelDescription) {
    if let Some(allowed) = &config.formats {
        let allowed: Vec<&str> = allowed.iter().map(|it| it.as_str()).collect();
        let findings = (!allowed.contains(&model.format.as_str())).then(|| {
            let message = format!("the model is {}, allowed is {}", model.format, allowed.join(", "));
            error("MW-C004", &model.file, message, "export it in a format that is allowed")
        });
        sheet.judge(Clause::new("format", format!("is {}", allowed.join(" or ")), 1), findings.into_iter().collect());
    }
    if let Some(allowed) = &config.opset {
        opset(sheet, allowed, model);
    }
    operators(sheet, config, model);
    for (name, limit, value, what) in [
        ("file_bytes", config.max_bytes, model.bytes, "bytes"),
        ("parameters", config.max_parameters, model.parameters, "parameters"),
    ] {
        let Some(limit) = limit else { continue };
        let findings = (value > limit).then(|| {
            let message = format!("the model has {value} {what}, allowed are {limit}");
            error("MW-C005", &model.file, message, "prune or quantize it, or raise the limit on purpose")
        });
        let clause = Clause::new(name, format!("<= {limit}"), 1).observed(value as f64);
        sheet.judge(clause, findings.into_iter().collect());
    }
}

fn opset(sheet: &mut Sheet, allowed: &Opset, model: &ModelDescription) {
    let words = match (allowed.min, allowed.max) {
        (Some(min), Some(max)) => format!("from {min} to {max}"),
        (Some(min), None) => format!(">= {min}"),
        (None, Some(max)) => format!("<= {max}"),
        (None, None) => "any".to_owned(),
    };
    let version = model.opsets.as_ref().and_then(|it| it.get("").or_else(|| it.get("ai.onnx")).copied());
    let clause = Clause::new("opset", words.clone(), 1);
    let Some(version) = version else {
        let message = format!("the model is {} and has no operator set of ONNX", model.format);
        let advice = "leave `opset` out for models that are not ONNX";
        return sheet.judge(clause, vec![error("MW-C004", &model.file, message, advice)]);
    };
    let fits = allowed.min.is_none_or(|it| version >= it) && allowed.max.is_none_or(|it| version <= it);
    let findings = (!fits).then(|| {
        let message = format!("the model is of operator set {version}, allowed is {words}");
        error("MW-C004", &model.file, message, "export it again with `opset_version` set to one that is allowed")
    });
    sheet.judge(clause.observed(version as f64), findings.into_iter().collect());
}

fn operators(sheet: &mut Sheet, config: &Config, model: &ModelDescription) {
    let lists = &config.operators;
    let n = model.operators.len();
    let advice = "export the model without it, or allow it on purpose";
    let used = |name: &str| model.operators.get(name).copied().unwrap_or(0);
    if lists.allow.is_some() || !lists.deny.is_empty() {
        let allowed = |it: &str| lists.allow.as_ref().is_none_or(|list| listed(list, it)) && !listed(&lists.deny, it);
        let findings = model.operators.keys().filter(|it| !allowed(it)).map(|it| {
            let why = if listed(&lists.deny, it) { "is denied" } else { "is not among those that are allowed" };
            error("MW-C004", it, format!("operator `{it}`, which {} nodes use, {why}", used(it)), advice)
        });
        let findings = findings.collect();
        sheet.judge(Clause::new("operators", "are allowed", n), findings);
    }
    if lists.custom == Some(false) {
        let clause = Clause::new("custom_operators", "are of a standard set", n);
        if model.opsets.is_none() {
            let why = format!("the model is {}, and which operators are custom is known of ONNX alone", model.format);
            return sheet.not_checked(clause, &why);
        }
        let custom = |it: &str| it.split_once("::").is_some_and(|(domain, _)| !STANDARD.contains(&domain));
        let findings = model.operators.keys().filter(|it| custom(it)).map(|it| {
            let node = model.first_nodes.get(it).filter(|it| !it.is_empty());
            let node = node.map(|it| format!(", as node `{it}`")).unwrap_or_default();
            let message = format!("operator `{it}`, which {} nodes use{node}, is of no standard set", used(it));
            error("MW-C004", it, message, advice)
        });
        let findings = findings.collect();
        sheet.judge(clause, findings);
    }
}

fn listed(list: &[String], name: &str) -> bool {
    list.iter().any(|it| match it.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => it == name,
    })
}
