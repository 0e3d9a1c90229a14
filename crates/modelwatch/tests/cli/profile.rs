//! Profiles: made, shown, put together, and in place of the reference's rows.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;

use crate::support::{Ended, Project, check, fixtures, flip_a_bit};

/// Runs the command without plugins, which it does not need.
fn call(project: &Project, arguments: &[&str]) -> Ended {
    project.call(Path::new(env!("CARGO_BIN_EXE_modelwatch")), Path::new("none"), arguments)
}

/// Twelve rows of each type: a number with a hole, a whole number, a name, and a date.
fn csv(from: u32) -> String {
    let rows = (from..from + 12).map(|it| {
        let number = if it % 6 == 5 { String::new() } else { format!("{}", f64::from(it) / 4.0) };
        format!("{number},{},{},2024-05-{:02}\n", it % 3, ["north", "south"][it as usize % 2], it + 1)
    });
    format!("number,code,side,day\n{}", rows.collect::<String>())
}

#[test]
fn a_profile_is_made_and_shown() {
    let project = Project::new();
    project.write("data.csv", &csv(0));
    let made = call(&project, &["profile", "data.csv", "-o", "ref.mwp", "--categorical", "code", "--quiet"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let words = |it: &str| it.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = made.out.lines().map(words).collect();
    assert_eq!(
        lines[..5],
        [
            "COLUMN KIND MISSING DISTINCT MEAN STD MIN MEDIAN MAX MOSTLY",
            "code categories 3 0 33.33 %",
            "day times of type Date32 2024-05-01T00:00:00Z 2024-05-12T00:00:00Z",
            "number numbers 16.67 % 10 1.25 0.874 0 1.25 2.5",
            "side categories 2 north 50 %",
        ]
    );
    assert!(
        lines[6].starts_with("ref.mwp: 12 rows, each of which counts once whatever it weighs, 4 columns, "),
        "{}",
        lines[6]
    );
    let shown = call(&project, &["profile", "show", "ref.mwp"]);
    assert_eq!((shown.code, &shown.out), (0, &made.out));
    let shown = call(&project, &["profile", "show", "ref.mwp", "--format", "json"]);
    let contents: Value = serde_json::from_str(&shown.out).unwrap();
    let day = contents["columns"].as_array().unwrap().iter().find(|it| it["name"] == "day").unwrap();
    assert_eq!(day["times"], serde_json::json!(["2024-05-01T00:00:00Z", "2024-05-12T00:00:00Z"]));
}

#[test]
fn whole_numbers_beyond_floats_are_shown_as_they_are() {
    let project = Project::new();
    // Of each 1,024 that follow each other a float holds one.
    let rows: String = (0..1243u64).map(|it| format!("{},{it}\n", (1u64 << 62) + it)).collect();
    project.write("data.csv", &format!("id,place\n{rows}"));
    let column = |budget: &str| -> Value {
        let file = format!("{budget}.mwp");
        let made = call(&project, &["profile", "data.csv", "-o", &file, "--budget", budget, "--quiet"]);
        assert_eq!(made.code, 0, "{}", made.err);
        let shown = call(&project, &["profile", "show", &file, "--format", "json"]);
        let contents: Value = serde_json::from_str(&shown.out).unwrap();
        contents["columns"].as_array().unwrap().iter().find(|it| it["name"] == "id").unwrap().clone()
    };
    let whole = column("2000");
    assert_eq!(whole["distinct"], serde_json::json!({ "value": 1243, "relative_error": 0.0 }));
    let base = 1u64 << 62;
    // Between two numbers, the nearest one.
    assert_eq!(whole["quartiles"], serde_json::json!([base, base + 311, base + 621, base + 932, base + 1242]));
    assert_eq!(whole["relative_error"], 0.0);
    // Of 0 to 1242: √(n (n + 1) / 12).
    let deviation = (1243.0 * 1244.0 / 12.0f64).sqrt();
    assert!((whole["standard_deviation"].as_f64().unwrap() / deviation - 1.0).abs() < 1e-12, "{whole}");
    let shown = call(&project, &["profile", "show", "2000.mwp"]).out;
    assert!(shown.contains(" 4611686018427387904 ") && shown.contains(" 4611686018427389146"), "{shown}");
    let some = column("100");
    let (n, error) =
        (some["distinct"]["value"].as_f64().unwrap(), some["distinct"]["relative_error"].as_f64().unwrap());
    assert!(error > 0.0 && (n / 1243.0 - 1.0).abs() < 4.0 * error, "{n} {error}");
    let median = some["quartiles"][2].as_u64().unwrap();
    assert!(median.abs_diff(base + 621) <= 16 && some["relative_error"].as_f64().unwrap() > 0.0, "{some}");
}

#[test]
fn parts_merge_to_the_profile_of_the_whole() {
    let project = Project::new();
    let (first, second) = (csv(0), csv(12));
    project.write("first.csv", &first);
    project.write("second.csv", &second);
    project.write("whole.csv", &format!("{first}{}", second.split_once('\n').unwrap().1));
    for it in ["first", "second", "whole"] {
        let ended = call(&project, &["profile", &format!("{it}.csv"), "-o", &format!("{it}.mwp")]);
        assert_eq!(ended.code, 0, "{}", ended.err);
    }
    let ended = call(&project, &["profile", "merge", "second.mwp", "first.mwp", "-o", "merged.mwp"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let read = |it: &str| fs::read(project.path().join(it)).unwrap();
    assert_eq!(read("merged.mwp"), read("whole.mwp"));
}

#[test]
fn what_is_no_profile_is_refused_with_a_remedy() {
    let project = Project::new();
    project.write("data.csv", &csv(0));
    let ended = call(&project, &["profile", "show", "data.csv"]);
    assert_eq!(ended.code, 3);
    let expected = "error: `data.csv` is no profile; make one with `modelwatch profile DATA --output FILE`";
    assert_eq!(ended.err.trim(), expected);
    call(&project, &["profile", "data.csv", "-o", "ref.mwp"]);
    flip_a_bit(&project.path().join("ref.mwp"));
    let ended = call(&project, &["profile", "show", "ref.mwp"]);
    assert_eq!(ended.code, 3);
    let expected = "error: the profile `ref.mwp` is damaged: its bytes do not have the digest that it names; copy it again from where it was written, or make it again from the rows";
    assert_eq!(ended.err.trim(), expected);
    let ended = call(&project, &["profile", "data.csv", "-o", "new.mwp", "--categorical", "cod"]);
    assert_eq!((ended.code, ended.err.contains("the data has no column `cod`")), (2, true), "{}", ended.err);
}

#[test]
fn no_rows_make_no_profile() {
    let project = Project::new();
    project.write("data.csv", "number,side\n");
    let ended = call(&project, &["profile", "data.csv", "-o", "ref.mwp"]);
    assert_eq!((ended.code, project.path().join("ref.mwp").exists()), (3, false), "{}", ended.err);
    assert!(ended.err.contains("`data.csv` has no rows"), "{}", ended.err);
}

#[test]
fn a_profile_is_not_replaced_unasked() {
    let project = Project::new();
    project.write("data.csv", &csv(0));
    project.write("ref.mwp", "precious");
    for command in [["profile", "data.csv"].as_slice(), &["profile", "merge", "a.mwp", "b.mwp"]] {
        let ended = call(&project, &[command, &["-o", "ref.mwp"]].concat());
        assert_eq!(ended.code, 2, "{}", ended.err);
        assert!(ended.err.contains("`ref.mwp` exists already; name a new file"), "{}", ended.err);
    }
    assert_eq!(fs::read_to_string(project.path().join("ref.mwp")).unwrap(), "precious");
}

#[test]
fn a_profile_does_not_replace_one_that_was_written_meanwhile() {
    let project = Project::new();
    project.write("data.csv", &csv(0));
    let make = || {
        let mut command = project.command(&["profile", "data.csv", "-o", "new/ref.mwp", "--format", "json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let both = [make(), make()].map(|it| it.wait_with_output().unwrap());
    let codes = both.each_ref().map(|it| it.status.code().unwrap());
    let lost = &both[usize::from(codes[0] == 0)];
    assert!(codes == [0, 2] || codes == [2, 0], "{codes:?}");
    let said = String::from_utf8_lossy(&lost.stderr);
    assert!(said.contains("`new/ref.mwp` exists already; name a new file"), "{said}");
    assert!(fs::read_dir(project.path().join("new")).unwrap().count() == 1);
}

#[test]
fn what_is_not_there_is_the_arguments_fault_and_what_is_in_it_is_not() {
    let project = Project::new();
    project.write("broken.parquet", "PAR1 and no more");
    project.write("broken.onnx", "no model");
    project.write("data.csv", &csv(0));
    let sound = fixtures().join("tabular/breast_cancer/logreg.onnx");
    project.write("pipeline.toml", &format!(
        "name = 'x'\n[checkpoint]\nname = 'c'\nimport = '{}'\n[data.current]\npath = 'data.csv'\n[[analyze]]\nuses = 'quality'\n",
        sound.display()
    ));
    for (missing, broken) in [
        (["profile", "none.csv", "-o", "a.mwp"].as_slice(), ["profile", "broken.parquet", "-o", "a.mwp"].as_slice()),
        (
            &["profile", "data.csv", "-o", "a.mwp", "--model", "none.onnx"],
            &["profile", "data.csv", "-o", "a.mwp", "--model", "broken.onnx"],
        ),
        (&["profile", "show", "none.mwp"], &["profile", "show", "broken.parquet"]),
        (
            &["columns", "pipeline.toml", "--data", "none.csv"],
            &["columns", "pipeline.toml", "--data", "broken.parquet"],
        ),
        (&["model", "show", "none.onnx"], &["model", "show", "broken.onnx"]),
        (&["store", "--store", "s", "put", "none.onnx", "c"], &[]),
    ] {
        let ended = project.modelwatch(missing);
        assert_eq!(ended.code, 2, "{missing:?}: {}", ended.err);
        if !broken.is_empty() {
            let ended = project.modelwatch(broken);
            assert_eq!(ended.code, 3, "{broken:?}: {}", ended.err);
        }
    }
}

/// Writes those rows of the test data whose label is 0, for which a model gives other predictions than for all.
fn of_one_label(project: &Project) -> String {
    let text = fs::read_to_string(fixtures().join("tabular/breast_cancer/test.csv")).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let rows = rows.lines().filter(|it| it.ends_with(",0")).map(|it| format!("{it}\n"));
    let path = project.write("shifted.csv", &format!("{header}\n{}", rows.collect::<String>()));
    path.to_str().unwrap().to_owned()
}

/// A pipeline that compares the predictions of a model of breast cancer as well.
fn predicting(model: &Path, current: &str, reference: &str) -> String {
    format!(
        "name = 'stored'\n\
         [checkpoint]\nimport = '{}'\nname = 'c'\n\
         [data.current]\npath = '{}'\n\
         [data.reference]\npath = '{reference}'\n\
         [data.columns]\nlabel = 'label'\n\
         [[analyze]]\nuses = 'drift'\n\
         require = {{ prediction_drift = '== 0' }}\n",
        model.display(),
        fixtures().join("tabular/breast_cancer").join(current).display()
    )
}

#[test]
fn predictions_are_compared_with_those_of_a_profile_as_with_those_of_rows() {
    let project = Project::new();
    let folder = fixtures().join("tabular/breast_cancer");
    let (model, train) = (folder.join("logreg.onnx"), folder.join("train.parquet"));
    let train = train.to_str().unwrap();
    let profile = |model: &Path, into: &str| {
        let model = model.to_str().unwrap();
        call(&project, &["profile", train, "-o", into, "--model", model, "--column", "label=label", "--quiet"])
    };
    let made = profile(&model, "train.mwp");
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.out.contains(" output probabilities "), "{}", made.out);
    assert!(made.out.contains("\noutputs of the model "), "{}", made.out);
    let shifted = of_one_label(&project);
    for (current, status) in [("test.parquet", "pass"), (shifted.as_str(), "fail")] {
        let (code, raw) = project.run(&predicting(&model, current, train));
        let (stored_code, stored) = project.run(&predicting(&model, current, "train.mwp"));
        assert_eq!(stored_code, code);
        for it in ["checks", "metrics", "findings", "coverage"] {
            assert_eq!(stored[it], raw[it], "{it}");
        }
        check(&stored, "prediction_drift", status);
    }
}

#[test]
fn predictions_of_another_model_are_not_compared() {
    let project = Project::new();
    let folder = fixtures().join("tabular/breast_cancer");
    let train = folder.join("train.parquet");
    let (train, other) = (train.to_str().unwrap(), folder.join("rforest.onnx"));
    let made = |more: &[&str]| {
        let _ = fs::remove_file(project.path().join("train.mwp"));
        let ended = call(&project, &[&["profile", train, "-o", "train.mwp", "--quiet"], more].concat());
        assert_eq!(ended.code, 0, "{}", ended.err);
        let (_, record) = project.run(&predicting(&folder.join("logreg.onnx"), "test.parquet", "train.mwp"));
        check(&record, "prediction_drift", "fail");
        assert!(!record["metrics"].to_string().contains("prediction_drift"), "{record:#}");
        record["coverage"]["gaps"].to_string()
    };
    let gaps = made(&["--model", other.to_str().unwrap(), "--column", "label=label"]);
    assert!(gaps.contains("those that it has are of the model "), "{gaps}");
    let gaps = made(&[]);
    assert!(gaps.contains("it has none; make it from the rows with `modelwatch profile DATA --model MODEL`"), "{gaps}");
}

#[test]
fn predictions_of_another_signature_are_not_compared() {
    let project = Project::new();
    let rows = (0..60).map(|it| format!("{},{},{}\n", it % 7 - 3, it % 5 - 2, it % 11 - 5));
    project.write("data.csv", &format!("a,b,c\n{}", rows.collect::<String>()));
    let model = fixtures().join("tensorflow/signatures.tflite").display().to_string();
    let make =
        ["profile", "data.csv", "-o", "ref.mwp", "--model", &model, "--column", "inputs.x=[\"a\", \"b\", \"c\"]"];
    let made = call(&project, &[&make[..], &["--signature", "squashed", "--quiet"]].concat());
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.out.contains(", signature `squashed`, run by tract"), "{}", made.out);
    let shown = call(&project, &["profile", "show", "ref.mwp", "--format", "json"]);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(shown["model"]["signature"], "squashed");
    let run = |signature: &str| {
        let (_, record) = project.run(&format!(
            "name = 'x'\n[checkpoint]\nimport = '{model}'\nname = 'x'\nsignature = '{signature}'\n[data.current]\npath = 'data.csv'\n\
             [data.reference]\npath = 'ref.mwp'\n[data.columns]\ninputs = {{ x = ['a', 'b', 'c'] }}\n\
             [[analyze]]\nuses = 'drift'\nrequire = {{ prediction_drift = '== 0' }}\n"
        ));
        record
    };
    check(&run("squashed"), "prediction_drift", "pass");
    let other = run("bounded");
    let gaps = other["coverage"]["gaps"].to_string();
    let why = "those that it has are of the signature `squashed` of the model, not of the signature `bounded`";
    assert!(gaps.contains(why), "{other:#}");
}

#[test]
fn a_model_that_cannot_be_run_on_the_data_makes_no_profile() {
    let project = Project::new();
    project.write("data.csv", &csv(0));
    let model = fixtures().join("tabular/breast_cancer/logreg.onnx");
    let made = call(&project, &["profile", "data.csv", "-o", "ref.mwp", "--model", model.to_str().unwrap()]);
    assert_eq!((made.code, project.path().join("ref.mwp").exists()), (2, false), "{}", made.err);
    assert!(made.err.contains("which columns are the model's input `X` cannot be told"), "{}", made.err);
}

fn pipeline(reference: &str) -> String {
    let current = fixtures().join("tabular/breast_cancer/test.parquet");
    format!(
        "name = 'stored'\n\
         [data.current]\npath = '{}'\n\
         [data.reference]\npath = '{reference}'\n\
         [data.columns]\nlabel = 'label'\n\
         [[analyze]]\nuses = 'drift'\nwith = {{ predictions = false }}\n\
         require = {{ drifted_share = '<= 0.2' }}\n",
        current.display()
    )
}

#[test]
fn a_profile_stands_in_for_the_rows_of_the_reference() {
    let project = Project::new();
    let train = fixtures().join("tabular/breast_cancer/train.parquet");
    let made = call(&project, &["profile", train.to_str().unwrap(), "-o", "train.mwp", "--quiet"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let (code, raw) = project.run(&pipeline(train.to_str().unwrap()));
    let (stored_code, stored) = project.run(&pipeline("train.mwp"));
    assert_eq!(stored_code, code);
    for it in ["metrics", "findings", "coverage"] {
        assert_eq!(stored[it], raw[it], "{it}");
    }
    check(&stored, "drifted_share", "pass");

    flip_a_bit(&project.path().join("train.mwp"));
    let (code, record) = project.run(&pipeline("train.mwp"));
    assert_eq!(code, 3, "{record:#}");
    assert!(record.to_string().contains("is damaged"), "{record:#}");
}

#[test]
fn a_profile_where_rows_are_needed_is_the_pipelines_fault() {
    let project = Project::new();
    project.write("data.csv", &csv(0));
    call(&project, &["profile", "data.csv", "-o", "ref.mwp"]);
    let pipeline = "name = 'x'\n[data.current]\npath = 'ref.mwp'\n[data.reference]\npath = 'ref.mwp'\n[[analyze]]\nuses = 'drift'\n";
    project.write("pipeline.toml", pipeline);
    let ended = project.modelwatch(&["run", "pipeline.toml", "--quiet"]);
    assert_eq!(ended.code, 2);
    let expected = "error[E0208]: the current data is a profile\n --> pipeline.toml:3:8\n";
    assert!(ended.err.starts_with(expected), "{}", ended.err);
}

#[test]
fn a_profile_that_came_with_the_checkpoint_is_its_reference() {
    let project = Project::new();
    let drop = project.path().join("drop");
    fs::create_dir(&drop).unwrap();
    fs::copy(fixtures().join("tabular/breast_cancer/logreg.onnx"), drop.join("model.onnx")).unwrap();
    let train = fixtures().join("tabular/breast_cancer/train.parquet");
    let made = call(&project, &["profile", train.to_str().unwrap(), "-o", "drop/reference.mwp", "--quiet"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let with = |reference: &str| format!("checkpoint = {{ import = 'drop', name = 'c' }}\n{}", pipeline(reference));
    let (code, raw) = project.run(&with(train.to_str().unwrap()));
    let (stored_code, stored) = project.run(&with("checkpoint://reference.mwp"));
    assert_eq!((stored_code, &stored["metrics"]), (code, &raw["metrics"]));

    let (code, record) = project.run(&with("checkpoint://other.mwp"));
    assert_eq!(code, 3, "{record:#}");
    project.write("pipeline.toml", &pipeline("checkpoint://reference.mwp"));
    let ended = project.modelwatch(&["run", "pipeline.toml", "--quiet"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("the pipeline has none"), "{}", ended.err);
}

/// Numbers and weights of 300 rows, those of some of which may be missing.
fn weighted(weight: impl Fn(u32) -> String) -> String {
    let rows = (0..300).map(|it| format!("{},{}\n", it * 7 % 60, weight(it)));
    format!("x,w\n{}", rows.collect::<String>())
}

/// A pipeline that compares `current.csv` by its weights.
fn by_weight(reference: &str) -> String {
    format!(
        "name = 'weighted'\n[data.current]\npath = 'current.csv'\n[data.reference]\npath = '{reference}'\n\
         [data.columns]\nweight = 'w'\n\
         [[analyze]]\nuses = 'drift'\nrequire = {{ drifted_share = '== 0' }}\n"
    )
}

#[test]
fn rows_with_weights_are_compared_with_a_profile_whose_rows_count_once() {
    let project = Project::new();
    let rows = weighted(|it| (1 + it % 3).to_string());
    project.write("current.csv", &rows);
    project.write("with.csv", &rows);
    project.write(
        "without.csv",
        &rows.lines().map(|it| it.split(',').next().unwrap().to_owned() + "\n").collect::<String>(),
    );
    for it in ["with", "without"] {
        let made = call(&project, &["profile", &format!("{it}.csv"), "-o", &format!("{it}.mwp"), "--quiet"]);
        assert_eq!(made.code, 0, "{}", made.err);
        let (code, record) = project.run(&by_weight(&format!("{it}.mwp")));
        assert_eq!(code, 0, "{record:#}");
        let gaps = record["coverage"]["gaps"].to_string();
        assert!(gaps.contains("row weights of the reference rows") && gaps.contains("each row counts once"), "{gaps}");
    }
}

#[test]
fn nothing_rests_on_rows_of_which_some_have_no_weight() {
    let project = Project::new();
    project.write("reference.csv", &weighted(|_| "1".to_owned()));
    project.write("current.csv", &weighted(|it| if it == 70 { String::new() } else { "2".to_owned() }));
    let (code, record) = project.run(&by_weight("reference.csv"));
    assert_eq!(code, 4, "{record:#}");
    let why =
        "1 of 300 current rows have no weight in `w` and are left out; give them one, or 0 where they are not to count";
    assert_eq!(check(&record, "drifted_share", "not-checked")["message"], why);
    assert!(record["coverage"]["gaps"].to_string().contains(why), "{record:#}");
    let shares = record["metrics"].as_array().unwrap().iter().filter(|it| it["name"] == "drifted_share").count();
    assert_eq!(shares, 1);
}

/// A pipeline with a store, a checkpoint, and that reference.
fn gate(checkpoint: &str, current: &str, reference: &str, more: &str) -> String {
    let current = fixtures().join("tabular/breast_cancer").join(current);
    format!(
        "name = 'gate'\ncheckpoint = {{ {checkpoint} }}\n{more}\n\
         [store]\nuses = 'local'\nwith = {{ path = 'store' }}\n\
         [data.current]\npath = '{}'\n[data.reference]\npath = '{reference}'\n\
         [data.columns]\nlabel = 'label'\n\
         [[analyze]]\nuses = 'drift'\nrequire = {{ prediction_drift = '== 0' }}\n",
        current.display()
    )
}

/// Imports a model of breast cancer into the lineage.
fn import(model: &str, lineage: &str) -> String {
    format!("import = '{}', name = '{lineage}'", fixtures().join("tabular/breast_cancer").join(model).display())
}

#[test]
fn a_run_keeps_the_profile_that_later_ones_compare_with() {
    let project = Project::new();
    let train = fixtures().join("tabular/breast_cancer/train.parquet");
    fs::copy(train, project.path().join("train.parquet")).unwrap();
    let keep = "on.pass = { profile = 'reference', move = ['good'] }";
    let (code, first) = project.run(&gate(&import("logreg.onnx", "c"), "test.parquet", "train.parquet", keep));
    assert_eq!(code, 0, "{first:#}");
    let kept = &first["actions"][0];
    assert_eq!(
        (&kept["kind"], &kept["ref"], &kept["status"]),
        (&"profile".into(), &"c.profiles".into(), &"done".into())
    );
    assert!(kept["message"].as_str().unwrap().ends_with(" rows of the reference data and of the model's outputs"));

    // From here on there are no rows of the reference.
    fs::remove_file(project.path().join("train.parquet")).unwrap();
    let shifted = of_one_label(&project);
    let (good, baseline) = ("from = 'c@good'", "baseline = { from = 'c@good' }");
    for reference in ["baseline://profile", "checkpoint://profile"] {
        let (code, later) = project.run(&gate(good, "test.parquet", reference, baseline));
        assert_eq!((code, &later["metrics"]), (0, &first["metrics"]), "{later:#}");
        check(&later, "prediction_drift", "pass");
        // Nothing else would say on which reference the verdict is.
        assert!(later["checkpoint"]["blessing"]["data"]["reference"].is_string(), "{later:#}");
        let (_, later) = project.run(&gate(good, &shifted, reference, baseline));
        check(&later, "prediction_drift", "fail");
    }
    // The columns of another model's profile are compared, and its outputs are not.
    let (_, other) = project.run(&gate(&import("rforest.onnx", "c"), "test.parquet", "baseline://profile", baseline));
    check(&other, "prediction_drift", "fail");
    assert!(other["coverage"]["gaps"].to_string().contains("those that it has are of the model "), "{other:#}");
    let of = |record: &Value, name: &str| {
        let metrics = record["metrics"].as_array().unwrap();
        metrics.iter().find(|it| it["name"] == name).unwrap()["value"].clone()
    };
    assert_eq!(of(&other, "compared_columns"), of(&first, "compared_columns"));
    // None was kept with that one.
    let (code, record) = project.run(&gate("from = 'c@latest'", "test.parquet", "checkpoint://profile", ""));
    assert_eq!(code, 3, "{record:#}");
    assert!(record["checks"].to_string().contains("no profile is kept beside "), "{record:#}");
}

#[test]
fn a_kept_profile_that_was_altered_is_refused_by_name() {
    let project = Project::new();
    let train = fixtures().join("tabular/breast_cancer/train.parquet");
    let packs = || -> BTreeSet<PathBuf> {
        let shards = fs::read_dir(project.path().join("store/packs")).into_iter().flatten();
        shards.flat_map(|it| fs::read_dir(it.unwrap().path()).unwrap()).map(|it| it.unwrap().path()).collect()
    };
    let first = import("logreg.onnx", "c");
    let (code, record) =
        project.run(&gate(&first, "test.parquet", train.to_str().unwrap(), "on.pass = { move = ['good'] }"));
    assert_eq!(code, 0, "{record:#}");
    let before = packs();
    let keep = "on.pass = { profile = 'reference' }";
    let (code, record) = project.run(&gate("from = 'c@good'", "test.parquet", train.to_str().unwrap(), keep));
    assert_eq!(code, 0, "{record:#}");
    let compare = || project.run(&gate("from = 'c@good'", "test.parquet", "checkpoint://profile", ""));
    assert_eq!(compare().0, 0);

    let of_profile: Vec<_> = packs().difference(&before).cloned().collect();
    let [pack] = &of_profile[..] else { panic!("{of_profile:?}") };
    flip_a_bit(pack);
    let (code, record) = compare();
    assert_eq!((code, &record["verdict"]), (3, &"error".into()), "{record:#}");
    let said = record["checks"].to_string();
    let name = pack.file_name().unwrap().to_str().unwrap();
    assert!(said.contains("profile ") && said.contains("cannot be read") && said.contains(name), "{said}");
    // The bit as it was.
    flip_a_bit(pack);
    assert_eq!(compare().0, 0);
}

#[test]
fn no_ref_moves_where_the_profile_is_not_kept() {
    let project = Project::new();
    let train = fixtures().join("tabular/breast_cancer/train.parquet");
    // The lineage of its profiles has no name.
    let lineage = "c".repeat(125);
    let run = |model: &str, on: &str| {
        project.run(&gate(&import(model, &lineage), "test.parquet", train.to_str().unwrap(), on))
    };
    for model in ["mlp.onnx", "logreg.onnx"] {
        let (code, record) = run(model, "on.pass = { move = ['good'] }");
        assert_eq!((code, &record["actions"][0]["status"]), (0, &"done".into()), "{record:#}");
    }
    // Neither forth nor back: the checkpoint passed, and is not to be left for what went wrong beside it.
    let keep = "on.pass = { profile = 'reference', move = ['good'] }\non.error = { rollback = 'good' }";
    for model in ["rforest.onnx", "logreg.onnx"] {
        let (code, record) = run(model, keep);
        assert_eq!((code, &record["verdict"], &record["actions"]), (3, &"error".into(), &serde_json::json!([])));
        check(&record, "profile", "error");
    }
}

#[test]
fn a_profile_is_kept_of_rows_and_beside_a_checkpoint_that_passed() {
    let project = Project::new();
    let refused = |reference: &str, keep: &str| {
        project.write("pipeline.toml", &gate(&import("logreg.onnx", "c"), "test.parquet", reference, keep));
        let ended = project.modelwatch(&["run", "pipeline.toml", "--quiet"]);
        assert_eq!(ended.code, 2, "{}", ended.err);
        ended.err
    };
    for reference in ["checkpoint://profile", "baseline://profile"] {
        let said = refused(reference, "baseline = { from = 'c@good' }\non.pass = { profile = 'current' }");
        assert!(said.starts_with("error[E0208]: each pass would replace the reference"), "{said}");
    }
    let said = refused("x.parquet", "on.fail = { profile = 'reference' }");
    assert!(said.contains("a profile is kept beside a checkpoint that passed"), "{said}");
}

/// The same, which passes whatever the predictions are.
fn lenient(pipeline: &str) -> String {
    pipeline.replace("prediction_drift = '== 0'", "compared_columns = '> 0'")
}

#[test]
fn a_reference_goes_on_from_checkpoint_to_checkpoint() {
    let project = Project::new();
    let train = fixtures().join("tabular/breast_cancer/train.parquet");
    let keep = "on.pass = { profile = 'reference', move = ['good'] }";
    let run = |checkpoint: &str, reference: &str, more: &str| {
        let (code, record) = project.run(&lenient(&gate(checkpoint, "test.parquet", reference, more)));
        assert_eq!(code, 0, "{record:#}");
        record
    };
    let first = run(&import("logreg.onnx", "c"), train.to_str().unwrap(), keep);
    let metrics = |record: &Value| record["metrics"].as_array().unwrap().clone();
    let (baseline, good) = (format!("baseline = {{ from = 'c@good' }}\n{keep}"), "from = 'c@good'");
    for model in ["mlp.onnx", "rforest.onnx"] {
        let next = run(&import(model, "c"), "baseline://profile", &baseline);
        // Of the columns all is as with the rows, and of the predictions there is nothing.
        let (of_first, of_next) = (metrics(&first), metrics(&next));
        assert!(of_next.iter().all(|it| of_first.contains(it) && it["name"] != "prediction_drift"), "{next:#}");
        assert_eq!(of_next.iter().filter(|it| it["name"] == "effect").count(), 30);
        let message = next["actions"][0]["message"].as_str().unwrap();
        assert!(message.ends_with(" rows of the reference data"), "{message}");
        // One that is its own reference keeps it as it is.
        let again = run(good, "checkpoint://profile", keep);
        assert_eq!(again["actions"][0], next["actions"][0]);
    }
}

#[test]
fn a_profile_of_another_pipeline_is_no_reference() {
    let project = Project::new();
    let train = fixtures().join("tabular/breast_cancer/train.parquet");
    let keep = "on.pass = { profile = 'reference' }";
    let (code, record) = project.run(&gate(&import("logreg.onnx", "c"), "test.parquet", train.to_str().unwrap(), keep));
    assert_eq!(code, 0, "{record:#}");
    let pipeline = gate("from = 'c@latest'", "test.parquet", "checkpoint://profile", "");
    let (code, record) = project.run(&pipeline.replace("'gate'", "'nightly'"));
    assert_eq!(code, 3, "{record:#}");
    let said = record["checks"].to_string();
    assert!(said.contains("the pipeline `nightly` kept no profile beside ") && said.contains("of `gate`"), "{said}");
}

#[test]
fn a_file_of_the_checkpoint_does_not_stand_in_for_the_kept_profile() {
    let project = Project::new();
    let folder = project.path().join("drop");
    fs::create_dir(&folder).unwrap();
    fs::copy(fixtures().join("tabular/breast_cancer/logreg.onnx"), folder.join("model.onnx")).unwrap();
    let train = fixtures().join("tabular/breast_cancer/train.parquet");
    let train = train.to_str().unwrap();
    let made = call(&project, &["profile", train, "-o", "drop/profile", "--quiet"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let run = |checkpoint: &str, reference: &str, more: &str| {
        project.run(&lenient(&gate(checkpoint, "test.parquet", reference, more)))
    };
    let import = "import = 'drop', name = 'c'";
    let (code, record) = run(import, "checkpoint://profile", "");
    assert_eq!(code, 0, "{record:#}");
    let (code, record) = run(import, train, "on.pass = { profile = 'reference' }");
    assert_eq!(code, 0, "{record:#}");
    let (code, record) = run(import, "checkpoint://profile", "");
    assert_eq!(code, 3, "{record:#}");
    assert!(
        record["checks"].to_string().contains("has a file `profile`, and a profile is kept beside it"),
        "{record:#}"
    );
}

#[test]
fn a_file_that_is_too_large_for_a_profile_is_not_read() {
    let project = Project::new();
    fs::File::create(project.path().join("large.mwp")).unwrap().set_len((1 << 30) + 1).unwrap();
    let ended = call(&project, &["profile", "show", "large.mwp"]);
    assert_eq!(ended.code, 3);
    assert!(ended.err.contains("has 1073741825 bytes, and no more than 1073741824 are read"), "{}", ended.err);
}

#[test]
fn the_profile_goes_with_its_checkpoint() {
    let project = Project::new();
    let train = fixtures().join("tabular/breast_cancer/train.parquet");
    let keep = "on.pass = { profile = 'reference' }";
    let run = |model: &str| {
        let (code, record) = project.run(&gate(&import(model, "c"), "test.parquet", train.to_str().unwrap(), keep));
        assert_eq!(code, 0, "{record:#}");
    };
    run("logreg.onnx");
    run("mlp.onnx");
    let kept = gate("from = 'c@latest', keep = { last = 1, grace = '0s' }", "test.parquet", "x.parquet", "");
    project.write("prune.toml", &kept);
    let store = |arguments: &[&str]| {
        let ended = project.modelwatch(&[&["store", "--pipeline", "prune.toml"], arguments].concat());
        assert_eq!(ended.code, 0, "{} {}", ended.out, ended.err);
        ended.out
    };
    let profiles = || store(&["log", "c.profiles"]).lines().filter(|it| it.contains("remove")).count();
    assert_eq!(profiles(), 0);
    store(&["prune", "c"]);
    assert_eq!(profiles(), 1);
    // The policy is one for checkpoints.
    for more in [&["c.profiles"][..], &["c.profiles", "--dry-run"]] {
        let ended = project.modelwatch(&[&["store", "--pipeline", "prune.toml", "prune"], more].concat());
        assert_ne!(ended.code, 0);
        assert!(ended.err.contains("`c.profiles` has the profiles of checkpoints of the lineage `c`"), "{}", ended.err);
        assert!(ended.out.is_empty(), "{}", ended.out);
    }
    let list = store(&["list"]);
    let line = list.lines().find(|it| it.contains("c.profiles")).unwrap();
    assert!(line.contains("profiles that runs keep beside the checkpoints of c"), "{list}");
    project.write("named.toml", &gate(&import("mlp.onnx", "c.profiles"), "test.parquet", "x.parquet", ""));
    let ended = project.modelwatch(&["run", "named.toml", "--quiet"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.starts_with("error[E0012]: `c.profiles` is the lineage of the profiles"), "{}", ended.err);
}
