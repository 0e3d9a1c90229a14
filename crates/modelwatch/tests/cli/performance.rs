//! Estimates for rows whose labels come later.

use std::fmt::Write;

use crate::support::{Project, check};

/// Rows whose scores are right about half of the time that they doubt, as CSV.
fn csv(n_rows: usize, has_labels: bool) -> String {
    let mut res = if has_labels { "score,label\n" } else { "score\n" }.to_owned();
    for row in 0..n_rows {
        let score = (row * 37 % 100) as f64 / 100.0 + 0.005;
        let label = u8::from(score > (row * 61 % 103) as f64 / 103.0);
        match has_labels {
            true => writeln!(res, "{score},{label}").unwrap(),
            false => writeln!(res, "{score}").unwrap(),
        }
    }
    res
}

fn pipeline(label: &str) -> String {
    format!(
        "name = 'later'\n[data]\ncurrent = {{ path = 'current.csv' }}\nreference = {{ path = 'reference.csv' }}\n\
         [data.columns]\nlabel = '{label}'\n\
         [[analyze]]\nuses = 'performance'\nwith = {{ task = 'binary', score = 'score' }}\n\
         require = {{ estimated_accuracy = '>= 0.6', \"estimated_roc_auc[chunk=*]\" = '>= 0.6' }}\n"
    )
}

#[test]
fn current_rows_need_neither_labels_nor_a_model() {
    let project = Project::new();
    project.write("reference.csv", &csv(4000, true));
    project.write("current.csv", &csv(2000, false));
    let (code, record) = project.run(&pipeline("label"));
    assert_eq!((code, &record["verdict"]), (0, &"pass".into()), "{record:#}");
    assert_eq!(check(&record, "estimated_accuracy", "pass")["n"], 2000);
    let names: Vec<_> = record["metrics"].as_array().unwrap().iter().map(|it| it["name"].to_string()).collect();
    assert!(!names.iter().any(|it| it.contains("realized")), "{names:?}");
}

#[test]
fn a_label_that_is_misspelt_is_told_of_the_reference() {
    let project = Project::new();
    project.write("reference.csv", &csv(100, true));
    project.write("current.csv", &csv(100, false));
    project.write("pipeline.toml", &pipeline("lable"));
    let ended = project.modelwatch(&["run", "pipeline.toml"]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    assert!(ended.err.contains("the reference data has no column `lable`"), "{}", ended.err);
}
