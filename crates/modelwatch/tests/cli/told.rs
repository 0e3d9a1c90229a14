//! What people are told in few words: summaries, lists of mistakes, and what to do about them.

use std::fs;

use crate::support::{Ended, Project, digits, fixtures};

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
fn an_interval_is_missed_where_the_method_gives_none() {
    let project = Project::new();
    let of = |method: &str, format: &str| {
        let metrics = METRICS.replace(" }", &format!(", intervals = {{ method = '{method}' }} }}"));
        let require = "require = { accuracy = '>= 0.9', ece = '<= 0.6 with confidence 95%' }\n";
        run(&project, &format!("{}{metrics}{require}", digits("e08")), &["--format", format, "--quiet"])
    };
    for format in ["human", "github", "json"] {
        let (bootstrap, jackknife) = (of("bootstrap", format), of("jackknife", format));
        assert_eq!((bootstrap.code, count(&bootstrap.out, "intervals of ece")), (0, 0), "{}", bootstrap.out);
        assert_eq!((jackknife.code, count(&jackknife.out, "intervals of ece")), (1, 1), "{}", jackknife.out);
    }
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

#[test]
fn arguments_that_lead_to_nothing_are_told_at_once_and_before_the_run() {
    let project = Project::new();
    project.write("rows.csv", "a,b\n1,x\n");
    fs::create_dir(project.path().join("folder")).unwrap();
    for (current, reference, model) in [
        ("none.csv", "neither.csv", None),
        ("no*.csv", "rows.csv", None),
        ("rows.csv", "folder", None),
        ("rows.csv", "rows.csv", Some("none.onnx")),
    ] {
        let mut arguments = vec!["probe", "drift", "--current", current, "--reference", reference];
        arguments.extend(model.into_iter().flat_map(|it| ["--model", it]));
        let ended = project.modelwatch(&arguments);
        assert_eq!((ended.code, &*ended.out), (2, ""), "{current} {reference}: {}", ended.err);
        for it in [current, reference].into_iter().chain(model).filter(|it| *it != "rows.csv") {
            let option = format!(" {it}\n");
            assert!(count(&ended.err, "E0203") >= 1 && ended.err.contains(&option), "{it}: {}", ended.err);
        }
    }
    // Two of them are counted below.
    let ended = project.modelwatch(&["probe", "drift", "--current", "none.csv", "--reference", "neither.csv"]);
    assert!(ended.err.contains("\n\n2 errors\n"), "{}", ended.err);
    // A probe that could not run measured nothing.
    project.write("broken.csv", "a,b\n1,2\n3\n");
    let ended = project.modelwatch(&["probe", "drift", "--current", "broken.csv", "--reference", "rows.csv"]);
    assert!(ended.code == 3 && !ended.out.contains("METRIC"), "{}", ended.out);
}

#[test]
fn a_run_says_what_to_do_about_a_path_to_nothing() {
    let project = Project::new();
    let missing = format!("{}{METRICS}", digits("none"));
    let ended = run(&project, &missing.replace("test.npz", "none-*.npz"), &[]);
    assert_eq!(ended.code, 3, "{}", ended.err);
    let ended = ended.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(ended.contains("No such file or directory (os error 2); correct the path (pipeline.toml:2:"), "{ended}");
    let quality = "name = 'x'\n[data.current]\npath = 'none-*.csv'\n[[analyze]]\nuses = 'quality'\n";
    let ended = run(&project, quality, &[]).out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(ended.contains("none-*.csv`; correct the path (pipeline.toml:3:8)"), "{ended}");
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

#[test]
fn explanations_fit_the_terminal() {
    let project = Project::new();
    let explained = |what: &str, columns: usize| {
        let output = project.command(&["explain", what]).env("COLUMNS", columns.to_string()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for what in ["drift", "metrics", "quality", "MW-W003", "E0003", "local"] {
        for columns in [60, 100] {
            let out = explained(what, columns);
            // The titles of findings are as they are.
            let texts = out.lines().filter(|it| !it.starts_with("  MW-"));
            let wide: Vec<_> = texts.filter(|it| it.chars().count() > columns).collect();
            assert_eq!(wide, [""; 0], "{what}");
        }
    }
    let chunk = explained("drift", 100);
    let chunk = chunk.split_once("\n  chunk (a table)\n").unwrap().1.split_once("\n  columns (").unwrap().0;
    let forms = "    one of:\n      size (an integer, required)\n    or:\n      count (an integer, required)\n    or:\n      period (";
    assert!(chunk.contains(forms), "{chunk}");
}

#[test]
fn a_checkpoint_of_several_lineages_is_that_of_the_ref() {
    let project = Project::new();
    let file = fixtures().join("digits/cnn/cnn.safetensors");
    let store = |arguments: &[&str]| project.modelwatch(&[&["store", "--store", "store"], arguments].concat());
    let put = |lineage: &str| store(&["put", file.to_str().unwrap(), lineage]).out;
    let (first, second) = (put("digits"), put("digits-cnn"));
    let id = first.trim().rsplit(['@', ':', ' ']).next().unwrap().get(..12).unwrap();
    assert!(second.contains(id), "{first}{second}");
    let set = store(&["set", "digits-cnn@production", id]);
    assert_eq!((set.code, set.out.trim()), (0, &*format!("digits-cnn@production is at {id}")), "{}", set.err);
    let again = store(&["set", "digits-cnn@production", id, "--expect", id]);
    assert_eq!(again.code, 0, "{}", again.err);
    // Nothing says which one is meant where it is only shown.
    let shown = store(&["show", id]);
    assert!(shown.code == 2 && shown.err.contains(" and "), "{}", shown.err);
    let other = store(&["put", fixtures().join("digits/cnn/cnn.npz").to_str().unwrap(), "other"]).out;
    let other = other.trim().rsplit(['@', ':', ' ']).next().unwrap().get(..12).unwrap();
    let refused = store(&["set", "digits-cnn@production", other]);
    assert!(refused.code == 2 && refused.err.contains("is of lineage `other`"), "{}", refused.err);
    // One file is one file.
    let got = store(&["get", "digits-cnn@production", "got"]);
    assert!(got.code == 0 && got.out.starts_with(&format!("1 file of {id} is in ")), "{}{}", got.out, got.err);
}

#[test]
fn mistakes_are_told_from_top_to_bottom_and_counted() {
    let project = Project::new();
    let text = "name = 'x'\nnmae = 'y'\n[data.current]\npath = 's3://bucket/a.csv'\n[data.columns]\nlabel = 'y'\n\
                [[verify]]\nuses = 'metrcs'\n[[analyze]]\nuses = 'drift'\nwith = { alhpa = 1 }\n";
    project.write("pipeline.toml", text);
    let checked = project.modelwatch(&["check", "pipeline.toml"]);
    let places = checked.err.lines().filter_map(|it| it.trim().strip_prefix("--> pipeline.toml:"));
    let lines: Vec<usize> = places.map(|it| it.split(':').next().unwrap().parse().unwrap()).collect();
    assert!(checked.code == 2 && lines.is_sorted() && lines.len() >= 4, "{}", checked.err);
    assert!(checked.err.trim_end().ends_with(&format!("\n\n{} errors", lines.len())), "{}", checked.err);
    // What is said of a value by the file itself does not come again as what a run would stumble over.
    assert_eq!(lines.iter().filter(|it| **it == 4).count(), 1, "{}", checked.err);
    let json = project.modelwatch(&["check", "pipeline.toml", "--format", "json"]).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let of_json: Vec<_> = json.as_array().unwrap().iter().map(|it| it["location"]["line"].as_u64().unwrap()).collect();
    assert_eq!(of_json, lines.iter().map(|it| *it as u64).collect::<Vec<_>>());
    // One alone needs no count.
    project.write("pipeline.toml", "name = 'x'\n[[analyze]]\nuses = 'drft'\n");
    assert!(!project.modelwatch(&["check", "pipeline.toml"]).err.contains("1 error"));
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_modelwatch")).args(["check", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("One JSON array") && !help.contains("summary for people"), "{help}");
}

#[test]
fn values_of_a_probe_without_a_baseline_have_one_column() {
    let project = Project::new();
    let data = fixtures().join("tabular/breast_cancer/test.csv");
    let model = fixtures().join("digits/cnn_series/e08.onnx");
    let baseline = fixtures().join("digits/cnn_series/e07.onnx");
    let quality = project.modelwatch(&["probe", "quality", "--current", data.to_str().unwrap()]).out;
    let head = |out: &str| {
        let line = out.lines().find(|it| it.trim_start().starts_with("METRIC")).unwrap_or_else(|| panic!("{out}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(head(&quality), ["METRIC", "VALUE", "N"]);
    let last = quality.trim_end().lines().last().unwrap();
    assert!(last.ends_with(" more metrics: `--format json`"), "{last}");
    let rows = fixtures().join("digits/data/test.npz");
    let metrics = [
        ["probe", "metrics", "--current", rows.to_str().unwrap(), "--model", model.to_str().unwrap()],
        ["--baseline", baseline.to_str().unwrap(), "--with", "task=multiclass", "--column", "label=y"],
    ];
    let compared = project.modelwatch(&metrics.concat()).out;
    assert_eq!(head(&compared), ["METRIC", "CANDIDATE", "BASELINE", "N"]);
}

#[test]
fn a_loss_that_is_tolerated_is_a_warning() {
    let fixtures = fixtures();
    let run = |requirement: &str| {
        let (code, record) = Project::new().run(&format!(
            "name = 'tolerated'\nbaseline = {{ import = '{0}/digits/cnn_series/e08.onnx' }}\n\
             checkpoint = {{ import = '{0}/digits/cnn_series/e02.onnx', name = 'digits' }}\n\
             data = {{ current = {{ path = '{0}/digits/data/test.npz' }}, columns = {{ label = 'y' }} }}\n\
             [[verify]]\nuses = 'metrics'\nwith = {{ task = 'multiclass' }}\nrequire = {{ {requirement} }}\n",
            fixtures.display()
        ));
        let findings = record["findings"].as_array().unwrap();
        let worse = findings.iter().find(|it| it["code"] == "MW-M005").unwrap_or_else(|| panic!("{record:#}"));
        (code, worse["severity"].as_str().unwrap().to_owned())
    };
    let [error, warning] = ["error", "warning"].map(str::to_owned);
    assert_eq!(run("accuracy = '>= baseline - 0.5'"), (0, warning.clone()));
    assert_eq!(run("accuracy = 'not worse than 50% of baseline'"), (0, warning.clone()));
    assert_eq!(run("accuracy = '>= baseline - 0.0001'"), (1, warning));
    // Nothing is said of how much worse it may be.
    assert_eq!(run("accuracy = '>= 0.5'"), (1, error.clone()));
    assert_eq!(run("accuracy = '>= baseline'"), (1, error.clone()));
    assert_eq!(run("log_loss = '<= baseline + 10'"), (1, error));
}
