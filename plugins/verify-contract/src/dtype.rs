//! Names of element types: ours, NumPy's and MLflow's.

use modelwatch_sdk::arrow::schema::DataType;

/// The names that are used in reports.
pub(crate) const NAMES: [&str; 13] =
    ["bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f16", "f32", "f64", "utf8"];

/// Returns our name for a type.
pub(crate) fn normal(name: &str) -> Option<&'static str> {
    let name = match name {
        "boolean" => "bool",
        "int8" => "i8",
        "int16" => "i16",
        "int32" | "integer" => "i32",
        "int64" | "long" => "i64",
        "uint8" => "u8",
        "uint16" => "u16",
        "uint32" => "u32",
        "uint64" => "u64",
        "float16" | "half" => "f16",
        "float32" | "float" => "f32",
        "float64" | "double" => "f64",
        "string" | "str" | "object" => "utf8",
        it => it,
    };
    NAMES.into_iter().find(|it| *it == name)
}

/// What a type's values are, for whether one can stand for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Whole,
    Real,
    Text,
    Other,
}

/// Returns the family of a type by our name for it.
pub(crate) fn family(name: &str) -> Family {
    match name {
        "utf8" => Family::Text,
        "f16" | "f32" | "f64" => Family::Real,
        _ => Family::Whole,
    }
}

/// Returns the family of a column's values.
pub(crate) fn family_of(data_type: &DataType) -> Family {
    match data_type {
        DataType::FixedSizeList(item, _) => family_of(item.data_type()),
        DataType::Boolean => Family::Whole,
        it if it.is_integer() => Family::Whole,
        it if it.is_floating() => Family::Real,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => Family::Text,
        _ => Family::Other,
    }
}
