//! How far one sequence is from another.

/// Returns the least number of insertions, deletions and substitutions that turn one sequence into the other (Levenshtein
/// 1966), in time of the product of the lengths and memory of the shorter one.
///
/// ```
/// use modelwatch_stats::sequences::edit_distance;
///
/// let letters = |word: &str| word.chars().collect::<Vec<_>>();
/// // k→s, e→i, and a g at the end.
/// assert_eq!(edit_distance(&letters("kitten"), &letters("sitting")), 3);
/// ```
pub fn edit_distance<T: PartialEq>(left: &[T], right: &[T]) -> usize {
    let (long, short) = if left.len() < right.len() { (right, left) } else { (left, right) };
    // The distances of the prefixes of `short` from the prefix of `long` that was read.
    let mut row: Vec<usize> = (0..=short.len()).collect();
    for (read, it) in long.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = read + 1;
        for (idx, other) in short.iter().enumerate() {
            let substituted = diagonal + usize::from(it != other);
            diagonal = row[idx + 1];
            row[idx + 1] = substituted.min(diagonal + 1).min(row[idx] + 1);
        }
    }
    row[short.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_of_small_words() {
        let check = |left: &str, right: &str, expected: usize| {
            let letters = |it: &str| it.chars().collect::<Vec<_>>();
            assert_eq!(edit_distance(&letters(left), &letters(right)), expected, "{left} {right}");
            assert_eq!(edit_distance(&letters(right), &letters(left)), expected, "{right} {left}");
        };
        check("", "", 0);
        check("", "abc", 3);
        check("abc", "abc", 0);
        check("flaw", "lawn", 2);
        check("intention", "execution", 5);
        check("straße", "strasse", 2);
    }
}
