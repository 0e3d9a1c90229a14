//! Data files that a model would be fed wrongly, or not at all.

use serde_json::Value;

use crate::support::{Project, check, fixtures};

/// A model of 30 columns, with data of its own and a reference.
fn breast_cancer(checkpoint: &str, reference: &str, columns: &str, verify: &str) -> String {
    let folder = fixtures().join("tabular/breast_cancer");
    let checkpoint = checkpoint.replace("MODEL", &folder.join("logreg.onnx").display().to_string());
    let reference = match reference {
        "" => String::new(),
        it => format!("reference.path = '{}'\n", folder.join(it).display()),
    };
    format!(
        "name = 't'\n{checkpoint}\n[data]\ncurrent.path = 'current.csv'\n{reference}[data.columns]\nlabel = 'label'\n{columns}\n\
         [[verify]]\nuses = 'metrics'\nwith = {{ task = 'binary', output = 'probabilities' }}\n{verify}\n"
    )
}

const IMPORT: &str = "checkpoint = { import = 'MODEL', name = 'b' }";
const PATTERNS: &str = "inputs.X = ['mean_*', '*_error', 'worst_*']";
const ACCURATE: &str = "require.accuracy = '>= 0.9'";

/// Returns the rows of the test data with what `change` makes of the fields of each line, which are counted from 0.
fn rows(change: impl Fn(usize, Vec<String>) -> Vec<String>) -> String {
    let text = std::fs::read_to_string(fixtures().join("tabular/breast_cancer/test.csv")).unwrap();
    let fields = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    text.lines().enumerate().map(|(at, line)| change(at, fields(line)).join(",") + "\n").collect()
}

fn reversed() -> String {
    rows(|_, fields| fields.into_iter().rev().collect())
}

#[test]
fn columns_in_another_order_than_the_references_are_refused() {
    let project = Project::new();
    project.write("current.csv", &reversed());
    let reference = fixtures().join("tabular/breast_cancer/train.csv").display().to_string();
    for (columns, place) in [(PATTERNS, "inputs"), ("", "path")] {
        project.write("pipeline.toml", &breast_cancer(IMPORT, "train.csv", columns, ACCURATE));
        for command in ["check", "run"] {
            let ended = project.modelwatch(&[command, "pipeline.toml"]);
            assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{command}: {}", ended.err);
            let (here, there) = if columns.is_empty() {
                ("worst_fractal_dimension", "mean_radius")
            } else {
                ("mean_fractal_dimension", "mean_radius")
            };
            for it in [
                "error[E0213]",
                &format!("current.csv` has the column `{here}` where `{reference}` has `{there}`"),
                place,
                "list them in the model's order in `[data.columns] inputs`",
            ] {
                assert!(ended.err.contains(it), "{command}: no `{it}` in\n{}", ended.err);
            }
        }
    }
    // Named one by one, they are found wherever they are.
    let head = std::fs::read_to_string(&reference).unwrap().lines().next().unwrap().to_owned();
    let named: Vec<_> = head.split(',').take(30).map(|it| format!("'{it}'")).collect();
    let listed = format!("inputs.X = [{}]", named.join(", "));
    let (code, _) = project.run(&breast_cancer(IMPORT, "train.csv", &listed, ACCURATE));
    assert_eq!(code, 0);
}

#[test]
fn a_stored_model_is_not_fed_columns_in_another_order() {
    let project = Project::new();
    let store = "store = { uses = 'local', with = { path = 'store' } }\n";
    project.write("current.csv", &rows(|_, fields| fields));
    assert_eq!(project.run(&breast_cancer(&format!("{store}{IMPORT}"), "", PATTERNS, ACCURATE)).0, 0);
    project.write("current.csv", &reversed());
    let (code, record) =
        project.run(&breast_cancer(&format!("{store}checkpoint.from = 'b@latest'"), "train.csv", PATTERNS, ACCURATE));
    assert_eq!((code, &record["verdict"]), (3, &"error".into()));
    let message = check(&record, "metrics", "error")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("current.csv` has the column `mean_fractal_dimension` where"), "{message}");
}

#[test]
fn a_slice_column_without_values_is_not_checked() {
    let project = Project::new();
    let size = |value: fn(usize) -> &'static str| {
        rows(move |at, mut fields| {
            fields.push(if at == 0 { "size" } else { value(at) }.to_owned());
            fields
        })
    };
    let pipeline =
        breast_cancer(IMPORT, "", &format!("slices = ['size']\n{PATTERNS}"), "require.'accuracy[slice=*]' = '>= 0.5'");
    project.write("current.csv", &size(|_| ""));
    let (code, record) = project.run(&pipeline);
    assert_eq!((code, &record["verdict"]), (4, &"not-checked".into()));
    let message = check(&record, "accuracy", "not-checked")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("no labeled row has a value in `size`"), "{message}");
    project.write("current.csv", &size(|at| if at % 2 == 0 { "" } else { "small" }));
    assert_eq!(project.run(&pipeline).0, 0, "some have one");
}

#[test]
fn a_number_that_is_too_large_for_the_model_is_named_with_its_place() {
    let project = Project::new();
    let with = |at_row: usize, value: &'static str| {
        rows(move |at, mut fields| {
            if at == at_row {
                value.clone_into(&mut fields[11]);
            }
            fields
        })
    };
    project.write("current.csv", &with(7, "1e300"));
    let (code, record) = project.run(&breast_cancer(IMPORT, "", PATTERNS, ACCURATE));
    assert_eq!(code, 3);
    let errors = record["checks"].as_array().unwrap().iter().filter_map(|it| it["message"].as_str());
    let said: Vec<_> = errors.collect();
    let expected = "current.csv` at row 7, column `texture_error`: `1e300` does not fit the type f32 of the model's input `X`; correct it";
    assert!(said.iter().any(|it| it.contains(expected)), "{said:?}");
    assert!(said.iter().all(|it| it.len() < 400), "{said:?}");
}

#[test]
fn names_that_cannot_be_said_are_refused() {
    let project = Project::new();
    project.write("nul.csv", "a\0b,c\n1,2\n2,3\n");
    let ended =
        project.modelwatch(&["probe", "drift", "--current", "nul.csv", "--reference", "nul.csv", "--format", "json"]);
    let record: Value = serde_json::from_str(&ended.out).unwrap();
    let message = record["checks"][0]["message"].as_str().unwrap();
    assert!(ended.code == 3 && message.contains("column `a\\0b` has a NUL; rename the column"), "{message}");
    project.write(
        "pipeline.toml",
        "name = 't'\n[data]\ncurrent.path = 'nul.csv'\nreference.path = 'nul.csv'\n[[analyze]]\nuses = 'drift'\n",
    );
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert!(
        ended.code == 2 && ended.err.contains("nul.csv`: the name of its column `a\\0b` has a NUL"),
        "{}",
        ended.err
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_is_no_text_is_refused_by_its_name() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let project = Project::new();
    let folder = OsStr::from_bytes(b"n\xff\xfed");
    std::fs::create_dir(project.path().join(folder)).unwrap();
    let pipeline = std::path::Path::new(folder).join("q.toml");
    std::fs::write(
        project.path().join(&pipeline),
        "name = 't'\n[data]\ncurrent.path = 'a.csv'\nreference.path = 'a.csv'\n[[analyze]]\nuses = 'drift'\n",
    )
    .unwrap();
    std::fs::write(project.path().join(folder).join("a.csv"), "a\n1\n").unwrap();
    for command in ["check", "run"] {
        let ended = project.command(&[command]).arg(&pipeline).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.code() == Some(2) && said.contains("d/q.toml`: its path is not UTF-8"), "{said}");
    }
}
