//! Files of one dataset whose columns are of different types: numbers of a day without missing values are integers to many programs,
//! and floats on the next.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema};

/// Gives the columns of both files the type that has the values of either, where there is one.
pub(super) fn widen(first: &mut Schema, other: &mut Schema) {
    let names = |it: &Schema| it.fields().iter().map(|it| it.name().clone()).collect::<Vec<_>>();
    if names(first) != names(other) {
        return;
    }
    let both = |a: &FieldRef, b: &FieldRef| match common(a.data_type(), b.data_type()) {
        Some(of_both) if of_both != *a.data_type() || of_both != *b.data_type() => {
            let field = |it: &FieldRef| Arc::new(Field::clone(it).with_data_type(of_both.clone()).with_nullable(true));
            (field(a), field(b))
        }
        _ => (Arc::clone(a), Arc::clone(b)),
    };
    let fields = first.fields().iter().zip(other.fields()).map(|(a, b)| both(a, b));
    let (of_first, of_other): (Vec<_>, Vec<_>) = fields.unzip();
    *first = Schema::new_with_metadata(of_first, first.metadata().clone());
    *other = Schema::new_with_metadata(of_other, other.metadata().clone());
}

/// Returns the type that has all values of two types of columns; none where nothing short of text has.
fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Float64, Int64, LargeUtf8, Null, UInt64, Utf8};
    Some(match (a, b) {
        (a, b) if a == b => a.clone(),
        (Null, it) | (it, Null) => it.clone(),
        (a, b) if a.is_unsigned_integer() && b.is_unsigned_integer() => UInt64,
        (UInt64, it) | (it, UInt64) if it.is_integer() => return None,
        (a, b) if a.is_integer() && b.is_integer() => Int64,
        (a, b) if is_number(a) && is_number(b) => Float64,
        (a, b) if is_text(a) && is_text(b) => {
            if [a, b].contains(&&LargeUtf8) {
                LargeUtf8
            } else {
                Utf8
            }
        }
        _ => return None,
    })
}

fn is_number(it: &DataType) -> bool {
    it.is_integer() || it.is_floating()
}

fn is_text(it: &DataType) -> bool {
    match it {
        DataType::Dictionary(_, values) => is_text(values),
        it => matches!(it, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    }
}

/// Returns the rows with the columns of the types that the dataset has.
///
/// # Errors
/// Where a number is none in the other type: an integer beyond 2^53 in a column that is one of floats elsewhere.
pub(super) fn cast(batch: RecordBatch, schema: &Schema) -> Result<RecordBatch, ArrowError> {
    // Columns come in the order of the files, so that one pass over a wide table is enough where nothing is to be done.
    let mut all = schema.fields().iter();
    let is_of =
        |it: &FieldRef| all.find(|of| of.name() == it.name()).is_some_and(|of| of.data_type() == it.data_type());
    if batch.schema_ref().fields().iter().all(is_of) {
        return Ok(batch);
    }
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let wanted = schema.field_with_name(field.name())?;
        if wanted.data_type() == field.data_type() {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
            continue;
        }
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let widened = cast_with_options(column, wanted.data_type(), &options)?;
        if field.data_type().is_integer() && wanted.data_type().is_floating() {
            let back = cast_with_options(&widened, field.data_type(), &options);
            if back.map_or(true, |it| it.as_ref() != column.as_ref()) {
                return Err(ArrowError::CastError(format!(
                    "column `{}` has integers that no float is, and is one of floats in another file; write it with one type",
                    field.name()
                )));
            }
        }
        fields.push(Arc::new(Field::clone(field).with_data_type(wanted.data_type().clone()).with_nullable(true)));
        columns.push(widened);
    }
    RecordBatch::try_new(Arc::new(Schema::new_with_metadata(fields, batch.schema_ref().metadata().clone())), columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_type_has_all_values_of_both() {
        use DataType::{Boolean, Date32, Float32, Float64, Int8, Int64, LargeUtf8, Null, UInt8, UInt16, UInt64, Utf8};
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(Utf8));
        for (a, b, wanted) in [
            (Int64, Int64, Some(Int64)),
            (Int64, Float32, Some(Float64)),
            (Float32, Float64, Some(Float64)),
            (Int8, UInt16, Some(Int64)),
            (UInt8, UInt64, Some(UInt64)),
            (Int8, UInt64, None),
            (UInt64, Float64, Some(Float64)),
            (Null, Date32, Some(Date32)),
            (dictionary, LargeUtf8, Some(LargeUtf8)),
            (Utf8, Int64, None),
            (Boolean, Int64, None),
        ] {
            assert_eq!((common(&a, &b), common(&b, &a)), (wanted.clone(), wanted), "{a} {b}");
        }
    }
}
