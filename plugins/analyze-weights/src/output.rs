//! Metrics, figures and gaps.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    KnownMetric, Report,
    report::{Figure, FigureData, Gap, Metric, MetricRole, Series},
};

use crate::{
    config::Config,
    model::{Model, Tensor},
    rules::short,
    summary::{BINS_PER_DECADE, Summary},
    units::KEPT_UNITS,
};

const MAX_TABLE_ROWS: usize = 200;
const MAX_BARS: usize = 50;
const MAX_BINS: i32 = 120;

/// Returns the report without findings.
pub(crate) fn report(config: &Config, model: &Model<'_>) -> Report {
    let mut res = Report { gaps: gaps(config, model), ..Report::default() };
    let mut worst: Vec<_> = model.floats().collect();
    worst.sort_by(|a, b| rank(b).total_cmp(&rank(a)).then_with(|| a.name.cmp(b.name)));
    if worst.is_empty() {
        return res;
    }
    res.metrics = overall(model);
    let mut shown: Vec<_> = worst.iter().take(config.max_tensors).copied().collect();
    shown.sort_by_key(|it| it.name);
    res.metrics.extend(shown.into_iter().flat_map(of_tensor));
    res.figures.push(table(&worst));
    res.figures.extend(magnitudes(model));
    res.figures.extend(changes(&worst));
    res
}

/// Orders tensors by how much they deserve a look.
fn rank(tensor: &Tensor<'_>) -> f64 {
    if tensor.now.non_finite() > 0 {
        return f64::INFINITY;
    }
    match tensor.relative_change() {
        Some(it) if !it.is_nan() => it,
        Some(_) => f64::INFINITY,
        // Without a baseline: what stands out in the tensor itself, always below a change.
        None => -1.0 / tensor.now.outlier_ratio().max(1.0),
    }
}

fn gaps(config: &Config, model: &Model<'_>) -> Vec<Gap> {
    let mut res = Vec::new();
    let n = model.floats().count();
    if model.tensors.is_empty() {
        res.push(Gap::new("weights", "the checkpoint has no tensors"));
    } else if n == 0 {
        res.push(Gap::new("weights", "the checkpoint has no floating-point tensors; integers are only counted"));
    }
    if !model.has_baseline {
        res.push(Gap::new("change of weights", "the run has no baseline"));
    }
    let alone = model.floats().filter(|it| it.before.is_some() && it.change.is_none()).count();
    if alone > 0 {
        let why = "their shapes or types differ, or the two did not come together";
        res.push(Gap::new(format!("change of {alone} tensors"), why));
    }
    if n > config.max_tensors {
        let why =
            format!("`max_tensors` is {}; the overall metrics and the findings cover all {n}", config.max_tensors);
        res.push(Gap::new(format!("metrics of {} single tensors", n - config.max_tensors), why));
    }
    if let Some(name) = config.first_layer.as_ref().filter(|_| model.first_layer.is_none()) {
        res.push(Gap::new("units that cannot fire", format!("there is no layer `{name}` with a weight matrix")));
    } else if n > 0 && model.first_layer.is_none() {
        let why = "the first layer cannot be told from names and shapes; set `first_layer`";
        res.push(Gap::new("units that cannot fire", why));
    }
    let wide =
        model.layers.values().filter(|it| it.output.is_some_and(|axis| axis.len(&it.weight.shape) > KEPT_UNITS as u64));
    let wide = wide.count();
    if wide > 0 {
        let why = format!("they have more than {KEPT_UNITS} units");
        res.push(Gap::new(format!("single units and their order in {wide} layers"), why));
    }
    res
}

/// Returns the metrics that there can be.
pub(crate) fn known() -> impl Iterator<Item = KnownMetric> {
    let of_all = ["n_parameters", "n_tensors", "non_finite", "denormal", "sparsity", "near_zero_share", "norm_l2"];
    let of_changes =
        ["relative_change", "changed_tensors", "changed_share", "missing_tensors", "added_tensors", "reshaped_tensors"];
    let of_tensors = [
        "non_finite",
        "sparsity",
        "norm_l2",
        "outlier_ratio",
        "relative_change",
        "cosine",
        "changed_share",
        "max_abs_change",
    ];
    KnownMetric::all(of_all.into_iter().chain(of_changes), &[]).chain(KnownMetric::all(of_tensors, &["tensor"]))
}

fn overall(model: &Model<'_>) -> Vec<Metric> {
    let floats = || model.floats();
    let sum = |count: fn(&Summary) -> u64| total(floats().map(|it| count(it.now)));
    let (n, all) = (sum(|it| it.n), total(model.tensors.iter().map(|it| it.now.n)));
    let metric = |name: &str, value: f64| Metric::new(name, value).n(n);
    let zeros = sum(|it| it.zeros) as f64;
    let squares: f64 = floats().filter(|it| it.now.n > 0).map(|it| it.now.l2 * it.now.l2).sum();
    let mut res = vec![
        Metric::new("n_parameters", all as f64).n(all),
        Metric::new("n_tensors", model.tensors.len() as f64).n(all),
        metric("non_finite", sum(Summary::non_finite) as f64),
        metric("denormal", sum(|it| it.denormal) as f64),
        metric("sparsity", if n == 0 { f64::NAN } else { zeros / n as f64 }),
        metric("near_zero_share", if n == 0 { f64::NAN } else { sum(|it| it.near_zero) as f64 / n as f64 }),
        metric("norm_l2", squares.sqrt()),
    ];
    if !model.has_baseline {
        return res;
    }
    let compared: Vec<_> = model.tensors.iter().filter(|it| it.change.is_some()).collect();
    let n = total(compared.iter().map(|it| it.now.n));
    let sum = |of: fn(&crate::change::Change) -> f64| compared.iter().filter_map(|it| it.change).map(of).sum::<f64>();
    let added = model.tensors.iter().filter(|it| it.before.is_none()).count();
    let reshaped =
        model.tensors.iter().filter(|it| it.before.is_some_and(|before| before.shape != it.now.shape)).count();
    let moved = (sum(|it| if it.changed == 0 { 0.0 } else { it.delta_l2 * it.delta_l2 })
        / sum(|it| it.old_l2 * it.old_l2))
    .sqrt();
    let changed = compared.iter().filter(|it| it.change.is_some_and(|it| it.changed > 0)).count();
    let elements = sum(|it| it.changed as f64);
    for (name, value) in [
        // Nothing compared is no change of 0.
        ("relative_change", if compared.is_empty() { f64::NAN } else { moved }),
        ("changed_tensors", if compared.is_empty() { f64::NAN } else { changed as f64 }),
        ("changed_share", if n == 0 { f64::NAN } else { elements / n as f64 }),
        ("missing_tensors", model.missing.len() as f64),
        ("added_tensors", added as f64),
        ("reshaped_tensors", reshaped as f64),
    ] {
        res.push(Metric::new(name, value).n(n).role(MetricRole::Candidate));
    }
    res
}

/// Counts can come from a state that lies.
fn total(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

fn of_tensor(tensor: &Tensor<'_>) -> Vec<Metric> {
    let it = tensor.now;
    let metric = |name: &str, value: f64| Metric::new(name, value).n(it.n).label("tensor", tensor.name);
    let mut res = vec![
        metric("non_finite", it.non_finite() as f64),
        metric("sparsity", it.sparsity()),
        metric("norm_l2", it.l2),
        metric("outlier_ratio", it.outlier_ratio()),
    ];
    if let Some(change) = tensor.change {
        res.push(metric("relative_change", change.relative()));
        res.push(metric("cosine", change.cosine));
        res.push(metric("changed_share", if it.n == 0 { f64::NAN } else { change.changed as f64 / it.n as f64 }));
        res.push(metric("max_abs_change", change.max_delta));
    }
    res
}

fn table(worst: &[&Tensor<'_>]) -> Figure {
    let columns = [
        "tensor",
        "type",
        "shape",
        "mean",
        "std",
        "min",
        "max",
        "L1",
        "L2",
        "zeros",
        "max/median",
        "change",
        "unit norms",
    ];
    let row = |tensor: &&Tensor<'_>| {
        let it = tensor.now;
        let units = tensor.output.and_then(|axis| it.units(axis));
        let shape: Vec<_> = it.shape.iter().map(u64::to_string).collect();
        vec![
            tensor.name.to_owned(),
            it.dtype.clone(),
            shape.join("×"),
            short(it.mean),
            short(it.std),
            short(it.min),
            short(it.max),
            short(it.l1),
            short(it.l2),
            format!("{} %", short(100.0 * it.sparsity())),
            short(it.outlier_ratio()),
            tensor.relative_change().map_or_else(|| "–".to_owned(), short),
            units.map_or_else(|| "–".to_owned(), |it| format!("{} … {}", short(it.min_l2), short(it.max_l2))),
        ]
    };
    let shown = worst.len().min(MAX_TABLE_ROWS);
    Figure {
        title: "Tensors".to_owned(),
        caption: format!(
            "{shown} of {} floating-point tensors, the most conspicuous first; change is ‖Δ‖/‖w‖ against the baseline.",
            worst.len()
        ),
        data: FigureData::Table {
            columns: columns.map(str::to_owned).into(),
            rows: worst.iter().take(MAX_TABLE_ROWS).map(row).collect(),
        },
    }
}

fn magnitudes(model: &Model<'_>) -> Option<Figure> {
    let count = |summaries: &mut dyn Iterator<Item = &Summary>| {
        let mut res = BTreeMap::<i32, u64>::new();
        for (&bin, &count) in summaries.flat_map(|it| &it.histogram) {
            let it = res.entry(bin).or_default();
            *it = it.saturating_add(count);
        }
        res
    };
    let mut all = vec![("candidate", count(&mut model.floats().map(|it| it.now)))];
    if model.has_baseline {
        all.push(("baseline", count(&mut model.floats().filter_map(|it| it.before))));
    }
    let low = all.iter().filter_map(|it| it.1.keys().next()).min()?;
    let high = all.iter().filter_map(|it| it.1.keys().next_back()).max()?;
    let width = if high - low < MAX_BINS { 1 } else { BINS_PER_DECADE };
    let (first, last) = (low.div_euclid(width), high.div_euclid(width));
    let series = all.into_iter().map(|(name, counts)| {
        let total = |bin: i32| counts.range(bin * width..(bin + 1) * width).map(|it| *it.1 as f64).sum();
        Series { name: name.to_owned(), values: (first..=last).map(total).collect() }
    });
    Some(Figure {
        title: "Magnitude of weights".to_owned(),
        caption: "Counts of log10 |w| over all floating-point tensors; zeros are left out, bin edges hold to 3 %."
            .to_owned(),
        data: FigureData::Histogram {
            edges: (first..=last + 1).map(|it| f64::from(it * width) / f64::from(BINS_PER_DECADE)).collect(),
            series: series.collect(),
        },
    })
}

fn changes(worst: &[&Tensor<'_>]) -> Option<Figure> {
    let known = worst.iter().filter_map(|it| Some((it.name.to_owned(), it.relative_change()?)));
    let (categories, values): (Vec<_>, Vec<_>) = known.take(MAX_BARS).unzip();
    (!categories.is_empty()).then(|| Figure {
        title: "Change against the baseline".to_owned(),
        caption: "‖Δ‖/‖w‖ of the tensors that changed most.".to_owned(),
        data: FigureData::Bars { categories, series: vec![Series { name: "relative change".to_owned(), values }] },
    })
}
