//! What there is to run models with: what was built in, and what the environment says.

use std::{env, path::PathBuf};

use modelwatch_runtime::{OpenOnnxRuntime, Runtimes};

/// Returns what runs models.
pub(super) fn runtimes() -> Runtimes {
    Runtimes {
        onnxruntime: onnxruntime(),
        library: path("ORT_DYLIB_PATH"),
        self_tests: cache().map(|it| it.join("self-tests")),
    }
}

/// Returns the user's folder for what can be made again.
fn cache() -> Option<PathBuf> {
    let of_home = || Some(path("HOME")?.join(".cache"));
    Some(path("XDG_CACHE_HOME").filter(|it| it.is_absolute()).or_else(of_home)?.join("modelwatch"))
}

#[cfg(feature = "onnxruntime")]
fn onnxruntime() -> Option<OpenOnnxRuntime> {
    use std::{num::NonZeroUsize, sync::Arc};

    use modelwatch_onnxruntime::OnnxRuntime;

    // The threads of a run share out its rows.
    Some(|library, self_tests| {
        let runtime = OnnxRuntime::open(library, NonZeroUsize::MIN)?;
        Ok(match self_tests {
            Some(folder) => Arc::new(runtime.keeping_self_tests(folder.to_path_buf())),
            None => Arc::new(runtime),
        })
    })
}

#[cfg(not(feature = "onnxruntime"))]
fn onnxruntime() -> Option<OpenOnnxRuntime> {
    None
}

fn path(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|it| !it.is_empty()).map(PathBuf::from)
}
