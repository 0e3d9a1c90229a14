//! `modelwatch probe`: one verifier or analyzer without a pipeline file.
//!
//! The arguments become a pipeline, so that everything else is the same: options are checked, metrics
//! are held against requirements, and the result has the same shape.

use std::{fs, ops::Range, path::Path};

use anyhow::bail;
use modelwatch_config::{self as config};
use modelwatch_sdk::Kind;
use toml::Value;

use super::{
    Code, Wrong, check,
    run::{self, How},
};
use crate::{cli, output};

/// What is said of a probe speaks of the tables of a pipeline file.
const AS_OPTIONS: &str = "without a pipeline file, `with` is given as `--with task=…`, `[data.columns]` as `--column label=…`, and \
                          `require` as `--require 'accuracy=>= 0.9'`";

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
                (None, None) => {
                    run::without_plugins(&catalog).unwrap_or_else(|| format!("there is {}", names.join(", ")))
                }
            };
            return Err(Wrong(format!("no verifier or analyzer is named `{name}`; {hint}")).into());
        }
        _ => return Err(Wrong(format!("`{name}` is both: say `verifier/{name}` or `analyzer/{name}`")).into()),
    };
    let table = if kind == Kind::Verifier { "verify" } else { "analyze" };
    let text = format!("name = {}\n[[{table}]]\n", Value::from(format!("probe {name}")));
    let mut parsed = config::of_arguments(&text, &overrides(arguments, table, name)?);
    check::complete(&mut parsed, &arguments.plugins);
    let Some((document, pipeline)) = run::accept(parsed, cli::Format::Human)? else {
        output::note(AS_OPTIONS);
        return Ok(Code::WRONG);
    };
    let how = How { format: arguments.format, quiet, keep: false, allow_empty: false };
    let code = run::execute(&document, &pipeline, &catalog, how)?;
    if matches!(code, Code::WRONG | Code::NOT_DONE) {
        output::note(AS_OPTIONS);
    }
    Ok(code)
}

/// Returns what the arguments say, in the words of a pipeline.
fn overrides(arguments: &cli::Probe, table: &str, name: &str) -> anyhow::Result<Vec<config::Override>> {
    let mut res = vec![config::Override::of_option("probe", &arguments.component, &[table, "0", "uses"], name)];
    for (option, path, pointer) in [
        ("--current", &arguments.current, &["data", "current", "path"][..]),
        ("--reference", &arguments.reference, &["data", "reference", "path"]),
        ("--model", &arguments.model, &["checkpoint", "import"]),
        ("--baseline", &arguments.baseline, &["baseline", "import"]),
        ("--artifacts", &arguments.artifacts, &["report", "artifacts"]),
    ] {
        if let Some(path) = path {
            res.push(of_path(option, path, pointer)?);
        }
    }
    if let Some(path) = &arguments.model {
        res.push(config::Override::of_option("--model", &path.to_string_lossy(), &["checkpoint", "name"], "probe"));
    }
    for (option, signature, model) in [
        ("--signature", &arguments.signature, "checkpoint"),
        ("--baseline-signature", &arguments.baseline_signature, "baseline"),
    ] {
        if let Some(it) = signature {
            res.push(config::Override::of_option(option, it, &[model, "signature"], it.as_str()));
        }
    }
    res.extend(below(&[table, "0", "with"], "--with", &arguments.with)?);
    res.extend(below(&["data", "columns"], "--column", &arguments.columns)?);
    for it in &arguments.require {
        let places = requirement(it)
            .ok_or_else(|| Wrong(format!("`{it}` is no requirement; write it as `accuracy=\">= 0.9\"`")))?;
        res.push(config::Override::item(&[table, "0", "require"], "--require", it, places));
    }
    Ok(res)
}

/// Returns what an option says whose value is a path, shown as it was given.
pub(super) fn of_path(option: &'static str, path: &Path, pointer: &[&str]) -> anyhow::Result<config::Override> {
    Ok(config::Override::of_option(option, &path.to_string_lossy(), pointer, absolute(path)?))
}

/// Paths start at the current folder, and a pattern is no file that could be looked up.
fn absolute(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().ok_or_else(|| Wrong(format!("`{}` is no text", path.display())))?;
    if text.contains("://") {
        return Ok(text.to_owned());
    }
    let full =
        if fs::exists(path).unwrap_or(false) { fs::canonicalize(path)? } else { std::env::current_dir()?.join(path) };
    Ok(full.to_string_lossy().into_owned())
}

/// `recall[class=3]=>= 0.9`: the first `=` outside of brackets parts metric and condition, of which the places are returned.
fn requirement(text: &str) -> Option<[Range<usize>; 2]> {
    let mut depth = 0_i32;
    let (at, _) = text.char_indices().find(|(_, it)| {
        depth += match it {
            '[' => 1,
            ']' => -1,
            _ => 0,
        };
        *it == '=' && depth == 0
    })?;
    let metric = trimmed(text, 0..at, char::is_whitespace);
    let condition = trimmed(text, at + 1..text.len(), char::is_whitespace);
    Some([metric, trimmed(text, condition, |it| it == '"')])
}

fn trimmed(text: &str, place: Range<usize>, is_outer: impl Fn(char) -> bool) -> Range<usize> {
    let start = place.end - text[place.clone()].trim_start_matches(&is_outer).len();
    start..start + text[start..place.end].trim_end_matches(&is_outer).len()
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
        let parts = |text: &'static str| requirement(text).map(|it| it.map(|it| &text[it]));
        assert_eq!(parts("accuracy=>= 0.9"), Some(["accuracy", ">= 0.9"]));
        assert_eq!(parts("recall[class=3] = \">= 0.9\""), Some(["recall[class=3]", ">= 0.9"]));
        assert_eq!(parts("=\"\""), Some(["", ""]));
        assert_eq!(parts("recall"), None);
    }
}
