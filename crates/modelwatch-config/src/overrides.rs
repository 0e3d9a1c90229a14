//! `--set path=value`: one value of the pipeline given on the command line.

use std::{ops::Range, str::FromStr};

use toml::de::DeValue;

/// A value of the pipeline file given on the command line, replacing or adding one.
///
/// The path is dotted; a segment is an index if it meets an array, and may be quoted as in TOML:
/// `verify.0.require."recall[class=3]"=>= 0.9`. The value is TOML; what is not TOML is taken as a string, so that
/// `--set store.uses=local` needs no quotes in quotes.
///
/// ```
/// use modelwatch_config::Override;
/// assert!("run.threads=4".parse::<Override>().is_ok());
/// assert!("run.threads".parse::<Override>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The option of the command line that it was given with.
    option: &'static str,
    text: String,
    path: Path,
    value: Range<usize>,
    pub(crate) content: Content,
}

/// What an override sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// The TOML that is written at the place of the value.
    Toml,
    /// A string.
    Text(String),
    /// One more string of an array, which is made where there is none.
    Item(String),
}

/// Why a `--set` could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OverrideError {
    /// There is no `=`.
    #[error("cannot read `{option} {text}`: it has no `=`; write `{option} path.to.key=value`")]
    NoValue {
        /// The option that it was given with.
        option: &'static str,
        /// The whole argument.
        text: String,
    },
    /// The path before the `=` is malformed.
    #[error(
        "cannot read the path of `{option} {text}`: {reason}; write keys separated by dots, quoted if they have other characters than letters, digits, `_` and `-`"
    )]
    Path {
        /// The option that it was given with.
        option: &'static str,
        /// The whole argument.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The value begins like a string, an array or a table but is not valid TOML.
    #[error("cannot read the value of `{option} {text}`: {reason}")]
    Value {
        /// The option that it was given with.
        option: &'static str,
        /// The whole argument.
        text: String,
        /// What the TOML parser says.
        reason: String,
    },
}

/// Keys and where they stand in the argument.
type Path = Vec<(String, Range<usize>)>;

/// Longest path; deeper than any key of a pipeline.
const MAX_SEGMENTS: usize = 32;

impl Override {
    /// Reads `path=value`, given with another option than `--set`, whose path starts at `table`.
    ///
    /// It is shown as it was given.
    ///
    /// ```
    /// # use modelwatch_config::Override;
    /// let it = Override::below(&["verify", "0", "with"], "--with", "task=binary")?;
    /// let text = "name = 'x'\n[[verify]]\nuses = 'metrics'";
    /// let parsed = modelwatch_config::parse("p.toml".as_ref(), text, &[it]);
    /// assert_eq!(parsed.pipeline.unwrap().probes[0].component.with["task"], "binary");
    /// # Ok::<(), modelwatch_config::OverrideError>(())
    /// ```
    ///
    /// # Errors
    /// As for `--set`, with the name of that option.
    pub fn below(table: &[&str], option: &'static str, text: &str) -> Result<Override, OverrideError> {
        let mut res = read(option, text)?;
        res.path.splice(0..0, table.iter().map(|it| ((*it).to_owned(), 0..0)));
        Ok(res)
    }

    /// Sets the string at `path` to what an option of its own stands for.
    ///
    /// It is shown as it was given; `value` may say it in other words, as the absolute path of a file.
    ///
    /// ```
    /// # use modelwatch_config::Override;
    /// let it = Override::of_option("--current", "rows.csv", &["data", "current", "path"], "/data/rows.csv");
    /// let parsed = modelwatch_config::of_arguments("name = 'x'\n[[analyze]]\nuses = 'drift'", &[it]);
    /// assert_eq!(parsed.pipeline.unwrap().data.unwrap().current.unwrap().pattern, "/data/rows.csv");
    /// ```
    pub fn of_option(option: &'static str, text: &str, path: &[&str], value: impl Into<String>) -> Override {
        let path = path.iter().map(|it| ((*it).to_owned(), 0..text.len())).collect();
        Override { option, text: text.to_owned(), path, value: 0..text.len(), content: Content::Text(value.into()) }
    }

    /// Adds a string to the array of a key below `table`, of which the key and the string stand at these places of the argument.
    ///
    /// # Panics
    /// When a place is none of `text`.
    pub fn item(table: &[&str], option: &'static str, text: &str, [key, value]: [Range<usize>; 2]) -> Override {
        let mut path: Path = table.iter().map(|it| ((*it).to_owned(), 0..0)).collect();
        path.push((text[key.clone()].to_owned(), key));
        let content = Content::Item(text[value.clone()].to_owned());
        Override { option, text: text.to_owned(), path, value, content }
    }

    /// Returns what stands before the argument.
    pub(crate) fn option(&self) -> &'static str {
        self.option
    }

    /// Returns the argument as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the segments of the path, each with its byte range in the argument.
    pub(crate) fn path(&self) -> &[(String, Range<usize>)] {
        &self.path
    }

    /// Returns the byte range of the value in the argument.
    pub(crate) fn value(&self) -> Range<usize> {
        self.value.clone()
    }
}

impl FromStr for Override {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Override, OverrideError> {
        read("--set", text)
    }
}

fn read(option: &'static str, text: &str) -> Result<Override, OverrideError> {
    let (path, end) = parse_path(option, text)?;
    let start = end + 1;
    let value = &text[start..];
    let content = match DeValue::parse(value) {
        Ok(_) => Content::Toml,
        Err(error) if value.trim_start().starts_with(['"', '\'', '[', '{']) => {
            return Err(OverrideError::Value { option, text: text.to_owned(), reason: error.message().to_owned() });
        }
        Err(_) => Content::Text(value.to_owned()),
    };
    Ok(Override { option, text: text.to_owned(), path, value: start..text.len(), content })
}

/// Returns the segments of the path and the offset of the `=` after it.
fn parse_path(option: &'static str, text: &str) -> Result<(Path, usize), OverrideError> {
    let fail = |reason| OverrideError::Path { option, text: text.to_owned(), reason };
    let mut res = Path::new();
    let mut offset = 0;
    loop {
        let rest = &text[offset..];
        let (key, len) = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let inner = &rest[1..];
                let len = inner.find(quote).ok_or_else(|| fail("a quote is not closed"))?;
                (&inner[..len], len + 2)
            }
            _ => {
                let len =
                    rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(rest.len());
                if len == 0 {
                    return Err(fail("a key is empty or has a character that needs quotes"));
                }
                (&rest[..len], len)
            }
        };
        res.push((key.to_owned(), offset..offset + len));
        offset += len;
        match text[offset..].chars().next() {
            Some('=') => return Ok((res, offset)),
            Some('.') if res.len() == MAX_SEGMENTS => return Err(fail("the path is too deep")),
            Some('.') => offset += 1,
            Some(_) => return Err(fail("a key has a character that needs quotes")),
            None => return Err(OverrideError::NoValue { option, text: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, Override, OverrideError};

    fn read(text: &str) -> (Vec<String>, String, bool) {
        let res: Override = text.parse().unwrap();
        (
            res.path.iter().map(|(key, _)| key.clone()).collect(),
            res.text[res.value.clone()].to_owned(),
            res.content == Content::Toml,
        )
    }

    #[test]
    fn paths_are_dotted_and_values_are_toml_or_bare_words() {
        for (text, path, value, is_toml) in [
            ("a=1", &["a"][..], "1", true),
            ("verify.0.with.x=[1, 2]", &["verify", "0", "with", "x"], "[1, 2]", true),
            ("store.uses=local", &["store", "uses"], "local", false),
            ("a='it'", &["a"], "'it'", true),
            ("a=", &["a"], "", false),
            ("a==>= 0.9", &["a"], "=>= 0.9", false),
            (r#"r."recall[class=3]"=>= 0.9"#, &["r", "recall[class=3]"], ">= 0.9", false),
        ] {
            let path = path.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(read(text), (path, value.to_owned(), is_toml), "{text}");
        }
    }

    #[test]
    fn malformed_arguments_are_refused() {
        let error = |text: &str| text.parse::<Override>().unwrap_err();
        assert!(matches!(error("a.b"), OverrideError::NoValue { .. }));
        for text in ["", "=1", "a..b=1", "a b=1", "\"a=1", "a[0]=1", ".a=1"] {
            assert!(matches!(error(text), OverrideError::Path { .. }), "{text}");
        }
        assert!(matches!(error(&"a.".repeat(100)), OverrideError::Path { .. }));
        assert!(matches!(error("a=[1,"), OverrideError::Value { .. }));
        assert_eq!(error("a.b").to_string(), "cannot read `--set a.b`: it has no `=`; write `--set path.to.key=value`");
    }
}
