//! Runs ONNX backend test cases: a folder per line on standard input, a JSON object per line on standard output.
//!
//! With `--audited`, the table of what the runtime computes wrongly instead.
//!
//! `cargo xtask onnx-conformance` gets the cases, watches the time and makes the table.
#![allow(clippy::print_stdout)]

mod cases;
mod judge;

use std::{
    env,
    io::{self, BufRead, Write},
    panic,
    path::Path,
};

use cases::Case;
use judge::{Verdict, judge};
use modelwatch_infer::audited_operators;
use serde_json::json;

fn main() -> io::Result<()> {
    if env::args().any(|it| it == "--audited") {
        print!("{}", audited_operators());
        return Ok(());
    }
    // A panic of the runtime is an error with its message; a backtrace helps nobody here.
    panic::set_hook(Box::new(|_| ()));
    let mut out = io::stdout();
    for line in io::stdin().lock().lines() {
        let folder = line?;
        let (operator, verdict) = match Case::read(Path::new(&folder)) {
            Ok(case) => (case.operator.clone(), judge(&case)),
            Err(reason) => (String::new(), Verdict::Failed(reason)),
        };
        let (result, reason) = match verdict {
            Verdict::Pass(ways) => ("pass", ways.join(", ")),
            Verdict::Refused(reason) => ("refused", reason),
            Verdict::Wrong(reason) => ("wrong", reason),
            Verdict::Failed(reason) => ("failed", reason),
        };
        writeln!(out, "{}", json!({ "case": folder, "operator": operator, "result": result, "reason": reason }))?;
        out.flush()?;
    }
    Ok(())
}
