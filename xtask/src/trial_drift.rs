//! The trial of the drift analyzer: false alarms where nothing drifted, and power where something did.

use anyhow::Result;

use crate::workspace;

pub(crate) fn trial_drift(runs: u32, only: Option<&str>) -> Result<()> {
    let mut command = workspace::cargo(&["run", "--quiet", "--package", "analyze-drift", "--example", "trial", "--"]);
    workspace::run(command.arg(runs.to_string()).args(only))
}
