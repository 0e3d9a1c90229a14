//! The smallest model in which a difference shows: what [`Host::reproduce`](crate::Host::reproduce) gives.

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::{
    artifact::{self, Artifact},
    error::{Error, Result},
    report::float,
};

/// What the service is called, before the node.
const SERVICE: &str = "reproduce:";
/// The name of what is told beside the files.
const TOLD: &str = "told.json";

/// Where a node does something else than its counterpart, small enough to be looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Reproduction {
    /// What is told of it.
    pub told: Told,
    /// The files of all excerpts.
    pub files: Vec<Artifact>,
}

/// What is told of a reproduction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The tensor of the candidate's file at which it shows.
    pub tensor: String,
    /// The row at which it shows most, among those that were given.
    pub row: u64,
    /// The excerpts, the smallest first.
    pub excerpts: Vec<Excerpt>,
}

/// A part of the candidate as a model of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Excerpt {
    /// The file with the model.
    pub model: String,
    /// The file with its inputs under their own names, and with what the candidate and the baseline have for its output under
    /// `candidate.<output>` and `baseline.<output>`.
    pub data: String,
    /// How many nodes of the candidate it has.
    pub nodes: u64,
    /// The greatest `|candidate − baseline|`; infinite where one of both is not finite.
    #[serde(with = "float")]
    pub max_absolute: f64,
}

/// Returns the name of the service; see [`Host::exchange`](crate::Host::exchange).
pub(crate) fn service(node: &str) -> String {
    format!("{SERVICE}{node}")
}

/// Returns the node where the service is this one.
pub fn node_of(service: &str) -> Option<&str> {
    service.strip_prefix(SERVICE)
}

impl Reproduction {
    /// Returns it as rows.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn into_rows(mut self) -> Result<RecordBatch> {
        let told = serde_json::to_vec(&self.told).map_err(Error::input)?;
        self.files.push(Artifact::new(TOLD, told));
        artifact::to_rows(&self.files)
    }

    /// Reads it.
    pub(crate) fn from_rows(rows: &RecordBatch) -> Result<Self> {
        let mut files = artifact::from_rows(rows)?;
        let told = files.pop().filter(|it| it.name == TOLD);
        let told = told.ok_or_else(|| Error::input("the host's files do not say what they are"))?;
        let told = serde_json::from_slice(&told.bytes)
            .map_err(|e| Error::input(format!("cannot read what the host's files are: {e}")))?;
        Ok(Self { told, files })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reproductions_come_back_as_they_were() {
        let excerpt = Excerpt { model: "a.onnx".to_owned(), max_absolute: f64::INFINITY, ..Excerpt::default() };
        let told = Told { tensor: "relu".to_owned(), row: 7, excerpts: vec![excerpt] };
        let all = Reproduction { told, files: vec![Artifact::new("a.onnx", vec![1, 2])] };
        assert_eq!(Reproduction::from_rows(&all.clone().into_rows().unwrap()).unwrap(), all);
        assert!(Reproduction::from_rows(&artifact::to_rows(&all.files).unwrap()).is_err());
        assert_eq!((node_of(&service("a:b")), node_of("nodes:{}")), (Some("a:b"), None));
    }
}
