//! `modelwatch explain`.

use modelwatch_config as config;
use modelwatch_runtime::plugin::Component;
use serde_json::Value;

use super::{Code, Wrong, run};
use crate::{cli, output};

pub(crate) fn explain(arguments: &cli::Explain) -> anyhow::Result<Code> {
    let what = arguments.what.as_str();
    if let Some(it) = config::explain(&what.to_ascii_uppercase()) {
        output::print(it)?;
        return Ok(Code::OK);
    }
    let catalog = run::catalog(&arguments.plugins, None)?;
    let found: Vec<_> = catalog.components().filter(|it| it.info.name == what).collect();
    if found.is_empty() {
        let codes = config::codes().map(|it| -> &str { it });
        let names = catalog.components().map(|it| it.info.name.as_str()).chain(codes);
        let hint = config::did_you_mean(what, names).map(|it| format!("; did you mean `{it}`?")).unwrap_or_default();
        return Err(Wrong(format!("`{what}` is neither a code nor a component{hint}")).into());
    }
    output::print(&found.into_iter().map(component).collect::<Vec<_>>().join("\n"))?;
    Ok(Code::OK)
}

/// The component's documentation and its options.
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
    res
}
