//! Finds what somebody probably meant.

/// What statistical methods are called, each line one of them, with `_` for `-`.
const METHOD_NAMES: [&[&str]; 20] = [
    &["ks", "ks_2samp", "ks_test", "kolmogorov_smirnov"],
    &["cramer_von_mises", "cramervonmises", "cramervonmises_2samp", "cvm"],
    &["anderson_darling", "anderson", "anderson_ksamp", "ad"],
    &["mann_whitney", "mannwhitney", "mannwhitneyu", "mannw", "u_test", "wilcoxon"],
    &["t", "t_test", "ttest", "ttest_ind", "student", "student_t", "students_t"],
    &["welch", "welch_t", "welchs_t"],
    &["epps_singleton", "epps_singleton_2samp", "es"],
    &["wasserstein", "wasserstein_distance", "earth_mover", "emd"],
    &["energy", "energy_distance", "ed"],
    &["mmd", "maximum_mean_discrepancy", "empirical_mmd"],
    &["psi", "population_stability_index"],
    &["jensen_shannon", "jensenshannon", "jensen_shannon_distance", "jensen_shannon_divergence", "js", "jsd"],
    &["kl", "kl_div", "kl_divergence", "kullback_leibler", "kld"],
    &["hellinger", "hellinger_distance"],
    &["total_variation", "total_variation_distance", "tv", "tvd"],
    &["chebyshev", "l_infinity", "l_inf", "linf", "infinity_norm"],
    &["chi2", "chi_2", "chi_square", "chi_squared", "chisquare", "chisquared", "chi2_contingency"],
    &["g", "g_test"],
    &["fisher", "fisher_exact", "fet"],
    &["z", "z_test"],
];

/// Returns the candidate that is another name of the same statistical method as `given`, of the same tool where they name one (`tool:method`).
///
/// ```
/// use modelwatch_config::same_method;
/// let names = ["ks", "jensen-shannon", "nannyml:jensen_shannon"];
/// assert_eq!(same_method("js", names), Some("jensen-shannon"));
/// assert_eq!(same_method("nannyml:JS", names), Some("nannyml:jensen_shannon"));
/// assert_eq!(same_method("psi", names), None);
/// ```
pub fn same_method<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let parts = |text: &str| match text.split_once(':') {
        Some((tool, method)) => (fold(tool), fold(method)),
        None => (String::new(), fold(text)),
    };
    let (tool, method) = parts(given);
    let names = METHOD_NAMES.iter().find(|it| it.contains(&method.as_str()))?;
    candidates.into_iter().find(|it| {
        let it = parts(it);
        it.0 == tool && names.contains(&it.1.as_str())
    })
}

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
    use super::{did_you_mean, same_method};

    #[test]
    fn methods_are_found_by_their_other_names() {
        let names = ["ks", "cramer-von-mises", "t", "jensen-shannon", "kl", "total-variation", "chebyshev", "chi2"];
        let of_tools = ["nannyml:kolmogorov_smirnov", "evidently:ks"];
        for (given, expected) in [
            ("js", "jensen-shannon"),
            ("tv", "total-variation"),
            ("kolmogorov-smirnov", "ks"),
            ("ks_2samp", "ks"),
            ("t_test", "t"),
            ("students-t", "t"),
            ("chi-squared", "chi2"),
            ("chisquare", "chi2"),
            ("KL_div", "kl"),
            ("cvm", "cramer-von-mises"),
            ("l_infinity", "chebyshev"),
            ("nannyml:ks", "nannyml:kolmogorov_smirnov"),
            ("evidently:kolmogorov_smirnov", "evidently:ks"),
        ] {
            assert_eq!(same_method(given, names.into_iter().chain(of_tools)), Some(expected), "{given}");
        }
        for given in ["tfdv:ks", "speed", "", ":", "g"] {
            assert_eq!(same_method(given, names.into_iter().chain(of_tools)), None, "{given}");
        }
    }

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
