//! The smallest model in which two models part is written beside the reports, and shows it again.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::{Project, check, fixtures, walk};

fn pipeline(candidate: &Path, baseline: &str, report: &str) -> String {
    pipeline_with(candidate, baseline, "", report)
}

fn pipeline_with(candidate: &Path, baseline: &str, with: &str, report: &str) -> String {
    let fixtures = fixtures();
    let fixtures = fixtures.display();
    let candidate = candidate.display();
    format!(
        "name = 'parted'\ncheckpoint = {{ import = '{candidate}', name = 'digits' }}\n\
         baseline = {{ import = '{fixtures}/digits/cnn/{baseline}' }}\n\
         [data.current]\npath = '{fixtures}/digits/data/test.npz'\n[data.columns]\nlabel = 'y'\ninputs = {{ x = 'x' }}\n\
         [[verify]]\nuses = 'differential'\nwith = {{ {with} }}\n[report]\n{report}"
    )
}

/// The digits network with one number of its second kernel changed by a half.
fn with_changed_weight(project: &Project) -> std::path::PathBuf {
    let mut model = fs::read(fixtures().join("digits/cnn/cnn.onnx")).unwrap();
    let (before, now) = (0.187_765_82_f32.to_le_bytes(), 0.687_765_84_f32.to_le_bytes());
    let places: Vec<_> = (0..model.len() - 4).filter(|&it| model[it..it + 4] == before).collect();
    let [place] = places[..] else { panic!("{places:?}") };
    model[place..place + 4].copy_from_slice(&now);
    let path = project.path().join("changed.onnx");
    fs::write(&path, model).unwrap();
    path
}

/// The verdict on a model whose output is held against what an archive has under a name, and the greatest error.
fn held_against(project: &Project, excerpt: &str, tensor: &str, column: &str) -> (i32, f64) {
    let (code, record) = project.run(&format!(
        "name = 'again'\ncheckpoint = {{ import = '{excerpt}.onnx', name = 'excerpt' }}\n\
         [data.current]\npath = '{excerpt}.npz'\n\
         [[verify]]\nuses = 'golden'\nwith = {{ outputs = {{ '{tensor}' = '{column}.{tensor}' }} }}\n"
    ));
    let error = record["metrics"].as_array().unwrap().iter().find(|it| it["name"] == "max_abs_error").unwrap();
    (code, error["value"].as_f64().unwrap())
}

fn finding(record: &Value) -> &Value {
    record["findings"].as_array().unwrap().iter().find(|it| it["code"] == "MW-N001").unwrap()
}

#[test]
fn what_is_written_reproduces_the_difference() {
    for is_quantized in [false, true] {
        let project = Project::new();
        let quantized = fixtures().join("digits/cnn/cnn_int8_qdq.onnx");
        let candidate = if is_quantized { quantized } else { with_changed_weight(&project) };
        let (code, record) =
            project.run(&pipeline(&candidate, "cnn.onnx", "html = 'out/report.html'\nmarkdown = 'out/report.md'\n"));
        assert_eq!(code, 1, "{record:#}");
        let evidence = &finding(&record)["evidence"];
        let tensor = evidence["tensor"].as_str().unwrap();
        let files: Vec<&str> = evidence["files"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        assert!(files.len() == 2 || files.len() == 4, "{evidence:#}");
        let run = record["run_id"].as_str().unwrap();
        let page = fs::read_to_string(project.path().join("out/report.html")).unwrap();
        let text = fs::read_to_string(project.path().join("out/report.md")).unwrap();
        for file in &files {
            let name = file.rsplit('/').next().unwrap();
            assert!(file.ends_with(&format!("out/artifacts/{run}/differential/{name}")), "{file}");
            assert!(page.contains(&format!("href=\"./artifacts/{run}/differential/{name}\"")), "{name}");
            assert!(text.contains(&format!("](./artifacts/{run}/differential/{name})")), "{text}");
        }
        assert_eq!(walk(&project.path().join("out/artifacts")).len(), files.len());
        for file in files.iter().filter_map(|it| it.strip_suffix(".onnx")) {
            let (code, error) = held_against(&project, file, tensor, "candidate");
            assert!(code == 0 && error < 1e-5, "{file}: {error}");
            let (code, error) = held_against(&project, file, tensor, "baseline");
            assert!(code == 1 && error > 1e-3, "{file}: {error}");
            // As much as was said of it.
            let excerpt = format!("{}.onnx: ", file.rsplit('/').next().unwrap());
            let told = evidence["excerpts"].as_str().unwrap().split("; ").find(|it| it.starts_with(&excerpt)).unwrap();
            assert!(told.contains(&format!("off by {error:.1e} at most")), "{told}: {error}");
        }
    }
}

#[test]
fn what_cannot_be_written_is_a_gap_and_what_nobody_wants_is_none() {
    let project = Project::new();
    let frozen = fixtures().join("digits/cnn/cnn_frozen.pb");
    let (_, record) = project.run(&pipeline_with(
        &frozen,
        "../cnn_series/e01.onnx",
        "outputs = { Identity = 'probs' }",
        "artifacts = 'files'\n",
    ));
    check(&record, "mismatch_share", "fail");
    assert_eq!(finding(&record)["evidence"].get("files"), None);
    let gaps = record["coverage"]["gaps"].as_array().unwrap();
    let gap = gaps.iter().find(|it| it["what"].as_str().unwrap().starts_with("the smallest model")).unwrap();
    assert!(gap["why"].as_str().unwrap().contains("only ONNX models are cut"), "{gap:#}");
    assert!(!project.path().join("files").exists());

    let changed = with_changed_weight(&project);
    let (_, record) = project.run(&pipeline(&changed, "cnn.onnx", ""));
    let finding = finding(&record);
    assert!(finding["evidence"].get("files").is_none(), "{finding:#}");
    assert!(finding["advice"].as_str().unwrap().contains("`[report] artifacts`"), "{finding:#}");
}
