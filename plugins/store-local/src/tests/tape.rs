//! A disk that is played: what was done to a folder, and the states in which a crash may leave it.
//!
//! The model is harsher than file systems are: each change to a folder that was not synced is kept or lost
//! on its own, and of bytes that were not synced there is any part, or zeros. Where there are few ways in which a crash can
//! end, each is tried, and otherwise some of them.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    sync::{Condvar, Mutex},
    thread::{self, ThreadId},
};

use super::*;
use crate::disk::Step;

/// What was done, or said, in order.
#[derive(Clone, Debug)]
pub(super) enum Done<M> {
    CreateDir(PathBuf),
    CreateFile(PathBuf),
    /// With all that is in the file then.
    Write(PathBuf, Vec<u8>),
    SyncFile(PathBuf),
    Link(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    SyncDir(PathBuf),
    Remove(PathBuf),
    Said(M),
}

/// Writes down what is done. Of several threads one makes a change at a time, so that the order is the true one.
pub(super) struct Recorder<M> {
    tape: Mutex<Vec<Done<M>>>,
    turn: Mutex<Option<ThreadId>>,
    free: Condvar,
}

impl<M: Clone + Send> Recorder<M> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { tape: Mutex::default(), turn: Mutex::default(), free: Condvar::new() })
    }

    pub(super) fn say(&self, it: M) {
        self.tape.lock().unwrap().push(Done::Said(it));
    }

    pub(super) fn tape(&self) -> Vec<Done<M>> {
        self.tape.lock().unwrap().clone()
    }

    /// Ends the turn of a thread whose last change failed.
    pub(super) fn leave(&self) {
        let mut turn = self.turn.lock().unwrap();
        if *turn == Some(thread::current().id()) {
            *turn = None;
            self.free.notify_all();
        }
    }
}

impl<M: Clone + Send> Watch for Recorder<M> {
    fn before(&self, _: Step<'_>) -> io::Result<()> {
        let me = thread::current().id();
        let mut turn = self.turn.lock().unwrap();
        while turn.is_some_and(|it| it != me) {
            turn = self.free.wait(turn).unwrap();
        }
        *turn = Some(me);
        Ok(())
    }

    fn after(&self, step: Step<'_>) {
        let own = Path::to_owned;
        let done = match step {
            Step::CreateDir(it) => Done::CreateDir(own(it)),
            Step::CreateFile(it) => Done::CreateFile(own(it)),
            Step::Write(it) => Done::Write(own(it), fs::read(it).unwrap()),
            Step::SyncFile(it) => Done::SyncFile(own(it)),
            Step::Link(from, to) => Done::Link(own(from), own(to)),
            Step::Rename(from, to) => Done::Rename(own(from), own(to)),
            Step::SyncDir(it) => Done::SyncDir(own(it)),
            Step::Remove(it) => Done::Remove(own(it)),
        };
        self.tape.lock().unwrap().push(done);
        self.leave();
    }

    fn syncs(&self) -> bool {
        false
    }
}

#[derive(Clone, Copy, Debug)]
enum Node {
    Dir,
    File(usize),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    n_synced: usize,
}

/// A disk after some of a tape.
#[derive(Clone, Default)]
pub(super) struct Disk {
    inodes: Vec<Inode>,
    /// What a process sees.
    seen: BTreeMap<PathBuf, Node>,
    /// What is there after a power cut at the least.
    durable: BTreeMap<PathBuf, Node>,
    /// The changes to folders that were not synced: a name comes to be, or goes.
    pending: Vec<(PathBuf, Option<Node>)>,
}

/// What is left of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The process died and the machine did not: everything.
    Killed,
    /// Nothing.
    AllLost,
    /// Names and no bytes.
    NamesOnly,
    /// Bytes and no names.
    BytesOnly,
    /// One of all the ways in which each name and each file's bytes may be left, by its number.
    Way(u64),
    /// Each or not, by a seed.
    Some(u64),
}

/// In how many ways a crash may end at most for all of them to be tried.
const MAX_WAYS: u64 = 64;
/// The ways in which the bytes of a file that were not synced are left: all, none, zeros, half.
const N_LEFT: u64 = 4;

impl Disk {
    /// Returns the disk with what is in a folder, all of it durable.
    pub(super) fn of(root: &Path) -> Self {
        let mut res = Self::default();
        let mut todo = vec![root.to_owned()];
        while let Some(dir) = todo.pop() {
            for it in fs::read_dir(&dir).unwrap() {
                let path = it.unwrap().path();
                let node = if path.is_dir() {
                    todo.push(path.clone());
                    Node::Dir
                } else {
                    let bytes = fs::read(&path).unwrap();
                    res.inodes.push(Inode { n_synced: bytes.len(), bytes });
                    Node::File(res.inodes.len() - 1)
                };
                res.seen.insert(path, node);
            }
        }
        res.durable = res.seen.clone();
        res
    }

    pub(super) fn apply<M>(&mut self, done: &Done<M>) {
        match done {
            Done::CreateDir(it) => self.name(it, Some(Node::Dir)),
            Done::CreateFile(it) => {
                self.inodes.push(Inode::default());
                self.name(it, Some(Node::File(self.inodes.len() - 1)));
            }
            Done::Write(it, bytes) => self.inode(it).bytes.clone_from(bytes),
            Done::SyncFile(it) => {
                let inode = self.inode(it);
                inode.n_synced = inode.bytes.len();
            }
            Done::Link(from, to) => self.name(to, Some(self.seen[from])),
            Done::Rename(from, to) => {
                self.carry(from, to);
                self.name(to, Some(self.seen[from]));
                self.name(from, None);
            }
            Done::SyncDir(dir) => {
                let (synced, rest) =
                    std::mem::take(&mut self.pending).into_iter().partition(|it| it.0.parent() == Some(dir.as_path()));
                self.pending = rest;
                synced.into_iter().for_each(|it| change(&mut self.durable, it));
            }
            Done::Remove(it) => self.name(it, None),
            Done::Said(_) => {}
        }
    }

    /// As [`Self::apply`], for a write of which half is done.
    pub(super) fn tear<M>(&mut self, done: &Done<M>) {
        if let Done::Write(it, bytes) = done {
            let n_before = self.inode(it).bytes.len().min(bytes.len());
            let half = n_before + (bytes.len() - n_before) / 2;
            self.inode(it).bytes = bytes[..half].to_vec();
        }
    }

    /// Returns the files (and folders, as `None`) of the disk after a crash, in a folder other than `from`.
    pub(super) fn after(&self, cut: Cut, from: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut draws = Draws::of(cut);
        let mut nodes = if cut == Cut::Killed { self.seen.clone() } else { self.durable.clone() };
        for it in &self.pending {
            let is_kept = match cut {
                Cut::Killed | Cut::AllLost | Cut::BytesOnly => false,
                Cut::NamesOnly => true,
                Cut::Way(_) | Cut::Some(_) => draws.next(2) == 0,
            };
            if is_kept {
                change(&mut nodes, it.clone());
            }
        }
        let bytes: Vec<Vec<u8>> = self.inodes.iter().map(|it| left(it, cut, &mut draws)).collect();
        let moved = |path: &Path| path.strip_prefix(from).unwrap().to_owned();
        let mut res = BTreeMap::new();
        // A folder comes before what is in it; what is in none is gone.
        for (path, node) in &nodes {
            let parent = path.parent().unwrap();
            if parent == from || res.contains_key(&moved(parent)) {
                let content = match node {
                    Node::Dir => None,
                    Node::File(it) => Some(bytes[*it].clone()),
                };
                res.insert(moved(path), content);
            }
        }
        res
    }

    /// Returns all the ways in which a crash may end where they are few, or `n_random` of them.
    fn cuts(&self, n_random: u64, seed: u64) -> Vec<Cut> {
        let n_unsynced = self.inodes.iter().filter(|it| it.n_synced < it.bytes.len()).count();
        let n_ways = [(2, self.pending.len()), (N_LEFT, n_unsynced)]
            .iter()
            .try_fold(1u64, |res, it| res.checked_mul(u64::checked_pow(it.0, it.1 as u32)?));
        match n_ways.filter(|it| *it <= MAX_WAYS) {
            Some(it) => (0..it).map(Cut::Way).collect(),
            None => (0..n_random).map(|it| Cut::Some(seed * 1000 + it)).collect(),
        }
    }

    /// Lets what is in a folder, durable or not, be in one of another name as well.
    fn carry(&mut self, from: &Path, to: &Path) {
        let carried =
            |path: &Path| path.strip_prefix(from).ok().filter(|it| *it != Path::new("")).map(|it| to.join(it));
        let below = |nodes: &BTreeMap<PathBuf, Node>| -> Vec<_> {
            nodes.iter().filter_map(|it| Some((it.0.clone(), carried(it.0)?, *it.1))).collect()
        };
        for (path, carried, node) in below(&self.seen) {
            self.seen.remove(&path);
            self.seen.insert(carried, node);
        }
        self.durable.extend(below(&self.durable).into_iter().map(|it| (it.1, it.2)));
        for (path, _) in &mut self.pending {
            *path = carried(path).unwrap_or_else(|| path.clone());
        }
    }

    fn name(&mut self, path: &Path, node: Option<Node>) {
        let it = (path.to_owned(), node);
        change(&mut self.seen, it.clone());
        self.pending.push(it);
    }

    fn inode(&mut self, path: &Path) -> &mut Inode {
        match self.seen[path] {
            Node::File(it) => &mut self.inodes[it],
            Node::Dir => panic!("{} is a folder", path.display()),
        }
    }
}

fn change(nodes: &mut BTreeMap<PathBuf, Node>, (path, node): (PathBuf, Option<Node>)) {
    match node {
        Some(it) => drop(nodes.insert(path, it)),
        None => drop(nodes.remove(&path)),
    }
}

/// What decides on each thing that may be kept or lost.
enum Draws {
    /// The digits of a number.
    Digits(u64),
    Random(std::vec::IntoIter<u8>),
}

impl Draws {
    fn of(cut: Cut) -> Self {
        match cut {
            Cut::Way(it) => Self::Digits(it),
            Cut::Some(seed) => Self::Random(noise(8192, seed).into_iter()),
            _ => Self::Digits(0),
        }
    }

    fn next(&mut self, n: u64) -> u64 {
        match self {
            Self::Digits(rest) => {
                let res = *rest % n;
                *rest /= n;
                res
            }
            Self::Random(it) => u64::from(it.next().unwrap()) % n,
        }
    }
}

/// What is left of a file's bytes.
fn left(inode: &Inode, cut: Cut, draws: &mut Draws) -> Vec<u8> {
    let (synced, rest) = inode.bytes.split_at(inode.n_synced.min(inode.bytes.len()));
    if rest.is_empty() {
        return inode.bytes.clone();
    }
    let part = |n: u64| rest[..rest.len() * n as usize / 256].to_vec();
    let keep = match cut {
        Cut::Killed | Cut::BytesOnly => rest.to_vec(),
        Cut::AllLost | Cut::NamesOnly => Vec::new(),
        Cut::Way(_) | Cut::Some(_) => match draws.next(N_LEFT) {
            0 => rest.to_vec(),
            1 => Vec::new(),
            2 => vec![0; rest.len()],
            _ if matches!(cut, Cut::Way(_)) => part(128),
            _ => part(draws.next(256)),
        },
    };
    [synced, &keep].concat()
}

/// Plays a tape, crashes after each change and within each write, and calls `check` with each different folder
/// that can be left and with what was said before. Returns how many such pairs there were.
pub(super) fn crash_everywhere<M: Clone>(
    mut disk: Disk,
    from: &Path,
    tape: &[Done<M>],
    n_random: u64,
    mut check: impl FnMut(&Path, &[M], &str),
) -> usize {
    let cuts = [Cut::Killed, Cut::AllLost, Cut::NamesOnly, Cut::BytesOnly];
    let mut n_states = 0;
    let mut said: Vec<M> = Vec::new();
    let mut known = HashSet::new();
    for at in 0..=tape.len() {
        let torn = tape.get(at).filter(|it| matches!(it, Done::Write(..))).map(|it| {
            let mut res = disk.clone();
            res.tear(it);
            res
        });
        for (disk, what) in [Some((&disk, "before")), torn.as_ref().map(|it| (it, "within"))].into_iter().flatten() {
            for cut in cuts.into_iter().chain(disk.cuts(n_random, at as u64)) {
                let files = disk.after(cut, from);
                if !known.insert((said.len(), digest(&files))) {
                    continue;
                }
                n_states += 1;
                let dir = scratch();
                write_out(dir.path(), &files);
                check(dir.path(), &said, &format!("{what} step {at} of {}, {cut:?}", tape.len()));
            }
        }
        match tape.get(at) {
            Some(Done::Said(it)) => said.push(it.clone()),
            Some(it) => disk.apply(it),
            None => {}
        }
    }
    n_states
}

fn digest(files: &BTreeMap<PathBuf, Option<Vec<u8>>>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for (path, bytes) in files {
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.update(bytes.as_ref().map_or(blake3::hash(b"a folder"), |it| blake3::hash(it)).as_bytes());
    }
    hasher.finalize()
}

fn write_out(to: &Path, files: &BTreeMap<PathBuf, Option<Vec<u8>>>) {
    for (path, bytes) in files {
        match bytes {
            Some(it) => fs::write(to.join(path), it).unwrap(),
            None => fs::create_dir(to.join(path)).unwrap(),
        }
    }
}
