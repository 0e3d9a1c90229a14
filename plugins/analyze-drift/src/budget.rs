//! How much of the false-alarm budget of a time the runs in it have spent.

use modelwatch_sdk::{
    Host, Report,
    report::{Check, Gap, Metric},
};
use serde_json::Value;

use crate::config::{Config, FalseAlarmBudget};

/// The service of the host that counts the runs of the pipeline in its history, from the start of a stretch of the calendar on.
const EARLIER_RUNS: &str = "earlier_runs";

/// The metric of it.
pub(crate) const SPENT: &str = "false_alarm_budget_spent";

/// What is left of a budget.
pub(crate) enum Standing {
    /// There is none: each run stands for itself.
    Without,
    /// So many runs were before this one, which has a part of it.
    Left(FalseAlarmBudget, u64),
    /// So many runs were, and there is no part for this one.
    Spent(FalseAlarmBudget, u64),
    /// Nobody counts the runs.
    Unknown(FalseAlarmBudget, String),
}

impl Standing {
    /// Returns how a run stands.
    pub(crate) fn of(config: &Config, host: &dyn Host) -> Self {
        let Some(budget) = config.false_alarm_budget else { return Self::Without };
        match host.call(EARLIER_RUNS, &Value::from(budget.per.word())) {
            Err(e) => Self::Unknown(budget, e.message),
            Ok(found) => match found.as_u64() {
                Some(n) if n < budget.checks => Self::Left(budget, n),
                Some(n) => Self::Spent(budget, n),
                None => Self::Unknown(budget, format!("the host counts `{found}` runs")),
            },
        }
    }

    /// Returns the report of a run that has no part of the budget; none where it has one.
    pub(crate) fn refused(&self) -> Option<Report> {
        let Self::Spent(FalseAlarmBudget { checks, per, .. }, n) = self else { return None };
        let why = format!(
            "the false-alarm budget of the {} is spent: it was divided among {checks} runs, and {n} were made since the {} began; \
             nothing is judged until the next one, or with more `checks`",
            per.word(),
            per.word()
        );
        let check = Check::not_checked("compared_columns", "> 0", "the false-alarm budget is spent: see the gaps");
        Some(Report { checks: vec![check], gaps: vec![Gap::new("drift", why)], ..Report::default() })
    }

    /// Adds to a report what of the budget is spent by it and the runs before it.
    pub(crate) fn tell(&self, report: &mut Report) {
        match self {
            Self::Without | Self::Spent(..) => {}
            Self::Left(budget, n) => {
                let n_rows = report.metrics.first().map_or(0, |it| it.n);
                report.metrics.push(Metric::new(SPENT, (n + 1) as f64 / budget.checks as f64).n(n_rows));
            }
            Self::Unknown(FalseAlarmBudget { rate, checks, per }, why) => {
                let period = per.word();
                let why = format!(
                    "nobody knows how many runs there are in the {period} ({why}): the chance of a false alarm is at most {rate} only if \
                     these are {checks} at most"
                );
                report.gaps.push(Gap::new(format!("false-alarm budget of the {period}"), why));
            }
        }
    }
}
