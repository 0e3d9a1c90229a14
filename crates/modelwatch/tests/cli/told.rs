//! What people are told in few words: summaries, lists of mistakes, and what to do about them.

use std::fs;

use crate::support::{Ended, Project, digits};

const METRICS: &str = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";

fn run(project: &Project, pipeline: &str, further: &[&str]) -> Ended {
    project.write("pipeline.toml", pipeline);
    project.modelwatch(&[&["run", "pipeline.toml"], further].concat())
}

/// Returns how often a text has the words.
fn count(text: &str, words: &str) -> usize {
    text.matches(words).count()
}

#[test]
fn an_interval_is_missed_where_it_is_asked_for() {
    let project = Project::new();
    let all = ["human", "github", "json"].map(|format| {
        let of = |condition: &str| {
            let pipeline =
                format!("{}{METRICS}require = {{ accuracy = '>= 0.9', ece = '{condition}' }}\n", digits("e08"));
            run(&project, &pipeline, &["--format", format, "--quiet"]).out
        };
        let (asked, unasked) = (of("<= 0.5 with confidence 95%"), of("<= 0.5"));
        (
            count(&asked, "intervals of ece"),
            count(&asked, "ks_statistic[average=macro]:"),
            count(&unasked, "intervals of"),
        )
    });
    assert_eq!(all, [(1, 0, 0); 3]);
}

#[test]
fn what_is_said_of_many_is_said_once_in_the_summary() {
    let project = Project::new();
    let probes = format!("{METRICS}require = {{ 'recall[class=*]' = '>= 0.85' }}\n[[analyze]]\nuses = 'weights'\n");
    let pipeline = format!("{}{probes}", digits("bad_diverged"));
    let human = run(&project, &pipeline, &["--quiet"]).out;
    assert_eq!((count(&human, "✗ metrics · recall["), count(&human, "the metric is not a number")), (1, 1), "{human}");
    assert!(human.contains("… and 9 more: recall[class=1], recall[class=2],"), "{human}");
    assert_eq!((count(&human, "MW-W001"), count(&human, "go back to the last one")), (1, 1), "{human}");
    // Whoever counts them gets all of them.
    let (_, record) = project.run(&pipeline);
    let n = |list: &str, key: &str, value: &str| {
        record[list].as_array().unwrap().iter().filter(|it| it[key] == value).count()
    };
    assert_eq!(n("checks", "metric", "recall"), 10);
    let sick = n("findings", "code", "MW-W001");
    assert!(sick > 5 && human.contains(&format!("… and {} more: ", sick - 1)), "{human}");
}

/// Returns a copy of the program in a folder of its own, beside which there are no plugins.
fn lone_program(project: &Project) -> std::path::PathBuf {
    let program = project.path().join("modelwatch");
    fs::copy(env!("CARGO_BIN_EXE_modelwatch"), &program).unwrap();
    program
}

#[test]
fn without_plugins_it_is_said_where_they_were_looked_for_and_how_to_get_some() {
    let project = Project::new();
    let program = lone_program(&project);
    let empty = project.path().join("empty");
    fs::create_dir(&empty).unwrap();
    project.write("pipeline.toml", &format!("{}{METRICS}", digits("e08")));
    let store = ["store", "--store", "store", "put", "pipeline.toml", "m"];
    for arguments in [
        &["plugin", "list"][..],
        &["explain", "MW-W003"],
        &["explain", "behavior"],
        &["probe", "drift", "--current", "pipeline.toml"],
        &store,
    ] {
        let ended = project.call(&program, &empty, arguments);
        let places =
            [empty.display().to_string(), project.path().canonicalize().unwrap().join("plugins").display().to_string()];
        assert_eq!(ended.out, "", "{arguments:?}");
        assert_eq!(ended.code, if arguments[0] == "plugin" { 0 } else { 2 }, "{arguments:?}: {}", ended.err);
        for it in ["`cargo xtask plugins`", "`--plugin-dir`", &places[0], &places[1]] {
            assert!(ended.err.contains(it), "{arguments:?}: no `{it}` in {}", ended.err);
        }
    }
    let checked = project.call(&program, &empty, &["check", "pipeline.toml"]);
    assert!(checked.err.contains("build the plugins with `cargo xtask plugins`"), "{}", checked.err);
    // What the program itself says needs none of them.
    assert_eq!(project.call(&program, &empty, &["explain", "E0016"]).code, 0);
}
