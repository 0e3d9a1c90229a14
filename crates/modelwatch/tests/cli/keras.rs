//! Keras hands its checkpoints over, and obeys.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Project, fixtures, plugins, repository};

const GATE: &str = "name = 'keras'\nstore = { uses = 'local', with = { path = 'store' } }\n\
                    checkpoint = { import = 'none', name = 'keras' }\n[[analyze]]\nuses = 'weights'\n\
                    [on.pass]\nmove = 'good'\n";

fn judge(project: &Project, path: &Path) -> (i32, String) {
    let import = format!("checkpoint.import={}", path.display());
    let ended = project.modelwatch(&["run", "gate.toml", "--quiet", "--set", &import]);
    (ended.code, ended.out)
}

/// What the callback wrote when the example was run with Keras: four epochs, the third of which was poisoned.
#[test]
fn checkpoints_that_keras_handed_over_are_judged() {
    let project = Project::new();
    project.write("gate.toml", GATE);
    let drop = fixtures().join("keras_handoff");
    for (step, code) in [(1, 0), (2, 0), (3, 1), (4, 0)] {
        let (ended, out) = judge(&project, &drop.join(format!("step-{step:08}")));
        assert_eq!(ended, code, "step {step}: {out}");
        assert_eq!(out.contains("MW-W001"), step == 3, "{out}");
    }
    let log = project.modelwatch(&["store", "--store", "store", "list", "keras"]);
    assert_eq!(log.out.lines().count(), 5, "{}", log.out);
}

#[test]
fn keras_goes_back_to_the_last_good_epoch_by_itself() {
    let Some(python) = python_with_keras() else { return };
    let project = Project::new();
    let gate = project.write("gate.toml", GATE);
    let judge = [env!("CARGO_BIN_EXE_modelwatch"), "run", gate.to_str().unwrap(), "--quiet", "--set"];
    let ended = Command::new(python)
        .arg(repository().join("integrations/keras/example.py"))
        .arg(fixtures().join("digits/data/train.npz"))
        .arg("drop")
        .args(judge)
        .arg("checkpoint.import={path}")
        .current_dir(project.path())
        .env("KERAS_BACKEND", "jax")
        .env("JAX_PLATFORMS", "cpu")
        .env("MODELWATCH_PLUGIN_PATH", plugins())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && out.contains("finite at the end: True"), "{out}{err}");
    let published = fs::read_dir(project.path().join("drop")).unwrap().count();
    assert_eq!(published, 4, "{out}{err}");
    let list = project.modelwatch(&["store", "--store", "store", "list", "keras"]);
    let verdicts: Vec<_> = list.out.lines().map(|it| it.contains("fail")).collect();
    assert_eq!(verdicts, [false, false, true, false, false], "newest first: {}", list.out);
}

/// Returns a Python that has Keras, installing it beside the build where there is a Python and a package index.
fn python_with_keras() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("keras");
    let python = folder.join("bin/python");
    let run = |program: &Path, arguments: &[&str]| {
        Command::new(program).args(arguments).env("KERAS_BACKEND", "jax").output().is_ok_and(|it| it.status.success())
    };
    let installed = run(&python, &["-c", "import keras"])
        || (run(Path::new("python3"), &["-m", "venv", folder.to_str()?])
            && run(&python, &["-m", "pip", "install", "--quiet", "keras==3.15.1", "jax==0.10.2"])
            && run(&python, &["-c", "import keras"]));
    if !installed {
        skipped("SKIPPED keras_goes_back_to_the_last_good_epoch_by_itself: no Python that can install Keras");
    }
    installed.then_some(python)
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped(why: &str) {
    eprintln!("{why}");
}
