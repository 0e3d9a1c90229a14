//! Whether an operator is the same in two versions of ONNX's operators.

mod table;

use self::table::{LATEST_OF_MACHINE_LEARNING, LATEST_OPERATORS, OF_MACHINE_LEARNING, OPERATORS};

/// Returns whether an operator of a domain did not change between two versions of it; not of one that is not known.
pub(super) fn is_same(domain: &str, operator: &str, versions: [i64; 2]) -> bool {
    let (table, latest): (&[(&str, &[i64])], i64) = match domain {
        "" => (&OPERATORS, LATEST_OPERATORS),
        "ai.onnx.ml" => (&OF_MACHINE_LEARNING, LATEST_OF_MACHINE_LEARNING),
        _ => return false,
    };
    let Ok(at) = table.binary_search_by(|it| it.0.cmp(operator)) else { return false };
    let since =
        versions.map(|version| table[at].1.iter().rev().find(|it| **it <= version).filter(|_| version <= latest));
    since[0].is_some() && since[0] == since[1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_the_same_until_they_change() {
        for (operator, versions, wanted) in [
            ("Relu", [14, 22], true),
            ("Relu", [13, 14], false),
            ("Relu", [22, 14], true),
            // It takes its axes as an input from version 18 on.
            ("ReduceMax", [17, 18], false),
            ("ReduceMax", [18, 19], true),
            ("Gelu", [18, 19], false),
            ("Gelu", [20, LATEST_OPERATORS], true),
            ("Gelu", [20, LATEST_OPERATORS + 1], false),
            ("Nothing", [17, 17], false),
        ] {
            assert_eq!(is_same("", operator, versions), wanted, "{operator} in {versions:?}");
        }
        assert!(is_same("ai.onnx.ml", "Scaler", [1, 3]) && !is_same("ai.onnx.ml", "LabelEncoder", [1, 2]));
        assert!(!is_same("com.microsoft", "Relu", [1, 1]));
        for table in [&OPERATORS[..], &OF_MACHINE_LEARNING] {
            assert!(table.is_sorted_by_key(|it| it.0));
        }
    }
}
