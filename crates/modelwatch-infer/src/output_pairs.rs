//! Which outputs of two models belong together.

use std::collections::{BTreeMap, BTreeSet};

/// The outputs of two models, by their names.
///
/// Never by their positions: two outputs that changed places, or one that was renamed, would be compared with what they are not,
/// and pass where both are alike.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutputPairs {
    /// The positions in the reference and in the candidate, in the candidate's order.
    pub(crate) pairs: Vec<(usize, usize)>,
    /// The reference's outputs that the candidate lacks.
    pub(crate) missing: Vec<String>,
    /// The candidate's outputs that the reference lacks.
    pub(crate) extra: Vec<String>,
}

impl OutputPairs {
    /// Pairs the outputs that have one name, or of which `renamed` tells the reference's name by the candidate's.
    ///
    /// # Errors
    /// Where `renamed` tells of an output that is not there, or of one twice.
    pub(crate) fn new(
        reference: &[String],
        candidate: &[String],
        renamed: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let mut taken = BTreeSet::new();
        for (new, old) in renamed {
            for (model, name, names) in [("candidate", new, candidate), ("reference", old, reference)] {
                if !names.contains(name) {
                    return Err(format!("the {model} has no output `{name}`, only {}", listed(names)));
                }
            }
            if !taken.insert(old) {
                return Err(format!("two outputs are said to be `{old}` in the reference"));
            }
        }
        let counterpart = |name: &String| match renamed.get(name) {
            Some(old) => reference.iter().position(|it| it == old),
            None => reference.iter().position(|it| it == name && !taken.contains(it)),
        };
        let mut res = Self { pairs: Vec::new(), missing: Vec::new(), extra: Vec::new() };
        for (right, name) in candidate.iter().enumerate() {
            match counterpart(name) {
                Some(left) => res.pairs.push((left, right)),
                None => res.extra.push(name.clone()),
            }
        }
        let is_paired = |at: usize| res.pairs.iter().any(|it| it.0 == at);
        res.missing = reference.iter().enumerate().filter(|it| !is_paired(it.0)).map(|it| it.1.clone()).collect();
        Ok(res)
    }
}

fn listed(names: &[String]) -> String {
    names.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn pairs(reference: &str, candidate: &str, renamed: &[(&str, &str)]) -> Result<OutputPairs, String> {
        let renamed = renamed.iter().map(|(new, old)| ((*new).to_owned(), (*old).to_owned())).collect();
        OutputPairs::new(&words(reference), &words(candidate), &renamed)
    }

    fn check(reference: &str, candidate: &str, renamed: &[(&str, &str)], expected: (&[(usize, usize)], &str, &str)) {
        let it = pairs(reference, candidate, renamed).unwrap();
        assert_eq!((&*it.pairs, it.missing, it.extra), (expected.0, words(expected.1), words(expected.2)));
    }

    #[test]
    fn names_decide_and_positions_do_not() {
        check("a b", "a b", &[], (&[(0, 0), (1, 1)], "", ""));
        check("a b", "b a", &[], (&[(1, 0), (0, 1)], "", ""));
        check("a", "x", &[], (&[], "a", "x"));
        check("a b", "b", &[], (&[(1, 0)], "a", ""));
        check("a", "a b", &[], (&[(0, 0)], "", "b"));
    }

    #[test]
    fn names_that_changed_are_told() {
        check("a", "x", &[("x", "a")], (&[(0, 0)], "", ""));
        check("a b", "a b", &[("a", "b"), ("b", "a")], (&[(1, 0), (0, 1)], "", ""));
        // What another one is said to be is not there for its own name.
        check("a b", "a b", &[("a", "b")], (&[(1, 0)], "a", "b"));
    }

    #[test]
    fn names_that_are_not_there_are_refused() {
        assert_eq!(pairs("a", "x", &[("y", "a")]).unwrap_err(), "the candidate has no output `y`, only `x`");
        assert_eq!(pairs("a b", "x", &[("x", "c")]).unwrap_err(), "the reference has no output `c`, only `a`, `b`");
        assert!(pairs("a", "x y", &[("x", "a"), ("y", "a")]).unwrap_err().contains("two outputs are said to be `a`"));
    }
}
