//! `modelwatch explain`.

use modelwatch_config as config;
use modelwatch_runtime::{
    codes,
    plugin::{Catalog, Component},
};
use modelwatch_sdk::CodeInfo;
use serde_json::Value;

use super::{Code, Wrong, run};
use crate::{cli, output};

pub(crate) fn explain(arguments: &cli::Explain) -> anyhow::Result<Code> {
    let what = arguments.what.as_str();
    let upper = what.to_ascii_uppercase();
    if let Some(it) = config::explain(&upper) {
        output::print(it)?;
        return Ok(Code::OK);
    }
    if let Some(it) = codes::CODES.iter().find(|it| it.code == upper) {
        output::print(&finding(&(*it).into(), "the run itself"))?;
        return Ok(Code::OK);
    }
    let catalog = run::catalog(&arguments.plugins, None)?;
    let components = catalog.components().filter(|it| it.info.name == what).map(component);
    let findings = catalog.components().flat_map(|it| {
        let of = format!("the {} `{}`", it.info.kind, it.info.name);
        it.info.codes.iter().filter(|it| it.code == upper).map(move |it| finding(it, &of))
    });
    let found: Vec<_> = components.chain(findings).collect();
    if found.is_empty() {
        return Err(Wrong(unknown(what, &upper, &catalog)).into());
    }
    output::print(&found.join("\n"))?;
    Ok(Code::OK)
}

/// What to say of something that is neither a code nor a component: what is close to it.
fn unknown(what: &str, upper: &str, catalog: &Catalog) -> String {
    let of_components = catalog.components().flat_map(|it| &it.info.codes).map(|it| it.code.as_str());
    let mut findings: Vec<_> = codes::CODES.iter().map(|it| it.code).chain(of_components).collect();
    findings.sort_unstable();
    findings.dedup();
    // A number that does not exist has no near one, but others with the same letters.
    let letters = upper.trim_end_matches(|it: char| it.is_ascii_digit());
    let is_like = |it: &&str| it.trim_end_matches(|it: char| it.is_ascii_digit()) == letters;
    let alike: Vec<_> = findings.iter().copied().filter(is_like).collect();
    if let [first, .., last] = alike[..] {
        return format!("there is no code `{upper}`; those with these letters are `{first}` to `{last}`");
    }
    let names = catalog.components().map(|it| it.info.name.as_str());
    let names = names.chain(config::codes().map(|it| -> &str { it })).chain(findings);
    let hint = config::did_you_mean(what, names).map(|it| format!("; did you mean `{it}`?")).unwrap_or_default();
    format!("`{what}` is neither a code nor a component{hint}")
}

/// What a finding of a code means.
fn finding(it: &CodeInfo, giver: &str) -> String {
    let article = if it.severity.as_str() == "warning" { "a" } else { "an" };
    format!(
        "{}: {}\n\n{}\n\nWhat to do: {}\n\nGiven by {giver}; usually {article} {}.\n",
        it.code,
        it.title,
        it.meaning,
        it.advice,
        it.severity.as_str(),
    )
}

/// The component's documentation, its options and its codes.
fn component(it: Component<'_>) -> String {
    let mut res = format!("{} `{}`\n\n{}\n\nOptions:\n", it.info.kind, it.info.name, it.info.docs);
    let schema = &it.info.config;
    let required: Vec<_> = schema.get("required").and_then(Value::as_array).into_iter().flatten().collect();
    let options = schema.get("properties").and_then(Value::as_object);
    for (name, option) in options.into_iter().flatten() {
        let docs = option.get("description").and_then(Value::as_str).unwrap_or_default();
        let default = match option.get("default") {
            Some(it) => format!(" (default {it})"),
            None if required.iter().any(|it| it.as_str() == Some(name)) => " (required)".to_owned(),
            None => String::new(),
        };
        res.push_str(&format!("  {name}{default}\n"));
        for line in docs.lines() {
            res.push_str(&format!("      {}\n", line.trim()));
        }
    }
    if options.is_none_or(serde_json::Map::is_empty) {
        res.push_str("  none\n");
    }
    if !it.info.codes.is_empty() {
        res.push_str("\nFindings:\n");
    }
    for it in &it.info.codes {
        res.push_str(&format!("  {} ({}) {}\n", it.code, it.severity.as_str(), it.title));
    }
    res
}
