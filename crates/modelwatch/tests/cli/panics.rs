//! Plugins that panic are errors, told in one line, and the rest goes on.

use crate::support::{Project, check, digits, fixture_plugins, fixtures};

const METRICS: &str = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";

#[test]
fn a_probe_that_panicked_is_an_error_and_the_rest_goes_on() {
    let dir = fixture_plugins();
    for fault in ["open", "needs", "update", "state", "merge", "evaluate", "drop"] {
        let project = Project::new();
        let faulty = format!("[[analyze]]\nuses = 'faulty'\nwith = {{ fault = '{fault}' }}\n");
        project.write("pipeline.toml", &format!("{}{METRICS}{faulty}", digits("e08")));
        let arguments = ["run", "pipeline.toml", "--format", "json", "--plugin-dir", dir.to_str().unwrap()];
        let ended = project.modelwatch(&arguments);
        let record: serde_json::Value =
            serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.err));
        assert_eq!((ended.code, &record["verdict"]), (3, &"error".into()), "{fault}: {record:#}");
        let message = check(&record, "faulty", "error")["message"].as_str().unwrap().to_owned();
        assert!(message.contains("the plugin panicked at") && !message.contains('\n'), "{fault}: {message}");
        assert_eq!(check(&record, "findings", "pass")["probe"], "metrics", "{fault}");
        assert!(ended.err.contains("its manifest cannot be had"), "{fault}: {}", ended.err);
    }
}

/// A pipeline whose store fails there.
fn with_faulty_store(fault: &str) -> String {
    let store = format!("store = {{ uses = 'faulty', with = {{ path = 'store', fault = '{fault}' }} }}\n");
    let require = "require = { accuracy = '>= 0' }\n";
    format!("{store}{}{METRICS}{require}[on.pass]\nmove = ['good']\n", digits("e08"))
}

#[test]
fn a_store_that_panicked_is_an_error_and_the_rest_goes_on() {
    let dir = fixture_plugins();
    for fault in ["open", "begin", "append", "commit", "open_checkpoint", "manifest", "read", "log", "record_verdict"] {
        let project = Project::new();
        project.write("pipeline.toml", &with_faulty_store(fault));
        let arguments = ["run", "pipeline.toml", "--format", "json", "--plugin-dir", dir.to_str().unwrap()];
        let ended = project.modelwatch(&arguments);
        let record: serde_json::Value =
            serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.err));
        assert_eq!((ended.code, &record["verdict"]), (3, &"error".into()), "{fault}: {record:#}");
        let mut checks = record["checks"].as_array().unwrap().iter();
        let told = checks.any(|it| {
            let message = it["message"].as_str().unwrap();
            it["status"] == "error" && message.contains("the plugin panicked at") && !message.contains('\n')
        });
        assert!(told, "{fault}: {record:#}");
        assert_eq!(record["actions"].as_array().unwrap().iter().find(|it| it["status"] == "done"), None, "{fault}");
    }
}

/// What was stored, judged and promoted by then stays so.
#[test]
fn a_store_that_panicked_at_its_end_is_told_and_loses_nothing() {
    let dir = fixture_plugins();
    for fault in ["drop", "reader_drop", "writer_drop"] {
        let project = Project::new();
        project.write("pipeline.toml", &with_faulty_store(fault));
        let with_plugins = ["--plugin-dir", dir.to_str().unwrap()];
        let call = |arguments: &[&str]| project.modelwatch(&[arguments, &with_plugins].concat());
        let ended = call(&["run", "pipeline.toml", "--format", "json"]);
        let record: serde_json::Value =
            serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.err));
        let codes = (ended.code, &record["verdict"], &record["exit_code"]);
        assert_eq!(codes, (3, &"pass".into(), &3.into()), "{fault}: {record:#}");
        let [moved, closed] = &record["actions"].as_array().unwrap()[..] else { panic!("{fault}: {record:#}") };
        assert_eq!((&moved["kind"], &moved["status"]), (&"move".into(), &"done".into()), "{fault}");
        assert_eq!((&closed["kind"], &closed["status"]), (&"close".into(), &"failed".into()), "{fault}");
        let message = closed["message"].as_str().unwrap();
        assert!(message.contains("the plugin panicked at") && !message.contains('\n'), "{fault}: {message}");

        let id = &record["checkpoint"]["id"].as_str().unwrap()[..12];
        let log = project.modelwatch(&["store", "--store", "store", "log", "digits"]);
        let events = ["was stored", ": pass by test", "good: nothing →"];
        assert!(events.iter().all(|it| log.out.contains(it)) && log.out.contains(id), "{fault}: {}", log.out);

        // The command for stores hears of it as well, after its answer.
        let shown = call(&["store", "--pipeline", "pipeline.toml", "show", "digits@good", "--json"]);
        if fault == "writer_drop" {
            assert_eq!(shown.code, 0, "nothing is written: {}", shown.err);
            continue;
        }
        assert!(shown.code == 3 && shown.out.contains(id), "{fault}: {}{}", shown.out, shown.err);
        assert!(shown.err.contains("the plugin panicked at") && shown.err.contains("planted fault"), "{}", shown.err);
    }
}

/// Each command that asks a store for something that no run asks it for.
#[test]
fn a_store_that_panicked_in_a_command_is_an_error() {
    let dir = fixture_plugins();
    let project = Project::new();
    let keep = "name = 'digits', keep = { last = 1, grace = '0s' } }";
    let write = |fault| {
        project.write("pipeline.toml", &with_faulty_store(fault).replace("name = 'digits' }", keep));
    };
    let store = |arguments: &[&str]| {
        let of_pipeline = ["store", "--pipeline", "pipeline.toml", "--plugin-dir", dir.to_str().unwrap()];
        project.modelwatch(&[&of_pipeline, arguments].concat())
    };
    write("none");
    // Of the first one nothing is left that a rule keeps.
    for epoch in ["e04", "e08"] {
        let model = fixtures().join(format!("digits/cnn_series/{epoch}.onnx"));
        let put = store(&["put", model.to_str().unwrap(), "digits"]);
        assert_eq!(put.code, 0, "{}", put.err);
    }
    let set = store(&["set", "digits@good", "digits@latest", "--reason", "it is there", "--force"]);
    assert_eq!(set.code, 0, "{}", set.err);
    let before = store(&["log", "digits"]);
    let cases: [(&str, &[&str]); 14] = [
        ("lineages", &["list"]),
        ("log", &["log", "digits"]),
        ("open_checkpoint", &["show", "digits@good"]),
        ("manifest", &["show", "digits@good"]),
        ("read", &["get", "digits@good", "out"]),
        ("set_ref", &["set", "digits@other", "digits@good", "--reason", "x", "--force"]),
        ("unset_ref", &["unset", "digits@good", "--reason", "x"]),
        ("remove", &["prune"]),
        ("check_clock", &["prune"]),
        ("scrub", &["scrub"]),
        ("collect", &["collect"]),
        ("stats", &["stats"]),
        ("doctor", &["doctor"]),
        ("repair", &["repair"]),
    ];
    for (fault, arguments) in cases {
        write(fault);
        let ended = store(arguments);
        assert_eq!(ended.code, 3, "{fault}: {}{}", ended.out, ended.err);
        let told: Vec<_> = ended.err.lines().filter(|it| it.contains("planted fault in")).collect();
        assert!(matches!(told[..], [it] if it.contains("the plugin panicked at")), "{fault}: {}", ended.err);
        assert!(!project.path().join("out").exists(), "{fault}");
    }
    // None of them has changed anything.
    write("none");
    let log = store(&["log", "digits"]);
    assert_eq!((log.code, &log.out), (0, &before.out), "{}", log.err);
}
