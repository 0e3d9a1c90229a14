//! The values of single columns against what the pipeline writes about them: bounds, categories and a pattern.

use modelwatch_sdk::{
    Report,
    report::{Check, Gap},
};

use crate::{
    column::Body,
    context::{labels, some},
    kind::Kind,
    names::{Names, spells_number},
    numbers::Outside,
    settings::{Limit, Rule},
    time::show_time,
    values::Judged,
};

/// The values that a rule does not allow, and how they are called.
struct Unlike {
    code: &'static str,
    metric: &'static str,
    count: u64,
    /// What they weigh, where rows have weights.
    mass: Option<u64>,
    /// What is asked of them.
    requirement: &'static str,
    /// What they do instead.
    words: &'static str,
}

impl Judged<'_> {
    /// Judges what is written about the values.
    pub(crate) fn written(&self, report: &mut Report) {
        let Some(rule) = self.context.settings.rule(self.name, self.column) else { return };
        self.names(rule, report);
        self.bounds(rule, report);
    }

    fn names(&self, rule: &Rule, report: &mut Report) {
        let found = self.column.unexpected();
        let weighed = self.context.weighed(self.column).map(|it| it.unexpected);
        let of_categories = rule.categories.is_some().then(|| Unlike {
            code: "MW-Q021",
            metric: "unexpected_category_share",
            count: found.category,
            mass: weighed.map(|it| it.category),
            requirement: "one of `categories`",
            words: "are none of `categories`",
        });
        let of_pattern = rule.pattern.is_some().then(|| Unlike {
            code: "MW-Q022",
            metric: "pattern_mismatch_share",
            count: found.pattern,
            mass: weighed.map(|it| it.pattern),
            requirement: "as `pattern` says",
            words: "do not match `pattern`",
        });
        of_categories.into_iter().chain(of_pattern).for_each(|it| self.unlike(rule, &it, report));
    }

    fn unlike(&self, rule: &Rule, found: &Unlike, report: &mut Report) {
        let Unlike { code, metric, count, mass, requirement, words } = *found;
        let n = self.column.n_present();
        if n > 0 && self.column.kinds().any(|it| !it.is_written()) {
            let why = format!(
                "values of type {} are not written as texts, so that none was looked at: write them as texts, or take the rule away",
                self.column.types()
            );
            return self.not_checked(metric, requirement, why, report);
        }
        let share = self.context.share(self.column, count, n, |it| (mass.unwrap_or(0), it.present()));
        self.measure(report, metric, share, n);
        if n == 0 {
            return self.nothing_to_check(metric, requirement, report);
        }
        if count > 0 {
            let message = format!("{count} values of `{}` {words}{}", self.name, self.examples(rule, code));
            report.findings.push(self.breach(code, message).evidence("count", count).evidence("n", n));
        }
    }

    /// Returns some categories that break the rule, in words.
    fn examples(&self, rule: &Rule, code: &str) -> String {
        let Body::Names(names) = self.column.body() else { return String::new() };
        let breaks = |it: &&str| match code {
            "MW-Q021" => rule.categories.as_ref().is_some_and(|known| !known.contains(*it)),
            _ => rule.pattern.as_ref().is_some_and(|known| !known.is_match(it)),
        };
        let counts = names.categories().counts();
        let examples: Vec<_> = counts.keys().copied().filter(breaks).collect();
        if examples.is_empty() { String::new() } else { format!(": {}", some(&examples)) }
    }

    /// Judges bounds, exactly.
    fn bounds(&self, rule: &Rule, report: &mut Report) {
        const METRIC: &str = "out_of_bounds_share";
        let requirement = match (rule.min, rule.max) {
            (None, None) => return,
            (Some(_), None) => "from `min` on",
            (None, Some(_)) => "up to `max`",
            (Some(_), Some(_)) => "from `min` to `max`",
        };
        let are_times = [rule.min, rule.max].into_iter().flatten().any(|it| matches!(it, Limit::Time(_)));
        let n = self.column.n_present();
        let (outside, range) = match self.column.body() {
            Body::Numbers(it) if !are_times => {
                let ends = it.range_with_infinities();
                (it.outside(), ends.map(|it| (it.0.to_string(), it.1.to_string())))
            }
            Body::Times(it) => (it.outside(), it.range().map(|it| (show_time(it.0), show_time(it.1)))),
            _ if n == 0 => (Outside::default(), None),
            _ => return self.without_order(rule, if are_times { "times" } else { "numbers" }, report),
        };
        let count = outside.below.saturating_add(outside.above);
        let share = self.context.share(self.column, count, n, |it| (it.outside, it.present()));
        self.measure(report, METRIC, share, n);
        if n == 0 {
            return self.nothing_to_check(METRIC, requirement, report);
        }
        if let (true, Some((least, greatest))) = (count > 0, range) {
            let message = format!(
                "{} values of `{}` are below `min` and {} above `max`; they are from {least} to {greatest}",
                outside.below, self.name, outside.above
            );
            let finding =
                self.breach("MW-Q020", message).evidence("below", outside.below).evidence("above", outside.above);
            report.findings.push(finding.evidence("n", n));
        }
    }

    /// Says that values are not of the kind that bounds are for, where nothing else does.
    fn without_order(&self, rule: &Rule, wanted: &str, report: &mut Report) {
        let is_said = rule.written.kind.is_some_and(|it| self.column.kind().is_some_and(|kind| !kind.fits(it)));
        // A part has the types of all rows.
        if is_said || self.column.is_mixed() || self.context.parts.is_some() {
            return;
        }
        let n = self.column.n_present();
        let of_texts = match self.column.body() {
            Body::Names(it) if wanted == "numbers" && self.column.kind() == Some(Kind::Text) => Some(self.spelling(it)),
            _ => None,
        };
        let (count, words) = of_texts.unwrap_or_default();
        let message = format!(
            "`{}` has bounds, which are {wanted}, and its values are {}, so that none was held against them{words}",
            self.name,
            self.column.types(),
        );
        let finding = self.breach("MW-Q005", message).evidence("n", n);
        report.findings.push(if words.is_empty() { finding } else { finding.evidence("count", count) });
    }

    /// Returns how many texts spell no number, and in words which is the first of them by the alphabet.
    fn spelling(&self, names: &Names) -> (u64, String) {
        let (n, counts) = (names.n(), names.counts());
        let count = n.saturating_sub(counts.numeric);
        if count == 0 {
            return (count, format!("; all {n} spell numbers, so that the column can be converted"));
        }
        let null_words = &self.context.settings.null_words;
        let is_word = |it: &str| !spells_number(it.trim()) && !null_words.contains(&it.trim().to_lowercase());
        let categories = names.categories().counts();
        let example = categories.iter().find(|it| is_word(it.0));
        let example = example.map_or(String::new(), |(it, rows)| format!(", such as `{it}` in {rows}"));
        (count, format!("; {count} of {n} spell no number{example}"))
    }

    fn nothing_to_check(&self, metric: &str, requirement: &str, report: &mut Report) {
        let why = format!("every value of `{}` is missing, so that there was none to look at", self.name);
        self.not_checked(metric, requirement, why, report);
    }

    /// Says that a rule was not applied. Of a part it is a gap, as its rows are among all rows.
    fn not_checked(&self, metric: &str, requirement: &str, why: String, report: &mut Report) {
        if self.context.parts.is_some() {
            report.gaps.push(Gap::new(format!("column `{}`, its rule", self.name), why));
            return;
        }
        let check = Check::not_checked(metric, requirement, why);
        report.checks.push(Check { labels: labels(self.name), ..check });
    }
}
