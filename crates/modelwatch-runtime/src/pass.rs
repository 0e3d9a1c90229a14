//! One streaming pass over the data of a role, for all probes together.
//!
//! A worker takes the next partition, opens an instance of every probe for it, runs each model once
//! per batch, hands the batch to every probe that needs it, and gives the instances' states back.
//! The states are merged in partition order, so that neither threads nor batch sizes show in a result. A probe that
//! needs its rows in order gets them where the states are merged, and no instance in the workers.

mod layout;
mod slot;

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
    time::Instant,
};

use arrow_array::RecordBatch;
use modelwatch_sdk::{
    Error, ErrorKind, ModelRole, Probe, Role,
    rows::{Use, mark_non_finite, weight_numbers, with_common_lengths},
};

use crate::{
    data::{Batches, DataError, Dataset, Partitions, Scan},
    models::Models,
    pace::Pace,
};

pub(crate) use layout::{Layout, batch_rows, used};
pub(crate) use slot::Slot;

/// By how many partitions for each thread workers may be ahead of what is merged.
const AHEAD: usize = 2;

/// How the pass is carried out; nothing of it shows in a result.
pub(crate) struct PassSettings<'a> {
    pub(crate) threads: NonZeroUsize,
    pub(crate) batch_rows: usize,
    pub(crate) cancelled: &'a AtomicBool,
    /// Told the rows that are done, at most ten times a second.
    pub(crate) progress: &'a (dyn Fn(u64) + Sync),
}

/// Where a pass begins, and who is told how far it has come.
pub(crate) struct Course<'a> {
    /// What the slots' main instances have the state of: the first partitions, which are not shown again.
    pub(crate) from: Seen,
    /// Told whenever the main instances have the state of some first partitions and of nothing else. Once a probe has failed nothing is
    /// told any more: it may be left out of partitions before the one in which it did.
    /// The last time, whether the pass came to its end or was told to, the flag is set.
    pub(crate) reached: &'a mut dyn FnMut(&Seen, &mut [&mut Slot<'_>], bool),
}

/// What a pass saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) partitions: usize,
    pub(crate) rows: u64,
    /// Rows whose model inputs were missing or not finite.
    pub(crate) non_finite_inputs: u64,
    /// Rows whose weight is missing, where some probe wants weights.
    pub(crate) weightless: u64,
    pub(crate) read_seconds: f64,
    pub(crate) infer_seconds: f64,
}

/// Rows with what models say of them.
struct Predicted {
    rows: RecordBatch,
    /// Rows whose model inputs are missing or not finite.
    non_finite: u64,
    /// The layers that a model cannot give for these rows, by their tensors, with why.
    refused: Vec<(ModelRole, BTreeMap<String, String>)>,
}

/// What a worker gives back for one partition.
struct Done {
    index: usize,
    /// Whether it came to its end.
    is_whole: bool,
    /// By position among the slots: the rows of those that need them in order.
    rows: Vec<Vec<RecordBatch>>,
    /// By position among the slots: the state, or why there is none.
    states: Vec<Option<Result<Vec<u8>, Error>>>,
    seen: Seen,
    probe_seconds: Vec<f64>,
    /// Set where the data or a model failed, which is nobody's fault but concerns everyone.
    failure: Option<String>,
}

/// Runs the pass over `dataset` and merges the states into the slots' main instances. A probe that
/// fails is marked and left out; the error is that of data or a model, and ends the pass.
pub(crate) fn run(
    role: Role,
    dataset: &Dataset,
    layout: &Layout,
    models: &Models,
    slots: &mut [&mut Slot<'_>],
    settings: &PassSettings<'_>,
    course: Course<'_>,
) -> Result<Seen, String> {
    let scan = Scan { columns: layout.columns(), batch_rows: settings.batch_rows };
    let partitions = dataset.scan(&scan).map_err(|e| e.to_string())?;
    let Course { from, reached } = course;
    let failed: Vec<AtomicBool> = slots.iter().map(|it| AtomicBool::new(it.failure().is_some())).collect();
    let worker = Worker {
        role,
        dataset,
        layout,
        models,
        settings,
        failed: &failed,
        partitions: Mutex::new((partitions, 0)),
        merged: Mutex::new(from.partitions),
        caught_up: Condvar::new(),
        stop: AtomicBool::new(false),
        rows: AtomicU64::new(from.rows),
        pace: Pace::default(),
    };
    worker.skip(from.partitions)?;
    let mut merged = Merged { next: from.partitions, seen: from, ..Merged::default() };
    let (sender, receiver) = channel();
    let shared: Vec<_> = slots.iter().map(|it| it.shared()).collect();
    thread::scope(|scope| {
        let _alarm = Alarm(&worker);
        for _ in 0..settings.threads.get() {
            let (worker, shared, sender) = (&worker, &shared[..], sender.clone());
            scope.spawn(move || worker.work(shared, &sender));
        }
        drop(sender);
        for done in receiver {
            merged.waiting.insert(done.index, done);
            while let Some(done) = merged.waiting.remove(&merged.next) {
                merged.next += 1;
                merged.take(done, slots, &worker);
                worker.catch_up(merged.next);
                if merged.is_prefix() && worker.have_all_a_say() {
                    reached(&merged.seen, slots, false);
                }
            }
        }
    });
    (settings.progress)(worker.rows.load(Ordering::Relaxed));
    if merged.failure.is_none() && worker.have_all_a_say() {
        reached(&merged.seen, slots, true);
    }
    match merged.failure {
        Some(it) => Err(it),
        None => Ok(merged.seen),
    }
}

#[derive(Default)]
struct Merged {
    next: usize,
    waiting: BTreeMap<usize, Done>,
    seen: Seen,
    /// Set by the first partition that did not come to its end, and nothing behind it counts.
    is_cut: bool,
    failure: Option<String>,
}

impl Merged {
    /// Returns whether all that was merged is a run of first partitions.
    fn is_prefix(&self) -> bool {
        !self.is_cut && self.failure.is_none()
    }

    fn take(&mut self, done: Done, slots: &mut [&mut Slot<'_>], worker: &Worker<'_>) {
        if self.failure.is_none() {
            self.failure = done.failure;
        }
        self.is_cut |= !done.is_whole || worker.settings.cancelled.load(Ordering::Relaxed);
        if self.is_prefix() {
            self.seen.partitions += 1;
            self.seen.rows += done.seen.rows;
            self.seen.non_finite_inputs += done.seen.non_finite_inputs;
            self.seen.weightless += done.seen.weightless;
        }
        self.seen.read_seconds += done.seen.read_seconds;
        self.seen.infer_seconds += done.seen.infer_seconds;
        for (at, (state, rows)) in done.states.into_iter().zip(done.rows).enumerate() {
            slots[at].seconds += done.probe_seconds[at];
            for rows in rows.iter().filter(|_| self.is_prefix()) {
                slots[at].call(|probe, host| probe.update(host, worker.role, rows));
            }
            if slots[at].failure().is_some() {
                worker.failed[at].store(true, Ordering::Relaxed);
            }
            let merged = match state {
                Some(Ok(it)) if self.is_prefix() => slots[at].merge(&it),
                Some(Err(e)) => Err(e),
                _ => Ok(()),
            };
            if let Err(e) = merged {
                slots[at].fail(&e);
                worker.failed[at].store(true, Ordering::Relaxed);
            }
        }
    }
}

struct Worker<'a> {
    role: Role,
    dataset: &'a Dataset,
    layout: &'a Layout,
    models: &'a Models,
    settings: &'a PassSettings<'a>,
    failed: &'a [AtomicBool],
    partitions: Mutex<(Partitions, usize)>,
    /// How many partitions were merged. Nobody gets far ahead of it, so that what waits to be merged stays small.
    merged: Mutex<usize>,
    caught_up: Condvar,
    stop: AtomicBool,
    rows: AtomicU64,
    pace: Pace,
}

impl Worker<'_> {
    fn work(&self, slots: &[slot::Shared<'_>], sender: &Sender<Done>) {
        let _alarm = Alarm(self);
        while let Some((index, partition)) = self.next_partition() {
            let mut done = Done {
                index,
                is_whole: false,
                rows: vec![Vec::new(); slots.len()],
                states: Vec::new(),
                seen: Seen::default(),
                probe_seconds: vec![0.0; slots.len()],
                failure: None,
            };
            let mut probes: Vec<_> = slots.iter().enumerate().map(|(at, it)| self.open(at, it)).collect();
            match partition.map_err(|e| e.to_string()).and_then(|it| self.fold(it, slots, &mut probes, &mut done)) {
                Ok(true) => done.is_whole = true,
                // What stopped it is told by whoever did.
                Ok(false) => probes.iter_mut().for_each(|it| *it = None),
                Err(e) => {
                    self.end();
                    done.failure = Some(e);
                }
            }
            done.states = probes.into_iter().map(|it| Some(it?.and_then(last_state))).collect();
            if sender.send(done).is_err() {
                return;
            }
        }
    }

    /// Passes over the first partitions. Models are run on the first one all the same: on its rows, be they many or the few at its
    /// end, they decide in which form they run.
    fn skip(&self, partitions: usize) -> Result<(), String> {
        let mut guard = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        (self.settings.progress)(self.rows.load(Ordering::Relaxed));
        for index in 0..partitions {
            if self.is_to_end() {
                return Ok(());
            }
            let partition = guard.0.next().ok_or("it has fewer partitions than a run before has seen")?;
            let batches = partition.map_err(|e| e.to_string())?;
            for rows in batches.take(if index == 0 { usize::MAX } else { 0 }) {
                if self.is_to_end() {
                    return Ok(());
                }
                self.predict(&rows.map_err(|e| e.to_string())?)?;
            }
        }
        guard.1 = partitions;
        Ok(())
    }

    fn next_partition(&self) -> Option<(usize, Result<Batches, DataError>)> {
        let mut guard = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        self.wait_for_merges(guard.1);
        if self.is_to_end() {
            return None;
        }
        let partition = guard.0.next()?;
        guard.1 += 1;
        Some((guard.1 - 1, partition))
    }

    /// Waits until the partition is not far ahead of those that were merged.
    fn wait_for_merges(&self, index: usize) {
        let merged = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = AHEAD * self.settings.threads.get();
        let is_ahead = |merged: &mut usize| index >= *merged + ahead && !self.is_to_end();
        drop(self.caught_up.wait_while(merged, is_ahead));
    }

    /// Tells those who wait that so many partitions were merged.
    fn catch_up(&self, merged: usize) {
        *self.merged.lock().unwrap_or_else(PoisonError::into_inner) = merged;
        self.caught_up.notify_all();
    }

    /// Lets nobody begin another partition.
    fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
        // With the lock, so that nobody begins to wait in between.
        drop(self.merged.lock());
        self.caught_up.notify_all();
    }

    /// Returns whether no probe has failed, so that none was left out of what was merged.
    fn have_all_a_say(&self) -> bool {
        !self.failed.iter().any(|it| it.load(Ordering::Relaxed))
    }

    fn is_to_end(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.settings.cancelled.load(Ordering::Relaxed)
    }

    fn open(&self, at: usize, slot: &slot::Shared<'_>) -> Option<Result<Box<dyn Probe>, Error>> {
        let has_none = slot.needs.in_order || self.failed[at].load(Ordering::Relaxed);
        (!has_none).then(|| slot.open())
    }

    /// Feeds a partition to the probes. Returns whether it came to its end.
    fn fold(
        &self,
        batches: Batches,
        slots: &[slot::Shared<'_>],
        probes: &mut [Option<Result<Box<dyn Probe>, Error>>],
        done: &mut Done,
    ) -> Result<bool, String> {
        let mut batches = batches;
        loop {
            if self.is_to_end() {
                return Ok(false);
            }
            let start = Instant::now();
            let Some(rows) = batches.next() else { return Ok(true) };
            let rows = rows.map_err(|e| e.to_string())?;
            done.seen.read_seconds += start.elapsed().as_secs_f64();
            let start = Instant::now();
            let Predicted { rows, non_finite, refused } = self.predict(&rows)?;
            done.seen.infer_seconds += start.elapsed().as_secs_f64();
            done.seen.rows += rows.num_rows() as u64;
            done.seen.non_finite_inputs += non_finite;
            done.seen.weightless += weightless(&rows);
            for (at, probe) in probes.iter_mut().enumerate() {
                let start = Instant::now();
                if let Some(why) = self.layout.lacks(at, &refused) {
                    self.fail(at, probe, Error::input(why));
                }
                if !slots[at].needs.in_order {
                    self.update(at, &slots[at], probe, &rows)?;
                } else if !self.failed[at].load(Ordering::Relaxed) {
                    done.rows[at].push(self.project(at, &rows)?);
                }
                done.probe_seconds[at] += start.elapsed().as_secs_f64();
            }
            self.tell(rows.num_rows() as u64);
        }
    }

    /// Gives the rows their uses, and the outputs of every model that some probe wants.
    fn predict(&self, rows: &RecordBatch) -> Result<Predicted, String> {
        let mut outputs = Vec::new();
        // A row counts once, whichever model's inputs it is bad for.
        let mut non_finite = Vec::new();
        let mut refused = Vec::new();
        for (role, map) in self.layout.models() {
            if map.is_recorded() {
                // What a model answers has lists of one length, which tools for data frames do not write into the type.
                let recorded = with_common_lengths(map.assemble(rows)?).map_err(|e| e.message)?;
                outputs.push((Use::output_of(role), recorded));
                continue;
            }
            let model = self.models.get(role).ok_or_else(|| format!("there is no {} model", role.as_str()))?;
            let inputs = map.assemble(rows)?;
            inputs.columns().iter().try_for_each(|it| mark_non_finite(it, &mut non_finite)).map_err(|e| e.message)?;
            let ran =
                model.run(&inputs, self.layout.infer_threads()).map_err(|e| map.explain(&e, Some(self.dataset)))?;
            outputs.extend([(Use::output_of(role), ran.outputs), (Use::layer_of(role), ran.layers)]);
            refused.push((role, ran.refused));
        }
        let non_finite = non_finite.iter().filter(|&&it| it).count() as u64;
        Ok(Predicted { rows: self.layout.annotate(rows, outputs)?, non_finite, refused })
    }

    /// Takes a probe's say away, unless it has none.
    fn fail(&self, at: usize, probe: &mut Option<Result<Box<dyn Probe>, Error>>, error: Error) {
        // Others need not work for a probe that has failed somewhere. Where all are to end nobody has failed, and this partition is cut.
        self.failed[at].fetch_or(!self.is_to_end(), Ordering::Relaxed);
        if !matches!(probe, Some(Err(_))) {
            *probe = Some(Err(error));
        }
    }

    fn update(
        &self,
        at: usize,
        slot: &slot::Shared<'_>,
        probe: &mut Option<Result<Box<dyn Probe>, Error>>,
        rows: &RecordBatch,
    ) -> Result<(), String> {
        let Some(Ok(it)) = probe else { return Ok(()) };
        if self.failed[at].load(Ordering::Relaxed) {
            *probe = None;
            return Ok(());
        }
        let rows = self.project(at, rows)?;
        let updated = slot.host.check_deadline().and_then(|()| it.update(slot.host.as_ref(), self.role, &rows));
        if let Err(e) = updated {
            let e = if e.kind == ErrorKind::Cancelled { slot.host.check_deadline().err().unwrap_or(e) } else { e };
            self.fail(at, probe, e);
        }
        Ok(())
    }

    /// Returns what the probe is to see of the rows.
    fn project(&self, at: usize, rows: &RecordBatch) -> Result<RecordBatch, String> {
        rows.project(&self.layout.projection(at, rows)).map_err(|e| e.to_string())
    }

    fn tell(&self, rows: u64) {
        let total = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        if self.pace.is_due() {
            (self.settings.progress)(total);
        }
    }
}

/// Returns how many rows have no weight in a column of weights. What is wrong with the column is for those to say who need it.
fn weightless(rows: &RecordBatch) -> u64 {
    let weights = weight_numbers(rows).ok().flatten();
    weights.map_or(0, |(_, it)| it.values.iter().filter(|it| it.is_nan()).count() as u64)
}

/// Ends the pass where a thread of it panics, so that no other waits for what it would have given back or merged.
struct Alarm<'w, 'a>(&'w Worker<'a>);

impl Drop for Alarm<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end();
        }
    }
}

/// Ends an instance with its state.
fn last_state(mut probe: Box<dyn Probe>) -> Result<Vec<u8>, Error> {
    let state = probe.state()?;
    probe.close()?;
    Ok(state)
}
