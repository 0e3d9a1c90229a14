//! The numbers of a model: of every node, or of its outputs alone where no more is asked for or the model is not run node by node.

use modelwatch_sdk::{
    ErrorKind, Host, ModelRole, RecordBatch, Result,
    arrow::schema::{DataType, Field},
    nodes::ValueRange,
    numerics::{NodeNumbers, Numerics},
    report::{Interval, Status},
    rows,
};

use crate::config::Scope;

/// What stands for the operator where only the outputs are known.
const OUTPUT: &str = "output";

/// What to do where not all nodes are seen.
const REMEDY: &str = "where the outputs are enough, ask for them by `scope = \"outputs\"`";

/// The numbers that were seen.
pub(crate) struct Seen {
    pub(crate) numbers: Numerics,
    /// Which numbers were asked for.
    pub(crate) scope: Scope,
    /// Why they are those of the outputs alone, if more was asked for.
    pub(crate) obstacle: Option<String>,
    /// Which nodes nobody looked at, if those around them were.
    pub(crate) hidden: Option<String>,
}

impl Seen {
    /// Returns the numbers on rows.
    ///
    /// # Errors
    /// When the model cannot be run at all.
    pub(crate) fn on(host: &dyn Host, scope: Scope, rows: &RecordBatch) -> Result<Self> {
        let outputs = || of_outputs(&host.infer(ModelRole::Candidate, rows)?);
        if scope == Scope::Outputs {
            return Ok(Self { numbers: outputs()?, scope, obstacle: None, hidden: None });
        }
        match host.numerics(ModelRole::Candidate, rows) {
            Ok(numbers) => {
                let hidden = (!numbers.nested.is_empty()).then(|| {
                    let names = numbers.nested.join("`, `");
                    format!("nobody looked at the nodes within `{names}`, which has graphs of its own; {REMEDY}")
                });
                Ok(Self { numbers, scope, obstacle: None, hidden })
            }
            Err(e) if matches!(e.kind, ErrorKind::Cancelled | ErrorKind::NotFound) => Err(e),
            Err(obstacle) => {
                let obstacle = format!("only the outputs were looked at: {}; {REMEDY}", obstacle.message);
                Ok(Self { numbers: outputs()?, scope, obstacle: Some(obstacle), hidden: None })
            }
        }
    }

    /// Returns whether nobody looked at inputs and nodes.
    pub(crate) fn is_of_outputs_alone(&self) -> bool {
        self.scope == Scope::Outputs || self.obstacle.is_some()
    }

    /// Returns how many nodes or outputs a limit on all of them is about. Of outputs alone only floating-point numbers can be NaN, and
    /// others would pass for nothing.
    pub(crate) fn n_judged(&self) -> u64 {
        let all = self.numbers.nodes.iter().filter(|it| !it.operator.is_empty() && it.n > 0);
        all.filter(|it| self.scope == Scope::Nodes || it.is_float).count() as u64
    }

    /// Returns how many rows the metrics of all of them are computed from: none where there is nothing to judge.
    pub(crate) fn n_rows(&self) -> u64 {
        if self.n_judged() > 0 { self.numbers.rows } else { 0 }
    }

    /// Returns why not all nodes were looked at.
    pub(crate) fn unseen(&self) -> Option<&String> {
        self.obstacle.as_ref().or(self.hidden.as_ref())
    }

    /// Returns what there is to say of a limit on all of `n` nodes. Those that were seen can break it, but not keep it for the others.
    pub(crate) fn judge(&self, n: u64, holds: bool, message: String) -> (Status, String) {
        match self.unseen() {
            Some(why) if holds => (Status::NotChecked, format!("{message}; {why}")),
            _ => (Status::of(n, holds), message),
        }
    }

    /// Returns the bounds of a metric that is at least what was seen, where more could be in what was not.
    pub(crate) fn bounds(&self, seen: f64, most: f64) -> Option<Interval> {
        self.unseen().map(|_| Interval::certain(seen, most))
    }
}

fn of_outputs(outputs: &RecordBatch) -> Result<Numerics> {
    let mut nodes = Vec::new();
    for (field, column) in outputs.schema_ref().fields().iter().zip(outputs.columns()) {
        if rows::is_numeric(field.data_type()) {
            nodes.push(output(field, &rows::numbers(column.as_ref())?.values));
        }
    }
    Ok(Numerics { rows: outputs.num_rows() as u64, nodes, ..Numerics::default() })
}

fn output(field: &Field, values: &[f64]) -> NodeNumbers {
    let count = |is: fn(&f64) -> bool| values.iter().filter(|it| is(it)).count() as u64;
    let finite = || values.iter().copied().filter(|it| it.is_finite());
    let [least, greatest] = [finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max)];
    let least_normal = least_normal(field.data_type());
    let n_subnormal = values.iter().filter(|it| **it != 0.0 && it.abs() < least_normal).count() as u64;
    NodeNumbers {
        name: field.name().clone(),
        operator: OUTPUT.to_owned(),
        outputs: vec![field.name().clone()],
        is_float: is_float(field.data_type()),
        n: values.len() as u64,
        n_nan: count(|it| it.is_nan()),
        n_infinite: count(|it| it.is_infinite()),
        n_subnormal,
        n_saturated: None,
        range: (least <= greatest).then_some(ValueRange { least, greatest }),
        mean_square: finite().map(|it| it * it).sum::<f64>() / finite().count() as f64,
    }
}

/// Returns the least normal number of a type; 0 of one that has no others.
fn least_normal(it: &DataType) -> f64 {
    match it {
        DataType::FixedSizeList(item, _) => least_normal(item.data_type()),
        DataType::Float16 => 2_f64.powi(-14),
        DataType::Float32 => f64::from(f32::MIN_POSITIVE),
        DataType::Float64 => f64::MIN_POSITIVE,
        _ => 0.0,
    }
}

fn is_float(it: &DataType) -> bool {
    match it {
        DataType::FixedSizeList(item, _) => is_float(item.data_type()),
        it => it.is_floating(),
    }
}
