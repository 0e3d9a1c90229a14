//! Too little of something: space, inodes, open files, memory, permission.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::Path,
};

use modelwatch_sdk::testing::FaultRow;

use crate::{
    harness::{Ground, as_root_with, must, with},
    mounts::Mount,
};

/// Saves until a file system in memory is full, checks that it says so, and that the next save works after there is
/// more room. Returns whether anything failed.
fn fill(options: &str, more: &str) -> bool {
    let ground = Ground::new();
    let mount = Mount::tmpfs(options, &ground.store);
    let outcome = ground.work(&[], &["commit", "--step", "1", "--count", "6"]);
    let is_whole = outcome.is_success_or_error(options);
    if !is_whole {
        assert!(outcome.error.contains("free space"), "{options}: {}", outcome.error);
        // Of what was staged nothing stays.
        assert_eq!(
            must("find", [ground.store.join("tmp"), Path::new("-type").into(), Path::new("f").into()])
                .lines()
                .filter(|it| !it.contains("No such file"))
                .count(),
            0,
            "{options}"
        );
        if ground.store.join("store.json").is_file() {
            ground.check_read_only(options);
        }
    }
    mount.remount(more);
    ground.check(options);
    !is_whole
}

#[test]
fn row_04_disk_full_at_every_page() {
    let row = FaultRow::new(4, "disk full at every size up to that of six saves", "tmpfs");
    let Some(row) = as_root_with(row, &["mount", "umount"]) else { return };
    let mut n_sizes = 0;
    // In pages of 4 KiB; six checkpoints with their folders take about 60.
    for pages in 1.. {
        n_sizes += 1;
        if !fill(&format!("size={}k", pages * 4), "size=100m") {
            break;
        }
    }
    assert!(n_sizes > 10, "only {n_sizes} sizes");
    row.ok(n_sizes);
}

/// Saves until nothing at all can be written any more.
fn fill_up(ground: &Ground) {
    let outcome = ground.work(&[], &["commit", "--step", "1", "--count", "1000", "--size", "1000000"]);
    assert!(outcome.error.contains("free space"), "{}", outcome.error);
    let rest = File::create(ground.store.join("tmp/rest")).unwrap();
    let e = (0..).find_map(|_| (&rest).write_all(&[1; 4096]).err()).unwrap();
    assert_eq!(e.kind(), io::ErrorKind::StorageFull);
    assert!(!ground.work(&[], &["commit", "--step", "2000"]).is_success_or_error("full"));
}

#[test]
fn row_04_full_disk_is_freed() {
    let row = FaultRow::new(4, "a disk without a free byte: pruned, and saved to again", "tmpfs");
    let Some(row) = as_root_with(row, &["mount", "umount"]) else { return };
    for is_kept in [true, false] {
        let ground = Ground::new();
        let mount = Mount::tmpfs("size=32m", &ground.store);
        fill_up(&ground);
        let reserve = ground.store.join("reserve");
        if !is_kept {
            // What was kept free is taken by something else.
            let taken = fs::metadata(&reserve).unwrap().len();
            fs::remove_file(&reserve).unwrap();
            fs::write(ground.store.join("tmp/more"), vec![1; taken as usize]).unwrap();
        }
        let pruned = ground.work(&[], &["prune", "--keep", "3"]);
        assert_eq!(pruned.is_success_or_error("prune"), is_kept, "{}", pruned.error);
        assert!(!reserve.exists());
        if is_kept {
            ground.must(&["commit", "--step", "3000", "--count", "5", "--size", "1000000"]);
            assert!(reserve.exists(), "it is made anew where there is room");
        } else {
            ground.check_read_only("nothing was kept free");
        }
        mount.remount("size=64m");
        ground.check("pruned");
    }
    row.ok(2);
}

#[test]
fn row_05_no_inodes_left() {
    let row = FaultRow::new(5, "out of inodes at every number up to that of six saves", "tmpfs");
    let Some(row) = as_root_with(row, &["mount", "umount"]) else { return };
    let mut n_limits = 0;
    for n_inodes in 2.. {
        n_limits += 1;
        if !fill(&format!("size=10m,nr_inodes={n_inodes}"), "nr_inodes=10000") {
            break;
        }
    }
    assert!(n_limits > 10, "only {n_limits} limits");
    row.ok(n_limits);
}

#[test]
fn row_05_no_open_files_left() {
    let row = FaultRow::new(5, "out of open files", "RLIMIT_NOFILE");
    let Some(row) = with(row, &["prlimit"]) else { return };
    let ground = Ground::new();
    ground.must(&["commit", "--step", "1"]);
    let mut n_errors = 0;
    for n_files in 3..24 {
        let limit = format!("--nofile={n_files}");
        let step = n_files.to_string();
        let outcome = ground.work(&["prlimit", &limit], &["commit", "--step", &step]);
        // Too few for the program to be loaded at all.
        let is_started = outcome.error.starts_with("error: ") || outcome.status.success();
        if is_started && !outcome.is_success_or_error(&limit) {
            n_errors += 1;
        }
        ground.check(&limit);
    }
    assert!(n_errors > 0, "no limit was too low");
    row.ok(21);
}

#[test]
fn row_04_files_that_may_not_grow() {
    let row = FaultRow::new(4, "files that may not grow", "RLIMIT_FSIZE");
    let Some(row) = with(row, &["prlimit"]) else { return };
    let ground = Ground::new();
    ground.must(&["commit", "--step", "1"]);
    let mut n_errors = 0;
    for (at, n_bytes) in (1000..40_000).step_by(1500).enumerate() {
        let (limit, step) = (format!("--fsize={n_bytes}"), (10 + at).to_string());
        // As an error rather than as a signal.
        let before = ["sh", "-c", r#"trap "" XFSZ; exec "$@""#, "sh", "prlimit", &limit];
        let outcome = ground.work(&before, &["commit", "--step", &step]);
        n_errors += usize::from(!outcome.is_success_or_error(&limit));
        ground.check(&limit);
    }
    assert!(n_errors > 5, "only {n_errors} limits were too low");
    row.ok(26);
}

#[test]
fn row_24_too_little_memory() {
    let row = FaultRow::new(24, "too little memory to save or load", "RLIMIT_AS");
    let Some(row) = with(row, &["prlimit"]) else { return };
    const SIZE: &str = "8000000";
    let ground = Ground::new();
    ground.must(&["commit", "--step", "1"]);
    let mut n_ends = [0; 2];
    for mib in (8..136).step_by(16) {
        let (limit, step) = (format!("--as={}", mib << 20), (10 + mib).to_string());
        for arguments in [&["commit", "--step", &step, "--size", SIZE][..], &["read"]] {
            let outcome = ground.work(&["prlimit", &limit], arguments);
            // Where there is no memory for a vector, a process aborts; where there is none to start, it does not.
            let is_fine = outcome.status.success();
            let is_aborted = outcome.status.signal().is_some() || outcome.status.code() == Some(127);
            if !is_fine && !is_aborted {
                assert!(matches!(outcome.status.code(), Some(1 | 101)), "{limit}: {outcome:?}");
            }
            assert!(!outcome.error.contains("WRONG VALUE"), "{limit}: {}", outcome.error);
            n_ends[usize::from(is_fine)] += 1;
        }
        ground.check(&limit);
    }
    assert!(n_ends.iter().all(|it| *it > 0), "{n_ends:?}: the limits are all too low or all too high");
    row.ok(16);
}

#[test]
fn row_24_less_memory_than_a_tensor_takes() {
    let row = FaultRow::new(24, "less memory than a tensor takes, to verify, export or compare", "RLIMIT_AS");
    let Some(row) = with(row, &["prlimit"]) else { return };
    let ground = Ground::new();
    // A file of 240 MB, and two tensors of 120 MB each.
    ground.must(&["commit", "--step", "1", "--size", "480000000"]);
    ground.must(&["commit", "--step", "2", "--size", "480000000"]);
    let limited = |arguments: &[&str]| {
        let outcome = ground.work(&["prlimit", &format!("--as={}", 100 << 20)], arguments);
        assert!(outcome.status.success(), "{arguments:?}: {outcome:?}");
    };
    limited(&["verify"]);
    for format in [&[][..], &["--npz"]] {
        let to = ground.dir.path().join("exported");
        limited(&[&["export", "--to", to.to_str().unwrap()], format].concat());
        assert!(fs::metadata(&to).unwrap().len() > 240_000_000);
        fs::remove_file(to).unwrap();
    }
    // One tensor is the same in both, the other is not.
    limited(&["diff", "--changed", "1"]);
    row.ok(4);
}

#[test]
fn row_23_read_only_file_system() {
    let row = FaultRow::new(23, "read-only file system", "bind mount");
    let Some(row) = as_root_with(row, &["mount", "umount"]) else { return };
    let ground = Ground::new();
    ground.must(&["commit", "--step", "1", "--count", "2"]);
    {
        let mount = Mount::new(&["--bind", ground.store.to_str().unwrap()], &ground.store);
        mount.remount("bind,ro");
        let outcome = ground.work(&[], &["commit", "--step", "3"]);
        assert!(!outcome.is_success_or_error("read-only"));
        assert!(outcome.error.contains("the file system is read-only"), "{}", outcome.error);
        ground.check_read_only("read-only");
    }
    ground.check("no longer read-only");
    row.ok(1);
}

#[test]
fn row_23_no_permission() {
    let row = FaultRow::new(23, "no permission to write", "nobody");
    let Some(row) = as_root_with(row, &["setpriv"]) else { return };
    let ground = Ground::new();
    ground.must(&["commit", "--step", "1", "--count", "2"]);
    // Nobody may look into the folder of what is built.
    let worker = ground.dir.path().join("worker");
    fs::copy(env!("CARGO_BIN_EXE_store-worker"), &worker).unwrap();
    fs::set_permissions(&worker, fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |arguments: &[&str]| {
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let store = ["--store", ground.store.to_str().unwrap()];
        let worker = [worker.to_str().unwrap()];
        let all = nobody.iter().chain(&worker).chain(&store).chain(arguments);
        crate::harness::run("setpriv", all)
    };
    let (status, said) = as_nobody(&["commit", "--step", "3"]);
    assert!(status.code() == Some(1) && said.contains("give this user access to the store's folder"), "{said}");
    let (status, said) = as_nobody(&["read"]);
    assert!(status.success() && said.contains("read digits 2"), "{said}");
    ground.check("nobody tried");
    row.ok(1);
}
