//! What the program says of plugins: `tests/refusals.rs` has those that are refused.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::{Project, digits, fixture_plugins};

const ABI: u32 = modelwatch_sdk::export::PROBE_RECORD.abi;
const LIBRARY: &str = "libfixture_faulty.so";

/// Returns a folder with a folder `plugins` that has the plugin `faulty`.
fn with_faulty() -> Project {
    let project = Project::new();
    let dir = project.path().join("plugins");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let library = dir.join(LIBRARY);
    fs::copy(fixture_plugins().join(LIBRARY), &library).unwrap();
    fs::set_permissions(&library, fs::Permissions::from_mode(0o644)).unwrap();
    project
}

#[test]
fn options_that_a_plugin_refuses_are_the_pipelines_fault() {
    let project = with_faulty();
    let faulty = "[[analyze]]\nuses = 'faulty'\nwith = { fault = 'refuse' }\n";
    project.write("pipeline.toml", &format!("{}{faulty}", digits("e08")));
    let ended = project.modelwatch(&["run", "pipeline.toml", "--plugin-dir", "plugins"]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    assert!(ended.err.contains("this fault is refused") && ended.err.contains("choose another fault"), "{}", ended.err);
}

#[test]
fn the_check_of_a_sound_plugin_says_what_it_is() {
    let project = with_faulty();
    let library = format!("plugins/{LIBRARY}");
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
    let of_folder = project.modelwatch(&["plugin", "check", "plugins"]);
    assert!(of_folder.code == 2 && of_folder.err.contains("name one of its libraries"), "{}", of_folder.err);
    let json: serde_json::Value = serde_json::from_str(&call(&["--format", "json"]).out).unwrap();
    let digest = json["digest"].as_str().unwrap();
    assert!(json["listed"].is_null(), "{json}");
    assert_eq!((&json["interface"], &json["manifest"]["name"]), (&ABI.into(), &"fixture-faulty".into()));
    assert!(call(&[]).out.contains(&format!("digest     {digest}\n")) && digest.len() == 64);

    assert_eq!(project.modelwatch(&["plugin", "index", "plugins"]).code, 0);
    assert_eq!(shown("✓ its digest is the recorded one"), 0);

    project.write("plugins/plugins.toml", "");
    assert_eq!(shown("✗ its folder has a listing, which does not name it"), 3);
}

#[test]
fn an_index_of_what_is_refused_leaves_the_listing_as_it_was() {
    let project = with_faulty();
    assert_eq!(project.modelwatch(&["plugin", "index", "plugins"]).code, 0);
    let listing = fs::read(project.path().join("plugins/plugins.toml")).unwrap();
    project.write(&format!("plugins/{LIBRARY}"), "cut short");
    let ended = project.modelwatch(&["plugin", "index", "plugins"]);
    assert!(ended.code == 3 && ended.err.contains("is left as it was"), "{}{}", ended.out, ended.err);
    assert_eq!(fs::read(project.path().join("plugins/plugins.toml")).unwrap(), listing);
    // A folder without libraries is hardly the one that is meant.
    fs::create_dir(project.path().join("other")).unwrap();
    let ended = project.modelwatch(&["plugin", "index", "other"]);
    assert!(ended.code == 2 && ended.err.contains("has no plugin"), "{}", ended.err);
    assert!(!project.path().join("other/plugins.toml").exists());
}

#[test]
fn a_plugin_folder_that_cannot_be_read_is_an_error_whatever_others_have() {
    let project = with_faulty();
    let weights = format!("{}[[analyze]]\nuses = 'weights'\n", digits("e08"));
    project.write("pipeline.toml", &weights);
    for listing in ["junk = [", "[[plugin]]\nfile = '../libmine.so'\nblake3 = '00'\n"] {
        project.write("plugins/plugins.toml", listing);
        let run = project.modelwatch(&["run", "pipeline.toml", "--plugin-dir", "plugins"]);
        assert!(run.code == 3 && run.out.contains("plugin index"), "{}{}", run.out, run.err);
        let checked = project.modelwatch(&["check", "pipeline.toml", "--plugin-dir", "plugins"]);
        assert!(checked.code == 2 && checked.err.contains("plugin index"), "{}{}", checked.out, checked.err);
    }
    project.write("pipeline.toml", &format!("{weights}[plugins]\ndirs = ['plugins']\n"));
    let place = format!("pipeline.toml:{}:9", weights.lines().count() + 2);
    let checked = project.modelwatch(&["check", "pipeline.toml"]);
    assert!(checked.code == 2 && checked.err.contains(&place), "{}", checked.err);
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
