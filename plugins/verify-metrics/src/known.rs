//! The metrics that a report can have, as far as the settings alone tell.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_sdk::KnownMetric;

use crate::{
    config::{Scores, Settings, Task},
    measure::{self, Measure},
    row::{Layout, ModelLayout},
    tasks, training, trivial,
};

/// Those that are no measure of a model: of its residuals, or of two models.
const BESIDE_MEASURES: [&str; 11] = [
    "symmetric_flip_rate",
    "negative_flip_rate",
    "positive_flip_rate",
    "flips_right_to_wrong",
    "flips_wrong_to_right",
    "mcnemar_p",
    "neg_to_pos_flip_rate",
    "pos_to_neg_flip_rate",
    "residual_bias_p",
    "residual_normality_p",
    "residual_heteroscedasticity_p",
];

/// What to ask for in the place of what has no interval.
const INSTEAD: [(&str, &str); 4] = [
    (
        "max_error",
        "require it without a confidence, or by `error_quantiles` the `absolute_error_quantile`: chance decides what is greatest",
    ),
    ("flips_right_to_wrong", "require it without a confidence, or require `negative_flip_rate`"),
    ("flips_wrong_to_right", "require it without a confidence, or require `positive_flip_rate`"),
    ("mcnemar_p", "require it without a confidence, or `accuracy = \"not worse than baseline with confidence 95%\"`"),
];
const SKILL_INSTEAD: &str = "require it without a confidence, or require the metric that it is a skill of";
/// What to ask for in the place of a p-value.
const OF_P_VALUES: &str = "require it without a confidence, which a p-value has in itself";

/// Returns the metrics that there can be.
pub(crate) fn known(settings: &Settings) -> Vec<KnownMetric> {
    let layout = layout(settings);
    let mut res: BTreeMap<_, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    let mut add = |it: Measure, further: Option<&str>| {
        let labels = it.labels(&layout);
        let keys: BTreeSet<_> = labels.keys().cloned().chain(further.map(str::to_owned)).collect();
        let only = res.entry((it.name(), keys)).or_default();
        for (key, values) in labels.into_iter().filter_map(|(key, value)| values(settings, it, key, value)) {
            only.entry(key).or_default().extend(values);
        }
    };
    measure::overall(&layout, settings).into_iter().for_each(|it| add(it, None));
    for it in measure::per_slice(&layout, settings) {
        add(it, Some("slice"));
        if it.is_loss().is_some() {
            add(it, Some("worst_slice"));
        }
    }
    measure::per_slice_of_ranks(&layout).into_iter().for_each(|it| add(it, Some("slice")));
    let names = measure::names(settings.task);
    let of_all = names
        .iter()
        .copied()
        .filter(|it| BESIDE_MEASURES.contains(it))
        .chain(settings.training.then_some(training::GAP));
    res.extend(of_all.map(|it| ((it, BTreeSet::new()), BTreeMap::new())));
    let of_measures = res.into_iter().map(|((name, labels), only)| {
        let known = KnownMetric { labels, only, ..KnownMetric::new(name) };
        instead(name).map_or(known.clone(), |it| known.without_interval(it))
    });
    let skill = |it: &Measure| {
        let known = KnownMetric::new("skill").label("metric").only("metric", [it.name()]);
        if trivial::has_interval(*it) { known } else { known.without_interval(SKILL_INSTEAD) }
    };
    let skills = trivial::measures(settings.task).iter().filter(|_| names.contains(&"skill")).map(skill);
    let is_wanted = |it: &KnownMetric| settings.metrics.as_ref().is_none_or(|names| names.contains(it.name.as_str()));
    of_measures.chain(skills).filter(is_wanted).collect()
}

/// Returns what to ask for in the place of a metric that has no interval; none of one that can have one.
fn instead(name: &str) -> Option<&'static str> {
    let found = INSTEAD.iter().find(|it| it.0 == name).map(|it| it.1);
    found.or_else(|| name.starts_with("residual_").then_some(OF_P_VALUES))
}

/// Returns the values that a label of a measure can have, given one; none where the rows alone tell.
fn values(settings: &Settings, it: Measure, key: String, value: String) -> Option<(String, Vec<String>)> {
    let values = match it {
        // Of those, the rows say which are below the number of classes.
        Measure::TopK(_) if settings.classes.is_none() => settings.top_k.iter().map(u64::to_string).collect(),
        _ if key == "class" && settings.classes.is_none() => return None,
        _ => vec![value],
    };
    Some((key, values))
}

/// Returns a layout that has everything that rows may have with these settings.
fn layout(settings: &Settings) -> Layout {
    // What only the rows say, their classes, has the same labels whichever they are.
    let classes = || settings.classes.clone().unwrap_or_else(|| vec![String::new()]);
    let top_k = if settings.classes.is_some() { settings.top_k.clone() } else { vec![0; settings.top_k.len()] };
    Layout {
        classes: if matches!(settings.task, Task::Binary | Task::Multiclass) { classes() } else { Vec::new() },
        positive: settings.positive,
        has_weights: false,
        has_margin: settings.scores == Scores::Logits,
        top_k,
        calibration_bins: settings.calibration_bins,
        sums: tasks::widest_layout(settings, classes()),
        slice_columns: Vec::new(),
        models: vec![ModelLayout { output: String::new(), is_scored: settings.is_of_classes(), n_digits: 52 }],
    }
}
