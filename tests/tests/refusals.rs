//! Libraries that are refused: each with one line, and without keeping others away.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use modelwatch_runtime::plugin::{Catalog, LISTING_FILE, Listing, ListingEntry, Lookup, RefusalKind, SearchPath};
use modelwatch_sdk::Kind;
use modelwatch_tests::{fixture_plugins_dir, library};

/// The interface of today.
const ABI: u32 = modelwatch_sdk::export::PROBE_RECORD.abi;

fn folder() -> tempfile::TempDir {
    let res = tempfile::tempdir().unwrap();
    put(res.path(), "fixture-faulty");
    res
}

/// Copies a fixture into a folder.
fn put(dir: &Path, package: &str) -> PathBuf {
    let to = library(dir, package);
    fs::copy(library(&fixture_plugins_dir(), package), &to).unwrap();
    fs::set_permissions(&to, fs::Permissions::from_mode(0o644)).unwrap();
    to
}

fn load(dir: &Path) -> Catalog {
    Catalog::load(&SearchPath::exactly(vec![dir.to_owned()]))
}

/// Checks that one thing is refused, so and in one line that has the words.
#[track_caller]
fn refused(catalog: &Catalog, path: &Path, kind: RefusalKind, words: &[&str]) {
    let [it] = catalog.refusals() else { panic!("expected one refusal, got {:?}", catalog.refusals()) };
    assert_eq!((it.path.as_path(), it.kind), (path, kind), "{it}");
    let line = it.to_string();
    assert!(!line.contains('\n') && words.iter().all(|word| line.contains(word)), "{line}");
}

/// Compiles a library without the SDK, with this probe record if any.
fn compile(dir: &Path, name: &str, record: Option<(u32, u8)>) -> PathBuf {
    let source = record.map_or_else(
        || "#[unsafe(no_mangle)] pub extern \"C\" fn something_else() {}\n".to_owned(),
        |(abi, unwind)| {
            format!(
                "#![allow(non_upper_case_globals)]\n\
                 #[repr(C)] pub struct Record {{ magic: [u8; 8], abi: u32, panic_unwind: u8, reserved: [u8; 3] }}\n\
                 #[unsafe(no_mangle)] pub static modelwatch_probe_{name}: Record =\n\
                 Record {{ magic: *b\"mwplugin\", abi: {abi}, panic_unwind: {unwind}, reserved: [0; 3] }};\n"
            )
        },
    );
    let file = dir.join(format!("{name}.rs"));
    fs::write(&file, source).unwrap();
    let to = library(dir, name);
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "--crate-type", "cdylib", "--crate-name", name, "-o"]).arg(&to).arg(&file);
    let output = rustc.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    to
}

#[test]
fn libraries_of_another_kind_are_refused_and_others_load() {
    type Make = fn(&Path) -> PathBuf;
    let cases: [(Make, RefusalKind, &[&str]); 6] = [
        (|dir| compile(dir, "other_abi", Some((999, 1))), RefusalKind::Abi, &["interface 999"]),
        (|dir| compile(dir, "aborts", Some((ABI, 0))), RefusalKind::PanicAbort, &["panic = \"abort\""]),
        (|dir| compile(dir, "bare", None), RefusalKind::NotAPlugin, &["modelwatch_probe_bare"]),
        (|dir| compile(dir, "rootless", Some((ABI, 1))), RefusalKind::Layout, &["modelwatch_plugin_rootless"]),
        (
            |dir| {
                fs::write(library(dir, "x"), "not a library").unwrap();
                library(dir, "x")
            },
            RefusalKind::NotAPlugin,
            &["not a library"],
        ),
        (
            |dir| put(dir, "fixture-panicking-manifest"),
            RefusalKind::Manifest,
            &["panicked at", "lib.rs:", "no registry today"],
        ),
    ];
    for (make, kind, words) in cases {
        let dir = folder();
        let path = make(dir.path());
        let catalog = load(dir.path());
        refused(&catalog, &path, kind, words);
        for kind in [Kind::Store, Kind::Verifier, Kind::Analyzer] {
            common::component(&catalog, kind, "faulty");
        }
    }
}

#[test]
fn what_everyone_may_write_is_refused() {
    let dir = folder();
    let path = put(dir.path(), "fixture-panicking-manifest");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o646)).unwrap();
    let catalog = load(dir.path());
    refused(&catalog, &path, RefusalKind::Writable, &["it is writable by everyone", "chmod o-w"]);
    common::component(&catalog, Kind::Analyzer, "faulty");

    let dir = folder();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o757)).unwrap();
    let path = library(dir.path(), "fixture-faulty");
    refused(&load(dir.path()), &path, RefusalKind::Writable, &["its folder is writable by everyone", "chmod o-w"]);
}

fn listed(dir: &Path, entries: &[(&str, Option<String>)]) {
    let entry = |(package, digest): &(&str, Option<String>)| {
        let path = library(dir, package);
        ListingEntry {
            file: path.file_name().unwrap().to_str().unwrap().to_owned(),
            blake3: digest.clone().unwrap_or_else(|| Catalog::digest(&path).unwrap()),
            components: vec![format!("analyzer/{package}")],
        }
    };
    Listing { plugins: entries.iter().map(entry).collect() }.write(dir).unwrap();
}

#[test]
fn bytes_that_are_not_the_listed_ones_are_refused_and_blamed() {
    let dir = folder();
    let path = put(dir.path(), "fixture-panicking-manifest");
    listed(dir.path(), &[("fixture-faulty", None), ("fixture-panicking-manifest", Some("0".repeat(64)))]);
    let catalog = load(dir.path());
    refused(&catalog, &path, RefusalKind::Digest, &["000000000000…"]);
    common::component(&catalog, Kind::Analyzer, "faulty");
    let missing = catalog.find(Kind::Analyzer, "fixture-panicking-manifest");
    assert!(matches!(missing, Lookup::Refused(it) if it.path == path));
}

#[test]
fn a_broken_listing_is_refused_with_its_folder() {
    let dir = folder();
    let listing = dir.path().join(LISTING_FILE);
    fs::write(&listing, "[[plugin]]\nfile = 7\n").unwrap();
    let catalog = load(dir.path());
    refused(&catalog, &listing, RefusalKind::Unreadable, &["the listing is broken"]);
    assert_eq!(catalog.components().count(), 0);
    fs::write(&listing, "[[plugin]]\nfile = \"../libx.so\"\nblake3 = \"\"\n").unwrap();
    refused(&load(dir.path()), dir.path(), RefusalKind::Unreadable, &["not a file of its folder"]);
}

#[test]
fn the_same_bytes_in_two_folders_are_one_plugin() {
    let (first, second) = (folder(), folder());
    let catalog = Catalog::load(&SearchPath::exactly(vec![first.path().to_owned(), second.path().to_owned()]));
    assert_eq!((catalog.plugins().len(), catalog.refusals()), (1, &[][..]));
}

#[test]
fn a_name_in_two_plugins_belongs_to_neither() {
    let (first, second) = (folder(), folder());
    // The same bytes in two folders are one plugin; a byte after a library's end makes them two.
    let mut bytes = fs::read(library(second.path(), "fixture-faulty")).unwrap();
    bytes.push(0);
    fs::write(library(second.path(), "fixture-faulty"), bytes).unwrap();
    let catalog = Catalog::load(&SearchPath::exactly(vec![first.path().to_owned(), second.path().to_owned()]));
    assert_eq!(catalog.components().count(), 0, "{:?}", catalog.refusals());
    let [a, b] = [&first, &second].map(|it| library(it.path(), "fixture-faulty"));
    assert_eq!(catalog.refusals().len(), 3);
    for it in catalog.refusals() {
        let line = it.to_string();
        let both = [&a, &b].iter().all(|it| line.contains(it.to_str().unwrap()));
        assert!(it.kind == RefusalKind::Duplicate && both && !line.contains('\n'), "{line}");
    }
    assert!(matches!(catalog.find(Kind::Store, "faulty"), Lookup::Refused(_)));
}
