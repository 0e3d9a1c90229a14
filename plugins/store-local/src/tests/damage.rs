//! Damage is found, named, and stays where it is.

use std::os::unix::fs::symlink;

use modelwatch_sdk::testing::FaultRow;

use super::*;

/// A store with two checkpoints and a ref, on which each test does its damage.
fn store() -> (tempfile::TempDir, [CheckpointId; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ids = [1, 2].map(|it| commit(&store, "digits", it).unwrap());
    store.set_ref("digits", "good", &ids[0], None, "ok").unwrap();
    (dir, ids)
}

/// Calls `check` with the file changed in every way that `changes` gives, and puts it back.
fn damage(path: &Path, changes: impl IntoIterator<Item = Vec<u8>>, mut check: impl FnMut(&str)) {
    let bytes = fs::read(path).unwrap();
    for it in changes {
        assert_ne!(it, bytes);
        fs::write(path, &it).unwrap();
        check(&format!("{} with {} of {} bytes", path.display(), it.len(), bytes.len()));
    }
    fs::write(path, bytes).unwrap();
}

/// Returns the file cut off at one in `every` lengths, with one more byte, and with one bit flipped of one in `8 * every + 1`
/// bytes: the tests of the engine flip all bits, but for those of packs, of which they draw 10 000.
fn flips_and_cuts(path: &Path, every: usize) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let flip = |(n, at): (usize, usize)| {
        let mut res = bytes.clone();
        res[at] ^= 1 << (n % 8);
        res
    };
    let cuts = (0..bytes.len()).step_by(every).map(|at| bytes[..at].to_vec());
    let flips = (0..bytes.len()).step_by(every * 8 + 1).enumerate().map(flip);
    cuts.chain(flips).chain([[&bytes[..], b"x"].concat()]).collect()
}

fn scrub_names(root: &Path, file: &Path) -> bool {
    let report = open(root).scrub(&(), ScrubDepth::Full).unwrap();
    assert!(report.damage.iter().all(|it| it.contains(": ") && it.ends_with('.')), "{:?}", report.damage);
    report.damage.iter().any(|it| it.contains(file.file_name().unwrap().to_str().unwrap()))
}

#[test]
fn every_change_to_a_log_entry_is_noticed() {
    let row = FaultRow::new(7, "entries cut off at every length, or longer, or changed", "SIM");
    let (dir, ids) = store();
    let mut n_changes = 0;
    for (n_before, file) in files(dir.path(), "/log/digits/").into_iter().enumerate() {
        damage(&file, flips_and_cuts(&file, 1), |case| {
            n_changes += 1;
            let store = open(dir.path());
            // What was logged before it is served; of what comes after it nothing is.
            let history = store.history("digits").unwrap();
            assert_eq!(history.last_seq(), n_before as u64, "{case}");
            assert!(history.damage().unwrap().message.contains(file.to_str().unwrap()), "{case}");
            assert_eq!(kind(store.log("digits", n_before as u64, 10)), Some(ErrorKind::Corrupt), "{case}");
            for (at, id) in ids.iter().enumerate() {
                let opened = kind(store.open(&(), id));
                assert_eq!(opened, (at >= n_before).then_some(ErrorKind::Corrupt), "{case}");
            }
            assert_eq!(kind(store.get_ref("digits", "latest")), Some(ErrorKind::Corrupt), "{case}");
            assert_eq!(kind(commit(&store, "digits", 9)), Some(ErrorKind::Corrupt), "{case}");
            assert!(scrub_names(dir.path(), &file), "{case}");
        });
    }
    // What the store's own log says of garbage must be known before anything is added; reading goes on.
    for file in files(dir.path(), "/log/.store/") {
        damage(&file, flips_and_cuts(&file, 1), |case| {
            n_changes += 1;
            let store = open(dir.path());
            check_content(&store, &ids[0], 1).unwrap();
            assert_eq!(kind(commit(&store, "digits", 9)), Some(ErrorKind::Corrupt), "{case}");
            assert!(scrub_names(dir.path(), &file), "{case}");
        });
    }
    assert_eq!(open(dir.path()).scrub(&(), ScrubDepth::Full).unwrap().damage, [""; 0]);
    row.ok(n_changes);
}

#[test]
fn every_change_to_a_manifest_is_noticed() {
    let row = FaultRow::new(7, "manifests cut off at every third byte, or longer, or changed", "SIM");
    let (dir, ids) = store();
    let mut n_changes = 0;
    for file in files(dir.path(), "/manifests/") {
        damage(&file, flips_and_cuts(&file, 3), |case| {
            n_changes += 1;
            let store = open(dir.path());
            let opened = [0, 1].map(|it| check_content(&store, &ids[it], it as u64 + 1));
            assert_eq!(opened.iter().filter(|it| it.is_ok()).count(), 1, "{case}");
            assert!(opened.into_iter().any(|it| kind(it) == Some(ErrorKind::Corrupt)), "{case}");
            assert!(scrub_names(dir.path(), &file), "{case}");
        });
    }
    row.ok(n_changes);
}

#[test]
fn changes_to_packs_are_noticed() {
    let (dir, ids) = store();
    for file in files(dir.path(), "/packs/") {
        damage(&file, flips_and_cuts(&file, 61), |case| {
            let store = open(dir.path());
            for (id, step) in ids.iter().zip(1..) {
                // Reading does not look at a pack's index, so it may succeed; then the content is right.
                let read = kind(check_content(&store, id, step));
                assert!(matches!(read, None | Some(ErrorKind::Corrupt)), "{case}: {read:?}");
            }
            assert!(scrub_names(dir.path(), &file), "{case}");
        });
    }
    for file in files(dir.path(), "/packs/") {
        damage(
            &file,
            [{
                let mut bytes = fs::read(&file).unwrap();
                bytes[8 + 48 + 1] ^= 4;
                bytes
            }],
            |case| {
                let store = open(dir.path());
                assert!(ids.iter().zip(1..).any(|(id, step)| check_content(&store, id, step).is_err()), "{case}");
            },
        );
    }
}

#[test]
fn missing_and_swapped_files_are_noticed() {
    let row = FaultRow::new(9, "packs, manifests and entries missing, swapped, a folder", "SIM");
    let links = FaultRow::new(29, "packs, manifests and entries that are symbolic links", "SIM");
    for part in ["/packs/", "/manifests/", "/log/digits/"] {
        let (dir, ids) = store();
        let found = files(dir.path(), part);
        let is_broken = |what: &str| {
            let store = open(dir.path());
            let read = ids.iter().zip(1..).map(|(id, step)| kind(check_content(&store, id, step)));
            assert!(read.into_iter().any(|it| it == Some(ErrorKind::Corrupt)), "{part}: {what}");
            assert_ne!(store.scrub(&(), ScrubDepth::Full).unwrap().damage, [""; 0], "{part}: {what}");
        };
        let [a, b] = [&found[0], &found[1]];
        let aside = dir.path().join("aside");
        fs::rename(a, &aside).unwrap();
        is_broken("missing");
        fs::rename(b, a).unwrap();
        fs::rename(&aside, b).unwrap();
        is_broken("swapped");
        fs::rename(a, &aside).unwrap();
        fs::rename(b, a).unwrap();
        fs::rename(&aside, b).unwrap();
        assert_eq!(open(dir.path()).scrub(&(), ScrubDepth::Full).unwrap().damage, [""; 0]);
        fs::rename(a, &aside).unwrap();
        symlink(&aside, a).unwrap();
        is_broken("a link");
        fs::remove_file(a).unwrap();
        fs::create_dir(a).unwrap();
        is_broken("a folder");
    }
    row.ok(9);
    links.ok(3);
}

#[test]
fn a_store_without_its_store_file_is_not_made_anew() {
    let (dir, _) = store();
    let path = dir.path().join("store.json");
    for it in flips_and_cuts(&path, 1) {
        fs::write(&path, it).unwrap();
        assert!(try_open(dir.path()).is_err());
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(kind(try_open(dir.path())), Some(ErrorKind::Corrupt));
    fs::write(&path, r#"{"format_version":2}"#).unwrap();
    assert!(kind_and_message(try_open(dir.path())).contains("format version 2"));
}

#[test]
fn committing_again_mends_what_is_damaged() {
    for part in ["/packs/", "/manifests/"] {
        let (dir, ids) = store();
        let n_damaged = files(dir.path(), part).len();
        for file in files(dir.path(), part) {
            let mut bytes = fs::read(&file).unwrap();
            bytes[100] ^= 1;
            fs::write(&file, bytes).unwrap();
        }
        let store = open(dir.path());
        for (id, step) in ids.iter().zip(1..) {
            assert_eq!(kind(check_content(&store, id, step)), Some(ErrorKind::Corrupt), "{part}");
            assert_eq!(commit(&store, "digits", step).unwrap(), *id);
            check_content(&store, id, step).unwrap();
        }
        // No byte of what was replaced went. Of a pack only what is damaged is stored again, in another one.
        let n_replaced = if part == "/manifests/" { n_damaged } else { 0 };
        assert_eq!(files(dir.path(), "/quarantine/").len(), n_replaced);
        assert_eq!(store.get_ref("digits", "good").unwrap().as_ref(), Some(&ids[0]));
        assert_eq!(store.scrub(&(), ScrubDepth::Full).unwrap().checkpoints, 2);
    }
}

#[test]
fn damage_to_one_lineage_leaves_the_others_usable() {
    let (dir, _) = store();
    let id = commit(&open(dir.path()), "letters", 7).unwrap();
    fs::write(&files(dir.path(), "/log/digits/")[0], "").unwrap();
    let store = open(dir.path());
    check_content(&store, &id, 7).unwrap();
    commit(&store, "letters", 8).unwrap();
    assert_eq!(store.lineages().unwrap(), ["digits", "letters"]);
}

fn kind_and_message<T>(res: Result<T>) -> String {
    res.err().map(|it| format!("{:?}: {}", it.kind, it.message)).unwrap_or_default()
}
