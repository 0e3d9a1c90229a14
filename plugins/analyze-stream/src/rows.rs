//! Rows, as they are watched.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Error, Result,
    state::{Reader, Writer, damaged},
};

use crate::{
    ids::Ids,
    names::Names,
    times::Times,
    track::Mark,
    values::{Values, chunks},
};

/// What a stream is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Column,
    Output,
    /// 1 for wrong rows, by the name of the prediction.
    Errors,
    /// How wrong rows are, by the name of the prediction.
    Loss,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) subject: Subject,
    pub(crate) name: String,
    /// The slice, as `column=value`; all rows without it.
    pub(crate) slice: Option<String>,
}

/// Rows: those of a batch, or those that wait until it is their turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rows {
    /// Which rows of the data they are, from 0.
    pub(crate) numbers: Vec<u64>,
    /// None where rows stay in the order of the data.
    pub(crate) times: Option<Times>,
    pub(crate) ids: Option<Ids>,
    /// The slice of each row, by the columns that cut them.
    pub(crate) slices: BTreeMap<String, Names>,
    pub(crate) streams: BTreeMap<Key, Values>,
    /// Columns that are no streams, and why.
    pub(crate) left_out: BTreeMap<String, String>,
}

impl Subject {
    const ALL: [Self; 4] = [Self::Column, Self::Output, Self::Errors, Self::Loss];

    /// Returns the label that names a stream in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Column => "column",
            Self::Output => "output",
            Self::Errors => "errors",
            Self::Loss => "loss",
        }
    }
}

impl Key {
    /// Returns the stream of all rows.
    pub(crate) fn new(subject: Subject, name: impl Into<String>) -> Self {
        Self { subject, name: name.into(), slice: None }
    }

    /// Returns the stream of the rows of a slice.
    pub(crate) fn of_slice(&self, slice: &str) -> Self {
        Self { slice: Some(slice.to_owned()), ..self.clone() }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u8(self.subject as u8);
        writer.bytes(self.name.as_bytes());
        writer.u8(u8::from(self.slice.is_some()));
        self.slice.iter().for_each(|it| writer.bytes(it.as_bytes()));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let subject = Subject::ALL.get(usize::from(reader.u8()?)).ok_or_else(|| damaged("a stream is of nothing"))?;
        let name = reader.text()?.to_owned();
        let slice = if reader.flag()? { Some(reader.text()?.to_owned()) } else { None };
        Ok(Self { subject: *subject, name, slice })
    }

    /// Returns the stream as a person would name it.
    pub(crate) fn place(&self) -> String {
        let stream = match self.subject {
            Subject::Column => format!("column `{}`", self.name),
            Subject::Output => format!("output `{}`", self.name),
            Subject::Errors => format!("errors of `{}`", self.name),
            Subject::Loss => format!("loss of `{}`", self.name),
        };
        self.slice.as_ref().map_or(stream.clone(), |it| format!("{stream}[{it}]"))
    }
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Returns no rows of the same columns.
    pub(crate) fn none(&self) -> Self {
        Self {
            numbers: Vec::new(),
            times: self.times.as_ref().map(Times::none),
            ids: self.ids.as_ref().map(|_| Ids::default()),
            slices: self.slices.keys().map(|it| (it.clone(), Names::default())).collect(),
            streams: self.streams.iter().map(|(key, it)| (key.clone(), it.none())).collect(),
            left_out: BTreeMap::new(),
        }
    }

    /// Appends some of other rows.
    ///
    /// # Errors
    /// When they have other columns.
    pub(crate) fn extend(&mut self, other: &Self, rows: &[usize]) -> Result<()> {
        if !self.streams.keys().eq(other.streams.keys()) || !self.slices.keys().eq(other.slices.keys()) {
            let ours = self.streams.keys().chain(other.streams.keys());
            let other = ours.filter(|it| !(self.streams.contains_key(it) && other.streams.contains_key(it)));
            let which = other.take(1).map(|it| format!(": some lack {}", it.place())).collect::<String>();
            return Err(Error::input(format!("the rows do not all have the same columns{which}"))
                .with_help("give all rows the same columns, and lists of one length"));
        }
        match (&mut self.times, &other.times) {
            (None, None) => {}
            (Some(ours), Some(theirs)) => ours.extend(theirs, rows)?,
            _ => return Err(Error::input("only some of the rows have a timestamp column")),
        }
        match (&mut self.ids, &other.ids) {
            (None, None) => {}
            (Some(ours), Some(theirs)) => rows.iter().for_each(|it| ours.push(theirs.get(*it))),
            _ => return Err(Error::input("only some of the rows have an id column")),
        }
        for (ours, theirs) in self.slices.values_mut().zip(other.slices.values()) {
            rows.iter().for_each(|it| ours.push(theirs.get(*it)));
        }
        for (ours, theirs) in self.streams.values_mut().zip(other.streams.values()) {
            ours.extend(theirs, rows)?;
        }
        self.numbers.extend(rows.iter().map(|it| other.numbers[*it]));
        Ok(())
    }

    /// Returns how people find a row.
    pub(crate) fn mark(&self, row: usize) -> Mark {
        Mark {
            row: self.numbers[row],
            time: self.times.as_ref().and_then(|it| it.show(row)),
            id: self.ids.as_ref().and_then(|it| it.get(row)).map(str::to_owned),
        }
    }

    /// Returns the bytes of a row, of its name as many as most have.
    pub(crate) fn width(&self) -> u64 {
        let number = size_of::<u64>() as u64;
        let time = if self.times.is_some() { Times::WIDTH } else { 0 };
        let id = if self.ids.is_some() { Ids::WIDTH } else { 0 };
        let slices = self.slices.len() as u64 * Names::WIDTH;
        self.streams.values().map(Values::width).sum::<u64>() + number + time + id + slices
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.numbers.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>());
        writer.u8(u8::from(self.times.is_some()));
        self.times.iter().for_each(|it| it.write(writer));
        writer.u8(u8::from(self.ids.is_some()));
        self.ids.iter().for_each(|it| it.write(writer));
        writer.u64(self.slices.len() as u64);
        for (column, names) in &self.slices {
            writer.bytes(column.as_bytes());
            names.write(writer);
        }
        writer.u64(self.streams.len() as u64);
        for (key, values) in &self.streams {
            key.write(writer);
            values.write(writer);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let numbers: Vec<u64> = chunks(reader.bytes()?)?.map(u64::from_le_bytes).collect();
        let times = if reader.flag()? { Some(Times::read(reader)?) } else { None };
        let ids = if reader.flag()? { Some(Ids::read(reader)?) } else { None };
        let mut res = Self { numbers, times, ids, ..Self::default() };
        for _ in 0..reader.u64()? {
            res.slices.insert(reader.text()?.to_owned(), Names::read(reader)?);
        }
        for _ in 0..reader.u64()? {
            res.streams.insert(Key::read(reader)?, Values::read(reader)?);
        }
        let n = res.len();
        let is_full = res.streams.values().all(|it| it.len() == n)
            && res.times.as_ref().is_none_or(|it| it.len() == n)
            && res.ids.iter().all(|it| it.len() == n)
            && res.slices.values().all(|it| it.len() == n);
        if is_full { Ok(res) } else { Err(damaged("its columns are not of equal length")) }
    }
}
