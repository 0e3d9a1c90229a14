//! What is kept of one role.

use std::collections::{BTreeMap, btree_map::Entry};

use modelwatch_profile::{Group, stored};
use modelwatch_sdk::{
    RecordBatch, Result,
    arrow::{
        array::{Array, ArrayRef},
        schema::Field,
    },
    rows::{Use, has_use, is_computed, texts, weigh_too_little},
    state::{Reader, Writer},
};
use modelwatch_stats::{hash::mix, keys::KeyTallies};

use crate::{
    column::Column,
    identity::{MISSING, identities, of_name},
    rows::{RowSample, cells},
    settings::Settings,
    stored::Stored,
    weighed::{Footing, Weights},
};

/// How many columns are looked at in pairs, beside label and identifier.
pub(crate) const MAX_PAIRED: usize = 60;

/// Longer identifiers are cut, in characters.
const MAX_ID: usize = 64;

/// Rows and columns of one role.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    rows: u64,
    /// Those that have a weight that can be used.
    n_weighed: u64,
    /// Those that have one above 0.
    n_heavy: u64,
    /// What all of them weigh, in whole units.
    mass: u64,
    columns: BTreeMap<String, Column>,
    /// By features and label.
    row_keys: KeyTallies,
    /// By features alone, with the label as value.
    feature_keys: KeyTallies,
    sample: RowSample,
    /// Whether rows are told apart and sampled.
    keeps_rows: bool,
}

/// A column of a batch with the identities of its values.
struct Read<'a> {
    field: &'a Field,
    at: usize,
    identities: Option<Vec<u64>>,
}

impl Profile {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            rows: 0,
            n_weighed: 0,
            n_heavy: 0,
            mass: 0,
            columns: BTreeMap::new(),
            row_keys: KeyTallies::new(settings.config.max_keys),
            feature_keys: KeyTallies::new(settings.config.max_keys),
            sample: RowSample::new(settings.config.sample_rows),
            keeps_rows: true,
        }
    }

    /// Returns the profile of no rows, whose columns alone are looked at.
    pub(crate) fn of_columns(settings: &Settings) -> Self {
        Self::new(settings).without_rows()
    }

    /// Returns the profile as one whose columns alone are looked at.
    pub(crate) fn without_rows(self) -> Self {
        Self { keeps_rows: false, ..self }
    }

    /// Takes in a batch.
    ///
    /// # Errors
    /// When an array is not what its type says.
    pub(crate) fn update(&mut self, settings: &Settings, batch: &RecordBatch) -> Result<()> {
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
        let weights = Weights::of(settings, batch);
        let weights = weights.as_ref();
        if let Some(it) = weights {
            self.n_weighed = self.n_weighed.saturating_add(it.n_usable);
            self.n_heavy = self.n_heavy.saturating_add(it.n_heavy);
            self.mass = it.units.iter().copied().fold(self.mass, u64::saturating_add);
        }
        let columns = read(settings, batch)?;
        let all = row_hashes(&columns, batch.num_rows(), |_| true);
        for it in &columns {
            let column = self.columns.entry(it.field.name().clone()).or_insert_with(|| Column::new(settings));
            column.update(settings, it.field, batch.column(it.at).as_ref(), it.identities.as_deref(), &all, weights)?;
        }
        if !self.keeps_rows {
            return Ok(());
        }
        self.update_keys(&columns, batch.num_rows());
        let sampled = sampled(settings, &columns, batch)?;
        let id = columns.iter().find(|it| settings.finds_outlier_rows() && has_use(it.field, Use::Id));
        self.sample.update(&all, weights, &sampled, |row| id_of(batch.column(id?.at), row));
        Ok(())
    }

    /// Takes in the columns of a stored profile, of so many rows.
    ///
    /// # Errors
    /// When a column cannot be read.
    pub(crate) fn update_stored(&mut self, settings: &Settings, batch: &RecordBatch, rows: u64) -> Result<()> {
        self.rows = self.rows.saturating_add(rows);
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let wanted = is_kept(settings, field).then(|| stored::described(Group::Feature, field, array.as_ref()));
            if let Some(it) = wanted.transpose()?.flatten() {
                let column = Column::of_stored(settings, field, Stored::new(it));
                self.add_column(field.name().clone(), column)?;
            }
        }
        Ok(())
    }

    /// Returns whether it is of a stored profile, and has no rows.
    pub(crate) fn is_stored(&self) -> bool {
        self.columns.values().any(|it| it.stored().is_some())
    }

    /// Adds what `other` has seen.
    ///
    /// # Errors
    /// When both are of stored profiles of different settings.
    pub(crate) fn merge(&mut self, other: Self) -> Result<()> {
        self.rows = self.rows.saturating_add(other.rows);
        self.n_weighed = self.n_weighed.saturating_add(other.n_weighed);
        self.n_heavy = self.n_heavy.saturating_add(other.n_heavy);
        self.mass = self.mass.saturating_add(other.mass);
        for (name, column) in other.columns {
            self.add_column(name, column)?;
        }
        self.row_keys.merge(&other.row_keys);
        self.feature_keys.merge(&other.feature_keys);
        self.sample.merge(&other.sample);
        Ok(())
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns whether each row has a weight that can be used.
    pub(crate) fn has_weights(&self) -> bool {
        self.n_weighed == self.rows
    }

    /// Returns whether the weights above 0 are so small that rounding leaves little of them.
    pub(crate) fn weighs_too_little(&self) -> bool {
        weigh_too_little(self.mass, self.n_heavy)
    }

    /// Returns whether there are rows, and as they count they come to nothing.
    pub(crate) fn counts_nothing(&self, footing: Footing) -> bool {
        footing == Footing::Weight && self.rows > 0 && self.mass == 0
    }

    /// Returns the columns in the order of their names.
    pub(crate) fn columns(&self) -> &BTreeMap<String, Column> {
        &self.columns
    }

    /// Returns the first column with that use.
    pub(crate) fn column_for(&self, wanted: Use) -> Option<(&str, &Column)> {
        self.columns.iter().find(|it| it.1.has_use(wanted)).map(|it| (it.0.as_str(), it.1))
    }

    /// Returns the columns that are looked at in pairs, in the order of their names.
    pub(crate) fn paired_columns(&self) -> impl Iterator<Item = (&str, &Column)> {
        let mut n_others = 0;
        let kept = self.columns.iter().filter(|it| !it.1.is_opaque());
        let paired = kept.filter(move |it| {
            let is_other = !it.1.has_use(Use::Label) && !it.1.has_use(Use::Id);
            n_others += usize::from(is_other);
            !is_other || n_others <= MAX_PAIRED
        });
        paired.map(|it| (it.0.as_str(), it.1))
    }

    /// Returns the tallies of rows by features and label.
    pub(crate) fn row_keys(&self) -> &KeyTallies {
        &self.row_keys
    }

    /// Returns the tallies of rows by features, with their labels.
    pub(crate) fn feature_keys(&self) -> &KeyTallies {
        &self.feature_keys
    }

    pub(crate) fn sample(&self) -> &RowSample {
        &self.sample
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        [self.rows, self.n_weighed, self.n_heavy, self.mass].into_iter().for_each(|it| writer.u64(it));
        writer.u64(self.columns.len() as u64);
        for (name, column) in &self.columns {
            writer.bytes(name.as_bytes());
            column.write(writer);
        }
        writer.bytes(&self.row_keys.to_bytes());
        writer.bytes(&self.feature_keys.to_bytes());
        self.sample.write(writer);
    }

    pub(crate) fn read(settings: &Settings, reader: &mut Reader<'_>) -> Result<Self> {
        let mut res = Self::new(settings);
        (res.rows, res.n_weighed) = (reader.u64()?, reader.u64()?);
        (res.n_heavy, res.mass) = (reader.u64()?, reader.u64()?);
        for _ in 0..reader.u64()? {
            let name = reader.text()?.to_owned();
            res.columns.insert(name, Column::read(settings, reader)?);
        }
        let mut keys = || KeyTallies::from_bytes(reader.bytes()?).map_err(modelwatch_sdk::state::damaged);
        (res.row_keys, res.feature_keys) = (keys()?, keys()?);
        res.sample = RowSample::read(settings.config.sample_rows, reader)?;
        Ok(res)
    }

    fn add_column(&mut self, name: String, column: Column) -> Result<()> {
        match self.columns.entry(name) {
            Entry::Vacant(it) => {
                it.insert(column);
                Ok(())
            }
            Entry::Occupied(mut it) => it.get_mut().merge(&column),
        }
    }

    fn update_keys(&mut self, columns: &[Read<'_>], n_rows: usize) {
        let is_feature = |it: &Read<'_>| has_use(it.field, Use::Feature) && it.identities.is_some();
        if !columns.iter().any(is_feature) {
            return;
        }
        let features = row_hashes(columns, n_rows, is_feature);
        let label = columns.iter().find(|it| has_use(it.field, Use::Label)).and_then(|it| it.identities.as_ref());
        for (row, key) in features.into_iter().enumerate() {
            let label = label.map_or(MISSING, |it| it[row]);
            self.row_keys.push(mix(key ^ label), None);
            // A row without a label contradicts none.
            self.feature_keys.push(key, Some(label).filter(|it| *it != MISSING));
        }
    }
}

/// Returns whether anything is kept of a column.
pub(crate) fn is_kept(settings: &Settings, field: &Field) -> bool {
    !is_computed(field) && !settings.is_left_out(field)
}

fn read<'a>(settings: &Settings, batch: &'a RecordBatch) -> Result<Vec<Read<'a>>> {
    let wanted = batch.schema_ref().fields().iter().enumerate().filter(|it| is_kept(settings, it.1));
    let mut res = wanted
        .map(|(at, field)| Ok(Read { field, at, identities: identities(batch.column(at).as_ref())? }))
        .collect::<Result<Vec<_>>>()?;
    res.sort_by(|left, right| left.field.name().cmp(right.field.name()));
    Ok(res)
}

/// Returns a hash of each row over some of its columns, which does not depend on their order.
fn row_hashes(columns: &[Read<'_>], n_rows: usize, is_wanted: impl Fn(&Read<'_>) -> bool) -> Vec<u64> {
    let mut res = vec![0u64; n_rows];
    for it in columns.iter().filter(|it| is_wanted(it)) {
        let name = of_name(it.field.name());
        for (sum, identity) in res.iter_mut().zip(it.identities.iter().flatten()) {
            *sum = sum.wrapping_add(mix(identity ^ name));
        }
    }
    res.iter_mut().for_each(|it| *it = mix(*it));
    res
}

/// Returns the identifier of a row as text; none where its type has no such form.
fn id_of(column: &ArrayRef, row: usize) -> Option<String> {
    let id = column.slice(row, 1);
    let text = texts(id.as_ref()).ok()?.pop()??;
    Some(text.chars().take(MAX_ID).collect())
}

/// Returns the columns of rows that are kept, with their cells: those that are looked at in pairs, or all where outliers are looked for.
fn sampled<'a>(settings: &Settings, columns: &[Read<'a>], batch: &RecordBatch) -> Result<Vec<(&'a str, Vec<u64>)>> {
    let mut n_features = 0;
    let mut res = Vec::new();
    for it in columns {
        let Some(identities) = &it.identities else { continue };
        if !has_use(it.field, Use::Label) && !has_use(it.field, Use::Id) {
            n_features += 1;
            if n_features > MAX_PAIRED && !settings.finds_outlier_rows() {
                continue;
            }
        }
        res.push((it.field.name().as_str(), cells(batch.column(it.at).as_ref(), identities)?));
    }
    Ok(res)
}
