//! How far a run has come, in a file, so that a run that is killed need not begin again.
//!
//! The file has the state of every probe over the first partitions of the data, which states merge in order whatever the threads
//! and batches, so that a run that goes on from there ends with the same bits. It is there whole or not at all, it has a digest of
//! itself, and a key: a digest of what the states depend on (see `run::resumption`). What is damaged or has another key is of no use, and
//! says so; what is no such file is never replaced. The digest has no secret: whoever may write the file decides what the run has seen,
//! so that it is its owner's alone.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use modelwatch_sdk::state::{Reader, Writer, damaged};
use serde::{Deserialize, Serialize};

use crate::{
    plugin::{Refusal, check_folder_permissions, check_permissions},
    whole_file,
};

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
pub(crate) struct Progress<S = Vec<u8>> {
    /// By role, in its word.
    pub(crate) reached: BTreeMap<String, Reached>,
    /// How long the probes have been at work.
    pub(crate) used: Duration,
    /// By id of the probe.
    pub(crate) states: BTreeMap<String, S>,
}

/// How far the data of a role has been shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reached {
    pub(crate) partitions: usize,
    pub(crate) rows: u64,
    pub(crate) non_finite_inputs: u64,
    pub(crate) weightless: u64,
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
    used: Duration,
    /// The ids of the probes, in the order of their states.
    probes: Vec<String>,
}

/// Returns where the file is or is to be: where links lead to, if it is there.
///
/// # Errors
/// When something else is there, which must not be replaced, or when everyone may write there: the file is trusted as the verdict is.
pub(crate) fn place(path: &Path) -> io::Result<PathBuf> {
    let refused = |it: Refusal| io::Error::other(format!("{}, or name a file elsewhere", it.message));
    if matches!(path.symlink_metadata(), Err(e) if e.kind() == io::ErrorKind::NotFound) {
        if whole_file::folder(path).exists() {
            check_folder_permissions(path).map_err(refused)?;
        }
        return Ok(path.to_owned());
    }
    let path = path.canonicalize()?;
    let mut magic = Vec::new();
    // What is no file may never end, or keep whoever opens it waiting.
    if path.is_file() {
        fs::File::open(&path)?.take(MAGIC.len() as u64).read_to_end(&mut magic)?;
    }
    if magic != MAGIC {
        return Err(io::Error::other("it is no file of an unfinished run, and is left as it is; name another one"));
    }
    check_permissions(&path).map_err(refused)?;
    Ok(path)
}

/// Reads what there is of a run with that key, in a [`place`].
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn find(path: &Path, key: &str) -> io::Result<Found> {
    let bytes = match fs::read(path) {
        Ok(it) => it,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(e) => return Err(e),
    };
    Ok(match parse(&bytes) {
        Ok((found, progress)) if found == key => Found::Progress(progress),
        Ok(_) => Found::Useless(
            "it is of a run of another program, processor, pipeline, plugin, checkpoint, model or data".to_owned(),
        ),
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
    let progress = Progress { reached: head.reached, used: head.used, states: states? };
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
    /// Returns the file of a run with that key, in a [`place`], which is not written yet.
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

    /// Puts a new file in place of the old one. What there is to save was gathered since then.
    pub(crate) fn save<S: AsRef<[u8]>>(&mut self, since: Instant, progress: &Progress<S>) -> io::Result<()> {
        self.write(progress)?;
        self.last = Some((since, since.elapsed()));
        Ok(())
    }

    fn write<S: AsRef<[u8]>>(&self, progress: &Progress<S>) -> io::Result<()> {
        let folder = whole_file::folder(&self.path);
        fs::create_dir_all(folder)?;
        place(&self.path)?;
        // Of one name, so that a run that is killed while it writes leaves one such file at most.
        let staged = format!(".{}.writing", self.path.file_name().unwrap_or_default().to_string_lossy());
        remove(&folder.join(&staged))?;
        // It stays its owner's alone: there may be rows of the data in it.
        let file = tempfile::Builder::new().prefix(&staged).rand_bytes(0).tempfile_in(folder)?;
        self.write_to(file.as_file(), progress)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|e| e.error)?;
        whole_file::settle(&self.path);
        Ok(())
    }

    fn write_to<S: AsRef<[u8]>>(&self, mut file: &fs::File, progress: &Progress<S>) -> io::Result<()> {
        let Progress { reached, used, states } = progress;
        let probes = states.keys().cloned().collect();
        let head = Head { key: self.key.clone(), reached: reached.clone(), used: *used, probes };
        let mut hasher = blake3::Hasher::new();
        let mut write = |bytes: &[u8]| {
            hasher.update(bytes);
            file.write_all(bytes)
        };
        let mut writer = Writer(MAGIC.to_vec());
        writer.bytes(&serde_json::to_vec(&head)?);
        write(&writer.0)?;
        for state in states.values().map(AsRef::as_ref) {
            write(&(state.len() as u64).to_le_bytes())?;
            write(state)?;
        }
        file.write_all(hasher.finalize().as_bytes())
    }

    /// Removes the file, since its run has come to its end.
    pub(crate) fn remove(&self) -> io::Result<()> {
        place(&self.path)?;
        remove(&self.path)
    }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        let reached = Reached { partitions: 2, rows: 3400, non_finite_inputs: 1, weightless: 5 };
        Progress {
            reached: [("current".to_owned(), reached)].into(),
            used: Duration::from_millis(1500),
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
        file.save(Instant::now(), &progress()).unwrap();
        assert!(!file.is_due());
        assert_eq!(find(&path, "a").unwrap(), Found::Progress(progress()));
        let Found::Useless(why) = find(&path, "b").unwrap() else { panic!("it was used") };
        assert!(why.contains("another program, processor, pipeline"), "{why}");
        file.remove().unwrap();
        file.remove().unwrap();
        assert_eq!(find(&path, "a").unwrap(), Found::Nothing);
    }

    #[test]
    fn a_damaged_file_is_of_no_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.resume");
        File::new(path.clone(), "a".to_owned()).save(Instant::now(), &progress()).unwrap();
        let whole = fs::read(&path).unwrap();
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert!(matches!(find(&path, "a").unwrap(), Found::Useless(_)), "cut at {end}");
            assert_eq!(place(&path).is_ok(), end >= MAGIC.len(), "cut at {end}");
        }
        for at in MAGIC.len()..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(&path, bytes).unwrap();
            assert!(matches!(find(&path, "a").unwrap(), Found::Useless(_)), "a bit at {at}");
        }
    }

    #[test]
    fn what_is_no_such_file_is_neither_replaced_nor_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.resume");
        let refused = |it: io::Result<()>| it.unwrap_err().to_string().contains("no file of an unfinished run");
        let mut file = File::new(path.clone(), "a".to_owned());
        for text in ["x,y\n1,2\n", ""] {
            fs::write(&path, text).unwrap();
            assert!(refused(place(&path).map(drop)));
            assert!(refused(file.save(Instant::now(), &progress())) && refused(file.remove()));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(refused(place(dir.path()).map(drop)));
        // What a run that was killed has left is no obstacle.
        fs::remove_file(&path).unwrap();
        fs::write(dir.path().join(".run.resume.writing"), "half").unwrap();
        file.save(Instant::now(), &progress()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_and_a_link_stays_one() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let (there, link) = (dir.path().join("volume/run.resume"), dir.path().join("run.resume"));
        let save = |path: &Path| File::new(place(path)?, "a".to_owned()).save(Instant::now(), &progress());
        save(&there).unwrap();
        assert_eq!(there.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        symlink(&there, &link).unwrap();
        save(&link).unwrap();
        assert!(link.is_symlink() && !there.is_symlink());
        // Whoever may write the file says what the run has seen.
        fs::set_permissions(&there, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(save(&link).unwrap_err().to_string().contains("it is writable by everyone"));
        fs::set_permissions(&there, fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(dir.path().join("volume"), fs::Permissions::from_mode(0o777)).unwrap();
        for name in ["run.resume", "other.resume"] {
            let said = save(&dir.path().join("volume").join(name)).unwrap_err().to_string();
            assert!(said.contains("its folder is writable by everyone"), "{said}");
        }
        symlink(dir.path().join("nowhere"), dir.path().join("dangling")).unwrap();
        assert!(place(&dir.path().join("dangling")).is_err());
        let fifo = dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        assert!(place(&fifo).unwrap_err().to_string().contains("no file of an unfinished run"));
    }
}
