//! The library of ONNX Runtime. A process has one, and never lets go of it.

use std::{
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use modelwatch_infer::{Executable, InferError, Runtime, one_line};
use ort::{LoadDynamicError, environment::Environment, logging::LogLevel};

use crate::{
    NAME,
    executable::{Kept, OnnxExecutable},
};

/// ONNX Runtime, which runs ONNX models on the processor.
pub struct OnnxRuntime {
    name: String,
    environment: Environment,
    threads: NonZeroUsize,
    /// The folder with what came of asking models about their rows.
    kept: Option<PathBuf>,
}

/// What was loaded, and from where.
struct Loaded {
    path: PathBuf,
    environment: Environment,
}

/// What to do about a path to something else.
const GIVE_PATH: &str = "give the path of `libonnxruntime.so`";

static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

impl OnnxRuntime {
    /// Loads the library, or takes the one that was loaded, for models of which each run has so many threads.
    ///
    /// # Errors
    /// [`InferError::Unavailable`] where the file is not the library, is too old, or is another one than was loaded before.
    pub fn open(library: &Path, threads: NonZeroUsize) -> Result<Self, InferError> {
        let path = fs::canonicalize(library).map_err(|e| unavailable(library, &unreadable(&e)))?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let environment = match &*loaded {
            Some(it) if it.path == path => it.environment.clone(),
            Some(it) => {
                let why = format!("cannot be loaded beside `{}`; name one of them only", it.path.display());
                return Err(unavailable(library, &why));
            }
            // The loader would wait for whoever writes into a pipe.
            None if !path.is_file() => {
                return Err(unavailable(library, &format!("is no regular file; {GIVE_PATH}")));
            }
            None => {
                let environment = load(&path).map_err(|why| unavailable(library, &why))?;
                loaded.insert(Loaded { path, environment }).environment.clone()
            }
        };
        Ok(Self { name: name(ort::info()), environment, threads, kept: None })
    }

    /// Returns the runtime that keeps in `folder` what came of asking models about their rows, for the next time that they are loaded.
    pub fn keeping_self_tests(self, folder: PathBuf) -> Self {
        Self { kept: Some(folder), ..self }
    }
}

impl Runtime for OnnxRuntime {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(&self, path: &Path) -> Result<Arc<dyn Executable>, InferError> {
        let kept = self.kept.clone().map(|folder| Kept::new(folder, self.name.clone()));
        Ok(Arc::new(OnnxExecutable::load(path, &self.environment, self.threads, kept)?))
    }
}

fn load(path: &Path) -> Result<Environment, String> {
    let builder = ort::init_from(path).map_err(|e| refused(&e))?;
    // What it has to say goes where everything else goes, not to standard error.
    let log = |level, _: &str, _: &str, _: &str, message: &str| match level {
        LogLevel::Verbose | LogLevel::Info => tracing::trace!("{message}"),
        _ => tracing::debug!("{message}"),
    };
    let built = builder.with_telemetry(false).with_logger(Arc::new(log)).build();
    built.map_err(|e| format!("cannot be started: {}; install another release", one_line(e.message())))
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "is not there; correct the path or install it".to_owned(),
        _ => format!("cannot be read ({error}); correct its permissions"),
    }
}

fn refused(error: &LoadDynamicError) -> String {
    match error {
        LoadDynamicError::Dlopen { error, .. } => {
            let why = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
            format!("is not a library that this machine can load ({}); {GIVE_PATH}", one_line(&why))
        }
        LoadDynamicError::MissingApi { .. } => format!("is a library, but not that of {NAME}; {GIVE_PATH}"),
        LoadDynamicError::BadVersion { version_str, .. } => {
            format!("is release {version_str}; install 1.{} or later", ort::MINOR_VERSION)
        }
        LoadDynamicError::InvalidVersionString => format!("does not say which release it is; {GIVE_PATH}"),
    }
}

fn unavailable(library: &Path, why: &str) -> InferError {
    InferError::Unavailable { runtime: NAME, reason: format!("`{}` {why}", library.display()) }
}

/// Returns the name and version for records, from what the library says of its build.
fn name(build: &str) -> String {
    let of = |key: &str| build.split([' ', ',']).find_map(|it| it.strip_prefix(key));
    // Only what was built from a release has one; a commit names the others as well.
    match (of("git-branch=rel-"), of("git-commit-id=")) {
        (Some(version), _) => format!("onnxruntime {version}"),
        (None, Some(commit)) => format!("onnxruntime {commit}"),
        (None, None) => "onnxruntime".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_build() {
        let release =
            "ORT Build Info: git-branch=rel-1.32.0, git-commit-id=26250ae, build type=Release, cmake cxx flags: x";
        assert_eq!(name(release), "onnxruntime 1.32.0");
        assert_eq!(name("ORT Build Info: git-branch=main, git-commit-id=26250ae"), "onnxruntime 26250ae");
        assert_eq!(name("?"), "onnxruntime");
    }

    #[test]
    fn what_was_wrong_with_a_library_is_said_with_what_to_do() {
        let path = PathBuf::from("x");
        let old = LoadDynamicError::BadVersion { version_str: "1.16.3".to_owned(), path: path.clone() };
        assert_eq!(
            unavailable(&path, &refused(&old)).to_string(),
            "cannot use ONNX Runtime: `x` is release 1.16.3; install 1.17 or later"
        );
        let other = LoadDynamicError::MissingApi { path: path.clone() };
        assert_eq!(
            unavailable(&path, &refused(&other)).to_string(),
            "cannot use ONNX Runtime: `x` is a library, but not that of ONNX Runtime; give the path of `libonnxruntime.so`"
        );
    }
}
