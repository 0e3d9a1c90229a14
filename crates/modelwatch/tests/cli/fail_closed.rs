//! Nothing passes by accident.

use std::{fs, path::Path};

use crate::support::{Project, check, digits, fixtures, plugins, sliced, walk};

const METRICS: &str = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";

#[test]
fn a_metric_that_is_nan_fails() {
    let (code, record) =
        Project::new().run(&format!("{}{METRICS}require = {{ log_loss = '<= 1000' }}", digits("bad_diverged")));
    assert_eq!((code, &record["verdict"]), (1, &"fail".into()));
    assert_eq!(check(&record, "log_loss", "fail")["observed"], "nan");
}

/// TFMA validates a model for which there are no thresholds.
#[test]
fn tfmas_no_thresholds_hole_is_closed() {
    let project = Project::new();
    let latency = "[[verify]]\nuses = 'latency'\nwith = { batch_sizes = [1], max_runs = 20, budget_seconds = 0.1 }\n";
    for probe in [METRICS, latency] {
        for fail_on in ["error", "never"] {
            let (code, record) = project.run(&format!("fail_on = '{fail_on}'\n{}{probe}", digits("e08")));
            assert_eq!((code, &record["verdict"]), (4, &"not-checked".into()), "{record:#}");
            let message = check(&record, "requirements", "not-checked")["message"].as_str().unwrap();
            assert!(message.starts_with("nothing is asked of it; add `require`"), "{message}");
        }
    }
    // One that is asked does not answer for one that is not.
    let asked = format!("{METRICS}require = {{ accuracy = '>= 0.5' }}\n");
    assert_eq!(project.run(&format!("{}{asked}{latency}", digits("e08"))).0, 4);
    // What is only to be looked at is said to be so.
    let (code, record) = project.run(&format!("{}{asked}{latency}severity = 'warning'\n", digits("e08")));
    assert_eq!(code, 0, "{record:#}");
    // An error is an error also where nothing was asked, and a verifier that judges by itself need not be asked.
    assert_eq!(project.run(&format!("{}{METRICS}", digits("bad_class_order"))).0, 1);
    assert_eq!(project.run(&format!("{}[[verify]]\nuses = 'numerics'\n", digits("e08"))).0, 0);
}

#[test]
fn metrics_and_labels_that_no_probe_reports_are_found_before_the_run() {
    let project = Project::new();
    let reference = fixtures().join("digits/data/train.npz");
    let require = "require = { acuracy = '>= 0', accuracy = '>= 0', 'recall[clas=3]' = ['>= 0', '<= 1'] }";
    let analyze = "[[analyze]]\nuses = 'drift'\nrequire = { drift_shar = '<= 1', 'drifted_share[column=x]' = '<= 1' }\n\
                   [[analyze]]\nuses = 'weights'\nrequire = { 'sparsity[tensr=*]' = '<= 1' }";
    let reference = format!("[data.reference]\npath = '{}'\n", reference.display());
    project.write("pipeline.toml", &format!("{}{reference}{METRICS}{require}\n{analyze}", digits("e08")));
    for command in ["run", "check"] {
        let ended = project.modelwatch(&[command, "pipeline.toml"]);
        assert_eq!(ended.code, 2, "{}", ended.out);
        let shown: Vec<_> = ended.err.split("error[E0205]: ").skip(1).map(said).collect();
        let expected = [
            ("`metrics` reports no metric `acuracy`", 7, "did you mean `accuracy`?"),
            // Once, although there are two conditions.
            ("`metrics` reports `recall` without a label `clas`", 4, "did you mean `class`?"),
            ("`drift` reports no metric `drift_shar`", 10, "did you mean `drifted_share`?"),
            ("`drift` reports `drifted_share` without a label `column`", 6, "it has no labels"),
            ("`weights` reports `sparsity` without a label `tensr`", 5, "did you mean `tensor`?"),
        ];
        let expected = expected.map(|(message, n_marks, help)| (message, n_marks, help.to_owned()));
        assert_eq!(shown, expected, "{}", ended.err);
    }
}

#[test]
fn a_requirement_on_labels_that_a_metric_never_has_together_is_found_before_the_run() {
    let reference = fixtures().join("digits/data/train.npz");
    let reference = format!("[data.reference]\npath = '{}'\n", reference.display());
    let project = Project::new();
    let behavior = "[[verify]]\nuses = 'contract'\nrequire = { batch_difference = '<= 1', \
                    'batch_difference[batch_size=*]' = '<= 1', repeat_difference = '<= 1', file_bytes = '> 0', \
                    'thread_difference[threads=*]' = '<= 1', 'order_difference[order=*]' = '<= 1' }\n";
    let metrics = "require = { 'accuracy[slice=a]' = '>= accuracy[slce=b]', accuracy = '>= 0.9 * accuracy[slice=a]', \
                   'recall[class=1,average=macro]' = '>= 0', recall = '>= 0', 'recall[class=*]' = '>= 0', \
                   'recall[average=macro,slice=a]' = '>= 0', 'recall[slice=a]' = '>= 0', 'mcc[slice=a]' = '>= 0', 'ks_statistic[slice=a]' = '>= 0', \
                   'roc_auc[average=macro,worst_slice=a]' = '>= 0', 'roc_auc[average=macro,multi_class=ovo]' = '>= 0' }\n";
    let drift = "[[analyze]]\nuses = 'drift'\nrequire = { psi = '<= 1', 'psi[column=*]' = '<= 1', \
                 'psi[column=x,output=y]' = '<= 1', 'missing_share[column=x]' = '<= 1', \
                 'missing_share[column=x,data=current]' = '<= 1', 'psi[output=y,part=norm]' = '<= 1' }\n";
    project.write("pipeline.toml", &format!("{}{reference}{METRICS}{metrics}{behavior}{drift}", digits("e08")));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert_eq!(ended.code, 2, "{}", ended.out);
    let shown: Vec<_> = ended.err.split("error[E0205]: ").skip(1).map(said).collect();
    let form = "it reports recall[average=*], recall[class=*], recall[slice=*], recall[worst_slice=*]".to_owned();
    for it in ["recall", "recall[average=*, class=*]"] {
        let message = format!("`metrics` reports no metric `{it}`");
        assert!(shown.contains(&(&*message, 6, form.clone())), "{shown:#?}");
    }
    let wrong: Vec<_> = shown.iter().filter_map(|it| it.0.split_once(" reports ")).map(|it| it.1).collect();
    let expected = [
        "`accuracy` without a label `slce`",
        "no metric `recall[average=*, class=*]`",
        "no metric `recall`",
        "no metric `recall[average=*, slice=*]`",
        "`ks_statistic` without a label `slice`",
        "`roc_auc` without a label `worst_slice`",
        "no metric `batch_difference`",
        "no metric `psi`",
        "no metric `psi[column=*, output=*]`",
        "no metric `missing_share[column=*]`",
    ];
    assert_eq!(wrong, expected, "{}", ended.err);
}

/// A requirement that nothing could ever decide with a confidence is refused; of chance alone it would pass every second time.
#[test]
fn a_confidence_that_a_metric_never_has_is_found_before_the_run() {
    let project = Project::new();
    let require = "require = { mcnemar_p = '>= 0.05 with confidence 95%', \
                   flips_right_to_wrong = ['<= 3 with confidence 95%', '<= 5'], \
                   'skill[metric=brier]' = '>= 0.1 with confidence 95%', 'skill[metric=accuracy]' = '>= 0.1 with confidence 95%', \
                   'skill[metric=*]' = '>= 0 with confidence 95%', ece = '<= 0.2 with confidence 95%' }";
    project.write("pipeline.toml", &format!("{}{METRICS}{require}\n", digits("e08")));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert_eq!(ended.code, 2, "{}", ended.out);
    let shown: Vec<_> = ended.err.split("error[E0215]: ").skip(1).map(|it| it.lines().next().unwrap()).collect();
    let never = |it: &str| format!("`metrics` never reports a confidence interval of `{it}`");
    let expected = ["mcnemar_p", "flips_right_to_wrong", "skill[metric=brier]"].map(never);
    assert_eq!(shown, expected, "{}", ended.err);
    assert!(ended.err.contains("`negative_flip_rate`") && ended.err.contains("pipeline.toml:"), "{}", ended.err);
}

#[test]
fn a_requirement_on_a_value_of_a_label_that_an_option_rules_out_is_found_before_the_run() {
    let reference = fixtures().join("digits/data/train.npz");
    let reference = format!("[data.reference]\npath = '{}'\n", reference.display());
    let project = Project::new();
    let analyze = |with: &str| {
        format!(
            "{}{reference}[[analyze]]\nuses = 'multivariate'\nwith = {{ {with} }}\n\
             require = {{ 'drifted[question=label]' = '== 0', 'p_value[question=*]' = '>= 0', \
             'test_p_value[question=calibration,test=energy]' = '>= 0', 'drifted[question=features]' = '== 0' }}\n",
            digits("e08")
        )
    };
    project.write("pipeline.toml", &analyze("label = false, calibration = true"));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert_eq!(ended.code, 2, "{}", ended.out);
    let shown: Vec<_> = ended.err.split("error[E0205]: ").skip(1).map(said).collect();
    let label = "`multivariate` never reports `drifted` with `question=label` as it is set";
    let calibration = "`multivariate` never reports `test_p_value` with `question=calibration` as it is set";
    let of_label = (label, 5, "set `label = true`".to_owned());
    let of_calibration = (calibration, 11, "require its `p_value`: no other test answers it".to_owned());
    assert_eq!(shown, [of_label, of_calibration.clone()], "{}", ended.err);
    // No option makes that one possible.
    project.write("pipeline.toml", &analyze("label = true, calibration = true"));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    let shown: Vec<_> = ended.err.split("error[E0205]: ").skip(1).map(said).collect();
    assert_eq!((ended.code, shown), (2, vec![of_calibration]), "{}", ended.err);
}

#[test]
fn a_value_that_a_label_never_has_is_found_before_the_run_with_those_that_it_has() {
    let reference = fixtures().join("digits/data/train.npz");
    let reference = format!("[data.reference]\npath = '{}'\n", reference.display());
    let project = Project::new();
    let classes = "classes = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']";
    let of = |section: &str, uses: &str, with: &str, address: &str| {
        format!("[[{section}]]\nuses = '{uses}'\nwith = {{ {with} }}\nrequire = {{ '{address}' = '>= 0' }}\n")
    };
    let metrics = format!("task = 'multiclass', {classes}, top_k = [2, 3]");
    let cases = [
        (
            "analyze",
            "multivariate",
            "tests = ['energy', 'mmd']",
            "test_p_value[question=features,test=trees]",
            "its values are energy, mmd",
        ),
        (
            "analyze",
            "multivariate",
            "tests = ['energy', 'mmd']",
            "compared_rows[data=training]",
            "its values are current, reference",
        ),
        (
            "analyze",
            "multivariate",
            "calibration = true",
            "ece[question=label,data=current]",
            "its only value is calibration",
        ),
        ("analyze", "drift", "", "missing_share[column=y,data=curent]", "did you mean `current`?"),
        (
            "analyze",
            "quality",
            "outlier_rows = { methods = ['loop'] }",
            "outlier_row_share[method=iqr]",
            "its only value is loop",
        ),
        (
            "verify",
            "behavior",
            "invariance = [{ name = 'bright', change = { add = 0.1 }, same_class = true }]",
            "pass_rate[test=brigth]",
            "did you mean `bright`?",
        ),
        ("verify", "contract", "batch_sizes = [1, 7]", "batch_difference[batch_size=32]", "its values are 1, 7"),
        ("verify", "contract", "threads = 4", "thread_difference[threads=8]", "its only value is 4"),
        ("verify", "contract", "", "order_difference[order=sorted]", "its values are reversed, shuffled"),
        ("verify", "latency", "batch_sizes = [1]", "latency_p50[batch_size=64]", "its only value is 1"),
        (
            "verify",
            "numerics",
            "edges = ['zeros', 'nan']",
            "non_finite_nodes[inputs=nan]",
            "its values are data, zeros",
        ),
        ("verify", "numerics", "edges = ['zeros']", "max_abs[inputs=zeros]", "its only value is data"),
        ("verify", "metrics", &metrics, "recall[class=ten]", "its values are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        ("verify", "metrics", &metrics, "top_k_accuracy[k=5]", "its values are 2, 3"),
        ("verify", "metrics", "task = 'multiclass', top_k = [2, 3]", "top_k_accuracy[k=5]", "its values are 2, 3"),
        ("verify", "metrics", &metrics, "roc_auc[average=micro]", "did you mean `macro`?"),
        ("verify", "metrics", &metrics, "skill[metric=recall]", "its values are accuracy, brier, log_loss"),
    ];
    for (section, uses, with, address, help) in cases {
        project.write("pipeline.toml", &format!("{}{reference}{}", digits("e08"), of(section, uses, with, address)));
        let ended = project.modelwatch(&["check", "pipeline.toml"]);
        let shown: Vec<_> = ended.err.split("error[E0205]: ").skip(1).map(said).collect();
        let &[(message, _, ref told)] = &shown[..] else { panic!("{address}: {}", ended.err) };
        assert!(message.starts_with(&format!("`{uses}` never reports `")), "{message}");
        assert_eq!((ended.code, &**told), (2, help), "{address}: {}", ended.err);
    }
    // What only the rows tell may be anything.
    let probe = of("verify", "metrics", "task = 'multiclass'", "recall[class=ten]");
    project.write("pipeline.toml", &format!("{}{reference}{probe}", digits("e08")));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
}

/// Returns the message of a diagnostic, how many characters it marks, and its help.
fn said(diagnostic: &str) -> (&str, usize, String) {
    let message = diagnostic.lines().next().unwrap();
    let marks = diagnostic.lines().find(|it| it.contains('^')).unwrap();
    let help = diagnostic.lines().find_map(|it| it.split_once("help: ")).unwrap().1;
    (message, marks.matches('^').count(), help.to_owned())
}

/// Two models that answer alike on these rows need not on others; a model and itself do.
#[test]
fn a_model_is_surely_no_worse_than_itself_alone() {
    let project = Project::new();
    let bytes = fs::read(fixtures().join("digits/cnn_series/e08.onnx")).unwrap();
    // The model does not depend on its `doc_string`, in which the key of data beside it is a word like any other.
    for (name, text) in [("candidate", "location"), ("copy", "location"), ("other", "position")] {
        let bytes = [&*bytes, b"\x32\x08", text.as_bytes()].concat();
        fs::write(project.path().join(format!("{name}.onnx")), bytes).unwrap();
    }
    let fixture = fixtures().join("digits/cnn_series/e08.onnx");
    let head = digits("e08").replace(fixture.to_str().unwrap(), "candidate.onnx");
    for (baseline, status, expected) in [("copy", "pass", 0), ("other", "inconclusive", 1)] {
        let (code, record) = project.run(&format!(
            "{head}[baseline]\nimport = '{baseline}.onnx'\n{METRICS}\
             require = {{ accuracy = '>= baseline with confidence 95%' }}"
        ));
        let interval = &check(&record, "accuracy", status)["interval"];
        assert_eq!(code, expected, "{record:#}");
        assert!(status != "pass" || (interval["low"] == 0.0 && interval["high"] == 0.0), "{interval}");
    }
}

#[test]
fn flips_and_the_test_of_them_can_be_required() {
    let baseline = format!("[baseline]\nimport = '{}/digits/cnn_series/e07.onnx'\n", fixtures().display());
    let require = "require = { flips_right_to_wrong = '<= 1000', mcnemar_p = '>= 0', negative_flip_rate = '<= 1' }";
    let (code, record) = Project::new().run(&format!("{}{baseline}{METRICS}{require}", digits("e08")));
    assert_eq!(code, 0, "{record:#}");
    for metric in ["flips_right_to_wrong", "mcnemar_p", "negative_flip_rate"] {
        check(&record, metric, "pass");
    }
}

#[test]
fn no_rows_are_not_checked() {
    let project = Project::new();
    let head = fs::read_to_string(fixtures().join("tabular/breast_cancer/test.csv")).unwrap();
    project.write("empty.csv", head.lines().next().unwrap());
    let (code, record) = project.run(&format!(
        "name = 'test'\n\
         checkpoint = {{ import = '{}/tabular/breast_cancer/logreg.onnx', name = 'b' }}\n\
         [data.current]\npath = 'empty.csv'\n\
         [data.columns]\nlabel = 'label'\ninputs = {{ X = ['mean_*', '*_error', 'worst_*'] }}\n\
         [[verify]]\nuses = 'metrics'\nwith = {{ task = 'binary', output = 'probabilities' }}\nrequire = {{ accuracy = '>= 0' }}",
        fixtures().display()
    ));
    assert_eq!((code, &record["verdict"]), (4, &"not-checked".into()));
    check(&record, "accuracy", "not-checked");
    check(&record, "findings", "not-checked");
}

#[test]
fn an_empty_table_is_fine_only_where_the_caller_says_so() {
    let project = Project::new();
    project.write("x.csv", "a,b\n");
    project.write("r.csv", "a,b\n1,2\n");
    let arguments = ["probe", "drift", "--current", "x.csv", "--reference", "r.csv"];
    assert_eq!(project.modelwatch(&arguments).code, 4);
}

#[test]
fn a_slice_that_is_not_there_is_not_checked() {
    let pipeline = |slice: &str| {
        format!(
            "name = 'test'\n\
             checkpoint = {{ import = '{0}/tabular/breast_cancer/logreg.onnx', name = 'b' }}\n\
             [data.current]\npath = '{0}/tabular/breast_cancer/test_sized.csv'\n\
             [data.columns]\nlabel = 'label'\nslices = ['size']\ninputs = {{ X = ['mean_*', '*_error', 'worst_*'] }}\n\
             [[verify]]\nuses = 'metrics'\nwith = {{ task = 'binary', output = 'probabilities' }}\n\
             [verify.require]\n'accuracy[slice=size={slice}]' = '>= 0.5'\n",
            fixtures().display()
        )
    };
    assert_eq!(Project::new().run(&pipeline("small")).0, 0);
    let project = Project::new();
    let (code, record) = project.run(&pipeline("huge"));
    assert_eq!(code, 4);
    // There was something to look at, so that nobody can have allowed this.
    let allowed = project.modelwatch(&["run", "pipeline.toml", "--allow-empty"]);
    assert_eq!(allowed.code, 4, "{}", allowed.out);
    let message = check(&record, "accuracy", "not-checked")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("its `slice` is ") && message.contains(", not `size=huge`"), "{message}");
}

#[test]
fn a_requirement_on_each_value_of_a_slice_column_is_about_these_alone() {
    let pipeline = |metric: &str| {
        let with = "output = 'probabilities', cross_slices = [['size', 'label']]";
        sliced(with, &format!("[verify.require]\n'{metric}' = '>= 0.5'\n"))
    };
    let slices = |metric: &str| {
        let (_, record) = Project::new().run(&pipeline(metric));
        let checks = record["checks"].as_array().unwrap().iter().filter(|it| it["metric"] == "accuracy");
        checks.map(|it| it["labels"]["slice"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let of_size = slices("accuracy[slice=size=*]");
    assert!(of_size.len() > 1 && of_size.iter().all(|it| it.starts_with("size=") && !it.contains(',')), "{of_size:?}");
    assert_eq!(slices("accuracy[slice=label=*]"), ["label=0", "label=1"]);
    let all = slices("accuracy[slice=*]");
    assert!(all.len() > of_size.len() + 2 && all.iter().any(|it| it.contains(',')), "{all:?}");
    let (code, record) = Project::new().run(&pipeline("accuracy[slice=size=x*]"));
    assert_eq!(code, 4);
    let message = check(&record, "accuracy", "not-checked")["message"].as_str().unwrap().to_owned();
    assert!(message.contains(", not `size=x*`"), "{message}");
}

#[test]
fn a_requirement_on_rows_of_two_slices_says_that_their_cross_is_to_be_asked_for() {
    let pipeline = |cross: &str, metric: &str| {
        let with = format!("output = 'probabilities'{cross}");
        sliced(&with, &format!("[verify.require]\n'{metric}' = '>= 0.5'\n"))
    };
    let (columns, slice) = ("accuracy[label=1, slice=size=small]", r#"accuracy[slice="label=1,size=small"]"#);
    let project = Project::new();
    project.write("pipeline.toml", &pipeline("", columns));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    let help = format!(
        "did you mean `{slice}`, of a cross that the options ask for: `cross_slices = [[\"label\", \"size\"]]`?"
    );
    assert!(ended.code == 2 && ended.err.contains(&help), "{}", ended.err);
    project.write("pipeline.toml", &pipeline("", "accuracy[size=small]"));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert!(ended.code == 2 && ended.err.contains("did you mean `accuracy[slice=size=small]`?"), "{}", ended.err);
    project.write("pipeline.toml", &pipeline("", "accuracy[slice=size=small, slice=label=1]"));
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert!(ended.code == 2 && ended.err.contains("their cross, `slice="), "{}", ended.err);
    let (code, record) = project.run(&pipeline("", slice));
    assert_eq!(code, 4);
    let message = check(&record, "accuracy", "not-checked")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("`cross_slices` of `metrics`"), "{message}");
    assert_eq!(project.run(&pipeline(", cross_slices = [['label', 'size']]", slice)).0, 0);
}

#[test]
fn a_slice_whose_value_has_a_comma_is_shown_as_it_is_addressed() {
    let rows: String =
        (0..80).map(|it| format!("{it},{it}.5,\"{}\"\n", if it % 2 == 0 { "a,b" } else { "c" })).collect();
    let project = Project::new();
    project.write("rows.csv", &format!("y,p,s\n{rows}"));
    let pipeline = |metric: &str| {
        format!(
            "name = 'test'\n[data.current]\npath = 'rows.csv'\n\
             [data.columns]\nlabel = 'y'\nslices = ['s']\npredictions = {{ out = 'p' }}\n\
             [[verify]]\nuses = 'metrics'\nwith = {{ task = 'regression' }}\n[verify.require]\n'{metric}' = '<= 1.0'\n"
        )
    };
    let (code, record) = project.run(&pipeline(r#"mae[slice="s=a,b"]"#));
    assert_eq!(code, 4);
    let message = check(&record, "mae", "not-checked")["message"].as_str().unwrap().to_owned();
    let shown = r#"slice="s=a\\,b""#;
    assert!(message.contains(&format!("did you mean `{shown}`?")), "{message}");
    assert_eq!(project.run(&pipeline(&format!("mae[{shown}]"))).0, 0);
}

#[test]
fn an_output_that_is_not_there_fails() {
    let golden = "[[verify]]\nuses = 'golden'\nwith = { outputs = { other = 'expected' } }\n";
    let pipeline = digits("e08").replace("data/test.npz", "data/test_golden.npz");
    let pipeline = pipeline.replace("label = 'y'", "ignore = ['expected', 'y']\ninputs = { x = 'x' }");
    let (code, record) = Project::new().run(&format!("{pipeline}{golden}"));
    assert_eq!((code, &record["verdict"]), (1, &"fail".into()), "{record:#}");
    let codes: Vec<_> = record["findings"].as_array().unwrap().iter().map(|it| &it["code"]).collect();
    assert!(codes.contains(&&"MW-G003".into()), "{codes:?}");
}

#[test]
fn a_glob_without_files_is_an_error() {
    let pipeline = digits("e08").replace("data/test.npz", "data/none-*.npz");
    let (code, record) = Project::new().run(&format!("{pipeline}{METRICS}"));
    assert_eq!((code, &record["verdict"]), (3, &"error".into()));
    let message = check(&record, "metrics", "error")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("no file matches"), "{message}");
}

#[test]
fn a_refused_plugin_is_an_error_and_the_rest_goes_on() {
    let project = Project::new();
    let dir = project.path().join("plugins");
    fs::create_dir(&dir).unwrap();
    for entry in fs::read_dir(plugins()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.join(path.file_name().unwrap())).unwrap();
    }
    let library = dir.join("libverify_metrics.so");
    let mut bytes = fs::read(&library).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&library, bytes).unwrap();
    // A program elsewhere, so that the good copies beside the built one do not stand in.
    let program = project.path().join("modelwatch");
    fs::copy(env!("CARGO_BIN_EXE_modelwatch"), &program).unwrap();
    project.write("pipeline.toml", &format!("{}{METRICS}[[analyze]]\nuses = 'weights'\n", digits("e08")));
    let ended = project.call(&program, &dir, &["run", "pipeline.toml", "--format", "json"]);
    let record: serde_json::Value = serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.err));
    assert_eq!((ended.code, &record["verdict"]), (3, &"error".into()), "{record:#}");
    let message = check(&record, "metrics", "error")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("digest"), "{message}");
    check(&record, "findings", "pass");
    assert!(ended.err.contains("refused plugin") && ended.err.contains("digest"), "{}", ended.err);
}

#[test]
fn a_refused_library_that_no_listing_describes_is_an_error_and_the_rest_goes_on() {
    let project = Project::new();
    let dir = project.path().join("plugins");
    fs::create_dir(&dir).unwrap();
    for it in ["libanalyze_weights.so", "libverify_metrics.so"] {
        fs::copy(plugins().join(it), dir.join(it)).unwrap();
    }
    fs::write(dir.join("libmine.so"), "no library").unwrap();
    let program = project.path().join("modelwatch");
    fs::copy(env!("CARGO_BIN_EXE_modelwatch"), &program).unwrap();
    let pipeline =
        |uses: &str| format!("{}[[verify]]\nuses = '{uses}'\n[[analyze]]\nuses = 'weights'\n", digits("e08"));
    project.write("pipeline.toml", &pipeline("mine"));
    let ended = project.call(&program, &dir, &["run", "pipeline.toml", "--format", "json"]);
    let record: serde_json::Value = serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.err));
    assert_eq!((ended.code, &record["verdict"]), (3, &"error".into()), "{record:#}");
    let message = check(&record, "mine", "error")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("no verifier that was loaded is named `mine`; refused plugin"), "{message}");
    assert!(message.contains("libmine.so") && message.contains("file too short"), "{message}");
    check(&record, "findings", "pass");
    // A slip of the pen is one all the same.
    project.write("pipeline.toml", &pipeline("metrcs"));
    let ended = project.call(&program, &dir, &["run", "pipeline.toml"]);
    assert!(ended.code == 2 && ended.err.contains("did you mean `metrics`?"), "{}", ended.err);
}

#[test]
fn a_library_that_was_cut_short_is_refused_before_it_is_mapped() {
    let project = Project::new();
    let whole = fs::read(plugins().join("libverify_golden.so")).unwrap();
    let dir = project.path().join("mine");
    fs::create_dir(&dir).unwrap();
    // Within the header, the program headers, and the segments.
    for length in [20, 200, 5_000, 100_000] {
        fs::write(dir.join("libmine.so"), &whole[..length]).unwrap();
        let ended = project.modelwatch(&["plugin", "check", "mine/libmine.so"]);
        assert_eq!(ended.code, 3, "{length}: {}", ended.err);
        if length > 4096 {
            let told = format!("mine/libmine.so`: it ends at byte {length}, its header says not before ");
            assert!(ended.err.contains(&told) && ended.err.contains("copy it again"), "{length}: {}", ended.err);
        }
    }
    project.write("pipeline.toml", &format!("{}{METRICS}[[verify]]\nuses = 'mine'\n", digits("e08")));
    let ended = project.modelwatch(&["run", "pipeline.toml", "--format", "json", "--plugin-dir", "mine"]);
    let record: serde_json::Value = serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.err));
    let message = check(&record, "mine", "error")["message"].as_str().unwrap();
    assert!(ended.code == 3 && message.contains("copy it again"), "{message}");
}

#[test]
fn a_plugin_that_was_refused_is_not_replaced_from_another_folder() {
    let sound = fs::read(plugins().join("libverify_metrics.so")).unwrap();
    let listing = "[[plugin]]\nfile = 'libverify_metrics.so'\nblake3 = '00'\ncomponents = ['verifier/metrics']\n";
    for (bytes, listing) in [(&sound[..], Some(listing)), (&sound[..100_000], None)] {
        let project = Project::new();
        let dir = project.path().join("mine");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("libverify_metrics.so"), bytes).unwrap();
        if let Some(it) = listing {
            fs::write(dir.join("plugins.toml"), it).unwrap();
        }
        project.write("pipeline.toml", &format!("{}{METRICS}[[analyze]]\nuses = 'weights'\n", digits("e08")));
        let ended = project.modelwatch(&["run", "pipeline.toml", "--format", "json", "--plugin-dir", "mine"]);
        let record: serde_json::Value =
            serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.err));
        assert_eq!((ended.code, &record["verdict"]), (3, &"error".into()), "{record:#}");
        let message = check(&record, "metrics", "error")["message"].as_str().unwrap();
        assert!(message.contains("refused plugin `mine/libverify_metrics.so`"), "{message}");
        check(&record, "findings", "pass");
    }
}

#[test]
fn what_a_refused_library_may_have_had_is_no_mistake_of_the_pipeline() {
    let project = Project::new();
    let dir = project.path().join("mine");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("libverify_metrics.so"), "not a library").unwrap();
    project.write("pipeline.toml", &format!("{}[[verify]]\nuses = 'own-checks'\n", digits("e08")));
    let ended = project.modelwatch(&["run", "pipeline.toml", "--plugin-dir", "mine"]);
    assert_eq!(ended.code, 3, "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("no verifier that was loaded is named `own-checks`"), "{}", ended.out);
    let probe = ["probe", "own-checks", "--plugin-dir", "mine", "--current", "none.csv"];
    assert_eq!(project.modelwatch(&probe).code, 3);
    let store = "store = { uses = 'own', with = { path = 'store' } }\n";
    let pipeline = digits("e08").replacen('\n', &format!("\n{store}"), 1);
    project.write("pipeline.toml", &format!("{pipeline}[[analyze]]\nuses = 'weights'\n"));
    let listed = project.modelwatch(&["store", "--pipeline", "pipeline.toml", "--plugin-dir", "mine", "list"]);
    assert_eq!(listed.code, 3, "{}", listed.err);
    let told = "no store that was loaded is named `own`; refused plugin `mine/libverify_metrics.so`";
    assert!(listed.err.contains(told), "{}", listed.err);
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let project = Project::new();
    let fifo = project.pipe("pipe");
    for it in ["/dev/null", fifo.to_str().unwrap()] {
        let data = fixtures().join("digits/data/test.npz");
        let pipeline = digits("e08").replace(data.to_str().unwrap(), it);
        let (code, record) = project.run(&format!("{pipeline}{METRICS}"));
        assert_eq!((code, &record["verdict"]), (3, &"error".into()));
        let message = check(&record, "metrics", "error")["message"].as_str().unwrap();
        assert!(message.contains(&format!("`{it}` is no regular file")), "{message}");
        for command in [["check", it].as_slice(), &["profile", "show", it], &["profile", it, "-o", "a.mwp"]] {
            let ended = project.modelwatch(command);
            assert!(matches!(ended.code, 2 | 3), "{command:?}: {}", ended.err);
            assert!(ended.err.contains("is no regular file"), "{command:?}: {}", ended.err);
        }
    }
    fs::create_dir(project.path().join("mine")).unwrap();
    fs::rename(&fifo, project.path().join("mine/plugins.toml")).unwrap();
    let ended = project.modelwatch(&["plugin", "list", "--plugin-dir", "mine"]);
    let told = "mine/plugins.toml`: cannot read the listing: it is no regular file";
    assert!(ended.err.contains(told), "{}", ended.err);
}

#[test]
fn a_pipe_that_nobody_reads_is_not_written_to() {
    let project = Project::new();
    project.pipe("pipe");
    let told = "[[analyze]]\nuses = 'weights'\n[on.pass]\nnotify = { file = 'pipe' }\n";
    let (code, record) = project.run(&format!("{}{told}", digits("e08")));
    assert_eq!((code, &record["verdict"]), (3, &"pass".into()));
    let action = &record["actions"][0];
    assert_eq!(action["status"], "failed");
    assert!(action["message"].as_str().unwrap().contains("nobody reads from the pipe"), "{action}");
}

#[test]
fn a_page_that_is_not_what_its_checksum_says_is_an_error() {
    let project = Project::new();
    let sound = fs::read(fixtures().join("formats/page_checksums.parquet")).unwrap();
    let run = |bytes: &[u8]| {
        fs::write(project.path().join("data.parquet"), bytes).unwrap();
        project.run("name = 'x'\n[data.current]\npath = 'data.parquet'\n[[analyze]]\nuses = 'quality'\n")
    };
    let (code, record) = run(&sound);
    assert_eq!(code, 0, "{record:#}");
    // The last bit of a value's mantissa: nothing but the checksum tells.
    let at = sound.windows(8).position(|it| it == 9.72_f64.to_le_bytes()).unwrap();
    let mut flipped = sound.clone();
    flipped[at] ^= 1;
    let (code, record) = run(&flipped);
    assert_eq!((code, &record["verdict"]), (3, &"error".into()), "{record:#}");
    let said = record["checks"].to_string();
    assert!(said.contains("data.parquet` at row group 0") && said.contains("CRC checksum mismatch"), "{said}");
}

#[test]
fn a_probe_that_takes_longer_than_its_timeout_is_an_error() {
    let dir = crate::support::fixture_plugins();
    let project = Project::new();
    let faulty = "[[analyze]]\nuses = 'faulty'\nwith = { fault = 'sleep' }\ntimeout = '200ms'\n";
    project.write("pipeline.toml", &format!("{}{METRICS}{faulty}", digits("e08")));
    let ended =
        project.modelwatch(&["run", "pipeline.toml", "--format", "json", "--plugin-dir", dir.to_str().unwrap()]);
    let record: serde_json::Value = serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.err));
    assert_eq!(ended.code, 3);
    let message = check(&record, "faulty", "error")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("timeout of 200ms"), "{message}");
    assert_eq!(check(&record, "findings", "pass")["probe"], "metrics");
}

#[test]
fn a_probe_of_severity_warning_is_reported_only() {
    let require = "severity = 'warning'\nrequire = { accuracy = '>= 0.999' }\n";
    let weights = "[[analyze]]\nuses = 'weights'\n";
    let (code, record) = Project::new().run(&format!("{}{METRICS}{require}{weights}", digits("e08")));
    assert_eq!((code, &record["verdict"]), (0, &"pass".into()));
    check(&record, "accuracy", "fail");
}

#[test]
fn model_inputs_that_are_missing_are_noticed() {
    let project = Project::new();
    let text = fs::read_to_string(fixtures().join("tabular/breast_cancer/test.csv")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[3] = lines[3].split_once(',').map(|it| format!(",{}", it.1)).unwrap();
    project.write("holes.csv", &lines.join("\n"));
    let (_, record) = project.run(&format!(
        "name = 'test'\n\
         checkpoint = {{ import = '{}/tabular/breast_cancer/logreg.onnx', name = 'b' }}\n\
         [data.current]\npath = 'holes.csv'\n[data.columns]\nlabel = 'label'\n\
         [[verify]]\nuses = 'metrics'\nwith = {{ task = 'binary', output = 'probabilities' }}\n",
        fixtures().display()
    ));
    let finding = record["findings"].as_array().unwrap().iter().find(|it| it["code"] == "MW-R001").unwrap();
    assert_eq!((&finding["probe"], &finding["evidence"]["rows"]), (&"run".into(), &1.into()));
    assert_eq!(finding["message"], "1 row has model inputs that are missing or not finite");
}

/// A row counts once, whichever model's inputs it is bad for.
#[test]
fn rows_that_are_missing_for_either_model_are_counted() {
    let project = Project::new();
    let text = fs::read_to_string(fixtures().join("tabular/breast_cancer/test.csv")).unwrap();
    let header = text.lines().next().unwrap();
    let features: Vec<&str> = header.split(',').filter(|it| *it != "label").collect();
    assert!(header.starts_with(features[0]));
    let rows = text.lines().enumerate().map(|(at, line)| {
        let (first, rest) = line.split_once(',').unwrap();
        // The baseline has the first feature from a column of its own.
        let copy = if at == 0 { "copy" } else { first };
        let kept = |value, holes: [usize; 2]| if holes.contains(&at) { "" } else { value };
        format!("{},{rest},{}", kept(first, [5, 7]), kept(copy, [3, 7]))
    });
    project.write("holes.csv", &rows.collect::<Vec<_>>().join("\n"));
    let of_baseline = [&["copy"], &features[1..]].concat();
    let model = format!("import = '{}/tabular/breast_cancer/logreg.onnx'", fixtures().display());
    let (_, record) = project.run(&format!(
        "name = 'test'\ncheckpoint = {{ {model}, name = 'b' }}\nbaseline = {{ {model} }}\n\
         [data.current]\npath = 'holes.csv'\n\
         [data.columns]\nlabel = 'label'\ninputs = {{ X = {features:?} }}\nbaseline_inputs = {{ X = {of_baseline:?} }}\n\
         [[verify]]\nuses = 'metrics'\nwith = {{ task = 'binary', output = 'probabilities' }}\n\
         require = {{ accuracy = 'not worse than baseline' }}\n",
    ));
    let finding = record["findings"].as_array().unwrap().iter().find(|it| it["code"] == "MW-R001").unwrap();
    assert_eq!(finding["evidence"]["rows"], 3, "{record:#}");
}

#[test]
fn an_archive_with_a_flipped_bit_is_an_error() {
    let project = Project::new();
    let bytes = fs::read(fixtures().join("digits/data/test.npz")).unwrap();
    for at in [3_000, 7_000, 11_000] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 4;
        fs::write(project.path().join("flipped.npz"), bytes).unwrap();
        let old = fixtures().join("digits/data/test.npz").display().to_string();
        let pipeline = digits("e08").replace(&old, "flipped.npz");
        let (code, record) = project.run(&format!("{pipeline}{METRICS}"));
        assert_eq!((code, &record["verdict"]), (3, &"error".into()), "{at}: {record:#}");
        let message = check(&record, "metrics", "error")["message"].as_str().unwrap().to_owned();
        assert!(message.contains("flipped.npz") && message.contains("array `x`"), "{at}: {message}");
    }
}

#[test]
fn drift_of_no_column_is_refused() {
    let project = Project::new();
    let data = fixtures().join("tabular/breast_cancer/test.csv");
    let data = data.to_str().unwrap();
    let options = ["--with", "exclude=[\"*\"]"];
    let ended =
        project.modelwatch(&[&["probe", "drift", "--current", data, "--reference", data][..], &options[..]].concat());
    assert_eq!(ended.code, 2, "{}", ended.out);
    assert!(ended.err.contains("`drift` has no column of the data to look at"), "{}", ended.err);
}

#[test]
fn a_history_that_cannot_be_written_stops_promotion() {
    let project = Project::new();
    project.write("history", "this is no database");
    let gate = format!(
        "{}store = {{ uses = 'local', with = {{ path = 'store' }} }}\nrun = {{ history = 'history' }}\n{}\n\
         [[analyze]]\nuses = 'weights'\n[on.pass]\nmove = ['good']\n",
        &digits("e08")[..digits("e08").find("[data").unwrap()],
        &digits("e08")[digits("e08").find("[data").unwrap()..]
    );
    let (code, record) = project.run(&gate);
    assert_eq!((code, &record["verdict"], &record["actions"]), (3, &"error".into(), &serde_json::json!([])));
    check(&record, "history", "error");
    // Nothing was looked at for nothing, and what came is kept.
    assert!(record["timings"]["phases"].get("current data").is_none(), "{record:#}");
    assert!(record["coverage"]["gaps"].to_string().contains("was not begun"), "{record:#}");
    assert!(record["checkpoint"]["id"].is_string(), "{record:#}");
}

/// A pipeline that moves `good` where that holds of the digits network at `candidate`.
fn gate(candidate: &str, probes: &str) -> String {
    let data = fixtures().join("digits/data/test.npz");
    format!(
        "name = 'test'\nstore = {{ uses = 'local', with = {{ path = 'store' }} }}\n\
         checkpoint = {{ import = '{candidate}', name = 'digits' }}\non.pass.move = ['good']\n\
         [data.columns]\nlabel = 'y'\n[data.current]\npath = '{0}'\n[data.reference]\npath = '{0}'\n{probes}",
        data.display()
    )
}

#[test]
fn a_baseline_that_cannot_be_run_is_an_error_and_moves_no_ref() {
    let series = fixtures().join("digits/cnn_series");
    let require = format!("{METRICS}require = {{ accuracy = '>= 0.5' }}\n[baseline]\nimport = 'baseline.onnx'\n");
    let gate = gate(series.join("e03.onnx").to_str().unwrap(), &require);
    let gate = gate.replace("label = 'y'", "label = 'y'\ninputs = { x = 'x' }");
    let half = fs::read(series.join("e08.onnx")).unwrap()[..20_000].to_vec();
    let of_other_inputs = fs::read(fixtures().join("tabular/breast_cancer/rforest.onnx")).unwrap();
    for (bytes, why) in [(half, "cannot decode"), (b"name = 'x'".to_vec(), "cannot"), (of_other_inputs, "no input `x`")]
    {
        let project = Project::new();
        fs::write(project.path().join("baseline.onnx"), bytes).unwrap();
        let (code, record) = project.run(&gate);
        assert_eq!((code, &record["verdict"], &record["actions"]), (3, &"error".into(), &serde_json::json!([])));
        let said = check(&record, "baseline", "error")["message"].as_str().unwrap();
        assert!(said.contains(why) && said.contains("(pipeline.toml:"), "{said}");
    }
}

#[test]
fn a_checkpoint_whose_model_nothing_can_run_passes_nowhere() {
    let drift = "[[analyze]]\nuses = 'drift'\n";
    let project = Project::new();
    let saved_model = project.path().join("saved");
    copy(&fixtures().join("digits/cnn/saved_model"), &saved_model);
    let graph = saved_model.join("saved_model.pb");
    let half = fs::read(&graph).unwrap();
    fs::write(&graph, &half[..half.len() / 2]).unwrap();
    fs::create_dir(project.path().join("folder")).unwrap();
    project.write("folder/other.toml", "name = 'x'\n");
    fs::copy(fixtures().join("digits/data/test.npz"), project.path().join("arrays.onnx")).unwrap();
    for (candidate, is_stored) in
        [("saved", false), ("folder", false), ("folder/other.toml", false), ("arrays.onnx", true)]
    {
        let (code, record) = project.run(&gate(candidate, drift));
        assert_eq!((code, &record["verdict"], &record["actions"]), (3, &"error".into(), &serde_json::json!([])));
        let said = check(&record, "checkpoint", "error")["message"].as_str().unwrap();
        assert!(said.contains(candidate) && said.contains("(pipeline.toml:3:"), "{said}");
        assert_eq!(
            (record["checkpoint"]["id"].is_string(), !said.contains("nothing was stored")),
            (is_stored, is_stored)
        );
    }
    // Weights without a model are a checkpoint, of which nobody expects outputs.
    let weights = fixtures().join("digits/cnn/cnn.safetensors");
    let several = project.path().join("several");
    fs::create_dir(&several).unwrap();
    for name in ["model.safetensors", "ema.safetensors"] {
        fs::copy(&weights, several.join(name)).unwrap();
    }
    for (candidate, why) in [(weights, "cannot find a model"), (several, "the candidate model's outputs")] {
        let pipeline = gate(candidate.to_str().unwrap(), drift);
        let (code, record) = project.run(&pipeline);
        assert_eq!((code, &record["verdict"]), (0, &"pass".into()), "{record:#}");
        assert!(record["coverage"]["gaps"].to_string().contains(why), "{record:#}");
        project.write("pipeline.toml", &pipeline);
        let checked = project.modelwatch(&["check", "pipeline.toml"]);
        assert_eq!(checked.code, 0, "{}", checked.err);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in walk(from) {
        let copy = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(file, copy).unwrap();
    }
}
