//! How far each row is from the others, by each method.

use modelwatch_sdk::Result;
use modelwatch_stats::{
    Point, Undefined,
    multivariate::Rows,
    outliers::{
        FAR_OUT_FACTOR, ForestOptions, IsolationForest, LocalProbabilities, LoopOptions, MixedRow, TUKEY_FACTOR,
        gower_distance, gower_scaled, tukey_fences,
    },
    quantile::quantile,
};

use crate::{
    context::Context,
    row_options::{OutlierMethod, OutlierRows},
    row_table::{RowTable, RowValues},
};

/// From this score on Liu, Ting & Zhou (2008) speak of possible anomalies. It is the least one where half of all rows have the same.
const POSSIBLE_ANOMALY: f64 = 0.6;

/// Below this score nothing is an anomaly (Liu, Ting & Zhou 2008).
const NO_ANOMALY: f64 = 0.5;

/// What a method says of rows.
pub(crate) struct RowScores {
    pub(crate) method: OutlierMethod,
    /// Of each row that is judged; none for those that the method was spared.
    pub(crate) scores: Vec<Option<f64>>,
    /// Above it a row is an outlier.
    pub(crate) threshold: f64,
    /// The share of outliers and the number of rows it is of, repeated ones counted.
    pub(crate) share: (f64, u64),
    /// The same of the reference rows, where there are any.
    pub(crate) usual: Option<(f64, u64)>,
}

/// Returns what a method says of the rows.
///
/// # Errors
/// When the run is cancelled.
pub(crate) fn scores(
    context: &Context<'_>,
    table: &RowTable<'_>,
    method: OutlierMethod,
) -> Result<std::result::Result<RowScores, Undefined>> {
    let options = &context.settings.config.outlier_rows;
    match method {
        OutlierMethod::IsolationForest => Ok(by_isolation(options, table)),
        OutlierMethod::Loop => by_density(context, options, table),
    }
}

fn by_isolation(options: &OutlierRows, table: &RowTable<'_>) -> std::result::Result<RowScores, Undefined> {
    let columns: Vec<Vec<f64>> = table.columns.iter().flat_map(|it| isolated(table, &it.values)).collect();
    let values: Vec<f64> = (0..table.rows.len()).flat_map(|row| columns.iter().map(move |it| it[row])).collect();
    let rows = Rows::new(&values, columns.len())?;
    let counts: Vec<u64> = table.rows[..table.n_training].iter().map(|it| it.count).collect();
    let forest = ForestOptions { n_trees: options.trees, n_rows: options.tree_rows, seed: options.seed };
    let forest = IsolationForest::fit(rows.first(table.n_training), &counts, forest)?;
    let all = rows.iter().map(|it| forest.score(it)).collect::<std::result::Result<Vec<_>, _>>()?;
    let mut points: Vec<Point> = all.iter().copied().zip(counts).collect();
    points.sort_by(|left, right| left.0.total_cmp(&right.0));
    let threshold = match options.isolation_score {
        Some(it) => it,
        None => fence(&points, if table.has_reference { TUKEY_FACTOR } else { FAR_OUT_FACTOR })?,
    };
    let all: Vec<_> = all.into_iter().map(Some).collect();
    Ok(judged(table, OutlierMethod::IsolationForest, &all, threshold))
}

/// Returns the score above which a row is far from those that are learned from.
fn fence(points: &[Point], factor: f64) -> std::result::Result<f64, Undefined> {
    let fences = tukey_fences(points, factor)?;
    let has_spread = quantile(points, 0.25)? < quantile(points, 0.75)?;
    Ok(fences.high.max(if has_spread { NO_ANOMALY } else { POSSIBLE_ANOMALY }))
}

/// Returns a column as numbers to cut: names by their share, so that rare ones are at one end, and what is missing in the middle,
/// beside the share of rows in which it is.
fn isolated(table: &RowTable<'_>, values: &RowValues) -> Vec<Vec<f64>> {
    match values {
        RowValues::Names { codes, shares, .. } => {
            vec![codes.iter().map(|it| shares.get(*it as usize).copied().unwrap_or(0.0)).collect()]
        }
        RowValues::Numbers { values, training, .. } => {
            let middle = quantile(training, 0.5).unwrap_or(0.0);
            // As far out as numbers go.
            let number = |it: &f64| if it.is_nan() { middle } else { it.clamp(f64::MIN, f64::MAX) };
            let rows = values.iter().zip(&table.rows).take(table.n_training);
            let n_missing = rows.filter(|it| it.0.is_nan()).map(|it| it.1.count).fold(0, u64::saturating_add);
            let share = n_missing as f64 / table.n_training_rows().max(1) as f64;
            let flag = || values.iter().map(|it| if it.is_nan() { share } else { 1.0 - share }).collect();
            let flags = (n_missing > 0).then(flag);
            std::iter::once(values.iter().map(number).collect()).chain(flags).collect()
        }
    }
}

fn by_density(
    context: &Context<'_>,
    options: &OutlierRows,
    table: &RowTable<'_>,
) -> Result<std::result::Result<RowScores, Undefined>> {
    let rows = Mixed::new(table);
    let n_training = table.n_training.min(options.loop_rows);
    let local = LoopOptions { n_neighbors: options.neighbors, extent: options.extent };
    let distance = |left: usize, right: usize| gower_distance(rows.row(left), rows.row(right));
    let model = match LocalProbabilities::fit(n_training, local, distance) {
        Ok(it) => it,
        Err(e) => return Ok(Err(e)),
    };
    if context.host.is_cancelled() {
        return Err(context.host.cancelled());
    }
    // Around a row that comes more often than it has neighbors it is as dense as can be.
    let is_common = |row: usize| table.rows[row].training_count > options.neighbors as u64;
    let mut all: Vec<Option<f64>> = vec![None; table.rows.len()];
    for (row, probability) in model.probabilities().into_iter().enumerate() {
        all[row] = Some(if is_common(row) { 0.0 } else { probability });
    }
    if table.has_reference {
        for row in table.judged().take(options.loop_rows) {
            let distances: Vec<f64> = (0..n_training).map(|it| distance(row, it)).collect();
            match model.probability(&distances) {
                Ok(it) => all[row] = Some(if is_common(row) { 0.0 } else { it }),
                Err(e) => return Ok(Err(e)),
            }
        }
    }
    Ok(Ok(judged(table, OutlierMethod::Loop, &all, options.probability)))
}

/// Rows as Gower's distance wants them.
struct Mixed {
    numbers: Vec<f64>,
    n_numbers: usize,
    names: Vec<u32>,
    n_names: usize,
}

impl Mixed {
    fn new(table: &RowTable<'_>) -> Self {
        let (mut numbers, mut names) = (Vec::new(), Vec::new());
        for column in &table.columns {
            match &column.values {
                RowValues::Numbers { values, training, .. } => {
                    let range = usual_range(training);
                    numbers.push(values.iter().map(|it| gower_scaled(*it, range)).collect::<Vec<_>>());
                }
                RowValues::Names { codes, .. } => names.push(codes),
            }
        }
        let rows = 0..table.rows.len();
        Self {
            numbers: rows.clone().flat_map(|row| numbers.iter().map(move |it| it[row])).collect(),
            n_numbers: numbers.len(),
            names: rows.flat_map(|row| names.iter().map(move |it| it[row])).collect(),
            n_names: names.len(),
        }
    }

    fn row(&self, idx: usize) -> MixedRow<'_> {
        MixedRow {
            numbers: &self.numbers[idx * self.n_numbers..(idx + 1) * self.n_numbers],
            names: &self.names[idx * self.n_names..(idx + 1) * self.n_names],
        }
    }
}

/// Returns the range of the numbers that are not far out: one that is must not make all others alike.
fn usual_range(points: &[Point]) -> f64 {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return 0.0 };
    let (low, high) = match tukey_fences(points, FAR_OUT_FACTOR) {
        Ok(it) if it.low < it.high => (it.low.max(first.0), it.high.min(last.0)),
        _ => (first.0, last.0),
    };
    (high - low).min(f64::MAX)
}

fn judged(table: &RowTable<'_>, method: OutlierMethod, all: &[Option<f64>], threshold: f64) -> RowScores {
    let share = |rows: std::ops::Range<usize>| {
        let counted =
            || table.rows[rows.clone()].iter().zip(&all[rows.clone()]).filter_map(|it| Some((it.0.count, (*it.1)?)));
        let n = counted().map(|it| it.0).fold(0, u64::saturating_add);
        let n_above = counted().filter(|it| it.1 > threshold).map(|it| it.0).fold(0, u64::saturating_add);
        (n_above as f64 / n as f64, n)
    };
    RowScores {
        method,
        scores: all[table.judged()].to_vec(),
        threshold,
        share: share(table.judged()),
        usual: table.has_reference.then(|| share(0..table.n_training)),
    }
}
