//! Numbers in JSON: those that are not finite are written as `"nan"`, `"inf"` and `"-inf"`.
//!
//! Use as `#[serde(with = "float")]`; [`option`], [`list`] and [`rows`] do the same for `Option<f64>`, `Vec<f64>` and
//! `Vec<Vec<f64>>`.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

/// The JSON form of an `f64`, for schemas.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code)]
pub enum Number {
    /// A finite number.
    Finite(f64),
    /// `"nan"`, `"inf"` or `"-inf"`.
    Word(Word),
}

/// The words for numbers that are not finite.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub enum Word {
    /// Not a number.
    #[schemars(rename = "nan")]
    Nan,
    /// Positive infinity.
    #[schemars(rename = "inf")]
    Inf,
    /// Negative infinity.
    #[schemars(rename = "-inf")]
    NegInf,
}

/// Returns the JSON form of `value`.
pub fn to_value(value: f64) -> Value {
    if value.is_finite() {
        Value::from(value)
    } else if value.is_nan() {
        Value::from("nan")
    } else {
        Value::from(if value > 0.0 { "inf" } else { "-inf" })
    }
}

/// Returns the number that `value` stands for.
pub fn from_value(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("nan") => Some(f64::NAN),
        Some("inf") => Some(f64::INFINITY),
        Some("-inf") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => value.as_f64(),
    }
}

/// Writes an `f64`.
///
/// # Errors
/// When the serializer fails.
pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    to_value(*value).serialize(serializer)
}

/// Reads an `f64`.
///
/// # Errors
/// When the value is neither a number nor one of the three words.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    from_value(&value).ok_or_else(|| D::Error::custom(format!("`{value}` is not a number")))
}

/// The same for `Option<f64>`.
pub mod option {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Value, from_value, to_value};
    use serde::de::Error as _;

    /// Writes an `Option<f64>`.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(to_value).serialize(serializer)
    }

    /// Reads an `Option<f64>`.
    ///
    /// # Errors
    /// When the value is neither null, a number, nor one of the three words.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        let value = Option::<Value>::deserialize(deserializer)?;
        value.map(|it| from_value(&it).ok_or_else(|| D::Error::custom(format!("`{it}` is not a number")))).transpose()
    }
}

/// The same for `Vec<f64>`.
pub mod list {
    use super::{Deserialize, Deserializer, Serializer, Value, from_value, to_value};
    use serde::de::Error as _;

    /// Writes a `Vec<f64>`.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|&it| to_value(it)))
    }

    /// Reads a `Vec<f64>`.
    ///
    /// # Errors
    /// When an element is neither a number nor one of the three words.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        Vec::<Value>::deserialize(deserializer)?
            .iter()
            .map(|it| from_value(it).ok_or_else(|| D::Error::custom(format!("`{it}` is not a number"))))
            .collect()
    }
}

/// The same for `Vec<Vec<f64>>`.
pub mod rows {
    use super::{Deserialize, Deserializer, Serialize, Serializer, list};

    #[derive(Serialize)]
    #[serde(transparent)]
    struct Borrowed<'a>(#[serde(serialize_with = "list::serialize")] &'a [f64]);

    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Owned(#[serde(with = "list")] Vec<f64>);

    /// Writes a `Vec<Vec<f64>>`.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(rows: &[Vec<f64>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(rows.iter().map(|it| Borrowed(it)))
    }

    /// Reads a `Vec<Vec<f64>>`.
    ///
    /// # Errors
    /// When an element is neither a number nor one of the three words.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<f64>>, D::Error> {
        Ok(Vec::<Owned>::deserialize(deserializer)?.into_iter().map(|it| it.0).collect())
    }
}
