//! How often each of many keys occurs, in a table that is fast to add to.
//!
//! It is for keys of which the same few come again and again: a key that is there is found by a few operations and, nearly always,
//! one look. Where keys stand is another in each table, so that nobody can choose keys that stand in each other's way. The order of the
//! keys says nothing, and there is no cap.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::hash::mix;

/// A key and how often it occurred; never, where the place is free.
type Slot = (u64, u64);

/// The least number of slots.
const MIN_SLOTS: usize = 16;

/// The share of slots that may be taken, in eighths.
const MOST_TAKEN: usize = 5;

/// Counts of 64-bit keys.
///
/// ```
/// use modelwatch_stats::table::KeyCounts;
///
/// let mut counts = KeyCounts::default();
/// let is_new = [7, 7, 0].map(|it| counts.add(it, 1));
/// assert_eq!(is_new, [true, false, true]);
/// let mut found: Vec<_> = counts.iter().collect();
/// found.sort();
/// assert_eq!(found, [(0, 1), (7, 2)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct KeyCounts {
    /// As many as a power of two, or none; a key stands at its place or, where that is taken, behind it (linear probing).
    slots: Vec<Slot>,
    n_keys: usize,
    /// What the places depend on beside the keys; drawn with the first slots.
    seed: u64,
}

impl KeyCounts {
    /// Returns a table that takes in so many different keys before it grows.
    pub fn with_room(n_keys: usize) -> Self {
        let mut res = Self::default();
        res.reserve(n_keys);
        res
    }

    /// Makes room for so many further keys.
    pub fn reserve(&mut self, further: usize) {
        let wanted = self.n_keys.saturating_add(further);
        if wanted > 0 && !has_room(self.slots.len(), wanted) {
            let n_slots = wanted.saturating_mul(8).div_ceil(MOST_TAKEN).next_power_of_two().max(MIN_SLOTS);
            if self.slots.is_empty() {
                self.seed = RandomState::new().build_hasher().finish();
            }
            let before = std::mem::replace(&mut self.slots, vec![(0, 0); n_slots]);
            self.n_keys = 0;
            before.into_iter().for_each(|(key, count)| _ = self.add(key, count));
        }
    }

    /// Counts a key so often, 0 times not at all, and returns whether it is new. A count stays at the end of its range.
    #[inline]
    pub fn add(&mut self, key: u64, count: u64) -> bool {
        // Nearly always it is there, and at its place.
        let place = self.place(key);
        match self.slots.get_mut(place) {
            Some(slot) if slot.0 == key && slot.1 > 0 => {
                slot.1 = slot.1.saturating_add(count);
                false
            }
            _ => self.add_behind(place, key, count),
        }
    }

    /// Returns the number of different keys.
    pub fn len(&self) -> usize {
        self.n_keys
    }

    /// Returns whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.n_keys == 0
    }

    /// Returns the keys with their counts, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.slots.iter().copied().filter(|it| it.1 > 0)
    }

    fn add_behind(&mut self, place: usize, key: u64, count: u64) -> bool {
        if count == 0 {
            return false;
        }
        let last = self.slots.len().wrapping_sub(1);
        let mut place = place;
        while let Some(slot) = self.slots.get_mut(place) {
            if slot.1 == 0 {
                break;
            }
            if slot.0 == key {
                slot.1 = slot.1.saturating_add(count);
                return false;
            }
            place = (place + 1) & last;
        }
        if has_room(self.slots.len(), self.n_keys + 1) {
            self.slots[place] = (key, count);
            self.n_keys += 1;
            true
        } else {
            // Twice as many, lest it grow with each key.
            self.reserve(self.n_keys.max(1));
            self.add(key, count)
        }
    }

    /// Returns where a key stands unless that is taken.
    #[inline]
    fn place(&self, key: u64) -> usize {
        // One multiplication would not do: keys that differ little stand as far from each other whatever the seed is.
        mix(key ^ self.seed) as usize & self.slots.len().wrapping_sub(1)
    }
}

/// Returns whether so many keys leave enough slots free, so that free ones are near.
fn has_room(n_slots: usize, n_keys: usize) -> bool {
    n_keys <= n_slots / 8 * MOST_TAKEN
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_count_stays_at_the_end_of_its_range_and_none_is_no_key() {
        let mut counts = KeyCounts::with_room(1);
        counts.add(5, u64::MAX);
        assert!(!counts.add(5, 3) && !counts.add(6, 0));
        assert_eq!((counts.len(), counts.iter().collect::<Vec<_>>()), (1, vec![(5, u64::MAX)]));
    }

    #[test]
    fn keys_are_near_their_places_whichever_bits_they_differ_in() {
        for shift in [0, 20, 44] {
            let mut counts = KeyCounts::default();
            (0..10_000).for_each(|it| _ = counts.add(it << shift, 1));
            let sum = from_places(&counts);
            assert!(sum < 20_000, "{shift}: {sum}");
        }
    }

    /// Returns by how much all keys together stand behind their places.
    fn from_places(counts: &KeyCounts) -> usize {
        let last = counts.slots.len() - 1;
        let taken = counts.slots.iter().enumerate().filter(|it| it.1.1 > 0);
        taken.map(|(at, slot)| at.wrapping_sub(counts.place(slot.0)) & last).sum()
    }

    #[test]
    fn keys_that_stand_in_the_way_of_each_other_in_one_table_do_not_in_another() {
        let (mut one, mut other) = (KeyCounts::with_room(1000), KeyCounts::with_room(1000));
        let keys: Vec<u64> = (0_u64..)
            .map(|it| it.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8)
            .filter(|it| one.place(*it) < 16)
            .take(1000)
            .collect();
        for it in keys {
            one.add(it, 1);
            other.add(it, 1);
        }
        assert!(from_places(&one) > 400_000 && from_places(&other) < 40_000, "{}", from_places(&other));
    }

    #[test]
    fn small_keys_that_were_chosen_against_a_table_crowd_no_other() {
        for _ in 0..300 {
            let (one, mut other) = (KeyCounts::with_room(100), KeyCounts::with_room(100));
            (0..).filter(|it| one.place(*it) < 4).take(100).for_each(|it| _ = other.add(it, 1));
            // In the one it would be 4,700.
            let sum = from_places(&other);
            assert!(sum < 500, "{sum}");
        }
    }

    #[test]
    fn a_table_that_is_full_becomes_twice_as_large() {
        let (mut counts, mut sizes) = (KeyCounts::default(), Vec::new());
        for it in 0..50_000 {
            counts.add(it, 1);
            if sizes.last() != Some(&counts.slots.len()) {
                sizes.push(counts.slots.len());
            }
        }
        assert_eq!(sizes, Vec::from_iter((4..=17).map(|it| 1_usize << it)));
        assert_eq!(KeyCounts::with_room(50_000).slots.len(), 1 << 17);
    }

    proptest! {
        #[test]
        fn it_counts_as_a_map_does(keys in prop::collection::vec((prop_oneof![0..20u64, any::<u64>()], 0..3u64), 0..200)) {
            let (mut counts, mut map) = (KeyCounts::default(), BTreeMap::new());
            for (key, count) in keys {
                let is_new = counts.add(key, count);
                prop_assert_eq!(is_new, count > 0 && !map.contains_key(&key));
                if count > 0 {
                    *map.entry(key).or_insert(0) += count;
                }
            }
            prop_assert_eq!(counts.len(), map.len());
            prop_assert_eq!(counts.is_empty(), map.is_empty());
            prop_assert_eq!(counts.iter().collect::<BTreeMap<_, _>>(), map);
        }
    }
}
