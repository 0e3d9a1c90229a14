//! Names of checkpoints that are in a store.

use std::{fmt, ops::Range, str::FromStr};

/// A checkpoint in a store: `digits@latest` or `digits@b3:4fa1c2`.
///
/// ```
/// use modelwatch_config::{CheckpointSpec, Selector};
/// let spec: CheckpointSpec = "digits@latest".parse()?;
/// assert_eq!(spec.selector, Selector::Ref("latest".to_owned()));
/// # Ok::<(), modelwatch_config::CheckpointSpecError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CheckpointSpec {
    /// The lineage: what the checkpoints of one model have in common.
    pub lineage: String,
    /// Which checkpoint of the lineage.
    pub selector: Selector,
}

/// Which checkpoint of a lineage.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The one a ref points to.
    Ref(String),
    /// The one with this digest, or the only one whose digest begins like this: lower-case hexadecimal digits.
    Id(String),
}

/// Why a text does not name a stored checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CheckpointSpecError {
    /// What is wrong.
    pub message: String,
    /// Where it is in the text.
    pub span: Range<usize>,
    /// Whether only a name is bad, rather than the form as a whole.
    pub is_name: bool,
}

/// Fewest digits of a digest that can stand for all of it.
const MIN_DIGITS: usize = 4;
/// Digits of a whole BLAKE3 digest.
const MAX_DIGITS: usize = 64;

/// The ref that is the newest checkpoint of a lineage, and nothing else.
pub(crate) const LATEST: &str = "latest";

/// What names are made of, for messages.
pub(crate) const NAME_RULE: &str = "use 1 to 128 letters, digits, `.`, `_` or `-`, and begin with none of `.` and `-`";

impl FromStr for CheckpointSpec {
    type Err = CheckpointSpecError;

    fn from_str(text: &str) -> Result<CheckpointSpec, CheckpointSpecError> {
        let fail = |message: String, span, is_name| CheckpointSpecError { message, span, is_name };
        let Some((lineage, selector)) = text.split_once('@') else {
            return Err(fail(format!("`{text}` does not say which checkpoint of a lineage"), 0..text.len(), false));
        };
        if !is_name(lineage) {
            return Err(fail(format!("`{lineage}` is not a name for a lineage"), 0..lineage.len(), true));
        }
        let start = lineage.len() + 1;
        let selector = match selector.strip_prefix("b3:") {
            Some(digits) => {
                let is_hex = digits.bytes().all(|it| it.is_ascii_hexdigit());
                if !is_hex || !(MIN_DIGITS..=MAX_DIGITS).contains(&digits.len()) {
                    let message = format!(
                        "`{digits}` is not a digest: {MIN_DIGITS} to {MAX_DIGITS} hexadecimal digits are needed"
                    );
                    return Err(fail(message, start + 3..text.len(), false));
                }
                Selector::Id(digits.to_ascii_lowercase())
            }
            None if !is_name(selector) => {
                return Err(fail(format!("`{selector}` is not a name for a ref"), start..text.len(), true));
            }
            None => Selector::Ref(selector.to_owned()),
        };
        Ok(CheckpointSpec { lineage: lineage.to_owned(), selector })
    }
}

impl fmt::Display for CheckpointSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.selector {
            Selector::Ref(name) => write!(f, "{}@{name}", self.lineage),
            Selector::Id(digits) => write!(f, "{}@b3:{digits}", self.lineage),
        }
    }
}

/// What the name of a lineage with the profiles of another one ends with, which no checkpoint's own does.
pub const PROFILES_SUFFIX: &str = ".profiles";

/// Returns whether a text can name a lineage, a ref or a probe.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it))
        && !text.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::CheckpointSpec;

    #[test]
    fn specs_are_read_and_shown_alike() {
        for text in ["digits@latest", "a.b_c-1@good", "digits@b3:abcd", &format!("d@b3:{}", "0f".repeat(32))] {
            assert_eq!(text.parse::<CheckpointSpec>().unwrap().to_string(), text);
        }
        assert_eq!("d@b3:ABCD".parse::<CheckpointSpec>().unwrap().to_string(), "d@b3:abcd");
    }

    #[test]
    fn errors_point_at_the_bad_part() {
        for (text, part) in [
            ("digits", "digits"),
            ("", ""),
            ("di gits@good", "di gits"),
            ("@good", ""),
            ("digits@", ""),
            ("digits@../x", "../x"),
            ("digits@b3:xyz1", "xyz1"),
            ("digits@b3:abc", "abc"),
            ("a@b@c", "b@c"),
            ("ä@good", "ä"),
        ] {
            let error = text.parse::<CheckpointSpec>().unwrap_err();
            assert_eq!(&text[error.span.clone()], part, "{text}: {error}");
        }
        assert!(format!("d@b3:{}", "0".repeat(65)).parse::<CheckpointSpec>().is_err());
        assert!(format!("{}@r", "d".repeat(129)).parse::<CheckpointSpec>().is_err());
    }
}
