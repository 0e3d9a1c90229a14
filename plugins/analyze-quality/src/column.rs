//! What is kept of one column in one role.

use std::collections::BTreeSet;

use modelwatch_sdk::{
    Result,
    arrow::{array::Array, schema::Field},
    rows::{Use, has_use},
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::{hash::mix, keys::KeyTallies};

use crate::{
    identity::MISSING,
    kind::{Family, Kind},
    names::{Names, Unexpected},
    numbers::Numbers,
    settings::Settings,
    stored::Stored,
    times::Times,
    weighed::{Weighed, Weights},
};

/// The most types that are told apart in one column.
const MAX_TYPES: usize = 8;

/// The uses of columns that matter here, each with its bit.
const USES: [(Use, u8); 6] =
    [(Use::Feature, 1), (Use::Label, 2), (Use::Id, 4), (Use::Timestamp, 8), (Use::Categorical, 16), (Use::Weight, 32)];

/// One column's rows and values.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    rows: u64,
    nulls: u64,
    uses: u8,
    /// The Arrow types that came, and what they mean.
    types: BTreeSet<(Kind, String)>,
    values: KeyTallies,
    /// Equal for columns that are equal in every row; see [`Column::add_fingerprint`].
    fingerprint: u64,
    is_opaque: bool,
    unexpected: Unexpected,
    weighed: Weighed,
    body: Body,
}

/// The values of a column, by what they are.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// No values, or values of different families.
    Empty,
    Numbers(Numbers),
    Names(Names),
    Times(Times),
    /// What a stored profile of the reference has in place of values.
    Stored(Box<Stored>),
}

impl Column {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            rows: 0,
            nulls: 0,
            uses: 0,
            types: BTreeSet::new(),
            values: KeyTallies::new(settings.config.max_distinct),
            fingerprint: 0,
            is_opaque: false,
            unexpected: Unexpected::default(),
            weighed: Weighed::new(settings),
            body: Body::Empty,
        }
    }

    /// Returns the column that a stored profile has.
    pub(crate) fn of_stored(settings: &Settings, field: &Field, stored: Stored) -> Self {
        let mut res = Self::new(settings);
        (res.rows, res.nulls) = (stored.rows(), stored.nulls());
        res.uses = uses_of(field);
        res.types = stored.types();
        res.is_opaque = true;
        res.body = Body::Stored(Box::new(stored));
        res
    }

    /// Takes in the values of a batch, with their identities if there are any, a hash of each whole row, and the weights of the rows.
    ///
    /// # Errors
    /// When an array is not what its type says.
    pub(crate) fn update(
        &mut self,
        settings: &Settings,
        field: &Field,
        array: &dyn Array,
        identities: Option<&[u64]>,
        row_hashes: &[u64],
        weights: Option<&Weights>,
    ) -> Result<()> {
        self.rows = self.rows.saturating_add(array.len() as u64);
        self.nulls = self.nulls.saturating_add(array.logical_null_count() as u64);
        self.uses |= uses_of(field);
        match identities {
            Some(identities) => {
                identities.iter().filter(|it| **it != MISSING).for_each(|it| self.values.push(*it, None));
                self.add_fingerprint(identities, row_hashes);
            }
            None => self.is_opaque = true,
        }
        let kind = Kind::of(array.data_type());
        self.add_type(kind, array.data_type().to_string(), || Body::of(settings, kind));
        let rule = settings.rule(field.name(), self);
        match &mut self.body {
            Body::Empty | Body::Stored(_) => {}
            Body::Numbers(it) => it.update(array, rule)?,
            Body::Names(it) => it.update(settings, kind == Kind::Text, array)?,
            Body::Times(it) => it.update(array, rule),
        }
        if let Some(rule) = rule.filter(|_| kind.is_written()) {
            self.unexpected.add(Unexpected::of(array, rule, None)?);
        }
        if let Some(weights) = weights {
            self.weighed.update(array, rule, has_use(field, Use::Label), weights)?;
        }
        Ok(())
    }

    /// Adds what `other` has seen.
    ///
    /// # Errors
    /// When both are of stored profiles of different settings.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        self.rows = self.rows.saturating_add(other.rows);
        self.nulls = self.nulls.saturating_add(other.nulls);
        self.uses |= other.uses;
        self.values.merge(&other.values);
        self.fingerprint = self.fingerprint.wrapping_add(other.fingerprint);
        self.is_opaque |= other.is_opaque;
        self.unexpected.add(other.unexpected);
        self.weighed.merge(&other.weighed);
        let was_new = self.family().is_none();
        other.types.iter().for_each(|it| self.add_type(it.0, it.1.clone(), || Body::Empty));
        match (&mut self.body, &other.body) {
            (Body::Numbers(mine), Body::Numbers(theirs)) => mine.merge(theirs),
            (Body::Names(mine), Body::Names(theirs)) => mine.merge(theirs),
            (Body::Times(mine), Body::Times(theirs)) => mine.merge(theirs),
            (Body::Stored(mine), Body::Stored(theirs)) => mine.merge(theirs)?,
            (mine @ Body::Empty, theirs) if was_new => *mine = theirs.clone(),
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the number of rows that are null.
    pub(crate) fn nulls(&self) -> u64 {
        self.nulls
    }

    /// Returns the number of rows that are NaN.
    pub(crate) fn n_nan(&self) -> u64 {
        match &self.body {
            Body::Numbers(it) => it.sample().n_nan(),
            Body::Stored(it) => it.n_nan(),
            _ => 0,
        }
    }

    /// Returns the number of rows that are null or NaN.
    pub(crate) fn n_missing(&self) -> u64 {
        self.nulls.saturating_add(self.n_nan()).min(self.rows)
    }

    /// Returns the number of rows that have a value.
    pub(crate) fn n_present(&self) -> u64 {
        self.rows - self.n_missing()
    }

    /// Returns what its rows weigh; nothing where they have no weights.
    pub(crate) fn weighed(&self) -> &Weighed {
        &self.weighed
    }

    pub(crate) fn has_use(&self, wanted: Use) -> bool {
        USES.iter().any(|it| it.0 == wanted && self.uses & it.1 != 0)
    }

    /// Returns the tallies of the values.
    pub(crate) fn values(&self) -> &KeyTallies {
        &self.values
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Returns whether its values cannot be told apart, so that only missing ones are counted.
    pub(crate) fn is_opaque(&self) -> bool {
        self.is_opaque
    }

    /// Returns whether there are values, and all are equal.
    pub(crate) fn is_constant(&self) -> bool {
        if let Body::Stored(it) = &self.body {
            return self.n_present() > 1 && it.is_constant();
        }
        self.n_present() > 1 && !self.is_opaque && !self.values.is_overflowed() && self.values.distinct() == 1.0
    }

    /// Returns whether the values are all different, as far as that is known exactly.
    pub(crate) fn n_repeated(&self) -> Option<u64> {
        let is_known = !self.is_opaque && !self.values.is_overflowed();
        is_known.then(|| self.values.n().saturating_sub(self.values.distinct() as u64))
    }

    pub(crate) fn unexpected(&self) -> Unexpected {
        self.unexpected
    }

    /// Returns what a stored profile has of the column; none where there were rows.
    pub(crate) fn stored(&self) -> Option<&Stored> {
        if let Body::Stored(it) = &self.body { Some(it) } else { None }
    }

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    /// Returns what the values of its batches are; nothing where all are nulls without a type.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.types.iter().map(|it| it.0).filter(|it| *it != Kind::Untyped)
    }

    /// Returns what the values are, unless they are nothing but nulls or of several kinds.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let mut kinds = self.kinds();
        let first = kinds.next()?;
        kinds.all(|it| it == first).then_some(first)
    }

    /// Returns the Arrow types, in words.
    pub(crate) fn types(&self) -> String {
        self.types.iter().map(|it| it.1.as_str()).collect::<Vec<_>>().join(" and ")
    }

    /// Returns whether batches of different families came, so that there are no values.
    pub(crate) fn is_mixed(&self) -> bool {
        let families: BTreeSet<_> = self.types.iter().filter_map(|it| it.0.family()).collect();
        families.len() > 1
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.rows);
        writer.u64(self.nulls);
        writer.u8(self.uses);
        writer.u64(self.types.len() as u64);
        for (kind, name) in &self.types {
            writer.u8(*kind as u8);
            writer.bytes(name.as_bytes());
        }
        writer.bytes(&self.values.to_bytes());
        writer.u64(self.fingerprint);
        writer.u8(u8::from(self.is_opaque));
        self.unexpected.write(writer);
        self.weighed.write(writer);
        match &self.body {
            Body::Empty => writer.u8(0),
            Body::Numbers(it) => {
                writer.u8(1);
                it.write(writer);
            }
            Body::Names(it) => {
                writer.u8(2);
                it.write(writer);
            }
            Body::Times(it) => {
                writer.u8(3);
                it.write(writer);
            }
            Body::Stored(it) => {
                writer.u8(4);
                it.write(writer);
            }
        }
    }

    pub(crate) fn read(settings: &Settings, reader: &mut Reader<'_>) -> Result<Self> {
        let (rows, nulls, uses) = (reader.u64()?, reader.u64()?, reader.u8()?);
        let mut types = BTreeSet::new();
        for _ in 0..reader.u64()? {
            let kind = Kind::from_code(reader.u8()?).ok_or_else(|| damaged("a column is of an unknown kind"))?;
            types.insert((kind, reader.text()?.to_owned()));
            if types.len() > MAX_TYPES {
                return Err(damaged("a column has too many types"));
            }
        }
        let values = KeyTallies::from_bytes(reader.bytes()?).map_err(damaged)?;
        let (fingerprint, is_opaque) = (reader.u64()?, reader.flag()?);
        let (unexpected, weighed) = (Unexpected::read(reader)?, Weighed::read(settings, reader)?);
        let body = match reader.u8()? {
            0 => Body::Empty,
            1 => Body::Numbers(Numbers::read(reader)?),
            2 => Body::Names(Names::read(reader)?),
            3 => Body::Times(Times::read(reader)?),
            4 => Body::Stored(Box::new(Stored::read(reader)?)),
            _ => return Err(damaged("a column has an unknown form")),
        };
        if nulls > rows {
            return Err(damaged("a column has more nulls than rows"));
        }
        Ok(Self { rows, nulls, uses, types, values, fingerprint, is_opaque, unexpected, weighed, body })
    }

    fn family(&self) -> Option<Family> {
        self.types.iter().find_map(|it| it.0.family())
    }

    /// Notes the type; the first family decides the body, a second one ends it, so that the order does not matter.
    fn add_type(&mut self, kind: Kind, name: String, body: impl FnOnce() -> Body) {
        if let Some(family) = kind.family() {
            match self.family() {
                None => self.body = body(),
                Some(it) if it != family => self.body = Body::Empty,
                Some(_) => {}
            }
        }
        self.types.insert((kind, name));
        if self.types.len() > MAX_TYPES {
            self.types.pop_last();
        }
    }

    /// Adds up a hash of each value together with its whole row. Two columns have the same sum where they are equal in every row, and
    /// hardly ever else; the order of rows does not matter, and no row is kept.
    fn add_fingerprint(&mut self, identities: &[u64], row_hashes: &[u64]) {
        for (value, row) in identities.iter().zip(row_hashes) {
            self.fingerprint = self.fingerprint.wrapping_add(mix(value ^ mix(*row)));
        }
    }
}

fn uses_of(field: &Field) -> u8 {
    USES.iter().filter(|it| has_use(field, it.0)).fold(0, |sum, it| sum | it.1)
}

impl Body {
    fn of(settings: &Settings, kind: Kind) -> Self {
        match kind.family() {
            Some(Family::Numbers) => Self::Numbers(Numbers::new(settings.config.budget)),
            Some(Family::Texts | Family::Booleans) => Self::Names(Names::new(settings)),
            Some(Family::Times) => Self::Times(Times::new(settings.config.budget)),
            Some(Family::Others) | None => Self::Empty,
        }
    }
}
