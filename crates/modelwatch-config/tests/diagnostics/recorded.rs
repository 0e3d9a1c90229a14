//! Outputs that were recorded, and whose they are.

use crate::{GOOD, errors};

const CHECKPOINT: &str = "[checkpoint]\nimport = \"m.onnx\"\nname = \"a\"\n";
const COLUMNS: &str = "[data.columns]\npredictions = { p = \"score\" }\n";

fn messages(rest: &str) -> Vec<String> {
    let text = errors(&format!("{GOOD}{rest}"));
    text.lines().filter_map(|it| it.strip_prefix("error[")).map(str::to_owned).collect()
}

#[test]
fn a_checkpoint_is_not_judged_by_what_another_one_answered() {
    insta::assert_snapshot!(errors(&format!("{GOOD}{CHECKPOINT}{COLUMNS}")), @r##"
    error[E0030]: the model of `[checkpoint]` is run, and these are of no use
     --> pipeline.toml:8:1
      |
    4 | [checkpoint]
      |  ---------- what is run
    ...
    8 | predictions = { p = "score" }
      | ^^^^^^^^^^^
      |
      = help: add `runtime = "recorded"` to `[checkpoint]` if they are its outputs, or remove `predictions`
    "##);
    assert_eq!(messages(&format!("{CHECKPOINT}runtime = \"recorded\"\n{COLUMNS}")), [""; 0]);
    assert_eq!(messages(COLUMNS), [""; 0], "there need be no checkpoint");
}

#[test]
fn recorded_outputs_are_columns() {
    insta::assert_snapshot!(errors(&format!("{GOOD}{CHECKPOINT}runtime = \"recorded\"\nsignature = \"s\"\n")), @r##"
    error[E0030]: no column is named that has its outputs
     --> pipeline.toml:7:11
      |
    7 | runtime = "recorded"
      |           ^^^^^^^^^^
      |
      = help: add `[data.columns] predictions = { output = "column" }`, or remove `runtime`

    error[E0030]: its outputs were recorded, and `signature` has no effect
     --> pipeline.toml:8:13
      |
    7 | runtime = "recorded"
      | ------- what runs the model
    8 | signature = "s"
      |             ^^^
      |
      = help: remove `signature`, or `runtime`
    "##);
    let nothing = "[checkpoint]\nruntime = \"recorded\"\n[data.columns]\npredictions = { p = \"score\" }\n";
    let text = errors(&format!("{GOOD}{nothing}"));
    assert!(text.contains("help: remove the table: what was recorded needs no checkpoint"), "{text}");
}

#[test]
fn a_baseline_may_be_no_more_than_its_outputs() {
    let baseline = "[baseline]\nruntime = \"recorded\"\n";
    let columns = "[data.columns]\npredictions = { p = \"score\" }\nbaseline_predictions = { p = \"before\" }\n";
    assert_eq!(messages(&format!("{baseline}{columns}")), [""; 0]);
    assert_eq!(messages(&format!("{baseline}{COLUMNS}")), ["E0030]: no column is named that has its outputs"]);
    assert_eq!(messages(columns), ["E0017]: the recorded outputs of the baseline are named, but there is no baseline"]);
    assert_eq!(
        messages(&format!("[baseline]\nimport = \"m.onnx\"\n{columns}")),
        ["E0030]: the model of `[baseline]` is run, and these are of no use"]
    );
    let same = columns.replace("before", "score");
    assert_eq!(
        messages(&format!("{baseline}{same}")),
        ["E0030]: what is judged and the baseline have the same columns as an output, which never differ"]
    );
    let same = columns.replace("{ p = \"before\" }", "{ q = \"score\", r = \"before\" }");
    assert_eq!(messages(&format!("{baseline}{same}")).len(), 1, "{same}");
    // It is no checkpoint, and is never missing.
    let idle = "[store]\nuses = \"local\"\n[baseline]\nruntime = \"recorded\"\nfrom = \"a@good\"\nmodel = \"m\"\noptional = true\n";
    let told =
        ["model", "from", "optional"].map(|it| format!("E0030]: its outputs were recorded, and `{it}` has no effect"));
    let found = messages(&format!("{idle}{columns}"));
    assert!(told.iter().all(|it| found.contains(it)), "{found:?}");
}

#[test]
fn columns_of_an_output_are_in_the_order_of_the_classes() {
    assert_eq!(
        messages("[data.columns]\npredictions = { p = [\"a\", \"b_*\"] }\n"),
        ["E0030]: `b_*` does not say in which order its columns are"]
    );
}

#[test]
fn an_answer_is_no_prediction() {
    let columns =
        "[data.columns]\nlabel = \"y\"\nignore = [\"z\"]\npredictions = { p = \"y\", q = [\"z\", \"a\", \"a\"] }\n";
    assert_eq!(
        messages(columns),
        [
            "E0022]: column `y` is both the label and a recorded output of the model",
            "E0022]: column `z` is both ignored and a recorded output of the model",
            "E0022]: column `a` is listed twice for one output",
        ]
    );
    for role in ["id", "timestamp", "weight"] {
        let columns = format!("[data.columns]\n{role} = \"a\"\npredictions = {{ p = \"a\" }}\n");
        assert_eq!(
            messages(&columns),
            [format!("E0022]: column `a` is both the {role} and a recorded output of the model")]
        );
    }
}
