//! Two columns over the same categories.

use std::collections::BTreeMap;

use super::{CategoryCounts, Kept, Rest, group_of};

/// How far a count is above the greatest one that was cut, in standard deviations of its square root, for the category to be compared
/// alone: nearer to it, the kept categories are those that happened to be frequent in this very sample.
const FAR: f64 = 4.0;

/// Counts of two columns over the same categories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlignedCounts {
    /// Categories in ascending order of name that both sides would have kept.
    pub keys: Vec<String>,
    /// Reference counts, one per key.
    pub reference: Vec<u64>,
    /// Current counts, one per key.
    pub current: Vec<u64>,
    /// Reference rows in no key.
    pub reference_other: u64,
    /// Current rows in no key.
    pub current_other: u64,
    /// Reference and current rows in no key, by the hash of the name; empty where there are none.
    pub other_groups: Vec<(u64, u64)>,
    /// How many rows of both sides together a category that is no key can have at most.
    pub other_bound: u64,
}

/// Returns the counts of two columns over the categories that both know exactly; all else is in the remainders.
///
/// Without overflow that is every category of either side, with 0 where a side lacks it.
/// Of counts that were cut it is those categories that would have been kept in any sample, so that a comparison is not one of the most
/// frequent categories of one sample with the same categories of another, where they are less frequent even if nothing changed.
///
/// ```
/// use modelwatch_stats::categories::{CategoryCounts, align};
///
/// let (mut reference, mut current) = (CategoryCounts::default(), CategoryCounts::default());
/// reference.update(["a", "b"]);
/// current.update(["b", "c"]);
/// let aligned = align(&reference, &current);
/// assert_eq!(aligned.keys, ["a", "b", "c"]);
/// assert_eq!((aligned.reference, aligned.current), (vec![1, 1, 0], vec![0, 1, 1]));
/// ```
pub fn align(reference: &CategoryCounts, current: &CategoryCounts) -> AlignedCounts {
    let mut rows: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut groups: Vec<(u64, u64)> =
        reference.groups().iter().copied().zip(current.groups().iter().copied()).collect();
    let mut bounds = (reference.bound(), current.bound());
    for (side, other, is_reference) in [(reference, current, true), (current, reference, false)] {
        for (hash, bucket) in &side.kept {
            for it in bucket {
                let (own, bound) = (side.knows(*hash, it), if is_reference { &mut bounds.0 } else { &mut bounds.1 });
                if !own || !other.knows_of(*hash, &it.name) {
                    *bound = (*bound).max(it.count.saturating_add(it.error));
                    continue;
                }
                let (row, group) = (rows.entry(&it.name).or_default(), &mut groups[group_of(*hash)]);
                let (row, group) = if is_reference { (&mut row.0, &mut group.0) } else { (&mut row.1, &mut group.1) };
                *row = it.count;
                *group = group.saturating_sub(it.count);
            }
        }
    }
    let sum = |side: fn(&(u64, u64)) -> u64| rows.values().map(side).fold(0u64, u64::saturating_add);
    let reference_other = reference.n.saturating_sub(sum(|it| it.0));
    let current_other = current.n.saturating_sub(sum(|it| it.1));
    let has_others = reference_other > 0 || current_other > 0;
    AlignedCounts {
        keys: rows.keys().map(|&it| it.to_owned()).collect(),
        reference: rows.values().map(|it| it.0).collect(),
        current: rows.values().map(|it| it.1).collect(),
        reference_other,
        current_other,
        other_groups: if has_others { groups } else { Vec::new() },
        other_bound: if has_others { bounds.0.saturating_add(bounds.1) } else { 0 },
    }
}

impl CategoryCounts {
    /// Whether a category that this side keeps is one that it can be asked about.
    fn knows(&self, hash: u64, it: &Kept) -> bool {
        match &self.rest {
            Rest::None => true,
            Rest::Beyond(_) => self.could_keep(hash, &it.name),
            // The square root of a count has a standard deviation of about one half, whatever the count (Bartlett 1936).
            Rest::Cut(_, cut) => it.error == 0 && 2.0 * ((it.count as f64).sqrt() - (cut.bound as f64).sqrt()) >= FAR,
        }
    }

    /// Whether this side's count of the category is exact, zero included.
    fn knows_of(&self, hash: u64, category: &str) -> bool {
        match &self.rest {
            Rest::None => true,
            Rest::Beyond(_) => self.could_keep(hash, category),
            Rest::Cut(..) => self.find(hash, category).is_some_and(|it| self.knows(hash, it)),
        }
    }
}
