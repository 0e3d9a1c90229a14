//! Which signal caught which planted fault, as a committed document.
//!
//! It has no numbers that were measured: their last digits are a processor's.

use std::fs;

use anyhow::{Result, bail};

use super::{CAUSES, NOTES, Row};
use crate::workspace;

/// The table, relative to the root.
const TABLE: &str = "docs/planted-faults.md";

/// Writes the table, or compares it.
pub(super) fn keep(rows: &[Row], check: bool) -> Result<()> {
    let path = workspace::root().join(TABLE);
    let text = text(rows);
    if !check {
        fs::write(&path, text)?;
        println!("wrote {TABLE}");
    } else if fs::read_to_string(&path).unwrap_or_default() != text {
        bail!("`{TABLE}` is not what the trial finds; run `cargo xtask trial`");
    }
    Ok(())
}

fn text(rows: &[Row]) -> String {
    let (bad, healthy): (Vec<_>, Vec<_>) = rows.iter().partition(|it| it.bad);
    let (caught, missed): (Vec<&Row>, Vec<&Row>) = bad.into_iter().partition(|it| it.is_caught());
    let n_alarms = healthy.iter().filter(|it| it.is_caught()).count();
    let mut res = format!(
        "# Planted faults\n\nWritten by `cargo xtask trial`; do not edit.\n\n\
         Of {} planted faults {} are caught; of {} healthy checkpoints {n_alarms} are refused.\n{}.\n\n{NOTES}\n\n\
         Each checkpoint is judged with the last good one of its series as its baseline.\n\
         A caught fault is rolled back from production to the last good checkpoint.\n\
         The code in bold names the cause; `modelwatch explain CODE` says what each means.\n\n\
         | series | checkpoint | what was done to it | requirements that do not hold | findings |\n|---|---|---|---|---|\n",
        caught.len() + missed.len(),
        caught.len(),
        healthy.len(),
        not_caught(&missed),
    );
    for it in caught.iter().chain(&missed) {
        let cells = [it.series, &it.tag, &it.note, &requirements(it), &findings(it)];
        res.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    res
}

impl Row {
    fn is_caught(&self) -> bool {
        self.verdict != "pass"
    }
}

fn not_caught(missed: &[&Row]) -> String {
    if missed.is_empty() {
        return "None is missed".to_owned();
    }
    let names: Vec<_> = missed.iter().map(|it| format!("`{}` of {}", it.tag, it.series)).collect();
    format!("Nothing catches {}", names.join(" and "))
}

fn requirements(row: &Row) -> String {
    let all: Vec<_> = row.requirements.iter().map(|it| format!("`{it}`")).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// Each code once, with how many things it is about where these are several.
fn findings(row: &Row) -> String {
    let causes = CAUSES.iter().find(|it| it.0 == row.tag).map_or(&[][..], |it| it.1);
    let mut codes: Vec<(&str, usize)> = Vec::new();
    for (code, _) in &row.findings {
        match codes.iter_mut().find(|it| it.0 == code) {
            Some((_, n)) => *n += 1,
            None => codes.push((code, 1)),
        }
    }
    let shown = codes.into_iter().map(|(code, n)| {
        let code = if causes.contains(&code) { format!("**{code}**") } else { code.to_owned() };
        if n == 1 { code } else { format!("{code} ({n})") }
    });
    let all: Vec<_> = shown.collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tag: &str, bad: bool, verdict: &str, findings: &[&str]) -> Row {
        Row {
            series: "s",
            tag: tag.to_owned(),
            note: "a note".to_owned(),
            bad,
            verdict: verdict.to_owned(),
            requirements: Vec::new(),
            findings: findings.iter().map(|it| ((*it).to_owned(), String::new())).collect(),
            causes: Vec::new(),
            problem: None,
        }
    }

    #[test]
    fn what_nothing_catches_is_said() {
        let rows = [
            row("e01", false, "pass", &[]),
            row("bad_diverged", true, "fail", &["MW-M001", "MW-W001", "MW-W001"]),
            row("bad_bitflip", true, "pass", &[]),
        ];
        let text = text(&rows);
        assert!(text.contains("Of 2 planted faults 1 are caught; of 1 healthy checkpoints 0 are refused."), "{text}");
        assert!(text.contains("Nothing catches `bad_bitflip` of s."), "{text}");
        assert!(text.contains("| s | bad_diverged | a note | none | MW-M001, **MW-W001** (2) |"), "{text}");
        let none = super::text(&rows[..2]);
        assert!(none.contains("None is missed."), "{none}");
    }
}
