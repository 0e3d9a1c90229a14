//! What everything is judged with, and how it is said.

use modelwatch_sdk::{
    Host, KnownMetric, Report,
    report::{Finding, Labels, Metric, Severity, float},
};

use crate::{
    codes::CODES,
    column::Column,
    config::Config,
    profile::Profile,
    settings::Settings,
    weighed::{Footing, Sums, Weighed, worth},
};

/// How many standard errors chance is allowed.
const CHANCE: f64 = 3.0;

/// How many names a message has at most.
const MAX_NAMES: usize = 5;

/// Both roles, and what is expected of them.
pub(crate) struct Context<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) settings: &'a Settings,
    /// None without reference rows.
    pub(crate) reference: Option<&'a Profile>,
    pub(crate) current: &'a Profile,
    /// How rows count, here and there.
    pub(crate) footing: Footing,
    /// Of how many chunks and slices these rows are one; none where they are all rows.
    pub(crate) parts: Option<usize>,
}

impl Context<'_> {
    /// Returns the rows of the reference; none where there are none, as of a stored profile.
    pub(crate) fn reference_rows(&self) -> Option<&Profile> {
        self.reference.filter(|it| !it.is_stored())
    }

    /// Returns what chance adds to a share that is measured on `n` rows: the more parts there are, the further.
    pub(crate) fn chance(&self, share: f64, n: u64) -> f64 {
        // The tail of a normal number beyond this is at most an n-th of that beyond `CHANCE`.
        let n_parts = self.parts.unwrap_or(1).max(1) as f64;
        chance(share, n) / CHANCE * (CHANCE.powi(2) + 2.0 * n_parts.ln()).sqrt()
    }

    /// Returns what the rows of a column weigh; none where they count alike.
    pub(crate) fn weighed<'a>(&self, column: &'a Column) -> Option<&'a Weighed> {
        (self.footing == Footing::Weight).then(|| column.weighed())
    }

    /// Returns the share of `n` rows that so many of them are, or where rows count by their weights that of what they weigh.
    ///
    /// NaN of no rows, and of rows that weigh nothing.
    pub(crate) fn share(&self, column: &Column, count: u64, n: u64, weighed: impl Fn(Sums) -> (u64, u64)) -> f64 {
        let (part, whole) = self.weighed(column).map_or((count, n), |it| weighed(it.sums));
        part as f64 / whole as f64
    }

    /// Returns the share of rows that are null or NaN.
    pub(crate) fn missing_share(&self, column: &Column) -> f64 {
        self.share(column, column.n_missing(), column.rows(), |it| (it.missing, it.all))
    }

    /// Returns how many rows that count alike the share of missing ones is worth.
    pub(crate) fn missing_worth(&self, column: &Column) -> u64 {
        self.weighed(column).map_or(column.rows(), |it| worth(&it.present_and_missing()))
    }

    /// Returns how often one test of a column may find something by accident: all columns of all parts share `alpha`.
    pub(crate) fn share_of(&self, alpha: f64) -> f64 {
        let n_tests = 2 * self.current.columns().len().max(1) * self.parts.unwrap_or(1).max(1);
        alpha / n_tests as f64
    }

    /// Returns the severity of what is held against limits or the reference.
    pub(crate) fn severity(&self) -> Severity {
        self.settings.config.severity
    }
}

/// Returns the labels that name a column.
pub(crate) fn labels(column: &str) -> Labels {
    let name = if column.is_empty() { "(no name)" } else { column };
    Labels::from([("column".to_owned(), name.to_owned())])
}

/// Returns the numbers that there can be.
pub(crate) fn known(config: &Config) -> impl Iterator<Item = KnownMetric> {
    let of_rows = [
        "class_ratio",
        "conflicting_label_share",
        "duplicate_row_share",
        "duplicate_rows",
        "duplicate_columns",
        "schema_changes",
        "rows",
        "n_columns",
        "rows_ratio",
        "samples_mix",
        "id_overlap",
        "time_overlap",
        "age",
    ];
    let methods = &config.outlier_rows.methods;
    let of_methods = KnownMetric::all((!methods.is_empty()).then_some("outlier_row_share"), &["method"])
        .map(|it| it.only("method", methods.iter().map(|it| it.as_str())));
    KnownMetric::all(of_rows, &[])
        .chain(known_of_columns())
        .chain(KnownMetric::all(["class_share"], &["class"]))
        .chain(of_methods)
}

/// Returns those of single columns, which there can be of chunks and slices as well.
pub(crate) fn known_of_columns() -> impl Iterator<Item = KnownMetric> {
    let of_columns = [
        "missing_share",
        "nan_share",
        "infinite_share",
        "distinct",
        "top_share",
        "unseen_share",
        "unexpected_category_share",
        "pattern_mismatch_share",
    ];
    let of_numbers = [
        "min",
        "max",
        "mean",
        "standard_deviation",
        "skewness",
        "kurtosis",
        "quartile_1",
        "median",
        "quartile_3",
        "zero_share",
        "negative_share",
        "out_of_bounds_share",
        "out_of_range_share",
        "outlier_share_iqr",
        "outlier_share",
    ];
    let of_texts = [
        "null_word_share",
        "null_words",
        "numeric_share",
        "special_share",
        "padded_share",
        "empty_share",
        "respelled_categories",
        "min_length",
        "max_length",
        "mean_length",
        "strange_length_share",
        "text_shapes",
        "new_shape_share",
    ];
    let of_pairs = [
        "greatest_correlation",
        "predictive_power",
        "label_phik",
        "label_pearson",
        "label_spearman",
        "label_cramers_v",
        "label_correlation_ratio",
    ];
    KnownMetric::all(of_columns.into_iter().chain(of_numbers).chain(of_texts).chain(of_pairs), &["column"])
}

/// Adds a number about all rows.
pub(crate) fn measure(report: &mut Report, name: &str, value: f64, n: u64) {
    report.metrics.push(Metric::new(name, value).n(n));
}

/// Adds a number about a column.
pub(crate) fn measure_column(report: &mut Report, column: &str, name: &str, value: f64, n: u64) {
    report.metrics.push(Metric::new(name, value).n(n).labels(&labels(column)));
}

/// Returns a finding with the advice of its code.
pub(crate) fn finding(code: &'static str, severity: Severity, place: &str, message: String) -> Finding {
    let advice = CODES.iter().find(|it| it.code == code).map_or("", |it| it.advice);
    let place = if place.is_empty() { "(no name)" } else { place };
    Finding::new(code, severity, place, message).advice(advice)
}

/// Adds a number behind a finding.
pub(crate) fn number(finding: Finding, key: &str, value: f64) -> Finding {
    finding.evidence(key, float::to_value(value))
}

/// Adds a share of `n` rows that is above its limit behind a finding.
pub(crate) fn above(finding: Finding, share: f64, limit: f64, n: u64) -> Finding {
    number(number(finding, "share", share), "limit", limit).evidence("n", n)
}

/// Returns what chance adds to a share that is measured on `n` rows.
pub(crate) fn chance(share: f64, n: u64) -> f64 {
    CHANCE * (share * (1.0 - share) / n.max(1) as f64).max(0.0).sqrt()
}

/// Returns a share in words.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 || percent >= 0.1 {
        let text = format!("{percent:.1}");
        format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
    } else {
        format!("{percent:.1e} %")
    }
}

/// Returns the first few names, quoted, and that there are more.
pub(crate) fn some<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<_> = names.iter().take(MAX_NAMES).map(|it| format!("`{}`", it.as_ref())).collect();
    let rest = if names.len() > shown.len() { ", …" } else { "" };
    format!("{}{rest}", shown.join(", "))
}
