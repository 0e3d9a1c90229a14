//! Plugins that are refused: each with one line of its own, and the rest of the run goes on.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::support::{Project, check, digits, fixture_plugins};

const METRICS: &str = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";
const FAULTY: &str = "[[analyze]]\nuses = 'faulty'\n";
const ABI: u32 = modelwatch_sdk::export::PROBE_RECORD.abi;
const LIBRARY: &str = "libfixture_faulty.so";

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Makes the library one of interface 999. What is linked into it has a record of its own.
fn outdate(library: &Path) {
    let mut bytes = fs::read(library).unwrap();
    let record = [&b"mwplugin"[..], &ABI.to_le_bytes()].concat();
    let found: Vec<_> = (0..bytes.len() - record.len()).filter(|&at| bytes[at..].starts_with(&record)).collect();
    for at in found {
        bytes[at + 8..at + 12].copy_from_slice(&999_u32.to_le_bytes());
    }
    fs::write(library, bytes).unwrap();
}

/// A way to spoil a plugin, and what is said of it.
type Case<'a> = (fn(&Path), &'a str);

const CASES: [Case<'_>; 5] = [
    (|library| set_mode(library, 0o646), "it is writable by everyone; run `chmod o-w"),
    (|library| set_mode(library.parent().unwrap(), 0o757), "its folder is writable by everyone; run `chmod o-w"),
    (outdate, "it was built for plugin interface 999, this modelwatch has"),
    (|library| fs::write(library, "no library").unwrap(), "it is not a library that this machine can load"),
    (
        |library| {
            let entry =
                format!("file = '{LIBRARY}'\nblake3 = '{}'\ncomponents = ['analyzer/faulty']\n", "0".repeat(64));
            fs::write(library.with_file_name("plugins.toml"), format!("[[plugin]]\n{entry}")).unwrap();
        },
        "the listing says 000000000000…; build and list it again",
    ),
];

/// Calls with a folder `spoiled` that has the plugin `faulty`, spoiled so.
fn spoiled(spoil: fn(&Path)) -> Project {
    let project = Project::new();
    let dir = project.path().join("spoiled");
    fs::create_dir(&dir).unwrap();
    set_mode(&dir, 0o755);
    let library = dir.join(LIBRARY);
    fs::copy(fixture_plugins().join(LIBRARY), &library).unwrap();
    set_mode(&library, 0o644);
    spoil(&library);
    project
}

#[test]
fn a_refused_plugin_is_an_error_of_its_probe_alone() {
    for (spoil, words) in CASES {
        let project = spoiled(spoil);
        let run = |probes: &str| {
            project.write("pipeline.toml", &format!("{}{probes}", digits("e08")));
            let ended =
                project.modelwatch(&["run", "pipeline.toml", "--format", "json", "--plugin-dir", "spoiled", "--quiet"]);
            let record: serde_json::Value =
                serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{words}: {e}: {}", ended.err));
            (ended.code, record)
        };
        let (code, record) = run(&format!("{METRICS}{FAULTY}"));
        assert_eq!((code, &record["verdict"]), (3, &"error".into()), "{words}: {record:#}");
        let message = check(&record, "faulty", "error")["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words) && message.contains(LIBRARY) && !message.contains('\n'), "{message}");
        assert_eq!(check(&record, "findings", "pass")["probe"], "metrics", "{words}");

        // Where nobody asks for it, it is merely something that was not looked at.
        let (code, record) = run(METRICS);
        assert_eq!((code, &record["verdict"]), (0, &"pass".into()), "{words}: {record:#}");
        let mut gaps = record["coverage"]["gaps"].as_array().unwrap().iter();
        assert!(gaps.any(|it| it["why"].as_str().unwrap().contains(words)), "{words}: {record:#}");
    }
}

/// One that is sound, and a pipeline at fault, are told apart from that.
#[test]
fn options_that_a_plugin_refuses_are_the_pipelines_fault() {
    let project = spoiled(|_| {});
    let faulty = format!("{FAULTY}with = {{ fault = 'refuse' }}\n");
    project.write("pipeline.toml", &format!("{}{METRICS}{faulty}", digits("e08")));
    let ended = project.modelwatch(&["run", "pipeline.toml", "--plugin-dir", "spoiled"]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    assert!(ended.err.contains("this fault is refused") && ended.err.contains("choose another fault"), "{}", ended.err);
}

#[test]
fn the_check_of_one_plugin_refuses_what_a_run_refuses() {
    for (spoil, words) in CASES {
        let project = spoiled(spoil);
        let ended = project.modelwatch(&["plugin", "check", &format!("spoiled/{LIBRARY}")]);
        assert_eq!((ended.code, &*ended.out), (3, ""), "{words}: {}", ended.err);
        assert!(ended.err.contains(words) && ended.err.trim_end().lines().count() == 1, "{words}: {}", ended.err);
    }
}

#[test]
fn the_check_of_a_sound_plugin_says_what_it_is() {
    let project = spoiled(|_| {});
    let library = format!("spoiled/{LIBRARY}");
    let call = |further: &[&str]| project.modelwatch(&[&["plugin", "check", &library], further].concat());
    let shown = |recorded: &str| {
        let ended = call(&[]);
        let says = [
            "fixture-faulty 0.1.0",
            &format!("interface  {ABI}"),
            "analyzer `faulty`",
            "✓ its manifest can be read",
            recorded,
        ];
        assert!(says.iter().all(|it| ended.out.contains(it)), "{}{}", ended.out, ended.err);
        ended.code
    };
    assert_eq!(shown("– its folder has no listing, so that no digest is recorded"), 0);
    let json: serde_json::Value = serde_json::from_str(&call(&["--format", "json"]).out).unwrap();
    let digest = json["digest"].as_str().unwrap();
    assert!(json["listed"].is_null(), "{json}");
    assert_eq!((&json["interface"], &json["manifest"]["name"]), (&ABI.into(), &"fixture-faulty".into()));
    assert!(call(&[]).out.contains(&format!("digest     {digest}\n")) && digest.len() == 64);

    assert_eq!(project.modelwatch(&["plugin", "index", "spoiled"]).code, 0);
    assert_eq!(shown("✓ its digest is the recorded one"), 0);

    project.write("spoiled/plugins.toml", "");
    assert_eq!(shown("✗ its folder has a listing, which does not name it"), 3);
}

#[test]
fn the_list_of_plugins_fits_a_terminal() {
    let project = Project::new();
    for columns in [80, 100] {
        let output = project.command(&["plugin", "list"]).env("COLUMNS", columns.to_string()).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let [place, head, rows @ ..] = &out.lines().collect::<Vec<_>>()[..] else { panic!("{out}") };
        assert!(place.starts_with('/') && head.contains("INTERFACE") && head.contains("DIGEST"), "{out}");
        let too_wide = rows.iter().find(|it| it.chars().count() > columns);
        assert_eq!(too_wide, None);
        let drift = rows.iter().find(|it| it.contains(" drift ")).unwrap();
        let words: Vec<_> = drift.split_whitespace().collect();
        assert_eq!((words[0], words[3], words[4].len()), ("analyzer", &*ABI.to_string(), 12), "{drift}");
    }
}
