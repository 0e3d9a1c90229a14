//! Rows and columns.

use std::collections::{BTreeMap, btree_map::Entry};

use modelwatch_sdk::{
    Result,
    arrow::array::Array,
    state::{Reader, Writer, damaged},
};

use crate::{column::Column, multiples::Multiples, settings::Settings};

/// What a column is a column of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The data.
    Feature,
    /// The candidate's outputs.
    Output,
}

/// A column's name and what it is a column of.
pub type Key = (Group, String);

/// The rows and columns of one dataset.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    rows: u64,
    columns: BTreeMap<Key, Column>,
}

impl Profile {
    /// Counts rows, whose columns are added one by one.
    pub fn add_rows(&mut self, rows: u64) {
        self.rows = self.rows.saturating_add(rows);
    }

    /// Takes in the values of a column; `is_declared` says that numbers in it are names of categories.
    ///
    /// # Errors
    /// When the array is not what its type says.
    pub fn update(&mut self, settings: &Settings, key: Key, is_declared: bool, array: &dyn Array) -> Result<()> {
        self.update_multiples(settings, key, is_declared, (array, Multiples::One))
    }

    /// Takes in the values of a column whose rows count as often as is said; such a column has no description.
    ///
    /// # Errors
    /// When the array is not what its type says.
    pub fn update_multiples(
        &mut self,
        settings: &Settings,
        key: Key,
        is_declared: bool,
        rows: (&dyn Array, Multiples<'_>),
    ) -> Result<()> {
        let group = key.0;
        self.columns.entry(key).or_default().update(settings, group, is_declared, rows)
    }

    /// Adds what `other` has seen.
    ///
    /// # Errors
    /// When the two are of different settings.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        self.rows = self.rows.saturating_add(other.rows);
        other.columns.into_iter().try_for_each(|(key, column)| self.merge_column(key, column))
    }

    /// Adds what was seen of one column.
    ///
    /// # Errors
    /// When the two are of different settings.
    pub fn merge_column(&mut self, key: Key, column: Column) -> Result<()> {
        match self.columns.entry(key) {
            Entry::Vacant(it) => {
                it.insert(column);
                Ok(())
            }
            Entry::Occupied(mut it) => it.get_mut().merge(&column),
        }
    }

    /// Lets merges keep all categories of every column, until they are cut.
    pub(crate) fn lift_caps(&mut self) {
        self.columns.values_mut().for_each(Column::lift_caps);
    }

    /// Cuts every column to what a file keeps: its categories, and where there are many columns its numbers.
    pub(crate) fn cut(&mut self, settings: &Settings) {
        let room = settings.room_of_numbers(self.columns.len());
        self.columns.values_mut().for_each(|it| it.cut(settings, room));
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the columns in the order of their names, outputs last.
    pub fn columns(&self) -> &BTreeMap<Key, Column> {
        &self.columns
    }

    /// Returns whether there is a column of that group.
    pub fn has(&self, group: Group) -> bool {
        self.columns.keys().any(|it| it.0 == group)
    }

    /// Keeps the columns of that group alone.
    pub(crate) fn retain(&mut self, group: Group) {
        self.columns.retain(|it, _| it.0 == group);
    }

    /// Appends the profile; equal rows give equal bytes.
    pub fn write(&self, writer: &mut Writer) {
        writer.u64(self.rows);
        writer.u64(self.columns.len() as u64);
        for ((group, name), column) in &self.columns {
            writer.u8(*group as u8);
            writer.bytes(name.as_bytes());
            column.write(writer);
        }
    }

    /// Takes a profile, and leaves what follows.
    ///
    /// # Errors
    /// When the bytes are no profile.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut res = Self { rows: reader.u64()?, columns: BTreeMap::new() };
        for _ in 0..reader.u64()? {
            let group = match reader.u8()? {
                0 => Group::Feature,
                1 => Group::Output,
                _ => return Err(damaged("it has an unknown group of columns")),
            };
            let key = (group, reader.text()?.to_owned());
            if res.columns.last_key_value().is_some_and(|it| *it.0 >= key) {
                return Err(damaged("its columns are out of order"));
            }
            res.columns.insert(key, Column::read(group, reader)?);
        }
        Ok(res)
    }
}
