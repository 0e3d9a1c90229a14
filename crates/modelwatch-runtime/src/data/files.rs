//! The files that a path or a pattern names.
//!
//! Patterns are those of `glob`, a part between separators at a time. Folders are walked here, because that crate passes over what it cannot
//! read, and rows that are left out would not be missed.

use std::{
    fs, io,
    path::{self, Path, PathBuf},
};

use glob::Pattern;

use super::DataError;

/// What is between two separators of a pattern.
enum Part<'a> {
    Name(&'a str),
    Pattern(Pattern),
    /// Any number of folders.
    Folders,
}

/// Returns the files, sorted; in `root`, where a relative pattern starts, each character is itself.
///
/// A path that exists is itself, too, whatever characters are in its name.
pub(super) fn expand(root: &Path, pattern: &str) -> Result<Vec<PathBuf>, DataError> {
    let path = root.join(pattern);
    let shown = || path.display().to_string();
    if fs::metadata(&path).is_ok_and(|it| it.is_file()) {
        return Ok(vec![path]);
    }
    if !has_wildcard(pattern) {
        return Err(match fs::metadata(&path) {
            Err(e) => DataError::Io { file: path, source: e },
            Ok(it) if it.is_dir() => DataError::Folder { pattern: shown() },
            Ok(_) => DataError::NotAFile { file: path },
        });
    }
    let begin: PathBuf = Path::new(pattern).components().take_while(is_root).collect();
    let rest = &pattern[begin.as_os_str().len()..];
    let parts = parts(rest).map_err(|reason| DataError::Pattern { pattern: shown(), reason })?;
    let mut walk = Walk { pattern: shown(), files: Vec::new() };
    walk.at(root.join(begin), &parts)?;
    let mut res = walk.files;
    if res.is_empty() {
        return Err(DataError::NothingMatches { pattern: walk.pattern });
    }
    res.sort();
    res.dedup();
    Ok(res)
}

/// Returns what is wrong with a pattern, whatever files there are.
pub(super) fn broken(root: &Path, pattern: &str) -> Option<DataError> {
    let path = root.join(pattern);
    let reason = parts(pattern).err().filter(|_| has_wildcard(pattern) && !path.exists())?;
    Some(DataError::Pattern { pattern: path.display().to_string(), reason })
}

fn has_wildcard(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

fn is_root(it: &path::Component<'_>) -> bool {
    matches!(it, path::Component::Prefix(_) | path::Component::RootDir)
}

fn parts(pattern: &str) -> Result<Vec<Part<'_>>, String> {
    // A bracket may not reach over a separator.
    Pattern::new(pattern).map_err(|e| e.msg.to_owned())?;
    let part = |it| match it {
        "**" => Ok(Part::Folders),
        it if has_wildcard(it) => Pattern::new(it).map(Part::Pattern).map_err(|e| e.msg.to_owned()),
        it => Ok(Part::Name(it)),
    };
    pattern.split(path::is_separator).filter(|it| !it.is_empty()).map(part).collect()
}

struct Walk {
    /// As it is shown.
    pattern: String,
    files: Vec<PathBuf>,
}

impl Walk {
    /// Adds the files below a path that match the rest of the pattern.
    fn at(&mut self, path: PathBuf, rest: &[Part<'_>]) -> Result<(), DataError> {
        let Some((first, rest_after)) = rest.split_first() else { return self.take(path) };
        match first {
            Part::Name(name) => {
                let next = path.join(name);
                // A link that leads nowhere is there.
                match fs::symlink_metadata(&next) {
                    Ok(_) => self.at(next, rest_after),
                    Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                        self.is_folder(&path).map(drop)
                    }
                    Err(e) => Err(self.unreadable(next, e)),
                }
            }
            Part::Pattern(pattern) => {
                if self.is_folder(&path)? {
                    for (name, next) in self.entries(&path)? {
                        if pattern.matches(&name) {
                            self.at(next, rest_after)?;
                        }
                    }
                }
                Ok(())
            }
            Part::Folders => {
                self.at(path.clone(), rest_after)?;
                if self.is_folder(&path)? {
                    for (_, next) in self.entries(&path)? {
                        if self.is_folder(&next)? {
                            self.at(next, rest)?;
                        }
                    }
                }
                Ok(())
            }
        }
    }

    fn take(&mut self, path: PathBuf) -> Result<(), DataError> {
        // No report could say it.
        if path.to_str().is_none() {
            return Err(DataError::NameOfMatch { file: path, pattern: self.pattern.clone() });
        }
        let found = fs::metadata(&path).map_err(|e| self.unreadable(path.clone(), e))?;
        if found.is_file() {
            self.files.push(path);
        } else if !found.is_dir() {
            return Err(DataError::NotAFile { file: path });
        }
        Ok(())
    }

    /// Returns what is in a folder, with names as they are shown.
    fn entries(&self, folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
        // The folder without a name is the current one.
        let there = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let name = |it: io::Result<fs::DirEntry>| {
            let name = it?.file_name();
            Ok((name.to_string_lossy().into_owned(), folder.join(name)))
        };
        let all = fs::read_dir(there).and_then(|it| it.map(name).collect::<io::Result<Vec<_>>>());
        all.map_err(|e| self.unreadable(folder.to_owned(), e))
    }

    /// Returns whether a path leads to a folder; one that is there and leads nowhere may have been one.
    fn is_folder(&self, path: &Path) -> Result<bool, DataError> {
        if path.as_os_str().is_empty() {
            return Ok(true);
        }
        match fs::metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => Ok(false),
            found => found.map(|it| it.is_dir()).map_err(|e| self.unreadable(path.to_owned(), e)),
        }
    }

    fn unreadable(&self, file: PathBuf, source: io::Error) -> DataError {
        DataError::Match { file, pattern: self.pattern.clone(), source }
    }
}
