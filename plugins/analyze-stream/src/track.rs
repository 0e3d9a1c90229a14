//! A stream as it is watched, value by value, in memory that does not grow with them but for a logarithm.

use std::collections::VecDeque;

use modelwatch_sdk::{
    Result,
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::online::Change;

use crate::{
    config::Config,
    course::{Course, MAX_CHANGES, Outcome, Shift, Watched},
    detector::{Domain, Running, Settings},
    history::History,
    level::Level,
    picture::Picture,
    ranks::Ranks,
    rows::{Key, Subject},
    scale::Scale,
    warm_up::WarmUp,
};

/// A row of the data, and how people find it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mark {
    /// From 0, in the order of the data.
    pub(crate) row: u64,
    pub(crate) time: Option<String>,
    pub(crate) id: Option<String>,
}

/// What all streams have in common.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) config: Config,
    pub(crate) settings: Settings,
}

impl Rules {
    /// Returns the slack of a detector that sees the places of values; none of others.
    fn slack_of_ranks(&self) -> Option<f64> {
        match self.settings {
            Settings::Cusum(it) => it.mean.is_none().then_some(it.slack),
            _ => None,
        }
    }
}

/// What is known of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    /// How many finite values came.
    n: u64,
    n_missing: u64,
    n_infinite: u64,
    /// How many of them are 1.
    n_ones: u64,
    /// The first value that the detector is not made for; from then on it sees nothing.
    misfit: Option<f64>,
    scaling: Scaling,
    detector: Running,
    /// How many values the detector saw.
    n_seen: u64,
    n_warnings: u64,
    /// How many values were cut off, as they are far from what is usual.
    n_clipped: u64,
    last: Change,
    n_changes: u64,
    /// The place at which the last one was found.
    last_found: u64,
    /// The newest; what is after the last of them is in the history.
    changes: VecDeque<Shift>,
    history: History,
    picture: Picture,
}

/// In which scale the detector sees the values.
#[derive(Clone, Debug)]
enum Scaling {
    /// As they are.
    Raw,
    /// By the first values, and until these are known by none, or by that from before the last change.
    WarmUp(WarmUp, Option<Scale>),
    /// With the places among the first values where the detector sees these.
    Known(Scale, Option<Ranks>),
    /// The first values are too great to be squared.
    TooGreat,
}

impl Track {
    /// Returns a stream of which nothing came yet.
    pub(crate) fn new(rules: &Rules, key: &Key) -> Self {
        let is_standardized = match rules.settings {
            // Without a mean of its own, it needs one whatever it watches.
            Settings::Cusum(_) => rules.slack_of_ranks().is_some(),
            _ => {
                let is_any = rules.config.detector.domain() == Domain::Any;
                rules.config.standardize && is_any && key.subject != Subject::Errors
            }
        };
        Self {
            n: 0,
            n_missing: 0,
            n_infinite: 0,
            n_ones: 0,
            misfit: None,
            scaling: if is_standardized { Scaling::WarmUp(WarmUp::default(), None) } else { Scaling::Raw },
            detector: rules.settings.start(None),
            n_seen: 0,
            n_warnings: 0,
            n_clipped: 0,
            last: Change::None,
            n_changes: 0,
            last_found: 0,
            changes: VecDeque::new(),
            history: History::default(),
            picture: Picture::default(),
        }
    }

    /// Takes in the next value, of that row; `mark` says more of the row.
    pub(crate) fn push(&mut self, rules: &Rules, value: f64, row: u64, mark: impl FnOnce() -> Mark) {
        if value.is_nan() {
            self.n_missing += 1;
            return;
        }
        if value.is_infinite() {
            self.n_infinite += 1;
            return;
        }
        self.n += 1;
        self.n_ones += u64::from(value == 1.0);
        if self.misfit.is_none() && !rules.config.detector.domain().has(value) {
            self.misfit = Some(value);
        }
        if self.misfit.is_some() {
            return;
        }
        self.feed(rules, value, row, mark);
    }

    fn feed(&mut self, rules: &Rules, value: f64, row: u64, mark: impl FnOnce() -> Mark) {
        match &mut self.scaling {
            Scaling::Raw => self.decide(rules, None, value, row, mark),
            Scaling::Known(scale, ranks) => {
                let (scale, score) = (*scale, ranks.as_ref().map(|it| it.score(value)));
                let seen = score.unwrap_or_else(|| scale.apply(value));
                self.decide(rules, Some((scale, seen)), value, row, mark);
            }
            Scaling::WarmUp(it, _) => {
                if it.push(rules.config.warm_up, value, row, mark) {
                    self.end_warm_up(rules);
                }
            }
            Scaling::TooGreat => {}
        }
    }

    /// Shows the values that wait to the detector.
    fn end_warm_up(&mut self, rules: &Rules) {
        let Scaling::WarmUp(first, before) = &mut self.scaling else { return };
        let (first, before) = (std::mem::take(first), *before);
        let ranks = rules.slack_of_ranks().map(|it| first.ranks(it));
        // What was found before stands, whatever comes later.
        self.scaling = match (first.scale(), before) {
            (Ok(it), _) | (Err(_), Some(it)) => Scaling::Known(it, ranks),
            (Err(_), None) => Scaling::TooGreat,
        };
        if let Scaling::Known(scale, _) = &self.scaling {
            self.detector = rules.settings.start(Some(scale));
        }
        for (value, mark) in first.values() {
            // One of them may be a change, from which on the others wait again.
            self.feed(rules, value, mark.row, || mark);
        }
    }

    /// Shows the detector a value, as it is seen in a scale where there is one.
    fn decide(
        &mut self,
        rules: &Rules,
        scale: Option<(Scale, f64)>,
        value: f64,
        row: u64,
        mark: impl FnOnce() -> Mark,
    ) {
        let (seen, clipped) = scale.map_or((value, value), |(scale, seen)| (seen, scale.clipped(value)));
        self.n_clipped += u64::from(clipped != value);
        self.history.push(value, clipped, row);
        self.picture.push(value);
        let place = self.n_seen;
        self.n_seen += 1;
        self.last = self.detector.get_mut().update(seen);
        match self.last {
            Change::None => {}
            Change::Warning => self.n_warnings += 1,
            Change::Drift => {
                self.change(rules, place, mark);
                self.start_anew(rules, scale.map(|it| it.0));
            }
        }
    }

    /// Makes the next values a scale of their own where the old one does not fit them any more.
    fn start_anew(&mut self, rules: &Rules, scale: Option<Scale>) {
        let Some(scale) = scale else { return };
        // One that knows a mean alone would report values of another mean for ever.
        let needs_mean = matches!(rules.settings, Settings::Cusum(_));
        if needs_mean || scale.is_of_few() || scale.is_at_end(self.history.clipped_mean()) {
            self.scaling = Scaling::WarmUp(WarmUp::default(), Some(scale));
            self.detector = rules.settings.start(None);
        }
    }

    fn change(&mut self, rules: &Rules, place: u64, mark: impl FnOnce() -> Mark) {
        let n_kept = self.detector.get().n_kept();
        // Of a window that is shed in steps, the rest of what was before a change is no change of its own.
        let reaches_back = n_kept.is_some_and(|it| (place + 1).saturating_sub(it) <= self.last_found);
        if self.n_changes > 0 && reaches_back {
            return;
        }
        let cut = match (&rules.settings, n_kept) {
            // It looks for more than means, among the newest values.
            (Settings::Kswin(_), Some(n_kept)) => self.history.cut_to_newest(n_kept),
            _ => self.history.cut_at_onset(),
        };
        let Some(cut) = cut else { return };
        if let Some(it) = self.changes.back_mut() {
            it.after = cut.before;
        }
        if self.changes.len() == MAX_CHANGES {
            self.changes.pop_front();
        }
        self.n_changes += 1;
        self.last_found = place;
        self.changes.push_back(Shift {
            place,
            mark: mark(),
            first_row: cut.row,
            before: cut.before,
            after: Level::NONE,
            has_risen: cut.has_risen,
        });
    }

    /// Returns what the detector says of all that came.
    pub(crate) fn course(mut self, rules: &Rules, key: &Key) -> Course {
        if self.n_seen == 0 {
            self.end_warm_up(rules);
        }
        // After a change the detector waits for as many values as it asked for: what comes later changes nothing of what was said.
        if let Scaling::WarmUp(waiting, _) = &self.scaling {
            for (value, mark) in waiting.values() {
                self.history.push(value, value, mark.row);
                self.picture.push(value);
            }
        }
        let Self { n, n_missing, n_infinite, .. } = self;
        Course { key: key.clone(), n, n_missing, n_infinite, outcome: self.outcome(rules) }
    }

    fn outcome(mut self, rules: &Rules) -> Outcome {
        let detector = rules.config.detector;
        if let Some(it) = self.misfit {
            let expected = if detector.domain() == Domain::Flag { "0 and 1" } else { "numbers from 0 to 1" };
            return Outcome::Unfit(format!("it has the value {it}, and `{}` is made for {expected}", detector.name()));
        }
        if let Some(why) = rules.settings.shortfall(self.n, self.n_ones) {
            return Outcome::TooShort(why);
        }
        if matches!(self.scaling, Scaling::TooGreat) {
            return Outcome::Unfit("its values are too great to be squared, as its scale needs it".to_owned());
        }
        let latest = self.history.level();
        if let Some(it) = self.changes.back_mut() {
            it.after = latest;
        }
        Outcome::Watched(Watched {
            n_changes: self.n_changes,
            changes: self.changes.into(),
            n_warnings: self.n_warnings,
            n_clipped: (!matches!(self.scaling, Scaling::Raw)).then_some(self.n_clipped),
            ends_with_warning: self.last == Change::Warning,
            latest,
            points: self.picture.points(),
        })
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        let counts = [self.n, self.n_missing, self.n_infinite, self.n_ones, self.n_seen, self.n_warnings];
        counts.into_iter().chain([self.n_changes, self.last_found, self.n_clipped]).for_each(|it| writer.u64(it));
        // No value is NaN.
        writer.f64(self.misfit.unwrap_or(f64::NAN));
        match &self.scaling {
            Scaling::WarmUp(it, before) => {
                writer.u8(if before.is_some() { 4 } else { 0 });
                it.write(writer);
                before.iter().for_each(|it| it.write(writer));
            }
            Scaling::Known(it, ranks) => {
                writer.u8(if ranks.is_some() { 5 } else { 1 });
                it.write(writer);
                ranks.iter().for_each(|it| it.write(writer));
            }
            Scaling::TooGreat => writer.u8(2),
            Scaling::Raw => writer.u8(3),
        }
        writer.bytes(&self.detector.get().to_bytes());
        writer.u8(self.last as u8);
        writer.u64(self.changes.len() as u64);
        self.changes.iter().for_each(|it| it.write(writer));
        self.history.write(writer);
        self.picture.write(writer);
    }

    pub(crate) fn read(rules: &Rules, reader: &mut Reader<'_>) -> Result<Self> {
        let mut counts = [0; 9];
        for it in &mut counts {
            // So that none overflows.
            *it = Some(reader.u64()?).filter(|it| *it < 1 << 62).ok_or_else(|| damaged("a count is too great"))?;
        }
        let [n, n_missing, n_infinite, n_ones, n_seen, n_warnings, n_changes, last_found, n_clipped] = counts;
        let misfit = Some(reader.f64()?).filter(|it| !it.is_nan());
        let slack = rules.slack_of_ranks();
        let no_such = || damaged("a stream has no such scale");
        let scaling = match reader.u8()? {
            0 => Scaling::WarmUp(WarmUp::read(reader, rules.config.warm_up, n)?, None),
            1 if slack.is_none() => Scaling::Known(Scale::read(reader)?, None),
            2 => Scaling::TooGreat,
            3 => Scaling::Raw,
            4 => Scaling::WarmUp(WarmUp::read(reader, rules.config.warm_up, n)?, Some(Scale::read(reader)?)),
            5 => {
                let slack = slack.ok_or_else(no_such)?;
                let scale = Scale::read(reader)?;
                Scaling::Known(scale, Some(Ranks::read(reader, [rules.config.warm_up, n], slack)?))
            }
            _ => return Err(no_such()),
        };
        let scale = if let Scaling::Known(it, _) = &scaling { Some(it) } else { None };
        let mut detector = rules.settings.start(scale);
        detector.get_mut().restore(reader.bytes()?).map_err(damaged)?;
        let changes = [Change::None, Change::Warning, Change::Drift];
        let last = changes.get(usize::from(reader.u8()?)).ok_or_else(|| damaged("a detector said something else"))?;
        let n_listed = reader.u64()?;
        if n_listed > MAX_CHANGES as u64 {
            return Err(damaged("too many changes are listed"));
        }
        let changes = (0..n_listed).map(|_| Shift::read(reader)).collect::<Result<_>>()?;
        let (history, picture) = (History::read(reader)?, Picture::read(reader)?);
        Ok(Self {
            n,
            n_missing,
            n_infinite,
            n_ones,
            misfit,
            scaling,
            detector,
            n_seen,
            n_warnings,
            n_clipped,
            last: *last,
            n_changes,
            last_found,
            changes,
            history,
            picture,
        })
    }
}

impl Mark {
    /// Returns the row with its time and id, as far as it has them.
    pub(crate) fn full(&self) -> String {
        let id = self.id.as_ref().map(|it| format!("id {it}"));
        let all: Vec<_> = self.time.iter().cloned().chain(id).collect();
        if all.is_empty() { format!("row {}", self.row) } else { format!("row {} ({})", self.row, all.join(", ")) }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.row);
        for it in [&self.time, &self.id] {
            writer.u8(u8::from(it.is_some()));
            it.iter().for_each(|it| writer.bytes(it.as_bytes()));
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let row = reader.u64()?;
        let mut text = || if reader.flag()? { reader.text().map(|it| Some(it.to_owned())) } else { Ok(None) };
        Ok(Self { row, time: text()?, id: text()? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rules(config: Value) -> Rules {
        let config: Config = serde_json::from_value(config).unwrap();
        Rules { settings: config.detector_settings().unwrap(), config }
    }

    #[test]
    fn a_scale_of_another_detector_is_refused() {
        let [adwin, cusum] = ["adwin", "cusum"].map(|it| rules(json!({"detector": it})));
        let key = Key { subject: Subject::Column, name: "x".to_owned(), slice: None };
        for (of, other) in [(&adwin, &cusum), (&cusum, &adwin)] {
            let mut track = Track::new(of, &key);
            (0..150u64).for_each(|it| track.push(of, (it % 7) as f64, it, Mark::default));
            let mut writer = Writer::default();
            track.write(&mut writer);
            assert!(Track::read(of, &mut Reader(&writer.0)).is_ok());
            let error = Track::read(other, &mut Reader(&writer.0)).unwrap_err();
            assert!(error.to_string().contains("a stream has no such scale"), "{error}");
        }
    }
}
