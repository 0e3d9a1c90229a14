//! Rules about what is stored and what refs may point at.

use crate::{GOOD, errors};

const IMPORT: &str = "[store]\nuses = \"local\"\n[checkpoint]\nimport = \"x\"\nname = \"a\"\n";

#[test]
fn a_policy_that_keeps_nothing_is_refused() {
    insta::assert_snapshot!(errors(&format!("{GOOD}{IMPORT}[checkpoint.keep]\ngrace = \"1h\"\n")), @r##"
    error[E0027]: `[checkpoint.keep]` has no rule, so that pruning would remove all it can
     --> pipeline.toml:9:13
      |
    9 | [checkpoint.keep]
      |             ^^^^ keeps nothing by itself
      |
      = help: add `last`, `best`, `every_steps` or `within`, or remove the table
    "##);
}

#[test]
fn every_mistake_in_a_policy_has_its_place() {
    insta::assert_snapshot!(errors(&format!("{GOOD}{IMPORT}[checkpoint.keep]\nlast = 0\nevery_steps = 2.5\nwithin = \"7 weeks\"\ngrace = -1\nbest = [{{ metric = \"recall[class=3]\", mode = \"max\" }}, {{ metric = \"loss\", mode = \"least\", top = 3 }}, {{ n = 2 }}]\n")), @r##"
    error[E0006]: `last` is 0, but must be at least 1
      --> pipeline.toml:10:8
       |
    10 | last = 0
       |        ^ not accepted

    error[E0003]: `every_steps` takes an integer, not a number
      --> pipeline.toml:11:15
       |
    11 | every_steps = 2.5
       |               ^^^ a number

    error[E0024]: `within` has a unit that is not known
      --> pipeline.toml:12:10
       |
    12 | within = "7 weeks"
       |          ^^^^^^^^^
       |
       = help: write a number with a unit, such as `"30s"`, `"10m"` or `"7d"`, or seconds

    error[E0024]: `grace` must be longer than zero
      --> pipeline.toml:13:9
       |
    13 | grace = -1
       |         ^^
       |
       = help: write a number with a unit, such as `"30s"`, `"10m"` or `"7d"`, or seconds

    error[E0027]: `recall[class=3]` has labels, but a store knows metrics over all rows only
      --> pipeline.toml:14:20
       |
    14 | best = [{ metric = "recall[class=3]", mode = "max" }, { metric = "loss", mode = "least", top = 3 }, { n = 2 }]
       |                    ^^^^^^^^^^^^^^^^^
       |
       = help: name a metric without labels, such as `accuracy`

    error[E0005]: `mode` cannot be "least"; accepted: "max", "min"
      --> pipeline.toml:14:81
       |
    14 | best = [{ metric = "recall[class=3]", mode = "max" }, { metric = "loss", mode = "least", top = 3 }, { n = 2 }]
       |                                                                                 ^^^^^^^ not one of the accepted values

    error[E0002]: unknown key `top`
      --> pipeline.toml:14:90
       |
    14 | best = [{ metric = "recall[class=3]", mode = "max" }, { metric = "loss", mode = "least", top = 3 }, { n = 2 }]
       |                                                                                          ^^^ not known here
       |
       = help: known here: `metric`, `mode`, `n`

    error[E0004]: missing key `metric`
      --> pipeline.toml:14:101
       |
    14 | best = [{ metric = "recall[class=3]", mode = "max" }, { metric = "loss", mode = "least", top = 3 }, { n = 2 }]
       |                                                                                                     ^^^^^^^^^ needed here
       |
       = help: add `metric = "…"` (A metric that runs measured of the checkpoint as a whole, or that its training loop reported)

    error[E0004]: missing key `mode`
      --> pipeline.toml:14:101
       |
    14 | best = [{ metric = "recall[class=3]", mode = "max" }, { metric = "loss", mode = "least", top = 3 }, { n = 2 }]
       |                                                                                                     ^^^^^^^^^ needed here
       |
       = help: add `mode = …` (Whether the largest or the smallest value is the best)
    "##);
    insta::assert_snapshot!(errors(&format!("{GOOD}{IMPORT}keep = {{ best = {{ metric = \"\", mod = \"max\" }} }}\n")), @r##"
    error[E0006]: `metric` needs at least 1 character
     --> pipeline.toml:9:28
      |
    9 | keep = { best = { metric = "", mod = "max" } }
      |                            ^^ not accepted

    error[E0002]: unknown key `mod`
     --> pipeline.toml:9:32
      |
    9 | keep = { best = { metric = "", mod = "max" } }
      |                                ^^^ not known here
      |
      = help: did you mean `mode`?
    "##);
}

#[test]
fn a_policy_needs_a_store() {
    insta::assert_snapshot!(errors(&format!("{GOOD}[checkpoint]\nimport = \"x\"\nname = \"a\"\nkeep = {{ last = 3 }}\n")), @r##"
    error[E0015]: `[checkpoint.keep]` needs a `[store]`
     --> pipeline.toml:7:1
      |
    7 | keep = { last = 3 }
      | ^^^^ decides what stays in a store
      |
      = help: add a `[store]` table, or remove this one
    "##);
}

#[test]
fn what_is_stored_already_is_not_refused() {
    insta::assert_snapshot!(errors(&format!("{GOOD}[store]\nuses = \"local\"\n[checkpoint]\nfrom = \"a@b\"\nrefuse_nonfinite = true\n")), @r##"
    error[E0027]: `refuse_nonfinite` is about what is stored, but this one is stored already
     --> pipeline.toml:8:20
      |
    7 | from = "a@b"
      | ---- from a store
    8 | refuse_nonfinite = true
      |                    ^^^^
      |
      = help: remove `refuse_nonfinite`, or use `import` for a file or folder
    "##);
    insta::assert_snapshot!(errors(&format!("{GOOD}[checkpoint]\nimport = \"x\"\nname = \"a\"\nrefuse_nonfinite = true\n")), @r##"
    error[E0015]: `refuse_nonfinite` is about what is stored, but there is no store
     --> pipeline.toml:7:20
      |
    7 | refuse_nonfinite = true
      |                    ^^^^
      |
      = help: add a `[store]` table, or remove `refuse_nonfinite`
    "##);
}

#[test]
fn rules_for_refs_can_do_what_they_say() {
    insta::assert_snapshot!(errors(&format!("{GOOD}[refs.latest]\nrequire = \"verified\"\n[refs.\"a b\"]\nrequire = \"signed\"\n[refs.good]\nmax_rollbacks = 0\nwindow = \"0s\"\nrequired = \"verified\"\n")), @r##"
    error[E0015]: `[refs]` needs a `[store]`
     --> pipeline.toml:4:2
      |
    4 | [refs.latest]
      |  ^^^^ refs live in a store
      |
      = help: add a `[store]` table, or remove this one

    error[E0027]: `latest` is always the newest checkpoint, so that no rule holds it
     --> pipeline.toml:4:7
      |
    4 | [refs.latest]
      |       ^^^^^^
      |
      = help: name a ref that is moved, such as `production`

    error[E0012]: `a b` is not a name for a ref
     --> pipeline.toml:6:7
      |
    6 | [refs."a b"]
      |       ^^^^^
      |
      = help: use 1 to 128 letters, digits, `.`, `_` or `-`, and begin with none of `.` and `-`

    error[E0005]: `require` cannot be "signed"; accepted: "verified", "verified-by-this-pipeline"
     --> pipeline.toml:7:11
      |
    7 | require = "signed"
      |           ^^^^^^^^ not one of the accepted values

    error[E0006]: `max_rollbacks` is 0, but must be at least 1
     --> pipeline.toml:9:17
      |
    9 | max_rollbacks = 0
      |                 ^ not accepted

    error[E0024]: `window` must be longer than zero
      --> pipeline.toml:10:10
       |
    10 | window = "0s"
       |          ^^^^
       |
       = help: write a number with a unit, such as `"30s"`, `"10m"` or `"7d"`, or seconds

    error[E0002]: unknown key `required`
      --> pipeline.toml:11:1
       |
    11 | required = "verified"
       | ^^^^^^^^ not known here
       |
       = help: did you mean `require`?
    "##);
}

#[test]
fn rules_for_saving_can_do_what_they_say() {
    insta::assert_snapshot!(errors(&format!("{GOOD}{IMPORT}save = {{}}\n")), @r##"
    error[E0027]: `[checkpoint.save]` has no rule, so that nothing would ever be stored
     --> pipeline.toml:9:1
      |
    9 | save = {}
      | ^^^^ stores nothing
      |
      = help: add `every_steps`, `every`, `improved`, `changed` or `on_signal`, or remove the table
    "##);
    insta::assert_snapshot!(errors(&format!("{GOOD}{IMPORT}[checkpoint.save]\nevery_steps = 0\nevery = \"soon\"\nimproved = {{ metric = \"loss\", min_delta = -1 }}\nchanged = -0.5\n")), @r##"
    error[E0006]: `every_steps` is 0, but must be at least 1
      --> pipeline.toml:10:15
       |
    10 | every_steps = 0
       |               ^ not accepted

    error[E0024]: `every` has no number where one is needed
      --> pipeline.toml:11:9
       |
    11 | every = "soon"
       |         ^^^^^^
       |
       = help: write a number with a unit, such as `"30s"`, `"10m"` or `"7d"`, or seconds

    error[E0004]: missing key `mode`
      --> pipeline.toml:12:1
       |
    12 | improved = { metric = "loss", min_delta = -1 }
       | ^^^^^^^^ needed here
       |
       = help: add `mode = …` (Whether larger or smaller values are better)

    error[E0006]: `min_delta` is -1, but must be at least 0
      --> pipeline.toml:12:43
       |
    12 | improved = { metric = "loss", min_delta = -1 }
       |                                           ^^ not accepted

    error[E0006]: `changed` is -0.5, but must be at least 0
      --> pipeline.toml:13:11
       |
    13 | changed = -0.5
       |           ^^^^ not accepted
    "##);
    insta::assert_snapshot!(errors(&format!("{GOOD}[store]\nuses = \"local\"\n[checkpoint]\nfrom = \"a@b\"\nsave = {{ every = \"10m\" }}\n")), @r##"
    error[E0027]: `save` is about what is stored, but this one is stored already
     --> pipeline.toml:8:1
      |
    7 | from = "a@b"
      | ---- from a store
    8 | save = { every = "10m" }
      | ^^^^
      |
      = help: remove `save`, or use `import` for a file or folder
    "##);
}
