//! Reads requirements.

use std::{collections::BTreeMap, ops::Range};

use super::{
    Bound, LabelMatch, MetricAddress, Op, Operand, Reference, Relative, Requirement, RequirementError, RequirementPart,
    number,
};
use crate::{code, suggest::did_you_mean};

/// Reads a requirement from a metric, such as `recall[class=3]`, and a condition, such as `>= 0.95`.
///
/// # Errors
///
/// Says in which of the two texts, where and what is wrong; the metric is looked at first.
pub fn parse(metric: &str, condition: &str) -> Result<Requirement, RequirementError> {
    let address = parse_metric(metric)?;
    let (bound, confidence) = parse_condition(condition, &address)?;
    Ok(Requirement { metric: address, bound, confidence, text: condition.to_owned(), pointer: String::new() })
}

/// Reads the address of a metric.
///
/// ```
/// use modelwatch_config::{LabelMatch, requirement::parse_metric};
/// let it = parse_metric(r#"recall[class=*, slice="writer=b"]"#)?;
/// assert_eq!(it.labels["class"], LabelMatch::Any);
/// assert_eq!(it.labels["slice"], LabelMatch::Exact("writer=b".to_owned()));
/// # Ok::<(), modelwatch_config::RequirementError>(())
/// ```
///
/// # Errors
///
/// Says where and what is wrong.
pub fn parse_metric(text: &str) -> Result<MetricAddress, RequirementError> {
    let mut it = Scanner { text, at: 0, part: RequirementPart::Metric };
    let res = it.address()?;
    it.skip_spaces();
    if !it.is_at_end() {
        let help = match it.rest().chars().next() {
            Some('{' | '(') => "labels go in square brackets: `recall[class=3]`",
            Some('<' | '>' | '=' | '!') => {
                "the key is the metric alone; the condition is its value: `accuracy = \">= 0.95\"`"
            }
            _ => "a metric is a name with optional labels: `recall[class=3]`",
        };
        return Err(it.fail(it.at..text.len(), "unexpected text after the metric", help));
    }
    Ok(res)
}

/// Returns whether a character may stand in the name of a metric.
fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.-/:".contains(c)
}

/// Returns whether a character may stand in the value of a label without quotes.
pub(super) fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || "_-.+/:%@=".contains(c)
}

fn parse_condition(text: &str, metric: &MetricAddress) -> Result<(Bound, Option<f64>), RequirementError> {
    let mut it = Scanner { text, at: 0, part: RequirementPart::Condition };
    let bound = it.bound(metric)?;
    it.skip_spaces();
    let confidence = if it.is_at_end() { None } else { Some(it.confidence()?) };
    it.skip_spaces();
    if !it.is_at_end() {
        return Err(it.fail(it.at..text.trim_end().len(), "unexpected text after the condition", "remove it"));
    }
    if confidence.is_some() && matches!(bound, Bound::Compare { op: Op::Equal | Op::NotEqual, .. }) {
        let help = "remove `with confidence`, or compare with `<=` or `>=`";
        return Err(it.fail(
            0..text.len(),
            "an equality takes no confidence, since an interval does not equal a number",
            help,
        ));
    }
    Ok((bound, confidence))
}

/// A position in one of the two texts.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    part: RequirementPart,
}

/// The labels that say of which rows a metric is.
const OF_ROWS: [&str; 2] = ["slice", "worst_slice"];

impl<'a> Scanner<'a> {
    fn address(&mut self) -> Result<MetricAddress, RequirementError> {
        self.skip_spaces();
        let name = self.take_while(is_of_name);
        if !self.text[name.clone()].starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            let help = "begin with the name of a metric: `accuracy`, `recall[class=3]`";
            return Err(self.fail(self.next_char_or(name), "expected the name of a metric", help));
        }
        let name = self.text[name].to_owned();
        let mut labels = BTreeMap::new();
        let end = self.at;
        self.skip_spaces();
        if !self.take("[") {
            self.at = end;
            return Ok(MetricAddress { name, labels });
        }
        loop {
            let (key, range, value) = self.label()?;
            if labels.insert(key.clone(), value).is_some() {
                let help = if OF_ROWS.contains(&&*key) {
                    "a metric is of one slice: that of rows in both is their cross, `slice=\"country=de,age=old\"`, where the probe's options ask for it"
                } else {
                    "give each label once"
                };
                return Err(self.fail(range, format!("label `{key}` is given twice"), help));
            }
            self.skip_spaces();
            if self.take("]") {
                return Ok(MetricAddress { name, labels });
            }
            if !self.take(",") {
                let help = "separate labels with `,` and close them with `]`";
                return Err(self.fail(self.next_char(), "expected `,` or `]`", help));
            }
        }
    }

    fn label(&mut self) -> Result<(String, Range<usize>, LabelMatch), RequirementError> {
        self.skip_spaces();
        let key = self.take_while(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        if key.is_empty() {
            return Err(self.fail(self.next_char(), "expected a label", "write `label=value`: `recall[class=3]`"));
        }
        self.skip_spaces();
        let name = self.text[key.clone()].to_owned();
        if !self.take("=") {
            let help = format!("write `{name}=value`, or `{name}=*` for every value");
            return Err(self.fail(self.next_char_or(key), format!("expected `=` after label `{name}`"), help));
        }
        self.skip_spaces();
        let value = if self.take("\"") {
            LabelMatch::Exact(self.quoted()?)
        } else if self.take("*") {
            LabelMatch::Any
        } else {
            let value = self.take_while(is_bare);
            if value.is_empty() {
                let help = format!("quote values with special characters: `{name}=\"…\"`");
                return Err(self.fail(self.next_char_or(key), format!("expected a value for label `{name}`"), help));
            }
            let value = self.text[value].to_owned();
            if self.take("*") { LabelMatch::Prefix(value) } else { value.into() }
        };
        self.skip_spaces();
        if !self.is_at_end() && !self.rest().starts_with([',', ']']) {
            let help = format!("quote values with special characters: `{name}=\"…\"`");
            return Err(self.fail(self.next_char(), format!("unexpected text in the value of label `{name}`"), help));
        }
        Ok((name, key, value))
    }

    /// Reads up to the closing quote; a backslash stands before a quote or a backslash that is meant.
    fn quoted(&mut self) -> Result<String, RequirementError> {
        let start = self.at - 1;
        let mut res = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((offset, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += offset + 1;
                    return Ok(res);
                }
                '\\' => match chars.next() {
                    Some((_, c @ ('"' | '\\'))) => res.push(c),
                    _ => {
                        let at = self.at + offset;
                        return Err(self.fail(
                            at..at + 1,
                            "stray `\\`",
                            "write `\\\\` for a backslash, `\\\"` for a quote",
                        ));
                    }
                },
                c => res.push(c),
            }
        }
        Err(self.fail(start..self.text.len(), "the quote is not closed", "add `\"`"))
    }

    fn bound(&mut self, metric: &MetricAddress) -> Result<Bound, RequirementError> {
        self.skip_spaces();
        let start = self.at;
        if self.take_word("not") {
            return self.not_worse(metric);
        }
        if self.take_word("between") {
            let low = self.number()?.0;
            self.skip_spaces();
            if !self.take_word("and") {
                return Err(self.fail(self.next_word(), "expected `and`", "write `between 0.1 and 0.4`"));
            }
            let high = self.number()?.0;
            if low > high {
                let mut error = self.fail(
                    start..self.at,
                    "no value is in this range",
                    format!("swap the limits: `between {} and {}`", number::decimal(high), number::decimal(low)),
                );
                error.code = code::IMPOSSIBLE;
                return Err(error);
            }
            return Ok(Bound::Between { low, high });
        }
        let op = self.op()?;
        let right = self.operand(metric)?;
        Ok(Bound::Compare { op, right })
    }

    fn not_worse(&mut self, metric: &MetricAddress) -> Result<Bound, RequirementError> {
        for word in ["worse", "than"] {
            self.skip_spaces();
            if !self.take_word(word) {
                let help = "write `not worse than baseline with confidence 95%`";
                return Err(self.fail(self.next_word_or_all(), format!("expected `{word}`"), help));
            }
        }
        self.skip_spaces();
        let start = self.at;
        match self.operand(metric)? {
            Operand::Relative(than) => Ok(Bound::NotWorse { than }),
            Operand::Number(it) => {
                let it = number::decimal(it);
                let help = format!("write `>= {it}` or `<= {it}`");
                Err(self.fail(start..self.at, "a metric is no better or worse than a number", help))
            }
        }
    }

    fn op(&mut self) -> Result<Op, RequirementError> {
        const OPS: [Op; 6] = [Op::LessOrEqual, Op::GreaterOrEqual, Op::Equal, Op::NotEqual, Op::Less, Op::Greater];
        const SLIPS: [(&str, &str); 8] =
            [("=<", "<="), ("=>", ">="), ("<>", "!="), ("≤", "<="), ("≥", ">="), ("≠", "!="), ("=", "=="), ("!", "!=")];
        let rest = self.rest();
        if let Some(op) = OPS.into_iter().find(|it| rest.starts_with(it.as_str()) && !rest.starts_with("<>")) {
            self.at += op.as_str().len();
            return Ok(op);
        }
        if let Some((slip, meant)) = SLIPS.into_iter().find(|(it, _)| rest.starts_with(it)) {
            let span = self.at..self.at + slip.len();
            return Err(self.fail(span, format!("`{slip}` is not a comparison"), format!("did you mean `{meant}`?")));
        }
        let help = match did_you_mean(&self.text[self.next_word()], ["between", "not"]) {
            Some(it) => format!("did you mean `{it}`?"),
            None if rest.starts_with(|c: char| c.is_ascii_digit()) => {
                format!("did you mean `>= {}`?", rest.trim_end())
            }
            None => "write `>= 0.95`, `<= baseline + 0.02` or `between 0.1 and 0.4`".to_owned(),
        };
        Err(self.fail(self.next_word(), "expected a comparison or `between`", help))
    }

    fn operand(&mut self, metric: &MetricAddress) -> Result<Operand, RequirementError> {
        self.skip_spaces();
        if let Some(to) = self.reference(metric)? {
            return self.relative(to, 1.0);
        }
        if self.rest().starts_with(|c: char| c.is_ascii_alphabetic()) {
            let word = self.next_word();
            let help = match did_you_mean(&self.text[word.clone()], ["baseline", "overall"]) {
                Some(it) => format!("did you mean `{it}`?"),
                None => "compare with a number, `99% of baseline`, `baseline + 0.02`, `overall` or a slice such as \
                         `accuracy[slice=writer=b]`"
                    .to_owned(),
            };
            return Err(self.fail(word, "expected a number, `baseline` or `overall`", help));
        }
        let start = self.at;
        let (value, is_percent) = self.number()?;
        let end = self.at;
        self.skip_spaces();
        let rest = self.rest();
        let is_product = rest.starts_with(['*', '×']);
        if is_product || ["baseline", "overall"].iter().any(|it| rest.starts_with(it)) {
            let of = if rest.contains("overall") { "overall" } else { "baseline" };
            let help = format!("write `{} of {of}`", number::percentage(value));
            let message = format!("a share of {} is a percentage", the(of));
            return Err(self.fail(start..self.text.trim_end().len(), message, help));
        }
        if !self.take_word("of") {
            self.at = end;
            return Ok(Operand::Number(value));
        }
        self.skip_spaces();
        let Some(to) = self.reference(metric)? else {
            let help = match did_you_mean(&self.text[self.next_word()], ["baseline", "overall"]) {
                Some(it) => format!("did you mean `{it}`?"),
                None => "write `99% of baseline`".to_owned(),
            };
            return Err(self.fail(self.next_word(), "expected `baseline` after `of`", help));
        };
        if !is_percent || value <= 0.0 {
            let help = if is_percent {
                "write a percentage above zero".to_owned()
            } else {
                format!("write `{} of {to}`", number::percentage(value))
            };
            let message = format!("a share of {} is a percentage above zero", the(&to.to_string()));
            return Err(self.fail(start..end, message, help));
        }
        self.relative(to, value)
    }

    fn relative(&mut self, to: Reference, factor: f64) -> Result<Operand, RequirementError> {
        let offset = self.offset(&to)?;
        Ok(Operand::Relative(Relative { to, factor, offset }))
    }

    /// Reads what another metric is named by, if there is one.
    fn reference(&mut self, metric: &MetricAddress) -> Result<Option<Reference>, RequirementError> {
        let start = self.at;
        if self.take_word("baseline") {
            return Ok(Some(Reference::Baseline));
        }
        if self.take_word("overall") {
            if !OF_ROWS.iter().any(|it| metric.labels.contains_key(*it)) {
                let help = format!("require it of slices, `{}[slice=*]`, or compare with `baseline`", metric.name);
                return Err(self.fail(start..self.at, "only a slice is compared with all rows", help));
            }
            return Ok(Some(Reference::Overall));
        }
        let name_end = self.rest().find(|c| !is_of_name(c)).unwrap_or(self.rest().len());
        let is_metric = self.rest()[name_end..].trim_start().starts_with('[');
        if !is_metric || !self.rest().starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Ok(None);
        }
        let other = self.address()?;
        if other.name != metric.name {
            let help = match did_you_mean(&other.name, [metric.name.as_str()]) {
                Some(it) => format!("did you mean `{it}`?"),
                None => format!("compare with `{}` of other rows", metric.name),
            };
            let message = format!("`{}` is compared with `{}`, another metric", metric.name, other.name);
            return Err(self.fail(start..start + other.name.len(), message, help));
        }
        if let Some((key, _)) = other.labels.iter().find(|it| !matches!(it.1, LabelMatch::Exact(_))) {
            let help = format!("name one value, and put `{key}=*` on the left if each is to be compared with it");
            return Err(self.fail(start..self.at, "it is compared with many metrics at once", help));
        }
        if other == *metric {
            let mut error = self.fail(start..self.at, "it is compared with itself", "name another slice, or `overall`");
            error.code = code::IMPOSSIBLE;
            return Err(error);
        }
        Ok(Some(Reference::Metric(other)))
    }

    fn offset(&mut self, to: &Reference) -> Result<f64, RequirementError> {
        let end = self.at;
        self.skip_spaces();
        let start = self.at;
        let sign = if self.take("+") {
            1.0
        } else if self.take("-") || self.take("−") {
            -1.0
        } else {
            self.at = end;
            return Ok(0.0);
        };
        self.skip_spaces();
        if self.rest().starts_with(['+', '-']) {
            let help = format!("write `{to} + 0.02` or `{to} - 0.02`");
            return Err(self.fail(self.next_char(), "two signs in a row", help));
        }
        let (value, is_percent) = self.number()?;
        if is_percent {
            let share = number::percentage(1.0 + sign * value);
            let plain = number::decimal(value);
            let sign = if sign > 0.0 { '+' } else { '-' };
            let help = format!("write `{share} of {to}`, or `{to} {sign} {plain}` for percentage points");
            let message = format!("a percentage added to {} can be read in two ways", the(&to.to_string()));
            return Err(self.fail(start..self.at, message, help));
        }
        // Zero without a sign, so that equal requirements are equal.
        Ok(if value == 0.0 { 0.0 } else { sign * value })
    }

    fn confidence(&mut self) -> Result<f64, RequirementError> {
        const HELP: &str = "only `with confidence 95%` may follow";
        if !self.take_word("with") {
            return Err(self.fail(self.at..self.text.trim_end().len(), "unexpected text after the condition", HELP));
        }
        self.skip_spaces();
        if !self.take_word("confidence") {
            let help = "write `with confidence 95%`";
            return Err(self.fail(self.at..self.text.trim_end().len(), "expected `confidence` after `with`", help));
        }
        self.skip_spaces();
        let start = self.at;
        let (value, is_percent) = self.number()?;
        if value > 0.0 && value < 1.0 {
            return Ok(value);
        }
        let help = if !is_percent && value > 1.0 && value < 100.0 {
            format!("did you mean `{}%`?", number::decimal(value))
        } else {
            "write for instance `with confidence 95%`".to_owned()
        };
        let mut error = self.fail(start..self.at, "a confidence lies between 0% and 100%, both excluded", help);
        error.code = code::CONFIDENCE;
        Err(error)
    }

    /// Reads a number and whether it was a percentage, which is already divided by 100.
    fn number(&mut self) -> Result<(f64, bool), RequirementError> {
        self.skip_spaces();
        let start = self.at;
        if self.rest().starts_with(['+', '-']) {
            self.at += 1;
        }
        let n_whole = self.take_while(|c| c.is_ascii_digit()).len();
        let n_fraction = if self.take(".") { self.take_while(|c| c.is_ascii_digit()).len() } else { 1 };
        if n_whole == 0 || n_fraction == 0 {
            self.at = start;
            let help = "write a decimal number with digits on both sides of the point, such as `0.95`";
            return Err(self.fail(self.next_word(), "expected a number", help));
        }
        if self.rest().starts_with(['e', 'E']) {
            let before = self.at;
            self.at += 1;
            if self.rest().starts_with(['+', '-']) {
                self.at += 1;
            }
            if self.take_while(|c| c.is_ascii_digit()).is_empty() {
                self.at = before;
            }
        }
        let digits = start..self.at;
        self.skip_spaces();
        let is_percent = self.take("%");
        if !is_percent {
            self.at = digits.end;
        }
        match number::read(&self.text[digits.clone()], is_percent) {
            Some(value) => Ok((value, is_percent)),
            None => Err(self.fail(digits, "the number is too large", "compare with a number below 1e308")),
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn skip_spaces(&mut self) {
        self.take_while(char::is_whitespace);
    }

    fn take(&mut self, prefix: &str) -> bool {
        let res = self.rest().starts_with(prefix);
        if res {
            self.at += prefix.len();
        }
        res
    }

    fn take_word(&mut self, word: &str) -> bool {
        self.text[self.next_word()] == *word && self.take(word)
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> Range<usize> {
        let start = self.at;
        let rest = self.rest();
        self.at += rest.find(|c| !accept(c)).unwrap_or(rest.len());
        start..self.at
    }

    /// Returns the range of the word at the current position, or else of the next character.
    fn next_word(&self) -> Range<usize> {
        let rest = self.rest();
        match rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len()) {
            0 => self.next_char(),
            len => self.at..self.at + len,
        }
    }

    fn next_char(&self) -> Range<usize> {
        self.at..self.at + self.rest().chars().next().map_or(0, char::len_utf8)
    }

    /// Returns the range of the next word, or of the whole text if there is none.
    fn next_word_or_all(&self) -> Range<usize> {
        if self.is_at_end() { 0..self.text.len() } else { self.next_word() }
    }

    /// Returns the range of the next character, or of something before if there is none.
    fn next_char_or(&self, before: Range<usize>) -> Range<usize> {
        if self.is_at_end() { before } else { self.next_char() }
    }

    fn fail(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> RequirementError {
        RequirementError {
            part: self.part,
            span,
            code: code::REQUIREMENT,
            message: message.into(),
            help: Some(help.into()),
        }
    }
}

impl From<String> for LabelMatch {
    fn from(it: String) -> LabelMatch {
        LabelMatch::Exact(it)
    }
}

/// Returns how a sentence names a reference.
fn the(reference: &str) -> String {
    match reference {
        "baseline" => "the baseline".to_owned(),
        it => format!("`{it}`"),
    }
}
