//! Syntax, keys, types, values and overrides.

use modelwatch_config::{Diagnostic, parse};

use crate::{GOOD, errors, errors_with};

#[test]
fn a_good_pipeline_has_no_errors() {
    assert_eq!(errors(GOOD), "");
}

#[test]
fn all_syntax_errors_are_shown_at_once() {
    insta::assert_snapshot!(errors("name = digits\n[[verify]\nuses = \"metrics\"\nid = \"a\n"), @r##"
    error[E0001]: string values must be quoted, expected literal string
     --> pipeline.toml:1:8
      |
    1 | name = digits
      |        ^^^^^^

    error[E0001]: unclosed array table, expected `]`
     --> pipeline.toml:2:10
      |
    2 | [[verify]
      |          ^
    "##);
}

#[test]
fn a_duplicate_key_is_a_syntax_error_and_other_mistakes_still_show() {
    insta::assert_snapshot!(errors("name = \"a\"\nname = \"b\"\n[[verify]]\nuses = \"metrics\"\nsevrity = \"error\"\n"), @r##"
    error[E0001]: duplicate key
     --> pipeline.toml:2:1
      |
    2 | name = "b"
      | ^^^^

    error[E0002]: unknown key `sevrity`
     --> pipeline.toml:5:1
      |
    5 | sevrity = "error"
      | ^^^^^^^ not known here
      |
      = help: did you mean `severity`?
    "##);
}

#[test]
fn only_what_may_follow_from_a_syntax_error_is_left_out() {
    // What each line is blamed for.
    let check = |text: &str, expected: &[(usize, &str)]| {
        let parsed = parse("pipeline.toml".as_ref(), text, &[]);
        let place = |it: &Diagnostic| (it.location(&parsed.document).map_or(0, |it| it.line), it.code);
        let found: Vec<_> = parsed.diagnostics.iter().map(place).collect();
        assert_eq!(found, expected, "{text}");
        assert!(parsed.pipeline.is_none() && parsed.draft.is_some(), "{text}");
    };
    let rest = "[run]\nthreads = \"two\"\n[[verify]]\nid = \"a\"\n[[analyze]]\nuses = \"drift\"\nsevrity = \"error\"\n";
    // No name is missing, and it is no wrong one.
    check(&format!("name = \"it\n{rest}"), &[(1, "E0001"), (3, "E0003"), (4, "E0004"), (8, "E0002")]);
    // The same keys in the table that has the error.
    check("name = \"it\"\n[[verify]]\nid = \"a\nsevrity = \"error\"\n", &[(3, "E0001")]);
    // They may belong to the table whose header is broken; that one and what is above it may have what is missing.
    check("name = \"it\"\n[[verify]]\nuses = \"a\"\n[verify.with\nk = 1\n", &[(4, "E0001")]);
    check("name = \"it\"\n[[verify]]\n[store\nuses = \"local\"\n[run]\nthreads = 0\n", &[(3, "E0001"), (6, "E0006")]);
    // The store is there, if one could read it.
    check(
        "name = \"it\"\n[store\nuses = \"local\"\n[baseline]\nfrom = \"a@good\"\n[[verify]]\nuses = \"a\"\n",
        &[(2, "E0001")],
    );
}

#[test]
fn unknown_keys_come_with_a_guess() {
    insta::assert_snapshot!(errors("nmae = \"it\"\n[[verfiy]]\nuses = \"metrics\"\n"), @r##"
    error[E0002]: unknown key `nmae`
     --> pipeline.toml:1:1
      |
    1 | nmae = "it"
      | ^^^^ not known here
      |
      = help: did you mean `name`?

    error[E0002]: unknown key `verfiy`
     --> pipeline.toml:2:3
      |
    2 | [[verfiy]]
      |   ^^^^^^ not known here
      |
      = help: did you mean `verify`?
    "##);
}

#[test]
fn options_outside_of_with_are_sent_there() {
    insta::assert_snapshot!(errors(&format!("{GOOD}task = \"multiclass\"\n[report]\npdf = \"x.pdf\"\n")), @r##"
    error[E0002]: unknown key `task`
     --> pipeline.toml:4:1
      |
    4 | task = "multiclass"
      | ^^^^ not known here
      |
      = help: if it is an option of the component, it goes into the `with` table: `with = { task = … }`

    error[E0002]: unknown key `pdf`
     --> pipeline.toml:6:1
      |
    6 | pdf = "x.pdf"
      | ^^^ not known here
      |
      = help: known here: `artifacts`, `html`, `json`, `junit`, `markdown`
    "##);
}

#[test]
fn wrong_types_are_named() {
    insta::assert_snapshot!(errors("name = 3\nverify = { uses = \"metrics\" }\n[run]\nthreads = \"4\"\n[data.columns]\nslices = [\"a\", 1]\n"), @r##"
    error[E0003]: `name` takes a string, not an integer
     --> pipeline.toml:1:8
      |
    1 | name = 3
      |        ^ an integer

    error[E0003]: `verify` takes an array, not a table
     --> pipeline.toml:2:1
      |
    2 | verify = { uses = "metrics" }
      | ^^^^^^ a table
      |
      = help: every probe is a table of its own: write `[[verify]]` with two brackets

    error[E0003]: `threads` takes an integer, not a string
     --> pipeline.toml:4:11
      |
    4 | threads = "4"
      |           ^^^ a string

    error[E0003]: element 1 of `slices` takes a string, not an integer
     --> pipeline.toml:6:16
      |
    6 | slices = ["a", 1]
      |                ^ an integer
    "##);
}

#[test]
fn a_bare_number_is_not_a_condition() {
    insta::assert_snapshot!(errors(&format!("{GOOD}require = {{ accuracy = 0.95 }}\n[on.fail]\nrun = \"notify\"\n")), @r##"
    error[E0003]: `accuracy` takes a string or an array, not a number
     --> pipeline.toml:4:24
      |
    4 | require = { accuracy = 0.95 }
      |                        ^^^^ a number
      |
      = help: write a comparison: `">= 0.95"`

    error[E0003]: `run` takes an array, not a string
     --> pipeline.toml:6:7
      |
    6 | run = "notify"
      |       ^^^^^^^^ a string
      |
      = help: give the command and its arguments one by one: `[on.fail] run = ["notify", "--now"]`
    "##);
}

#[test]
fn a_missing_uses_is_shown_at_its_table() {
    insta::assert_snapshot!(errors("name = \"it\"\n[store]\n[[verify]]\nuses = \"a\"\n[[verify]]\nid = \"b\"\n[data.current]\n"), @r##"
    error[E0004]: missing key `uses`
     --> pipeline.toml:2:2
      |
    2 | [store]
      |  ^^^^^ needed here
      |
      = help: add `uses = "…"` (Name of the component)

    error[E0004]: missing key `uses`
     --> pipeline.toml:5:1
      |
    5 | [[verify]]
      | ^^^^^^^^^^ needed here
      |
      = help: add `uses = "…"` (Name of the component)

    error[E0004]: missing key `path`
     --> pipeline.toml:7:7
      |
    7 | [data.current]
      |       ^^^^^^^ needed here
      |
      = help: add `path = "…"` (A file or a pattern such as `day-*.parquet`, relative to the pipeline file)
    "##);
}

#[test]
fn a_missing_name_is_shown_at_the_file() {
    insta::assert_snapshot!(errors("[[verify]]\nuses = \"metrics\"\n"), @r##"
    error[E0004]: missing key `name`
    --> pipeline.toml
     = help: add `name = "…"` (Name of the pipeline, as it appears in reports and in the history)
    "##);
}

#[test]
fn choices_are_listed() {
    insta::assert_snapshot!(errors(&format!("fail_on = \"errors\"\n{GOOD}when = \"sometimes\"\n")), @r##"
    error[E0005]: `fail_on` cannot be "errors"; accepted: "error", "warning", "never"
     --> pipeline.toml:1:11
      |
    1 | fail_on = "errors"
      |           ^^^^^^^^ not one of the accepted values
      |
      = help: did you mean "error"?

    error[E0005]: `when` cannot be "sometimes"; accepted: "always", "baseline", "reference"
     --> pipeline.toml:5:8
      |
    5 | when = "sometimes"
      |        ^^^^^^^^^^^ not one of the accepted values
    "##);
}

#[test]
fn numbers_have_limits() {
    insta::assert_snapshot!(errors(&format!("{GOOD}[run]\nthreads = 0\nbatch_rows = 99999999999\n[on.pass]\nrun = []\n")), @r##"
    error[E0006]: `threads` is 0, but must be at least 1
     --> pipeline.toml:5:11
      |
    5 | threads = 0
      |           ^ not accepted

    error[E0006]: `batch_rows` is 99999999999, but must be at most 16777216
     --> pipeline.toml:6:14
      |
    6 | batch_rows = 99999999999
      |              ^^^^^^^^^^^ not accepted

    error[E0006]: `run` needs at least 1 element
     --> pipeline.toml:8:7
      |
    8 | run = []
      |       ^^ not accepted
    "##);
}

#[test]
fn numbers_are_finite_and_fit() {
    insta::assert_snapshot!(errors(&format!("{GOOD}with = {{ a = nan, b = [1, -inf], c = 99999999999999999999 }}\n")), @r##"
    error[E0007]: the number of `verify.0.with.a` is not finite
     --> pipeline.toml:4:14
      |
    4 | with = { a = nan, b = [1, -inf], c = 99999999999999999999 }
      |              ^^^ not a finite number
      |
      = help: leave the key out if there is no limit

    error[E0007]: the number of `verify.0.with.b.1` is not finite
     --> pipeline.toml:4:27
      |
    4 | with = { a = nan, b = [1, -inf], c = 99999999999999999999 }
      |                           ^^^^ not a finite number
      |
      = help: leave the key out if there is no limit

    error[E0007]: the integer of `verify.0.with.c` does not fit in 64 bits
     --> pipeline.toml:4:38
      |
    4 | with = { a = nan, b = [1, -inf], c = 99999999999999999999 }
      |                                      ^^^^^^^^^^^^^^^^^^^^ too large
    "##);
}

#[test]
fn dates_are_strings() {
    insta::assert_snapshot!(errors(&format!("{GOOD}with.since = 2026-01-01\n")), @r##"
    error[E0008]: `verify.0.with.since` does not take a date or time
     --> pipeline.toml:4:14
      |
    4 | with.since = 2026-01-01
      |              ^^^^^^^^^^ a date or time
      |
      = help: write it as a string: "2026-01-01"
    "##);
}

#[test]
fn only_version_1_is_known() {
    insta::assert_snapshot!(errors(&format!("version = 2\n{GOOD}")), @r##"
    error[E0009]: version 2 of the pipeline format is not known
     --> pipeline.toml:1:11
      |
    1 | version = 2
      |           ^ only version 1 is
      |
      = help: write `version = 1`, or use a release of modelwatch that knows this version
    "##);
}

#[test]
fn overrides_that_do_not_fit_are_refused() {
    insta::assert_snapshot!(errors_with(GOOD, &["name.first=x", "verify.7.id=x", "verify.first.id=x"]), @r##"
    error[E0010]: `name` is a string, not a table
     --> command line:1:12
      |
    1 | --set name.first=x
      |            ^^^^^ there is nothing below it

    error[E0010]: `verify` has no element `7`
     --> command line:1:14
      |
    1 | --set verify.7.id=x
      |              ^ not an index of this array
      |
      = help: its length is 1: indices start at 0, and 1 adds an element

    error[E0010]: `verify` has no element `first`
     --> command line:1:14
      |
    1 | --set verify.first.id=x
      |              ^^^^^ not an index of this array
      |
      = help: its length is 1: indices start at 0, and 1 adds an element
    "##);
}

#[test]
fn mistakes_in_overrides_show_the_argument() {
    insta::assert_snapshot!(errors_with(GOOD, &["verify.0.severity=worning", "run.thread=4", "verify.0.require.accuracy=> 0,9"]), @r##"
    error[E0005]: `severity` cannot be "worning"; accepted: "error", "warning"
     --> command line:1:25
      |
    1 | --set verify.0.severity=worning
      |                         ^^^^^^^ not one of the accepted values
      |
      = help: did you mean "warning"?

    error[E0002]: unknown key `thread`
     --> command line:1:11
      |
    1 | --set run.thread=4
      |           ^^^^^^ not known here
      |
      = help: did you mean `threads`?

    error[E0016]: unexpected text after the condition
     --> command line:1:36
      |
    1 | --set verify.0.require.accuracy=> 0,9
      |                                    ^^
      |
      = help: only `with confidence 95%` may follow
    "##);
}

#[test]
fn carriage_returns_tabs_and_wide_characters_do_not_move_the_span() {
    insta::assert_snapshot!(errors("name = \"日本\" # ä\r\n[[verify]]\r\n\tuses = \"metrics\"\r\n\tid = \"日 本\"\r\n"), @r##"
    error[E0012]: `日 本` is not an id for a probe
     --> pipeline.toml:4:7
      |
    4 |     id = "日 本"
      |          ^^^^^^^
      |
      = help: use 1 to 128 letters, digits, `.`, `_` or `-`, and begin with none of `.` and `-`
    "##);
}
