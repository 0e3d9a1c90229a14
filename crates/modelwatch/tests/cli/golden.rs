//! Outputs are recorded whole, updated by review, and hold right afterwards.

use std::fs;

use crate::support::{Ended, Project, fixture_plugins, fixtures};

/// A pipeline of a digits network whose outputs are recorded.
fn pipeline(model: &str, data: &str) -> String {
    let fixtures = fixtures();
    let fixtures = fixtures.display();
    format!(
        "name = 'golden'\ncheckpoint = {{ import = '{fixtures}/digits/cnn_series/{model}.onnx', name = 'digits' }}\n\
         [data.current]\npath = '{data}'\n[data.columns]\nlabel = 'y'\ninputs = {{ x = 'x' }}\n\
         [[verify]]\nuses = 'golden'\nwith = {{ outputs = {{ probs = 'expected' }} }}\n"
    )
}

fn plain() -> String {
    fixtures().join("digits/data/test.npz").display().to_string()
}

fn golden(project: &Project, arguments: &[&str]) -> Ended {
    project.modelwatch(&[&["golden", "pipeline.toml", "--into"], arguments].concat())
}

#[test]
fn what_was_recorded_holds_right_afterwards() {
    for file in ["expected.arrow", "expected.parquet", "expected.npz"] {
        let project = Project::new();
        project.write("pipeline.toml", &pipeline("e08", &plain()));
        let recorded = golden(&project, &[file]);
        assert_eq!(recorded.code, 0, "{file}: {}", recorded.err);
        assert!(recorded.out.contains("rows of probs were recorded"), "{}", recorded.out);
        // To the last bit: no tolerance at all.
        let exact = pipeline("e08", file).replace("'expected' }", "'expected' }, rtol = 0, atol = 0");
        let (code, record) = project.run(&exact);
        assert_eq!(code, 0, "{file}: {record:#}");
        let (code, _) = project.run(&exact.replace("e08.onnx", "e07.onnx"));
        assert_eq!(code, 1, "{file}");
        let left: Vec<_> = fs::read_dir(project.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert!(!left.iter().any(|it| it.to_string_lossy().starts_with(".writing")), "{left:?}");
    }
}

/// A model that gives its text back, as a classifier gives the names of classes.
fn echo(project: &Project, data: &str) -> String {
    // An `Identity` from `x` to `y`, of strings and any number of rows.
    const ONNX: &[u8] = b"\x08\x08\x3a9\x0a\x10\x0a\x01x\x12\x01y\x22\x08Identity\x12\x01g\
        Z\x10\x0a\x01x\x12\x0b\x0a\x09\x08\x08\x12\x05\x0a\x03\x12\x01N\
        b\x10\x0a\x01y\x12\x0b\x0a\x09\x08\x08\x12\x05\x0a\x03\x12\x01NB\x02\x10\x11";
    fs::write(project.path().join("echo.onnx"), ONNX).unwrap();
    format!(
        "name = 'golden'\ncheckpoint = {{ import = 'echo.onnx', name = 'echo' }}\n\
         [data.current]\npath = '{data}'\n[data.columns]\nid = 'row'\ninputs = {{ x = 'word' }}\n\
         [[verify]]\nuses = 'golden'\nwith = {{ outputs = {{ y = 'expected' }} }}\n"
    )
}

#[test]
fn texts_are_recorded_and_reviewed_like_numbers() {
    for file in ["expected.arrow", "expected.parquet", "expected.npz"] {
        let project = Project::new();
        let words = |it: &str| project.write("data.csv", &format!("row,word\na,Größe\nb,{it}\nc,01x\n"));
        words("cat");
        project.write("pipeline.toml", &echo(&project, "data.csv"));
        let recorded = golden(&project, &[file]);
        assert_eq!(recorded.code, 0, "{file}: {}", recorded.err);
        let (code, record) = project.run(&echo(&project, file));
        assert_eq!(code, 0, "{file}: {record:#}");

        words("dog");
        project.write("pipeline.toml", &echo(&project, "data.csv"));
        let review = golden(&project, &[file, "--update"]);
        assert_eq!(review.code, 1, "{file}: {}", review.err);
        assert!(review.out.contains("y of row b: element 0 goes from `cat` to `dog`"), "{}", review.out);
        assert!(review.out.lines().any(|it| it.split_whitespace().eq(["y", "3", "1", "-", "-"])), "{}", review.out);
    }
}

#[test]
fn nothing_is_replaced_before_somebody_has_accepted_it() {
    let project = Project::new();
    project.write("pipeline.toml", &pipeline("e08", &plain()));
    assert_eq!(golden(&project, &["expected.arrow"]).code, 0);
    let path = project.path().join("expected.arrow");
    let before = fs::read(&path).unwrap();
    let same = golden(&project, &["expected.arrow", "--update"]);
    assert_eq!(same.code, 0, "{}", same.err);
    assert!(same.out.contains("are as recorded"), "{}", same.out);

    project.write("pipeline.toml", &pipeline("e07", &plain()));
    let refused = golden(&project, &["expected.arrow"]);
    assert_eq!(refused.code, 2, "{}", refused.out);
    assert!(refused.err.contains("exists; say `--update`"), "{}", refused.err);
    let review = golden(&project, &["expected.arrow", "--update"]);
    assert_eq!(review.code, 1, "{}", review.err);
    assert!(review.out.contains("CHANGED") && review.out.contains("probs of row "), "{}", review.out);
    assert!(review.err.contains("nothing was written"), "{}", review.err);
    assert!(fs::read(&path).unwrap() == before);
    assert_eq!(golden(&project, &["expected.arrow", "--yes"]).code, 2);
    for text in ["row,probs\na,1\n", ""] {
        project.write("other.parquet", text);
        let foreign = golden(&project, &["other.parquet", "--update"]);
        assert_eq!(foreign.code, 2, "{}", foreign.err);
        assert!(foreign.err.contains("`other.parquet` exists and is no Parquet, Arrow or NPZ file"), "{}", foreign.err);
        assert!(!foreign.err.contains("set `format`"), "{}", foreign.err);
    }

    let accepted = golden(&project, &["expected.arrow", "--update", "--yes"]);
    assert_eq!(accepted.code, 0, "{}", accepted.err);
    let (code, record) = project.run(&pipeline("e07", "expected.arrow"));
    assert_eq!(code, 0, "{record:#}");
    // The file can be its own data.
    project.write("pipeline.toml", &pipeline("e08", "expected.arrow"));
    assert_eq!(golden(&project, &["expected.arrow", "--update", "--yes"]).code, 0);
    let (code, record) = project.run(&pipeline("e08", "expected.arrow"));
    assert_eq!(code, 0, "{record:#}");
}

#[test]
fn a_review_names_rows_by_their_ids_and_takes_no_others() {
    let project = Project::new();
    let source = fixtures().join("tabular/breast_cancer/test.csv");
    let text = fs::read_to_string(&source).unwrap();
    let mut lines = text.lines();
    let head = format!("row,{}", lines.next().unwrap());
    let rows = |first: usize| {
        let numbered = text.lines().skip(1).take(20).enumerate();
        let rows: Vec<_> = numbered.map(|(at, it)| format!("case-{},{it}", at + first)).collect();
        format!("{head}\n{}\n", rows.join("\n"))
    };
    project.write("data.csv", &rows(100));
    project.write("other.csv", &rows(101));
    let of = |data: &str| {
        let fixtures = fixtures();
        format!(
            "name = 'golden'\ncheckpoint = {{ import = '{}/tabular/breast_cancer/logreg.onnx', name = 'b' }}\n\
             [data.current]\npath = '{data}'\n[data.columns]\nlabel = 'label'\ninputs = {{ X = ['mean_*', '*_error', 'worst_*'] }}\nid = 'row'\n\
             [[verify]]\nuses = 'golden'\nwith = {{ outputs = {{ probabilities = 'expected' }} }}\n",
            fixtures.display()
        )
    };
    project.write("pipeline.toml", &of("data.csv"));
    let recorded = golden(&project, &["expected.parquet"]);
    assert_eq!(recorded.code, 0, "{}", recorded.err);
    project.write("pipeline.toml", &of("other.csv"));
    let refused = golden(&project, &["expected.parquet", "--update", "--yes"]);
    assert_eq!(refused.code, 3, "{}", refused.out);
    assert!(refused.err.contains("row 0 has the id `case-101`, recorded is `case-100`"), "{}", refused.err);
}

#[test]
fn what_cannot_be_recorded_leaves_nothing_behind() {
    let project = Project::new();
    let without = pipeline("e08", &plain()).replace("uses = 'golden'", "uses = 'metrics'");
    project.write("pipeline.toml", &without);
    let refused = golden(&project, &["expected.arrow"]);
    assert_eq!(refused.code, 2, "{}", refused.out);
    assert!(refused.err.contains("no verifier `golden`"), "{}", refused.err);

    project.write("pipeline.toml", &pipeline("e08", &plain()));
    let format = golden(&project, &["expected.csv"]);
    assert_eq!(format.code, 2, "{}", format.out);
    assert!(format.err.contains("`.parquet`, `.arrow` or `.npz`"), "{}", format.err);

    let named = pipeline("e08", &plain()).replace("probs", "prob");
    project.write("pipeline.toml", &named);
    let output = golden(&project, &["expected.arrow"]);
    assert_eq!(output.code, 3, "{}", output.out);
    assert!(output.err.contains("the model has none of that name, only"), "{}", output.err);

    project.write("pipeline.toml", &pipeline("bad_diverged", &plain()));
    let nan = golden(&project, &["expected.arrow"]);
    assert_eq!(nan.code, 3, "{}", nan.out);
    assert!(nan.err.contains("it has NaN, which no output equals"), "{}", nan.err);
    assert_eq!(project.names(), ["pipeline.toml"]);
}

#[test]
fn infinities_are_recorded_only_where_they_are_allowed() {
    let project = Project::new();
    let names: Vec<_> = (0..13).map(|it| format!("x{it}")).collect();
    // Their sums are beyond what an f32 can be.
    project.write("data.csv", &format!("{}\n{}\n", names.join(","), vec!["3.4e38"; 13].join(",")));
    let of = |data: &str, options: &str| {
        format!(
            "name = 'golden'\ncheckpoint = {{ import = '{}/tabular/wine/pca.onnx', name = 'pca' }}\n\
             [data.current]\npath = '{data}'\n[data.columns]\ninputs = {{ X = 'x*' }}\n\
             [[verify]]\nuses = 'golden'\nwith = {{ outputs = {{ variable = 'expected' }}{options} }}\n",
            fixtures().display()
        )
    };
    project.write("pipeline.toml", &of("data.csv", ""));
    let refused = golden(&project, &["expected.arrow"]);
    assert_eq!(refused.code, 3, "{}", refused.out);
    assert!(refused.err.contains("it has an infinity, which no output equals"), "{}", refused.err);
    assert!(refused.err.contains("set `equal_infinity`"), "{}", refused.err);
    project.write("pipeline.toml", &of("data.csv", ", equal_infinity = true"));
    let recorded = golden(&project, &["expected.arrow"]);
    assert_eq!(recorded.code, 0, "{}", recorded.err);
    let (code, record) = project.run(&of("expected.arrow", ", equal_infinity = true"));
    assert_eq!(code, 0, "{record:#}");
    assert_eq!(project.run(&of("expected.arrow", "")).0, 1);
}

/// The code that says more than the panic stays.
#[test]
fn a_store_that_panics_at_its_end_is_told_beside_the_outcome() {
    let project = Project::new();
    let put = |model: &str| {
        let file = fixtures().join(format!("digits/cnn_series/{model}.onnx"));
        let put = project.modelwatch(&["store", "--store", "store", "put", file.to_str().unwrap(), "digits"]);
        assert_eq!(put.code, 0, "{}", put.err);
    };
    let (from, data) = (pipeline("e08", &plain()), "[data.current]");
    let (_, rest) = from.split_once(data).unwrap();
    let store = "name = 'golden'\nstore = { uses = 'faulty', with = { path = 'store', fault = 'drop' } }\n\
                 checkpoint = { from = 'digits@latest' }\n";
    project.write("pipeline.toml", &format!("{store}{data}{rest}"));
    let plugins = fixture_plugins();
    let record = |further: &[&str]| {
        let ended =
            golden(&project, &[&["expected.arrow", "--plugin-dir", plugins.to_str().unwrap()], further].concat());
        assert!(ended.err.contains("the plugin panicked at"), "{further:?}: {}", ended.err);
        ended.code
    };
    put("e08");
    assert_eq!(record(&[]), 3);
    // It is there already, and has other values now.
    assert_eq!(record(&[]), 2);
    put("e07");
    assert_eq!(record(&["--update"]), 1);
}
