//! Where tests find the program and its plugins, built.
#![forbid(unsafe_code)]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The variable with the folder of the plugins, for runs that have built everything before.
pub const PLUGINS_VARIABLE: &str = "MODELWATCH_TEST_PLUGINS";

/// Returns the folder of the plugins, with their listing.
///
/// Unless [`PLUGINS_VARIABLE`] names it, `cargo xtask plugins --fixtures` is run first, once per process.
///
/// # Panics
/// When they cannot be built.
pub fn plugins_dir() -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        if let Some(it) = env::var_os(PLUGINS_VARIABLE) {
            return PathBuf::from(it);
        }
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let res = Command::new(cargo).args(["xtask", "plugins", "--fixtures"]).current_dir(root()).output();
        let output = res.unwrap_or_else(|e| panic!("cannot run `cargo xtask plugins --fixtures`: {e}"));
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`cargo xtask plugins --fixtures` failed:\n{log}");
        target().join("debug/plugins")
    };
    DIR.get_or_init(build).clone()
}

/// Returns the folder of the plugins that tests alone need. Some of them are refused.
pub fn fixture_plugins_dir() -> PathBuf {
    plugins_dir().with_file_name("fixture-plugins")
}

/// Returns the program.
pub fn binary() -> PathBuf {
    plugins_dir().with_file_name(format!("modelwatch{}", env::consts::EXE_SUFFIX))
}

/// Returns the library of a package in a folder: `store-local` is `libstore_local.so`.
pub fn library(dir: &Path, package: &str) -> PathBuf {
    let name = package.replace('-', "_");
    dir.join(format!("{}{name}{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX))
}

/// Returns the root of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Returns the folder of everything that is built.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |it| root().join(it))
}
