//! `modelwatch store watch`: stores what a training loop publishes while it goes on training.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use modelwatch_config::Pipeline;
use modelwatch_runtime::{
    arrival::{self, Arrival},
    checkpoint::{self, CheckpointError},
    saver::Saver,
};
use modelwatch_sdk::{ErrorKind, Host, store::CheckpointStore};

use super::{
    named,
    put::{self, Target},
};
use crate::{
    commands::{Code, Wrong},
    output,
};

/// How many hand-offs wait beside the one that is being stored: those after them are looked at when there is room.
const QUEUE: usize = 2;
/// How soon it hears that it is to end.
const NAP: Duration = Duration::from_millis(20);
/// How often the time between two looks is doubled while the store takes nothing: each try reads a whole hand-off, and
/// writes what it can of it.
const MAX_DOUBLINGS: u32 = 6;
/// The longest time that doubling leads to.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// The first time for which a hand-off rests that could not be read; it is doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How often it is said again that a hand-off waits.
const REMINDER: Duration = Duration::from_secs(60 * 60);

/// What is watched, and how often it is looked at.
pub(super) struct Watched<'a> {
    pub(super) folder: &'a Path,
    pub(super) lineage: &'a str,
    pub(super) every: Duration,
}

/// A hand-off, and what became of it: nothing, where it waits behind one that the store did not take for the moment.
type Done = (PathBuf, Option<Result<put::Outcome, CheckpointError>>);

/// What became of hand-offs.
#[derive(Default)]
struct Tally {
    /// Those that are not to be looked at again.
    taken: BTreeSet<PathBuf>,
    /// Those that could not be stored so far, with what the store said last, if it was the store, and when that was told.
    failed: BTreeMap<PathBuf, (Option<ErrorKind>, Instant)>,
    /// How many were handed to the saver, and have not ended.
    n_waiting: usize,
    /// Until when those are not looked at again that could not be read or were changed meanwhile, and how long that is: each
    /// try reads a whole hand-off.
    put_off: BTreeMap<PathBuf, (Instant, Duration)>,
    has_panicked: bool,
    /// The last one that no rule wanted.
    not_due: Option<PathBuf>,
    /// When it was told last that the folder cannot be read, which it could not be at the last look.
    unread: Option<Instant>,
}

impl Tally {
    fn tell_all(&mut self, ended: Vec<Result<Done, CheckpointError>>) -> anyhow::Result<()> {
        for it in ended {
            self.n_waiting -= 1;
            match it {
                Ok((path, Some(outcome))) => self.tell(path, outcome)?,
                Ok((path, None)) => drop(self.taken.remove(&path)),
                Err(e) => {
                    self.has_panicked = true;
                    output::error(&e.to_string());
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, path: PathBuf, outcome: Result<put::Outcome, CheckpointError>) -> anyhow::Result<()> {
        match outcome {
            Err(e) => {
                let is_passing = is_passing(&e);
                if is_passing {
                    self.taken.remove(&path);
                    if !matches!(e, CheckpointError::Store(_)) {
                        self.put_off(path.clone(), Instant::now());
                    }
                }
                // The store does not know what it was given.
                let (what, kind) = match &e {
                    CheckpointError::Store(of_store) => {
                        (format!("`{}` was not stored: {e}", path.display()), Some(of_store.kind))
                    }
                    _ => (e.to_string(), None),
                };
                if self.is_news(path, kind, Instant::now()) || !is_passing {
                    output::error(&what);
                }
                return Ok(());
            }
            Ok(put::Outcome::Stored(id)) => {
                self.not_due = None;
                output::print(id.as_str())?;
            }
            Ok(put::Outcome::NotDue(why)) => {
                output::note(&format!("`{}` was not stored: {why}", path.display()));
                self.not_due = Some(path.clone());
            }
        }
        self.failed.remove(&path);
        self.put_off.remove(&path);
        Ok(())
    }

    /// Lets a hand-off rest, each time for twice as long.
    fn put_off(&mut self, path: PathBuf, now: Instant) {
        let before = self.put_off.get(&path).map(|it| it.1);
        let pause = before.map_or(FIRST_PAUSE, |it| (it * 2).min(MAX_PAUSE));
        self.put_off.insert(path, (now + pause, pause));
    }

    fn is_put_off(&self, path: &Path, now: Instant) -> bool {
        self.put_off.get(path).is_some_and(|it| now < it.0)
    }

    /// Returns the hand-offs in a folder; none where it cannot be read for the moment, which is said once, and from time to time.
    fn look(&mut self, folder: &Path) -> Vec<PathBuf> {
        match published(folder) {
            Ok(res) => {
                self.unread = None;
                res
            }
            Err(e) => {
                if self.unread.is_none_or(|it| it.elapsed() >= REMINDER) {
                    output::error(&format!("{}; it is looked at again", output::said(&e)));
                    self.unread = Some(Instant::now());
                }
                Vec::new()
            }
        }
    }

    /// Returns whether this is to be said of a hand-off that was not stored: it is tried again and again, and what keeps it
    /// waiting is said once, and from time to time.
    fn is_news(&mut self, path: PathBuf, kind: Option<ErrorKind>, now: Instant) -> bool {
        let told = self.failed.get(&path);
        let is_news = told.is_none_or(|(it, at)| *it != kind || now.duration_since(*at) >= REMINDER);
        if is_news {
            self.failed.insert(path, (kind, now));
        }
        is_news
    }
}

/// That the store does not take what it is given. What waits behind that is put off, so that the order stays.
#[derive(Default)]
struct Stall {
    is_on: Arc<AtomicBool>,
    /// At how many looks in a row it was.
    n_looks: u32,
}

impl Stall {
    /// Ends it until the next hand-off shows whether the store takes something again.
    fn try_again(&mut self) {
        self.n_looks = if self.is_on.swap(false, Relaxed) { MAX_DOUBLINGS.min(self.n_looks + 1) } else { 0 };
    }

    /// Returns how long to wait for the next look: longer and longer, and no longer than usual once the store took something.
    fn pause(&self, every: Duration) -> Duration {
        let n_doublings = if self.is_on.load(Relaxed) { self.n_looks } else { 0 };
        every.saturating_mul(1 << n_doublings).min(MAX_PAUSE.max(every))
    }
}

/// Stores hand-offs until it is told to end, and then what it has taken so far. The next one is looked at, which reads
/// all of it, while the one before is being stored.
pub(super) fn watch(
    store: &Arc<dyn CheckpointStore>,
    pipeline: Option<Arc<Pipeline>>,
    host: &dyn Host,
    watched: &Watched<'_>,
) -> anyhow::Result<Code> {
    named(watched.lineage)?;
    if !watched.folder.is_dir() {
        return Err(Wrong(format!("there is no folder `{}`", watched.folder.display())).into());
    }
    let refuse_nonfinite = pipeline.as_ref().is_some_and(|it| it.refuse_nonfinite);
    let is_on_signal = pipeline.as_ref().and_then(|it| it.save.as_ref()).is_some_and(|it| it.on_signal);
    let mut saver = Saver::<Done>::new(QUEUE);
    // What is published from now on is new.
    let old: BTreeSet<_> = published(watched.folder)?.into_iter().collect();
    let mut tally = Tally::default();
    let mut stall = Stall::default();
    let is_ending = Arc::new(AtomicBool::new(false));
    // Whoever is told to end looks once more: what was published just before is the last chance that there is.
    let last = loop {
        let is_last = host.is_cancelled();
        if is_last {
            is_ending.store(true, Relaxed);
            while tally.n_waiting > 0 {
                thread::sleep(NAP);
                tally.tell_all(saver.ended())?;
            }
        }
        let paths = tally.look(watched.folder);
        // Nothing newer came, so that the last one that no rule wanted is all that there will be.
        let is_all = paths.iter().all(|it| tally.taken.contains(it));
        if let Some(it) = tally.not_due.take_if(|_| is_last && is_on_signal && is_all) {
            tally.taken.remove(&it);
        }
        if tally.n_waiting == 0 {
            stall.try_again();
        }
        for path in paths.iter().cloned() {
            // One alone shows whether the store takes something again. At the last look there is no other time for the rest.
            if !is_last && stall.n_looks > 0 && tally.n_waiting > 0 {
                break;
            }
            let is_over = host.is_cancelled() && !is_last;
            let is_put_off = !is_last && tally.is_put_off(&path, Instant::now());
            if is_over || is_put_off || stall.is_on.load(Relaxed) || !tally.taken.insert(path.clone()) {
                continue;
            }
            let attended: &dyn Host = if is_last { &() } else { host };
            let examined = arrival::examine(&path, attended).and_then(|it| {
                if refuse_nonfinite { arrival::refuse_nonfinite(&path, None).map(|()| it) } else { Ok(it) }
            });
            let arrival = match examined {
                Ok(it) => it,
                Err(_) if host.is_cancelled() && !is_last => {
                    tally.taken.remove(&path);
                    break;
                }
                Err(e) => {
                    tally.tell(path, Err(e))?;
                    continue;
                }
            };
            arrival.code.iter().for_each(|it| output::note(&format!("`{}`: {it}", path.display())));
            let (store, pipeline, lineage) = (Arc::clone(store), pipeline.clone(), watched.lineage.to_owned());
            let (is_stalled, is_old) = (Arc::clone(&stall.is_on), old.contains(&path));
            let is_ending = Arc::clone(&is_ending);
            tally.n_waiting += 1;
            tally.tell_all(saver.save(move || {
                if is_stalled.load(Relaxed) {
                    return Ok((path, None));
                }
                // In its turn, since what is due follows from what was stored before. Not cancelled: it was taken.
                let (store, pipeline, preempted) = (store.as_ref(), pipeline.as_deref(), is_ending.load(Relaxed));
                let to = Target { store, pipeline, host: &(), lineage: &lineage, preempted };
                let outcome = match is_old {
                    true => store_once(&to, &path, &arrival),
                    false => put::store(&to, &path, &arrival),
                };
                if matches!(&outcome, Err(e @ CheckpointError::Store(_)) if is_passing(e)) {
                    is_stalled.store(true, Relaxed);
                }
                Ok((path, Some(outcome)))
            }))?;
        }
        if is_last {
            break paths;
        }
        let looked = Instant::now();
        while !host.is_cancelled() && looked.elapsed() < stall.pause(watched.every) {
            tally.tell_all(saver.ended())?;
            thread::sleep(NAP);
        }
    };
    tally.tell_all(saver.finish())?;
    let are_all_taken = last.iter().all(|it| tally.taken.contains(it));
    let is_done = are_all_taken && tally.failed.is_empty() && !tally.has_panicked && tally.unread.is_none();
    Ok(if is_done { Code::OK } else { Code::NOT_DONE })
}

/// Returns whether another attempt may go well: nothing is known to be wrong with the hand-off, and what is wrong with the
/// store may be over, as when it has space again or is mended.
fn is_passing(e: &CheckpointError) -> bool {
    match e {
        // Whoever writes to it may have ended by then.
        CheckpointError::Io { .. } | CheckpointError::Changed { .. } => true,
        CheckpointError::Store(e) => {
            matches!(e.kind, ErrorKind::Io | ErrorKind::Uncertain | ErrorKind::NoSpace | ErrorKind::Busy)
                || e.is_damage()
        }
        _ => false,
    }
}

/// Stores a hand-off, unless it was stored before and removed since: it stays in its folder when its lineage is pruned, and
/// is seen again by whoever watches next.
fn store_once(to: &Target<'_>, path: &Path, arrival: &Arrival) -> Result<put::Outcome, CheckpointError> {
    let history = to.store.history(to.lineage)?;
    if !history.removed().is_empty() {
        let id = checkpoint::id_of(path, &arrival.metadata)?;
        if history.removed().contains(&id) {
            let (short, lineage) = (id.short(), to.lineage);
            return Ok(put::Outcome::NotDue(format!(
                "the checkpoint `{short}` was removed from `{lineage}`; `modelwatch store put` stores it again"
            )));
        }
    }
    put::store(to, path, arrival)
}

/// Returns the hand-offs in a folder, by name. One that is being written has a name that starts with a dot, and gets its
/// own by a rename.
fn published(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read `{}`", folder.display());
    let mut res = Vec::new();
    for entry in folder.read_dir().with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !is_hidden && arrival::is_handoff(&entry.path()) {
            res.push(entry.path());
        }
    }
    res.sort();
    Ok(res)
}

#[cfg(test)]
mod tests {
    use modelwatch_sdk::Error;

    use super::*;

    #[test]
    fn pauses_grow_while_the_store_takes_nothing_and_end_with_that() {
        let every = Duration::from_secs(1);
        let mut stall = Stall::default();
        let mut seconds = Vec::new();
        for _ in 0..8 {
            stall.is_on.store(true, Relaxed);
            seconds.push(stall.pause(every).as_secs());
            stall.try_again();
            assert_eq!(stall.pause(every), every, "it may have taken this one");
        }
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        stall.is_on.store(true, Relaxed);
        for every in [Duration::from_secs(300), Duration::MAX] {
            assert_eq!(stall.pause(every), every);
        }
    }

    #[test]
    fn a_hand_off_that_cannot_be_read_rests_longer_and_longer() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        let path = Path::new("a");
        let pauses: Vec<_> = (0..10)
            .map(|_| {
                tally.put_off(path.to_owned(), now);
                tally.put_off[path].1.as_millis()
            })
            .collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        assert!(tally.is_put_off(path, now) && !tally.is_put_off(path, now + MAX_PAUSE));
        assert!(!tally.is_put_off(Path::new("b"), now));
    }

    #[test]
    fn what_keeps_a_hand_off_waiting_is_said_again_when_it_changes_and_each_hour() {
        let (mut tally, start) = (Tally::default(), Instant::now());
        let mut says =
            |kind, minutes: u64| tally.is_news("a".into(), Some(kind), start + Duration::from_secs(60 * minutes));
        let (busy, full) = (ErrorKind::Busy, ErrorKind::NoSpace);
        let said = [says(busy, 0), says(busy, 59), says(full, 59), says(full, 118), says(full, 119)];
        assert_eq!(said, [true, false, true, false, true]);
    }

    /// A conflict is with another checkpoint of the same step: to store it all the same is for a person to say.
    #[test]
    fn what_may_go_well_another_time_is_tried_again_and_nothing_else() {
        let is_tried_again = |kind| is_passing(&Error::new(kind, "").into());
        use ErrorKind::{Busy, Conflict, Corrupt, Input, Io, NoSpace, Panicked, Uncertain, Unreadable};
        assert!([Busy, Corrupt, Io, NoSpace, Uncertain, Unreadable].into_iter().all(is_tried_again));
        assert!(![Conflict, Input, Panicked].into_iter().any(is_tried_again));
        assert!(is_passing(&CheckpointError::Changed { path: "step-1/model.keras".into() }));
    }
}
