//! What a test that was killed leaves behind: folders, and file systems that are mounted below them. A loop device goes
//! with the file system on it.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write},
    os::unix::{ffi::OsStringExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::{
    io::Errno,
    process::{Pid, getpid, test_kill_process},
};

/// How folders are called, before the process of their command and a number.
const PREFIX: &str = "modelwatch-crash-";
/// The folder of a file system in memory, where there is one.
const MEMORY: &str = "/dev/shm";
/// What was killed may still be on its way out.
const N_TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// The folders in which one test does all it does.
pub(crate) struct Scratch {
    pub(crate) disk: Folder,
    /// Where a file system in memory is to be had.
    pub(crate) memory: Option<Folder>,
}

impl Scratch {
    pub(crate) fn new() -> Result<Self> {
        static N_MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{PREFIX}{}-{}", process::id(), N_MADE.fetch_add(1, Ordering::Relaxed));
        let memory = Path::new(MEMORY);
        Ok(Self {
            disk: Folder::new(&env::temp_dir(), &name)?,
            memory: memory.is_dir().then(|| Folder::new(memory, &name)).transpose()?,
        })
    }
}

/// A folder that is gone with this value, with what is mounted below it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes one that is not there yet: what is, is somebody else's.
    fn new(parent: &Path, name: &str) -> Result<Self> {
        // Mounts are listed by the paths that links lead to.
        let parent = parent.canonicalize().with_context(|| format!("cannot find `{}`", parent.display()))?;
        let path = parent.join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make the folder `{}`", path.display()))?;
        let res = Self(path);
        // Rows about permissions look into it as other users.
        fs::set_permissions(res.path(), fs::Permissions::from_mode(0o755))?;
        Ok(res)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn clear(&self) -> Result<()> {
        if !self.0.exists() {
            return Ok(());
        }
        // What was mounted last is in the way of what was mounted before.
        for mount in mounts_below(&self.0).iter().rev() {
            unmount(mount)?;
        }
        fs::remove_dir_all(&self.0).with_context(|| format!("cannot remove `{}`", self.0.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let mut res = self.clear();
        for _ in 1..N_TRIES {
            if res.is_ok() {
                return;
            }
            thread::sleep(PAUSE);
            res = self.clear();
        }
        if let Err(e) = res {
            // The terminal may be gone. A panic would keep others from being dropped.
            let _ = writeln!(io::stderr(), "warning: something is left behind: {e:#}");
        }
    }
}

/// Clears away what is left of commands that were killed.
pub(crate) fn clear_abandoned() {
    [&env::temp_dir(), Path::new(MEMORY)].into_iter().for_each(clear_abandoned_in);
}

fn clear_abandoned_in(parent: &Path) {
    let Ok(entries) = parent.canonicalize().and_then(fs::read_dir) else { return };
    entries.flatten().filter(|it| is_abandoned(&it.file_name())).for_each(|it| drop(Folder(it.path())));
}

/// Returns whether that is what a folder is called whose command is no more. Ours has made none so far: what has its
/// number is of another that had it before, as in a container that is started again.
fn is_abandoned(name: &OsStr) -> bool {
    let command = name.to_str().and_then(|it| it.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok());
    let is_gone = |it| it == getpid() || test_kill_process(it) == Err(Errno::SRCH);
    command.and_then(Pid::from_raw).is_some_and(is_gone)
}

/// Returns what is mounted below a folder, in the order in which it was.
fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let mounts = fs::read("/proc/self/mounts").unwrap_or_default();
    let places = mounts.split(|it| *it == b'\n').filter_map(|it| it.split(|it| *it == b' ').nth(1)).map(unescaped);
    places.filter(|it| it.starts_with(folder)).collect()
}

/// Returns a path of `/proc/self/mounts`, where a space is `\040`.
fn unescaped(place: &[u8]) -> PathBuf {
    let mut parts = place.split(|it| *it == b'\\');
    let mut res = parts.next().unwrap_or_default().to_vec();
    for it in parts {
        let (digits, rest) = it.split_at(it.len().min(3));
        res.push(digits.iter().fold(0, |n: u8, digit| (n << 3) | (digit & 7)));
        res.extend(rest);
    }
    OsString::from_vec(res).into()
}

/// Nothing is removed where this fails: it would be removed from what is mounted.
fn unmount(place: &Path) -> Result<()> {
    let umount = |options: &[&str]| Command::new("umount").args(options).arg(place).output();
    // Where somebody is still in it, it goes with the last one.
    let is_done = umount(&[])?.status.success() || umount(&["-l"])?.status.success();
    ensure!(is_done, "cannot unmount `{}`", place.display());
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        collections::BTreeSet,
        os::unix::{fs::symlink, process::parent_id},
    };

    use super::*;

    #[test]
    fn folders_go_with_what_is_mounted_in_them() {
        let Scratch { disk, memory } = Scratch::new().unwrap();
        // As where `TMPDIR` is a link.
        let link = disk.path().join("link");
        symlink(disk.path(), &link).unwrap();
        let linked = Folder::new(&link, "linked").unwrap();
        let folders: Vec<Folder> = [linked, disk].into_iter().chain(memory).collect();
        let paths: Vec<PathBuf> = folders.iter().map(|it| it.path().to_owned()).collect();
        for it in &paths {
            let inner = it.join("a b\\\tc");
            fs::create_dir(&inner).unwrap();
            let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&inner).output().unwrap();
            if mounted.status.success() {
                fs::write(inner.join("file"), "").unwrap();
                assert!(mounts_below(it).contains(&inner));
            } else {
                println!("SKIPPED: nothing can be mounted here");
            }
        }
        drop(folders);
        for it in paths {
            assert_eq!((it.exists(), mounts_below(&it)), (false, vec![]));
        }
    }

    #[test]
    fn what_is_left_of_killed_commands_is_cleared() {
        let scratch = Scratch::new().unwrap();
        let of = |command: u32| format!("{PREFIX}{command}-7");
        // No process has the greatest number.
        let abandoned = [of(i32::MAX.cast_unsigned()), of(process::id())];
        let kept = [of(parent_id()), format!("{PREFIX}7"), "mine".to_owned()].map(|it| scratch.disk.path().join(it));
        for it in abandoned.map(|it| scratch.disk.path().join(it)).iter().chain(&kept) {
            fs::create_dir_all(it.join("store")).unwrap();
        }
        clear_abandoned_in(scratch.disk.path());
        let left = fs::read_dir(scratch.disk.path()).unwrap().map(|it| it.unwrap().path());
        assert_eq!(left.collect::<BTreeSet<_>>(), kept.into());
    }

    #[test]
    fn a_folder_that_is_there_already_is_left_alone() {
        let scratch = Scratch::new().unwrap();
        fs::create_dir_all(scratch.disk.path().join("mine/file")).unwrap();
        assert!(Folder::new(scratch.disk.path(), "mine").is_err());
        assert!(scratch.disk.path().join("mine/file").exists());
    }
}
