//! Options of components, and what the runtime finds.

use modelwatch_config::{Component, MetricPart, parse, render};
use serde_json::json;

/// Returns what is shown when a component holds its `with` table against this schema.
fn component(with: &str, schema: serde_json::Value) -> String {
    let text = format!("name = \"it\"\n[[analyze]]\nuses = \"drift\"\n{with}");
    let parsed = parse("pipeline.toml".as_ref(), &text, &[]);
    let pipeline = parsed.pipeline.unwrap();
    let component: &Component = &pipeline.probes[0].component;
    render(&parsed.document.component_errors(component, &schema), &parsed.document, false)
}

fn drift_schema() -> serde_json::Value {
    json!({
        "type": "object",
        "required": ["column"],
        "properties": {
            "column": { "type": "string", "description": "Column to compare with the reference. More text." },
            "bins": { "type": "integer", "minimum": 2, "maximum": 1000 },
            "binning": { "$ref": "#/$defs/Binning" },
            "test": { "oneOf": [
                { "type": "object", "required": ["kind"], "additionalProperties": false, "properties": {
                    "kind": { "const": "psi" }, "fail_above": { "type": "number", "exclusiveMinimum": 0 } } },
                { "type": "object", "required": ["kind"], "additionalProperties": false, "properties": {
                    "kind": { "const": "ks" }, "alpha": { "type": "number", "maximum": 0.5 } } },
            ] },
            "either": { "oneOf": [{ "minimum": 1 }, { "maximum": 5 }] },
            "columns": { "type": ["string", "array"], "items": { "type": "string", "pattern": "^[a-z]+$" } },
        },
        "$defs": { "Binning": { "oneOf": [
            { "description": "Equal counts.", "type": "string", "const": "quantile" },
            { "description": "Equal widths.", "type": "string", "const": "equal-width" },
        ] } },
    })
}

#[test]
fn unknown_and_missing_options_of_a_component() {
    insta::assert_snapshot!(component("[analyze.with]\ncolunm = \"age\"\n", drift_schema()), @r##"
    error[E0101]: unknown option `colunm` of `drift`
     --> pipeline.toml:5:1
      |
    5 | colunm = "age"
      | ^^^^^^ not known here
      |
      = help: did you mean `column`?
    "##);
}

#[test]
fn a_missing_option_without_a_with_table() {
    insta::assert_snapshot!(component("", drift_schema()), @r##"
    error[E0102]: missing option `column` of `drift`
     --> pipeline.toml:3:8
      |
    3 | uses = "drift"
      |        ^^^^^^^ needed here
      |
      = help: add `column = "…"` (Column to compare with the reference)
    "##);
}

#[test]
fn values_of_options() {
    insta::assert_snapshot!(component("with = { column = 3, bins = 1, binning = \"equal-widht\", columns = [\"A\"] }\n", drift_schema()), @r##"
    error[E0103]: `column` of `drift` takes a string, not an integer
     --> pipeline.toml:4:19
      |
    4 | with = { column = 3, bins = 1, binning = "equal-widht", columns = ["A"] }
      |                   ^ an integer

    error[E0105]: `bins` of `drift` is 1, but must be at least 2
     --> pipeline.toml:4:29
      |
    4 | with = { column = 3, bins = 1, binning = "equal-widht", columns = ["A"] }
      |                             ^ not accepted

    error[E0104]: `binning` of `drift` cannot be "equal-widht"; accepted: "quantile", "equal-width"
     --> pipeline.toml:4:42
      |
    4 | with = { column = 3, bins = 1, binning = "equal-widht", columns = ["A"] }
      |                                          ^^^^^^^^^^^^^ not one of the accepted values
      |
      = help: did you mean "equal-width"?

    error[E0105]: element 0 of `columns` of `drift` does not have the form `^[a-z]+$`
     --> pipeline.toml:4:68
      |
    4 | with = { column = 3, bins = 1, binning = "equal-widht", columns = ["A"] }
      |                                                                    ^^^ not accepted
    "##);
}

#[test]
fn options_that_are_tables_with_a_kind() {
    insta::assert_snapshot!(component("[analyze.with]\ncolumn = \"age\"\ntest = { kind = \"ks\", alhpa = 0.01 }\n", drift_schema()), @r##"
    error[E0101]: unknown option `alhpa` of `drift`
     --> pipeline.toml:6:23
      |
    6 | test = { kind = "ks", alhpa = 0.01 }
      |                       ^^^^^ not known here
      |
      = help: did you mean `alpha`?
    "##);
    insta::assert_snapshot!(component("[analyze.with]\ncolumn = \"age\"\ntest = { kind = \"chi\" }\n", drift_schema()), @r##"
    error[E0104]: `kind` of `drift` cannot be "chi"; accepted: "psi", "ks"
     --> pipeline.toml:6:17
      |
    6 | test = { kind = "chi" }
      |                 ^^^^^ not one of the accepted values
    "##);
    insta::assert_snapshot!(component("[analyze.with]\ncolumn = \"age\"\ntest = \"ks\"\n", drift_schema()), @r##"
    error[E0103]: `test` of `drift` takes a table, not a string
     --> pipeline.toml:6:8
      |
    6 | test = "ks"
      |        ^^^^ a string
    "##);
}

#[test]
fn options_that_match_two_alternatives() {
    insta::assert_snapshot!(component("[analyze.with]\ncolumn = \"age\"\neither = 3\n", drift_schema()), @r##"
    error[E0106]: `either` of `drift` matches more than one of its alternatives, which exclude each other
     --> pipeline.toml:6:10
      |
    6 | either = 3
      |          ^ ambiguous
    "##);
}

#[test]
fn a_bad_schema_is_the_fault_of_the_plugin() {
    insta::assert_snapshot!(component("", json!({ "type": "strnig" })), @r##"
    error[E0107]: the options of `drift` are not described by a valid JSON Schema
     --> pipeline.toml:3:8
      |
    3 | uses = "drift"
      |        ^^^^^^^
      |
      = help: report this to the author of the plugin: "strnig" is not valid under any of the schemas listed in the 'anyOf' keyword
    "##);
}

#[test]
fn what_the_runtime_finds_points_into_the_file() {
    let text = "name = \"it\"\n[store]\nuses = \"lcoal\"\n[data.current]\npath = \"x.parquet\"\n[data.columns]\nlabel = \"lable\"\ninputs = { imgae = \"px\" }\n[[verify]]\nuses = \"drift\"\nwith = { k = 3 }\nrequire = { acuracy = \"> 0\" }\n";
    let parsed = parse("pipeline.toml".as_ref(), text, &[]);
    let document = &parsed.document;
    let found = [
        document.at("/store/uses", "E0201", "no plugin offers a store named `lcoal`", Some("did you mean `local`?")),
        document.at("/data/current/path", "E0203", "cannot find `x.parquet`", None),
        document.at("/data/current/path", "E0208", "the current data is a profile", Some("name the rows themselves")),
        document.at("/data/columns/label", "E0206", "the data has no column `lable`", Some("did you mean `label`?")),
        document.at_key(
            "/data/columns/inputs/imgae",
            "E0207",
            "the model has no input `imgae`",
            Some("did you mean `image`?"),
        ),
        document.at("/verify/0/uses", "E0202", "`drift` is an analyzer", Some("move it to `[[analyze]]`")),
        document.at("/verify/0/with/k", "E0204", "`k` must be even", None),
        document.at("/verify/0/with/absent", "E0204", "shown at the table around it", None),
        document.at_key("/verify/0/require/acuracy", "E0205", "`metrics` reports no `acuracy`", None),
        document.at("/verify/0/with", "E0210", "the model has no layer `fc9`", Some("did you mean `fc1`?")),
        document.at("/data/current/path", "E0211", "a report would replace it", Some("name another file")),
    ];
    insta::assert_snapshot!(render(&found, document, false), @r##"
    error[E0201]: no plugin offers a store named `lcoal`
     --> pipeline.toml:3:8
      |
    3 | uses = "lcoal"
      |        ^^^^^^^
      |
      = help: did you mean `local`?

    error[E0203]: cannot find `x.parquet`
     --> pipeline.toml:5:8
      |
    5 | path = "x.parquet"
      |        ^^^^^^^^^^^

    error[E0208]: the current data is a profile
     --> pipeline.toml:5:8
      |
    5 | path = "x.parquet"
      |        ^^^^^^^^^^^
      |
      = help: name the rows themselves

    error[E0206]: the data has no column `lable`
     --> pipeline.toml:7:9
      |
    7 | label = "lable"
      |         ^^^^^^^
      |
      = help: did you mean `label`?

    error[E0207]: the model has no input `imgae`
     --> pipeline.toml:8:12
      |
    8 | inputs = { imgae = "px" }
      |            ^^^^^
      |
      = help: did you mean `image`?

    error[E0202]: `drift` is an analyzer
      --> pipeline.toml:10:8
       |
    10 | uses = "drift"
       |        ^^^^^^^
       |
       = help: move it to `[[analyze]]`

    error[E0204]: `k` must be even
      --> pipeline.toml:11:14
       |
    11 | with = { k = 3 }
       |              ^

    error[E0204]: shown at the table around it
      --> pipeline.toml:11:1
       |
    11 | with = { k = 3 }
       | ^^^^

    error[E0205]: `metrics` reports no `acuracy`
      --> pipeline.toml:12:13
       |
    12 | require = { acuracy = "> 0" }
       |             ^^^^^^^

    error[E0210]: the model has no layer `fc9`
      --> pipeline.toml:11:1
       |
    11 | with = { k = 3 }
       | ^^^^
       |
       = help: did you mean `fc1`?

    error[E0211]: a report would replace it
     --> pipeline.toml:5:8
      |
    5 | path = "x.parquet"
      |        ^^^^^^^^^^^
      |
      = help: name another file
    "##);
}

#[test]
fn what_is_wrong_with_a_metric_is_marked_in_it() {
    let text = "name = \"it\"\n[data.current]\npath = \"x.parquet\"\n[[verify]]\nuses = \"metrics\"\n\
        require.'recall[slice=clas, clas=3]' = [\"> 0\", \"< 1\"]\nrequire.\" mse [ slice=\\u0061 ]\" = \"> 0\"\n";
    let parsed = parse("pipeline.toml".as_ref(), text, &[]);
    let marked = |at: usize, part: MetricPart<'_>| {
        let requirement = &parsed.pipeline.as_ref().unwrap().probes[0].requirements[at];
        let span = parsed.document.at_metric(requirement, part, "E0205", "unknown", None).span.unwrap();
        (&text[span.clone()], span.start)
    };
    let (key, value) = (text.find("clas=3").unwrap(), text.find("clas,").unwrap());
    assert_eq!(marked(0, MetricPart::Key("clas")), ("clas", key));
    assert_eq!(marked(1, MetricPart::Key("clas")), ("clas", key));
    assert_eq!(marked(1, MetricPart::Value("clas")), ("clas", value));
    assert_eq!(marked(1, MetricPart::Name("recall")).0, "recall");
    // What another label begins with, or a label that is named as its metric, is not meant.
    let text = text.replace("slice=clas, clas=3", "class=1, clas=3, recall=4");
    let parsed = parse("pipeline.toml".as_ref(), &text, &[]);
    let requirement = &parsed.pipeline.as_ref().unwrap().probes[0].requirements[0];
    let start = |part: MetricPart<'_>| {
        parsed.document.at_metric(requirement, part, "E0205", "unknown", None).span.unwrap().start
    };
    assert_eq!(start(MetricPart::Key("clas")), text.find("clas=3").unwrap());
    assert_eq!(start(MetricPart::Name("recall")), text.find("recall[").unwrap());
    // With escapes in the key, the whole of it is shown.
    assert_eq!(marked(2, MetricPart::Key("slice")).0, "\" mse [ slice=\\u0061 ]\"");
}

#[test]
fn a_schema_that_is_open_on_purpose_takes_any_option() {
    let schema = json!({ "type": "object", "properties": {}, "additionalProperties": true });
    assert_eq!(component("with = { any = 1 }\n", schema), "");
}

#[test]
fn an_output_that_the_model_does_not_have_is_shown_where_it_is_named() {
    let text = "name = \"it\"\n[[verify]]\nuses = \"metrics\"\nwith = { output = \"probs\" }\n";
    let document = parse("pipeline.toml".as_ref(), text, &[]).document;
    let message = "the candidate model has no output `probs`";
    let found = [document.at("/verify/0/with/output", "E0214", message, Some("its outputs are label, scores"))];
    insta::assert_snapshot!(render(&found, &document, false), @r##"
    error[E0214]: the candidate model has no output `probs`
     --> pipeline.toml:4:19
      |
    4 | with = { output = "probs" }
      |                   ^^^^^^^
      |
      = help: its outputs are label, scores
    "##);
}

#[test]
fn a_confidence_of_a_metric_without_intervals_is_shown_at_the_condition() {
    let text = "name = \"it\"\n[[verify]]\nuses = \"metrics\"\nrequire.max_error = \"<= 1 with confidence 95%\"\n";
    let document = parse("pipeline.toml".as_ref(), text, &[]).document;
    let message = "`metrics` never reports a confidence interval of `max_error`";
    let found = [document.at("/verify/0/require/max_error", "E0215", message, Some("require a quantile"))];
    insta::assert_snapshot!(render(&found, &document, false), @r##"
    error[E0215]: `metrics` never reports a confidence interval of `max_error`
     --> pipeline.toml:4:21
      |
    4 | require.max_error = "<= 1 with confidence 95%"
      |                     ^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: require a quantile
    "##);
}

#[test]
fn another_order_of_columns_is_shown_where_they_are_named() {
    let text = "name = \"it\"\n[data.columns]\ninputs.x = \"mean_*\"\n[[verify]]\nuses = \"metrics\"\n";
    let document = parse("pipeline.toml".as_ref(), text, &[]).document;
    let message = "`a.csv` has `mean_b` where `b.csv` has `mean_a`";
    let found = [document.at("/data/columns/inputs/x", "E0213", message, Some("list the columns"))];
    insta::assert_snapshot!(render(&found, &document, false), @r##"
    error[E0213]: `a.csv` has `mean_b` where `b.csv` has `mean_a`
     --> pipeline.toml:3:12
      |
    3 | inputs.x = "mean_*"
      |            ^^^^^^^^
      |
      = help: list the columns
    "##);
}

#[test]
fn a_signature_that_is_not_there_is_shown_where_it_is_named() {
    let text = "name = \"it\"\n[checkpoint]\nimport = \"m\"\nname = \"m\"\nsignature = \"srve\"\n[[verify]]\nuses = \"differential\"\n";
    let document = parse("pipeline.toml".as_ref(), text, &[]).document;
    let help = Some("did you mean `serve`?");
    let found = [document.at("/checkpoint/signature", "E0212", "`m` has no signature `srve`", help)];
    insta::assert_snapshot!(render(&found, &document, false), @r##"
    error[E0212]: `m` has no signature `srve`
     --> pipeline.toml:5:13
      |
    5 | signature = "srve"
      |             ^^^^^^
      |
      = help: did you mean `serve`?
    "##);
}

#[test]
fn a_runtime_that_is_not_here_is_shown_where_it_is_asked_for() {
    let text = "name = \"it\"\n[baseline]\nimport = \"m.onnx\"\nruntime = \"onnxruntime\"\n[[verify]]\nuses = \"differential\"\n";
    let document = parse("pipeline.toml".as_ref(), text, &[]).document;
    let found = [document.at("/baseline/runtime", "E0209", "cannot use ONNX Runtime: `x.so` is not there", None)];
    insta::assert_snapshot!(render(&found, &document, false), @r##"
    error[E0209]: cannot use ONNX Runtime: `x.so` is not there
     --> pipeline.toml:4:11
      |
    4 | runtime = "onnxruntime"
      |           ^^^^^^^^^^^^^
    "##);
}
