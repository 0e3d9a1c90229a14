//! Two models side by side, node by node: what [`Host::compare_nodes`](crate::Host::compare_nodes) tells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    report::float,
};

/// What the service is called, beside the models and before the terms.
const SERVICE: &str = "nodes:";

/// How far apart two numbers may be: `|candidate − baseline| ≤ absolute + relative · |baseline|`, as in NumPy's `allclose`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// The part that does not depend on the number.
    pub absolute: f64,
    /// The part that does.
    pub relative: f64,
}

/// What the candidate and the baseline are held to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// How far apart numbers may be.
    #[serde(flatten)]
    pub tolerance: Tolerance,
    /// The baseline's output by the candidate's, where they have other names. All others are compared by their own name.
    #[serde(default)]
    pub outputs: BTreeMap<String, String>,
}

/// The candidate beside the baseline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeComparison {
    /// The number of rows.
    pub rows: u64,
    /// The outputs that both have, in the candidate's order.
    pub outputs: Vec<OutputDifference>,
    /// The baseline's outputs that the candidate lacks.
    #[serde(default)]
    pub missing_outputs: Vec<String>,
    /// The candidate's outputs that the baseline lacks.
    #[serde(default)]
    pub extra_outputs: Vec<String>,
    /// The candidate's nodes, each after those whose values it takes. None where a model cannot be run node by node.
    pub nodes: Vec<NodeDifference>,
    /// Why there are no nodes, if so.
    pub obstacle: Option<String>,
}

/// An output of the candidate beside the baseline's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OutputDifference {
    /// The name in the candidate.
    pub name: String,
    /// The name in the baseline.
    pub baseline: String,
    /// How far apart they are.
    pub difference: Difference,
}

/// A node of the candidate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeDifference {
    /// Its name.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// The nodes whose values it takes, constants left out.
    pub inputs: Vec<NodeInput>,
    /// The range of its own values.
    pub range: Option<ValueRange>,
    /// The baseline's node, where one was found.
    pub counterpart: Option<Counterpart>,
}

/// A value that a node takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeInput {
    /// The node that gives it.
    pub node: String,
    /// Its range.
    pub range: Option<ValueRange>,
}

/// The baseline's node beside a node of the candidate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counterpart {
    /// Its name.
    pub name: String,
    /// How it was found.
    pub matched_by: MatchedBy,
    /// How far apart the values are that both models have there.
    pub cumulative: Difference,
    /// How far apart they are where the candidate's node is fed the baseline's values.
    pub isolated: Difference,
    /// The range of the baseline's values.
    pub range: Option<ValueRange>,
}

/// How a node found its counterpart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MatchedBy {
    /// By name.
    #[default]
    Name,
    /// By its operator and shape, and by the pairs that it stands between.
    Structure,
    /// By shape and by what both made of the first rows.
    Value,
}

/// How far values are apart, over all rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The number of elements.
    pub n: u64,
    /// The number of elements beyond the tolerance. One that is not finite in one model alone is beyond any.
    pub n_beyond: u64,
    /// The number of elements that are NaN in both models, where nothing says which of both is wrong.
    #[serde(default)]
    pub n_both_nan: u64,
    /// The number of elements that are the same infinity in both models.
    #[serde(default)]
    pub n_both_infinite: u64,
    /// The greatest `|candidate − baseline|`; infinite where one of both is not finite.
    #[serde(with = "float")]
    pub max_absolute: f64,
    /// `‖candidate − baseline‖₂ / ‖baseline‖₂`; the inverse of the signal-to-noise ratio.
    #[serde(with = "float")]
    pub relative_norm: f64,
}

/// The least and the greatest finite number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ValueRange {
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
}

/// Returns the name of the service with the terms; see [`Host::exchange`](crate::Host::exchange).
pub(crate) fn service(terms: &Terms) -> Result<String> {
    let terms = serde_json::to_string(terms).map_err(Error::input)?;
    Ok(format!("{SERVICE}{terms}"))
}

/// Returns the terms where the service is this one.
///
/// # Errors
/// When they cannot be read.
pub fn terms_of(service: &str) -> Option<Result<Terms>> {
    let terms = serde_json::from_str(service.strip_prefix(SERVICE)?);
    Some(terms.map_err(|e| Error::input(format!("cannot read the terms: {e}"))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::RecordBatch;
    use arrow_schema::Schema;

    use super::*;
    use crate::answer;

    #[test]
    fn comparisons_come_back_as_they_were() {
        let difference = Difference {
            n: 4,
            n_beyond: 1,
            n_both_nan: 1,
            n_both_infinite: 1,
            max_absolute: f64::INFINITY,
            relative_norm: f64::INFINITY,
        };
        let counterpart = Counterpart { name: "b".to_owned(), isolated: difference.clone(), ..Counterpart::default() };
        let node = NodeDifference { name: "a".to_owned(), counterpart: Some(counterpart), ..NodeDifference::default() };
        let output = OutputDifference { name: "y".to_owned(), baseline: "z".to_owned(), difference };
        let all = NodeComparison {
            rows: 2,
            outputs: vec![output],
            missing_outputs: vec!["w".to_owned()],
            nodes: vec![node],
            ..NodeComparison::default()
        };
        assert_eq!(answer::from_rows::<NodeComparison>(&answer::to_rows(&all).unwrap()).unwrap(), all);
        assert!(answer::from_rows::<NodeComparison>(&RecordBatch::new_empty(Arc::new(Schema::empty()))).is_err());
    }

    #[test]
    fn the_service_carries_its_terms() {
        let tolerance = Tolerance { absolute: 0.1, relative: 1e-300 };
        let terms = Terms { tolerance, outputs: [("y".to_owned(), "z".to_owned())].into() };
        assert_eq!(terms_of(&service(&terms).unwrap()).unwrap().unwrap(), terms);
        assert!(terms_of("candidate").is_none() && terms_of("nodes:{}").unwrap().is_err());
        // Without outputs.
        let terms = terms_of(r#"nodes:{"absolute":0.1,"relative":0.2}"#).unwrap().unwrap();
        assert_eq!(terms.outputs.len(), 0);
    }
}
