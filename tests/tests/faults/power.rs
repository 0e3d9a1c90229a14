//! Power cuts (PWR): a file system in a file is told to stop at once, without writing what it only remembers, and
//! is mounted anew.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use modelwatch_sdk::testing::FaultRow;

use crate::{
    calls::{CALLS, inject},
    harness::{Ground, Outcome, as_root_with, ended, minutes, must, run, signal, wait_until, why_not_traced},
    mounts::Mount,
};

/// A kind of file system: its name, the size of an image, and how one is made.
struct Kind {
    name: &'static str,
    size: &'static str,
    make: &'static [&'static str],
}

const EXT4: Kind = Kind { name: "ext4", size: "64M", make: &["mkfs.ext4", "-q", "-F"] };
/// XFS takes no less.
const XFS: Kind = Kind { name: "xfs", size: "300M", make: &["mkfs.xfs", "-q"] };

/// An image with a store of two checkpoints in it.
struct Machine {
    ground: Ground,
    image: PathBuf,
}

impl Machine {
    /// Makes one; `None`, said by name, where that cannot be.
    fn new(row: FaultRow, kind: &Kind) -> Option<(FaultRow, Self)> {
        let row = as_root_with(row, &["losetup", "mount", "umount", "xfs_io", kind.make[0]])?;
        let mut ground = Ground::new();
        let image = ground.dir.path().join("image");
        fs::File::create(&image).unwrap();
        must("truncate", [OsStr::new("-s"), OsStr::new(kind.size), image.as_os_str()]);
        must(kind.make[0], kind.make[1..].iter().map(OsStr::new).chain([image.as_os_str()]));
        let at = ground.dir.path().join("disk");
        fs::create_dir(&at).unwrap();
        let tried = run("mount", [OsStr::new("-o"), OsStr::new("loop"), image.as_os_str(), at.as_os_str()]);
        if !tried.0.success() {
            row.skipped(format_args!("{} in a file cannot be mounted: {}", kind.name, tried.1.trim()));
            return None;
        }
        must("umount", [&at]);
        ground.store = at.join("store");
        let res = Self { ground, image };
        {
            let _mount = res.power_on();
            res.ground.must(&["commit", "--step", "1", "--count", "2"]);
        }
        Some((row, res))
    }

    /// Returns a machine with a copy of this one's disk.
    fn copy(&self) -> Self {
        let mut ground = self.ground.copy();
        let image = ground.dir.path().join("image");
        must("cp", [OsStr::new("--sparse=always"), self.image.as_os_str(), image.as_os_str()]);
        let disk = ground.dir.path().join("disk");
        ground.store = disk.join("store");
        Self { ground, image }
    }

    fn disk(&self) -> &Path {
        self.ground.store.parent().unwrap()
    }

    fn power_on(&self) -> Mount {
        Mount::new(&["-o", "loop", self.image.to_str().unwrap()], self.disk())
    }

    /// Cuts the power, and switches it on again.
    fn cut(&self, mount: Mount) -> Mount {
        must("xfs_io", [OsStr::new("-x"), OsStr::new("-c"), OsStr::new("shutdown"), self.disk().as_os_str()]);
        drop(mount);
        self.power_on()
    }

    /// Lets something happen, cuts the power, and checks what is left. Returns what happened.
    fn cut_after<T>(&self, case: &str, happen: impl FnOnce(&Self) -> T) -> T {
        let machine = self.copy();
        let mount = machine.power_on();
        let res = happen(&machine);
        let _mount = machine.cut(mount);
        machine.ground.check(case);
        res
    }
}

/// Whether the cut loses what it should: without that, the rest shows nothing.
fn loses_what_was_not_synced(machine: &Machine) -> bool {
    let machine = machine.copy();
    let mount = machine.power_on();
    let file = machine.disk().join("not-synced");
    fs::write(&file, "soon gone").unwrap();
    let _mount = machine.cut(mount);
    fs::read(&file).unwrap_or_default().is_empty()
}

/// Saves for some seconds, in which the file system writes what it likes, and kills the process.
fn save_for(machine: &Machine, seconds: u64) {
    let until = Instant::now() + Duration::from_secs(seconds);
    let child = machine.ground.command(&[], &["loop", "--step", "100"]).spawn().unwrap();
    let mut n_others = 0;
    while Instant::now() < until {
        // Others write too, and sync nothing.
        fs::write(machine.disk().join(format!("other-{n_others}")), vec![1; 10_000]).unwrap();
        n_others = (n_others + 1) % 100;
        thread::sleep(Duration::from_millis(20));
    }
    signal("KILL", child.id());
    ended(child);
}

fn killed_at(machine: &Machine, calls: &str, at: usize) -> Outcome {
    let log = machine.ground.dir.path().join("calls");
    let strace = inject(log.to_str().unwrap(), calls, "signal=KILL", at);
    let before: Vec<&str> = strace.iter().map(String::as_str).collect();
    machine.ground.work(&before, &["commit", "--step", "10"])
}

/// Every `stride`th call of each kind is the last one before the cut.
fn power_cuts(kind: &Kind, stride: usize) {
    let fault = format!("power cut after, seconds after, and within a save on {}", kind.name);
    let Some((row, machine)) = Machine::new(FaultRow::new(2, fault, "PWR"), kind) else { return };
    if !loses_what_was_not_synced(&machine) {
        return row.skipped(format_args!("a cut of {} loses nothing here", kind.name));
    }
    let mut n_points = 0;
    for (at, n_commits) in ["1", "2", "4"].iter().enumerate() {
        machine.cut_after(&format!("{}: right after the acknowledgment", kind.name), |it| {
            it.ground.must(&["commit", "--step", "10", "--count", n_commits]);
            assert!(it.ground.n_said("acked") > 2 + at);
        });
        n_points += 1;
    }
    // By themselves these file systems write within five seconds what they list, and what is in files within thirty.
    let (idle, busy): (&[u64], &[u64]) =
        if minutes().is_some() { (&[1, 3, 6, 12, 35], &[1, 4, 7, 15]) } else { (&[1, 6], &[4]) };
    for seconds in idle {
        machine.cut_after(&format!("{}: {seconds} s after the acknowledgment", kind.name), |it| {
            it.ground.must(&["commit", "--step", "10"]);
            thread::sleep(Duration::from_secs(*seconds));
        });
        n_points += 1;
    }
    for seconds in busy {
        machine.cut_after(&format!("{}: {seconds} s of writes after", kind.name), |it| save_for(it, *seconds));
        n_points += 1;
    }
    let row = match why_not_traced() {
        Some(why) => row.noting(format_args!("not within a save, since {why}")),
        None => row,
    };
    if why_not_traced().is_none() {
        for calls in CALLS {
            for at in (1..).step_by(stride) {
                let case = format!("{}: killed at call {at} of {calls}, then cut", kind.name);
                n_points += 1;
                if !machine.cut_after(&case, |it| killed_at(it, calls, at)).was_killed() {
                    break;
                }
            }
        }
    }
    row.ok(n_points);
}

#[test]
fn row_02_power_cut_on_ext4() {
    power_cuts(&EXT4, if minutes().is_some() { 1 } else { 3 });
}

#[test]
fn row_02_power_cut_on_xfs() {
    power_cuts(&XFS, if minutes().is_some() { 1 } else { 5 });
}

/// What a save of the safetensors library leaves of the same cuts: it is told, and nothing is asked of it.
#[test]
fn row_02_power_cut_after_a_save_of_a_peer() {
    let row = FaultRow::new(2, "peer: safetensors, power cut right and seconds after its save on ext4", "PWR");
    if minutes().is_none() {
        return row.skipped("only `cargo xtask crash` tries it");
    }
    if !python("import safetensors.numpy", &[]) {
        return row.skipped("no Python with safetensors; MODELWATCH_PYTHON names one");
    }
    let Some((row, machine)) = Machine::new(row, &EXT4) else { return };
    let seconds = [0, 0, 0, 1, 3, 6, 35];
    let (right_after, later) = seconds.split_at(3);
    let n_lost = |all: &[u64]| all.iter().filter(|it| !keeps_peer(&machine, **it)).count();
    let (at_once, later) = ((n_lost(right_after), right_after.len()), (n_lost(later), later.len()));
    row.noting(format_args!("lost {} of {} right after, {} of {} later", at_once.0, at_once.1, later.0, later.1))
        .ok(seconds.len());
}

/// Returns whether what the library saved can be loaded and is the same after a cut that many seconds later.
fn keeps_peer(machine: &Machine, seconds: u64) -> bool {
    let machine = machine.copy();
    let mount = machine.power_on();
    let file = machine.disk().join("peer.safetensors");
    let weights = "from safetensors.numpy import load_file, save_file; import numpy, sys; \
                   w = {'w': numpy.arange(100000, dtype='float32')}";
    assert!(python(&format!("{weights}; save_file(w, sys.argv[1])"), &[&file]), "the peer cannot save");
    thread::sleep(Duration::from_secs(seconds));
    let _mount = machine.cut(mount);
    python(&format!("{weights}; assert (load_file(sys.argv[1])['w'] == w['w']).all()"), &[&file])
}

/// Runs a line of Python; returns whether that went well.
fn python(line: &str, arguments: &[&Path]) -> bool {
    let program = env::var("MODELWATCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let run = Command::new(program).args(["-c", line]).args(arguments).stderr(Stdio::null()).status();
    run.is_ok_and(|it| it.success())
}

/// The disk is cut off while a process saves; it must not go on acknowledging.
#[test]
fn row_06_disk_that_is_gone_is_not_written_to() {
    let row = FaultRow::new(6, "disk gone while saving", "PWR");
    let Some((row, machine)) = Machine::new(row, &EXT4) else { return };
    let mount = machine.power_on();
    let child = machine.ground.command(&[], &["loop", "--step", "100"]).spawn().unwrap();
    wait_until("it saves", || machine.ground.n_said("acked") > 4);
    let mount = machine.cut_while_in_use(mount);
    let outcome = ended(child);
    assert!(!outcome.is_success_or_error("the disk is gone"));
    drop(mount);
    let _mount = machine.power_on();
    machine.ground.check("the disk was gone");
    row.ok(1);
}

impl Machine {
    /// Cuts the power under a running process, which learns of it.
    fn cut_while_in_use(&self, mount: Mount) -> Mount {
        must("xfs_io", [OsStr::new("-x"), OsStr::new("-c"), OsStr::new("shutdown"), self.disk().as_os_str()]);
        mount
    }
}
