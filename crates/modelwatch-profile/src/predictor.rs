//! Whose outputs a profile has.

use modelwatch_sdk::{
    Result,
    state::{Reader, Writer, damaged},
    store::short,
};

/// The profile has no outputs.
const NONE: u8 = 0;
/// It has outputs of a model.
const OF_MODEL: u8 = 1;
/// It has outputs of a signature of a model, whose name comes first.
const OF_SIGNATURE: u8 = 2;

/// What gave the outputs of a profile. Outputs of another one are other columns of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predictor {
    /// The digest of the model.
    pub model: String,
    /// Which of its signatures was run; none in formats without them.
    pub signature: Option<String>,
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
        if self.signature != other.signature {
            let (mine, theirs) = (of_signature(self), of_signature(other));
            return Some(format!("of {mine} of the model, not of {theirs}"));
        }
        if name(&self.runtime) != name(&other.runtime) {
            return Some(format!("computed by {}, not by {}", self.runtime, other.runtime));
        }
        let (input, columns) = self.inputs.iter().find(|it| !other.inputs.contains(it))?;
        Some(format!("made with the input `{input}` from the columns {}, not from those of this run", some(columns)))
    }

    /// Writes whether there is one, and it.
    pub(crate) fn write(predictor: Option<&Self>, writer: &mut Writer) {
        let Some(it) = predictor else { return writer.u8(NONE) };
        writer.u8(if it.signature.is_some() { OF_SIGNATURE } else { OF_MODEL });
        it.signature.iter().for_each(|it| writer.bytes(it.as_bytes()));
        it.write_model(writer);
    }

    fn write_model(&self, writer: &mut Writer) {
        writer.bytes(self.model.as_bytes());
        writer.bytes(self.runtime.as_bytes());
        writer.u64(self.inputs.len() as u64);
        for (input, columns) in &self.inputs {
            writer.bytes(input.as_bytes());
            writer.u64(columns.len() as u64);
            columns.iter().for_each(|it| writer.bytes(it.as_bytes()));
        }
    }

    /// Reads it, if there is one.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Option<Self>> {
        let signature = match reader.u8()? {
            NONE => return Ok(None),
            OF_MODEL => None,
            OF_SIGNATURE => Some(reader.text()?.to_owned()),
            it => return Err(damaged(format!("it has outputs of the kind {it}"))),
        };
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
        Ok(Some(Self { model, signature, runtime, inputs }))
    }
}

fn of_signature(predictor: &Predictor) -> String {
    predictor.signature.as_ref().map_or_else(|| "no signature".to_owned(), |it| format!("the signature `{it}`"))
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
        Predictor { model: model.repeat(64), signature: None, runtime: runtime.to_owned(), inputs }
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
        let of = |name: &str| Predictor { signature: Some(name.to_owned()), ..kept.clone() };
        assert_eq!(of("serve").difference(&of("serve")), None);
        let difference = of("serve").difference(&of("embed"));
        assert_eq!(difference.as_deref(), Some("of the signature `serve` of the model, not of the signature `embed`"));
        let difference = kept.difference(&of("serve"));
        assert_eq!(difference.as_deref(), Some("of no signature of the model, not of the signature `serve`"));
    }
}
