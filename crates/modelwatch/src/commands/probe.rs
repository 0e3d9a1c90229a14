//! `modelwatch probe`: one verifier or analyzer without a pipeline file.
//!
//! The arguments become a pipeline, so that everything else is the same: options are checked, metrics
//! are held against requirements, and the result has the same shape.

use std::{fs, path::Path};

use anyhow::bail;
use modelwatch_config::{self as config};
use modelwatch_sdk::Kind;
use toml::{Table, Value};

use super::{
    Code, Wrong, check,
    run::{self, How},
};
use crate::{cli, output};

/// Nobody wrote the text that diagnostics point into.
const AS_OPTIONS: &str = "the places are in what these arguments stand for: give an option of the component as `--with task=…`, what a \
                          column means, as `label`, as `--column label=…`, and files as `--current`, `--reference`, `--model` and `--baseline`";

pub(crate) fn probe(arguments: &cli::Probe, quiet: bool) -> anyhow::Result<Code> {
    let catalog = run::catalog(&arguments.plugins, None)?;
    let (kind, name) = match arguments.component.split_once('/') {
        Some(("verifier", name)) => (Some(Kind::Verifier), name),
        Some(("analyzer", name)) => (Some(Kind::Analyzer), name),
        _ => (None, arguments.component.as_str()),
    };
    let kinds: Vec<_> = catalog
        .components()
        .filter(|it| {
            it.info.name == name && it.info.kind != Kind::Store && kind.is_none_or(|kind| kind == it.info.kind)
        })
        .map(|it| it.info.kind)
        .collect();
    let kind = match kinds[..] {
        [it] => it,
        [] => {
            let names = catalog.components().filter(|it| it.info.kind != Kind::Store).map(|it| it.info.name.as_str());
            let names: Vec<_> = names.collect();
            let hint = match (config::did_you_mean(name, names.iter().copied()), catalog.unread()) {
                (Some(it), _) => format!("did you mean `{it}`?"),
                // It may have it.
                (None, Some(refusal)) => bail!("no verifier or analyzer that was loaded is named `{name}`; {refusal}"),
                (None, None) => format!("there is {}", names.join(", ")),
            };
            return Err(Wrong(format!("no verifier or analyzer is named `{name}`; {hint}")).into());
        }
        _ => return Err(Wrong(format!("`{name}` is both: say `verifier/{name}` or `analyzer/{name}`")).into()),
    };
    let text = pipeline(arguments, kind, name)?.to_string();
    let table = if kind == Kind::Verifier { "verify" } else { "analyze" };
    let mut overrides = below(&[table, "0", "with"], "--with", &arguments.with)?;
    overrides.extend(below(&["data", "columns"], "--column", &arguments.columns)?);
    let mut parsed = config::parse(Path::new("command line"), &text, &overrides);
    check::complete(&mut parsed, &arguments.plugins);
    let Some((document, pipeline)) = run::accept(parsed, cli::Format::Human)? else {
        output::note(AS_OPTIONS);
        return Ok(Code::WRONG);
    };
    let how = How { format: arguments.format, quiet, keep: false, allow_empty: false };
    let code = run::execute(&document, &pipeline, &catalog, how)?;
    if code == Code::WRONG {
        output::note(AS_OPTIONS);
    }
    Ok(code)
}

fn pipeline(arguments: &cli::Probe, kind: Kind, name: &str) -> anyhow::Result<Table> {
    let mut res = Table::new();
    res.insert("name".into(), format!("probe {name}").into());
    let mut data = Table::new();
    for (role, path) in [("current", &arguments.current), ("reference", &arguments.reference)] {
        if let Some(path) = path {
            data.insert(role.into(), Table::from_iter([("path".to_owned(), absolute(path)?)]).into());
        }
    }
    if !data.is_empty() {
        res.insert("data".into(), data.into());
    }
    if let Some(path) = &arguments.model {
        let checkpoint = [("import".to_owned(), absolute(path)?), ("name".to_owned(), "probe".into())];
        res.insert("checkpoint".into(), Table::from_iter(checkpoint).into());
    }
    if let Some(path) = &arguments.baseline {
        res.insert("baseline".into(), Table::from_iter([("import".to_owned(), absolute(path)?)]).into());
    }
    if let Some(path) = &arguments.artifacts {
        res.insert("report".into(), Table::from_iter([("artifacts".to_owned(), absolute(path)?)]).into());
    }
    let mut probe = Table::from_iter([("uses".to_owned(), Value::from(name))]);
    let mut require = Table::new();
    for it in &arguments.require {
        let (metric, condition) = requirement(it)
            .ok_or_else(|| Wrong(format!("`{it}` is no requirement; write it as `accuracy=\">= 0.9\"`")))?;
        let conditions = require.entry(metric).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(it) = conditions {
            it.push(condition.into());
        }
    }
    if !require.is_empty() {
        probe.insert("require".into(), require.into());
    }
    let key = if kind == Kind::Verifier { "verify" } else { "analyze" };
    res.insert(key.into(), Value::Array(vec![probe.into()]));
    Ok(res)
}

/// Paths start at the current folder, and a pattern is no file that could be looked up.
pub(super) fn absolute(path: &Path) -> anyhow::Result<Value> {
    let text = path.to_str().ok_or_else(|| Wrong(format!("`{}` is no text", path.display())))?;
    if text.contains("://") {
        return Ok(text.into());
    }
    let full =
        if fs::exists(path).unwrap_or(false) { fs::canonicalize(path)? } else { std::env::current_dir()?.join(path) };
    Ok(full.to_string_lossy().into_owned().into())
}

/// `recall[class=3]=>= 0.9`: the first `=` outside of brackets parts metric and condition.
fn requirement(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_i32;
    let at = text.char_indices().find(|(_, it)| {
        depth += match it {
            '[' => 1,
            ']' => -1,
            _ => 0,
        };
        *it == '=' && depth == 0
    })?;
    Some((text[..at.0].trim(), text[at.0 + 1..].trim().trim_matches('"')))
}

pub(super) fn below(table: &[&str], option: &'static str, given: &[String]) -> anyhow::Result<Vec<config::Override>> {
    let read = |it: &String| config::Override::below(table, option, it).map_err(|e| Wrong(e.to_string()).into());
    given.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::requirement;

    #[test]
    fn requirements_are_parted_outside_of_brackets() {
        assert_eq!(requirement("accuracy=>= 0.9"), Some(("accuracy", ">= 0.9")));
        assert_eq!(requirement("recall[class=3]=\">= 0.9\""), Some(("recall[class=3]", ">= 0.9")));
        assert_eq!(requirement("recall"), None);
    }
}
