//! What the chunks of a slice are compared with.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
};

use modelwatch_profile::Profile;
use modelwatch_sdk::Result;

use crate::{
    cells::Cells,
    cutting::{Cutting, Window},
};

/// The windows of one slice, for its chunks from first to last.
pub(crate) struct Windows<'a> {
    cutting: &'a Cutting,
    /// All reference rows, where they are not cut.
    reference: Option<&'a Profile>,
    /// The chunks that later ones can be compared with; a chunk can have rows of both roles.
    earlier: BTreeMap<i64, Vec<&'a Profile>>,
    /// What an expanding window has grown to, and the chunks that it has not come to.
    grown: Profile,
    ahead: VecDeque<(i64, &'a Profile)>,
}

impl<'a> Windows<'a> {
    pub(crate) fn new(cutting: &'a Cutting, slice: Option<&str>, reference: &'a Cells, current: &'a Cells) -> Self {
        let mut res = Self {
            cutting,
            reference: reference.chunks_of(slice).find(|it| it.0.is_none()).map(|it| it.1),
            earlier: BTreeMap::new(),
            grown: Profile::default(),
            ahead: VecDeque::new(),
        };
        let timed = |cells: &'a Cells| cells.chunks_of(slice).filter_map(|it| Some((it.0?, it.1)));
        match cutting.window {
            Window::Fixed => {}
            Window::Expanding => {
                res.grown = res.reference.cloned().unwrap_or_default();
                res.ahead = timed(current).collect();
            }
            Window::Rolling(_) | Window::Seasonal(_) => {
                for (start, profile) in timed(reference).chain(timed(current)) {
                    res.earlier.entry(start).or_default().push(profile);
                }
            }
        }
        res
    }

    /// Returns what the next chunk is compared with; none where there are no such rows. Chunks come in their order.
    ///
    /// # Errors
    /// When the states are of different options.
    pub(crate) fn before(&mut self, chunk: Option<i64>) -> Result<Option<Cow<'_, Profile>>> {
        let Some(chunk) = chunk else { return Ok(self.reference.map(Cow::Borrowed)) };
        match self.cutting.window {
            Window::Fixed => Ok(self.reference.map(Cow::Borrowed)),
            Window::Expanding => {
                while let Some((_, profile)) = self.ahead.pop_front_if(|it| it.0 < chunk) {
                    self.grown.merge(profile.clone())?;
                }
                Ok((self.grown.rows() > 0).then_some(Cow::Borrowed(&self.grown)))
            }
            Window::Rolling(n) => {
                let n = usize::try_from(n).unwrap_or(usize::MAX);
                merged(self.earlier.range(..chunk).rev().take(n).flat_map(|it| it.1))
            }
            Window::Seasonal(season) => merged(self.earlier.get(&season.before(chunk)).into_iter().flatten()),
        }
    }

    /// Returns why there is nothing to compare a chunk with.
    pub(crate) fn why_none(&self, chunk: Option<i64>) -> String {
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

fn merged<'a, 'b: 'a>(profiles: impl Iterator<Item = &'a &'b Profile>) -> Result<Option<Cow<'a, Profile>>> {
    let profiles: Vec<&'b Profile> = profiles.copied().collect();
    let Some((first, rest)) = profiles.split_first() else { return Ok(None) };
    let mut res = Cow::Borrowed(*first);
    for it in rest {
        res.to_mut().merge((*it).clone())?;
    }
    Ok(Some(res))
}
