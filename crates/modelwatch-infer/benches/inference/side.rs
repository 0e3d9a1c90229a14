//! A process that runs a model when it is told to.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::worker;

const SCRIPT: &str = include_str!("onnxruntime.py");
/// Processor time of a turn: enough for the clock of the system, which counts hundredths of a second.
const TURN_SECONDS: f64 = 0.3;
const MAX_RUNS: f64 = 20_000.0;

pub(crate) struct Side {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// The seconds of a run, after the model was prepared.
    pub(crate) first_run: f64,
    n_runs: f64,
}

pub(crate) fn has_onnxruntime() -> bool {
    let mut command = Command::new("python3");
    command.args(["-c", "import onnxruntime"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|it| it.success())
}

impl Side {
    pub(crate) fn own(path: &Path, batch: usize, threads: usize) -> Result<Self, String> {
        let mut command = Command::new(env::current_exe().unwrap());
        command.env(worker::MODEL, path).env(worker::CASE, format!("{batch} {threads}"));
        Self::start(command)
    }

    pub(crate) fn onnxruntime(path: &Path, batch: usize, threads: usize) -> Result<Self, String> {
        let mut command = Command::new("python3");
        command.args(["-c", SCRIPT]).arg(path).args([batch.to_string(), threads.to_string()]);
        Self::start(command)
    }

    fn start(mut command: Command) -> Result<Self, String> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, mut output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let said = line(&mut output);
        let Some(seconds) = said.strip_prefix("ready ") else {
            let _ = child.wait();
            return Err(if said.is_empty() { "it ended".to_owned() } else { said });
        };
        let first_run: f64 = seconds.parse().unwrap();
        let n_runs = (TURN_SECONDS / first_run).ceil().clamp(1.0, MAX_RUNS);
        Ok(Self { child, input, output, first_run, n_runs })
    }

    /// Returns the milliseconds of processor time that a run takes.
    pub(crate) fn turn(&mut self) -> f64 {
        writeln!(self.input.as_ref().unwrap(), "{}", self.n_runs).unwrap();
        line(&mut self.output).parse::<f64>().unwrap() / self.n_runs
    }

    /// Returns the most memory that the process had, in KiB.
    pub(crate) fn finish(mut self) -> f64 {
        self.input = None;
        let res = line(&mut self.output).parse().unwrap();
        let _ = self.child.wait();
        res
    }
}

fn line(output: &mut BufReader<ChildStdout>) -> String {
    let mut res = String::new();
    output.read_line(&mut res).unwrap();
    res.trim_end().to_owned()
}
