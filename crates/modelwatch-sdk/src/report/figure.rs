//! Data for pictures; the host draws them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::float;

/// One picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// The title.
    pub title: String,
    /// What is to be seen in it.
    #[serde(default)]
    pub caption: String,
    /// The kind of picture and its numbers.
    pub data: FigureData,
}

/// The kinds of picture. Their size depends on columns and bins, never on rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FigureData {
    /// Shares or counts between edges: every series has one value less than there are edges.
    Histogram {
        /// The ascending edges.
        #[serde(with = "float::list")]
        #[schemars(with = "Vec<float::Number>")]
        edges: Vec<f64>,
        /// One series per sample.
        series: Vec<Series>,
    },
    /// One group of bars per category.
    Bars {
        /// The categories.
        categories: Vec<String>,
        /// One series per sample.
        series: Vec<Series>,
    },
    /// Lines over a common axis.
    Lines {
        /// The label of the x axis.
        x_label: String,
        /// The label of the y axis.
        y_label: String,
        /// The common x values.
        #[serde(with = "float::list")]
        #[schemars(with = "Vec<float::Number>")]
        x: Vec<f64>,
        /// One series per line.
        series: Vec<Series>,
    },
    /// A matrix, as of confusion.
    HeatMap {
        /// The label of the rows.
        y_label: String,
        /// The label of the columns.
        x_label: String,
        /// The names of the rows.
        rows: Vec<String>,
        /// The names of the columns.
        columns: Vec<String>,
        /// One list per row; NaN where there is no value.
        #[serde(with = "float::rows")]
        #[schemars(with = "Vec<Vec<float::Number>>")]
        values: Vec<Vec<f64>>,
    },
    /// Confidence against accuracy per bin.
    Reliability {
        /// The mean predicted probability of each bin.
        #[serde(with = "float::list")]
        #[schemars(with = "Vec<float::Number>")]
        confidence: Vec<f64>,
        /// The observed share of each bin.
        #[serde(with = "float::list")]
        #[schemars(with = "Vec<float::Number>")]
        accuracy: Vec<f64>,
        /// The rows in each bin.
        counts: Vec<u64>,
    },
    /// Rows of text.
    Table {
        /// The heads.
        columns: Vec<String>,
        /// One list of cells per row.
        rows: Vec<Vec<String>>,
    },
}

/// A named list of numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// The name in the legend.
    pub name: String,
    /// The values.
    #[serde(with = "float::list")]
    #[schemars(with = "Vec<float::Number>")]
    pub values: Vec<f64>,
}
