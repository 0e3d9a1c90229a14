//! What is kept of one column of fixed-size lists in one role: numbers per row, and elements.

use modelwatch_sdk::{
    Result,
    rows::Numbers,
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::categories::CategoryCounts;

use crate::{multiples::Multiples, numeric::Numeric, profile::Group, settings::Settings};

/// Lists as a few numbers per row, plus single elements.
///
/// Of a feature the mean, standard deviation, minimum and maximum of each row are kept. Of an output it is the
/// maximum and where it is, because the mean of probabilities is the same for every row.
#[derive(Clone, Debug)]
pub struct Tensor {
    group: Group,
    width: usize,
    /// Rows with a value that is null, NaN or infinite.
    n_unusable: u64,
    summaries: Vec<Numeric>,
    elements: Vec<Numeric>,
    argmax: CategoryCounts,
}

impl Tensor {
    /// Returns the profile of no rows of `width` numbers each.
    pub(crate) fn new(group: Group, width: usize, settings: &Settings) -> Self {
        let budget = settings.budget;
        // Elements are many and alike, so that each gets a part of what a plain column gets.
        let element_budget = (budget / 8).max(budget.min(1000));
        Self {
            group,
            width,
            n_unusable: 0,
            summaries: vec![Numeric::new(budget); summary_names(group).len()],
            elements: vec![Numeric::new(element_budget); width.min(settings.max_elements)],
            argmax: CategoryCounts::new(settings.max_categories),
        }
    }

    pub(crate) fn update(&mut self, numbers: &Numbers<'_>, multiples: Multiples<'_>) {
        let positions: Vec<_> = self.positions().collect();
        let mut largest = vec![0u64; if self.group == Group::Output { self.width } else { 0 }];
        for row in 0..numbers.rows() {
            let (row, count) = (numbers.row(row), multiples.of(row));
            if !row.iter().all(|it| it.is_finite()) {
                self.n_unusable = self.n_unusable.saturating_add(count);
                continue;
            }
            for (element, &position) in self.elements.iter_mut().zip(&positions) {
                element.add(row[position], count);
            }
            match self.group {
                Group::Feature => {
                    for (summary, value) in self.summaries.iter_mut().zip(summarize(row)) {
                        summary.add(value, count);
                    }
                }
                Group::Output => {
                    let idx = argmax(row);
                    largest[idx] = largest[idx].saturating_add(count);
                    self.summaries[0].add(row[idx], count);
                }
            }
        }
        for (idx, &count) in largest.iter().enumerate().filter(|it| *it.1 > 0) {
            self.argmax.push(&idx.to_string(), count);
        }
    }

    /// Adds what `other` has seen.
    ///
    /// # Errors
    /// When the other is of another shape.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        if (self.group, self.width, self.elements.len()) != (other.group, other.width, other.elements.len()) {
            return Err(damaged("a column of lists has another shape"));
        }
        self.n_unusable = self.n_unusable.saturating_add(other.n_unusable);
        self.summaries.iter_mut().zip(&other.summaries).for_each(|(mine, theirs)| mine.merge(theirs));
        self.elements.iter_mut().zip(&other.elements).for_each(|(mine, theirs)| mine.merge(theirs));
        self.argmax.merge(&other.argmax);
        Ok(())
    }

    /// Returns the places of the greatest elements, which are none of a feature.
    pub(crate) fn argmax_mut(&mut self) -> &mut CategoryCounts {
        &mut self.argmax
    }

    /// Returns how many rows have a value that is null, NaN or infinite.
    pub fn n_unusable(&self) -> u64 {
        self.n_unusable
    }

    /// Returns how many rows every part is made of.
    pub fn n_usable(&self) -> u64 {
        self.summaries.first().map_or(0, Numeric::n_finite)
    }

    /// Returns the numbers per row with their names.
    pub fn summaries(&self) -> impl Iterator<Item = (&'static str, &Numeric)> {
        summary_names(self.group).iter().copied().zip(&self.summaries)
    }

    /// Returns the elements with their positions in the flattened list.
    pub fn elements(&self) -> impl Iterator<Item = (usize, &Numeric)> {
        self.positions().zip(&self.elements)
    }

    /// Returns how many elements are not looked at one by one.
    pub fn n_left_out(&self) -> usize {
        self.width - self.elements.len()
    }

    /// Returns where the greatest element is, for outputs of more than one.
    pub fn argmax(&self) -> Option<&CategoryCounts> {
        (self.group == Group::Output).then_some(&self.argmax)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.width as u64);
        writer.u64(self.elements.len() as u64);
        writer.u64(self.n_unusable);
        self.summaries.iter().chain(&self.elements).for_each(|it| it.write(writer));
        writer.bytes(&self.argmax.to_bytes());
    }

    pub(crate) fn read(group: Group, reader: &mut Reader<'_>) -> Result<Self> {
        let width = usize::try_from(reader.u64()?).map_err(damaged)?;
        let n_elements = usize::try_from(reader.u64()?).map_err(damaged)?;
        let n_unusable = reader.u64()?;
        if n_elements > width {
            return Err(damaged("a column of lists has more elements than its width"));
        }
        let summaries = summary_names(group).iter().map(|_| Numeric::read(reader)).collect::<Result<_>>()?;
        // Grows with the bytes that are there, not with the number that they promise.
        let mut elements = Vec::new();
        for _ in 0..n_elements {
            elements.push(Numeric::read(reader)?);
        }
        let argmax = CategoryCounts::from_bytes(reader.bytes()?).map_err(damaged)?;
        Ok(Self { group, width, n_unusable, summaries, elements, argmax })
    }

    fn positions(&self) -> impl Iterator<Item = usize> + use<> {
        let (width, n) = (self.width as u128, self.elements.len() as u128);
        (0..n).map(move |it| (it * width / n) as usize)
    }
}

fn summary_names(group: Group) -> &'static [&'static str] {
    match group {
        Group::Feature => &["mean", "std", "min", "max"],
        Group::Output => &["max"],
    }
}

/// Returns the mean, standard deviation, minimum and maximum of finite values.
fn summarize(row: &[f64]) -> [f64; 4] {
    let n = row.len() as f64;
    let mean = row.iter().map(|it| it / n).sum::<f64>();
    let variance = row.iter().map(|it| (it - mean) * ((it - mean) / n)).sum::<f64>();
    let min = row.iter().copied().fold(f64::INFINITY, f64::min);
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    [mean, variance.sqrt(), min, max]
}

/// Returns the first of the greatest elements.
fn argmax(row: &[f64]) -> usize {
    (1..row.len()).fold(0, |best, it| if row[it] > row[best] { it } else { best })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn settings(max_elements: usize) -> Settings {
        Settings { budget: 100, max_elements, ..Settings::STORED }
    }

    #[test]
    fn features_are_summarized_and_outputs_have_a_greatest_element() {
        let values = [0.0, 2.0, 4.0, 1.0, 1.0, 7.0, f64::NAN, 0.0, 0.0];
        let numbers = Numbers { values: Cow::Borrowed(&values), width: 3, nulls: 0 };
        let mut feature = Tensor::new(Group::Feature, 3, &settings(2));
        feature.update(&numbers, Multiples::One);
        assert_eq!((feature.n_usable(), feature.n_unusable()), (2, 1));
        let ranges: Vec<_> = feature.summaries().map(|(name, it)| (name, it.range().unwrap())).collect();
        assert_eq!((ranges[0], ranges[2], ranges[3]), (("mean", (2.0, 3.0)), ("min", (0.0, 1.0)), ("max", (4.0, 7.0))));
        assert_eq!(feature.elements().map(|it| it.0).collect::<Vec<_>>(), [0, 1]);
        let mut output = Tensor::new(Group::Output, 3, &settings(64));
        output.update(&numbers, Multiples::One);
        assert_eq!(output.argmax().unwrap().counts().into_iter().collect::<Vec<_>>(), [("2", 2)]);
        assert!(feature.argmax().is_none());
    }

    #[test]
    fn wide_lists_are_looked_at_in_evenly_spaced_places() {
        let tensor = Tensor::new(Group::Feature, 1000, &settings(4));
        assert_eq!(tensor.elements().map(|it| it.0).collect::<Vec<_>>(), [0, 250, 500, 750]);
        assert_eq!(Tensor::new(Group::Feature, 3, &settings(0)).elements().count(), 0);
    }
}
