//! Processes that run a model when they are told to.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::worker::{self, Side};

/// Processor time of a turn, in milliseconds: enough for the clock of the system, which counts hundredths of a second.
const TURN_MS: f64 = 200.0;
const MAX_RUNS: f64 = 100_000.0;

/// A model, and how it is run.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) path: &'a Path,
    pub(crate) batch: usize,
    pub(crate) threads: usize,
}

/// A process that has loaded a model once for each of its sides.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// A side of a process that has loaded its model.
pub(crate) struct Loaded {
    side: Side,
    /// The milliseconds of processor time of a run, after the model was prepared.
    pub(crate) ms: f64,
    n_runs: f64,
}

impl Process {
    pub(crate) fn start(case: Case<'_>, sides: &[Side]) -> Self {
        let names: Vec<_> = sides.iter().map(|it| it.as_str()).collect();
        let mut command = Command::new(env::current_exe().unwrap());
        command.env(worker::MODEL, case.path).env(worker::CASE, format!("{} {}", case.batch, case.threads));
        command.env(worker::SIDES, names.join(" "));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// Returns what the process says of its next side: that it is ready, or why it is not.
    pub(crate) fn loaded(&mut self, side: Side) -> Result<Loaded, String> {
        let said = self.line();
        if said != worker::READY {
            return Err(if said.is_empty() { "it ended".to_owned() } else { said });
        }
        Ok(Loaded { side, ms: 0.0, n_runs: 1.0 })
    }

    /// Finds out how many runs a turn takes.
    pub(crate) fn calibrate(&mut self, it: Loaded) -> Loaded {
        let mut res = it;
        loop {
            res.ms = self.turn(&res);
            let is_enough = res.ms * res.n_runs >= TURN_MS / 4.0;
            if is_enough || res.n_runs >= MAX_RUNS {
                res.n_runs = (TURN_MS / res.ms.max(TURN_MS / MAX_RUNS)).ceil().clamp(1.0, MAX_RUNS);
                return res;
            }
            res.n_runs *= 4.0;
        }
    }

    /// Returns the milliseconds of processor time that a run takes.
    pub(crate) fn turn(&mut self, Loaded { side, n_runs, .. }: &Loaded) -> f64 {
        writeln!(self.input.as_ref().unwrap(), "{} {n_runs}", side.as_str()).unwrap();
        self.line().parse::<f64>().unwrap() / n_runs
    }

    /// Returns the most memory that the process had, in KiB.
    pub(crate) fn finish(mut self) -> f64 {
        self.input = None;
        let res = self.line().parse().unwrap();
        let _ = self.child.wait();
        res
    }

    fn line(&mut self) -> String {
        let mut res = String::new();
        self.output.read_line(&mut res).unwrap();
        res.trim_end().to_owned()
    }
}

/// Returns the most memory, in KiB, of a process that runs the model on that side alone.
pub(crate) fn peak(case: Case<'_>, side: Side) -> f64 {
    let mut process = Process::start(case, &[side]);
    process.loaded(side).unwrap();
    process.finish()
}
