//! Weights that several plans of a model have in common, in memory once: they differ in the number of rows, not in what they are
//! multiplied by.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use super::matrix::Line;

/// Fewer lines are not worth looking for.
const FEW: usize = 1 << 9;

/// What is in use, by its digest. In a `Vec`, which goes when its last user does; what is in the `Arc` itself stays until the `Weak` goes.
static IN_USE: LazyLock<Mutex<HashMap<blake3::Hash, Weak<Vec<Line>>>>> = LazyLock::new(Mutex::default);

/// Returns lines, those of another where they are the same bit by bit.
pub(super) fn shared(lines: Vec<Line>) -> Arc<Vec<Line>> {
    if lines.len() < FEW {
        return Arc::new(lines);
    }
    let digest = blake3::hash(pulp::bytemuck::cast_slice(lines.as_flattened()));
    let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(it) = in_use.get(&digest).and_then(Weak::upgrade) {
        return it;
    }
    in_use.retain(|_, it| it.strong_count() > 0);
    let res = Arc::new(lines);
    in_use.insert(digest, Arc::downgrade(&res));
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_lines_are_there_once() {
        let lines = |first: f32| {
            let mut res = vec![[0.5; 32]; FEW];
            res[0][0] = first;
            res
        };
        let (one, other, same) = (shared(lines(1.0)), shared(lines(2.0)), shared(lines(1.0)));
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
        assert_eq!([&one[0][0], &other[0][0]], [&1.0, &2.0]);
        // Zeros of both signs are equal, and not the same.
        assert!(!Arc::ptr_eq(&shared(lines(0.0)), &shared(lines(-0.0))));
    }

    #[test]
    fn lines_that_are_no_longer_in_use_take_no_memory() {
        /// What is kept as long as there is a `Weak`.
        fn kept<T>(_: &Weak<T>) -> usize {
            size_of::<T>()
        }
        let lines = shared(vec![[0.25; 32]; FEW]);
        let in_use = IN_USE.lock().unwrap();
        let weak = in_use.values().find(|it| it.as_ptr() == Arc::as_ptr(&lines)).unwrap();
        assert!(kept(weak) < size_of::<Line>());
    }
}
