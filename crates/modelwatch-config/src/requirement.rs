//! What is required of a metric: the settings, and how they are written.
//!
//! ```text
//! metric      = name [ "[" label { "," label } "]" ]
//! label       = key "=" ( "*" | word | quoted )
//! condition   = ( comparison | range | no_loss ) [ "with" "confidence" number ]
//! comparison  = ( "<" | "<=" | ">" | ">=" | "==" | "!=" ) operand
//! range       = "between" number "and" number                    both ends included
//! no_loss     = "not" "worse" "than" relative
//! operand     = number | relative
//! relative    = [ percentage "of" ] reference [ ( "+" | "-" ) number ]
//! reference   = "baseline" | "overall" | metric                  the metric of another slice
//! number      = decimal [ "%" ]                                  95% is 0.95
//! ```
//!
//! An offset from the baseline is never a percentage: `baseline - 5%` could mean five percent of the baseline or five
//! percentage points, so that it is refused in favor of `95% of baseline` and `baseline - 0.05`. Equality takes no
//! confidence, since an interval does not equal a number.
//!
//! With a confidence, a comparison asks for a proof and `not worse than` asks for the absence of a counterproof. `>= baseline`
//! holds where the whole interval of the difference is at least 0, which a candidate that is as good as the baseline does
//! not show on any number of rows; `>= baseline - 0.01` is what such a candidate can show, with enough of them
//! (non-inferiority). `not worse than baseline` fails only where the whole interval is on the bad side, so that it rejects
//! few unchanged candidates however few the rows are, and lets through what they are too few to tell.
//!
//! A slice is held against another one, or against all rows, only by the same metric: `accuracy[slice=sex=f]` by
//! `>= accuracy[slice=sex=m] - 0.02` or `>= overall - 0.02`.

mod number;
mod parse;

use std::{collections::BTreeMap, fmt, ops::Range};

pub use parse::{parse, parse_metric};

use number::{decimal, percentage};

/// A condition that a metric has to meet.
///
/// It shows as it can be written: the metric, a space, and the condition.
///
/// ```
/// use modelwatch_config::requirement;
/// let it = requirement::parse("recall[ slice = * ]", ">=99 % of baseline with confidence 95%")?;
/// assert_eq!(it.to_string(), "recall[slice=*] >= 99% of baseline with confidence 95%");
/// assert_eq!(it.confidence, Some(0.95));
/// # Ok::<(), modelwatch_config::RequirementError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// The metric, or the metrics if a label is `*`.
    pub metric: MetricAddress,
    /// What it is held against.
    pub bound: Bound,
    /// If given, the bound of the interval of this confidence is held against it, not the estimate; in (0, 1).
    pub confidence: Option<f64>,
    /// The condition as it was written.
    pub text: String,
    /// JSON pointer of the condition in the document; empty if it was not read from one.
    pub pointer: String,
}

/// The name of a metric and the labels it must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricAddress {
    /// Name of the metric.
    pub name: String,
    /// Labels of the metric.
    pub labels: BTreeMap<String, LabelMatch>,
}

/// Which values of a label are meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LabelMatch {
    /// This one.
    Exact(String),
    /// Each that begins so, which is never empty: the requirement holds for every metric that has such a value.
    Prefix(String),
    /// Each of them: the requirement holds for every metric that has the label.
    Any,
}

impl LabelMatch {
    /// Returns whether a value of the label `key` is meant. The `*` of `slice=size=*` stands for a value of that column, so
    /// that it means no cross with another one.
    ///
    /// ```
    /// use modelwatch_config::requirement::parse_metric;
    /// let it = &parse_metric("recall[slice=size=*]")?.labels["slice"];
    /// assert!(it.matches("slice", "size=small") && it.matches("slice", r"size=a\,b"));
    /// assert!(!it.matches("slice", "sex=f") && !it.matches("slice", "size=small,sex=f"));
    /// # Ok::<(), modelwatch_config::RequirementError>(())
    /// ```
    pub fn matches(&self, key: &str, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(it) => it == value,
            Self::Prefix(it) => {
                value.strip_prefix(it.as_str()).is_some_and(|rest| key != SLICE || slice_parts(rest).count() == 1)
            }
        }
    }

    /// Returns it without the quotes that an address may need.
    pub fn unquoted(&self) -> String {
        match self {
            Self::Exact(it) => it.clone(),
            Self::Prefix(_) | Self::Any => self.to_string(),
        }
    }
}

/// The label that says of which slice a metric is.
pub const SLICE: &str = "slice";

/// Returns the parts of the name of a slice, of which a cross has several. A comma after a backslash is one of a value.
pub fn slice_parts(name: &str) -> impl Iterator<Item = &str> {
    let mut is_escaped = false;
    name.split(move |c| {
        let is_end = c == ',' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    })
}

/// What a metric is held against.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// The metric compared with a number or with the baseline.
    Compare {
        /// How.
        op: Op,
        /// What stands on the right of the metric.
        right: Operand,
    },
    /// Not on the bad side of something else; which side is bad, the metric knows.
    NotWorse {
        /// What it is compared with.
        than: Relative,
    },
    /// From `low` to `high`, both included; `low` is not above `high`.
    Between {
        /// The least allowed value.
        low: f64,
        /// The greatest allowed value.
        high: f64,
    },
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// What a metric is compared with. All numbers are finite.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A number.
    Number(f64),
    /// Another metric.
    Relative(Relative),
}

/// `factor` × another metric of the same name + `offset`.
#[derive(Debug, Clone, PartialEq)]
pub struct Relative {
    /// Which metric it is.
    pub to: Reference,
    /// 1 for plain `baseline`, 0.99 for `99% of baseline`; above zero.
    pub factor: f64,
    /// In the unit of the metric; 0 if not given.
    pub offset: f64,
}

/// Which other metric one is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Reference {
    /// The same metric of the baseline.
    Baseline,
    /// The same metric of the candidate over all rows, for one of a slice.
    Overall,
    /// One of the candidate's of the same name. Each of its labels has one value.
    Metric(MetricAddress),
}

/// Why a requirement could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequirementError {
    /// Which of the two texts `span` points into.
    pub part: RequirementPart,
    /// Byte range in that text.
    pub span: Range<usize>,
    /// One of [`codes`](crate::codes).
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// The two texts of a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequirementPart {
    /// The metric.
    Metric,
    /// The condition.
    Condition,
}

impl Requirement {
    /// Returns whether it says by how much a metric over all rows may be worse than the baseline's.
    pub fn allows_worse_than_baseline(&self) -> bool {
        let (Bound::Compare { right: Operand::Relative(than), .. } | Bound::NotWorse { than }) = &self.bound else {
            return false;
        };
        self.metric.labels.is_empty() && than.to == Reference::Baseline && (than.factor, than.offset) != (1.0, 0.0)
    }

    /// Returns the condition in its plainest spelling, such as `>= 0.95 with confidence 95%`.
    pub fn condition(&self) -> String {
        match self.confidence {
            Some(it) => format!("{} with confidence {}", self.bound, percentage(it)),
            None => self.bound.to_string(),
        }
    }

    /// Returns whether the baseline is needed to decide it.
    pub fn is_relative(&self) -> bool {
        let it = match &self.bound {
            Bound::Compare { right: Operand::Relative(it), .. } | Bound::NotWorse { than: it } => it,
            Bound::Compare { right: Operand::Number(_), .. } | Bound::Between { .. } => return false,
        };
        it.to == Reference::Baseline
    }
}

impl Op {
    /// Returns how it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Less => "<",
            Op::LessOrEqual => "<=",
            Op::Greater => ">",
            Op::GreaterOrEqual => ">=",
            Op::Equal => "==",
            Op::NotEqual => "!=",
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.metric, self.condition())
    }
}

impl fmt::Display for MetricAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (idx, (key, value)) in self.labels.iter().enumerate() {
            write!(f, "{}{key}={value}", if idx == 0 { "[" } else { ", " })?;
        }
        f.write_str(if self.labels.is_empty() { "" } else { "]" })
    }
}

impl fmt::Display for LabelMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LabelMatch::Any => f.write_str("*"),
            LabelMatch::Prefix(it) => write!(f, "{it}*"),
            LabelMatch::Exact(it) if !it.is_empty() && it.chars().all(parse::is_bare) => f.write_str(it),
            LabelMatch::Exact(it) => {
                write!(f, "\"{}\"", it.replace('\\', "\\\\").replace('"', "\\\""))
            }
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Compare { op, right } => write!(f, "{op} {right}"),
            Bound::NotWorse { than } => write!(f, "not worse than {than}"),
            Bound::Between { low, high } => {
                write!(f, "between {} and {}", decimal(*low), decimal(*high))
            }
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Number(it) => f.write_str(&decimal(*it)),
            Operand::Relative(it) => it.fmt(f),
        }
    }
}

impl fmt::Display for Relative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.factor != 1.0 {
            write!(f, "{} of ", percentage(self.factor))?;
        }
        self.to.fmt(f)?;
        if self.offset != 0.0 {
            write!(f, " {} {}", if self.offset < 0.0 { '-' } else { '+' }, decimal(self.offset.abs()))?;
        }
        Ok(())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Baseline => f.write_str("baseline"),
            Reference::Overall => f.write_str("overall"),
            Reference::Metric(it) => it.fmt(f),
        }
    }
}
