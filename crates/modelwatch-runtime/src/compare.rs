//! The models of a run, node by node, as probes are told of it.

use modelwatch_infer::{
    Comparison, Difference, InferError, MatchedBy, NodeDifference, NodeNumbers, Terms, Tolerance, ValueRange,
};
use modelwatch_sdk::{Error, ErrorKind, RecordBatch, Result, nodes, numerics};

use crate::models::RunModel;

/// Runs both models on rows with the columns of the data, or of the models' inputs.
pub(crate) fn compare(
    [baseline, candidate]: [&RunModel; 2],
    rows: &RecordBatch,
    terms: nodes::Terms,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<nodes::NodeComparison> {
    let nodes::Tolerance { absolute, relative } = terms.tolerance;
    let terms = Terms { tolerance: Tolerance { absolute, relative }, outputs: terms.outputs };
    let mut comparison = Comparison::new(&baseline.model, &candidate.model, &terms).map_err(Error::input)?;
    each_batch(baseline, candidate, rows, is_cancelled, |left, right| comparison.run(left, right))?;
    let outputs = comparison.outputs().into_iter().map(|it| nodes::OutputDifference {
        name: it.name,
        baseline: it.reference,
        difference: difference(&it.difference),
    });
    Ok(nodes::NodeComparison {
        rows: comparison.n_rows(),
        outputs: outputs.collect(),
        missing_outputs: comparison.missing_outputs().to_vec(),
        extra_outputs: comparison.extra_outputs().to_vec(),
        nodes: comparison.nodes().into_iter().map(node).collect(),
        obstacle: comparison.obstacle().map(ToString::to_string),
    })
}

/// Gives both models' inputs for rows with the columns of the data, or of the models' inputs, a batch at a time.
pub(crate) fn each_batch(
    baseline: &RunModel,
    candidate: &RunModel,
    rows: &RecordBatch,
    is_cancelled: &dyn Fn() -> bool,
    mut run: impl FnMut(&RecordBatch, &RecordBatch) -> std::result::Result<(), InferError>,
) -> Result<()> {
    // Whole batches of models that have one, so that little has to be filled up.
    let rows_at_once = baseline.model.micro_batch().max(candidate.model.micro_batch());
    for start in (0..rows.num_rows()).step_by(rows_at_once) {
        if is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
        }
        let part = rows.slice(start, rows_at_once.min(rows.num_rows() - start));
        let inputs = |model: &RunModel| Ok::<_, Error>(model.assemble(&part)?.unwrap_or_else(|| part.clone()));
        run(&inputs(baseline)?, &inputs(candidate)?).map_err(Error::input)?;
    }
    Ok(())
}

/// Runs a model on rows with the columns of the data, or of the model's inputs.
pub(crate) fn numerics(
    model: &RunModel,
    rows: &RecordBatch,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<numerics::Numerics> {
    let assembled = model.assemble(rows)?;
    let found = model.model.numerics(assembled.as_ref().unwrap_or(rows), is_cancelled);
    let found = found.map_err(|e| match is_cancelled() {
        true => Error::new(ErrorKind::Cancelled, "cancelled"),
        false => Error::input(e),
    })?;
    let node = |it: NodeNumbers| numerics::NodeNumbers {
        mean_square: it.mean_square(),
        name: it.name,
        operator: it.operator,
        outputs: it.outputs,
        is_float: it.is_float,
        n: it.n,
        n_nan: it.n_nan,
        n_infinite: it.n_infinite,
        n_subnormal: it.n_subnormal,
        n_saturated: it.n_saturated,
        range: it.range.map(range),
    };
    Ok(numerics::Numerics {
        rows: rows.num_rows() as u64,
        nodes: found.nodes.into_iter().map(node).collect(),
        constants: found.constants.into_iter().map(node).collect(),
        nested: found.nested,
    })
}

fn node(node: NodeDifference) -> nodes::NodeDifference {
    let inputs = node.inputs.into_iter().zip(node.input_ranges);
    nodes::NodeDifference {
        name: node.name,
        operator: node.operator,
        inputs: inputs.map(|(node, it)| nodes::NodeInput { node, range: it.map(range) }).collect(),
        range: node.range.map(range),
        counterpart: node.counterpart.map(|it| nodes::Counterpart {
            name: it.name,
            matched_by: match it.matched_by {
                MatchedBy::Name => nodes::MatchedBy::Name,
                MatchedBy::Structure => nodes::MatchedBy::Structure,
                MatchedBy::Value => nodes::MatchedBy::Value,
            },
            cumulative: difference(&it.cumulative),
            isolated: difference(&it.isolated),
            range: it.range.map(range),
        }),
    }
}

fn difference(it: &Difference) -> nodes::Difference {
    nodes::Difference {
        n: it.n,
        n_beyond: it.n_beyond,
        n_both_nan: it.n_both_nan,
        n_both_infinite: it.n_both_infinite,
        max_absolute: it.max_absolute,
        relative_norm: it.relative_norm(),
    }
}

fn range(it: ValueRange) -> nodes::ValueRange {
    nodes::ValueRange { least: it.least, greatest: it.greatest }
}
