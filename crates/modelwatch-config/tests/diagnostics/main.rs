//! What a user sees for every kind of mistake.
//!
//! Every code is the subject of a test; the test below holds the table against these files.
#![allow(clippy::unwrap_used, missing_docs)]

mod components;
mod form;
mod meaning;
mod policy;
mod recorded;
mod requirements;

use modelwatch_config::{Override, codes, parse, render};

/// A pipeline without a mistake, as a start.
const GOOD: &str = "name = \"it\"\n[[verify]]\nuses = \"metrics\"\n";

/// Returns what is shown for the text of a pipeline file.
fn errors(text: &str) -> String {
    errors_with(text, &[])
}

fn errors_with(text: &str, overrides: &[&str]) -> String {
    let overrides: Vec<Override> = overrides.iter().map(|it| it.parse().unwrap()).collect();
    let parsed = parse("pipeline.toml".as_ref(), text, &overrides);
    assert_eq!(parsed.pipeline.is_some(), parsed.diagnostics.is_empty());
    render(&parsed.diagnostics, &parsed.document, false)
}

#[test]
fn every_code_is_shown_by_a_test() {
    let shown = concat!(
        include_str!("components.rs"),
        include_str!("form.rs"),
        include_str!("meaning.rs"),
        include_str!("policy.rs"),
        include_str!("recorded.rs"),
        include_str!("requirements.rs")
    );
    let missing: Vec<_> = codes().filter(|code| !shown.contains(&format!("error[{code}]: "))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
