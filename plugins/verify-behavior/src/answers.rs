//! What a model answers: numbers, and the class that they say.

use modelwatch_sdk::{
    Error, Result,
    arrow::array::{Array, ArrayRef},
    rows::{self, ExactNumbers, Number, Texts},
};

/// The answers for the rows of a batch.
pub(crate) enum Answers<'a> {
    /// One number per class, or one score.
    Scores { numbers: ExactNumbers<'a>, threshold: f64 },
    /// One integer, which is the class.
    Whole(ExactNumbers<'a>),
    /// One text, which is the class, or several, which are it together.
    Texts(Texts<'a>),
}

impl<'a> Answers<'a> {
    pub(crate) fn of(array: &'a ArrayRef, threshold: f64) -> Result<Self> {
        if !rows::is_numeric(array.data_type()) {
            return Ok(Self::Texts(rows::texts_of_rows(array.as_ref())?));
        }
        let numbers = rows::exact_numbers(array.as_ref())?;
        Ok(if numbers.width == 1 && numbers.are_integers() {
            Self::Whole(numbers)
        } else {
            Self::Scores { numbers, threshold }
        })
    }

    /// Returns the numbers of a row; none where the answer is a text.
    pub(crate) fn numbers(&self, row: usize) -> Option<impl ExactSizeIterator<Item = Number> + Clone> {
        match self {
            Self::Scores { numbers, .. } | Self::Whole(numbers) => Some(numbers.row(row)),
            Self::Texts(_) => None,
        }
    }

    /// Returns whether a number of the row is missing or not finite.
    pub(crate) fn is_broken(&self, row: usize) -> bool {
        match self {
            Self::Texts(it) => it.row(row).iter().any(Option::is_none),
            _ => self.numbers(row).is_none_or(|mut it| it.any(|it| !it.is_finite())),
        }
    }

    /// Returns the class that the answer says.
    pub(crate) fn class(&self, row: usize) -> String {
        match self {
            Self::Texts(it) => match it.row(row) {
                [it] => it.as_deref().unwrap_or_default().to_owned(),
                several => {
                    format!("{:?}", several.iter().map(|it| it.as_deref().unwrap_or_default()).collect::<Vec<_>>())
                }
            },
            Self::Whole(it) => it.row(row).map(|it| it.to_string()).collect(),
            Self::Scores { numbers, threshold } => match highest(numbers.row(row)) {
                Some((_, score)) if numbers.width == 1 => u8::from(score.to_f64() >= *threshold).to_string(),
                highest => highest.map_or(0, |it| it.0).to_string(),
            },
        }
    }

    /// Returns the answer as a person reads it.
    pub(crate) fn text(&self, row: usize) -> String {
        match self.numbers(row).map(|it| (it.len(), highest(it))) {
            None => self.class(row),
            Some((1, Some((_, it)))) => it.to_string(),
            Some((_, highest)) => {
                let (class, it) = highest.unwrap_or((0, Number::Float(f64::NAN)));
                format!("class {class} ({it})")
            }
        }
    }
}

/// Returns the highest number, of equal ones the first, and its index; NaN is lowest.
fn highest(numbers: impl Iterator<Item = Number>) -> Option<(usize, Number)> {
    numbers.enumerate().reduce(|best, it| if it.1 - best.1 > 0.0 || best.1.to_f64().is_nan() { it } else { best })
}

/// Returns the output of that name, or the only one.
pub(crate) fn choose<'b>(outputs: &[(&'b str, &'b ArrayRef)], wanted: Option<&str>) -> Result<(&'b str, &'b ArrayRef)> {
    let names: Vec<_> = outputs.iter().map(|it| it.0).collect();
    match (wanted, outputs) {
        (None, [only]) => Ok(*only),
        (None, _) => Err(Error::config("/output", format!("the model has the outputs {}", names.join(", ")))
            .with_help("name one of them in `output`")),
        (Some(wanted), _) => outputs.iter().find(|it| it.0 == wanted).copied().ok_or_else(|| {
            Error::config("/output", format!("the model has no output `{wanted}`"))
                .with_help(format!("name one of {} in `output`", names.join(", ")))
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use modelwatch_sdk::arrow::{
        array::{FixedSizeListArray, StringArray},
        schema::{DataType, Field},
    };

    use super::*;

    #[test]
    fn several_texts_are_one_class() {
        let item = Arc::new(Field::new("item", DataType::Utf8, true));
        let texts = StringArray::from(vec![Some("cat"), Some("a, b"), Some("cat"), None]);
        let array: ArrayRef = Arc::new(FixedSizeListArray::new(item, 2, Arc::new(texts), None));
        let answers = Answers::of(&array, 0.5).unwrap();
        assert_eq!([answers.class(0), answers.text(0)], [r#"["cat", "a, b"]"#; 2]);
        assert_eq!([answers.is_broken(0), answers.is_broken(1)], [false, true]);
        let plain: ArrayRef = Arc::new(StringArray::from(vec!["cat"]));
        assert_eq!(Answers::of(&plain, 0.5).unwrap().class(0), "cat");
    }
}
