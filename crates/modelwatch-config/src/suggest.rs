//! Finds what somebody probably meant.

/// Returns the candidate closest to `given`, if one is close enough to be a slip of the keyboard.
///
/// Case and the difference between `-` and `_` do not count. Ties go to the candidate that comes first.
///
/// ```
/// use modelwatch_config::did_you_mean;
/// assert_eq!(did_you_mean("acuracy", ["accuracy", "recall"]), Some("accuracy"));
/// assert_eq!(did_you_mean("speed", ["accuracy", "recall"]), None);
/// ```
pub fn did_you_mean<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance is quadratic in the length; nobody mistypes a name this long.
    if given.len() > 256 {
        return None;
    }
    let given = fold(given);
    let limit = (given.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|it| it.len() <= 256)
        .map(|it| (slips(&given, &fold(it)), it))
        .filter(|(slips, _)| slips.0 <= limit)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, it)| it)
}

/// Returns whether the key that `unknown` points to may be another name of the one at `pointer`, or of one that it is in.
///
/// ```
/// use modelwatch_config::may_mean;
/// assert!(may_mean("/chekpoint", "/checkpoint/import"));
/// assert!(!may_mean("/chekpoint", "/baseline"));
/// ```
pub fn may_mean(unknown: &str, pointer: &str) -> bool {
    let Some((table, key)) = unknown.rsplit_once('/') else { return false };
    let meant = pointer.strip_prefix(table).and_then(|it| it.strip_prefix('/')?.split('/').next());
    meant.is_some_and(|it| did_you_mean(key, [it]).is_some())
}

fn fold(text: &str) -> String {
    text.to_lowercase().replace('-', "_")
}

/// Returns how many slips lie between the two, and how many letters.
fn slips(given: &str, candidate: &str) -> (usize, usize) {
    let letters = strsim::damerau_levenshtein(given, candidate);
    // A unit that was left out or added (`path` for `paths`, `dir` for `dirs`) is one slip whatever its length.
    let (short, long) = if given.len() < candidate.len() { (given, candidate) } else { (candidate, given) };
    if short.len() >= 4 && long.strip_prefix(short).is_some_and(|rest| rest.starts_with('_')) {
        return (1, letters);
    }
    (letters, letters)
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let names = ["verify", "analyze", "store", "batch_rows", "fail_on", "threads"];
        for (given, expected) in [
            ("verfiy", Some("verify")),
            ("analyse", Some("analyze")),
            ("Batch-Rows", Some("batch_rows")),
            ("batch", Some("batch_rows")),
            ("fail-on", Some("fail_on")),
            ("thread", Some("threads")),
            ("x", None),
            ("completely_different", None),
            ("", None),
        ] {
            assert_eq!(did_you_mean(given, names), expected, "{given}");
        }
        // A word less is one slip, and so is a letter; the letter is nearer.
        assert_eq!(did_you_mean("drifted_shore", ["drifted", "drifted_share"]), Some("drifted_share"));
    }
}
