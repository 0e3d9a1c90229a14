//! Files that probes hand over, kept beside the reports.
//!
//! Each run has a folder of its own, so that what an older record names stays what it was. A file is there whole or not at
//! all, and what is not kept is a gap of the run: nothing is dropped in silence.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use modelwatch_sdk::{Error, ErrorKind, Report, Result, artifact::Artifact, report::Gap};

use crate::whole_file;

/// The most bytes that a probe may hand over.
const MAX_BYTES: u64 = 128 << 20;
/// The most files.
const MAX_FILES: usize = 64;
/// The most characters of a name.
const MAX_NAME: usize = 100;

/// The files of one probe.
#[derive(Debug, Default)]
pub(crate) struct Artifacts {
    /// Where they go; none where nobody asked for them.
    folder: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: u64,
    /// Names in lower case: some file systems take `A` and `a` for one.
    names: BTreeSet<String>,
    paths: Vec<String>,
    refused: Vec<Gap>,
}

impl Artifacts {
    /// Returns no files, to go into a folder that is made for the first one.
    pub(crate) fn into_folder(folder: Option<PathBuf>) -> Self {
        Self { folder, state: Mutex::default() }
    }

    /// Returns how many bytes are still taken.
    pub(crate) fn bytes_left(&self) -> u64 {
        if self.folder.is_none() { 0 } else { MAX_BYTES - self.with(|it| it.bytes) }
    }

    /// Returns whether a file was handed over, kept or not.
    pub(crate) fn has_any(&self) -> bool {
        self.with(|it| !it.paths.is_empty() || !it.refused.is_empty())
    }

    /// Writes a file and returns where it is.
    pub(crate) fn keep(&self, artifact: &Artifact) -> Result<String> {
        let Some(folder) = &self.folder else {
            let message = "nobody asked for files; name a folder in `[report] artifacts`";
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        self.with(|state| {
            let kept = state.check(artifact).and_then(|()| {
                let path = folder.join(&artifact.name);
                write(&path, &artifact.bytes).map_err(|e| format!("cannot write `{}`: {e}", path.display()))?;
                Ok(path.display().to_string())
            });
            match kept {
                Ok(path) => {
                    state.bytes += artifact.bytes.len() as u64;
                    state.names.insert(artifact.name.to_lowercase());
                    state.paths.push(path.clone());
                    Ok(path)
                }
                Err(why) => {
                    state.refused.push(Gap::new(format!("file `{}`", artifact.name), why.clone()));
                    Err(Error::input(why))
                }
            }
        })
    }

    /// Returns what was not kept, what no finding of the report names, and removes from the report what is no file of it.
    pub(crate) fn gaps(&self, report: &mut Report) -> Vec<Gap> {
        let (mut res, mut unnamed) = self.with(|it| (it.refused.clone(), it.paths.clone()));
        let kept: BTreeSet<String> = unnamed.iter().cloned().collect();
        for finding in &mut report.findings {
            let named: Vec<String> = finding.file_paths().map(str::to_owned).collect();
            let (files, others): (Vec<_>, Vec<_>) = named.into_iter().partition(|it| kept.contains(it));
            unnamed.retain(|it| !files.contains(it));
            if !others.is_empty() {
                let gap =
                    |it: String| Gap::new(format!("file `{it}`"), "a finding names it, and it was not handed over");
                res.extend(others.into_iter().map(gap));
                finding.retain_files(|it| kept.contains(it));
            }
        }
        res.extend(
            unnamed.into_iter().map(|it| Gap::new(format!("file `{it}`"), "it was kept, and no finding names it")),
        );
        res
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// Returns why a file is not taken, if it is not.
    fn check(&self, Artifact { name, bytes }: &Artifact) -> std::result::Result<(), String> {
        let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-');
        if name.len() > MAX_NAME || name.starts_with(['.', '-']) || name.is_empty() || !name.chars().all(is_plain) {
            return Err(format!(
                "its name is not made of up to {MAX_NAME} letters, digits, `.`, `_` and `-`, the first a letter, digit or `_`"
            ));
        }
        if self.names.contains(&name.to_lowercase()) {
            return Err("a file of that name was handed over before".to_owned());
        }
        if self.names.len() >= MAX_FILES {
            return Err(format!("a probe may hand over {MAX_FILES} files"));
        }
        match self.bytes.checked_add(bytes.len() as u64) {
            Some(it) if it <= MAX_BYTES => Ok(()),
            _ => Err(format!(
                "it has {} bytes, and of the {MAX_BYTES} that a probe may hand over {} are left",
                bytes.len(),
                MAX_BYTES - self.bytes
            )),
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(whole_file::folder(path))?;
    let mut file = whole_file::beside(path)?;
    file.write_all(bytes)?;
    whole_file::publish(file, path, false)
}

#[cfg(test)]
mod tests {
    use modelwatch_sdk::report::{Finding, Severity};

    use super::*;

    fn named(files: &[&str]) -> Report {
        let finding = Finding::new("X-1", Severity::Error, "here", "it is so");
        let files = files.iter().map(ToString::to_string).collect();
        Report { findings: vec![finding.files(files)], ..Report::default() }
    }

    #[test]
    fn files_are_whole_and_where_it_was_said() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run").join("probe");
        let artifacts = Artifacts::into_folder(Some(folder.clone()));
        let path = artifacts.keep(&Artifact::new("a.onnx", vec![1, 2, 3])).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [1, 2, 3]);
        assert_eq!(artifacts.bytes_left(), MAX_BYTES - 3);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert_eq!(artifacts.gaps(&mut named(&[&path])), []);
        let unnamed = artifacts.gaps(&mut Report::default());
        assert!(unnamed.len() == 1 && unnamed[0].why.contains("no finding names it"), "{unnamed:?}");
    }

    #[test]
    fn names_that_are_paths_are_refused_and_said() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::into_folder(Some(dir.path().to_owned()));
        artifacts.keep(&Artifact::new("b.npz", vec![])).unwrap();
        let names =
            ["../a", "a/b", "a\\b", "/a", "", ".", "..", ".a", "-a", "a\0", "ä", "B.npz", "C:a", &"a".repeat(101)];
        for name in names {
            assert!(artifacts.keep(&Artifact::new(name, vec![])).is_err(), "{name}");
        }
        let path = dir.path().join("b.npz").display().to_string();
        assert_eq!(artifacts.gaps(&mut named(&[&path])).len(), names.len());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn beyond_the_limit_a_gap_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::into_folder(Some(dir.path().to_owned()));
        artifacts.with(|it| it.bytes = MAX_BYTES - 2);
        let error = artifacts.keep(&Artifact::new("a", vec![0; 3])).unwrap_err();
        assert!(error.message.contains("it has 3 bytes") && error.message.contains("2 are left"), "{}", error.message);
        artifacts.keep(&Artifact::new("a", vec![0; 2])).unwrap();
        assert_eq!(artifacts.bytes_left(), 0);
        assert_eq!(artifacts.gaps(&mut named(&[&dir.path().join("a").display().to_string()])).len(), 1);
        // Nobody asked for files, so that there is nothing to say about them.
        let unwanted = Artifacts::default();
        assert!(unwanted.keep(&Artifact::new("a", vec![])).is_err() && unwanted.bytes_left() == 0);
        assert_eq!(unwanted.gaps(&mut Report::default()), []);
    }

    #[test]
    fn a_finding_names_no_file_that_was_not_handed_over() {
        let mut report = named(&["/etc/passwd"]);
        let gaps = Artifacts::default().gaps(&mut report);
        assert!(gaps.len() == 1 && gaps[0].why.contains("not handed over"), "{gaps:?}");
        assert!(report.findings[0].evidence.is_empty());
    }
}
