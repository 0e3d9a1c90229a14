//! Whose outputs a profile has.

use modelwatch_sdk::{
    Result,
    state::{Reader, Writer, damaged},
    store::short,
};

/// What gave the outputs of a profile. Outputs of another one are other columns of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predictor {
    /// The digest of the model.
    pub model: String,
    /// What ran it, with its version.
    pub runtime: String,
    /// Each input of the model with the columns of the data that it was made of.
    pub inputs: Vec<(String, Vec<String>)>,
}

impl Predictor {
    /// Returns why outputs of the other one are not to be compared with those of this one, if so.
    ///
    /// Versions of one runtime agree but for roundings; two runtimes may choose differently among what is as good as equal.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let (mine, theirs) = (short(&self.model), short(&other.model));
        if self.model != other.model {
            return Some(format!("of the model {mine}, not of the model {theirs}"));
        }
        if name(&self.runtime) != name(&other.runtime) {
            return Some(format!("computed by {}, not by {}", self.runtime, other.runtime));
        }
        let (input, columns) = self.inputs.iter().find(|it| !other.inputs.contains(it))?;
        Some(format!("made with the input `{input}` from the columns {}, not from those of this run", some(columns)))
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.bytes(self.model.as_bytes());
        writer.bytes(self.runtime.as_bytes());
        writer.u64(self.inputs.len() as u64);
        for (input, columns) in &self.inputs {
            writer.bytes(input.as_bytes());
            writer.u64(columns.len() as u64);
            columns.iter().for_each(|it| writer.bytes(it.as_bytes()));
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let (model, runtime) = (reader.text()?.to_owned(), reader.text()?.to_owned());
        if model.is_empty() || runtime.is_empty() {
            return Err(damaged("its outputs are of no model"));
        }
        let mut inputs = Vec::new();
        for _ in 0..reader.u64()? {
            let input = reader.text()?.to_owned();
            let n_columns = reader.u64()?;
            let columns = (0..n_columns).map(|_| Ok(reader.text()?.to_owned())).collect::<Result<_>>()?;
            inputs.push((input, columns));
        }
        Ok(Self { model, runtime, inputs })
    }
}

/// A runtime without its version.
fn name(runtime: &str) -> &str {
    runtime.rsplit_once(' ').map_or(runtime, |it| it.0)
}

fn some(columns: &[String]) -> String {
    match columns {
        [first, _, .., last] => format!("`{first}` to `{last}`"),
        _ => columns.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(" and "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictor(model: &str, runtime: &str, column: &str) -> Predictor {
        let inputs = vec![("x".to_owned(), vec![column.to_owned()])];
        Predictor { model: model.repeat(64), runtime: runtime.to_owned(), inputs }
    }

    #[test]
    fn what_differs_is_named() {
        let kept = predictor("a", "tract 0.23.9", "height");
        for (other, expected) in [
            (predictor("a", "tract 0.24.0", "height"), None),
            (
                predictor("b", "tract 0.23.9", "height"),
                Some("of the model aaaaaaaaaaaa, not of the model bbbbbbbbbbbb"),
            ),
            (
                predictor("a", "ONNX Runtime 1.32.0", "height"),
                Some("computed by tract 0.23.9, not by ONNX Runtime 1.32.0"),
            ),
            (
                predictor("a", "tract 0.23.9", "weight"),
                Some("made with the input `x` from the columns `height`, not from those of this run"),
            ),
        ] {
            assert_eq!(kept.difference(&other).as_deref(), expected);
        }
    }
}
