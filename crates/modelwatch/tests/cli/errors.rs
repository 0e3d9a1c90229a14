//! What a person reads who made a mistake.

use crate::support::{Project, digits, fixtures, sliced};

/// Runs a pipeline that is wrong; every one of these ends with 2 and one clear error.
fn wrong(pipeline: &str, expected: &[&str]) {
    let project = Project::new();
    project.write("pipeline.toml", pipeline);
    for command in ["check", "run"] {
        let ended = project.modelwatch(&[command, "pipeline.toml"]);
        assert_eq!(ended.code, 2, "{command}: {}{}", ended.out, ended.err);
        assert_eq!(ended.out, "", "{command}");
        for it in expected {
            assert!(ended.err.contains(it), "{command}: no `{it}` in\n{}", ended.err);
        }
        assert!(!ended.err.contains("panicked"), "{}", ended.err);
    }
}

#[test]
fn mistakes_are_shown_at_their_place() {
    let digits = digits("e08");
    let metrics = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";
    wrong(
        &format!("{digits}[[verify]]\nuses = 'metrcs'\n"),
        &["E0201", "metrcs", "did you mean `metrics`?", "pipeline.toml:8:8"],
    );
    wrong(&format!("{digits}[[analyze]]\nuses = 'metrics'\n"), &["E0202", "is of kind verifier, not analyzer"]);
    wrong(
        &format!("{digits}[[verify]]\nuses = 'metrics'\nwith = {{ tsak = 'x' }}\n"),
        &["tsak", "did you mean `task`?"],
    );
    wrong(&format!("{}{metrics}", digits.replace("'y'", "'Y'")), &["E0206", "no column `Y`", "did you mean `y`?"]);
    wrong(&format!("{}{metrics}", digits.replace("label = 'y'\n", "")), &["needs a label column"]);
    wrong(&format!("name = 'x'\n{metrics}"), &["needs current data"]);
    wrong("name = 'x'\n[[verify]\n", &["E0001", "pipeline.toml:2"]);
    wrong(&format!("{digits}{metrics}memory = '2GiB'\n"), &["E0006", "runs in a thread", "isolation = \"process\""]);
}

#[test]
fn slices_that_no_column_makes_are_shown_where_they_are_named() {
    let wrong_options = |with: &str, expected: &[&str]| wrong(&sliced(with, ""), expected);
    let no_slice = "E0206]: the data has no slice column `sise`";
    wrong_options("cross_slices = [['label', 'sise']]", &[no_slice, "did you mean `size`?", "pipeline.toml:11:53"]);
    wrong_options("slice_bins = { mean_radius = [1.0] }", &["E0206", "`mean_radius`", "which has size, label"]);
    let drift = "[[analyze]]\nuses = 'drift'\nwith = { slices = ['si?e*'] }\n";
    let current = sliced("", drift).replace("[data.columns]", "[data.reference]\npath = 'a.csv'\n[data.columns]");
    wrong(&current, &["E0206", "no slice column of the data matches `si?e*`", "pipeline.toml"]);
    for (metric, place) in [("accuracy[slice=sise=small]", "sise=small"), ("accuracy[slice=sise=*]", "sise=")] {
        let required = format!("[verify.require]\n'{metric}' = '>= 0.5'\n");
        let expected = ["E0205]: no column `sise` cuts the rows into slices", "did you mean `size`?"];
        wrong(&sliced("", &required), &expected);
        let column = required.lines().nth(1).unwrap().find(place).unwrap() + 1;
        wrong(&sliced("", &required), &[&format!("pipeline.toml:13:{column}")]);
    }
    let required = "[verify.require]\n'accuracy[size=*]' = '>= 0.5'\n";
    wrong(&sliced("", required), &["E0205", "did you mean `accuracy[slice=size=*]`?"]);
}

#[test]
fn outputs_that_the_model_does_not_have_are_shown_where_they_are_named() {
    let wrong = |pipeline: &str, expected: &[&str]| {
        let project = Project::new();
        project.write("pipeline.toml", pipeline);
        let ended = project.modelwatch(&["check", "pipeline.toml"]);
        assert_eq!(ended.code, 2, "{}{}", ended.out, ended.err);
        for it in expected {
            assert!(ended.err.contains(it), "no `{it}` in\n{}", ended.err);
        }
        // It may be the model that is wrong.
        let code = project.modelwatch(&["run", "pipeline.toml"]).code;
        assert!([1, 3].contains(&code), "{code}");
    };
    let no_output = "error[E0214]: the candidate model has no output";
    let guessed = "did you mean `probabilities`?";
    wrong(&sliced("output = 'probabilites'", ""), &[no_output, guessed, "pipeline.toml:11:36"]);
    let golden = "[[verify]]\nuses = 'golden'\n[verify.with.outputs]\nprobabilites = 'label'\n";
    wrong(&sliced("output = 'probabilities'", golden), &[no_output, guessed, "pipeline.toml:15"]);
    let case = "cases = [{ name = 'a', inputs = { mean_radius = 1.0 }, output = 1.0 }]";
    let behavior = format!("[[verify]]\nuses = 'behavior'\nwith = {{ output = 'x', {case} }}\n");
    wrong(&sliced("output = 'probabilities'", &behavior), &[no_output, "its outputs are label, probabilities"]);
    // So are those of what was recorded.
    let recorded =
        sliced("output = 'score'", "").replace("inputs = {", "predictions = { scores = 'mean_radius' }\ninputs = {");
    let recorded: String =
        recorded.lines().filter(|it| !it.starts_with("checkpoint")).flat_map(|it| [it, "\n"]).collect();
    wrong(&recorded, &[no_output, "did you mean `scores`?"]);
}

#[test]
fn mistakes_of_the_file_of_options_and_of_columns_are_shown_at_once() {
    let pipeline = digits("e08").replace("label = 'y'", "label = 'Y'");
    let probes = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass', bonus = 1 }\n\
                  [[analyze]]\nuses = 'weigths'\n[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";
    let file = "[report]\nhtlm = 'a.html'\n";
    wrong(&format!("{pipeline}{probes}{file}"), &["`htlm`", "`bonus`", "did you mean `weights`?", "no column `Y`"]);
    // What may only follow from an error of the file is not shown.
    let project = Project::new();
    project.write("pipeline.toml", &format!("{}{probes}", digits("e08").replace("checkpoint =", "chekpoint =")));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert!(ended.err.contains("chekpoint") && ended.err.contains("`bonus`"), "{}", ended.err);
    assert!(!ended.err.contains("needs a model"), "{}", ended.err);
}

#[test]
fn nothing_follows_from_a_number_that_is_not_finite() {
    for number in ["inf", "nan"] {
        let test = format!("name = 'a', change = {{ noise = 0.1 }}, tolerance = {number}");
        let behavior = format!("[[verify]]\nuses = 'behavior'\nwith = {{ invariance = [{{ {test} }}] }}\n");
        let project = Project::new();
        project.write("pipeline.toml", &format!("{}{behavior}", digits("e08")));
        let ended = project.modelwatch(&["check", "pipeline.toml"]);
        assert_eq!((ended.code, ended.err.matches("error[").count()), (2, 1), "{}", ended.err);
        assert!(ended.err.contains("error[E0007]") && ended.err.contains("tolerance` is not finite"), "{}", ended.err);
    }
}

#[test]
fn a_syntax_error_hides_nothing_else_and_nothing_follows_from_it() {
    let digits = digits("e08").replace("test.npz", "tset.npz").replace("name = 'test'", "name = 'test");
    let run = "[run]\nthreads = 'two'\n[report]\nhtlm = 'a.html'\n";
    let probes = "[[verify]]\nuses = 'metrics'\nwith = { tsk = 'multiclass' }\nrequire = { accuracy = 0.9 }\n\
                  [[analyze]]\nuses = 'drfit'\n[[analyze]]\nuses = 'weights'\nrequire = { sparsty = '<= 1' }\n";
    let expected =
        ["E0001", "tset.npz", "`threads` takes", "`htlm`", "`tsk`", "write a comparison", "`drift`?", "`sparsty`"];
    wrong(&format!("{digits}{run}{probes}"), &expected);
    let cut = |pipeline: String| {
        let project = Project::new();
        project.write("pipeline.toml", &pipeline);
        let ended = project.modelwatch(&["check", "pipeline.toml"]);
        assert_eq!(ended.code, 2, "{}", ended.err);
        let of_syntax = ended.err.matches("error[E0001]").count();
        assert_eq!(ended.err.matches("error[").count(), of_syntax, "{}", ended.err);
        assert!(of_syntax > 0, "{}", ended.err);
    };
    let digits = crate::support::digits("e08");
    let metrics = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";
    // The options, the label, the model, the data, the probe's table and its metric are there, if one could read them.
    cut(format!("{digits}{}", metrics.replace("'multiclass' }", "'multiclass }")));
    cut(format!("{}{metrics}", digits.replace("'y'", "'y")));
    cut(format!("{}{metrics}", digits.replace("checkpoint = {", "checkpoint = ")));
    cut(format!("{}{metrics}", digits.replace("[data.current]", "[data.current")));
    cut(format!("{digits}{}", metrics.replace("[[verify]]", "[[verify]")));
    let weighted = "[data.reference]\npath = 'PATH'\n[[analyze]]\nuses = 'drift'\n\
                    require = { weighted_drifted_share = '<= 1' }\nwith = { importance = { x = 1 }\n";
    let train = fixtures().join("digits/data/train.npz");
    cut(format!("{digits}{}", weighted.replace("PATH", train.to_str().unwrap())));
    cut(format!("[plugins]\ndirs = ['elsewhere]\n{digits}[[verify]]\nuses = 'of-elsewhere'\n"));
    // Options and requirements of a probe may have tables of their own.
    let chunks = "[data.reference]\npath = 'PATH'\n[[analyze]]\nuses = 'drift'\n[analyze.with]\n\
                  chunk = { rows = 100 }\n[analyze.require]\n'drifted_share[chunk=*]' = '<= 1'\n";
    let chunks = chunks.replace("PATH", train.to_str().unwrap());
    cut(format!("{digits}{}", chunks.replace("rows = 100 }", "rows = 100")));
    cut(format!("{digits}{}", chunks.replace("chunk = {", "chunk {")));
    cut(format!("{digits}{}", chunks.replace("[analyze.with]", "[analyze.with")));
    // A line that begins with a bracket need not begin a table.
    let slices = "[[verify]]\nuses = 'metrics'\n[verify.with]\ncross_slices = [\n  ['y', 'y'],\n]\ntask 'multiclass'\n";
    cut(format!("{digits}{slices}"));
    let memory = "[[analyze]]\nuses = 'weights'\nmemory = '2GiB'\nisolation 'process'\n";
    cut(format!("{digits}{memory}"));
}

#[test]
fn what_a_probe_reports_is_unknown_where_its_options_are() {
    let train = fixtures().join("digits/data/train.npz");
    let reference = format!("{}[data.reference]\npath = '{}'\n", digits("e08"), train.display());
    let require = "require = { weighted_drifted_share = '<= 1', 'drifted_share[chunk=*]' = '<= 1' }\n";
    for options in ["with = 'x'", "with = { chunk = 2026-01-01 }", "chunk = { rows = 100 }"] {
        let project = Project::new();
        project.write("pipeline.toml", &format!("{reference}[[analyze]]\nuses = 'drift'\n{options}\n{require}"));
        let ended = project.modelwatch(&["check", "pipeline.toml"]);
        assert_eq!((ended.code, ended.err.matches("error[").count()), (2, 1), "{options}: {}", ended.err);
        assert!(!ended.err.contains("E0205"), "{}", ended.err);
    }
}

#[test]
fn what_a_probe_needs_is_missing_whatever_else_is_wrong() {
    let drift = "[[analyze]]\nuses = 'drift'\n[[analyze]]\nuses = 'weights'\n[report]\nhtlm = 'a.html'\n";
    let digits = digits("e08").replace("test.npz", "tset.npz");
    let digits = digits.lines().filter(|it| !it.starts_with("checkpoint")).collect::<Vec<_>>().join("\n");
    wrong(
        &format!("{digits}\n{drift}"),
        &["`htlm`", "`drift` needs reference data", "`weights` needs a checkpoint", "tset.npz"],
    );
    // Unless that is what is misspelled.
    let project = Project::new();
    project.write("pipeline.toml", &format!("chekpoint = 1\n{digits}\n[data.refrence]\npath = 'x'\n{drift}"));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    assert!(ended.err.contains("`chekpoint`") && ended.err.contains("`refrence`"), "{}", ended.err);
    assert!(!ended.err.contains(" needs "), "{}", ended.err);
    // A key that resembles nothing that is missing is no other name of it.
    wrong(
        &format!("foo = 1\n{digits}\n{drift}[[verify]]\nuses = 'of-nobody'\n"),
        &["`foo`", "`drift` needs reference data", "`weights` needs a checkpoint", "no verifier is named `of-nobody`"],
    );
}

#[test]
fn what_a_probe_needs_with_any_options_is_missing_although_its_options_are_wrong() {
    let data = format!("name = 'a'\n[data.current]\npath = '{}'\n", fixtures().join("digits/data/test.npz").display());
    let metrics = "[[verify]]\nuses = 'metrics'\nwith = { tsak = 'multiclass' }\n";
    // Misspelled, and refused by the component itself.
    let weights = "[[analyze]]\nuses = 'weights'\nwith = { near_zero = 'x' }\n";
    let numerics = "[[verify]]\nuses = 'numerics'\nwith = { rows = 0 }\n";
    let expected = [
        "did you mean `task`?",
        "`metrics` needs a label column",
        "`metrics` needs a model",
        "`near_zero` of `weights` takes a number",
        "`weights` needs a checkpoint",
        "`numerics` needs a model",
    ];
    wrong(&format!("{data}{metrics}{weights}{numerics}"), &expected);
    wrong(&format!("name = 'a'\n{metrics}"), &["`tsak`", "`metrics` needs current data", "`metrics` needs a model"]);
    // Whether these need a reference depends on what they were meant to do.
    let project = Project::new();
    let drift = "[[analyze]]\nuses = 'drift'\nwith = { refrence_window = 'rolling', chunk = { period = 'day' } }\n";
    project.write("pipeline.toml", &format!("{data}{drift}"));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert_eq!((ended.code, ended.err.matches("error[").count()), (2, 1), "{}", ended.err);
}

#[test]
fn probe_says_all_that_is_wrong_at_once() {
    let ended = Project::new().modelwatch(&[
        "probe",
        "drift",
        "--current",
        "none.npz",
        "--reference",
        "neither.npz",
        "--with",
        "alhpa=1",
    ]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    for it in ["did you mean `alpha`?", "none.npz", "neither.npz"] {
        assert!(ended.err.contains(it), "{}", ended.err);
    }
    let ended =
        Project::new().modelwatch(&["probe", "drift", "--current", "none.npz", "--require", "drifted_share=0.2"]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    for it in ["E0016", "none.npz", "needs reference data"] {
        assert!(ended.err.contains(it), "{}", ended.err);
    }
}

#[test]
fn names_of_inputs_and_columns_are_held_against_the_model_and_the_data() {
    let metrics = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";
    let with = |columns: &str| digits("e08").replace("label = 'y'", &format!("label = 'y'\n{columns}")) + metrics;
    wrong(&with("inputs = { x = 'xx' }"), &["E0206", "the current data has no column `xx`", "did you mean `x`?"]);
    // Whether the pipeline or the model is wrong nobody can tell, so that a run goes on and its probes say so.
    let project = Project::new();
    project.write("pipeline.toml", &with("inputs = { imgae = 'x' }"));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert!(
        ended.code == 2 && ended.err.contains("error[E0207]") && ended.err.contains("its inputs are x"),
        "{}",
        ended.err
    );
    assert_eq!(project.modelwatch(&["run", "pipeline.toml"]).code, 3);
    for key in ["ignore", "categorical", "slices"] {
        wrong(&with(&format!("{key} = ['x', 'wrtier']").replace("'x', ", "")), &["E0206", "no column `wrtier`"]);
    }
    wrong(&with("id = 'row'"), &["E0206", "the data has no column `row`", "its columns are"]);
}

/// Writes rows with the label `price`, and returns what makes a pipeline of an analyzer of them with options.
fn houses(project: &Project) -> impl Fn(&str, &str) -> String + use<> {
    let data = project.write("data.csv", "num_rooms,num_baths,city,price\n1,2,a,3.5\n2,1,b,4.5\n");
    move |uses, options| {
        format!(
            "name = 'x'\n[data.current]\npath = '{0}'\n[data.reference]\npath = '{0}'\n[data.columns]\nlabel = 'price'\n\
             [[analyze]]\nuses = '{uses}'\nwith = {{ {options} }}\n",
            data.display()
        )
    }
}

#[test]
fn selections_of_no_column_are_refused() {
    let project = Project::new();
    let with = houses(&project);
    for uses in ["drift", "multivariate", "stream"] {
        let check =
            |options: &str, expected: &[&str]| wrong(&with(uses, options), &[&["error[E0206]"], expected].concat());
        check(
            "columns = ['num_*', 'type:boolean']",
            &["no feature of the data is of `type:boolean`", "num_rooms (Int64)", "pipeline.toml:10:30"],
        );
        check("columns = ['nmu_*']", &["no feature of the data matches `nmu_*`", "did you mean `num_*`?"]);
        check("columns = ['street*']", &["matches `street*`", "its columns are num_rooms, num_baths, city, price"]);
        check("columns = ['pri*']", &["matches `pri*`", "a pattern means features alone; name `price` in full"]);
        check(
            "columns = ['num_*', 'city'], exclude = ['type:text']",
            &["`exclude` leaves out every column that `city` means"],
        );
        check("columns = ['rooms']", &["has no column `rooms`"]);
    }
    let left = "has no column of the data to look at";
    for (uses, options) in [("drift", ""), ("multivariate", ", label = false, calibration = false"), ("stream", "")] {
        wrong(&with(uses, &format!("exclude = ['*']{options}")), &["error[E0206]", left, "correct `exclude`"]);
    }
    // Labels are looked at as well.
    project.write("pipeline.toml", &with("multivariate", "exclude = ['*']"));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
}

#[test]
fn names_in_options_that_no_column_has_are_refused() {
    let project = Project::new();
    let with = houses(&project);
    let (unknown, unmatched) = ("no column `num_room`", "no column that matches `nmu_*`");
    let lists = [
        ("drift", "exclude"),
        ("drift", "categorical"),
        ("multivariate", "exclude"),
        ("multivariate", "categorical"),
        ("stream", "exclude"),
        ("quality", "include"),
        ("quality", "exclude"),
    ];
    for (uses, option) in lists {
        let place = format!("pipeline.toml:10:{}", format!("with = {{ {option} = ['city', ").len() + 1);
        let check = |name: &str, expected: &[&str]| {
            let options = format!("{option} = ['city', '{name}']");
            wrong(&with(uses, &options), &[&["error[E0206]", &place], expected].concat());
        };
        check("num_room", &[unknown, "did you mean `num_rooms`?"]);
        check("nmu_*", &[unmatched, "did you mean `num_*`?"]);
        check("street", &["no column `street`", "its columns are num_rooms, num_baths, city, price"]);
    }
    for (option, value) in [("methods", "'ks'"), ("importance", "1")] {
        let check = |name: &str, expected: &[&str]| {
            let options = format!("{option} = {{ '{name}' = {value} }}");
            let place = format!("pipeline.toml:10:{}", format!("with = {{ {option} = {{ ").len() + 1);
            wrong(&with("drift", &options), &[&["error[E0206]", &place], expected].concat());
        };
        check("num_room", &[unknown, "did you mean `num_rooms`?"]);
        check("nmu_*", &[unmatched, "did you mean `num_*`?"]);
    }
    wrong(&with("quality", "include = ['type:time']"), &["error[E0206]", "no feature of the data is of `type:time`"]);
    wrong(&with("quality", "freshness = { column = 'tiem', newest = '2026-01-01' }"), &["E0206", "no column `tiem`"]);
    // What may be there or not is left out by its type, and a name may be that of a label.
    for (uses, options) in [
        ("drift", "exclude = ['type:list', 'price'], methods = { 'num_*' = 'ks', city = 'chi2' }, importance.city = 1"),
        ("quality", "include = ['num_*', 'price'], exclude = ['type:list', 'city'], columns = { 'x_*' = { min = 0 } }"),
        ("stream", "exclude = ['type:list']"),
    ] {
        project.write("pipeline.toml", &with(uses, options));
        let ended = project.modelwatch(&["check", "pipeline.toml"]);
        assert_eq!(ended.code, 0, "{uses}: {}", ended.err);
    }
}

#[test]
fn a_method_may_be_that_of_an_output() {
    let project = Project::new();
    let folder = fixtures().join("tabular/breast_cancer");
    let with = |columns: &str, name: &str| {
        format!(
            "name = 'x'\n[checkpoint]\nname = 'c'\nimport = '{0}/logreg.onnx'\n[data.current]\npath = '{0}/test.parquet'\n\
             [data.reference]\npath = '{0}/train.parquet'\n[data.columns]\nlabel = 'label'\n{columns}\n[[analyze]]\nuses = 'drift'\n\
             with.methods.{name} = 'ks'\n",
            folder.display()
        )
    };
    let check = |pipeline: String, words: &[&str]| {
        project.write("pipeline.toml", &pipeline);
        let ended = project.modelwatch(&["check", "pipeline.toml"]);
        assert_eq!(ended.code, if words.is_empty() { 0 } else { 2 }, "{}", ended.err);
        words.iter().for_each(|it| assert!(ended.err.contains(it), "no `{it}` in\n{}", ended.err));
    };
    let inputs = "inputs.X = ['mean_*', '*_error', 'worst_*']";
    check(with(inputs, "probabilities"), &[]);
    let unknown =
        ["error[E0206]", "no column `probabilitys`, and the model no output", "did you mean `probabilities`?"];
    check(with(inputs, "probabilitys"), &unknown);
    let recorded = "predictions = { score = 'mean_radius' }";
    let without_model = |pipeline: String| {
        let is_of_model =
            |it: &str| ["[checkpoint]", "name = 'c'", "import ="].iter().any(|start| it.starts_with(start));
        pipeline.lines().filter(|it| !is_of_model(it)).flat_map(|it| [it, "\n"]).collect::<String>()
    };
    check(without_model(with(recorded, "score")), &[]);
    let unknown = ["error[E0206]", "no column `scores`, and the model no output", "did you mean `score`?"];
    check(without_model(with(recorded, "scores")), &unknown);
}

#[test]
fn check_says_which_inputs_the_columns_do_not_make() {
    let project = Project::new();
    let folder = fixtures().join("tabular/breast_cancer");
    for (inputs, words) in [
        ("['mean_*', '*_errr']", &["E0206", "the current data has no column that matches `*_errr`"][..]),
        ("['mean_*']", &["E0207", "input `X` takes 30 numbers of a row, and 10 columns are meant"]),
        ("['*']", &[]),
    ] {
        let pipeline = format!(
            "name = 'x'\n[checkpoint]\nname = 'c'\nimport = '{0}/logreg.onnx'\n[data.current]\npath = '{0}/test.parquet'\n\
             [data.columns]\nlabel = 'label'\ninputs.X = {inputs}\n[[verify]]\nuses = 'metrics'\nwith.task = 'binary'\n",
            folder.display()
        );
        project.write("pipeline.toml", &pipeline);
        let ended = project.modelwatch(&["check", "pipeline.toml"]);
        assert_eq!(ended.code, if words.is_empty() { 0 } else { 2 }, "{inputs}: {}", ended.err);
        for it in words.iter().chain(&["pipeline.toml:9:"][..words.len().min(1)]) {
            assert!(ended.err.contains(it), "{inputs}: no `{it}` in\n{}", ended.err);
        }
        // Where it is the data that lack something, a run does not begin. It may be the model that has another input.
        let code = project.modelwatch(&["run", "pipeline.toml"]).code;
        let expected = match words.first() {
            Some(&"E0206") => 2,
            Some(_) => 3,
            // It runs, and nothing was asked.
            None => 4,
        };
        assert_eq!(code, expected, "{inputs}");
    }
}

#[test]
fn check_says_what_could_not_be_written() {
    let project = Project::new();
    let metrics = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";
    std::fs::create_dir(project.path().join("folder")).unwrap();
    for (table, place) in [
        ("[report]\nhtml = 'folder'\n", "8:8"),
        ("[report]\njson = 'pipeline.toml/report.json'\n", "8:8"),
        ("[run]\nhistory = 'folder'\n", "8:11"),
    ] {
        project.write("pipeline.toml", &format!("{}{table}{metrics}", digits("e08")));
        let ended = project.modelwatch(&["check", "pipeline.toml"]);
        assert_eq!(ended.code, 2, "{table}: {}", ended.err);
        for it in ["E0203", "folder", &format!("pipeline.toml:{place}")] {
            assert!(ended.err.contains(it), "{table}: no `{it}` in\n{}", ended.err);
        }
    }
}

#[test]
fn a_pattern_that_matches_nothing_ever_is_the_pipelines_fault() {
    let metrics = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";
    let data = fixtures().join("digits/data/test.npz");
    let pipeline = digits("e08").replace(data.to_str().unwrap(), "data/[");
    wrong(&format!("{pipeline}{metrics}"), &["E0203", "[` is not a glob", "close the bracket", "pipeline.toml:4:8"]);
}

#[test]
fn a_requirement_of_a_slice_needs_columns_that_make_some() {
    let metrics = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";
    for it in ["accuracy[slice=*]", "accuracy[slice=x]"] {
        let required = format!("require = {{ \"{it}\" = '>= 0.5' }}\n");
        wrong(&format!("{}{metrics}{required}", digits("e08")), &["E0205", "no column cuts the rows", "`slices`"]);
    }
}

#[test]
fn a_plugin_folder_that_is_not_there_is_shown_at_its_place() {
    let metrics = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";
    let folders = "[plugins]\ndirs = ['.', '../nope']\n";
    let place = format!("pipeline.toml:{}:14", digits("e08").lines().count() + 2);
    wrong(&format!("{}{folders}{metrics}", digits("e08")), &["E0203", "nope`", &place, "build the plugins"]);
    // What is in it nobody knows.
    let project = Project::new();
    project.write("pipeline.toml", &format!("{}{folders}[[verify]]\nuses = 'mine'\n", digits("e08")));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert!(ended.code == 2 && ended.err.matches("error[").count() == 1, "{}", ended.err);
}

#[test]
fn what_no_run_could_do_is_refused_before_it() {
    let metrics = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";
    let store = "[store]\nuses = 'local'\nwith = { path = 'store' }\n[on.pass]\nmove = ['good', 'latest']\n";
    wrong(&format!("{}{metrics}{store}", digits("e08")), &["E0027", "`latest` is always the newest checkpoint"]);
    let data = fixtures().join("digits/data/test.npz");
    let bucket = digits("e08").replace(data.to_str().unwrap(), "s3://bucket/test.npz");
    wrong(&format!("{bucket}{metrics}"), &["E0005", "data is not read from `s3://…`", "name a file or a pattern"]);
}

#[test]
fn check_says_which_model_cannot_be_read() {
    let project = Project::new();
    let sound = fixtures().join("digits/cnn_series/e08.onnx");
    let mut bytes = std::fs::read(&sound).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(project.path().join("cut.onnx"), bytes).unwrap();
    let pipeline = digits("e08").replace(sound.to_str().unwrap(), "cut.onnx");
    let probe = |it: &str| format!("{pipeline}[[verify]]\nuses = '{it}'\nwith = {{ task = 'multiclass' }}\n");
    project.write("pipeline.toml", &probe("metrics"));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert_eq!(ended.code, 2, "{}", ended.out);
    assert!(ended.err.contains("E0203") && ended.err.contains("cut.onnx"), "{}", ended.err);
}

#[test]
fn check_says_which_arrays_cannot_be_read_together() {
    let weights = fixtures().join("digits/cnn/cnn.npz");
    let project = Project::new();
    let check = |columns: &str, probe: &str| {
        let model = digits("e08");
        let model = model.lines().nth(1).unwrap();
        let data = format!("[data.current]\npath = '{}'\n[data.columns]\n{columns}\n", weights.display());
        project.write("pipeline.toml", &format!("name = 'a'\n{model}\n{data}[[{probe}\n"));
        project.modelwatch(&["check", "pipeline.toml"])
    };
    let unlike = |columns: &str, probe: &str| {
        let ended = check(columns, probe);
        assert_eq!(ended.code, 2, "{columns}: {}", ended.err);
        let of_both = "at array `digits_cnn.conv1.bias`: it has 8 rows, `digits_cnn.conv1.kernel` has 3;";
        for it in ["E0203", "pipeline.toml:4:8", "cnn.npz", of_both, "`[data.columns] ignore`"] {
            assert!(ended.err.contains(it), "{columns}: no `{it}` in\n{}", ended.err);
        }
    };
    let quality = "analyze]]\nuses = 'quality'";
    unlike("", quality);
    // What the model reads counts, and so does what is read beside it.
    let metrics = "verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }";
    unlike("label = 'digits_cnn.conv1.bias'\ninputs = { x = 'digits_cnn.conv1.kernel' }", metrics);
    // What nobody reads is in nobody's way.
    assert_eq!(check("", "analyze]]\nuses = 'weights'").code, 0);
    // Nor is what is ignored: only the two kernels have three rows.
    let others =
        ["bn.beta", "bn.gamma", "bn.moving_mean", "bn.moving_variance", "conv1.bias", "conv2.bias", "fc1.bias"];
    let others = others.into_iter().chain(["fc1.kernel", "probs.bias", "probs.kernel"]);
    let ignored: Vec<_> = others.map(|it| format!("digits_cnn.{it}")).collect();
    let ended = check(&format!("ignore = {ignored:?}"), quality);
    assert_eq!(ended.code, 0, "{}", ended.err);
    // Nor does anything follow where what is ignored was not read.
    for columns in ["ingore = ['digits_cnn.conv1.bias']", "ignore = 5"] {
        let ended = check(columns, quality);
        assert!(ended.code == 2 && !ended.err.contains("E0203"), "{columns}: {}", ended.err);
    }
}

#[test]
fn check_says_which_file_is_no_checkpoint_by_itself() {
    let project = Project::new();
    let [whole, part] = ["cnn_series/e08.onnx", "cnn/external/model.onnx"].map(|it| fixtures().join("digits").join(it));
    let pipeline =
        digits("e08").replace(whole.to_str().unwrap(), part.to_str().unwrap()) + "[[analyze]]\nuses = 'weights'\n";
    let check = |pipeline: &str| {
        project.write("pipeline.toml", pipeline);
        project.modelwatch(&["check", "pipeline.toml"])
    };
    // Where it is not stored, nothing is left behind.
    assert_eq!(check(&pipeline).code, 0);
    let ended = check(&format!("{pipeline}[store]\nuses = 'local'\nwith = {{ path = 'store' }}\n"));
    assert_eq!(ended.code, 2, "{}", ended.out);
    for it in ["E0203", "`weights.bin`", "store its folder"] {
        assert!(ended.err.contains(it), "no `{it}` in\n{}", ended.err);
    }
}

#[test]
fn what_a_probe_needs_of_all_its_data_is_said_once() {
    let project = Project::new();
    let data = fixtures().join("digits/data/test.npz");
    let current = format!("[data.current]\npath = '{}'\n[data.columns]\nlabel = 'y'\n", data.display());
    for data in ["", &current] {
        let probe = "[[analyze]]\nuses = 'performance'\nwith = { task = 'multiclass' }\n";
        project.write("pipeline.toml", &format!("name = 'a'\n{data}{probe}"));
        let ended = project.modelwatch(&["check", "pipeline.toml"]);
        assert_eq!((ended.code, ended.err.matches("needs a model").count()), (2, 1), "{}", ended.err);
    }
}

#[test]
fn a_report_that_cannot_be_written_is_known_before_anything_is_done() {
    let project = Project::new();
    std::fs::create_dir(project.path().join("taken")).unwrap();
    let rest = "[[analyze]]\nuses = 'weights'\n[store]\nuses = 'local'\nwith = { path = 'store' }\n\
                [report]\njson = 'new/a.json'\nhtml = 'taken'\n";
    project.write("pipeline.toml", &format!("{}{rest}", digits("e08")));
    let ended = project.modelwatch(&["run", "pipeline.toml"]);
    assert_eq!(ended.code, 3, "{}", ended.out);
    assert!(ended.err.contains("taken`, so that nothing was run: it is a folder"), "{}", ended.err);
    assert!(!project.path().join("store").exists());
}

#[cfg(unix)]
#[test]
fn a_report_is_written_where_a_link_leads() {
    let project = Project::new();
    project.write("data.csv", "a,b\n1,2\n3,4\n");
    project.write("there.html", "");
    std::os::unix::fs::symlink("there.html", project.path().join("link.html")).unwrap();
    project.write(
        "pipeline.toml",
        "name = 'x'\n[data.current]\npath = 'data.csv'\n[[analyze]]\nuses = 'quality'\n[report]\nhtml = 'link.html'\n",
    );
    project.modelwatch(&["run", "pipeline.toml"]);
    assert!(project.path().join("link.html").is_symlink());
    assert!(std::fs::read_to_string(project.path().join("there.html")).unwrap().contains("</html>"));
    // Be it there or not.
    std::fs::remove_file(project.path().join("there.html")).unwrap();
    project.modelwatch(&["run", "pipeline.toml"]);
    assert!(project.path().join("link.html").is_symlink() && project.path().join("there.html").is_file());
}

/// What is said beside the result has no part in it.
#[cfg(target_os = "linux")]
#[test]
fn a_run_does_not_end_because_nobody_can_hear_its_log() {
    let project = Project::new();
    let rest = "[[analyze]]\nuses = 'weights'\n[store]\nuses = 'local'\nwith = { path = 'store' }\n\
                [on.pass]\nmove = ['good', 'production']\n";
    project.write("pipeline.toml", &format!("{}{rest}", digits("e08")));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = project.command(&["run", "-v", "pipeline.toml"]).stderr(full).status().unwrap();
    assert_eq!(ended.code(), Some(0));
    let refs = project.modelwatch(&["store", "log", "digits@production", "--store", "store"]);
    assert_eq!(refs.code, 0, "{}", refs.err);
}

#[test]
fn a_store_that_is_none_is_found_before_the_run() {
    let project = Project::new();
    project.write("taken", "a file");
    let rest = "[[analyze]]\nuses = 'weights'\n[store]\nuses = 'local'\nwith = { path = 'taken' }\n";
    project.write("pipeline.toml", &format!("{}{rest}", digits("e08")));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert!(ended.code == 2 && ended.err.contains("error[E0203]") && ended.err.contains("taken"), "{}", ended.err);
}

#[test]
fn a_column_that_an_option_names_is_shown_there() {
    let project = Project::new();
    let probe = "[[verify]]\nuses = 'golden'\nwith = { outputs = { probs = 'expectd' } }\n";
    project.write("pipeline.toml", &format!("{}{probe}", digits("e08")));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert!(ended.code == 2 && ended.err.contains("= 'expectd' } }\n"), "{}", ended.err);
    assert!(ended.err.contains("^^^^^^^^^\n"), "{}", ended.err);
    let set = ["check", "pipeline.toml", "--set", "verify.0.with.outputs.probs='expected'"];
    let ended = project.modelwatch(&set);
    assert!(ended.code == 2 && ended.err.contains("command line:"), "{}", ended.err);
}

/// Commands may take as long as they like.
#[cfg(unix)]
#[test]
fn what_was_done_is_in_the_history_before_others_are_told() {
    let project = Project::new();
    let program = env!("CARGO_BIN_EXE_modelwatch");
    let rest = format!(
        "[[verify]]\nuses = 'metrics'\nwith = {{ task = 'multiclass' }}\nrequire = {{ accuracy = '>= 0.5' }}\n\
         [run]\nhistory = 'h.db'\n[on.pass]\nrun = ['sh', '-c', '{program} history --history h.db > seen']\n"
    );
    project.write("pipeline.toml", &format!("{}{rest}", digits("e08")));
    let ended = project.modelwatch(&["run", "pipeline.toml"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let seen = std::fs::read_to_string(project.path().join("seen")).unwrap();
    assert_eq!(seen.lines().count(), 2, "{seen}");
    // And once, with what became of the command.
    let after = project.modelwatch(&["history", "--history", "h.db"]);
    assert_eq!(after.out.lines().count(), 2, "{}", after.out);
    let record = project.modelwatch(&["report", "last", "--history", "h.db", "--format", "json"]).out;
    assert!(record.contains("it ended well"), "{record}");
}

#[test]
fn a_report_takes_the_place_of_nothing_but_a_report() {
    let project = Project::new();
    project.write("data.csv", "a,b\n1,2\n3,4\n");
    project.write("notes.md", "These are mine.\n");
    let write = |report: &str| {
        let pipeline = "name = 'x'\n[data.current]\npath = '*.csv'\n[[analyze]]\nuses = 'quality'\n\
                        [store]\nuses = 'local'\nwith = { path = 'store' }\n[run]\nhistory = 'h.db'\n[report]\n";
        project.write("pipeline.toml", &format!("{pipeline}{report}\n"))
    };
    for (report, what) in [
        ("html = 'pipeline.toml'", "is the pipeline"),
        ("markdown = './data.csv'", "is the data"),
        ("json = 'h.db'", "is the history"),
        ("html = 'store/report.html'", "is a part of the store"),
        ("json = 'told.jsonl'\n[on.pass]\nnotify = { file = 'told.jsonl' }", "is a file that is told of each run"),
        ("json = 'resumed'\n[run]\nresume = 'resumed'", "is the file for a run that is killed"),
        ("json = 'both'\nhtml = './both'", "is another report"),
    ] {
        write(report);
        let checked = project.modelwatch(&["check", "pipeline.toml"]);
        assert!(checked.code == 2 && checked.err.contains("E0211") && checked.err.contains(what), "{}", checked.err);
        let ended = project.modelwatch(&["run", "pipeline.toml"]);
        assert!(ended.code == 2 && ended.err.contains("E0211"), "{report}: {}", ended.err);
    }
    assert_eq!(std::fs::read_to_string(project.path().join("data.csv")).unwrap(), "a,b\n1,2\n3,4\n");
    project.pipe("pipe");
    write("html = 'pipe'");
    for command in ["check", "run"] {
        let ended = project.modelwatch(&[command, "pipeline.toml"]);
        assert!(ended.code == 2 && ended.err.contains("it is no regular file"), "{}", ended.err);
    }
    for key in ["html", "junit", "json", "markdown"] {
        write(&format!("{key} = 'notes.md'"));
        for command in ["check", "run"] {
            let ended = project.modelwatch(&[command, "pipeline.toml"]);
            assert!(ended.code == 2 && ended.err.contains("which is no such report"), "{}", ended.err);
        }
        // One of its own kind is written anew.
        write(&format!("{key} = 'report'"));
        for _ in 0..2 {
            let ended = project.modelwatch(&["run", "pipeline.toml"]);
            assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
        }
        std::fs::remove_file(project.path().join("report")).unwrap();
    }
    let ended = project.modelwatch(&["report", "last", "--history", "h.db", "--html", "pipeline.toml"]);
    assert!(ended.code == 3 && ended.err.contains("which is no such report"), "{}", ended.err);
    assert!(std::fs::read_to_string(project.path().join("pipeline.toml")).unwrap().starts_with("name = 'x'"));
}

#[test]
fn a_run_whose_report_could_not_be_written_is_kept_as_what_it_ended_with() {
    let project = Project::new();
    // Each could be, but not all.
    let rest = "[[analyze]]\nuses = 'weights'\n[report]\nhtml = 'out'\njson = 'out/run.json'\nmarkdown = 'run.md'\n\
                junit = 'run.xml'\n";
    project.write("pipeline.toml", &format!("{}{rest}", digits("e08")));
    let ended = project.modelwatch(&["run", "pipeline.toml", "--format", "json"]);
    assert_eq!(ended.code, 3, "{}", ended.err);
    assert!(ended.err.contains("cannot write the report `") && ended.err.contains("run.json`: "), "{}", ended.err);
    let kept = project.modelwatch(&["report", "last", "--format", "json"]).out;
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!((&kept["verdict"], &kept["exit_code"]), (&"pass".into(), &3.into()));
    assert_eq!(kept, serde_json::from_str::<serde_json::Value>(&ended.out).unwrap());
    // So are the reports that could be, and had been before.
    for file in ["out", "run.md", "run.xml"] {
        let text = std::fs::read_to_string(project.path().join(file)).unwrap();
        assert!(text.contains("pass, but not all of it was written down"), "{file}: {text}");
    }
}

#[test]
fn a_report_says_that_the_history_or_the_output_could_not_be_written() {
    let project = Project::new();
    let rest = "[[analyze]]\nuses = 'weights'\n[report]\njson = 'run.json'\n";
    let spoil = "[on.pass]\nrun = ['sh', '-c', 'rm -f .modelwatch/*; echo no database > .modelwatch/history.db']\n";
    let report = || {
        let text = std::fs::read_to_string(project.path().join("run.json")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        (record["verdict"].as_str().unwrap().to_owned(), record["exit_code"].as_u64().unwrap())
    };
    project.write("pipeline.toml", &format!("{}{rest}", digits("e08")));
    assert_eq!(project.modelwatch(&["run", "pipeline.toml"]).code, 0);
    assert_eq!(report(), ("pass".to_owned(), 0));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = project.command(&["run", "pipeline.toml"]).stdout(full).output().unwrap();
    assert_eq!((ended.status.code(), report()), (Some(3), ("pass".to_owned(), 3)));
    project.write("pipeline.toml", &format!("{}{rest}{spoil}", digits("e08")));
    let ended = project.modelwatch(&["run", "pipeline.toml"]);
    assert!(ended.err.contains("cannot use the history"), "{}", ended.err);
    assert_eq!((ended.code, report()), (3, ("pass".to_owned(), 3)));
}

#[test]
fn a_history_that_may_only_be_read_is_read() {
    use std::{
        fs::{self, Permissions},
        os::unix::{fs::MetadataExt, fs::PermissionsExt, process::CommandExt},
    };
    let project = Project::new();
    project.write("data.csv", "a,b\n1,2\n3,4\n");
    project.write(
        "pipeline.toml",
        "name = 'x'\nrun.history = 'kept/h.db'\n[data.current]\npath = 'data.csv'\n[[analyze]]\nuses = 'quality'\n",
    );
    assert_eq!(project.modelwatch(&["run", "pipeline.toml"]).code, 0);
    let kept = project.path().join("kept");
    for (path, mode) in [(kept.join("h.db"), 0o444), (kept.clone(), 0o555), (project.path().to_owned(), 0o755)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let call = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        // The superuser may write whatever the permissions say.
        if project.path().metadata().unwrap().uid() == 0 {
            command.uid(65_534);
        }
        let ended = command.output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap())
    };
    for command in [&["history", "--history", "kept/h.db"][..], &["report", "last", "--history", "kept/h.db"]] {
        let (code, out, err) = call(command);
        assert!(code == Some(0) && out.contains('x'), "{out}{err}");
    }
    let (code, out, err) = call(&["run", "pipeline.toml"]);
    assert!(code == Some(3) && out.contains("which may only be read"), "{out}{err}");
    fs::set_permissions(kept, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_pipeline_that_cannot_be_read_is_named_with_the_reason() {
    for (path, reason) in [("none.toml", "cannot find"), (".", "Is a directory")] {
        let ended = Project::new().modelwatch(&["run", path]);
        assert_eq!(ended.code, 2);
        assert!(ended.err.contains(&format!("`{path}`")) && ended.err.contains(reason), "{}", ended.err);
    }
}

#[test]
fn a_pattern_means_the_files_beside_the_pipeline_whatever_its_folder_is_called() {
    let project = Project::new();
    for folder in ["[v1]", "v"] {
        std::fs::create_dir(project.path().join(folder)).unwrap();
    }
    project.write("[v1]/a.csv", "x\n1\n2\n");
    project.write("v/a.csv", "x\n9\n8\n");
    let pipeline = |pattern: &str| {
        format!(
            "name = 't'\n[data]\ncurrent.path = '{pattern}'\nreference.path = '{pattern}'\n[[analyze]]\nuses = 'drift'\n"
        )
    };
    project.write("[v1]/q.toml", &pipeline("*.csv"));
    let ended = project.modelwatch(&["check", "[v1]/q.toml"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    project.write("[v1]/q.toml", &pipeline("*.npz"));
    let ended = project.modelwatch(&["check", "[v1]/q.toml"]);
    assert!(ended.code == 2 && ended.err.contains("no file matches `[v1]/*.npz`"), "{}{}", ended.out, ended.err);
}

#[test]
fn data_that_cannot_be_read_is_an_error_that_names_the_file() {
    let project = Project::new();
    let data = fixtures().join("digits/data/test.parquet");
    let mut bytes = std::fs::read(data).unwrap();
    let half = bytes.len() / 2;
    bytes.truncate(half);
    std::fs::write(project.path().join("cut.parquet"), bytes).unwrap();
    project.write("broken.csv", "a,b\n1,2\n3\n");
    project.write("nothing.csv", "");
    for (file, words) in [
        ("cut.parquet", "at the footer: "),
        ("cut.parquet", "; write or copy the file again"),
        ("broken.csv", "line 3"),
        ("broken.csv", "; give every line the fields of the head line"),
        ("nothing.csv", "is empty"),
    ] {
        let ended = project.modelwatch(&["probe", "drift", "--current", file, "--reference", file, "--format", "json"]);
        assert_eq!(ended.code, 3, "{file}: {}{}", ended.out, ended.err);
        let record: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        let message = record["checks"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(file) && message.contains(words), "{file}: {message}");
    }
    project.write("mixed-1.csv", "a,b\n1,2\n");
    std::fs::copy(project.path().join("cut.parquet"), project.path().join("mixed-2.parquet")).unwrap();
    let mixed = "mixed-*";
    let ended = project.modelwatch(&["probe", "drift", "--current", mixed, "--reference", mixed]);
    assert!(ended.out.contains("is Parquet, and"), "{}", ended.out);
    // Nobody wrote the text that this would be a place in.
    assert!(!ended.out.contains("command line"), "{}", ended.out);
}

#[test]
fn a_record_has_exactly_these_keys() {
    let probes = "[[analyze]]\nuses = 'weights'\n[[verify]]\nuses = 'metrics'\n\
                  with = { task = 'multiclass' }\n";
    let (_, record) = Project::new().run(&format!("{}{probes}", digits("e08")));
    let mut keys: Vec<_> = record.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    let mut expected = [
        "run_id",
        "pipeline",
        "verdict",
        "exit_code",
        "checkpoint",
        "baseline",
        "models",
        "checks",
        "metrics",
        "findings",
        "figures",
        "actions",
        "coverage",
        "timings",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    let keys =
        |it: &serde_json::Value| it.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    let set = |it: &[&str]| it.iter().map(|&it| it.to_owned()).collect();
    let check = ["probe", "metric", "labels", "requirement", "observed", "interval", "n", "status", "message"];
    assert_eq!(keys(&record["checks"][0]), set(&check));
    let metric = set(&["probe", "name", "labels", "value", "unit", "interval", "n", "role"]);
    for it in record["metrics"].as_array().unwrap() {
        assert_eq!(keys(it), metric, "{it}");
    }
    let acting = "[[analyze]]\nuses = 'weights'\n[store]\nuses = 'local'\nwith = { path = 'store' }\n\
                  [on.fail]\nmove = ['bad']\n";
    let (_, record) = Project::new().run(&format!("{}{acting}", digits("bad_diverged")));
    let finding = ["probe", "code", "severity", "where", "message", "advice", "evidence"];
    assert_eq!(keys(&record["findings"][0]), set(&finding));
    assert_eq!(keys(&record["actions"][0]), set(&["kind", "ref", "from", "to", "status", "message"]));
}

#[test]
fn coverage_says_how_much_was_measured() {
    let metrics = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";
    let (_, record) = Project::new().run(&format!("{}{metrics}", digits("e08")));
    let measured = &record["coverage"]["probes"][0]["measured"];
    assert_eq!(measured["class"], 10, "{measured}");
    assert!(measured["metric"].as_u64().unwrap() > 30 && measured["slice"].is_null(), "{measured}");
    assert!(record["coverage"]["probes"][0]["unmeasured"].is_null());
}

#[test]
fn coverage_says_what_was_not_measured_and_why() {
    let metrics = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass', expect_slices = ['writer=z'] }\n\
         require = { 'recall[class=x]' = '>= 0.5', accuracy = '>= 0.9' }\n";
    let (code, record) = Project::new().run(&format!("{}{metrics}", digits("e08")));
    let unmeasured = record["coverage"]["probes"][0]["unmeasured"].as_array().unwrap();
    let told: Vec<_> = unmeasured
        .iter()
        .map(|it| format!("{} {} {}", it["labels"], it["metrics"], it["why"].as_str().unwrap()))
        .collect();
    assert_eq!((code, told.len()), (4, 2), "{told:?}");
    assert!(told[0].starts_with(r#"{"class":"x"} ["recall"] no metric of that name has these labels"#), "{told:?}");
    assert_eq!(told[1], r#"{"slice":"writer=z"} ["accuracy"] `writer` is not a slice column of the data"#);
}

#[test]
fn a_probe_runs_without_a_pipeline_file() {
    let fixtures = fixtures();
    let model = fixtures.join("digits/cnn_series/e08.onnx");
    let data = fixtures.join("digits/data/test.npz");
    let project = Project::new();
    let common = ["probe", "metrics", "--current", data.to_str().unwrap(), "--model", model.to_str().unwrap()];
    let options = ["--with", "task=multiclass", "--column", "label=y", "--require", "accuracy=>= 0.97"];
    let ended = project.modelwatch(&[&common[..], &options[..]].concat());
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("METRIC") && ended.out.contains("log_loss"), "{}", ended.out);
    let options = ["--with", "task=multiclass", "--column", "label=y", "--require", "accuracy=>= 0.99"];
    assert_eq!(project.modelwatch(&[&common[..], &options[..]].concat()).code, 1);
    // A mistake is shown as it was typed.
    let ended = project.modelwatch(&[&common[..], &["--with", "tsak=multiclass"]].concat());
    assert!(ended.code == 2 && ended.err.contains("--with tsak=multiclass"), "{}", ended.err);
    let ended = project.modelwatch(&["probe", "weights"]);
    assert!(ended.code == 2 && ended.err.contains("help: give `--model`"), "{}", ended.err);
    // Any of several columns could be its input; tables of a pipeline are said as options.
    let [data, model] = ["ref_ort.npz", "logreg.onnx"].map(|it| fixtures.join("tabular/breast_cancer").join(it));
    let data = ["--current", data.to_str().unwrap(), "--model", model.to_str().unwrap()];
    let options = ["--with", r#"outputs={ probabilities = "logreg/probabilities" }"#];
    let ended = project.modelwatch(&[&["probe", "golden"][..], &data, &options].concat());
    assert!(ended.code == 3 && ended.err.contains("`[data.columns]` as `--column label=…`"), "{}", ended.err);
    assert_eq!(project.names(), [""; 0], "a probe leaves nothing behind");
}

#[test]
fn what_is_wrong_with_the_arguments_of_a_probe_is_shown_as_it_was_typed() {
    let project = Project::new();
    project.write("rows.csv", "a,b\n1,x\n");
    let shown = |arguments: &[&str], expected: &[&str]| {
        let ended = project.modelwatch(&[&["probe", "drift"], arguments].concat());
        assert_eq!(ended.code, 2, "{}{}", ended.out, ended.err);
        for it in expected {
            assert!(ended.err.contains(it), "{it}: {}", ended.err);
        }
    };
    shown(
        &["--current", "rows.csv"],
        &["1 | probe drift\n  |       ^^^^^\n", "needs reference data", "help: give `--reference`"],
    );
    let missing = ["1 | --current none.csv\n  |           ^^^^^^^^\n", "help: correct the path\n"];
    shown(&["--current", "none.csv"], &missing);
    shown(&["--current", "none.csv", "--reference", "rows.csv"], &missing);
    let both = ["--current", "rows.csv", "--reference", "rows.csv"];
    let requirements = [
        ("drifted_share=0.2", "1 | --require drifted_share=0.2\n  |                         ^\n"),
        ("drifted_shore=< 0.2", "1 | --require drifted_shore=< 0.2\n  |           ^^^^^^^^^^^^^\n"),
    ];
    for (requirement, expected) in requirements {
        shown(&[&both[..], &["--require", requirement]].concat(), &[expected]);
    }
    // Both conditions of one metric count.
    let two = ["--require", "drifted_share=>= 0", "--require", "drifted_share=\"< 0\"", "--format", "json"];
    let ended = project.modelwatch(&[&["probe", "drift"], &both[..], &two].concat());
    let record: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let of_share = record["checks"].as_array().unwrap().iter().filter(|it| it["metric"] == "drifted_share");
    assert_eq!(of_share.map(|it| &it["requirement"]).collect::<Vec<_>>(), [">= 0", "< 0"], "{record:#}");
    // There is no file that an annotation could be in.
    assert_eq!(
        (&record["pipeline"]["file"], &record["pipeline"]["digest"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    let ended = project.modelwatch(&[&["probe", "drift"], &both[..], &["--format", "github"]].concat());
    assert!(ended.out.starts_with("::") && !ended.out.contains("file="), "{}", ended.out);
}

#[test]
fn what_is_wrong_with_a_pipeline_is_annotated_at_its_place() {
    let project = Project::new();
    project.write("pipeline.toml", "name = 'a'\n[[analyze]]\nuses = 'drft'\n");
    for command in ["check", "run"] {
        let ended = project.modelwatch(&[command, "pipeline.toml", "--format", "github"]);
        assert_eq!(ended.code, 2);
        let line = ended.out.lines().find(|it| it.contains("drft")).unwrap_or_else(|| panic!("{}", ended.out));
        assert!(line.starts_with("::error file=pipeline.toml,line=3,title=E0"), "{line}");
        assert!(line.contains("did you mean `drift`?"), "{line}");
        // What is not in the file is shown with it.
        let set = [command, "pipeline.toml", "--format", "github", "--set", "analyze.0.uses='quallity'"];
        let ended = project.modelwatch(&set);
        let line = ended.out.lines().find(|it| it.contains("quallity")).unwrap_or_else(|| panic!("{}", ended.out));
        assert!(line.starts_with("::error file=pipeline.toml,title=E0"), "{line}");
    }
}

#[test]
fn what_a_run_finds_is_annotated_at_its_probe() {
    let project = Project::new();
    let probe = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\nrequire = { accuracy = '>= 1' }\n";
    let text = format!("{}{probe}", digits("e08"));
    project.write("pipeline.toml", &text);
    let at = 1 + text.lines().position(|it| it == "[[verify]]").unwrap();
    let ended = project.modelwatch(&["run", "pipeline.toml", "--format", "github"]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(
        ended.out.contains(&format!("::error file=pipeline.toml,line={at},title=metrics accuracy::")),
        "{}",
        ended.out
    );
}

#[test]
fn options_are_explained_with_what_they_may_be() {
    let drift = Project::new().modelwatch(&["explain", "analyzer/drift"]);
    assert_eq!(drift.code, 0, "{}", drift.err);
    let at = |name: &str| drift.out.lines().find(|it| it.trim_start().starts_with(name)).unwrap_or_default().to_owned();
    assert!(at("correction (").contains("\"holm\" or "), "{}", at("correction"));
    assert!(at("false_alarm_budget (").contains("a table"), "{}", drift.out);
    assert!(at("rate (").contains("a number, required"), "{}", drift.out);
    // What is in the tables of a table with keys of the user's own.
    let golden = Project::new().modelwatch(&["explain", "golden"]).out;
    assert_eq!(golden.lines().filter(|it| it.trim_start().starts_with("rtol (a number")).count(), 2, "{golden}");
}

#[test]
fn a_quiet_run_says_nothing_but_errors() {
    let project = Project::new();
    project.write(
        "pipeline.toml",
        &format!("{}[[analyze]]\nuses = 'weights'\n[report]\njson = 'run.json'\n", digits("e08")),
    );
    let said = |arguments: &[&str]| project.modelwatch(&[&["run", "pipeline.toml"], arguments].concat()).err;
    assert!(said(&[]).contains("report: run.json"), "{}", said(&[]));
    assert_eq!(said(&["--quiet"]), "");
}

#[test]
fn a_run_without_rows_that_is_allowed_says_so_in_its_record() {
    let project = Project::new();
    project.write("none.csv", "a,y\n");
    let probe = "[data.current]\npath = 'none.csv'\n[[analyze]]\nuses = 'quality'\n";
    project.write("pipeline.toml", &format!("name = 'a'\n{probe}"));
    let run = ["run", "pipeline.toml", "--format", "json", "--allow-empty"];
    for (arguments, code) in [(&run[..4], 4), (&run[..], 0)] {
        let ended = project.modelwatch(arguments);
        let record: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!((ended.code, &record["exit_code"]), (code, &code.into()), "{}", ended.err);
        // And in what is kept of it.
        let kept = project.modelwatch(&["report", "last", "--format", "json"]);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&kept.out).unwrap(), record);
    }
}

#[test]
fn codes_and_components_are_explained() {
    let project = Project::new();
    let code = project.modelwatch(&["explain", "e0016"]);
    assert!(code.code == 0 && code.out.contains("requirement"), "{}", code.out);
    let component = project.modelwatch(&["explain", "drift"]);
    assert!(component.code == 0 && component.out.contains("alpha"), "{}", component.out);
    let unknown = project.modelwatch(&["explain", "drft"]);
    assert!(unknown.code == 2 && unknown.err.contains("did you mean `drift`?"), "{}", unknown.err);
}

#[test]
fn codes_of_findings_are_explained() {
    let project = Project::new();
    let explain = |what: &str| project.modelwatch(&["explain", what]);
    let order = explain("mw-m003");
    assert_eq!(order.code, 0, "{}", order.err);
    for text in
        ["MW-M003: classes are in the wrong order", "What to do: Compare", "the verifier `metrics`; usually an error"]
    {
        assert!(order.out.contains(text), "{text}: {}", order.out);
    }
    let unknown = explain("MW-M099");
    assert!(unknown.code == 2 && unknown.err.contains("`MW-M001` to `MW-M0"), "{}", unknown.err);
    let slip = explain("MWW001");
    assert!(slip.code == 2 && slip.err.contains("did you mean `MW-W001`?"), "{}", slip.err);
}

#[test]
fn every_code_of_every_component_is_explained() {
    let project = Project::new();
    let ok = |arguments: &[&str]| {
        let ended = project.modelwatch(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.err);
        ended.out
    };
    let listed = ok(&["plugin", "list"]);
    let probes = listed.lines().map(|it| it.split_whitespace().collect::<Vec<_>>());
    let probes: Vec<_> =
        probes.filter(|it| matches!(it.first(), Some(&("verifier" | "analyzer")))).map(|it| it[1]).collect();
    for name in ["numerics", "differential", "golden", "drift"] {
        assert!(probes.contains(&name), "{name}: {listed}");
    }
    for name in probes {
        let component = ok(&["explain", name]);
        let findings = component.split_once("\nFindings:\n").unwrap_or_else(|| panic!("{name}: {component}")).1;
        let codes: Vec<_> = findings.lines().take_while(|it| it.starts_with("  MW-")).collect();
        assert!(!codes.is_empty(), "{name}: {component}");
        for line in codes {
            // As in `  MW-N001 (error) the outputs part at a node`.
            let (code, rest) = line.trim().split_once(" (").unwrap();
            let title = rest.split_once(") ").unwrap().1;
            let told = ok(&["explain", code]);
            assert!(told.starts_with(&format!("{code}: {title}")), "{code}: {told}");
            assert!(told.contains("What to do: ") && told.contains(&format!("`{name}`")), "{code}: {told}");
        }
    }
}

#[test]
fn codes_of_a_run_are_explained_without_plugins() {
    let project = Project::new();
    std::fs::create_dir(project.path().join("none")).unwrap();
    for code in ["MW-R001", "MW-R002", "MW-R003"] {
        let ended = project.modelwatch(&["explain", code, "--plugin-dir", "none"]);
        assert!(ended.code == 0 && ended.out.contains("Given by the run itself; usually a warning."), "{}", ended.out);
    }
}

#[test]
fn check_finds_files_that_are_not_there() {
    let project = Project::new();
    let pipeline = digits("none").replace("data/test.npz", "data/none.npz");
    project.write("pipeline.toml", &format!("{pipeline}[[analyze]]\nuses = 'drift'\nwhen = 'always'\n"));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert_eq!(ended.code, 2);
    let pipeline = digits("none").replace("data/test.npz", "data/none.npz");
    project.write("pipeline.toml", &format!("{pipeline}[[analyze]]\nuses = 'weights'\n"));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    assert!(ended.err.contains("none.npz") && ended.err.contains("none.onnx"), "{}", ended.err);
    assert_eq!(project.modelwatch(&["check", "pipeline.toml", "--no-environment"]).code, 0);
}

#[test]
fn a_reader_that_goes_away_changes_no_exit_code() {
    let project = Project::new();
    project.write("pipeline.toml", &format!("{}[[analyze]]\nuses = 'weights'\n", digits("bad_diverged")));
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_modelwatch"))
        .args(["run", "pipeline.toml", "--format", "json", "--quiet"])
        .current_dir(project.path())
        .env("MODELWATCH_PLUGIN_PATH", crate::support::plugins())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let project = Project::new();
    project.write("twice.csv", "a,a\n1,2\n");
    let ended = project.modelwatch(&["probe", "drift", "--current", "twice.csv", "--reference", "twice.csv"]);
    assert_eq!(ended.code, 3);
    assert!(ended.out.contains("two columns named `a`"), "{}", ended.out);
}

#[test]
fn every_condition_of_a_probe_counts() {
    let project = Project::new();
    project.write("a.csv", "x\n1\n");
    let model = fixtures().join("digits/cnn_series/e08.onnx");
    let model = model.to_str().unwrap();
    let arguments =
        ["probe", "weights", "--model", model, "--require", "non_finite=> 5", "--require", "non_finite=== 0"];
    assert_eq!(project.modelwatch(&arguments).code, 1);
}

#[test]
fn a_plugin_folder_that_is_not_there_is_a_mistake() {
    let ended = Project::new().modelwatch(&["plugin", "list", "--plugin-dir", "none"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("no plugin folder `none`"), "{}", ended.err);
}

#[test]
fn what_cannot_be_used_is_told_once_with_its_place() {
    let project = Project::new();
    let data = "[data.current]\npath = 'nope.npz'\n";
    let probes = "[[analyze]]\nuses = 'quality'\n[[analyze]]\nuses = 'quality'\nid = 'other'\n";
    project.write("pipeline.toml", &format!("name = 'x'\n{data}{probes}"));
    let ended = project.modelwatch(&["run", "pipeline.toml"]);
    assert_eq!(ended.code, 3, "{}", ended.err);
    assert_eq!(ended.out.matches("nope.npz").count(), 1, "{}", ended.out);
    assert!(ended.out.contains("pipeline.toml:3:8") && !ended.out.contains("n = 0"), "{}", ended.out);
    let ended = project.modelwatch(&["run", "pipeline.toml", "--set", "data.current.path=other.npz"]);
    assert!(ended.out.contains("(`--set data.current.path=other.npz`)"), "{}", ended.out);
    let checked = project.modelwatch(&["check", "pipeline.toml"]);
    assert!(checked.err.contains("help: correct the path; a relative one starts at the folder"), "{}", checked.err);
    assert_eq!(checked.err.matches("correct the path").count(), 1, "{}", checked.err);
}

#[test]
fn a_broken_model_is_named_as_its_user_does() {
    let project = Project::new();
    project.write("broken.onnx", "\u{8}\u{8}no model");
    let gate = digits("e08");
    let store = "store = { uses = 'local', with = { path = 'store' } }\n";
    let gate = gate.replacen('\n', &format!("\n{store}"), 1);
    let probes = "[[verify]]\nuses = 'contract'\n[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";
    project.write("pipeline.toml", &format!("{gate}{probes}"));
    let ended = project.modelwatch(&["run", "pipeline.toml", "--set", "checkpoint.import=broken.onnx"]);
    assert_eq!(ended.code, 3, "{}", ended.err);
    assert!(ended.out.contains("broken.onnx"), "{}", ended.out);
    assert!(!ended.out.contains("broken.onnx/") && !ended.out.contains(".modelwatch-"), "{}", ended.out);
}

#[test]
fn a_text_where_a_model_wants_a_number_is_named_with_its_row_and_column() {
    let project = Project::new();
    let folder = fixtures().join("tabular/breast_cancer");
    let text = std::fs::read_to_string(folder.join("test.csv")).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    // The rows begin below the head line, and the columns with `mean_radius`.
    lines[3] = format!("oops,{}", lines[3].split_once(',').unwrap().1);
    project.write("text.csv", &lines.join("\n"));
    let model = folder.join("logreg.onnx");
    let pipeline = format!(
        "name = 'x'\n[checkpoint]\nname = 'c'\nimport = '{}'\n[data.current]\npath = 'text.csv'\n[data.columns]\nlabel = 'label'\n\
         inputs = {{ X = ['mean_*', '*_error', 'worst_*'] }}\n[[verify]]\nuses = 'metrics'\nwith = {{ task = 'binary', output = 'probabilities' }}\n\
         require = {{ accuracy = '>= 0.9' }}\n",
        model.display()
    );
    let (code, record) = project.run(&pipeline);
    assert_eq!(code, 3, "{record:#}");
    let told = "text.csv` at row 3, column `mean_radius`: `oops` is no number; correct it, or leave it empty where it is missing";
    let message = crate::support::check(&record, "metrics", "error")["message"].as_str().unwrap().to_owned();
    assert!(message.contains(told), "{message}");
    let checked = project.modelwatch(&["check", "pipeline.toml"]);
    let told = told.split_once("; ").unwrap();
    assert!(checked.code == 2 && checked.err.contains(told.0) && checked.err.contains(told.1), "{}", checked.err);
}
