//! What a test that was killed leaves behind: folders, and file systems that are mounted below them. A loop device goes
//! with the file system on it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

/// The folder of a file system in memory, where there is one.
const MEMORY: &str = "/dev/shm";
/// What was killed may still be on its way out.
const N_TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// The folders in which one test does all it does. They are gone with this value, with what is mounted below them.
pub(crate) struct Scratch {
    pub(crate) disk: PathBuf,
    /// Where a file system in memory is to be had.
    pub(crate) memory: Option<PathBuf>,
}

impl Scratch {
    pub(crate) fn new() -> Result<Self> {
        static N_MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("modelwatch-crash-{}-{}", process::id(), N_MADE.fetch_add(1, Ordering::Relaxed));
        let memory = Path::new(MEMORY).is_dir().then(|| Path::new(MEMORY).join(&name));
        let res = Self { disk: env::temp_dir().join(name), memory };
        for it in res.folders() {
            fs::create_dir(it).with_context(|| format!("cannot make the folder `{}`", it.display()))?;
            open_to_all(it)?;
        }
        Ok(res)
    }

    fn folders(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.disk.as_path()).chain(self.memory.as_deref())
    }

    fn clear(&self) -> Result<()> {
        for it in self.folders().filter(|it| it.exists()) {
            // What was mounted last is in the way of what was mounted before.
            for mount in mounts_below(it).iter().rev() {
                unmount(mount)?;
            }
            fs::remove_dir_all(it).with_context(|| format!("cannot remove `{}`", it.display()))?;
        }
        Ok(())
    }
}

impl Drop for Scratch {
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
            eprintln!("warning: something is left behind: {e:#}");
        }
    }
}

/// Rows about permissions look into it as other users.
fn open_to_all(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let _ = folder;
    Ok(())
}

/// Returns what is mounted below a folder, in the order in which it was.
fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let places = mounts.lines().filter_map(|it| it.split(' ').nth(1)).map(PathBuf::from);
    places.filter(|it| it.starts_with(folder)).collect()
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
    use super::*;

    #[test]
    fn folders_go_with_what_is_mounted_in_them() {
        let scratch = Scratch::new().unwrap();
        let folders: Vec<PathBuf> = scratch.folders().map(Path::to_owned).collect();
        for it in &folders {
            let inner = it.join("a/b");
            fs::create_dir_all(&inner).unwrap();
            let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&inner).output().unwrap();
            if mounted.status.success() {
                fs::write(inner.join("file"), "").unwrap();
                assert_eq!(mounts_below(it), [inner]);
            } else {
                println!("SKIPPED: nothing can be mounted here");
            }
        }
        drop(scratch);
        for it in folders {
            assert_eq!((it.exists(), mounts_below(&it)), (false, vec![]));
        }
    }
}
