//! Names of columns with `*`.

/// Returns whether `name` is what `pattern` describes, `*` standing for any text.
///
/// ```
/// use modelwatch_sdk::rows::name_matches;
/// assert!(name_matches("mean_*", "mean_radius") && !name_matches("mean_*", "worst_radius"));
/// ```
pub fn name_matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|it| name.strip_prefix(it)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        // The leftmost place leaves the most text for the parts that follow.
        let Some(start) = rest.find(part) else { return false };
        rest = &rest[start + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        let cases = [
            ("age", "age", true),
            ("age", "ages", false),
            ("", "", true),
            ("*", "", true),
            ("*", "anything", true),
            ("mean_*", "mean_radius", true),
            ("mean_*", "worst_mean_", false),
            ("*_error", "area_error", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("**é*", "café!", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(name_matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
