//! From which numbers on something is a finding, and where those numbers come from.

use modelwatch_sdk::{Error, JsonSchema, Result};
use serde::Deserialize;

/// deepchecks 0.19, `PercentOfNulls`: at most 5 % of a column.
pub(crate) const MISSING: f64 = 0.05;
/// deepchecks, `MixedNulls`: one way to say that a value is missing.
pub(crate) const NULL_WORDS: u64 = 1;
/// deepchecks, `MixedDataTypes`: the rarer type has no share from 1 to 10 %.
pub(crate) const MIXED_TYPES: [f64; 2] = [0.01, 0.1];
/// deepchecks, `SpecialCharacters`: at most 0.1 % of a column.
pub(crate) const SPECIAL_CHARACTERS: f64 = 0.001;
/// deepchecks, `StringMismatch`: no other spellings.
pub(crate) const SPELLINGS: u64 = 0;
/// deepchecks, `StringLengthOutOfBounds`: none.
pub(crate) const STRANGE_LENGTHS: f64 = 0.0;
/// deepchecks, `OutlierSampleDetection`: at most 5 % of the rows.
pub(crate) const OUTLIER_ROWS: f64 = 0.05;
/// deepchecks, `DataDuplicates`: at most 5 % of the rows.
pub(crate) const DUPLICATES: f64 = 0.05;
/// deepchecks, `ConflictingLabels`: none.
pub(crate) const CONFLICTING_LABELS: f64 = 0.0;
/// deepchecks, `ClassImbalance`: the rarest class has at least a tenth of the rows of the most frequent one.
pub(crate) const CLASS_RATIO: f64 = 0.1;
/// deepchecks, `FeatureLabelCorrelation`: a predictive power score below 0.8.
pub(crate) const FEATURE_LABEL: f64 = 0.8;
/// deepchecks, `FeatureFeatureCorrelation`: no pair above 0.9.
pub(crate) const FEATURE_FEATURE: f64 = 0.9;
/// deepchecks, `IdentifierLabelCorrelation`: a predictive power score of 0. Chance alone exceeds that for half of all identifiers
/// where classes are balanced, so that `3 / √n` is added here.
pub(crate) const ID_LABEL: f64 = 0.0;
/// deepchecks, `FeatureLabelCorrelationChange`: a change of the score below 0.2.
pub(crate) const FEATURE_LABEL_CHANGE: f64 = 0.2;
/// deepchecks, `TrainTestSamplesMix`: at most 5 % of the rows.
pub(crate) const SAMPLES_MIX: f64 = 0.05;
/// deepchecks, `IndexTrainTestLeakage`: none.
pub(crate) const ID_OVERLAP: f64 = 0.0;
/// deepchecks, `DateTrainTestLeakageOverlap`: none.
pub(crate) const TIME_OVERLAP: f64 = 0.0;
/// deepchecks, `DatasetsSizeComparison`: more than 1 % of the reference's rows.
pub(crate) const SIZE_RATIO: f64 = 0.01;

/// From which numbers on something is a finding; the defaults are those that deepchecks documents.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The greatest share of missing values of a column; with a reference, the share there where that is greater, and what
    /// chance adds to it.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub missing: f64,
    /// How many different ways to say that a value is missing a column may have, null itself among them.
    pub null_words: u64,
    /// Between which shares the rarer one of numbers and other texts in a column of texts is a finding.
    pub mixed_types: [f64; 2],
    /// The greatest share of texts without letter or digit.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub special_characters: f64,
    /// How many categories of a column may be spelled in several ways.
    pub spellings: u64,
    /// The greatest share of texts that are far longer or shorter than the others.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub strange_lengths: f64,
    /// The greatest share of outliers of a numeric column, by its median and median absolute deviation; none unless it is given. The
    /// identifier, whose values are meant to be new, is left out.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub outliers: Option<f64>,
    /// The greatest share of rows that are far from the others, by each method of `outlier_rows`; with a reference, the share there
    /// where that is greater, and what chance adds to it.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub outlier_rows: f64,
    /// The greatest share of rows that repeat another one.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub duplicates: f64,
    /// The greatest share of rows whose features occur with another label.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub conflicting_labels: f64,
    /// The least number of rows of the rarest class, as a share of those of the most frequent one.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub class_ratio: f64,
    /// The predictive power score from which a feature tells the label suspiciously well.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub feature_label: f64,
    /// The correlation above which two features are almost the same.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub feature_feature: f64,
    /// The predictive power score above which an identifier tells the label, beside what chance allows.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub id_label: f64,
    /// The difference of predictive power scores between reference and current rows from which it is a finding.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub feature_label_change: f64,
    /// The greatest share of current rows that the reference has too.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub samples_mix: f64,
    /// The greatest share of current identifiers that the reference has too.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub id_overlap: f64,
    /// The greatest share of current rows that are not younger than the youngest row of the reference.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub time_overlap: f64,
    /// How many rows there must be more than, as a share of those of the reference.
    #[schemars(range(min = 0.0))]
    pub size_ratio: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            missing: MISSING,
            null_words: NULL_WORDS,
            mixed_types: MIXED_TYPES,
            special_characters: SPECIAL_CHARACTERS,
            spellings: SPELLINGS,
            strange_lengths: STRANGE_LENGTHS,
            outliers: None,
            outlier_rows: OUTLIER_ROWS,
            duplicates: DUPLICATES,
            conflicting_labels: CONFLICTING_LABELS,
            class_ratio: CLASS_RATIO,
            feature_label: FEATURE_LABEL,
            feature_feature: FEATURE_FEATURE,
            id_label: ID_LABEL,
            feature_label_change: FEATURE_LABEL_CHANGE,
            samples_mix: SAMPLES_MIX,
            id_overlap: ID_OVERLAP,
            time_overlap: TIME_OVERLAP,
            size_ratio: SIZE_RATIO,
        }
    }
}

impl Limits {
    /// Checks that every limit is a share.
    pub(crate) fn check(&self) -> Result<()> {
        let shares = [
            ("missing", self.missing),
            ("mixed_types/0", self.mixed_types[0]),
            ("mixed_types/1", self.mixed_types[1]),
            ("special_characters", self.special_characters),
            ("strange_lengths", self.strange_lengths),
            ("outliers", self.outliers.unwrap_or_default()),
            ("outlier_rows", self.outlier_rows),
            ("duplicates", self.duplicates),
            ("conflicting_labels", self.conflicting_labels),
            ("class_ratio", self.class_ratio),
            ("feature_label", self.feature_label),
            ("feature_feature", self.feature_feature),
            ("id_label", self.id_label),
            ("feature_label_change", self.feature_label_change),
            ("samples_mix", self.samples_mix),
            ("id_overlap", self.id_overlap),
            ("time_overlap", self.time_overlap),
        ];
        for (name, value) in shares {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::config(format!("/limits/{name}"), format!("`{value}` is no share"))
                    .with_help("use a number from 0 to 1"));
            }
        }
        if !self.size_ratio.is_finite() || self.size_ratio < 0.0 {
            return Err(Error::config("/limits/size_ratio", format!("`{}` is no ratio", self.size_ratio))
                .with_help("use a number of at least 0"));
        }
        Ok(())
    }
}
