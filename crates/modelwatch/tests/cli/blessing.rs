//! What a verdict is about is kept beside the checkpoint, and refs that require it move to nothing else.

use std::fs;

use serde_json::Value;

use crate::support::{Ended, Project, digits, fixtures, walk};

/// A gate whose ref `production` has a rule.
fn gate(model: &str, accuracy: &str, require: &str) -> String {
    let store = "store = { uses = 'local', with = { path = 'store' } }\n";
    let head = digits(model).replacen('\n', &format!("\n{store}"), 1);
    format!(
        "{head}[[verify]]\nuses = 'metrics'\nwith = {{ task = 'multiclass' }}\nrequire = {{ accuracy = '>= {accuracy}' }}\n\
         [refs.production]\nrequire = '{require}'\n"
    )
}

fn store(project: &Project, arguments: &[&str]) -> Ended {
    project.modelwatch(&[&["store", "--pipeline", "pipeline.toml"], arguments].concat())
}

/// Returns the last verdict on the newest checkpoint.
fn last_verdict(project: &Project) -> Value {
    let shown = store(project, &["show", "digits@latest", "--json"]);
    let shown: Value = serde_json::from_str(&shown.out).unwrap_or_else(|e| panic!("{e}: {}", shown.err));
    shown["verdicts"].as_array().unwrap().last().unwrap().clone()
}

#[test]
fn a_verdict_says_what_it_is_about() {
    let project = Project::new();
    let (code, record) = project.run(&gate("e08", "0.5", "verified"));
    assert_eq!(code, 0, "{record:#}");
    let verdict = last_verdict(&project);
    let blessing = &verdict["blessing"];
    assert_eq!(blessing["checkpoint"], record["checkpoint"]["id"]);
    assert_eq!(blessing["model"][0]["name"], "e08.onnx");
    let data = &blessing["data"]["current"];
    assert_eq!((&data["files"][0]["name"], &data["n_files"]), (&"test.npz".into(), &1.into()));
    for component in ["verifier/metrics", "store/local"] {
        let digest = blessing["plugins"][component]["digest"].as_str().unwrap();
        assert_eq!(digest.len(), 64, "{component}: {digest}");
    }
    let required = &blessing["checks"].as_array().unwrap().iter().find(|it| it["metric"] == "accuracy").unwrap();
    assert_eq!((&required["requirement"], &required["status"]), (&">= 0.5".into(), &"pass".into()));
    assert!(verdict.get("problem").is_none(), "{verdict:#}");
    // The run's own record refers to it by the same digests.
    let signed_off = &record["checkpoint"]["blessing"];
    for key in ["digest", "program", "config"] {
        assert_eq!(signed_off[key], blessing[key], "{key}");
    }
    assert_eq!(signed_off["model"]["e08.onnx"], blessing["model"][0]["digest"]);
    assert_eq!(signed_off["data"]["current"], data["digest"]);
    assert_eq!(signed_off["plugins"]["verifier/metrics"], blessing["plugins"]["verifier/metrics"]["digest"]);
    let kept = project.modelwatch(&["report", "--history", ".modelwatch/history.db", "--format", "json"]);
    let kept: Value = serde_json::from_str(&kept.out).unwrap_or_else(|e| panic!("{e}: {}", kept.err));
    assert_eq!(kept["checkpoint"], record["checkpoint"]);
    let log = store(&project, &["log", "digits"]).out;
    let digest = &blessing["digest"].as_str().unwrap()[..12];
    assert!(log.contains(&format!("blessing {digest}: 2 checks")), "{log}");
    // Of the same bytes, judged in another place, everything but the place's own is the same.
    let other = Project::new();
    other.run(&gate("e08", "0.5", "verified"));
    assert_eq!(last_verdict(&other)["blessing"], *blessing);
}

#[test]
fn a_ref_can_require_that_this_very_pipeline_passed_the_checkpoint() {
    let project = Project::new();
    let rule = "verified-by-this-pipeline";
    let set = || store(&project, &["set", "digits@production", "digits@latest"]);
    // A weak gate passes it, and so does a strict one that is not asked.
    let (code, _) = project.run(&gate("e08", "0.1", rule));
    assert_eq!((code, set().code), (0, 0));
    assert_eq!(store(&project, &["unset", "digits@production"]).code, 0);
    project.write("pipeline.toml", &gate("e08", "0.5", rule));
    let refused = set();
    assert_eq!(refused.code, 3, "{}", refused.out);
    assert!(refused.err.contains("was passed with other settings"), "{}", refused.err);
    // To be verified at all it is enough.
    project.write("pipeline.toml", &gate("e08", "0.5", "verified"));
    assert_eq!(set().code, 0);
    // What is told to whom is not about judging.
    project.run(&gate("e08", "0.5", rule));
    project.write("pipeline.toml", &format!("{}[report]\njson = 'x.json'\n", gate("e08", "0.5", rule)));
    assert_eq!(store(&project, &["unset", "digits@production"]).code, 0);
    let taken = set();
    assert_eq!(taken.code, 0, "{}", taken.err);
}

#[test]
fn a_blessing_that_was_changed_is_refused() {
    let project = Project::new();
    let (code, record) = project.run(&gate("e08", "0.5", "verified"));
    assert_eq!(code, 0, "{record:#}");
    let config = last_verdict(&project)["blessing"]["config"].as_str().unwrap().to_owned();
    let entries = walk(&project.path().join("store/log"));
    let entry = entries.iter().find(|it| fs::read_to_string(it).is_ok_and(|it| it.contains(&config))).unwrap();
    let text = fs::read_to_string(entry).unwrap();
    let other = config.chars().rev().collect::<String>();
    let mut permissions = entry.metadata().unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false)]
    permissions.set_readonly(false);
    fs::set_permissions(entry, permissions).unwrap();
    fs::write(entry, text.replace(&config, &other)).unwrap();
    let refused = store(&project, &["set", "digits@production", "digits@latest"]);
    assert_eq!(refused.code, 3, "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("log/digits"), "{}", refused.err);
    // Not even a run gets past it.
    let (code, record) = project.run(&gate("e08", "0.5", "verified"));
    assert_eq!((code, &record["verdict"]), (3, &"error".into()), "{record:#}");
}

/// Where only the store is named, what the last pipeline that moved a ref required of it still holds.
#[test]
fn a_ref_keeps_its_rule_where_no_pipeline_is_named() {
    let project = Project::new();
    project.run(&gate("e08", "0.5", "verified"));
    assert_eq!(store(&project, &["set", "digits@production", "digits@latest"]).code, 0);
    let judged = store(&project, &["show", "digits@production"]).out;
    assert!(judged.contains("pass by") && !judged.contains("not judged"), "{judged}");
    let alone = |arguments: &[&str]| project.modelwatch(&[&["store", "--store", "store"], arguments].concat());
    let put = |name: &str| {
        let path = fixtures().join("digits/cnn").join(name);
        assert_eq!(alone(&["put", path.to_str().unwrap(), "digits"]).code, 0, "{name}");
    };
    put("cnn.npz");
    let set =
        |more: &[&str]| alone(&[&["tag", "digits@production", "digits@latest", "--reason", "by hand"], more].concat());
    let refused = set(&[]);
    let why = "`production` requires verified checkpoints, and ";
    assert!(refused.code != 0 && refused.err.contains(why) && refused.err.contains("say `--force`"), "{}", refused.err);
    // Nor is taking it away a way around.
    assert_eq!(alone(&["unset", "digits@production"]).code, 0);
    assert_ne!(set(&[]).code, 0);
    let forced = set(&["--force"]);
    assert!(forced.code == 0 && !forced.err.contains("--pipeline"), "{}", forced.err);
    let log = alone(&["log", "digits@production"]).out;
    assert!(log.contains(&format!("(by hand (forced: {why}")) && log.contains("[requires verified])"), "{log}");
    let shown = alone(&["show", "digits@production"]).out;
    assert!(shown.contains("not judged: no pipeline gave a verdict on it"), "{shown}");
    // It still holds, and a rollback goes by it.
    put("cnn.safetensors");
    assert!(set(&[]).err.contains(why));
    assert_eq!(alone(&["rollback", "digits@production"]).code, 0);
    let shown = alone(&["show", "digits@production"]).out;
    assert!(shown.contains("pass by"), "{shown}");
}

/// Where no rule is known, nobody knows what the pipeline requires of a ref.
#[test]
fn a_ref_that_leaves_what_was_judged_without_its_pipeline_says_so() {
    let project = Project::new();
    project.run(&gate("e08", "0.5", "verified"));
    let alone = |arguments: &[&str]| project.modelwatch(&[&["store", "--store", "store"], arguments].concat());
    assert_eq!(alone(&["set", "digits@staging", "digits@latest"]).code, 0);
    let put = |name: &str| {
        let path = fixtures().join("digits/cnn").join(name);
        assert_eq!(alone(&["put", path.to_str().unwrap(), "digits"]).code, 0, "{name}");
    };
    put("cnn.npz");
    let set = alone(&["tag", "digits@staging", "digits@latest", "--reason", "by hand"]);
    assert_eq!(set.code, 0, "{}", set.err);
    assert!(set.err.contains("which none did; name the pipeline with `--pipeline`"), "{}", set.err);
    let log = alone(&["log", "digits@staging"]).out;
    assert!(log.contains("(by hand (moved without its rule))"), "{log}");
    // From there on there is nothing to leave.
    put("cnn.safetensors");
    let set = alone(&["set", "digits@staging", "digits@latest"]);
    assert!(set.code == 0 && !set.err.contains("which none did"), "{}", set.err);
}
