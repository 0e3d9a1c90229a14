//! Power cuts that a disk's own cache makes worse (BLK): of the blocks written since the last flush, any may be there
//! and any may be missing, and the last one may be written in part.

use std::{ffi::OsStr, fs, path::PathBuf};

use modelwatch_sdk::testing::FaultRow;

use crate::{
    harness::{Draws, Ground, as_root_with, minutes, must, run},
    mounts::Mount,
    recorder::{Asked, Record, Recorder},
};

/// What a disk writes whole; ext4 does not survive a superblock that is torn, and no file system all that a disk can do.
const SECTOR: usize = 4096;
/// Beside the whole prefix, how often a cut is played with only some of the blocks.
const N_SUBSETS: usize = 2;

/// What a disk was, what it was asked to do, and what the worker said meanwhile.
struct Recording {
    before: Vec<u8>,
    records: Vec<Record>,
    said: String,
}

/// Records commits and a collection on ext4; `None`, said by name, where that cannot be.
fn recording(row: FaultRow, options: &str) -> Option<(FaultRow, Recording)> {
    let row = as_root_with(row, &["mount", "umount", "mkfs.ext4", "losetup"])?;
    let mut ground = Ground::in_memory();
    let image = ground.dir.path().join("image");
    fs::File::create(&image).unwrap();
    must("truncate", [OsStr::new("-s"), OsStr::new("16M"), image.as_os_str()]);
    // All of it is written now, not by the kernel later.
    let lazy = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
    must("mkfs.ext4", ["-q", "-F", "-E", lazy, "-J", "size=4", image.to_str().unwrap()]);
    let disk = ground.dir.path().join("mounted");
    ground.store = disk.join("store");
    {
        let tried = run("mount", ["-o", "loop", image.to_str().unwrap(), made(&disk).to_str().unwrap()]);
        if !tried.0.success() {
            row.skipped(format_args!("a file cannot be mounted: {}", tried.1.trim()));
            return None;
        }
        ground.must(&["commit", "--step", "1", "--count", "2"]);
        must("umount", [&disk]);
    }
    let before = fs::read(&image).unwrap();
    let recorder = match Recorder::new(before.clone(), ground.said_in(), ground.dir.path().join("recorder")) {
        Ok(it) => it,
        Err(why) => {
            row.skipped(why);
            return None;
        }
    };
    {
        let _mount = Mount::new(&["-o", &format!("loop,{options}"), recorder.file().to_str().unwrap()], &disk);
        ground.must(&["commit", "--step", "10", "--count", "3"]);
        ground.must(&["gc"]);
        ground.must(&["commit", "--step", "20"]);
    }
    Some((row, Recording { before, records: recorder.records(), said: ground.said_so_far() }))
}

fn made(folder: &PathBuf) -> &PathBuf {
    fs::create_dir_all(folder).unwrap();
    folder
}

impl Recording {
    /// Checks the store as a cut leaves it, given what the disk holds and what was said before the cut.
    fn check(&self, case: &str, content: &[u8], n_said: u64) {
        self.resumed(content, n_said, |it| it.check(case));
    }

    fn resumed<T>(&self, content: &[u8], n_said: u64, look: impl FnOnce(&Ground) -> T) -> T {
        let mut ground = Ground::resumed(&self.said[..n_said as usize]);
        let image = ground.dir.path().join("image");
        fs::write(&image, content).unwrap();
        let disk = ground.dir.path().join("mounted");
        ground.store = disk.join("store");
        let _mount = Mount::new(&["-o", "loop", image.to_str().unwrap()], &disk);
        look(&ground)
    }

    /// Returns the records that a flush before `end` did not make durable.
    fn since_flush(&self, end: usize) -> &[Record] {
        let start =
            self.records[..end].iter().rposition(|it| matches!(it.request, Asked::Flush)).map_or(0, |it| it + 1);
        &self.records[start..end]
    }
}

/// Writes what is drawn of a request: `None` is all of it.
fn write(content: &mut [u8], request: &Asked, n_bytes: Option<usize>) {
    if let Asked::Write { at, bytes } = request {
        let n = n_bytes.unwrap_or(bytes.len()).min(bytes.len());
        content[*at..*at + n].copy_from_slice(&bytes[..n]);
    }
}

/// Plays a cut after every `stride`th write.
fn reordered(options: &str, stride: usize) {
    let fault = format!("power cut with reordered and torn blocks on ext4 ({options})");
    let Some((row, recording)) = recording(FaultRow::new(3, fault, "BLK"), options) else { return };
    let n_flushes = recording.records.iter().filter(|it| matches!(it.request, Asked::Flush)).count();
    assert!(n_flushes > 4, "a disk whose flushes are not seen shows nothing: {n_flushes}");
    let all = recording.said.len() as u64;
    let lost = recording.resumed(&recording.before, all, Ground::is_sound);
    assert!(!lost, "a cut that loses what was acknowledged must be noticed");

    let mut draws = Draws(3);
    let mut durable = recording.before.clone();
    let mut n_states = 0;
    for (idx, record) in recording.records.iter().enumerate() {
        if matches!(record.request, Asked::Flush) {
            recording.since_flush(idx).iter().for_each(|it| write(&mut durable, &it.request, None));
        } else if idx % stride == 0 {
            let pending = recording.since_flush(idx + 1);
            for subset in 0..=N_SUBSETS {
                let mut content = durable.clone();
                for (at, it) in pending.iter().enumerate() {
                    let is_last = at + 1 == pending.len();
                    match &it.request {
                        // The power fails within a write.
                        Asked::Write { bytes, .. } if subset > 0 && is_last => {
                            let n_sectors = draws.below((bytes.len() / SECTOR) as u64 + 1) as usize;
                            write(&mut content, &it.request, Some(n_sectors * SECTOR));
                        }
                        request if subset == 0 || draws.below(2) == 0 => write(&mut content, request, None),
                        _ => {}
                    }
                }
                let case = format!("{options}: cut after request {idx}, subset {subset}");
                recording.check(&case, &content, record.n_said);
                n_states += 1;
            }
        }
    }
    row.ok(n_states);
}

#[test]
fn row_03_reordered_blocks() {
    reordered("data=ordered", if minutes().is_some() { 1 } else { 6 });
}

#[test]
fn row_03_reordered_blocks_where_data_is_not_ordered() {
    reordered("data=writeback", if minutes().is_some() { 1 } else { 12 });
}
