//! The slices of rows, each name of which is kept once.

use std::collections::HashMap;

use modelwatch_sdk::{
    Result,
    state::{Reader, Writer, damaged},
};

use crate::values::chunks;

/// The place of a name that is missing.
const NO_NAME: u32 = u32::MAX;

/// One of some names for each row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Names {
    /// Where in `names` the name of each row is.
    places: Vec<u32>,
    /// In the order in which they came.
    names: Vec<String>,
    place_of: HashMap<String, u32>,
}

impl Names {
    /// The bytes of a row with what finds its name, where each row has another one of usual length.
    pub(crate) const WIDTH: u64 = 64;

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns the name of a row; none where it has none.
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        self.names.get(*self.places.get(row)? as usize).map(String::as_str)
    }

    pub(crate) fn push(&mut self, name: Option<&str>) {
        let place = name.map_or(NO_NAME, |it| self.place(it));
        self.places.push(place);
    }

    fn place(&mut self, name: &str) -> u32 {
        if let Some(it) = self.place_of.get(name) {
            return *it;
        }
        let res = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.place_of.insert(name.to_owned(), res);
        res
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.places.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>());
        writer.u64(self.names.len() as u64);
        self.names.iter().for_each(|it| writer.bytes(it.as_bytes()));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let places: Vec<u32> = chunks(reader.bytes()?)?.map(u32::from_le_bytes).collect();
        let n_names = reader.u64()?;
        let mut res = Self::default();
        for _ in 0..n_names {
            let name = reader.text()?;
            res.place(name);
        }
        let is_known = |it: &u32| *it == NO_NAME || u64::from(*it) < n_names;
        if res.names.len() as u64 != n_names || !places.iter().all(is_known) {
            return Err(damaged("the names of slices are not those of its rows"));
        }
        res.places = places;
        Ok(res)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_row_and_kept_once() {
        let mut names = Names::default();
        let all = [Some("region=north"), None, Some("region=south"), Some("region=north")];
        all.into_iter().for_each(|it| names.push(it));
        assert_eq!((0..5).map(|it| names.get(it)).collect::<Vec<_>>(), [&all[..], &[None]].concat());
        assert_eq!(names.names.len(), 2);
        let mut writer = Writer::default();
        names.write(&mut writer);
        assert_eq!(Names::read(&mut Reader(&writer.0)).unwrap(), names);
        for len in 0..writer.0.len() {
            assert!(Names::read(&mut Reader(&writer.0[..len])).is_err());
        }
    }
}
