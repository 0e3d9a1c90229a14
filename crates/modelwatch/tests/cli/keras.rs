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

/// What the callback needs of Keras, and a training of two epochs, twice.
const TWICE: &str = r#"
import sys, types
keras = types.ModuleType("keras")
keras.__version__, keras.callbacks = "0", types.SimpleNamespace(Callback=object)
sys.modules["keras"] = keras
sys.path.insert(0, sys.argv[1])
from modelwatch_handoff import Handoff
class Model:
    def save(self, path):
        open(path, "w").write(f"{training} {epoch}")
for training in range(3):
    handoff = Handoff("drop")
    handoff.model = Model()
    for epoch in range(2):
        handoff.on_epoch_end(epoch, {"loss": training})
"#;

#[test]
fn a_training_that_starts_again_publishes_beside_the_one_before() {
    let project = Project::new();
    let script = project.write("twice.py", TWICE);
    let folder = repository().join("integrations/keras");
    let mut python = Command::new("python3");
    python.args(["-B".as_ref(), script.as_os_str(), folder.as_os_str()]).current_dir(project.path());
    let Ok(ended) = python.output() else {
        skipped("SKIPPED a_training_that_starts_again_publishes_beside_the_one_before: no Python");
        return;
    };
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let mut weights = Vec::new();
    for folder in fs::read_dir(project.path().join("drop")).unwrap().map(|it| it.unwrap().path()) {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(folder.join("model.keras")).unwrap();
        let (training, epoch) = text.split_once(' ').unwrap();
        let step = format!("step-{:08}", epoch.parse::<u32>().unwrap() + 1);
        // What was published before stays what it is, and has its name.
        assert!(name.starts_with(&step) && (name == step) == (training == "0"), "{name}: {text}");
        weights.push(text);
    }
    weights.sort();
    assert_eq!(weights, ["0 0", "0 1", "1 0", "1 1", "2 0", "2 1"]);
}

#[test]
fn the_callback_has_at_most_forty_lines() {
    let text = fs::read_to_string(repository().join("integrations/keras/modelwatch_handoff.py")).unwrap();
    assert!(text.lines().count() <= 40, "{}", text.lines().count());
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
