//! A printed table of our answers beside those of the peers.

use std::collections::BTreeMap;

use modelwatch_stats::Undefined;
use serde_json::Value;

/// How near an answer has to be.
#[derive(Clone, Copy)]
pub(crate) enum Tolerance {
    /// A relative 1e-9.
    Statistic,
    /// A relative 1e-6; below 1e-300 only the size counts.
    PValue,
    /// A relative 1e-6, what `f32` holds; below 1e-37 only the size counts.
    Single,
    /// An absolute 0.02, what a sketch of quantiles promises.
    Sketch,
}

/// How an answer differs, so that it is noticed where it differs in another way one day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Differs {
    /// By as much at most, relative to the lesser of the two, and by half of it at least in one of the cases; by less than all of it.
    By(f64),
    /// Ours is the first number and theirs the second one, to a relative 1e-6: where one is 0, infinite or another altogether, no
    /// difference is a bound.
    Are(f64, f64),
    /// Ours is a number, and theirs is none.
    OursIsNumber,
    /// Theirs is a number, and ours is none.
    TheirsIsNumber,
}

/// An answer that differs on purpose.
pub(crate) struct Exception {
    /// The case, `*` standing for any text.
    pub(crate) case: &'static str,
    /// The peer's methods, and in which way they differ.
    pub(crate) methods: &'static [(&'static str, Differs)],
    /// Why ours is another.
    pub(crate) reason: &'static str,
}

impl Differs {
    /// Returns how two answers differ that do not agree.
    pub(crate) fn of(ours: &Result<f64, Undefined>, theirs: Option<f64>) -> Self {
        match (ours, theirs) {
            (Ok(ours), Some(theirs)) => {
                let by = (ours - theirs).abs() / ours.abs().min(theirs.abs());
                if by < 1.0 { Self::By(by) } else { Self::Are(*ours, theirs) }
            }
            (Ok(_), None) => Self::OursIsNumber,
            (Err(_), _) => Self::TheirsIsNumber,
        }
    }

    /// Returns whether an answer that differs so is no more than this exception.
    fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::By(bound), Self::By(it)) => it <= bound,
            (Self::Are(ours, theirs), Self::Are(our_answer, their_answer)) => {
                is_near(our_answer, ours) && is_near(their_answer, theirs)
            }
            (listed, found) => listed == found,
        }
    }

    /// Returns whether a lone answer that differs so is this exception.
    pub(crate) fn is(self, other: Self) -> bool {
        match (self, other) {
            (Self::By(bound), Self::By(it)) => (bound / 2.0..=bound).contains(&it),
            _ => self.covers(other),
        }
    }
}

/// Returns whether two numbers are the same to a relative 1e-6.
fn is_near(left: f64, right: f64) -> bool {
    left == right || (right.is_finite() && (left - right).abs() <= 1e-6 * right.abs())
}

struct Row {
    case: String,
    method: String,
    ours: Result<f64, Undefined>,
    theirs: Value,
    /// The relative difference where both are numbers.
    difference: Option<f64>,
    /// The way in which they differ, if they do.
    differs: Option<Differs>,
}

/// Answers to one peer.
pub(crate) struct Table {
    peer: &'static str,
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn new(peer: &'static str) -> Self {
        Self { peer, rows: Vec::new() }
    }

    pub(crate) fn add(
        &mut self,
        case: &str,
        method: &str,
        tolerance: Tolerance,
        theirs: &Value,
        ours: Result<f64, Undefined>,
    ) {
        let number = theirs.as_f64().or(match theirs.as_str() {
            Some("inf") => Some(f64::INFINITY),
            Some("-inf") => Some(f64::NEG_INFINITY),
            _ => None,
        });
        let is_undefined = theirs.get("error").is_some() || theirs == "nan" || theirs.is_null();
        let difference = match (&ours, number) {
            (Ok(ours), Some(theirs)) if *ours == theirs => Some(0.0),
            (Ok(ours), Some(theirs)) => Some((ours - theirs).abs() / theirs.abs()),
            _ => None,
        };
        let (limit, negligible) = match tolerance {
            Tolerance::Statistic => (1e-9, 0.0),
            Tolerance::PValue => (1e-6, 1e-300),
            Tolerance::Single => (1e-6, 1e-37),
            Tolerance::Sketch => (0.02 / number.unwrap_or(1.0).abs(), 0.02),
        };
        let agrees = match (&ours, number) {
            (Ok(ours), Some(theirs)) => {
                difference.is_some_and(|it| it <= limit) || (ours.abs() < negligible && theirs.abs() < negligible)
            }
            (Err(_), None) => is_undefined,
            _ => false,
        };
        let differs = (!agrees).then(|| Differs::of(&ours, number));
        let (case, method) = (case.to_owned(), method.to_owned());
        self.rows.push(Row { case, method, ours, theirs: theirs.clone(), difference, differs });
    }

    /// Prints the table, and fails where an answer differs without a reason or in another way, or a reason has no answer.
    pub(crate) fn check(&self, exceptions: &[Exception]) {
        // By exception and method: the greatest difference.
        let mut used: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        let (mut unlisted, mut deliberate, mut greatest) = (Vec::new(), 0, 0.0f64);
        println!("{:<28} {:<22} {:>24} {:>24} {:>9}", "case", self.peer, "ours", "theirs", "differ by");
        for row in &self.rows {
            let ours = row.ours.map_or_else(|e| e.reason.to_string(), |it| format!("{it:e}"));
            let theirs = match (&row.theirs, row.theirs["error"].as_str()) {
                (_, Some(it)) => it.split(':').next().unwrap_or(it).to_owned(),
                (Value::Number(it), _) => format!("{:e}", it.as_f64().unwrap_or(f64::NAN)),
                (other, _) => other.to_string(),
            };
            let difference = row.difference.map_or_else(|| "-".to_owned(), |it| format!("{it:.1e}"));
            let found = row.differs.and_then(|differs| {
                let of_case = exceptions.iter().enumerate().filter(|it| matches(it.1.case, &row.case));
                let mut all = of_case.flat_map(|(at, it)| it.methods.iter().enumerate().map(move |it| (at, it)));
                let is_this = |(method, listed): &(&str, Differs)| *method == row.method && listed.covers(differs);
                all.find(|(_, (_, it))| is_this(it)).map(|(at, (method, _))| (at, method))
            });
            let mark = match (row.differs, found) {
                (None, _) => {
                    greatest = greatest.max(row.difference.unwrap_or(0.0));
                    String::new()
                }
                (Some(differs), Some(idx)) => {
                    let by = if let Differs::By(it) = differs { it } else { 0.0 };
                    used.entry(idx).and_modify(|it| *it = by.max(*it)).or_insert(by);
                    deliberate += 1;
                    exceptions[idx.0].reason.to_owned()
                }
                (Some(differs), None) => {
                    unlisted.push(format!("{} {}: ours {ours}, theirs {theirs}, {differs:?}", row.case, row.method));
                    "DIFFERS".to_owned()
                }
            };
            println!("{:<28} {:<22} {ours:>24} {theirs:>24} {difference:>9} {mark}", row.case, row.method);
        }
        println!(
            "{}: {} answers, {} agree (greatest relative difference {greatest:.1e}), {deliberate} differ on purpose",
            self.peer,
            self.rows.len(),
            self.rows.len() - deliberate - unlisted.len(),
        );
        let mut stale = Vec::new();
        for (at, exception) in exceptions.iter().enumerate() {
            for (place, (method, listed)) in exception.methods.iter().enumerate() {
                let greatest = used.get(&(at, place));
                if greatest.is_none_or(|it| matches!(listed, Differs::By(bound) if *it < bound / 2.0)) {
                    stale.push((exception.case, method, listed, greatest));
                }
            }
        }
        assert!(
            unlisted.is_empty() && stale.is_empty(),
            "{unlisted:#?}\nlisted but nothing differs so, or by less than half: {stale:#?}"
        );
    }
}

/// Whether `text` is what `pattern` describes; a `*` at either end stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(""), _) => true,
        (Some(end), _) => text.ends_with(end),
        (None, Some(start)) => text.starts_with(start),
        (None, None) => pattern == text,
    }
}
