//! Runs the command in a folder of its own.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

/// Returns the folder of the fixtures.
pub(crate) fn fixtures() -> PathBuf {
    repository().join("tests/fixtures")
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Returns the folder of the built plugins, building them where `cargo xtask ci` has not.
pub(crate) fn plugins() -> PathBuf {
    built("MODELWATCH_TEST_PLUGINS", "plugins")
}

/// Returns the folder of the plugins that fail on purpose.
pub(crate) fn fixture_plugins() -> PathBuf {
    built("MODELWATCH_TEST_FIXTURE_PLUGINS", "fixture-plugins")
}

fn built(variable: &str, folder: &str) -> PathBuf {
    if let Some(dir) = env::var_os(variable) {
        return dir.into();
    }
    let mut xtask = Command::new(env!("CARGO"));
    let ended = xtask.args(["xtask", "plugins", "--fixtures"]).current_dir(repository()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    Path::new(env!("CARGO_BIN_EXE_modelwatch")).parent().unwrap().join(folder)
}

/// A folder with pipelines and what they leave behind.
pub(crate) struct Project {
    dir: TempDir,
    cache: TempDir,
}

/// What a command left.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// What is there from the beginning.
const IS_THERE: &str = ".gitignore";

impl Project {
    pub(crate) fn new() -> Self {
        let res = Self { dir: TempDir::new().unwrap(), cache: TempDir::new().unwrap() };
        // No store begins by itself in an empty folder.
        res.write(IS_THERE, ".modelwatch\n");
        res
    }

    /// Returns the names of what has come to be here.
    pub(crate) fn names(&self) -> Vec<String> {
        let all = fs::read_dir(self.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
        let mut res: Vec<_> = all.filter(|it| it != IS_THERE).collect();
        res.sort();
        res
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the folder of what the command keeps for its user.
    pub(crate) fn cache(&self) -> PathBuf {
        self.cache.path().join("modelwatch")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Makes a pipe.
    pub(crate) fn pipe(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    /// Runs the command here, with the built plugins.
    pub(crate) fn modelwatch(&self, arguments: &[&str]) -> Ended {
        self.call(Path::new(env!("CARGO_BIN_EXE_modelwatch")), &plugins(), arguments)
    }

    /// Returns the call of the command here, with the built plugins.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.called(Path::new(env!("CARGO_BIN_EXE_modelwatch")), &plugins(), arguments)
    }

    fn called(&self, program: &Path, plugins: &Path, arguments: &[&str]) -> Command {
        let mut res = Command::new(program);
        res.args(arguments)
            .current_dir(self.path())
            .env("MODELWATCH_PLUGIN_PATH", plugins)
            .env("XDG_CACHE_HOME", self.cache.path())
            .env_remove("ORT_DYLIB_PATH")
            .env("NO_COLOR", "1");
        res
    }

    /// Runs that program here, with those plugins.
    pub(crate) fn call(&self, program: &Path, plugins: &Path, arguments: &[&str]) -> Ended {
        let output = self.called(program, plugins, arguments).output().unwrap();
        Ended {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a pipeline and returns its record.
    pub(crate) fn run(&self, pipeline: &str) -> (i32, Value) {
        self.write("pipeline.toml", pipeline);
        let ended = self.modelwatch(&["run", "pipeline.toml", "--format", "json", "--quiet"]);
        let record = serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.err));
        (ended.code, record)
    }
}

/// Returns the first check of that metric and status.
pub(crate) fn check<'r>(record: &'r Value, metric: &str, status: &str) -> &'r Value {
    let mut checks = record["checks"].as_array().unwrap().iter();
    let found = checks.find(|it| it["metric"] == metric && it["status"] == status);
    found.unwrap_or_else(|| panic!("no check of {metric} is {status}: {:#}", record["checks"]))
}

/// The beginning of a pipeline that judges the digits network at `model` with labels.
pub(crate) fn digits(model: &str) -> String {
    let fixtures = fixtures();
    let fixtures = fixtures.display();
    format!(
        "name = 'test'\n\
         checkpoint = {{ import = '{fixtures}/digits/cnn_series/{model}.onnx', name = 'digits' }}\n\
         [data.current]\npath = '{fixtures}/digits/data/test.npz'\n\
         [data.columns]\nlabel = 'y'\n"
    )
}

/// A table of numbers with the slices `size` and `label`, and a probe of its metrics with further options and requirements.
pub(crate) fn sliced(with: &str, required: &str) -> String {
    format!(
        "name = 'test'\n\
         checkpoint = {{ import = '{0}/tabular/breast_cancer/logreg.onnx', name = 'b' }}\n\
         [data.current]\npath = '{0}/tabular/breast_cancer/test_sized.csv'\n\
         [data.columns]\nlabel = 'label'\nslices = ['size', 'label']\ninputs = {{ X = ['mean_*', '*_error', 'worst_*'] }}\n\
         [[verify]]\nuses = 'metrics'\nwith = {{ task = 'binary', {with} }}\n{required}",
        fixtures().display()
    )
}

/// Returns the files of a folder and of those in it.
pub(crate) fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut res = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { res.extend(walk(&path)) } else { res.push(path) }
    }
    res
}

/// Damages a file in its middle.
pub(crate) fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    let mut permissions = path.metadata().unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false)]
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions).unwrap();
    fs::write(path, bytes).unwrap();
}
