//! How far a run has come, in a file, so that a run that is killed need not begin again.
//!
//! The file has the state of every probe over the first partitions of the data, which states merge in order whatever the threads
//! and batches, so that a run that goes on from there ends with the same bits. It is there whole or not at all, it has a digest of
//! itself, and a key: a digest of everything that the states depend on. What is damaged or has another key is of no use, and
//! says so; what is no such file is never replaced.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use modelwatch_sdk::state::{Reader, Writer, damaged};
use serde::{Deserialize, Serialize};

use crate::whole_file;

/// The first bytes of the file, with the version of what follows: head, states and their digest.
const MAGIC: &[u8; 8] = b"MWRESUM1";

/// The bytes of the digest at the end.
const DIGEST: usize = blake3::OUT_LEN;

/// The least time between the beginnings of two saves.
const INTERVAL: Duration = Duration::from_secs(10);

/// One part of the time at most, out of so many, goes into saving.
const SHARE: u32 = 20;

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// By role, in its word.
    pub(crate) reached: BTreeMap<String, Reached>,
    /// By id of the probe.
    pub(crate) states: BTreeMap<String, Vec<u8>>,
}

/// How far the data of a role has been shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reached {
    pub(crate) partitions: usize,
    pub(crate) rows: u64,
    pub(crate) non_finite_inputs: u64,
}

/// What there was of an earlier run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Progress(Progress),
    /// Nothing of use; why.
    Useless(String),
}

#[derive(Serialize, Deserialize)]
struct Head {
    key: String,
    reached: BTreeMap<String, Reached>,
    /// The ids of the probes, in the order of their states.
    probes: Vec<String>,
}

/// Reads what there is of a run with that key.
///
/// # Errors
/// When the file cannot be read, or is none of these, so that it must not be replaced.
pub(crate) fn find(path: &Path, key: &str) -> io::Result<Found> {
    let mut file = match fs::File::open(path) {
        Ok(it) => it,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::new();
    (&mut file).take(MAGIC.len() as u64).read_to_end(&mut bytes)?;
    if !MAGIC.starts_with(&bytes) {
        return Err(io::Error::other("it is no file of an unfinished run, and is left as it is; name another one"));
    }
    file.read_to_end(&mut bytes)?;
    Ok(match parse(&bytes) {
        Ok((found, progress)) if found == key => Found::Progress(progress),
        Ok(_) => {
            Found::Useless("it is of a run of another program, pipeline, plugin, checkpoint, model or data".to_owned())
        }
        Err(e) => Found::Useless(e.message),
    })
}

fn parse(bytes: &[u8]) -> modelwatch_sdk::Result<(String, Progress)> {
    let (content, digest) = bytes.split_last_chunk::<DIGEST>().ok_or_else(|| damaged("it is cut short"))?;
    if blake3::hash(content).as_bytes() != digest {
        return Err(damaged("its bytes are not what its digest says"));
    }
    let mut reader = Reader(content.get(MAGIC.len()..).unwrap_or_default());
    let head: Head = serde_json::from_slice(reader.bytes()?).map_err(damaged)?;
    let states: modelwatch_sdk::Result<_> =
        head.probes.into_iter().map(|id| Ok((id, reader.bytes()?.to_vec()))).collect();
    let progress = Progress { reached: head.reached, states: states? };
    reader.finish()?;
    Ok((head.key, progress))
}

/// The file that a run writes.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    key: String,
    /// The beginning of the last save, and how long it took.
    last: Option<(Instant, Duration)>,
}

impl File {
    /// Returns the file of a run with that key, which is not written yet.
    pub(crate) fn new(path: PathBuf, key: String) -> Self {
        Self { path, key, last: None }
    }

    /// Returns whether it is time to save again.
    pub(crate) fn is_due(&self) -> bool {
        self.last.is_none_or(|(at, took)| at.elapsed() >= INTERVAL.max(took * SHARE))
    }

    /// Makes the next save due at once.
    pub(crate) fn hasten(&mut self) {
        self.last = None;
    }

    /// Puts a new file in place of the old one.
    pub(crate) fn save(&mut self, progress: &Progress) -> io::Result<()> {
        let at = Instant::now();
        let res = self.write(progress);
        self.last = Some((at, at.elapsed()));
        res
    }

    fn write(&self, progress: &Progress) -> io::Result<()> {
        fs::create_dir_all(whole_file::folder(&self.path))?;
        let file = whole_file::beside(&self.path)?;
        file.as_file().write_all(&self.to_bytes(progress)?)?;
        whole_file::publish(file, &self.path, true)
    }

    /// Removes the file, since its run has come to its end.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn to_bytes(&self, progress: &Progress) -> io::Result<Vec<u8>> {
        let probes = progress.states.keys().cloned().collect();
        let head = Head { key: self.key.clone(), reached: progress.reached.clone(), probes };
        let mut writer = Writer(MAGIC.to_vec());
        writer.bytes(&serde_json::to_vec(&head)?);
        progress.states.values().for_each(|it| writer.bytes(it));
        let digest = blake3::hash(&writer.0);
        writer.0.extend_from_slice(digest.as_bytes());
        Ok(writer.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        let reached = Reached { partitions: 2, rows: 3400, non_finite_inputs: 1 };
        Progress {
            reached: [("current".to_owned(), reached)].into(),
            states: [("drift".to_owned(), vec![1, 2, 3]), ("metrics".to_owned(), Vec::new())].into(),
        }
    }

    #[test]
    fn what_is_saved_is_found_under_its_key_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/run.resume");
        assert_eq!(find(&path, "a").unwrap(), Found::Nothing);
        let mut file = File::new(path.clone(), "a".to_owned());
        assert!(file.is_due());
        file.save(&progress()).unwrap();
        assert!(!file.is_due());
        assert_eq!(find(&path, "a").unwrap(), Found::Progress(progress()));
        let Found::Useless(why) = find(&path, "b").unwrap() else { panic!("it was used") };
        assert!(why.contains("another program, pipeline"), "{why}");
        file.remove().unwrap();
        file.remove().unwrap();
        assert_eq!(find(&path, "a").unwrap(), Found::Nothing);
    }

    #[test]
    fn a_damaged_file_is_of_no_use_and_a_foreign_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.resume");
        File::new(path.clone(), "a".to_owned()).save(&progress()).unwrap();
        let whole = fs::read(&path).unwrap();
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert!(matches!(find(&path, "a").unwrap(), Found::Useless(_)), "cut at {end}");
        }
        for at in MAGIC.len()..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(&path, bytes).unwrap();
            assert!(matches!(find(&path, "a").unwrap(), Found::Useless(_)), "a bit at {at}");
        }
        fs::write(&path, "x,y\n1,2\n").unwrap();
        assert!(find(&path, "a").unwrap_err().to_string().contains("no file of an unfinished run"));
    }
}
