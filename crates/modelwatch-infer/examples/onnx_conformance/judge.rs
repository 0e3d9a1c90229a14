//! Runs a case in every way there is, and holds the answers against what is expected.

use std::path::Path;

use modelwatch_infer::{ExactModel, ExactValue, InferError, Values, Way};

use crate::cases::Case;

/// What ONNX's own runner takes for equal.
const RELATIVE: f64 = 1e-3;
const ABSOLUTE: f64 = 1e-7;

/// Cases whose expected values are themselves rounding noise of this size where the answer is zero.
const NOISY: [(&str, f64); 2] = [("test_dft_inverse", 1e-6), ("test_dft_inverse_opset19", 1e-6)];

/// How far an answer may be from what is expected.
#[derive(Clone, Copy)]
enum Tolerance {
    /// Relative to single and double precision, and whatever the number.
    Given { relative: f64, absolute: f64 },
    /// Relative, to as many digits as there are: among extreme values, the least ones are no noise. Those without all digits may be 0.
    Close,
}

impl Tolerance {
    /// Two units in the last place, which the runner allows for bfloat16 and this project for half precision, too: its single unit is
    /// beyond 1e-3 already.
    fn of(self, data_type: i32) -> [f64; 2] {
        let (others, absolute) = match self {
            Self::Given { relative, absolute } => (relative, absolute),
            Self::Close if data_type == 11 => (1e-12, f64::MIN_POSITIVE),
            Self::Close => (1e-5, f64::from(f32::MIN_POSITIVE)),
        };
        let relative = match data_type {
            10 => 2f64.powi(-9),
            16 => 2f64.powi(-6),
            _ => others,
        };
        [relative, absolute]
    }
}

/// What came of a case.
pub(crate) enum Verdict {
    /// In these ways.
    Pass(Vec<&'static str>),
    Refused(String),
    Wrong(String),
    Failed(String),
}

pub(crate) fn judge(case: &Case) -> Verdict {
    let model = match ExactModel::load(&case.model) {
        Ok(it) => it,
        Err(error @ InferError::Unsupported { .. }) => return Verdict::Refused(refused(&error)),
        Err(error) => return Verdict::Failed(said(&error)),
    };
    let mut passed = Vec::new();
    let mut first_error = None;
    let ways =
        [(Way::Compiled, "compiled"), (Way::CompiledWithConstants, "constants"), (Way::Interpreted, "interpreted")];
    for (way, name) in ways {
        match check(&model, case, way) {
            Ok(None) => passed.push(name),
            Ok(Some(difference)) => return Verdict::Wrong(format!("{name}: {difference}")),
            Err(error @ InferError::Unsupported { .. }) => return Verdict::Refused(refused(&error)),
            // The last word is the interpreter's, which every model falls back to.
            Err(error) => first_error = Some(said(&error)),
        }
    }
    match first_error {
        Some(error) if passed.is_empty() => Verdict::Failed(error),
        _ => Verdict::Pass(passed),
    }
}

/// Returns the operators that a refusal names.
fn refused(error: &InferError) -> String {
    let InferError::Unsupported { operators, .. } = error else { return said(error) };
    let names: Vec<_> = operators.0.iter().map(|(operator, _)| operator.as_str()).collect();
    names.join(", ")
}

/// Returns the first difference, if the model runs at all.
fn check(model: &ExactModel, case: &Case, way: Way) -> Result<Option<String>, InferError> {
    let folder = case.model.parent();
    let noise = NOISY.iter().find(|(name, _)| folder.is_some_and(|it| it.ends_with(name)));
    let tolerance = if folder.and_then(Path::parent).is_some_and(|it| it.ends_with("extreme")) {
        Tolerance::Close
    } else {
        Tolerance::Given { relative: RELATIVE, absolute: noise.map_or(ABSOLUTE, |it| it.1) }
    };
    for set in &case.data {
        let outputs = model.run(&set.inputs, way)?;
        if outputs.len() != set.outputs.len() {
            return Ok(Some(format!("{} outputs, not {}", outputs.len(), set.outputs.len())));
        }
        for (idx, (got, wanted)) in outputs.iter().zip(&set.outputs).enumerate() {
            if let Some(difference) = difference(got, wanted, tolerance) {
                return Ok(Some(format!("output {idx}: {difference}")));
            }
        }
    }
    Ok(None)
}

fn difference(got: &ExactValue, wanted: &ExactValue, tolerance: Tolerance) -> Option<String> {
    match (got, wanted) {
        (ExactValue::Absent, ExactValue::Absent) => None,
        (ExactValue::Sequence(got), ExactValue::Sequence(wanted)) => {
            if got.len() != wanted.len() {
                return Some(format!("{} elements, not {}", got.len(), wanted.len()));
            }
            got.iter().zip(wanted).find_map(|(got, wanted)| difference(got, wanted, tolerance))
        }
        (
            ExactValue::Tensor { data_type: got_type, tensor: got },
            ExactValue::Tensor { data_type: wanted_type, tensor: wanted },
        ) => {
            if got_type != wanted_type {
                return Some(format!("type {got_type}, not {wanted_type}"));
            }
            if got.shape != wanted.shape {
                return Some(format!("shape {:?}, not {:?}", got.shape, wanted.shape));
            }
            if let (Values::Utf8(got), Values::Utf8(wanted)) = (&got.values, &wanted.values) {
                return (got != wanted).then(|| format!("{got:?}, not {wanted:?}"));
            }
            if let (Some(got), Some(wanted)) = (integers(&got.values), integers(&wanted.values)) {
                let at = got.iter().zip(&wanted).position(|(got, wanted)| got != wanted)?;
                return Some(format!("element {at} is {}, not {}", got[at], wanted[at]));
            }
            let (got, wanted) = (numbers(&got.values), numbers(&wanted.values));
            let tolerance = tolerance.of(*got_type);
            let at = got.iter().zip(&wanted).position(|(got, wanted)| !is_close(*got, *wanted, tolerance))?;
            Some(format!("element {at} is {}, not {}", got[at], wanted[at]))
        }
        _ => Some("another kind of value".to_string()),
    }
}

fn is_close(got: f64, wanted: f64, [relative, absolute]: [f64; 2]) -> bool {
    let is_within = (got - wanted).abs() <= absolute + relative * wanted.abs();
    // Any number is within a part of an infinity.
    got == wanted || (got.is_nan() && wanted.is_nan()) || (is_within && wanted.is_finite())
}

/// Returns the elements, if they are no floating point numbers.
fn integers(values: &Values) -> Option<Vec<i128>> {
    Some(match values {
        Values::Bool(it) => it.iter().map(|&it| i128::from(it)).collect(),
        Values::I8(it) => it.iter().map(|&it| i128::from(it)).collect(),
        Values::I16(it) => it.iter().map(|&it| i128::from(it)).collect(),
        Values::I32(it) => it.iter().map(|&it| i128::from(it)).collect(),
        Values::I64(it) => it.iter().map(|&it| i128::from(it)).collect(),
        Values::U8(it) => it.iter().map(|&it| i128::from(it)).collect(),
        Values::U16(it) => it.iter().map(|&it| i128::from(it)).collect(),
        Values::U32(it) => it.iter().map(|&it| i128::from(it)).collect(),
        Values::U64(it) => it.iter().map(|&it| i128::from(it)).collect(),
        _ => return None,
    })
}

fn numbers(values: &Values) -> Vec<f64> {
    match values {
        Values::F32(it) => it.iter().map(|&it| f64::from(it)).collect(),
        Values::F64(it) => it.to_vec(),
        _ => Vec::new(),
    }
}

/// Returns the reason without the path, which is another on every machine.
fn said(error: &InferError) -> String {
    match error {
        InferError::Run { reason, .. } | InferError::Malformed { reason, .. } => reason.clone(),
        InferError::Panicked { message, .. } => format!("panicked: {message}"),
        other => other.to_string(),
    }
}
