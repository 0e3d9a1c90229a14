//! What two parts of a file say about each other.

use crate::{GOOD, errors};

#[test]
fn a_pipeline_checks_something() {
    insta::assert_snapshot!(errors("name = \"it\"\n"), @r##"
    error[E0011]: the pipeline checks nothing: it has no `[[verify]]` and no `[[analyze]]`
    --> pipeline.toml
     = help: add a probe, such as `[[verify]]` with `uses = "metrics"`; `modelwatch plugin list` shows all
    "##);
}

#[test]
fn names_are_plain() {
    insta::assert_snapshot!(errors("name = \"a/b\"\n[store]\nuses = \"local\"\n[checkpoint]\nimport = \"x\"\nname = \"my digits\"\n[[verify]]\nuses = \"a\"\nid = \"b c\"\n[on.pass]\nmove = [\"good\", \"digits@best\"]\n[on.fail]\nrollback = \"../x\"\n"), @r##"
    error[E0012]: the name of the pipeline cannot be used in file names
     --> pipeline.toml:1:8
      |
    1 | name = "a/b"
      |        ^^^^^
      |
      = help: use up to 128 letters, digits, spaces, `.`, `_` or `-`, and begin with a letter or digit

    error[E0012]: `my digits` is not a name for a lineage
     --> pipeline.toml:6:8
      |
    6 | name = "my digits"
      |        ^^^^^^^^^^^
      |
      = help: use 1 to 128 letters, digits, `.`, `_` or `-`, and begin with none of `.` and `-`

    error[E0012]: `b c` is not an id for a probe
     --> pipeline.toml:9:6
      |
    9 | id = "b c"
      |      ^^^^^
      |
      = help: use 1 to 128 letters, digits, `.`, `_` or `-`, and begin with none of `.` and `-`

    error[E0012]: `digits@best` is not a name for a ref
      --> pipeline.toml:11:17
       |
    11 | move = ["good", "digits@best"]
       |                 ^^^^^^^^^^^^^
       |
       = help: write `best` alone: the lineage is that of the judged checkpoint

    error[E0012]: `../x` is not a name for a ref
      --> pipeline.toml:13:12
       |
    13 | rollback = "../x"
       |            ^^^^^^
       |
       = help: use 1 to 128 letters, digits, `.`, `_` or `-`, and begin with none of `.` and `-`
    "##);
}

#[test]
fn a_checkpoint_has_one_source() {
    insta::assert_snapshot!(errors(&format!("{GOOD}[store]\nuses = \"local\"\n[checkpoint]\nimport = \"x\"\nfrom = \"a@b\"\nname = \"a\"\n[baseline]\n")), @r##"
    error[E0013]: `[checkpoint]` has both `import` and `from`
     --> pipeline.toml:8:1
      |
    7 | import = "x"
      | ------ the first one
    8 | from = "a@b"
      | ^^^^ a second source
      |
      = help: keep one of them

    error[E0013]: `[baseline]` has neither `import` nor `from`
      --> pipeline.toml:10:2
       |
    10 | [baseline]
       |  ^^^^^^^^ where does it come from?
       |
       = help: add `import = "path"` for a file or folder, or `from = "lineage@ref"` for one in the store
    "##);
}

#[test]
fn an_imported_checkpoint_needs_a_name() {
    insta::assert_snapshot!(errors(&format!("{GOOD}[checkpoint]\nimport = \"x\"\n")), @r##"
    error[E0013]: an imported checkpoint needs a `name`
     --> pipeline.toml:4:2
      |
    4 | [checkpoint]
      |  ^^^^^^^^^^ no `name` in this table
    5 | import = "x"
      | ------ imported here
      |
      = help: add the lineage it joins, such as `name = "digits"`
    "##);
}

#[test]
fn a_stored_checkpoint_takes_no_name() {
    insta::assert_snapshot!(errors(&format!("{GOOD}[store]\nuses = \"local\"\n[checkpoint]\nfrom = \"digits@latest\"\nname = \"digits\"\n")), @r##"
    error[E0013]: a stored checkpoint has a lineage already
     --> pipeline.toml:8:8
      |
    7 | from = "digits@latest"
      | ---- the lineage is named here
    8 | name = "digits"
      |        ^^^^^^^^
      |
      = help: remove `name`
    "##);
}

#[test]
fn a_stored_checkpoint_is_a_lineage_and_a_ref() {
    insta::assert_snapshot!(errors(&format!("{GOOD}[store]\nuses = \"local\"\n[checkpoint]\nfrom = \"digits\"\n[baseline]\nfrom = \"digits@b3:12xy\"\n")), @r##"
    error[E0014]: `digits` does not say which checkpoint of a lineage
     --> pipeline.toml:7:9
      |
    7 | from = "digits"
      |         ^^^^^^
      |
      = help: write `lineage@ref`, such as `digits@latest`, or `lineage@b3:` and the digest

    error[E0014]: `12xy` is not a digest: 4 to 64 hexadecimal digits are needed
     --> pipeline.toml:9:19
      |
    9 | from = "digits@b3:12xy"
      |                   ^^^^
      |
      = help: write `lineage@ref`, such as `digits@latest`, or `lineage@b3:` and the digest
    "##);
}

#[test]
fn refs_need_a_store() {
    insta::assert_snapshot!(errors(&format!("{GOOD}[baseline]\nfrom = \"digits@good\"\n[on.pass]\nmove = \"good\"\n")), @r##"
    error[E0015]: a checkpoint is taken from a store, but there is none
     --> pipeline.toml:5:8
      |
    5 | from = "digits@good"
      |        ^^^^^^^^^^^^^ kept in a store
      |
      = help: add a `[store]` table, or use `import` for a file or folder

    error[E0015]: `move` needs a `[store]` that keeps refs
     --> pipeline.toml:7:1
      |
    7 | move = "good"
      | ^^^^ changes refs
      |
      = help: add a `[store]` table, or remove the action

    error[E0015]: `move` needs a `[checkpoint]` to judge
     --> pipeline.toml:7:1
      |
    7 | move = "good"
      | ^^^^ changes refs
      |
      = help: add a `[checkpoint]` table, or remove the action
    "##);
}

#[test]
fn nothing_is_missing_that_is_there_under_a_misspelled_name() {
    let tables = "[stroe]\nuses = \"local\"\n[chekpoint]\nimport = \"a\"\n[basline]\nfrom = \"a@good\"\n";
    let rest = "[[verify]]\nuses = \"a\"\nrequire = { accuracy = \">= baseline\" }\n[on.pass]\nmove = \"good\"\n";
    insta::assert_snapshot!(errors(&format!("name = \"it\"\n{tables}{rest}")), @r##"
    error[E0002]: unknown key `stroe`
     --> pipeline.toml:2:2
      |
    2 | [stroe]
      |  ^^^^^ not known here
      |
      = help: did you mean `store`?

    error[E0002]: unknown key `chekpoint`
     --> pipeline.toml:4:2
      |
    4 | [chekpoint]
      |  ^^^^^^^^^ not known here
      |
      = help: did you mean `checkpoint`?

    error[E0002]: unknown key `basline`
     --> pipeline.toml:6:2
      |
    6 | [basline]
      |  ^^^^^^^ not known here
      |
      = help: did you mean `baseline`?
    "##);
}

#[test]
fn ids_are_unique() {
    insta::assert_snapshot!(errors("name = \"it\"\n[[verify]]\nuses = \"a\"\nid = \"x\"\n[[analyze]]\nuses = \"b\"\nid = \"x\"\n"), @r##"
    error[E0021]: two probes have the id `x`
     --> pipeline.toml:7:6
      |
    4 | id = "x"
      |      --- given first
    ...
    7 | id = "x"
      |      ^^^ given again
      |
      = help: use another id, or leave it out to have the probe numbered
    "##);
}

#[test]
fn a_label_is_not_an_input() {
    insta::assert_snapshot!(errors(&format!("{GOOD}[data.columns]\nlabel = \"y\"\ninputs = {{ X = [\"a\", \"y\", \"a\"] }}\nslices = [\"z\"]\nignore = [\"z\"]\n")), @r##"
    error[E0022]: column `y` is both the label and an input of the model
     --> pipeline.toml:6:22
      |
    5 | label = "y"
      |         --- the label
    6 | inputs = { X = ["a", "y", "a"] }
      |                      ^^^ an input of the model
      |
      = help: a model that sees the answer has nothing to predict; remove the column from the inputs

    error[E0022]: column `a` is listed twice for one input
     --> pipeline.toml:6:27
      |
    6 | inputs = { X = ["a", "y", "a"] }
      |                 ---       ^^^ again
      |                 |
      |                 first here
      |
      = help: list each column once, in the order in which the model takes them

    error[E0022]: column `z` is both ignored and a slice
     --> pipeline.toml:7:11
      |
    7 | slices = ["z"]
      |           ^^^ a slice
    8 | ignore = ["z"]
      |           --- ignored
      |
      = help: give the column one of the two roles
    "##);
}

#[test]
fn a_probe_that_never_runs_is_refused() {
    insta::assert_snapshot!(errors(&format!("{GOOD}when = \"baseline\"\n[[analyze]]\nuses = \"drift\"\nwhen = \"reference\"\n")), @r##"
    error[E0023]: the probe never runs: there is no `[baseline]`
     --> pipeline.toml:4:8
      |
    4 | when = "baseline"
      |        ^^^^^^^^^^ waits for something that is not there
      |
      = help: add a `[baseline]` table, or remove the probe or its `when`

    error[E0023]: the probe never runs: there is no `[data.reference]`
     --> pipeline.toml:7:8
      |
    7 | when = "reference"
      |        ^^^^^^^^^^^ waits for something that is not there
      |
      = help: add a `[data.reference]` table, or remove the probe or its `when`
    "##);
}

#[test]
fn durations_have_a_unit() {
    insta::assert_snapshot!(errors(&format!("{GOOD}timeout = \"30\"\n[[verify]]\nuses = \"b\"\ntimeout = 0\n")), @r##"
    error[E0024]: `timeout` has no unit
     --> pipeline.toml:4:11
      |
    4 | timeout = "30"
      |           ^^^^
      |
      = help: write a number with a unit, such as `"30s"`, `"5m"` or `"1h30m"`, or seconds

    error[E0024]: `timeout` must be longer than zero
     --> pipeline.toml:7:11
      |
    7 | timeout = 0
      |           ^
      |
      = help: write a number with a unit, such as `"30s"`, `"5m"` or `"1h30m"`, or seconds
    "##);
}

#[test]
fn memory_has_a_unit_and_a_process() {
    let process = "isolation = \"process\"\nmemory = \"2\"\n";
    insta::assert_snapshot!(errors(&format!("{GOOD}{process}[[verify]]\nuses = \"b\"\nmemory = \"2GiB\"\n")), @r##"
    error[E0006]: `memory` has no unit
     --> pipeline.toml:5:10
      |
    5 | memory = "2"
      |          ^^^
      |
      = help: write a number with a unit, such as `"2GiB"` or `"512MiB"`, or bytes

    error[E0006]: `memory` limits a process, but the probe runs in a thread
     --> pipeline.toml:8:10
      |
    8 | memory = "2GiB"
      |          ^^^^^^
      |
      = help: add `isolation = "process"`, or remove it
    "##);
}

#[test]
fn empty_values_are_refused() {
    insta::assert_snapshot!(errors(&format!("{GOOD}[report]\nhtml = \"\"\n[data.columns]\nlabel = \"\"\n[on.fail]\nrun = [\"\"]\n")), @r##"
    error[E0025]: `report.html` is empty
     --> pipeline.toml:5:8
      |
    5 | html = ""
      |        ^^ nothing here

    error[E0025]: `data.columns.label` is empty
     --> pipeline.toml:7:9
      |
    7 | label = ""
      |         ^^ nothing here

    error[E0025]: `on.fail.run.0` is empty
     --> pipeline.toml:9:8
      |
    9 | run = [""]
      |        ^^ nothing here
    "##);
}

#[test]
fn onnx_runtime_is_for_onnx_models() {
    insta::assert_snapshot!(errors(&format!("{GOOD}[checkpoint]\nimport = \"run/cnn.tflite\"\nname = \"a\"\nruntime = \"onnxruntime\"\n[baseline]\nimport = \"run.tflite\"\nmodel = \"m.PB\"\nruntime = \"onnxruntime\"\n")), @r##"
    error[E0028]: ONNX Runtime reads ONNX, and `cnn.tflite` is TFLite
     --> pipeline.toml:7:11
      |
    5 | import = "run/cnn.tflite"
      | ------ the model is named here
    6 | name = "a"
    7 | runtime = "onnxruntime"
      |           ^^^^^^^^^^^^^
      |
      = help: export the model to ONNX, or remove `runtime`

    error[E0028]: ONNX Runtime reads ONNX, and `m.PB` is a TensorFlow graph
      --> pipeline.toml:11:11
       |
    10 | model = "m.PB"
       | ----- the model is named here
    11 | runtime = "onnxruntime"
       |           ^^^^^^^^^^^^^
       |
       = help: export the model to ONNX, or remove `runtime`
    "##);
}

#[test]
fn a_signature_is_of_what_has_signatures() {
    insta::assert_snapshot!(errors(&format!("{GOOD}[checkpoint]\nimport = \"m.onnx\"\nname = \"a\"\nruntime = \"onnxruntime\"\nsignature = \"serve\"\n[baseline]\nimport = \"saved\"\nsignature = \"\"\n")), @r##"
    error[E0028]: ONNX Runtime reads ONNX, which has no signature `serve`
     --> pipeline.toml:8:13
      |
    7 | runtime = "onnxruntime"
      | ------- what runs the model
    8 | signature = "serve"
      |             ^^^^^^^
      |
      = help: remove `signature`, or `runtime`

    error[E0025]: `baseline.signature` is empty
      --> pipeline.toml:11:13
       |
    11 | signature = ""
       |             ^^ nothing here
    "##);
}

#[test]
fn a_runtime_is_one_of_three() {
    insta::assert_snapshot!(errors(&format!("{GOOD}[checkpoint]\nimport = \"m.onnx\"\nname = \"a\"\nruntime = \"onxruntime\"\n[run]\nonnxruntime = \"\"\n")), @r##"
    error[E0005]: `runtime` cannot be "onxruntime"; accepted: "tract", "onnxruntime", "recorded"
     --> pipeline.toml:7:11
      |
    7 | runtime = "onxruntime"
      |           ^^^^^^^^^^^^ not one of the accepted values
      |
      = help: did you mean "onnxruntime"?

    error[E0025]: `run.onnxruntime` is empty
     --> pipeline.toml:9:15
      |
    9 | onnxruntime = ""
      |               ^^ nothing here
    "##);
}
