//! What a file keeps of the counts: the most frequent categories, and bounds for all others.

use std::{cmp::Reverse, collections::BTreeSet};

use super::{CategoryCounts, Cut, Kept, Rest, add};

/// The bytes of a state without categories and groups, and a little more.
const HEAD_BYTES: usize = 56;

impl CategoryCounts {
    /// Keeps at most `max_categories` of the most frequent categories, in a state of at most about `max_bytes`; of equally frequent ones
    /// those whose names come first.
    ///
    /// Nothing happens where all of them fit. Otherwise the rows of the others stay counted by the hash of the name, and a bound says how
    /// often one of them occurred at most.
    ///
    /// ```
    /// use modelwatch_stats::categories::CategoryCounts;
    ///
    /// let mut counts = CategoryCounts::default();
    /// counts.update(["a", "a", "c", "b"]);
    /// counts.cut(2, 1000);
    /// assert_eq!(counts.counts().into_iter().collect::<Vec<_>>(), [("a", 2), ("b", 1)]);
    /// assert_eq!((counts.n(), counts.n_other(), counts.n_distinct()), (4, 1, Some(3)));
    /// ```
    pub fn cut(&mut self, max_categories: u64, max_bytes: usize) {
        let size =
            |it: &Kept| varint_len(it.name.len() as u64) + it.name.len() + varint_len(it.count) + varint_len(it.error);
        let sizes: usize = self.entries().map(size).sum();
        let groups = if self.is_overflowed() { self.group_bytes() } else { 0 };
        if self.n_kept <= max_categories && HEAD_BYTES + groups + sizes <= max_bytes {
            return;
        }
        let mut order: Vec<_> = self.entries().collect();
        order.sort_by_key(|it| (Reverse(it.count), it.name.as_str()));
        let mut bytes = HEAD_BYTES + self.group_bytes();
        let fits = |it: &&&Kept| {
            bytes += size(it);
            bytes <= max_bytes
        };
        let most = usize::try_from(max_categories).unwrap_or(usize::MAX);
        let n = order.iter().take(most).take_while(fits).count();
        let dropped = order.split_off(n);
        let bound = dropped.iter().map(|it| it.count.saturating_add(it.error)).fold(self.bound(), u64::max);
        let n_dropped = match &self.rest {
            Rest::None => dropped.len() as u64,
            Rest::Cut(_, Cut { n_dropped: before @ 1.., .. }) => before.saturating_add(dropped.len() as u64),
            Rest::Beyond(_) | Rest::Cut(..) => 0,
        };
        let kept: BTreeSet<String> = order.into_iter().map(|it| it.name.clone()).collect();
        if dropped.is_empty() && self.is_cut() {
            return;
        }
        self.rest = Rest::Cut(Box::new(self.groups().into_owned()), Cut { bound, n_dropped, is_beyond: false });
        self.kept.retain(|_, bucket| {
            bucket.retain(|it| kept.contains(&it.name));
            !bucket.is_empty()
        });
        self.n_kept = kept.len() as u64;
    }

    /// Returns whether the less frequent categories were cut off.
    pub const fn is_cut(&self) -> bool {
        matches!(self.rest, Rest::Cut(..))
    }

    /// Adds what `other` has seen where either was cut: a category that one of them does not keep can have occurred there as often as its
    /// bound says. One whose hash is beyond those that a side keeps is not kept of both together either.
    pub(super) fn merge_cut(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            let (cap, n_null) = (self.cap, self.n_null);
            *self = Self { cap, n_null, ..other.clone() };
            self.evict();
            return;
        }
        let (mine, theirs) = (self.cut_bound(), other.cut_bound());
        let is_beyond = self.has_beyond() || other.has_beyond();
        let groups = self.groups_with(other);
        for (&hash, bucket) in &mut self.kept {
            for it in bucket.iter_mut().filter(|it| other.find(hash, &it.name).is_none()) {
                add(&mut it.error, theirs);
            }
        }
        for (&hash, it) in other.kept.iter().flat_map(|(hash, bucket)| bucket.iter().map(move |it| (hash, it))) {
            let bucket = self.kept.entry(hash).or_default();
            match bucket.binary_search_by(|known| known.name.cmp(&it.name)) {
                Ok(idx) => {
                    add(&mut bucket[idx].count, it.count);
                    add(&mut bucket[idx].error, it.error);
                }
                Err(idx) => {
                    bucket.insert(idx, Kept { error: it.error.saturating_add(mine), ..it.clone() });
                    self.n_kept += 1;
                }
            }
        }
        add(&mut self.n, other.n);
        self.rest = Rest::Cut(groups, Cut { bound: mine.saturating_add(theirs), n_dropped: 0, is_beyond });
        self.evict();
    }

    fn group_bytes(&self) -> usize {
        self.groups().iter().map(|it| varint_len(*it)).sum::<usize>()
    }
}

/// The bytes of a number that is written seven bits a byte.
fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::categories::align;

    fn of(rows: &[u8]) -> CategoryCounts {
        let mut res = CategoryCounts::new(1000);
        rows.iter().for_each(|it| res.push(&format!("c{it}"), 1));
        res
    }

    fn cut(rows: &[u8], n: u64) -> CategoryCounts {
        let mut res = of(rows);
        res.cut(n, usize::MAX);
        res
    }

    #[test]
    fn a_byte_budget_lowers_the_number_of_categories() {
        let mut counts = CategoryCounts::default();
        (0..2000).for_each(|it| counts.push(&format!("https://example.org/a/long/path/{it:08}"), 1));
        counts.push("often", 500);
        counts.cut(500, 2000);
        assert!((40..60).contains(&counts.n_kept()) && counts.to_bytes().len() <= 2000, "{}", counts.n_kept());
        assert_eq!((counts.range_of("often"), counts.n_distinct()), ((500, 500), Some(2001)));
    }

    #[test]
    fn a_frequent_category_is_compared_however_many_rare_ones_there_are() {
        let counts = |often: u64| {
            let mut res = CategoryCounts::default();
            (0..5000).for_each(|it| res.push(&format!("rare {it}"), 1));
            res.push("often", often);
            res
        };
        let (mut reference, current) = (counts(7500), counts(2143));
        reference.cut(100, usize::MAX);
        let aligned = align(&reference, &current);
        assert_eq!(
            (aligned.keys, aligned.reference, aligned.current),
            (vec!["often".to_owned()], vec![7500], vec![2143])
        );
        assert_eq!((aligned.reference_other, aligned.current_other), (5000, 5000));
        // Where the rare ones fall does not depend on which of them were kept.
        assert!(aligned.other_groups.iter().all(|it| it.0 == it.1));
        assert_eq!(aligned.other_bound, 2);
    }

    proptest! {
        #[test]
        fn the_bytes_of_cut_counts_do_not_depend_on_the_order_of_merges(
            parts in prop::collection::vec((prop::collection::vec(0u8..30, 0..40), 0u64..14, any::<bool>()), 2..6),
            cap in 0u64..14, order in any::<prop::sample::Index>(), late in any::<prop::sample::Index>(),
        ) {
            // Some are of rows, some were cut, and together they have more categories than are kept.
            let part = |(rows, n, is_cut): &(Vec<u8>, u64, bool)| {
                let mut res = CategoryCounts::new(cap);
                rows.iter().for_each(|it| res.push(&format!("c{it}"), 1));
                if *is_cut {
                    res.cut(*n, usize::MAX);
                }
                res
            };
            let merged = |parts: &[CategoryCounts]| {
                let mut res = CategoryCounts::new(cap);
                parts.iter().for_each(|it| res.merge(it));
                res
            };
            let mut states: Vec<_> = parts.iter().map(part).collect();
            let expected = merged(&states);
            prop_assert_eq!(&CategoryCounts::from_bytes(&expected.to_bytes()).unwrap(), &expected);
            let groups = states.split_at(late.index(states.len()));
            prop_assert_eq!(&merged(&[merged(groups.0), merged(groups.1)]), &expected);
            let by = order.index(states.len());
            states.rotate_left(by);
            prop_assert_eq!(&merged(&states), &expected);
            states.reverse();
            let (first, rest) = states.split_first().unwrap();
            let mut other = merged(rest);
            other.merge(first);
            prop_assert_eq!(other.to_bytes(), expected.to_bytes());
            // Rows one by one are as rows together.
            let (mut one, mut all) = (expected.clone(), expected.clone());
            parts[0].0.iter().for_each(|it| one.push(&format!("c{it}"), 1));
            all.merge(&part(&(parts[0].0.clone(), 0, false)));
            prop_assert_eq!(one, all);
            for name in 0u8..31 {
                let exact = parts.iter().flat_map(|it| &it.0).filter(|it| **it == name).count() as u64;
                let mut cut = expected.clone();
                cut.cut(4, usize::MAX);
                for it in [&expected, &cut] {
                    let (least, most) = it.range_of(&format!("c{name}"));
                    prop_assert!((least..=most).contains(&exact), "c{} {} {} {}", name, least, exact, most);
                }
            }
        }

        #[test]
        fn cut_counts_hold_their_bounds_in_any_order_of_merges(
            rows in prop::collection::vec(0u8..30, 1..120), at in 0usize..120, then in 0usize..120, n in 0u64..12,
        ) {
            let at = at.min(rows.len());
            let then = then.clamp(at, rows.len());
            let (a, b, c) = (cut(&rows[..at], n), cut(&rows[at..then], n), cut(&rows[then..], n));
            let (mut left, mut right) = (a.clone(), c.clone());
            left.merge(&b);
            left.merge(&c);
            right.merge(&b);
            right.merge(&a);
            prop_assert_eq!(left.to_bytes(), right.to_bytes());
            prop_assert_eq!(&CategoryCounts::from_bytes(&left.to_bytes()).unwrap(), &left);
            left.cut(n, usize::MAX);
            for name in 0u8..31 {
                let exact = rows.iter().filter(|it| **it == name).count() as u64;
                let (least, most) = left.range_of(&format!("c{name}"));
                prop_assert!((least..=most).contains(&exact), "c{} {} {} {}", name, least, exact, most);
            }
            let whole = cut(&rows, n);
            prop_assert_eq!(whole.n(), left.n());
            prop_assert_eq!(whole.n_distinct(), of(&rows).n_distinct());
            let mut again = whole.clone();
            again.cut(n, usize::MAX);
            prop_assert_eq!(again, whole);
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let mut whole = of(&[1, 1, 1, 2, 2, 3, 4]);
        whole.cut(1, usize::MAX);
        let Rest::Cut(groups, kept) = whole.rest.clone() else { panic!("{whole:?}") };
        assert_eq!(kept, Cut { bound: 2, n_dropped: 3, is_beyond: false });
        let refused = |bound: u64, n_dropped: u64| {
            let it = CategoryCounts {
                rest: Rest::Cut(groups.clone(), Cut { bound, n_dropped, is_beyond: false }),
                ..whole.clone()
            };
            CategoryCounts::from_bytes(&it.to_bytes()).err().map(|it| it.to_string())
        };
        let message = |field: &str| {
            Some(format!(
                "cannot read the state of category counts: field `{field}` is invalid; recompute it from the data"
            ))
        };
        // Four rows of three categories, and two rows of one of them at most.
        assert_eq!(refused(2, 3), None);
        assert_eq!(refused(2, 0), None);
        for n_dropped in [1, 5, u64::MAX, u64::MAX - 1] {
            assert_eq!(refused(2, n_dropped), message("n_dropped"), "{n_dropped}");
        }
        for bound in [0, 5, u64::MAX] {
            assert_eq!(refused(bound, 3), message("bound"), "{bound}");
        }
    }
}
