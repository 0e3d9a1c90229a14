//! What a report does not cover, and how far off is what it covers in part.

use modelwatch_sdk::{
    Report,
    report::{Check, Gap, Labels},
};

use crate::{
    bounds::Bounds,
    config::{Method, Settings, quoted},
    evaluate::{Evaluation, Slice},
    magnitudes::RELATIVE_ERROR,
    measure::{self, MAX_CURVES, Measure},
    row::{Layout, MAX_RANKED_CLASSES},
    score_bins::N_BINS,
    slice_areas,
    slices::MAX_PER_GROUP,
    state::State,
    summed::Kind,
    tally::Tally,
    tasks::multi_label,
    trivial,
};

/// What a bound on an error means.
const AT_ONE_END: &str = "a requirement that holds at one end of that alone is inconclusive";

/// Adds the gaps of the rows, the outputs and the budget.
pub(crate) fn find(evaluation: &Evaluation<'_>, state: &State, report: &mut Report) {
    let mut gap = |what: String, why: String| report.gaps.push(Gap::new(what, why));
    let head = &state.head;
    if head.n_unlabeled > 0 {
        let what = format!("{} of {} rows", head.n_unlabeled, head.n_rows);
        gap(what, "their label is missing or NaN".to_owned());
    }
    if evaluation.tally().all.weight == 0.0 {
        gap("all metrics".to_owned(), format!("the weights of {} rows are all 0", evaluation.tally().all.n));
    }
    if let Some(sums) = &evaluation.layout.sums
        && sums.kind == Kind::Detection
        && sums.classes.len() > MAX_CURVES
        && !evaluation.slices.is_empty()
    {
        gap("ap of single classes in slices".to_owned(), format!("there are more than {MAX_CURVES} classes"));
    }
    if !evaluation.is_complete {
        budget(evaluation, &mut gap);
    } else if evaluation.share.is_some() {
        of_samples(evaluation, &format!("a sample of {} queries", evaluation.rows.n()), &mut gap);
    }
    let left_out = names(evaluation, |it| it.needs_bootstrap() && !it.is_of_class());
    if evaluation.settings.intervals.method == Method::Jackknife && !left_out.is_empty() {
        let why = "a jackknife does not hold for what jumps, as quantiles do, nor for distances that chance makes larger; for intervals of \
                   these take `method = \"bootstrap\"`";
        gap(format!("intervals of {}", left_out.join(" and ")), why.to_owned());
    }
    if let Some(sums) = &evaluation.layout.sums
        && sums.kind == Kind::MultiLabel
        && !multi_label::is_ranked(sums)
    {
        gap("roc_auc and average_precision".to_owned(), format!("there are more than {MAX_RANKED_CLASSES} classes"));
    }
    if evaluation.layout.is_regression() || evaluation.layout.sums.is_some() {
        return;
    }
    for (model, layout) in evaluation.layout.models.iter().enumerate() {
        let output = &layout.output;
        if !layout.is_scored {
            let why = format!("output `{output}` has labels, no scores");
            gap("metrics of scores".to_owned(), why);
        }
        let improper = evaluation.tally().models[model].classes.improper;
        if improper > 0 {
            let why = format!(
                "{improper} rows of output `{output}` are no probabilities; set `scores = \"logits\"` if they are logits"
            );
            gap("log_loss, brier and ece".to_owned(), why);
        }
    }
    let truth = &evaluation.tally().truth;
    if evaluation.tally().all.weight > 0.0
        && let Some(only) = truth.iter().position(|it| it.weight == evaluation.tally().all.weight)
    {
        let n = evaluation.tally().all.n;
        gap(
            "roc_auc and other metrics of ranks, and of classes without a row".to_owned(),
            format!("all {n} rows are of class `{}`, so that some are not a number", evaluation.layout.classes[only]),
        );
    }
    // Sums in another order may leave an ulp of rows that are not there.
    let is_of_one_class = |it: &&Slice| it.tally.truth.iter().any(|class| class.share_of(it.tally.all) > 1.0 - 1e-12);
    let of_one_class: Vec<&str> = evaluation.slices.iter().filter(is_of_one_class).map(|it| it.name.as_str()).collect();
    if slice_areas::is_reported(evaluation) && !of_one_class.is_empty() {
        let slices = if of_one_class.len() == 1 { "slice" } else { "slices" };
        gap(
            format!("roc_auc of the {slices} {}", quoted(of_one_class.iter())),
            "all of their rows are of one class".to_owned(),
        );
    }
    if evaluation.layout.ranked_classes().is_empty() {
        gap("roc_auc".to_owned(), format!("there are more than {MAX_RANKED_CLASSES} classes"));
    }
}

/// By how much the skill of a metric can be off, as what it compares with is of a sample.
fn skill(evaluation: &Evaluation<'_>, name: &str, why: String, gap: &mut dyn FnMut(String, String)) {
    let found = trivial::skills(evaluation).into_iter().find(|it| it.measure.name() == name);
    let bounds = found.and_then(|it| trivial::bounds(evaluation, it));
    let value = found.map_or(f64::NAN, trivial::Trivial::skill);
    gap(format!("skill[metric={name}]"), with_error(why, bounds, value));
}

/// What more rows than are kept do to each metric and figure.
fn budget(evaluation: &Evaluation<'_>, gap: &mut dyn FnMut(String, String)) {
    let sample = format!("a sample of {} of {} rows", evaluation.rows.n(), evaluation.tally().all.n);
    let rows = || "rows beyond the budget".to_owned();
    if let Some(sums) = &evaluation.layout.sums {
        let what = if sums.kind == Kind::Detection { "all metrics and intervals" } else { "intervals" };
        gap(rows(), format!("{what} are of {sample}"));
        if sums.kind == Kind::MultiLabel && evaluation.wants("skill") {
            skill(
                evaluation,
                "subset_accuracy",
                format!("the most frequent set that it compares with is of {sample}"),
                gap,
            );
        }
        of_samples(evaluation, &sample, gap);
        return;
    }
    if evaluation.layout.is_regression() {
        let of_quantiles =
            format!("quantiles of errors are within {RELATIVE_ERROR:.2e} of theirs, relatively; {AT_ONE_END}");
        gap(rows(), format!("intervals and tests of residuals are of {sample}; {of_quantiles}"));
        if evaluation.wants("skill") {
            skill(evaluation, "mae", format!("the median that it compares with is of {sample}"), gap);
        }
        gap("the figure `Errors`".to_owned(), format!("it is of {sample}"));
        return;
    }
    let is_of_all = evaluation.is_of_all_rows();
    let of_all = || match evaluation.n_groups {
        Some(n) => format!("drawn as {n} groups of one label, one prediction and neighboring score bins"),
        None => format!("each in the middle of one of {N_BINS} score bins"),
    };
    let why = if is_of_all {
        format!("intervals of scores are of all rows, {}", of_all())
    } else {
        format!("intervals without a closed form are of {sample}")
    };
    gap(rows(), why);
    for (model, role) in ["candidate", "baseline"].into_iter().enumerate().take(evaluation.layout.models.len()) {
        for (name, error) in curve_errors(evaluation, model) {
            let why = format!("it is of {N_BINS} score bins, within {error:.2e} of that of the scores; {AT_ONE_END}");
            gap(format!("{name} of the {role}"), why);
        }
    }
    of_samples(evaluation, &sample, gap);
    if evaluation.layout.positive.is_some() && evaluation.layout.models[0].is_scored {
        let of_bins = format!("it is of {N_BINS} score bins");
        let why = if is_of_all { of_bins } else { format!("it is of {sample}; how far off that is has no bound") };
        gap("the figure `Thresholds`".to_owned(), why);
    }
}

/// Says of each metric of a sample how far it can be off.
fn of_samples(evaluation: &Evaluation<'_>, sample: &str, gap: &mut dyn FnMut(String, String)) {
    for measure in wanted(evaluation, |it| evaluation.of_sample(it).is_some()) {
        let why = format!("it is of {sample}");
        let why = with_error(why, evaluation.bounds(measure, 0), evaluation.value(measure, 0));
        gap(address(measure, evaluation.layout), why);
    }
}

/// Returns why something is not of all rows, with how far off that can be.
pub(crate) fn with_error(why: String, bounds: Option<Bounds>, value: f64) -> String {
    match bounds {
        Some(it) if it.error(value).is_finite() => {
            let error = it.error(value);
            format!("{why}; all but one sample in a million are within {error:.2e} of what all rows give; {AT_ONE_END}")
        }
        _ if value.is_nan() => why,
        _ => format!("{why}; how far off that is has no bound"),
    }
}

/// Returns the reported metrics that are such.
fn wanted(evaluation: &Evaluation<'_>, is_such: impl Fn(Measure) -> bool) -> Vec<Measure> {
    evaluation.measures.iter().copied().filter(|&it| is_such(it) && evaluation.wants(it.name())).collect()
}

/// Returns them as requirements address them.
fn names(evaluation: &Evaluation<'_>, is_such: impl Fn(Measure) -> bool) -> Vec<String> {
    wanted(evaluation, is_such).into_iter().map(|it| address(it, evaluation.layout)).collect()
}

fn address(measure: Measure, layout: &Layout) -> String {
    address_of(measure.name(), &measure.labels(layout))
}

/// Returns a name and labels as requirements address them.
pub(crate) fn address_of(name: &str, labels: &Labels) -> String {
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if labels.is_empty() { name.to_owned() } else { format!("{name}[{}]", labels.join(", ")) }
}

/// Returns how far each metric of a model's ranks can be from that of the scores.
fn curve_errors(evaluation: &Evaluation<'_>, model: usize) -> Vec<(String, f64)> {
    let is_of_bins = |it: Measure| it.is_ranked() && evaluation.of_sample(it).is_none();
    let error = |it: &Measure| Some(evaluation.bounds(*it, model)?.error(evaluation.value(*it, model)));
    let ranked = wanted(evaluation, is_of_bins).into_iter();
    ranked.filter_map(|it| Some((address(it, evaluation.layout), error(&it)?))).collect()
}

/// Returns why nothing may rest on the metrics of a slice, where it is too small: in rows, or in the rows that weights leave of them.
pub(crate) fn too_small(tally: &Tally, settings: &Settings) -> Option<String> {
    let (n, least) = (tally.all.n, settings.min_slice_size);
    let rows = if n == 1 { "row" } else { "rows" };
    if n < least {
        return Some(format!("it has {n} {rows}, fewer than `min_slice_size`, {least}"));
    }
    let counted = tally.all.effective_if_fewer().filter(|&it| it < least as f64)?;
    Some(format!("its {n} {rows} count, by their weights, as {counted:.1}, fewer than `min_slice_size`, {least}"))
}

/// Returns why nothing may rest on the metrics of the slice of rows without a value in a column in which no row has one.
pub(crate) fn without_values(column: &str) -> String {
    format!(
        "no labeled row has a value in `{column}`, so that there is nothing to slice by; fill the column, or leave it out of the slices"
    )
}

/// Returns why nothing may rest on the metrics of all rows whose value of a column has no slice of its own.
pub(crate) fn crowded(tally: &Tally, column: &str) -> String {
    let n = tally.all.n;
    format!(
        "`{column}` has more than {MAX_PER_GROUP} values, of which those that come first in byte order have slices: \
         {n} rows have another, each of which can be worse than all of them; name those that matter in `expect_slices`, \
         or cut the rows by a column with fewer values"
    )
}

/// Adds a check for each expected slice that is missing or too small.
pub(crate) fn missing_slices(settings: &Settings, layout: Option<&Layout>, found: &[Slice], report: &mut Report) {
    let primary = layout.map_or(Measure::Accuracy, measure::primary);
    for name in &settings.expected {
        let seen = found.iter().find(|it| it.name == *name);
        let column = name.split('=').next().unwrap_or(name).to_owned();
        let why = match (seen, layout) {
            (Some(it), _) => match &it.unfit {
                Some(why) => why.clone(),
                None => continue,
            },
            (None, Some(it)) if !it.slice_columns.contains(&column) => {
                format!("`{column}` is not a slice column of the data")
            }
            (None, _) => "no labeled row is in it".to_owned(),
        };
        report.gaps.push(Gap::new(format!("the expected slice `{name}`"), why.clone()));
        report.checks.push(Check {
            labels: Labels::from([("slice".to_owned(), name.clone())]),
            n: seen.map_or(0, |it| it.tally.all.n),
            ..Check::not_checked(primary.name(), "the slice is in the data", why)
        });
    }
}
