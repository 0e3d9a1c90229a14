//! A second runtime for models, where the build and the machine have it.

use crate::support::{Project, check, digits, fixtures};

/// A pipeline that holds what a model answers in one runtime against what it answers in the other.
fn across_runtimes(run: &str) -> String {
    let model = fixtures().join("digits/cnn_series/e08.onnx");
    let baseline = format!("[baseline]\nimport = '{}'\nruntime = 'onnxruntime'\n", model.display());
    format!("{}{baseline}{run}[[verify]]\nuses = 'differential'\n", digits("e08"))
}

/// Fails unless a run cannot be carried out and a check finds out why.
fn refused(run: &str, why: &str) {
    let project = Project::new();
    let (code, record) = project.run(&across_runtimes(run));
    assert_eq!(code, 3, "{record:#}");
    let message = check(&record, "differential", "error")["message"].as_str().unwrap();
    assert!(message.starts_with("the baseline model cannot be run: cannot use ONNX Runtime: "), "{message}");
    assert!(message.contains(why), "{message}");
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    assert!(ended.err.contains("E0209") && ended.err.contains("runtime = 'onnxruntime'"), "{}", ended.err);
    assert_eq!(project.modelwatch(&["check", "pipeline.toml", "--no-environment"]).code, 0);
}

#[cfg(not(feature = "onnxruntime"))]
#[test]
fn a_build_without_onnx_runtime_says_so() {
    refused("", "this program was built without it; build it with `--features onnxruntime`");
}

#[cfg(feature = "onnxruntime")]
#[test]
fn onnx_runtime_that_is_not_there_is_an_error_with_a_remedy() {
    refused("", "nothing says where it is; set `[run] onnxruntime` or the environment variable ORT_DYLIB_PATH");
    refused("[run]\nonnxruntime = 'none.so'\n", "none.so` is not there; correct the path or install it");
    refused("[run]\nonnxruntime = 'pipeline.toml'\n", "pipeline.toml` is not a library that this machine can load");
}

#[cfg(feature = "onnxruntime")]
mod installed {
    #![allow(clippy::print_stderr)] // A test that is skipped says so.

    use super::*;

    /// The table that names the library, or nothing where there is none.
    fn library(test: &str) -> Option<String> {
        const LIBRARY: &str = "MODELWATCH_TEST_ONNXRUNTIME";
        let Ok(library) = std::env::var(LIBRARY) else {
            eprintln!("skipped: {test}, because {LIBRARY} is not set");
            return None;
        };
        Some(format!("[run]\nonnxruntime = '{library}'\n"))
    }

    #[test]
    fn one_model_is_compared_across_runtimes() {
        let Some(run) = library("one_model_is_compared_across_runtimes") else { return };
        let (code, record) = Project::new().run(&across_runtimes(&run));
        assert_eq!(code, 0, "{:#}", record["checks"]);
        check(&record, "mismatch_share", "pass");
        let runtimes: Vec<_> = record["models"].as_array().unwrap().iter().map(|it| it["runtime"].as_str()).collect();
        assert!(runtimes[0].unwrap().starts_with("tract ") && runtimes[1].unwrap().starts_with("onnxruntime "));
        let gaps = record["coverage"]["gaps"].as_array().unwrap();
        let nodes = gaps.iter().find(|it| it["what"] == "nodes").unwrap();
        assert!(nodes["why"].as_str().unwrap().contains("ONNX Runtime gives its outputs alone"), "{nodes}");
    }

    #[test]
    fn a_model_of_another_format_is_refused_by_name() {
        let Some(run) = library("a_model_of_another_format_is_refused_by_name") else { return };
        let project = Project::new();
        // The name of a folder does not say what is in it.
        std::fs::create_dir(project.path().join("run")).unwrap();
        std::fs::copy(fixtures().join("digits/cnn/cnn.tflite"), project.path().join("run/cnn.tflite")).unwrap();
        let model = fixtures().join("digits/cnn_series/e08.onnx");
        let pipeline = across_runtimes(&run)
            .replace(&format!("[baseline]\nimport = '{}'", model.display()), "[baseline]\nimport = 'run'");
        let (code, record) = project.run(&pipeline);
        assert_eq!(code, 3, "{record:#}");
        let message = check(&record, "differential", "error")["message"].as_str().unwrap();
        assert!(message.contains("ONNX Runtime cannot run") && message.contains("in the format TFLite"), "{message}");
    }

    #[test]
    fn a_judged_model_may_run_on_it_as_well() {
        let Some(run) = library("a_judged_model_may_run_on_it_as_well") else { return };
        let head = digits("e08").replace("name = 'digits' }", "name = 'digits', runtime = 'onnxruntime' }");
        let project = Project::new();
        let (code, record) = project
            .run(&format!("{head}{run}[[verify]]\nuses = 'metrics'\nwith = {{ task = 'multiclass' }}\nrequire = {{ accuracy = '>= 0.97' }}\n"));
        assert_eq!(code, 0, "{:#}", record["checks"]);
        assert!(record["models"][0]["runtime"].as_str().unwrap().starts_with("onnxruntime "));
        // What rows have to do with each other is kept for the user.
        assert_eq!(std::fs::read_dir(project.cache().join("self-tests")).unwrap().count(), 1);
    }

    #[test]
    fn numerics_of_its_outputs_pass_where_they_are_asked_for() {
        let Some(run) = library("numerics_of_its_outputs_pass_where_they_are_asked_for") else { return };
        let head = digits("e08").replace("name = 'digits' }", "name = 'digits', runtime = 'onnxruntime' }");
        let numerics = |options: &str| {
            Project::new().run(&format!("{head}{run}[[verify]]\nuses = 'numerics'\nwith = {{ {options} }}\n"))
        };
        let (code, record) = numerics("");
        let message = check(&record, "non_finite_nodes", "not-checked")["message"].as_str().unwrap();
        assert!(code != 0 && message.contains("ask for them by `scope = \"outputs\"`"), "{message}");
        let (code, record) = numerics("scope = 'outputs'");
        assert_eq!(code, 0, "{:#}", record["checks"]);
        check(&record, "non_finite_outputs", "pass");
    }
}
