//! Work on many chunks in several threads, with results in the order of the chunks.

use std::{
    num::NonZeroUsize,
    sync::{LazyLock, Mutex, PoisonError},
    thread,
};

/// The most threads for one checkpoint.
const MAX_WORKERS: usize = 8;

/// How many threads work. Asked for once: to answer, the system reads files, which takes longer than a small tensor.
static N_WORKERS: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MAX_WORKERS));

/// Returns what each thread works with.
pub(crate) fn workers<W: Default>() -> Vec<W> {
    (0..*N_WORKERS).map(|_| W::default()).collect()
}

/// Maps items in as many threads as there are workers; where threads cannot be had, fewer do it.
pub(crate) fn share<W: Send, T: Send, R: Send>(
    workers: &mut [W],
    items: Vec<T>,
    f: impl Fn(&mut W, T) -> R + Sync,
) -> Vec<R> {
    let n_helpers = items.len().saturating_sub(1);
    let (queue, done) = (Mutex::new(items.into_iter().enumerate()), Mutex::new(Vec::new()));
    let work = |worker: &mut W| {
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some((at, it)) = next() {
            let res = f(worker, it);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, res));
        }
    };
    let (own, helpers) = workers.split_first_mut().expect("there is a worker");
    thread::scope(|scope| {
        for it in helpers.iter_mut().take(n_helpers) {
            let _ = thread::Builder::new().spawn_scoped(scope, || work(it));
        }
        work(own);
    });
    let mut res = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    res.sort_unstable_by_key(|it| it.0);
    res.into_iter().map(|it| it.1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for n_workers in 1..4 {
            for n in [0, 1, 2, 100] {
                let mut counts = vec![0; n_workers];
                let res = share(&mut counts, (0..n).collect(), |count, it| {
                    *count += 1;
                    it * 2
                });
                assert_eq!(res, (0..n).map(|it| it * 2).collect::<Vec<_>>());
                assert_eq!(counts.iter().sum::<usize>(), n);
            }
        }
    }
}
