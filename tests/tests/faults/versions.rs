//! Stores that other versions wrote.

use std::{fs, path::Path};

use modelwatch_sdk::testing::FaultRow;
use modelwatch_tests::root;

use crate::harness::{Ground, must};

/// A copy of the store that is kept as a file of tests, with what was acknowledged in it.
fn golden(version: u32) -> Ground {
    let mut res = Ground::new();
    let fixture = root().join(format!("tests/fixtures/store-v{version}"));
    must("cp", [Path::new("-r"), &fixture, &res.dir.path().join("fixture")]);
    res.store = res.dir.path().join("fixture/store");
    fs::copy(res.dir.path().join("fixture/said"), res.dir.path().join("said")).unwrap();
    res
}

#[test]
fn row_28_the_first_version_is_read() {
    let row = FaultRow::new(28, "store of format version 1", "golden");
    let ground = golden(1);
    assert!(ground.n_said("acked") >= 5);
    ground.check_read_only("version 1");
    ground.check("version 1");
    row.ok(1);
}

#[test]
fn row_28_a_newer_version_is_refused_by_name() {
    let row = FaultRow::new(28, "store of a newer format version", "golden");
    let ground = golden(1);
    let file = ground.store.join("store.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(r#""format_version":1"#, r#""format_version":2"#)).unwrap();
    for arguments in [&["read"][..], &["gc"], &["commit", "--step", "9"]] {
        let outcome = ground.work(&[], arguments);
        assert!(!outcome.is_success_or_error("version 2"));
        let says_so =
            outcome.error.contains("format version 2") && outcome.error.contains("use a version of modelwatch");
        assert!(says_so, "{}", outcome.error);
    }
    fs::write(&file, text).unwrap();
    ground.check("version 1 again");
    row.ok(1);
}
