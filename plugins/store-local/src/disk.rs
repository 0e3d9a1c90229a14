//! The folder of a store: checked reads, and the one way in which a file gets its name.
//!
//! Every change goes through [`Disk::step`], so that a test sees each and can let it fail.

use std::{
    collections::BTreeSet,
    fs::{self, File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use modelwatch_sdk::{Error, Result};
use modelwatch_store::random_number;

use crate::{beginning, errors, presence::Presence};

/// One change to the file system.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "only those who watch look at the paths"))]
pub(crate) enum Step<'a> {
    CreateDir(&'a Path),
    CreateFile(&'a Path),
    Write(&'a Path),
    SyncFile(&'a Path),
    Link(&'a Path, &'a Path),
    Rename(&'a Path, &'a Path),
    SyncDir(&'a Path),
    Remove(&'a Path),
}

/// Sees every change before and after it is made.
pub(crate) trait Watch: Send + Sync {
    /// An error here takes the place of the change.
    fn before(&self, step: Step<'_>) -> io::Result<()> {
        let _ = step;
        Ok(())
    }

    fn after(&self, step: Step<'_>) {
        let _ = step;
    }

    /// Sees a path before it is looked at or opened. An error here takes the place of what is there.
    fn look(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Ok(())
    }

    /// Sees a file before it is read. An error here takes the place of its bytes.
    fn read(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Ok(())
    }

    /// Whether to sync in earnest; a test that plays the disk keeps account itself.
    fn syncs(&self) -> bool {
        true
    }
}

impl Watch for () {}

pub(crate) struct Disk {
    root: PathBuf,
    presence: Presence,
    watch: Arc<dyn Watch>,
    /// Folders that this process made durable, with all above them.
    durable: Mutex<BTreeSet<PathBuf>>,
    /// Set once a folder could not be synced, or the same bytes not in two files. A later sync may succeed although
    /// the earlier change is lost, so that nothing this process adds could be believed.
    degraded: AtomicBool,
}

impl Disk {
    /// Returns what can make a folder, and is not yet open.
    pub(crate) fn at(root: &Path, watch: Arc<dyn Watch>) -> Self {
        Self {
            root: root.to_owned(),
            presence: Presence::default(),
            watch,
            durable: Mutex::default(),
            degraded: AtomicBool::new(false),
        }
    }

    /// Opens the folder, making it and what is missing above it if it does not exist.
    pub(crate) fn open(root: &Path, watch: Arc<dyn Watch>) -> Result<Self> {
        beginning::make(root, &watch)?;
        let mut disk = Self::at(root, watch);
        disk.root = fs::canonicalize(root).map_err(|e| errors::io("open the folder", root, &e))?;
        let found = fs::metadata(&disk.root).map_err(|e| errors::io("open the folder", root, &e))?;
        if !found.is_dir() {
            return Err(Error::input(format!("`{}` is a file, not the folder of a store", root.display()))
                .with_help("point `path` at a folder, or at a name that is still free"));
        }
        disk.presence = Presence::of(&disk.root, &found);
        Ok(disk)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Fails unless the folder is the one that was opened.
    pub(crate) fn is_there(&self) -> Result<()> {
        self.presence.is_there(&self.root)
    }

    /// Returns the whole file, or `None` if there is none.
    pub(crate) fn read(&self, path: &Path, cap: u64) -> Result<Option<Vec<u8>>> {
        let Some((file, len)) = self.open_file(path)? else {
            return Ok(None);
        };
        if len > cap {
            return Err(errors::corrupt(path, format_args!("has {len} bytes, more than the {cap} there can be")));
        }
        let mut file = file.take(cap);
        self.bytes(path, || {
            let mut res = Vec::new();
            file.get_mut().rewind()?;
            // The file may grow meanwhile; the cap holds all the same.
            file.set_limit(cap);
            file.read_to_end(&mut res).map(|_| res)
        })
    }

    /// Fills `out` from `offset` of the file.
    pub(crate) fn read_at(&self, path: &Path, offset: u64, out: &mut [u8]) -> Result<()> {
        let missing = || errors::corrupt(path, "is missing");
        let (mut file, size) = self.open_file(path)?.ok_or_else(missing)?;
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > size) {
            return Err(errors::corrupt(path, format_args!("is cut off at {size} bytes")));
        }
        let read = self.bytes(path, || file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(out)))?;
        read.ok_or_else(missing)
    }

    fn bytes<T>(&self, path: &Path, mut read: impl FnMut() -> io::Result<T>) -> Result<Option<T>> {
        self.ask("read", path, || self.watch.read(path).and_then(|()| read()))
    }

    /// Asks for something of a file, and once more where the device fails or there is no such file; then `None`. It is that file
    /// which is damaged only where the store around it answered each time: a cable, a server or a mount that is gone is no
    /// reason to take what they hold for lost.
    fn ask<T>(&self, attempt: &str, path: &Path, mut ask: impl FnMut() -> io::Result<T>) -> Result<Option<T>> {
        let answers = || self.presence.answers(&self.root, self.watch.as_ref());
        let res = match ask() {
            Err(e) if errors::is_of_file(&e) => answers().map(|()| ask())?,
            // Nothing is there in what a store is mounted on, either. It may be back by now.
            Err(e) if is_missing(&e) => self.presence.is_there(&self.root).map(|()| ask())?,
            res => res,
        };
        match res {
            Ok(it) => Ok(Some(it)),
            Err(e) if is_missing(&e) => self.presence.is_there(&self.root).map(|()| None),
            Err(e) if errors::is_of_file(&e) => answers().and(Err(errors::unreadable(attempt, path, &e))),
            Err(e) => Err(errors::io(attempt, path, &e)),
        }
    }

    /// Returns the names in a folder, sorted; none if it does not exist. Names that are no UTF-8 are left out.
    pub(crate) fn list(&self, dir: &Path) -> Result<Vec<String>> {
        if self.look(dir).map_err(errors::beyond_reach)?.is_none() {
            return Ok(Vec::new());
        }
        let failed = |e: io::Error| errors::io("list", dir, &e);
        let mut res = Vec::new();
        for it in fs::read_dir(dir).map_err(failed)? {
            res.extend(it.map_err(failed)?.file_name().into_string().ok());
        }
        res.sort_unstable();
        Ok(res)
    }

    /// Returns what there is at `path`, which is below the root, without a symbolic link on the way to it.
    pub(crate) fn look(&self, path: &Path) -> Result<Option<Metadata>> {
        let mut at = self.root.clone();
        let mut res = None;
        for part in path.strip_prefix(&self.root).expect("every path is made from the root") {
            at.push(part);
            let look = || self.watch.look(&at).and_then(|()| fs::symlink_metadata(&at));
            let found = self.ask("look at", &at, look);
            match if at == path { found } else { found.map_err(errors::beyond_reach) }? {
                Some(it) if it.file_type().is_symlink() => {
                    return Err(errors::corrupt(&at, "is a symbolic link, which a store never has"));
                }
                Some(it) => res = Some(it),
                None => return Ok(None),
            }
        }
        Ok(res)
    }

    /// Makes a folder below the root, and sees to it that it survives a power cut.
    pub(crate) fn ensure_dir(&self, dir: &Path) -> Result<()> {
        self.ensure_dirs(&BTreeSet::from([dir]))
    }

    fn ensure_dirs(&self, dirs: &BTreeSet<&Path>) -> Result<()> {
        let known = || self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |it: &&Path| *it != self.root && !known().contains(*it);
        let new: Vec<&Path> = dirs.iter().copied().filter(is_new).collect();
        if new.is_empty() {
            return Ok(());
        }
        let above = new.iter().map(|it| parent(it)).collect();
        self.ensure_dirs(&above)?;
        new.iter().try_for_each(|it| self.make_dir(it))?;
        above.iter().try_for_each(|it| self.sync_dir(it))?;
        for it in new {
            if !self.look(it)?.is_some_and(|it| it.is_dir()) {
                return Err(errors::corrupt(it, "is not a folder"));
            }
            known().insert(it.to_owned());
        }
        Ok(())
    }

    /// Gives staged and synced files their names, durably. Returns for each whether the name was free.
    ///
    /// All names come before the first sync: a journal then makes them durable in one go, and has nothing left to do at the others.
    pub(crate) fn publish(&self, files: &[(PathBuf, PathBuf)]) -> Result<Vec<bool>> {
        if self.degraded.load(Ordering::Relaxed) {
            return Err(Error::io(format!(
                "the store `{}` takes no more writes in this process: a sync failed before",
                self.root.display()
            ))
            .with_help("check the disk and the system's log, then start again; everything acknowledged is intact"));
        }
        let dirs = files.iter().map(|it| parent(&it.1)).collect();
        self.ensure_dirs(&dirs)?;
        let linked = files.iter().map(|(staged, to)| self.link(staged, to)).collect::<Result<Vec<_>>>()?;
        // Also where another writer was faster: its link may not be durable yet.
        dirs.iter().try_for_each(|it| self.sync_dir(it))?;
        Ok(linked)
    }

    /// Returns whether the name was free.
    fn link(&self, staged: &Path, to: &Path) -> Result<bool> {
        match self.step(Step::Link(staged, to), || fs::hard_link(staged, to)) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) if e.kind() == io::ErrorKind::Unsupported => {
                Err(errors::io("link", to, &e).with_help("put the store on a file system that has hard links"))
            }
            Err(e) => Err(errors::io("link", to, &e)),
        }
    }

    /// Puts a staged and synced file in the place of a damaged one, durably.
    pub(crate) fn replace(&self, staged: &Path, to: &Path) -> Result<()> {
        let renamed = self.step(Step::Rename(staged, to), || fs::rename(staged, to));
        renamed.map_err(|e| errors::io("replace", to, &e))?;
        self.sync_dir(parent(to))
    }

    /// Returns a free path in `quarantine/` for what is at a key.
    pub(crate) fn aside(&self, key: &str) -> Result<PathBuf> {
        let folder = self.root.join("quarantine");
        self.ensure_dir(&folder)?;
        Ok(folder.join(format!("{}-{:016x}", key.replace('/', "-"), random_number())))
    }

    /// Gives what is at `path` a second name in `quarantine/`, so that it may be replaced. A folder, which cannot have
    /// two, is moved there.
    pub(crate) fn keep_aside(&self, path: &Path, key: &str) -> Result<()> {
        let aside = self.aside(key)?;
        match self.step(Step::Link(path, &aside), || fs::hard_link(path, &aside)) {
            Ok(()) => self.sync_dir(parent(&aside)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(_) if path.is_dir() => self.replace(path, &aside),
            Err(e) => Err(errors::io("link", &aside, &e)),
        }
    }

    /// Makes the names in a folder durable.
    pub(crate) fn sync_dir(&self, dir: &Path) -> Result<()> {
        // Elsewhere a folder cannot be opened, and the file system orders its own changes.
        if !cfg!(unix) {
            return Ok(());
        }
        self.sync(Step::SyncDir(dir), || File::open(dir)?.sync_all()).map_err(|e| {
            self.degrade();
            let error = errors::io("sync the folder", dir, &e);
            if e.kind() == io::ErrorKind::PermissionDenied {
                return error;
            }
            error.with_help(
                "check the disk and the system's log, then start again; whether the last change is kept is unknown until then",
            )
        })
    }

    /// Refuses whatever this process adds from now on.
    pub(crate) fn degrade(&self) {
        self.degraded.store(true, Ordering::Relaxed);
    }

    /// Makes the name of the root and those of the folders above it durable, where these may be opened.
    pub(crate) fn settle_root(&self) {
        for above in self.root.ancestors().skip(1).filter(|_| cfg!(unix)) {
            let _ = self.sync(Step::SyncDir(above), || File::open(above)?.sync_all());
        }
    }

    /// Makes one change.
    pub(crate) fn step<T>(&self, step: Step<'_>, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.watch.before(step)?;
        let res = change()?;
        self.watch.after(step);
        Ok(res)
    }

    /// Makes one change durable.
    pub(crate) fn sync(&self, step: Step<'_>, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.step(step, || if self.watch.syncs() { sync() } else { Ok(()) })
    }

    pub(crate) fn create_dir(&self, dir: &Path) -> Result<()> {
        self.make_dir(dir)?;
        // Also where it exists: whoever made it may not have come this far.
        self.sync_dir(parent(dir))
    }

    fn make_dir(&self, dir: &Path) -> Result<()> {
        match self.step(Step::CreateDir(dir), || fs::create_dir(dir)) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(errors::io("create the folder", dir, &e)),
            _ => Ok(()),
        }
    }

    fn open_file(&self, path: &Path) -> Result<Option<(File, u64)>> {
        // Looked at before opening: to open a pipe would wait for its other end.
        let Some(found) = self.look(path)? else {
            return Ok(None);
        };
        if !found.is_file() {
            return Err(errors::corrupt(path, "is not a file"));
        }
        // It may go meanwhile, by a garbage collection.
        self.ask("read", path, || {
            self.watch.look(path)?;
            let file = File::open(path)?;
            let len = file.metadata()?.len();
            Ok((file, len))
        })
    }
}

fn is_missing(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(it) if !it.as_os_str().is_empty() => it,
        _ => Path::new("."),
    }
}
