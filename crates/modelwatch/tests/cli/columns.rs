//! Rules about columns: inferred, written into the pipeline, and changed by review.

use std::{fs, path::Path};

use crate::support::{Ended, Project};

/// Runs the command without plugins, which it does not need.
fn call(project: &Project, arguments: &[&str]) -> Ended {
    let arguments: Vec<_> = ["columns", "pipeline.toml", "--quiet"].iter().chain(arguments).copied().collect();
    project.call(Path::new(env!("CARGO_BIN_EXE_modelwatch")), Path::new("none"), &arguments)
}

const PIPELINE: &str = r#"name = "orders"

[data.current]
path = "data.csv"

[data.columns]
id = "order"
label = "returned"

[[analyze]]
uses = "quality"
with = { exclude = ["note"] } # Notes are free text.

[[analyze]]
uses = "drift"
"#;

/// Forty orders, of whose weights every tenth is missing.
fn orders(towns: &[&str], first: usize) -> String {
    let rows = (first..first + 40).map(|it| {
        let weight = if it % 10 == 3 { String::new() } else { format!("{}.5", it % 7) };
        format!("{it},{},{weight},note {it},{}\n", towns[it % towns.len()], it % 2)
    });
    format!("order,town,weight,note,returned\n{}", rows.collect::<String>())
}

fn lines(ended: &Ended) -> Vec<String> {
    ended.out.lines().map(|it| it.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn rules_are_inferred_written_and_changed_by_review() {
    let project = Project::new();
    project.write("data.csv", &orders(&["north", "south"], 0));
    let pipeline =
        PIPELINE.replace("with = { exclude = [\"note\"] } # Notes", "[analyze.with]\nexclude = [\"note\"] # Notes");
    project.write("pipeline.toml", &pipeline);
    let read = || fs::read_to_string(project.path().join("pipeline.toml")).unwrap();

    let shown = call(&project, &[]);
    assert_eq!((shown.code, read()), (1, pipeline.clone()), "{}", shown.err);
    let expected = [
        r#"COLUMN RULE BEFORE NOW"#,
        r#"order new max_missing = 0, type = "integer", unique = true"#,
        r#"town new categories = ["north","south"], max_missing = 0, type = "text""#,
        r#"weight new max = 6.5, max_missing = 0.1, min = 0.5, type = "number""#,
        r#"returned new max = 1, max_missing = 0, min = 0, required = false, type = "integer""#,
    ];
    assert_eq!(lines(&shown), expected);
    let written = call(&project, &["--yes"]);
    assert_eq!(written.code, 0, "{}", written.err);
    let rules = r#"[analyze.with]
exclude = ["note"] # Notes are free text.

[analyze.with.columns]
order = { max_missing = 0, type = "integer", unique = true }
returned = { max = 1, max_missing = 0, min = 0, required = false, type = "integer" }
town = { categories = ["north", "south"], max_missing = 0, type = "text" }
weight = { max = 6.5, max_missing = 0.1, min = 0.5, type = "number" }
"#;
    let exclusion = "[analyze.with]\nexclude = [\"note\"] # Notes are free text.\n";
    assert_eq!(read(), pipeline.replace(exclusion, rules));
    let again = call(&project, &[]);
    assert_eq!((again.code, again.out.trim_end()), (0, "the rules of `quality` allow what is in `./data.csv`"));

    // Other data: a town is new, and a column is gone.
    project.write("may.csv", &orders(&["north", "east"], 40).replace("returned", "sent_back"));
    let before = read();
    let shown = call(&project, &["--data", "may.csv"]);
    assert_eq!((shown.code, read()), (1, before));
    let expected = [
        r#"COLUMN RULE BEFORE NOW"#,
        r#"town categories ["north","south"] ["north","south","east"]"#,
        r#"sent_back new max = 1, max_missing = 0, min = 0, type = "integer""#,
    ];
    assert_eq!(lines(&shown), expected);
    assert_eq!(call(&project, &["--data", "may.csv", "--yes"]).code, 0);
    assert!(
        read().contains("town = { categories = [\"north\", \"south\", \"east\"], max_missing = 0, type = \"text\" }\n")
    );
    assert_eq!(call(&project, &["--data", "may.csv"]).code, 0);
    assert_eq!(call(&project, &[]).code, 1, "`sent_back` is required now");
}

#[test]
fn an_inline_table_gets_the_rules_too() {
    let project = Project::new();
    project.write("data.csv", &orders(&["north"], 0));
    project.write("pipeline.toml", PIPELINE);
    assert_eq!(call(&project, &["--yes"]).code, 0);
    let text = fs::read_to_string(project.path().join("pipeline.toml")).unwrap();
    assert!(text.contains("with = { columns = { order = { max_missing = 0,"), "{text}");
    assert!(text.contains("exclude = [\"note\"] } # Notes are free text.\n"), "{text}");
    assert_eq!(call(&project, &[]).code, 0);
}

#[test]
fn what_is_meant_has_to_be_clear() {
    let project = Project::new();
    project.write("data.csv", &orders(&["north"], 0));
    let check = |pipeline: &str, arguments: &[&str], message: &str| {
        project.write("pipeline.toml", pipeline);
        let ended = call(&project, arguments);
        assert_eq!(ended.code, 2, "{}", ended.err);
        assert!(ended.err.contains(message), "{}", ended.err);
    };
    check(&PIPELINE.replace("quality", "weights"), &[], "add `[[analyze]]` with `uses = \"quality\"`");
    let two = format!("{PIPELINE}\n[[analyze]]\nuses = \"quality\"\nid = \"other\"\n");
    check(&two, &[], "say with `--id` which one is meant of `quality`, `other`");
    check(&two, &["--id", "x"], "has the id `x`; there are `quality`, `other`");
    check(PIPELINE, &["--data", "none.csv"], "none.csv");
    check(&PIPELINE.replace("uses", "use"), &[], "did you mean `uses`?");
}

#[test]
fn a_stored_profile_answers_as_its_rows_do() {
    let project = Project::new();
    project.write("data.csv", &orders(&["north", "south"], 0));
    project.write("pipeline.toml", PIPELINE);
    let rows = call(&project, &[]);
    let binary = Path::new(env!("CARGO_BIN_EXE_modelwatch"));
    let made = project.call(binary, Path::new("none"), &["profile", "data.csv", "-o", "ref.mwp", "--quiet"]);
    assert_eq!(made.code, 0, "{}", made.err);
    project.write(
        "pipeline.toml",
        &PIPELINE.replace("[data.columns]", "[data.reference]\npath = \"ref.mwp\"\n\n[data.columns]"),
    );
    let sorted = |it: &Ended| {
        let mut res = lines(it);
        res[1..].sort();
        res
    };
    let stored = call(&project, &[]);
    assert_eq!((stored.code, sorted(&stored)), (1, sorted(&rows)), "{}", stored.err);
    assert_eq!(call(&project, &["--yes"]).code, 0);
    let again = call(&project, &[]);
    assert_eq!((again.code, again.out.trim_end()), (0, "the rules of `quality` allow what is in `./ref.mwp`"));
    fs::write(project.path().join("ref.mwp"), b"\x89MWP\r\n\x1a\n").unwrap();
    let damaged = call(&project, &[]);
    assert!(
        damaged.code == 3 && damaged.err.contains("the profile `./ref.mwp` has 8 bytes"),
        "{} {}",
        damaged.code,
        damaged.err
    );
}
