//! What is kept of the rows, in the order in which they came.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Error, Result,
    state::{Reader, Writer, damaged},
};

use crate::{ids::Ids, times::Times, values::Values};

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
}

/// The rows of all streams.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rows {
    pub(crate) n: usize,
    /// None where rows stay in the order of the data.
    pub(crate) times: Option<Times>,
    pub(crate) ids: Option<Ids>,
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
    /// Returns the stream as a person would name it.
    pub(crate) fn place(&self) -> String {
        match self.subject {
            Subject::Column => format!("column `{}`", self.name),
            Subject::Output => format!("output `{}`", self.name),
            Subject::Errors => format!("errors of `{}`", self.name),
            Subject::Loss => format!("loss of `{}`", self.name),
        }
    }
}

impl Rows {
    /// Appends later rows.
    ///
    /// # Errors
    /// When they have other columns, or there is more to keep than is allowed.
    pub(crate) fn append(&mut self, other: Self, max_bytes: u64) -> Result<()> {
        // Rows that are none say nothing of columns either, so that empty partitions do not show.
        if other.n == 0 {
            return Ok(());
        }
        let bytes = self.bytes().saturating_add(other.bytes());
        if bytes > max_bytes {
            return Err(too_many(max_bytes));
        }
        if self.n == 0 {
            *self = other;
            return Ok(());
        }
        if !self.streams.keys().eq(other.streams.keys()) {
            return Err(Error::input("the rows do not all have the same columns"));
        }
        match (&mut self.times, other.times) {
            (None, None) => {}
            (Some(ours), Some(theirs)) => ours.append(theirs)?,
            _ => return Err(Error::input("only some of the rows have a timestamp column")),
        }
        match (&mut self.ids, &other.ids) {
            (None, None) => {}
            (Some(ours), Some(theirs)) => ours.append(theirs),
            _ => return Err(Error::input("only some of the rows have an id column")),
        }
        for (ours, theirs) in self.streams.values_mut().zip(other.streams.into_values()) {
            ours.append(theirs)?;
        }
        // Without a stream nothing says that the number in stored bytes is true.
        self.n = self.n.saturating_add(other.n);
        self.left_out.extend(other.left_out);
        Ok(())
    }

    /// Returns the rows of every stream in its order: those that have a time, or all. There is a stream, whose length bounds them.
    pub(crate) fn order(&self) -> Vec<usize> {
        self.times.as_ref().map_or_else(|| (0..self.n).collect(), Times::order)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.n as u64);
        writer.u8(u8::from(self.times.is_some()));
        self.times.iter().for_each(|it| it.write(writer));
        writer.u8(u8::from(self.ids.is_some()));
        self.ids.iter().for_each(|it| it.write(writer));
        writer.u64(self.streams.len() as u64);
        for (key, values) in &self.streams {
            writer.u8(key.subject as u8);
            writer.bytes(key.name.as_bytes());
            values.write(writer);
        }
        writer.u64(self.left_out.len() as u64);
        for text in self.left_out.iter().flat_map(|it| [it.0, it.1]) {
            writer.bytes(text.as_bytes());
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let n = usize::try_from(reader.u64()?).map_err(damaged)?;
        let times = if reader.flag()? { Some(Times::read(reader)?) } else { None };
        let ids = if reader.flag()? { Some(Ids::read(reader)?) } else { None };
        let mut res = Self { n, times, ids, ..Self::default() };
        for _ in 0..reader.u64()? {
            let subject =
                Subject::ALL.get(usize::from(reader.u8()?)).ok_or_else(|| damaged("a stream is of nothing"))?;
            let key = Key { subject: *subject, name: reader.text()?.to_owned() };
            res.streams.insert(key, Values::read(reader)?);
        }
        for _ in 0..reader.u64()? {
            let name = reader.text()?.to_owned();
            res.left_out.insert(name, reader.text()?.to_owned());
        }
        let is_full = res.streams.values().all(|it| it.len() == n)
            && res.times.as_ref().is_none_or(|it| it.len() == n)
            && res.ids.as_ref().is_none_or(|it| it.len() == n);
        if is_full { Ok(res) } else { Err(damaged("its columns are not of equal length")) }
    }

    /// Returns the bytes of all values, times and names.
    fn bytes(&self) -> u64 {
        let times = if self.times.is_some() { Times::WIDTH } else { 0 };
        let row = self.streams.values().map(Values::width).sum::<u64>() + times;
        row.saturating_mul(self.n as u64).saturating_add(self.ids.as_ref().map_or(0, Ids::bytes))
    }
}

fn too_many(max_bytes: u64) -> Error {
    Error::input(format!("the streams take more than {max_bytes} bytes, and all of their rows are kept")).with_help(
        "watch fewer columns with `columns`, leave out ids with `ids = false`, give fewer rows at once, or raise `max_bytes`",
    )
}
