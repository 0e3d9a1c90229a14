//! Holds a file against the schema of pipelines and keeps what is well-formed, so that the rest is checked, too.

use std::{collections::BTreeSet, sync::LazyLock};

use serde_json::Value;

use crate::{
    Diagnostic, Document, code,
    options::{PipelineOptions, SCHEMA},
    schema_errors::{ProblemKind, Validator, Words},
    tree,
};

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| Validator::new(&SCHEMA).expect("schemars writes valid schemas"));

/// Returns the options of the file without those that have a wrong form, which are reported.
pub(crate) fn check(document: &Document, diagnostics: &mut Vec<Diagnostic>) -> PipelineOptions {
    // Values without a JSON form were reported already, and stand as null.
    let mut bad: BTreeSet<String> = nulls(document.value());
    let is_reported = |pointer: &str, bad: &BTreeSet<String>| {
        pointer.match_indices('/').map(|(at, _)| &pointer[..at]).chain([pointer]).any(|it| bad.contains(it))
    };
    for problem in VALIDATOR.check(document.value()) {
        if is_reported(&problem.pointer, &bad) {
            continue;
        }
        if problem.kind != ProblemKind::Missing {
            bad.insert(problem.pointer.clone());
        }
        let advised = advise(document, problem.into_diagnostic(document, "", &Words::keys()));
        diagnostics.push(advised);
    }

    let mut value = document.value().clone();
    for pointer in &bad {
        remove(&mut value, pointer);
    }
    serde_json::from_value(value).unwrap_or_else(|error| {
        diagnostics.push(Diagnostic::error(code::WRONG_TYPE, "", format!("the pipeline cannot be read: {error}")));
        PipelineOptions::default()
    })
}

/// Adds what the schema cannot know to the help of a diagnostic.
fn advise(document: &Document, it: Diagnostic) -> Diagnostic {
    let pointer = it.pointer.clone();
    let segments: Vec<_> = pointer.split('/').skip(1).collect();
    let has_guess = it.help.as_ref().is_some_and(|help| help.starts_with("did you mean"));
    let value = document.value().pointer(&pointer);
    match (it.code, segments.as_slice()) {
        (code::UNKNOWN_KEY, ["verify" | "analyze", _, key] | ["store", key]) if !has_guess => {
            let help =
                format!("if it is an option of the component, it goes into the `with` table: `with = {{ {key} = … }}`");
            it.help(help)
        }
        (code::UNKNOWN_KEY, [key @ ("verifier" | "verifiers" | "analyzer" | "analyzers" | "check" | "checks")]) => {
            let table = if key.starts_with("analyzer") { "analyze" } else { "verify" };
            it.help(format!("did you mean `[[{table}]]`?"))
        }
        (code::WRONG_TYPE, ["verify" | "analyze", _, "require", _]) => match value {
            Some(Value::Number(number)) => it.help(format!("write a comparison: `\">= {number}\"`")),
            _ => it.help("write a condition such as `\">= 0.95\"`, or a list of them"),
        },
        (code::WRONG_TYPE, [table @ ("verify" | "analyze")]) => {
            it.help(format!("every probe is a table of its own: write `[[{table}]]` with two brackets"))
        }
        (code::WRONG_TYPE, ["store"] | ["verify" | "analyze", _]) => it.help("write a table with `uses`"),
        (code::WRONG_TYPE, ["on", verdict, "run"]) => it.help(format!(
            "give the command and its arguments one by one: `[on.{verdict}] run = [\"notify\", \"--now\"]`"
        )),
        _ => it,
    }
}

/// Removes the key at `pointer`; if it is in an array, the whole array, since other pointers would move.
fn remove(value: &mut Value, pointer: &str) {
    let mut pointer = pointer;
    while let Some(at) = pointer.rfind('/') {
        let parent = &pointer[..at];
        match value.pointer_mut(parent) {
            Some(Value::Object(map)) => {
                map.remove(&tree::last_key(pointer));
                return;
            }
            Some(_) => pointer = parent,
            // Removed with something around it.
            None => return,
        }
    }
}

fn nulls(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, pointer: &str, res: &mut BTreeSet<String>) {
        match value {
            Value::Null => {
                res.insert(pointer.to_owned());
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(idx, it)| walk(it, &format!("{pointer}/{idx}"), res));
            }
            Value::Object(map) => map.iter().for_each(|(key, it)| walk(it, &tree::join(pointer, key), res)),
            _ => {}
        }
    }
    let mut res = BTreeSet::new();
    walk(value, "", &mut res);
    res
}
