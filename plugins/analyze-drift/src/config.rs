//! The options of the analyzer.

use modelwatch_sdk::{Error, JsonSchema, Result, report::Severity};
use serde::Deserialize;

/// Compares the distribution of every column, and of the model's outputs, between the current and the reference rows.
///
/// A column is drifted where its difference is significant at `alpha` after the correction for the
/// number of columns, and at least as large as `min_effect`. Missing values are compared too.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The columns to compare, `*` standing for any text; all features where it is empty.
    pub columns: Vec<String>,
    /// Columns to leave out, `*` standing for any text.
    pub exclude: Vec<String>,
    /// Columns whose numbers are names of categories, `*` standing for any text.
    pub categorical: Vec<String>,
    /// Which distance decides whether a numeric column's difference is large enough.
    pub numeric_method: NumericMethod,
    /// Which distance decides whether a categorical column's difference is large enough.
    pub categorical_method: CategoricalMethod,
    /// The least differences that matter.
    pub min_effect: MinEffect,
    /// The share of false alarms that is accepted over all columns together (per column with correction `none`).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alpha: f64,
    /// How p-values are corrected for the number of columns.
    pub correction: Correction,
    /// How many values a role must have in a column for it to be compared.
    #[schemars(range(min = 1))]
    pub min_rows: u64,
    /// Whether the model's outputs are compared as well, where both roles have them.
    pub predictions: bool,
    /// How many values of a column are kept exactly, per role; beyond it a histogram with a relative error of 1/256 is kept.
    #[schemars(range(min = 100, max = 10_000_000))]
    pub budget: u64,
    /// How many elements of a column of lists are compared one by one, evenly spaced; the mean, standard deviation,
    /// minimum and maximum of each row are always compared.
    #[schemars(range(max = 4096))]
    pub max_elements: usize,
    /// The severity of the findings about drift.
    pub severity: Severity,
}

/// The least differences that matter; a smaller one is no drift, however significant.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MinEffect {
    /// The Kolmogorov-Smirnov statistic: the greatest difference of the two cumulative shares.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ks: f64,
    /// The total variation distance behind a chi-squared test: the share of rows in other categories.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub chi2: f64,
    /// The population stability index.
    #[schemars(range(min = 0.0))]
    pub psi: f64,
    /// The Jensen-Shannon distance in base 2.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub jensen_shannon: f64,
    /// The Wasserstein distance in standard deviations of the reference.
    #[schemars(range(min = 0.0))]
    pub wasserstein: f64,
    /// The difference of the shares of missing values.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub missing: f64,
}

/// The distance that a numeric column is judged by. The p-value is that of the Kolmogorov-Smirnov test for all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NumericMethod {
    /// As `ks`.
    #[default]
    Auto,
    /// The Kolmogorov-Smirnov statistic.
    Ks,
    /// The Wasserstein distance in standard deviations of the reference.
    Wasserstein,
    /// The population stability index over the tenths of the reference.
    Psi,
    /// The Jensen-Shannon distance over the tenths of the reference.
    JensenShannon,
}

/// The distance that a categorical column is judged by. The p-value is that of the two-sample chi-squared test for all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CategoricalMethod {
    /// As `chi2`.
    #[default]
    Auto,
    /// The total variation distance of the table that the chi-squared test looks at.
    Chi2,
    /// The population stability index.
    Psi,
    /// The Jensen-Shannon distance.
    JensenShannon,
}

/// How p-values are corrected for the number of columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Correction {
    /// Holm: `alpha` bounds the chance that any column is called drifted by accident.
    #[default]
    Holm,
    /// Benjamini and Hochberg: `alpha` bounds the share of accidents among the columns that are called drifted.
    BenjaminiHochberg,
    /// None: `alpha` holds for each column on its own.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            exclude: Vec::new(),
            categorical: Vec::new(),
            numeric_method: NumericMethod::default(),
            categorical_method: CategoricalMethod::default(),
            min_effect: MinEffect::default(),
            alpha: 0.01,
            correction: Correction::default(),
            min_rows: 20,
            predictions: true,
            budget: 10_000,
            max_elements: 64,
            severity: Severity::Warning,
        }
    }
}

impl Default for MinEffect {
    fn default() -> Self {
        Self { ks: 0.1, chi2: 0.1, psi: 0.1, jensen_shannon: 0.1, wasserstein: 0.1, missing: 0.02 }
    }
}

impl Config {
    /// Returns the options if no value is outside its domain.
    pub(crate) fn validated(self) -> Result<Self> {
        let effects = [
            ("ks", self.min_effect.ks, 1.0),
            ("chi2", self.min_effect.chi2, 1.0),
            ("psi", self.min_effect.psi, f64::MAX),
            ("jensen_shannon", self.min_effect.jensen_shannon, 1.0),
            ("wasserstein", self.min_effect.wasserstein, f64::MAX),
            ("missing", self.min_effect.missing, 1.0),
        ];
        for (name, value, greatest) in effects {
            if !(0.0..=greatest).contains(&value) {
                return Err(Error::config(format!("/min_effect/{name}"), format!("`{value}` is no least effect"))
                    .with_help(if greatest == 1.0 {
                        "use a number from 0 to 1"
                    } else {
                        "use a number of at least 0"
                    }));
            }
        }
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            return Err(Error::config("/alpha", format!("`{}` is no error rate", self.alpha))
                .with_help("use a number between 0 and 1, as 0.01"));
        }
        let lengths = [
            ("min_rows", self.min_rows, 1, u64::MAX),
            ("budget", self.budget, 100, 10_000_000),
            ("max_elements", self.max_elements as u64, 0, 4096),
        ];
        for (name, value, least, greatest) in lengths {
            if !(least..=greatest).contains(&value) {
                return Err(Error::config(format!("/{name}"), format!("`{value}` is out of range"))
                    .with_help(format!("use a whole number from {least} to {greatest}")));
            }
        }
        Ok(self)
    }
}
