//! The first values of a stream, which wait until their scale is known.

use modelwatch_sdk::{
    Result,
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::{Point, Undefined};

use crate::{ranks::Ranks, scale::Scale, track::Mark};

/// Values from the first one on: as many as the options say and, as long as these are all the same, those that follow, since
/// values that do not vary say nothing of how far one is away.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WarmUp {
    first: Vec<(f64, Mark)>,
    /// How many more came that are the same as all of the first ones, and the row of the last of them.
    same: u64,
    same_row: u64,
    /// The first one that was another.
    other: Option<(f64, Mark)>,
}

impl WarmUp {
    /// Takes in the next value and returns whether it is the last one.
    pub(crate) fn push(&mut self, n_first: u64, value: f64, row: u64, mark: impl FnOnce() -> Mark) -> bool {
        let usual = self.first.first().map_or(value, |it| it.0);
        if (self.first.len() as u64) < n_first {
            self.first.push((value, mark()));
            self.first.len() as u64 == n_first && self.first.iter().any(|it| it.0 != usual)
        } else if value == usual {
            self.same += 1;
            self.same_row = row;
            false
        } else {
            self.other = Some((value, mark()));
            true
        }
    }

    /// Returns the scale of the values.
    ///
    /// # Errors
    /// When they are too great to be squared.
    pub(crate) fn scale(&self) -> std::result::Result<Scale, Undefined> {
        Scale::of(&self.points())
    }

    /// Returns the places of the values, for sums of what is beyond that slack.
    pub(crate) fn ranks(&self, slack: f64) -> Ranks {
        Ranks::of(&self.points(), slack)
    }

    /// Returns the values in ascending order.
    fn points(&self) -> Vec<Point> {
        let usual = self.first.first().map(|it| (it.0, self.same));
        let single = self.first.iter().chain(&self.other).map(|it| (it.0, 1));
        let mut points: Vec<Point> = single.chain(usual).collect();
        points.sort_by(|left, right| left.0.total_cmp(&right.0));
        points
    }

    /// Returns the values in their order. Those of which no more than their number was kept have the row of the last of them.
    pub(crate) fn values(&self) -> impl Iterator<Item = (f64, Mark)> + '_ {
        let usual = self.first.first().map_or(f64::NAN, |it| it.0);
        let same = (0..self.same).map(move |_| (usual, Mark { row: self.same_row, ..Mark::default() }));
        self.first.iter().cloned().chain(same).chain(self.other.clone())
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        let write = |writer: &mut Writer, (value, mark): &(f64, Mark)| {
            writer.f64(*value);
            mark.write(writer);
        };
        writer.u64(self.first.len() as u64);
        self.first.iter().for_each(|it| write(writer, it));
        writer.u64(self.same);
        writer.u64(self.same_row);
        // A value that is another ends the warm-up, so that there is none to be written.
    }

    /// Reads what waits of so many values.
    pub(crate) fn read(reader: &mut Reader<'_>, n_first: u64, n_all: u64) -> Result<Self> {
        let n = reader.u64()?;
        if n > n_first {
            return Err(damaged("more values wait for their scale than are needed for it"));
        }
        let first = (0..n).map(|_| Ok((reader.f64()?, Mark::read(reader)?))).collect::<Result<_>>()?;
        let (same, same_row) = (reader.u64()?, reader.u64()?);
        if same > n_all {
            return Err(damaged("more values wait for their scale than came"));
        }
        Ok(Self { first, same, same_row, other: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::MOST;

    fn pushed(values: &[f64]) -> (WarmUp, usize) {
        let mut res = WarmUp::default();
        let is_last =
            |(row, it): (usize, &f64)| res.push(3, *it, row as u64, || Mark { row: row as u64, ..Mark::default() });
        let n = values.iter().enumerate().map(is_last).take_while(|it| !it).count() + 1;
        (res, n)
    }

    #[test]
    fn the_first_values_make_the_scale_and_more_where_they_do_not_vary() {
        let (first, n) = pushed(&[1.0, 2.0, 3.0, 900.0]);
        assert_eq!((n, first.scale()), (3, Ok(Scale { mean: 2.0, deviation: 1.0, most: MOST })));
        let (more, n) = pushed(&[5.0, 5.0, 5.0, 5.0, 10.0, 900.0]);
        let scale = more.scale().unwrap();
        assert_eq!((n, scale.mean, scale.deviation), (5, 6.0, 5f64.sqrt()));
        let rows: Vec<u64> = more.values().map(|it| it.1.row).collect();
        assert_eq!(rows, [0, 1, 2, 3, 4]);
        let (same, _) = pushed(&[5.0; 9]);
        let mut writer = Writer::default();
        same.write(&mut writer);
        assert_eq!(WarmUp::read(&mut Reader(&writer.0), 3, 9).unwrap(), same);
        assert!(WarmUp::read(&mut Reader(&writer.0), 2, 9).is_err());
    }
}
