//! File systems that are mounted for a test and gone after it, also when it fails.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use crate::harness::{must, run};

/// A mounted file system.
pub(crate) struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Mounts with these arguments of `mount`, the last of which (the place) is `at`.
    pub(crate) fn new(arguments: &[&str], at: &Path) -> Self {
        fs::create_dir_all(at).unwrap();
        let at_last = [OsStr::new("--"), at.as_os_str()];
        let (options, source) = arguments.split_at(arguments.len() - 1);
        let all = options.iter().map(OsStr::new).chain([at_last[0], OsStr::new(source[0]), at_last[1]]);
        must("mount", all);
        Self { at: at.to_owned() }
    }

    /// Returns a file system in memory.
    pub(crate) fn tmpfs(options: &str, at: &Path) -> Self {
        Self::new(&["-t", "tmpfs", "-o", options, "none"], at)
    }

    /// Mounts it anew with other options.
    pub(crate) fn remount(&self, options: &str) {
        must("mount", [OsStr::new("-o"), OsStr::new(&format!("remount,{options}")), self.at.as_os_str()]);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !run("umount", [&self.at]).0.success() {
            // Somebody is still in it; it goes with the last one.
            let _ = run("umount", [OsStr::new("-l"), self.at.as_os_str()]);
        }
    }
}
