//! Requirements on metrics.

use crate::{GOOD, errors};

/// Returns what is shown for one requirement of a pipeline with a baseline.
fn requirement(line: &str) -> String {
    errors(&format!("{GOOD}require = {{ {line} }}\n[baseline]\nimport = \"b\"\n"))
}

#[test]
fn conditions_are_explained_at_the_exact_word() {
    insta::assert_snapshot!(requirement("a = \"=> 0.9\", b = \">= 99% of basline\", c = \"0.95\", d = \"<= baseline - 5%\", e = \"between 1 or 2\""), @r##"
    error[E0016]: `=>` is not a comparison
     --> pipeline.toml:4:18
      |
    4 | require = { a = "=> 0.9", b = ">= 99% of basline", c = "0.95", d = "<= baseline - 5%", e = "between 1 or 2" }
      |                  ^^
      |
      = help: did you mean `>=`?

    error[E0016]: expected `baseline` after `of`
     --> pipeline.toml:4:42
      |
    4 | require = { a = "=> 0.9", b = ">= 99% of basline", c = "0.95", d = "<= baseline - 5%", e = "between 1 or 2" }
      |                                          ^^^^^^^
      |
      = help: did you mean `baseline`?

    error[E0016]: expected a comparison or `between`
     --> pipeline.toml:4:57
      |
    4 | require = { a = "=> 0.9", b = ">= 99% of basline", c = "0.95", d = "<= baseline - 5%", e = "between 1 or 2" }
      |                                                         ^
      |
      = help: did you mean `>= 0.95`?

    error[E0016]: a percentage added to the baseline can be read in two ways
     --> pipeline.toml:4:81
      |
    4 | require = { a = "=> 0.9", b = ">= 99% of basline", c = "0.95", d = "<= baseline - 5%", e = "between 1 or 2" }
      |                                                                                 ^^^^
      |
      = help: write `95% of baseline`, or `baseline - 0.05` for percentage points

    error[E0016]: expected `and`
     --> pipeline.toml:4:103
      |
    4 | require = { a = "=> 0.9", b = ">= 99% of basline", c = "0.95", d = "<= baseline - 5%", e = "between 1 or 2" }
      |                                                                                                       ^^
      |
      = help: write `between 0.1 and 0.4`
    "##);
}

#[test]
fn more_conditions_are_explained() {
    insta::assert_snapshot!(requirement("a = \"\", b = '>= .5', c = '>= 1 sure', d = '== 1 with confidence 95%', e = '>= 0.9 with 95% confidence', f = '>= 0.99 of baseline'"), @r##"
    error[E0016]: expected a comparison or `between`
     --> pipeline.toml:4:18
      |
    4 | require = { a = "", b = '>= .5', c = '>= 1 sure', d = '== 1 with confidence 95%', e = '>= 0.9 with 95% confidence', f = '>= 0.99 of b...
      |                  ^
      |
      = help: write `>= 0.95`, `<= baseline + 0.02` or `between 0.1 and 0.4`

    error[E0016]: expected a number
     --> pipeline.toml:4:29
      |
    4 | require = { a = "", b = '>= .5', c = '>= 1 sure', d = '== 1 with confidence 95%', e = '>= 0.9 with 95% confidence', f = '>= 0.99 of b...
      |                             ^
      |
      = help: write a decimal number with digits on both sides of the point, such as `0.95`

    error[E0016]: unexpected text after the condition
     --> pipeline.toml:4:44
      |
    4 | require = { a = "", b = '>= .5', c = '>= 1 sure', d = '== 1 with confidence 95%', e = '>= 0.9 with 95% confidence', f = '>= 0.99 of b...
      |                                            ^^^^
      |
      = help: only `with confidence 95%` may follow

    error[E0016]: an equality takes no confidence, since an interval does not equal a number
     --> pipeline.toml:4:56
      |
    4 | require = { a = "", b = '>= .5', c = '>= 1 sure', d = '== 1 with confidence 95%', e = '>= 0.9 with 95% confidence', f = '>= 0.99 of b...
      |                                                        ^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: remove `with confidence`, or compare with `<=` or `>=`

    error[E0016]: expected `confidence` after `with`
     --> pipeline.toml:4:100
      |
    4 | require = { a = "", b = '>= .5', c = '>= 1 sure', d = '== 1 with confidence 95%', e = '>= 0.9 with 95% confidence', f = '>= 0.99 of b...
      |                                                                                                    ^^^^^^^^^^^^^^
      |
      = help: write `with confidence 95%`

    error[E0016]: a share of the baseline is a percentage above zero
     --> pipeline.toml:4:125
      |
    4 | require = { a = "", b = '>= .5', c = '>= 1 sure', d = '== 1 with confidence 95%', e = '>= 0.9 with 95% confidence', f = '>= 0.99 of b...
      |                                                                                                                             ^^^^
      |
      = help: write `99% of baseline`
    "##);
}

#[test]
fn metrics_are_explained_at_the_exact_word() {
    insta::assert_snapshot!(requirement("\"recall{class=3}\" = \"> 0\", \"recall[class]\" = \"> 0\", \"recall[s=a!b]\" = \"> 0\", \"recall[a=1, a=2]\" = \"> 0\""), @r##"
    error[E0016]: unexpected text after the metric
     --> pipeline.toml:4:20
      |
    4 | require = { "recall{class=3}" = "> 0", "recall[class]" = "> 0", "recall[s=a!b]" = "> 0", "recall[a=1, a=2]" = "> 0" }
      |                    ^^^^^^^^^
      |
      = help: labels go in square brackets: `recall[class=3]`

    error[E0016]: expected `=` after label `class`
     --> pipeline.toml:4:53
      |
    4 | require = { "recall{class=3}" = "> 0", "recall[class]" = "> 0", "recall[s=a!b]" = "> 0", "recall[a=1, a=2]" = "> 0" }
      |                                                     ^
      |
      = help: write `class=value`, or `class=*` for every value

    error[E0016]: unexpected text in the value of label `s`
     --> pipeline.toml:4:76
      |
    4 | require = { "recall{class=3}" = "> 0", "recall[class]" = "> 0", "recall[s=a!b]" = "> 0", "recall[a=1, a=2]" = "> 0" }
      |                                                                            ^
      |
      = help: quote values with special characters: `s="…"`

    error[E0016]: label `a` is given twice
     --> pipeline.toml:4:103
      |
    4 | require = { "recall{class=3}" = "> 0", "recall[class]" = "> 0", "recall[s=a!b]" = "> 0", "recall[a=1, a=2]" = "> 0" }
      |                                                                                                       ^
      |
      = help: give each label once
    "##);
}

#[test]
fn a_condition_with_escapes_is_shown_whole() {
    insta::assert_snapshot!(requirement("a = \"\\u003e= x\""), @r##"
    error[E0016]: expected a number, `baseline` or `overall`
     --> pipeline.toml:4:17
      |
    4 | require = { a = "\u003e= x" }
      |                 ^^^^^^^^^^^
      |
      = help: compare with a number, `99% of baseline`, `baseline + 0.02`, `overall` or a slice such as `accuracy[slice=writer=b]`
    "##);
}

#[test]
fn a_confidence_is_between_0_and_1() {
    insta::assert_snapshot!(requirement("a = \">= 0.9 with confidence 95\", b = \">= 0.9 with confidence 100%\""), @r##"
    error[E0019]: a confidence lies between 0% and 100%, both excluded
     --> pipeline.toml:4:41
      |
    4 | require = { a = ">= 0.9 with confidence 95", b = ">= 0.9 with confidence 100%" }
      |                                         ^^
      |
      = help: did you mean `95%`?

    error[E0019]: a confidence lies between 0% and 100%, both excluded
     --> pipeline.toml:4:74
      |
    4 | require = { a = ">= 0.9 with confidence 95", b = ">= 0.9 with confidence 100%" }
      |                                                                          ^^^^
      |
      = help: write for instance `with confidence 95%`
    "##);
}

#[test]
fn no_value_is_between_swapped_limits() {
    insta::assert_snapshot!(requirement("a = \"between 0.4 and 0.1\""), @r##"
    error[E0026]: no value is in this range
     --> pipeline.toml:4:18
      |
    4 | require = { a = "between 0.4 and 0.1" }
      |                  ^^^^^^^^^^^^^^^^^^^
      |
      = help: swap the limits: `between 0.1 and 0.4`
    "##);
}

#[test]
fn one_metric_has_one_confidence() {
    insta::assert_snapshot!(requirement("a = [\">= 0.9 with confidence 95%\", \"<= 0.99 with confidence 90%\", \"!= 0.95\"]"), @r##"
    error[E0018]: `a` is required at two confidences
     --> pipeline.toml:4:48
      |
    4 | require = { a = [">= 0.9 with confidence 95%", "<= 0.99 with confidence 90%", "!= 0.95"] }
      |                  ----------------------------  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ another confidence than before
      |                  |
      |                  first here
      |
      = help: use one confidence for the metric, or a second probe with an `id` of its own
    "##);
}

#[test]
fn a_requirement_is_listed_once() {
    insta::assert_snapshot!(requirement("\"a[x=1]\" = \">= 0.90\", 'a[x=\"1\"]' = \">= 90%\""), @r##"
    error[E0020]: `a[x=1] >= 0.9` is required twice
     --> pipeline.toml:4:48
      |
    4 | require = { "a[x=1]" = ">= 0.90", 'a[x="1"]' = ">= 90%" }
      |                        --------- first here    ^^^^^^^^ again
      |
      = help: remove one of them
    "##);
}

#[test]
fn a_relative_requirement_needs_a_baseline() {
    insta::assert_snapshot!(errors(&format!("{GOOD}[verify.require]\nloss = \"<= baseline + 0.02\"\n")), @r##"
    error[E0017]: `loss` is compared with a baseline, but there is none
     --> pipeline.toml:5:12
      |
    5 | loss = "<= baseline + 0.02"
      |            ^^^^^^^^ no `[baseline]` in this pipeline
      |
      = help: add a `[baseline]` table, such as `from = "digits@good"`, with `optional = true` for a first run if `[on.pass]` moves it
    "##);
}

#[test]
fn inputs_of_the_baseline_need_one() {
    let columns = "[data.columns]\ninputs = { x = \"px\" }\nbaseline_inputs = { z = \"px\" }\n";
    insta::assert_snapshot!(errors(&format!("{GOOD}{columns}")), @r##"
    error[E0017]: the inputs of the baseline's model are named, but there is no baseline
     --> pipeline.toml:6:1
      |
    6 | baseline_inputs = { z = "px" }
      | ^^^^^^^^^^^^^^^
      |
      = help: add a `[baseline]` table, or name the inputs of the model in `inputs`
    "##);
    assert_eq!(errors(&format!("{GOOD}{columns}[baseline]\nimport = \"x.onnx\"\n")), "");
}

#[test]
fn a_baseline_that_may_be_missing_is_one_that_the_pipeline_makes() {
    let optional = |from: &str, rest: &str| {
        errors(&format!("{GOOD}[store]\nuses = \"local\"\n[baseline]\nfrom = \"{from}\"\noptional = true\n{rest}"))
    };
    let import = "[checkpoint]\nimport = \"x\"\nname = \"digits\"\n";
    let moves = format!("{import}[on.pass]\nmove = \"production\"\n[on.fail]\nrollback = \"prod\"\n");
    for (from, rest) in [("digits@production", &*moves), ("digits@latest", &moves), ("digits@prod", import)] {
        assert_eq!(optional(from, rest), "", "{from}");
    }
    // What does not pass makes no baseline, and keeps nobody from making one.
    let rejects = format!("{import}[on.fail]\nmove = \"rejected\"\n");
    assert_eq!(optional("digits@production", &rejects), "");
    for rest in [&rejects, &format!("{rejects}[on.pass]\nmove = \"good\"\n")] {
        assert!(optional("digits@rejected", rest).contains("E0029"), "{rest}");
    }
    assert!(!optional("digits@other", &format!("{rejects}[on.pass]\nmove = \"good\"\n")).contains("digits@rejected"));
    // What nothing may move is no remedy.
    let latest = optional("other@good", &format!("{import}[on.pass]\nmove = [\"latest\"]\n"));
    assert!(latest.contains("E0027") && !latest.contains("digits@latest"), "{latest}");
    // With a checkpoint that is not read nothing can be said.
    assert!(!optional("other@good", "[chekpoint]\n").contains("E0029"));
    insta::assert_snapshot!(optional("digits@prod", &moves), @r##"
    error[E0029]: the baseline `digits@prod` may be missing, and this pipeline never makes it
      --> pipeline.toml:7:8
       |
     7 | from = "digits@prod"
       |        ^^^^^^^^^^^^^ if it is misspelled, every run is a first one
    ...
    13 | move = "production"
       |        ------------ what the pipeline makes
       |
       = help: write what the pipeline moves, `digits@production`, or remove `optional`: a run without the baseline is then an error
    "##);
    insta::assert_snapshot!(optional("digts@production", &moves), @r##"
    error[E0029]: the baseline `digts@production` may be missing, and this pipeline never makes it
      --> pipeline.toml:7:8
       |
     7 | from = "digts@production"
       |        ^^^^^^^^^^^^^^^^^^ if it is misspelled, every run is a first one
    ...
    13 | move = "production"
       |        ------------ what the pipeline makes
       |
       = help: did you mean `digits@production`? Otherwise remove `optional`: a run without the baseline is then an error
    "##);
    insta::assert_snapshot!(optional("digits@b3:4fa1c2", import), @r##"
    error[E0029]: the baseline `digits@b3:4fa1c2` may be missing, and this pipeline never makes it
     --> pipeline.toml:7:8
      |
    7 | from = "digits@b3:4fa1c2"
      |        ^^^^^^^^^^^^^^^^^^ if it is misspelled, every run is a first one
      |
      = help: remove `optional`: a run without the baseline is then an error
    "##);
}

#[test]
fn comparisons_with_other_rows_are_explained() {
    let explained = |metric: &str, condition: &str| {
        let error = modelwatch_config::requirement::parse(metric, condition).unwrap_err();
        let at = condition.get(error.span.clone()).unwrap_or_default();
        format!("{at}: {}: {}", error.message, error.help.unwrap_or_default())
    };
    for (metric, condition, expected) in [
        (
            "accuracy",
            ">= overall - 0.1",
            "overall: only a slice is compared with all rows: require it of slices, `accuracy[slice=*]`, or compare with `baseline`",
        ),
        ("f1[slice=a]", ">= overal", "overal: expected a number, `baseline` or `overall`: did you mean `overall`?"),
        (
            "accuracy[slice=a]",
            ">= acuracy[slice=b]",
            "acuracy: `accuracy` is compared with `acuracy`, another metric: did you mean `accuracy`?",
        ),
        (
            "f1[slice=a]",
            ">= recall[slice=b]",
            "recall: `f1` is compared with `recall`, another metric: compare with `f1` of other rows",
        ),
        (
            "f1[slice=a]",
            ">= f1[slice=*]",
            "f1[slice=*]: it is compared with many metrics at once: name one value, and put `slice=*` on the left if each is to be compared with it",
        ),
        ("f1[slice=a]", ">= f1[slice=a]", "f1[slice=a]: it is compared with itself: name another slice, or `overall`"),
        (
            "f1[slice=a]",
            ">= f1[slice=b] - 2%",
            "- 2%: a percentage added to `f1[slice=b]` can be read in two ways: write `98% of f1[slice=b]`, or `f1[slice=b] - 0.02` for percentage points",
        ),
        (
            "f1[slice=a]",
            ">= 0.9 of overall",
            "0.9: a share of `overall` is a percentage above zero: write `90% of overall`",
        ),
        ("f1", "not worse then baseline", "then: expected `than`: write `not worse than baseline with confidence 95%`"),
        ("f1", "no worse than baseline", "no: expected a comparison or `between`: did you mean `not`?"),
        ("f1", "not worse than 0.9", "0.9: a metric is no better or worse than a number: write `>= 0.9` or `<= 0.9`"),
        (
            "f1",
            "not worse than basline",
            "basline: expected a number, `baseline` or `overall`: did you mean `baseline`?",
        ),
    ] {
        assert_eq!(explained(metric, condition), expected);
    }
}

#[test]
fn comparisons_with_other_rows_read_back_as_they_show() {
    for (metric, condition) in [
        ("accuracy", "not worse than baseline with confidence 95%"),
        ("accuracy", "not worse than 99% of baseline"),
        ("log_loss", "not worse than baseline + 0.01 with confidence 99%"),
        ("accuracy[slice=*]", ">= overall - 0.02"),
        ("accuracy[worst_slice=*]", "not worse than overall - 0.05 with confidence 95%"),
        ("accuracy[slice=sex=f]", ">= 95% of accuracy[slice=sex=m] - 0.01 with confidence 95%"),
        ("accuracy[slice=\"a b\"]", ">= accuracy[class=1, slice=\"c d\"] + 0.5"),
    ] {
        let it = modelwatch_config::requirement::parse(metric, condition).unwrap();
        assert_eq!(it.to_string(), format!("{metric} {condition}"));
        assert_eq!(it.is_relative(), condition.contains("baseline"));
    }
}
