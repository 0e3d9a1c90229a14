//! What is kept of one role: rows and columns.

use std::collections::{BTreeMap, btree_map::Entry};

use modelwatch_sdk::{ModelRole, RecordBatch, Result, rows::outputs};

use crate::{
    codec::{Reader, Writer, damaged},
    column::Column,
    config::Config,
    select::{is_declared_categorical, is_selected},
};

/// What a column is a column of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Group {
    /// The data.
    Feature,
    /// The candidate's outputs.
    Output,
}

/// A column's name and what it is a column of.
pub(crate) type Key = (Group, String);

/// The rows and columns of one role.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    rows: u64,
    columns: BTreeMap<Key, Column>,
}

impl Profile {
    /// Takes in a batch.
    ///
    /// # Errors
    /// When an array is not what its type says.
    pub(crate) fn update(&mut self, config: &Config, batch: &RecordBatch) -> Result<()> {
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            if is_selected(config, field) {
                let is_declared = is_declared_categorical(config, field);
                self.column(Group::Feature, field.name()).update(config, Group::Feature, is_declared, array)?;
            }
        }
        if config.predictions {
            for (name, array) in outputs(batch, ModelRole::Candidate) {
                self.column(Group::Output, name).update(config, Group::Output, false, array)?;
            }
        }
        Ok(())
    }

    /// Adds what `other` has seen.
    ///
    /// # Errors
    /// When the two are of different configurations.
    pub(crate) fn merge(&mut self, other: Self) -> Result<()> {
        self.rows = self.rows.saturating_add(other.rows);
        for (key, column) in other.columns {
            match self.columns.entry(key) {
                Entry::Vacant(it) => {
                    it.insert(column);
                }
                Entry::Occupied(mut it) => it.get_mut().merge(&column)?,
            }
        }
        Ok(())
    }

    /// Returns the number of rows.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the columns in the order of their names, outputs last.
    pub(crate) fn columns(&self) -> &BTreeMap<Key, Column> {
        &self.columns
    }

    /// Returns whether there is a column of that group.
    pub(crate) fn has(&self, group: Group) -> bool {
        self.columns.keys().any(|it| it.0 == group)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.rows);
        writer.u64(self.columns.len() as u64);
        for ((group, name), column) in &self.columns {
            writer.u8(*group as u8);
            writer.bytes(name.as_bytes());
            column.write(writer);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut res = Self { rows: reader.u64()?, columns: BTreeMap::new() };
        for _ in 0..reader.u64()? {
            let group = match reader.u8()? {
                0 => Group::Feature,
                1 => Group::Output,
                _ => return Err(damaged("it has an unknown group of columns")),
            };
            let name = reader.text()?.to_owned();
            res.columns.insert((group, name), Column::read(group, reader)?);
        }
        Ok(res)
    }

    fn column(&mut self, group: Group, name: &str) -> &mut Column {
        self.columns.entry((group, name.to_owned())).or_default()
    }
}
