//! What texts look like.

/// Longer patterns end here.
const MAX_PATTERN: usize = 40;

/// Returns the text with `a` for each run of letters, `9` for each run of digits and a space for each run of white space.
///
/// `2024-05-17T08:00Z` becomes `9-9-9a9:9a`.
pub(crate) fn pattern(text: &str) -> String {
    let mut res = String::new();
    let mut len = 0;
    let mut last = None;
    for it in text.chars() {
        let class = match it {
            it if it.is_alphabetic() => 'a',
            it if it.is_numeric() => '9',
            it if it.is_whitespace() => ' ',
            it => it,
        };
        let is_run = matches!(class, 'a' | '9' | ' ');
        if is_run && last == Some(class) {
            continue;
        }
        if len == MAX_PATTERN {
            res.push('…');
            break;
        }
        res.push(class);
        len += 1;
        last = Some(class);
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_one_character_each() {
        let cases = [
            ("2024-05-17T08:00Z", "9-9-9a9:9a"),
            ("Ärger  im\tBüro", "a a a"),
            ("DE 12 3456", "a 9 9"),
            ("", ""),
            ("--", "--"),
        ];
        for (text, expected) in cases {
            assert_eq!(pattern(text), expected, "{text}");
        }
        assert_eq!(pattern(&"-".repeat(100)), format!("{}…", "-".repeat(40)));
    }
}
