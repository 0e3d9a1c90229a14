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
use modelwatch_tests::{binary, fixture_plugins_dir, library, plugins_dir, root};
use serde_json::Value;

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
    set_mode(&to, 0o644);
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

/// Copies a fixture into a folder, with another byte in its header.
fn changed(dir: &Path, at: usize, byte: u8) -> PathBuf {
    let path = put(dir, "fixture-panicking-manifest");
    let mut bytes = fs::read(&path).unwrap();
    bytes[at] = byte;
    fs::write(&path, bytes).unwrap();
    path
}

/// Copies a fixture into a folder, whose root has a field of another name.
fn with_other_root(dir: &Path) -> PathBuf {
    // Names of the fields of `Plugin`, as abi_stable keeps them in each library that has its layout.
    let (fields, others) = (b"manifest;store;component,config,probe;", b"manifest;stork;component,config,probe;");
    let path = put(dir, "fixture-panicking-manifest");
    let mut bytes = fs::read(&path).unwrap();
    let starts: Vec<_> = (0..bytes.len() - fields.len()).filter(|&it| bytes[it..].starts_with(fields)).collect();
    assert!(!starts.is_empty());
    for it in starts {
        bytes[it..it + fields.len()].copy_from_slice(others);
    }
    fs::write(&path, bytes).unwrap();
    path
}

/// Puts a library that is refused into a folder.
type Make = fn(&Path) -> PathBuf;

/// A way to be refused, for programs, and what is said of it.
type Case<'a> = (Make, RefusalKind, &'a [&'a str]);

const CASES: [Case<'_>; 11] = [
    (
        |dir| compile(dir, "other_abi", Some((999, 1))),
        RefusalKind::Abi,
        &["it was built for plugin interface 999, this modelwatch has"],
    ),
    (|dir| compile(dir, "aborts", Some((ABI, 0))), RefusalKind::PanicAbort, &["panic = \"abort\""]),
    (|dir| compile(dir, "bare", None), RefusalKind::NotAPlugin, &["modelwatch_probe_bare"]),
    (|dir| compile(dir, "rootless", Some((ABI, 1))), RefusalKind::Layout, &["modelwatch_plugin_rootless"]),
    (with_other_root, RefusalKind::Layout, &["its types have another layout; build it with this version's SDK"]),
    (
        |dir| {
            fs::write(library(dir, "x"), "not a library").unwrap();
            library(dir, "x")
        },
        RefusalKind::NotAPlugin,
        &["it is not a library that this machine can load"],
    ),
    // 32 bits in place of 64, and a processor that this one is not.
    (|dir| changed(dir, 4, 1), RefusalKind::NotAPlugin, &["it was built for another machine; build it for this one"]),
    (
        |dir| changed(dir, 18, 0xf7),
        RefusalKind::NotAPlugin,
        &["it was built for another machine; build it for this one"],
    ),
    (
        |dir| put(dir, "fixture-panicking-manifest"),
        RefusalKind::Manifest,
        &["panicked at", "lib.rs:", "no registry today"],
    ),
    (
        |dir| {
            let path = put(dir, "fixture-panicking-manifest");
            set_mode(&path, 0o646);
            path
        },
        RefusalKind::Writable,
        &["it is writable by everyone; run `chmod o-w"],
    ),
    (
        |dir| {
            let path = put(dir, "fixture-panicking-manifest");
            let faulty = put(dir, "fixture-faulty");
            listed(dir, &[(&faulty, None), (&path, Some("0".repeat(64)))]);
            path
        },
        RefusalKind::Digest,
        &["the listing says 000000000000…; build and list it again"],
    ),
];

/// The same of all that a folder has, where no other library of it loads.
const OF_FOLDER: Case<'_> = (
    |dir| {
        let path = put(dir, "fixture-faulty");
        set_mode(dir, 0o757);
        path
    },
    RefusalKind::Writable,
    &["its folder is writable by everyone"],
);

/// What its component would be named, if it could be read.
fn stem(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn listed(dir: &Path, entries: &[(&Path, Option<String>)]) {
    let entry = |(path, digest): &(&Path, Option<String>)| ListingEntry {
        file: path.file_name().unwrap().to_str().unwrap().to_owned(),
        blake3: digest.clone().unwrap_or_else(|| Catalog::digest(path).unwrap()),
        components: vec![format!("analyzer/{}", stem(path))],
    };
    Listing { plugins: entries.iter().map(entry).collect() }.write(dir).unwrap();
}

#[test]
fn a_library_is_refused_and_others_load() {
    for (make, kind, words) in CASES {
        let dir = folder();
        let path = make(dir.path());
        let catalog = load(dir.path());
        refused(&catalog, &path, kind, words);
        for kind in [Kind::Store, Kind::Verifier, Kind::Analyzer] {
            common::component(&catalog, kind, "faulty");
        }
    }
}

/// Runs the program in a folder.
fn modelwatch(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(dir).env("MODELWATCH_PLUGIN_PATH", plugins_dir());
    let output = command.env("XDG_CACHE_HOME", dir.join("cache")).output().unwrap();
    let text = |it| String::from_utf8(it).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Makes a folder `spoiled` in a folder of its own, with what the case puts there alone.
fn spoiled(make: Make) -> (tempfile::TempDir, PathBuf) {
    let res = tempfile::tempdir().unwrap();
    let dir = res.path().join("spoiled");
    fs::create_dir(&dir).unwrap();
    set_mode(&dir, 0o755);
    let path = make(&dir);
    (res, path)
}

/// Runs a pipeline with these probes and returns its exit code, verdict and record.
fn run(dir: &Path, probes: &str) -> (i32, String, Value) {
    let fixtures = root().join("tests/fixtures/digits");
    let fixtures = fixtures.display();
    let pipeline = format!(
        "name = 'test'\ncheckpoint = {{ import = '{fixtures}/cnn_series/e08.onnx', name = 'digits' }}\n\
         [data.current]\npath = '{fixtures}/data/test.npz'\n[data.columns]\nlabel = 'y'\n{probes}"
    );
    fs::write(dir.join("pipeline.toml"), pipeline).unwrap();
    let arguments = ["run", "pipeline.toml", "--format", "json", "--plugin-dir", "spoiled", "--quiet"];
    let (code, out, err) = modelwatch(dir, &arguments);
    let record: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {err}"));
    (code, record["verdict"].as_str().unwrap().to_owned(), record)
}

#[test]
fn a_refused_library_is_an_error_of_its_probe_alone() {
    let metrics = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\nrequire = { accuracy = '>= 0.5' }\n";
    for (make, _, words) in CASES.into_iter().chain([OF_FOLDER]) {
        let (dir, path) = spoiled(make);
        let dir = dir.path();
        let name = stem(&path);
        let (code, verdict, record) = run(dir, &format!("{metrics}[[analyze]]\nuses = '{name}'\n"));
        assert_eq!((code, &*verdict), (3, "error"), "{words:?}: {record:#}");
        let checks = record["checks"].as_array().unwrap();
        let is_sound = |it: &Value| it["probe"] == "metrics" && it["status"] == "pass";
        assert!(checks.iter().any(is_sound), "{words:?}: {record:#}");
        let failed: Vec<_> = checks.iter().filter(|it| it["status"] == "error").collect();
        let [failed] = failed[..] else { panic!("{words:?}: {record:#}") };
        let message = failed["message"].as_str().unwrap();
        let file = path.file_name().unwrap().to_str().unwrap();
        let is_told = words.iter().all(|it| message.contains(it)) && message.contains(file) && !message.contains('\n');
        assert!(is_told && failed["probe"] == name, "{words:?}: {message}");

        // Where nobody asks for it, it is merely something that was not looked at.
        let (code, verdict, record) = run(dir, metrics);
        assert_eq!((code, &*verdict), (0, "pass"), "{words:?}: {record:#}");
        let mut gaps = record["coverage"]["gaps"].as_array().unwrap().iter();
        let is_told = |it: &Value| it["why"].as_str().is_some_and(|why| words.iter().all(|it| why.contains(it)));
        assert!(gaps.any(is_told), "{words:?}: {record:#}");
    }
}

#[test]
fn the_check_of_one_plugin_refuses_what_a_run_refuses() {
    for (make, _, words) in CASES.into_iter().chain([OF_FOLDER]) {
        let (dir, path) = spoiled(make);
        let (code, out, err) = modelwatch(dir.path(), &["plugin", "check", path.to_str().unwrap()]);
        assert_eq!((code, &*out), (3, ""), "{words:?}: {err}");
        let is_told = words.iter().all(|it| err.contains(it)) && err.trim_end().lines().count() == 1;
        assert!(is_told, "{words:?}: {err}");
    }
}

#[test]
fn a_folder_that_everyone_may_write_is_refused() {
    let dir = folder();
    set_mode(dir.path(), 0o757);
    let path = library(dir.path(), "fixture-faulty");
    refused(&load(dir.path()), &path, RefusalKind::Writable, &["its folder is writable by everyone", "chmod o-w"]);
}

#[test]
fn a_library_that_a_listing_leaves_out_is_told() {
    let dir = folder();
    let (listed_one, other) = (put(dir.path(), "fixture-faulty"), put(dir.path(), "fixture-panicking-manifest"));
    listed(dir.path(), &[(&listed_one, None)]);
    let (code, _, err) = modelwatch(dir.path(), &["plugin", "list", "--plugin-dir", dir.path().to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    let file = other.file_name().unwrap().to_str().unwrap();
    assert!(err.contains(file) && err.contains("is not in `plugins.toml` of its folder, and left out"), "{err}");
    assert!(!err.contains(listed_one.file_name().unwrap().to_str().unwrap()), "{err}");
}

#[test]
fn a_link_is_no_way_around_the_folder_that_everyone_may_write() {
    let (dir, real) = (tempfile::tempdir().unwrap(), folder());
    let path = library(real.path(), "fixture-faulty");
    let link = dir.path().join(path.file_name().unwrap());
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let (code, _, err) = modelwatch(dir.path(), &["plugin", "check", link.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    set_mode(real.path(), 0o757);
    refused(&load(dir.path()), &link, RefusalKind::Writable, &["the folder that it leads to is writable by everyone"]);
}

#[test]
fn bytes_that_are_not_the_listed_ones_are_blamed_for_what_is_missing() {
    let dir = folder();
    let path = library(dir.path(), "fixture-faulty");
    listed(dir.path(), &[(&path, Some("0".repeat(64)))]);
    let missing = load(dir.path());
    let missing = missing.find(Kind::Analyzer, stem(&path));
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

/// Loads two folders; what the first one has is refused.
fn loaded_in_turn(first: &Path, second: &Path) -> Catalog {
    Catalog::load(&SearchPath::exactly(vec![first.to_owned(), second.to_owned()]))
}

#[test]
fn what_a_refused_library_has_is_not_only_what_its_namesake_has() {
    let (first, second) = (tempfile::tempdir().unwrap(), folder());
    let refused = library(first.path(), "fixture-faulty");
    fs::write(&refused, "not a library").unwrap();
    let catalog = loaded_in_turn(first.path(), second.path());
    assert!(matches!(catalog.find(Kind::Store, "faulty"), Lookup::Refused(it) if it.path == refused));
    // It may have had more.
    assert_eq!(catalog.unread().map(|it| &it.path), Some(&refused));
}

#[test]
fn a_listed_library_is_known_by_its_components_and_not_by_its_file() {
    let (first, second) = (tempfile::tempdir().unwrap(), folder());
    let refused = put(first.path(), "fixture-faulty");
    listed(first.path(), &[(&refused, Some("0".repeat(64)))]);
    // The listing says that it has one component, of another name.
    let catalog = loaded_in_turn(first.path(), second.path());
    assert!(matches!(catalog.find(Kind::Store, "faulty"), Lookup::Found(_)));
    assert!(matches!(catalog.find(Kind::Analyzer, stem(&refused)), Lookup::Refused(it) if it.path == refused));
    assert_eq!(catalog.unread(), None);
}

#[test]
fn a_listing_that_cannot_be_read_refuses_the_libraries_beside_it() {
    let (first, second) = (folder(), folder());
    let listing = first.path().join(LISTING_FILE);
    fs::write(&listing, "[[plugin]]\nfile = 7\n").unwrap();
    let catalog = loaded_in_turn(first.path(), second.path());
    assert!(matches!(catalog.find(Kind::Store, "faulty"), Lookup::Refused(it) if it.path == listing));
    // A library of another name is not beside it.
    fs::remove_file(library(first.path(), "fixture-faulty")).unwrap();
    let catalog = loaded_in_turn(first.path(), second.path());
    assert!(matches!(catalog.find(Kind::Store, "faulty"), Lookup::Found(_)));
}
