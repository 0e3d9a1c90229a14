//! What a run prints and writes for other programs.

use std::fs;

use serde_json::Value;

use crate::support::{Project, digits, fixtures, repository};

const METRICS: &str = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";

/// Returns the command's exit code and standard output in that format, for a model that is not good enough.
fn run(format: &str, project: &Project) -> (i32, String) {
    let require = "require = { accuracy = '>= 0.999', 'recall[class=3]' = '>= 0.1' }\n";
    let rest = "[report]\njunit = 'run.xml'\n[[analyze]]\nuses = 'weights'\n";
    project.write("pipeline.toml", &format!("{}{METRICS}{require}{rest}", digits("e08")));
    let mut command = project.command(&["run", "pipeline.toml", "--format", format]);
    let ended = command.env("GITHUB_STEP_SUMMARY", project.path().join("summary.md")).output().unwrap();
    (ended.status.code().unwrap(), String::from_utf8(ended.stdout).unwrap())
}

#[test]
fn the_record_of_a_run_keeps_to_its_schema() {
    let schema = fs::read_to_string(repository().join("configs/run.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let project = Project::new();
    // All that a record can have: a checkpoint with a verdict, a baseline, figures and actions.
    let store = "store = { uses = 'local', with = { path = 'store' } }\n";
    let rest = format!(
        "{METRICS}require = {{ accuracy = '>= 0' }}\n[[analyze]]\nuses = 'drift'\n[[analyze]]\nuses = 'weights'\n"
    );
    let acts = "[on.pass]\nmove = ['good']\n[on.fail]\nrollback = 'good'\n";
    let data = fixtures().join("digits/data/train.npz");
    let more = format!(
        "[data.reference]\npath = '{}'\n[baseline]\nfrom = 'digits@good'\noptional = true\n{rest}{acts}",
        data.display()
    );
    for (model, code) in [("e08", 0), ("bad_diverged", 1)] {
        let (ended, record) = project.run(&format!("{store}{}{more}", digits(model)));
        assert_eq!(ended, code, "{record:#}");
        let errors: Vec<_> = schema.iter_errors(&record).map(|it| format!("{}: {it}", it.instance_path())).collect();
        assert_eq!(errors, [""; 0]);
        let mut other = record.clone();
        other["checks"][0]["status"] = "passed".into();
        assert!(!schema.is_valid(&other));
        // Each object has exactly the keys that are documented.
        let lists = ["checks", "metrics", "findings", "figures", "actions", "models"];
        let parts = lists.map(|it| format!("/{it}/0")).into_iter();
        let parts = parts.chain(["", "/checkpoint", "/coverage", "/timings", "/pipeline"].map(str::to_owned));
        for part in parts.filter(|it| code == 1 || !it.contains("findings")) {
            let mut other = record.clone();
            let object =
                other.pointer_mut(&part).and_then(Value::as_object_mut).unwrap_or_else(|| panic!("{part}: {record:#}"));
            object.insert("other".to_owned(), 1.into());
            assert!(!schema.is_valid(&other), "{part} may have more keys");
        }
    }
}

#[test]
fn a_failed_check_says_what_was_observed_and_required_wherever_it_is_told() {
    let project = Project::new();
    let (code, out) = run("github", &project);
    assert_eq!(code, 1, "{out}");
    let lines: Vec<_> = out.lines().collect();
    assert!(lines.iter().all(|it| it.starts_with("::")), "{out}");
    assert!(lines[0].starts_with("::error file=pipeline.toml,title=test::fail: 3 of 4 checks passed"), "{out}");
    let told = lines.iter().find(|it| it.contains("title=metrics accuracy::")).unwrap_or_else(|| panic!("{out}"));
    assert!(!out.contains("recall"), "{out}");
    let junit = fs::read_to_string(project.path().join("run.xml")).unwrap();
    let failure = junit.split("<failure").nth(1).and_then(|it| it.split("</failure>").next()).unwrap();
    for fact in ["observed 0.9", "required >= 0.999".replace('>', "&gt;").as_str(), "n = "] {
        assert!(failure.contains(fact), "no `{fact}` in {failure}");
        assert!(told.contains(&fact.replace("&gt;", ">")), "no `{fact}` in {told}");
    }
    assert!(fs::read_to_string(project.path().join("summary.md")).unwrap().contains("accuracy"));
}
