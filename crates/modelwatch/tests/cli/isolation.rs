//! Probes in processes of their own, through the command.
#![cfg(unix)]

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{Project, check, digits, fixture_plugins, fixtures, plugins};

const METRICS: &str =
    "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\nrequire = { accuracy = '>= 0.5' }\n";

/// Runs a pipeline with a faulty probe in a process beside a sound one.
fn run(fault: &str, options: &str) -> (Project, i32, Value, String) {
    let project = Project::new();
    let faulty =
        format!("[[analyze]]\nuses = 'faulty'\nwith = {{ fault = '{fault}' }}\nisolation = 'process'\n{options}\n");
    let report = "[report]\njson = 'run.json'\nhtml = 'run.html'\n";
    project.write("pipeline.toml", &format!("{}{METRICS}{faulty}{report}", digits("e08")));
    let dir = fixture_plugins();
    let arguments = ["run", "pipeline.toml", "--format", "json", "--plugin-dir", dir.to_str().unwrap()];
    let ended = project.modelwatch(&arguments);
    let record = serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}{}", ended.out, ended.err));
    (project, ended.code, record, ended.err)
}

#[test]
fn a_probe_that_crashes_is_an_error_and_the_rest_goes_on() {
    for (fault, options, words) in [
        ("abort", "", "the worker of `faulty` was ended by signal 6 (abort)"),
        ("segfault", "", "the worker of `faulty` was ended by signal 11 (segmentation fault)"),
        ("stack_overflow", "", "the worker of `faulty` was ended by signal "),
        ("exit", "", "the worker of `faulty` ended with exit code 0 before it answered"),
        ("exit_in_open", "", "the worker of `faulty` ended with exit code 0 before it answered"),
        ("allocate", "memory = '1GiB'", "memory allocation of"),
        ("spin", "timeout = '1s'", "timeout of 1s"),
        ("hang", "timeout = '1s'", "timeout of 1s"),
        ("update", "", "the plugin panicked at"),
        ("open", "", "the plugin panicked at"),
    ] {
        let (project, code, record, err) = run(fault, options);
        assert_eq!((code, &record["verdict"]), (3, &"error".into()), "{fault}: {record:#}");
        let message = check(&record, "faulty", "error")["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words) && !message.contains('\n'), "{fault}: {message}");
        assert_eq!(check(&record, "findings", "pass")["probe"], "metrics", "{fault}");
        assert!(!record["metrics"].as_array().unwrap().is_empty(), "{fault}");
        for it in ["run.json", "run.html"] {
            assert!(project.path().join(it).is_file(), "{fault}: {it}");
        }
        assert!(!err.contains("overflowed") && !err.contains("memory allocation"), "{fault}: {err}");
    }
}

#[test]
fn a_probe_that_prints_says_no_less_and_no_more() {
    let (_, code, record, _) = run("print", "");
    assert_eq!((code, &record["verdict"]), (0, &"pass".into()), "{record:#}");
    let rows = record["metrics"].as_array().unwrap().iter().find(|it| it["name"] == "rows").unwrap();
    assert_eq!(rows["value"].as_f64(), record["coverage"]["rows"]["current"].as_f64());
}

/// Runs the digits beside a probe of the same process with this fault: exit code, standard output and error.
fn run_together(fault: &str) -> (i32, String, String) {
    let project = Project::new();
    let faulty = format!("[[analyze]]\nuses = 'faulty'\nwith = {{ fault = '{fault}' }}\n");
    project.write("pipeline.toml", &format!("{}{METRICS}{faulty}", digits("e08")));
    let ended = Command::new(env!("CARGO_BIN_EXE_modelwatch"))
        .args(["run", "pipeline.toml", "--format", "json", "--plugin-dir", fixture_plugins().to_str().unwrap()])
        .current_dir(project.path())
        .env("MODELWATCH_PLUGIN_PATH", plugins())
        .output()
        .unwrap();
    // What a plugin prints may be anything.
    let err = String::from_utf8_lossy(&ended.stderr).into_owned();
    (ended.status.code().unwrap(), String::from_utf8(ended.stdout).unwrap(), err)
}

#[test]
fn a_plugin_that_ends_the_program_does_not_pass() {
    for fault in ["exit", "exit_in_open"] {
        let (code, out, err) = run_together(fault);
        assert_eq!((code, &*out), (3, ""), "{fault}: {err}");
        assert!(err.contains("a plugin ended the program before it was done"), "{fault}: {err}");
    }
}

#[test]
fn what_a_plugin_prints_is_no_part_of_the_result() {
    let (code, out, err) = run_together("print");
    let record: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"));
    assert_eq!((code, &record["verdict"]), (0, &"pass".into()), "{record:#}");
    assert!(err.contains("{\"do\":\"done\"}"), "{err}");
}

#[test]
fn results_in_processes_are_those_in_threads() {
    let fixtures = fixtures();
    let fixtures = fixtures.display();
    let pipeline = |isolation: &str, threads: usize| {
        format!(
            "name = 'same'\n\
             checkpoint = {{ import = '{fixtures}/digits/cnn_series/e08.onnx', name = 'd' }}\n\
             baseline = {{ import = '{fixtures}/digits/cnn_series/e02.onnx' }}\n\
             run = {{ threads = {threads}, batch_rows = 256 }}\n\
             [data]\ncurrent = {{ path = '{fixtures}/digits/data/test.npz' }}\n\
             reference = {{ path = '{fixtures}/digits/data/train.npz' }}\n\
             [data.columns]\nlabel = 'y'\n\
             [[verify]]\nuses = 'metrics'\nwith = {{ task = 'multiclass' }}\nisolation = '{isolation}'\n\
             require = {{ accuracy = '>= 0.5', log_loss = '<= baseline + 10 with confidence 99%' }}\n\
             [[analyze]]\nuses = 'drift'\nisolation = '{isolation}'\n\
             [[analyze]]\nuses = 'weights'\nisolation = '{isolation}'\n"
        )
    };
    let mut first = None;
    for (isolation, threads) in [("thread", 2), ("process", 1), ("process", 3)] {
        let (_, record) = Project::new().run(&pipeline(isolation, threads));
        let said: Vec<String> =
            ["verdict", "checks", "metrics", "findings", "figures"].iter().map(|it| record[*it].to_string()).collect();
        assert!(said[2].len() > 5_000, "{record:#}");
        assert_eq!(first.get_or_insert_with(|| said.clone()), &said, "{isolation}, {threads} threads");
    }
}

#[test]
fn workers_end_with_a_run_that_was_killed() {
    let project = Project::new();
    let faulty = "[[analyze]]\nuses = 'faulty'\nwith = { fault = 'spin' }\nisolation = 'process'\n";
    project.write("pipeline.toml", &format!("{}{faulty}", digits("e08")));
    let mut run = Command::new(env!("CARGO_BIN_EXE_modelwatch"))
        .args(["run", "pipeline.toml", "-vv", "--plugin-dir", fixture_plugins().to_str().unwrap()])
        .current_dir(project.path())
        .env("MODELWATCH_PLUGIN_PATH", plugins())
        .env("NO_COLOR", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(run.stderr.take().unwrap()).lines();
    let worker: u32 = lines
        .map_while(Result::ok)
        .find_map(|it| it.split_once("spinning in process ")?.1.split_whitespace().next()?.parse().ok())
        .unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    // It is nobody's child any more, so that its end cannot be waited for.
    let there = || Path::new("/proc").join(worker.to_string()).join("fd/0").exists();
    while there() {
        std::thread::yield_now();
    }
}

#[test]
fn an_interruption_ends_what_never_ends() {
    let project = Project::new();
    let faulty = "[[analyze]]\nuses = 'faulty'\nwith = { fault = 'spin' }\nisolation = 'process'\n";
    project.write("pipeline.toml", &format!("{}{faulty}", digits("e08")));
    let mut run = Command::new(env!("CARGO_BIN_EXE_modelwatch"))
        .args(["run", "pipeline.toml", "-vv", "--plugin-dir", fixture_plugins().to_str().unwrap()])
        .current_dir(project.path())
        .env("MODELWATCH_PLUGIN_PATH", plugins())
        .env("NO_COLOR", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stderr.take().unwrap()).lines().map_while(Result::ok);
    lines.find(|it| it.contains("spinning in process ")).unwrap();
    let interrupted = Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let rest: Vec<_> = lines.collect();
    assert_eq!(run.wait().unwrap().code(), Some(130), "{rest:?}");
    for told in ["interrupt again to end at once", "no ref was moved"] {
        assert!(rest.iter().any(|it| it.contains(told)), "{told}: {rest:?}");
    }
}

#[test]
fn a_worker_is_not_for_people() {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_modelwatch"))
        .arg("worker")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may be gone by now.
    drop(worker.stdin.take().unwrap().write_all(b"hello"));
    let output = worker.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("of no use to others"), "{err}");
    let help = Command::new(env!("CARGO_BIN_EXE_modelwatch")).arg("help").output().unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("worker"));
}
