//! Outputs that must not pass though they do not differ: those that are in one model alone, and those that are NaN in both.

use modelwatch_sdk::{
    Report,
    nodes::{NodeComparison, NodeDifference, OutputDifference},
    report::{Check, Finding, Labels, Metric, Severity, Status},
};

use crate::config::Config;

/// Says whether an output has numbers that are NaN in both models.
pub(crate) fn nan(res: &mut Report, config: &Config, comparison: &NodeComparison, it: &OutputDifference) {
    let (n, n_nan) = (it.difference.n, it.difference.n_both_nan);
    let metric = Metric::new("nan_in_both", n_nan as f64).n(n);
    res.metrics.push(metric.label("output", &*it.name));
    if config.equal_nan {
        return;
    }
    let message = match n_nan {
        0 => format!("output `{}` is nowhere NaN in both models", it.name),
        _ => format!("{n_nan} of {n} elements of output `{}` are NaN in both models", it.name),
    };
    res.checks.push(Check {
        metric: "nan_in_both".to_owned(),
        labels: Labels::from([("output".to_owned(), it.name.clone())]),
        requirement: "== 0".to_owned(),
        observed: Some(n_nan as f64),
        interval: None,
        n,
        status: Status::of(n, n_nan == 0),
        message: message.clone(),
    });
    if n_nan == 0 {
        return;
    }
    let has_nan = |it: &&NodeDifference| it.counterpart.as_ref().is_some_and(|it| it.cumulative.n_both_nan > 0);
    let (place, since) = match comparison.nodes.iter().find(has_nan) {
        Some(it) => (&*it.name, format!(", from `{}` ({}) on", it.name, it.operator)),
        None => (&*it.name, String::new()),
    };
    res.findings.push(
        Finding::new("MW-N006", Severity::Error, place, format!("{message}{since}; nothing says that they are right"))
            .advice("look for the first node that gives NaN; where NaN is what the models are to give, set `equal_nan`")
            .evidence("output", &*it.name),
    );
}

/// Says which outputs are in one model alone.
pub(crate) fn unmatched(res: &mut Report, comparison: &NodeComparison) {
    let NodeComparison { outputs, missing_outputs: missing, extra_outputs: extra, .. } = comparison;
    let n_unmatched = missing.len() + extra.len();
    let n = (outputs.len() + n_unmatched) as u64;
    let listed = |names: &[String]| names.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
    let message = match (n, missing.is_empty(), extra.is_empty()) {
        (0, ..) => "the models have no outputs".to_owned(),
        (_, true, true) => "every output is in both models".to_owned(),
        (_, false, true) => format!("the candidate lacks {}", listed(missing)),
        (_, true, false) => format!("the baseline lacks {}", listed(extra)),
        (_, false, false) => format!("the candidate lacks {}, the baseline {}", listed(missing), listed(extra)),
    };
    res.metrics.push(Metric::new("unmatched_outputs", n_unmatched as f64).n(n));
    res.checks.push(Check {
        metric: "unmatched_outputs".to_owned(),
        labels: Labels::new(),
        requirement: "== 0".to_owned(),
        observed: Some(n_unmatched as f64),
        interval: None,
        n,
        status: Status::of(n, n_unmatched == 0),
        message,
    });
    let kinds = [
        ("missing", missing, "the baseline has this output, and the candidate has none of this name"),
        ("extra", extra, "the candidate has this output, and the baseline has none of this name"),
    ];
    for (kind, names, message) in kinds {
        for name in names {
            // A person sees that two are one, and says so; a program that guessed would compare what does not belong together.
            let advice = match (&missing[..], &extra[..]) {
                ([old], [new]) => format!(
                    "give the output its name back; if it is the same under another one, set `outputs = {{ \"{new}\" = \"{old}\" }}`"
                ),
                _ => "export the model with the outputs of the baseline; where one has another name there, say so in `outputs`"
                    .to_owned(),
            };
            let finding = Finding::new("MW-N005", Severity::Error, &**name, message).advice(advice);
            res.findings.push(finding.evidence("kind", kind));
        }
    }
}
