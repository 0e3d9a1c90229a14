//! What a model promises, through a whole run.

use std::fs;

use serde_json::Value;

use crate::support::{Project, check, digits, fixtures};

/// The findings of a record: code and place.
fn findings(record: &Value) -> Vec<String> {
    let all = record["findings"].as_array().unwrap().iter();
    all.map(|it| format!("{} {}", it["code"].as_str().unwrap(), it["where"].as_str().unwrap())).collect()
}

/// Judges the digits network beside an `MLmodel` file with that signature.
fn logged(inputs: &str, outputs: &str) -> (i32, Value) {
    let project = Project::new();
    let folder = project.path().join("logged");
    fs::create_dir(&folder).unwrap();
    fs::copy(fixtures().join("digits/cnn/cnn.onnx"), folder.join("model.onnx")).unwrap();
    let text = format!(
        "flavors:\n  onnx:\n    data: model.onnx\nsignature:\n  inputs: '[{inputs}]'\n  outputs: '[{outputs}]'\n"
    );
    fs::write(folder.join("MLmodel"), text).unwrap();
    let data = fixtures().join("digits/data/test.npz");
    project.run(&format!(
        "name = 'test'\ncheckpoint = {{ import = 'logged', name = 'digits' }}\n\
         data = {{ current = {{ path = '{}' }}, columns = {{ label = 'y' }} }}\n[[verify]]\nuses = 'contract'\n",
        data.display()
    ))
}

#[test]
fn an_mlmodel_signature_is_held_to() {
    let tensor = |dtype: &str, shape: &str| {
        format!("{{\"type\": \"tensor\", \"tensor-spec\": {{\"dtype\": \"{dtype}\", \"shape\": {shape}}}}}")
    };
    let (code, record) = logged(&tensor("float32", "[-1, 8, 8, 1]"), &tensor("float32", "[-1, 10]"));
    assert_eq!((code, findings(&record)), (0, vec![]), "{record:#}");
    check(&record, "mlflow_signature", "pass");
    let (code, record) = logged(&tensor("float64", "[-1, 8, 8, 1]"), &tensor("float32", "[-1, 2]"));
    assert_eq!((code, findings(&record)), (1, vec!["MW-C008 x".to_owned(), "MW-C008 probs".to_owned()]), "{record:#}");
}

#[test]
fn an_input_that_the_data_does_not_have_is_a_finding() {
    let project = Project::new();
    let pipeline = format!("{}inputs = {{ image = 'x' }}\n[[verify]]\nuses = 'contract'\n", digits("e08"));
    let (code, record) = project.run(&pipeline);
    assert_eq!((code, findings(&record)), (1, vec!["MW-C006 x".to_owned()]), "{record:#}");
    let gaps = record["coverage"]["gaps"].to_string();
    assert!(gaps.contains("the model has no input `image`"), "{gaps}");
}

#[test]
fn a_file_that_declares_doubles_and_computes_floats_is_told() {
    let project = Project::new();
    let mut model = fs::read(fixtures().join("digits/cnn_series/e08.onnx")).unwrap();
    // The name and the type of the output, which begins with that of its elements.
    let declared = b"\x0a\x05probs\x12";
    let at = (0..model.len()).rfind(|&it| model[it..].starts_with(declared)).unwrap() + declared.len();
    let element_type = at + model[at..].windows(2).position(|it| it == [8, 1]).unwrap() + 1;
    model[element_type] = 11;
    fs::write(project.path().join("other.onnx"), model).unwrap();
    let (code, record) = project.run(&format!(
        "name = 'test'\ncheckpoint = {{ import = 'other.onnx', name = 'other' }}\n\
         data = {{ current = {{ path = '{}' }}, columns = {{ label = 'y' }} }}\n[[verify]]\nuses = 'contract'\n",
        fixtures().join("digits/data/test.npz").display()
    ));
    assert_eq!((code, findings(&record)), (1, vec!["MW-C007 probs".to_owned()]), "{record:#}");
}

#[test]
fn an_operator_of_ones_own_is_named_where_the_model_cannot_be_run() {
    let project = Project::new();
    let (own, standard) = (b"acme.onnx1", b"ai.onnx.ml");
    let mut model = fs::read(fixtures().join("tabular/breast_cancer/logreg.onnx")).unwrap();
    let places: Vec<_> = (0..model.len()).filter(|&it| model[it..].starts_with(standard)).collect();
    places.into_iter().for_each(|it| model[it..it + own.len()].copy_from_slice(own));
    fs::write(project.path().join("own.onnx"), model).unwrap();
    let run = |custom: bool, rows: &str| {
        project.run(&format!(
            "name = 'test'\ncheckpoint = {{ import = 'own.onnx', name = 'own' }}\n[data.current]\npath = '{}'\n\
             [[verify]]\nuses = 'contract'\nwith = {{ operators = {{ custom = {custom} }}{rows} }}\n",
            fixtures().join("tabular/breast_cancer/test.csv").display()
        ))
    };
    let named = ["LinearClassifier", "Scaler"].map(|it| format!("MW-C004 acme.onnx1::{it}")).to_vec();
    for rows in ["", ", rows = 0"] {
        let (code, record) = run(false, rows);
        assert_eq!((code, findings(&record)), (3, named.clone()), "{record:#}");
        let custom = check(&record, "custom_operators", "fail")["message"].as_str().unwrap();
        assert_eq!(
            custom,
            "operator `acme.onnx1::LinearClassifier`, which 1 nodes use, as node `LinearClassifier`, is of no standard set, and 1 more"
        );
        for (code, record) in [(code, record), run(true, rows)] {
            let why = check(&record, "runs", "error")["message"].as_str().unwrap();
            assert!(code == 3 && why.contains("LinearClassifier"), "{why}");
        }
    }
}

#[test]
fn a_model_that_cannot_be_run_is_an_error_at_any_severity() {
    let project = Project::new();
    let mut model = fs::read(fixtures().join("digits/cnn_series/e08.onnx")).unwrap();
    let places: Vec<_> = (0..model.len()).filter(|&it| model[it..].starts_with(b"Relu")).collect();
    places.into_iter().for_each(|it| model[it..it + 4].copy_from_slice(b"Rexu"));
    fs::write(project.path().join("unknown.onnx"), model).unwrap();
    let (code, record) = project.run(
        "name = 'test'\ncheckpoint = { import = 'unknown.onnx', name = 'digits' }\n\
         store = { uses = 'local', with = { path = 'store' } }\n\
         [[verify]]\nuses = 'contract'\nseverity = 'warning'\nwith = { rows = 0 }\n\
         [[analyze]]\nuses = 'weights'\nrequire = { non_finite = '== 0' }\n[on.pass]\nmove = 'good'\n",
    );
    assert!(check(&record, "runs", "error")["message"].as_str().unwrap().contains("Rexu"), "{record:#}");
    check(&record, "non_finite", "pass");
    assert_eq!((code, &record["actions"]), (3, &serde_json::json!([])), "{record:#}");
}

#[test]
fn a_baseline_that_no_probe_wants_is_left_alone() {
    let project = Project::new();
    let baseline = format!("[baseline]\nimport = '{}'\n", fixtures().join("digits/cnn/cnn.onnx").display());
    for (mode, is_compared) in [("declared", false), ("baseline", true)] {
        let contract = format!("[[verify]]\nuses = 'contract'\nwith = {{ mode = '{mode}' }}\n");
        let (_, record) = project.run(&format!("{}{baseline}{contract}", digits("e08")));
        let mut metrics = record["metrics"].as_array().unwrap().iter();
        assert_eq!(metrics.any(|it| it["role"] == "baseline"), is_compared, "{mode}: {record:#}");
    }
}

#[test]
fn a_baseline_that_does_not_exist_yet_was_not_compared() {
    let project = Project::new();
    let pipeline = format!(
        "{}[store]\nuses = 'local'\nwith = {{ path = 'store' }}\n\
         [baseline]\nfrom = 'digits@good'\noptional = true\n\
         [[verify]]\nuses = 'contract'\nwith = {{ mode = 'baseline' }}\n",
        digits("e08")
    );
    let (code, record) = project.run(&pipeline);
    check(&record, "baseline_interface", "not-checked");
    assert_eq!(code, 4, "{record:#}");
}

#[test]
fn changing_what_is_no_input_is_an_error() {
    let project = Project::new();
    let pipeline = format!(
        "{}[[verify]]\nuses = 'behavior'\n[[verify.with.invariance]]\nname = 'label'\ncolumns = ['y']\n\
         change = {{ add = 1 }}\nsame_class = true\n",
        digits("e08")
    );
    let (code, record) = project.run(&pipeline);
    let error = check(&record, "behavior", "error")["message"].as_str().unwrap();
    assert!(
        error.contains("column `y` is no part of the model's input") && error.contains("choose among x"),
        "{error}"
    );
    assert_eq!(code, 3);
}
