//! What it costs to refuse a hostile model, measured in a process of its own.
#![allow(clippy::unwrap_used, clippy::print_stdout, dead_code)]

use std::{env, path::Path, process::Command};

use modelwatch_infer::Model;

use super::process::{cpu_ms, peak_kib};

/// Set for the process that is measured: the model that it loads.
const MODEL: &str = "MODELWATCH_TEST_HOSTILE_MODEL";
/// What a process may take, of which about 20 MB are the program itself.
const MAX_KIB: u64 = 200 << 10;
const MAX_CPU_MS: u64 = 1_000;

/// Loads the model if this is the process that is measured, and returns whether it is.
pub(crate) fn is_measured() -> bool {
    let Some(path) = env::var_os(MODEL) else { return false };
    let refusal = match Model::load(Path::new(&path)) {
        Ok(_) => "none".to_owned(),
        Err(it) => it.to_string().replace('\n', " "),
    };
    println!("\nrefusal {refusal}");
    println!("\npeak {}", peak_kib());
    println!("\ncpu {}", cpu_ms());
    true
}

/// Returns what is wrong with how the model is refused, if it has to be with these words: that it is not, or what it takes.
///
/// The process that is measured runs the test of that name, which asks [`is_measured`] first.
pub(crate) fn fault(test: &str, name: &str, path: &Path, refusal: &str) -> Option<String> {
    let mut command = Command::new(env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--nocapture"]).env(MODEL, path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let last = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
        return Some(format!("{name}: the process ended with {}: {last}", output.status));
    }
    let find = |key: &str| text.lines().find_map(|it| Some(it.split_once(key)?.1.to_owned())).unwrap();
    let said = find("refusal ");
    let (kib, ms): (u64, u64) = (find("peak ").parse().unwrap(), find("cpu ").parse().unwrap());
    println!("{name}: {} MiB, {ms} ms, {said}", kib >> 10);
    let is_refused = said != "none" && said.contains(refusal) && !said.contains("panicked");
    let is_cheap = kib <= MAX_KIB && ms < MAX_CPU_MS;
    (!is_refused || !is_cheap).then(|| format!("{name}: {kib} KiB, {ms} ms, {said}"))
}
