//! What the chunks of a slice are compared with.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
};

use super::{
    Cells, Fold,
    cutting::{Cutting, Window},
};
use crate::error::Result;

/// The windows of one slice, for its chunks from first to last.
pub struct Windows<'a, F: Fold> {
    fold: &'a F,
    cutting: &'a Cutting,
    /// All reference rows, where they are not cut.
    reference: Option<&'a F::State>,
    /// The chunks that later ones can be compared with; a chunk can have rows of both roles.
    earlier: BTreeMap<i64, Vec<&'a F::State>>,
    /// What an expanding window has grown to, and the chunks that it has not come to.
    grown: F::State,
    ahead: VecDeque<(i64, &'a F::State)>,
}

impl<'a, F: Fold> Windows<'a, F> {
    /// Returns the windows of a slice; of all rows without one.
    pub fn new(
        fold: &'a F,
        cutting: &'a Cutting,
        slice: Option<&str>,
        reference: &'a Cells<F::State>,
        current: &'a Cells<F::State>,
    ) -> Self {
        let mut res = Self {
            fold,
            cutting,
            reference: reference.chunks_of(slice).find(|it| it.0.is_none()).map(|it| it.1),
            earlier: BTreeMap::new(),
            grown: fold.empty(),
            ahead: VecDeque::new(),
        };
        let timed = |cells: &'a Cells<F::State>| cells.chunks_of(slice).filter_map(|it| Some((it.0?, it.1)));
        match cutting.window {
            Window::Fixed => {}
            Window::Expanding => {
                res.grown = res.reference.cloned().unwrap_or_else(|| fold.empty());
                res.ahead = timed(current).collect();
            }
            Window::Rolling(_) | Window::Seasonal(_) => {
                for (start, state) in timed(reference).chain(timed(current)) {
                    res.earlier.entry(start).or_default().push(state);
                }
            }
        }
        res
    }

    /// Returns what the next chunk is compared with; none where there are no such rows. Chunks come in their order.
    ///
    /// # Errors
    /// When the states are of different options.
    pub fn before(&mut self, chunk: Option<i64>) -> Result<Option<Cow<'_, F::State>>> {
        let Some(chunk) = chunk else { return Ok(self.reference.map(Cow::Borrowed)) };
        match self.cutting.window {
            Window::Fixed => Ok(self.reference.map(Cow::Borrowed)),
            Window::Expanding => {
                while let Some((_, state)) = self.ahead.pop_front_if(|it| it.0 < chunk) {
                    self.fold.merge(&mut self.grown, state.clone())?;
                }
                Ok((self.fold.rows(&self.grown) > 0).then_some(Cow::Borrowed(&self.grown)))
            }
            Window::Rolling(n) => {
                let n = usize::try_from(n).unwrap_or(usize::MAX);
                merged(self.fold, self.earlier.range(..chunk).rev().take(n).flat_map(|it| it.1))
            }
            Window::Seasonal(season) => {
                merged(self.fold, self.earlier.get(&season.before(chunk)).into_iter().flatten())
            }
        }
    }

    /// Returns why there is nothing to compare a chunk with.
    pub fn why_none(&self, chunk: Option<i64>) -> String {
        let (Some(period), Some(chunk)) = (self.cutting.period, chunk) else {
            return "the reference has no rows of it".to_owned();
        };
        match self.cutting.window {
            Window::Fixed => "the reference has no rows of it".to_owned(),
            Window::Rolling(_) => format!("there is no {} before it", period.word()),
            Window::Expanding => "there are no rows before it".to_owned(),
            Window::Seasonal(season) => {
                format!("there are no rows of one season earlier, {}", period.name(season.before(chunk)))
            }
        }
    }
}

fn merged<'a, 'b: 'a, F: Fold>(
    fold: &F,
    states: impl Iterator<Item = &'a &'b F::State>,
) -> Result<Option<Cow<'a, F::State>>>
where
    F::State: 'b,
{
    let states: Vec<&'b F::State> = states.copied().collect();
    let Some((first, rest)) = states.split_first() else { return Ok(None) };
    let mut res = Cow::Borrowed(*first);
    for it in rest {
        fold.merge(res.to_mut(), (*it).clone())?;
    }
    Ok(Some(res))
}
