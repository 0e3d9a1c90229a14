//! Builds what is needed, says so, and runs a pipeline.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use crate::{
    plugins::{self, Others, Scope},
    workspace,
};

const DEFAULT: &str = "configs/digits.toml";
/// What it could not carry out, as of `modelwatch run`.
const NOT_DONE: u8 = 3;

/// A run that was asked for.
struct Run<'a> {
    config: &'a Path,
    /// Further arguments of `modelwatch run`.
    arguments: &'a [String],
    /// Where relative paths begin.
    dir: PathBuf,
}

/// Returns what `modelwatch run` ended with; the first argument is the pipeline unless it is an option.
pub(crate) fn pipeline(arguments: &[String]) -> ExitCode {
    let run = run(arguments, Path::new("."));
    match plugins::plugins(Scope { fixtures: false, others: Others::Named(&naming(&run)) }) {
        Ok(it) => eprintln!("built modelwatch and the plugins {}", it.join(", ")),
        Err(e) => {
            eprintln!("error: {e:#}");
            return NOT_DONE.into();
        }
    }
    let mut command = Command::new(workspace::program("modelwatch"));
    command.arg("run").arg(run.config).args(run.arguments).current_dir(run.dir);
    end_as(command).into()
}

/// Becomes the command, so that whoever ends this ends that.
#[cfg(unix)]
fn end_as(mut command: Command) -> u8 {
    use std::os::unix::process::CommandExt;
    cannot_run(&command.exec())
}

#[cfg(not(unix))]
fn end_as(mut command: Command) -> u8 {
    match command.status() {
        Ok(it) => it.code().and_then(|it| u8::try_from(it).ok()).unwrap_or(NOT_DONE),
        Err(e) => cannot_run(&e),
    }
}

fn cannot_run(e: &io::Error) -> u8 {
    eprintln!("error: cannot run modelwatch: {e}");
    NOT_DONE
}

fn run<'a>(arguments: &'a [String], here: &Path) -> Run<'a> {
    let (config, arguments) = match arguments {
        [first, rest @ ..] if !first.starts_with('-') => (Path::new(first), rest),
        _ => (Path::new(DEFAULT), arguments),
    };
    // Relative paths are the caller's, except for the default, which is the repository's.
    let is_repositorys = config == Path::new(DEFAULT) && !here.join(config).exists();
    let dir = if is_repositorys { workspace::root() } else { here.to_owned() };
    Run { config, arguments, dir }
}

/// Returns all text that may name a component. A file that cannot be read is what `modelwatch run` tells about.
fn naming(run: &Run<'_>) -> String {
    let file = fs::read_to_string(run.dir.join(run.config)).unwrap_or_default();
    format!("{file} {}", run.arguments.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arguments: &[&str], here: &Path, config: &str, rest: &[&str], dir: &Path) {
        let arguments: Vec<_> = arguments.iter().map(|it| (*it).to_owned()).collect();
        let run = run(&arguments, here);
        assert_eq!((run.config, run.dir.as_path()), (Path::new(config), dir));
        assert_eq!(run.arguments, rest);
    }

    #[test]
    fn the_first_argument_is_the_pipeline_unless_it_is_an_option() {
        let root = workspace::root();
        let set = ["--set", "verify.0.with.task=binary"];
        check(&[], &root, DEFAULT, &[], &root);
        check(&set, &root, DEFAULT, &set, &root);
        check(&["configs/a.toml"], &root, "configs/a.toml", &[], &root);
        check(
            &["configs/a.toml", "--set", "a=b", "--quiet"],
            &root,
            "configs/a.toml",
            &["--set", "a=b", "--quiet"],
            &root,
        );
    }

    #[test]
    fn the_default_is_the_repositorys_wherever_one_is() {
        let (root, elsewhere) = (workspace::root(), workspace::root().join("crates"));
        check(&[], &elsewhere, DEFAULT, &[], &root);
        check(&["a.toml"], &elsewhere, "a.toml", &[], &elsewhere);
        // So that the plugins which it names are built there, too.
        let named = naming(&run(&["--set".to_owned(), "store.uses=object".to_owned()], &elsewhere));
        assert!(named.contains("uses = \"metrics\"") && named.ends_with("store.uses=object"), "{named}");
    }

    /// Run by the test below in a process of its own, which becomes another one.
    #[cfg(unix)]
    #[test]
    fn becomes_what_it_is_told() {
        if let Ok(script) = std::env::var("MODELWATCH_TEST_SCRIPT") {
            let mut command = Command::new("sh");
            command.args(["-c", &script]);
            panic!("{}", end_as(command));
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_exit_code_is_forwarded() {
        let this = std::env::current_exe().unwrap();
        for code in [0, 1, 2, 3, 4, 130] {
            let mut child = Command::new(&this);
            child.args(["--exact", "pipeline::tests::becomes_what_it_is_told"]);
            let ended = child.env("MODELWATCH_TEST_SCRIPT", format!("exit {code}")).output().unwrap();
            assert_eq!(ended.status.code(), Some(code), "{}", String::from_utf8_lossy(&ended.stderr));
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_told() {
        assert_eq!(end_as(Command::new("no/such/program")), NOT_DONE);
    }
}
