//! Processes that run cases, one a core.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Outcome;
use crate::workspace;

/// Far above the slowest case.
const LIMIT: Duration = Duration::from_secs(60);

/// Returns the outcome of each case.
pub(super) fn run_all(folders: Vec<PathBuf>) -> Result<Vec<Outcome>> {
    let n_threads = thread::available_parallelism().map_or(1, |it| it.get());
    let queue = Mutex::new(VecDeque::from(folders));
    let results = thread::scope(|scope| {
        let handles: Vec<_> = (0..n_threads).map(|_| scope.spawn(|| work(&queue))).collect();
        handles
            .into_iter()
            .map(|it| it.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked"))))
            .collect::<Result<Vec<_>>>()
    })?;
    Ok(results.into_iter().flatten().collect())
}

/// Returns the table of what is known to be computed wrongly.
pub(super) fn audited() -> Result<String> {
    let output = Command::new(program()).arg("--audited").output().context("cannot run the example")?;
    anyhow::ensure!(output.status.success(), "`{} --audited` ended with {}", program().display(), output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn work(queue: &Mutex<VecDeque<PathBuf>>) -> Result<Vec<Outcome>> {
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let mut res = Vec::new();
    let mut runner = None;
    while let Some(folder) = next() {
        let it = match &mut runner {
            Some(it) => it,
            None => runner.insert(Runner::start()?),
        };
        match it.run(&folder) {
            Ok(line) => res.push(outcome(&folder, &line)?),
            Err(reason) => {
                let result = "failed".to_string();
                res.push(Outcome {
                    name: name_of(&folder),
                    operator: String::new(),
                    result,
                    reason,
                    note: note(&folder),
                });
                // It is stuck or gone; dropping it ends it.
                runner = None;
            }
        }
    }
    Ok(res)
}

fn name_of(folder: &Path) -> String {
    let part = |it: Option<&Path>| it.and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    format!("{}/{}", part(folder.parent()), part(Some(folder)))
}

fn outcome(folder: &Path, line: &str) -> Result<Outcome> {
    let json: Value = serde_json::from_str(line).context("a runner printed something else than JSON")?;
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_string();
    let [operator, result, reason] = ["operator", "result", "reason"].map(text);
    Ok(Outcome { name: name_of(folder), operator, result, reason, note: note(folder) })
}

fn note(folder: &Path) -> String {
    // Most have none.
    fs::read_to_string(folder.join("note.txt")).unwrap_or_default()
}

fn program() -> PathBuf {
    workspace::example("onnx_conformance")
}

struct Runner {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Runner {
    fn start() -> Result<Self> {
        let program = program();
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run `{}`", program.display()))?;
        let (stdin, stdout) = child.stdin.take().zip(child.stdout.take()).context("a runner has no pipes")?;
        let (sender, lines) = mpsc::channel();
        // Ends with the process, whose pipe it reads.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, stdin, lines })
    }

    /// Returns the line about one case, or why there is none.
    fn run(&mut self, folder: &Path) -> Result<String, String> {
        writeln!(self.stdin, "{}", folder.display()).map_err(|it| format!("the runner is gone: {it}"))?;
        self.lines.recv_timeout(LIMIT).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("it took more than {} seconds", LIMIT.as_secs()),
            RecvTimeoutError::Disconnected => "it crashed the process".to_string(),
        })
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
