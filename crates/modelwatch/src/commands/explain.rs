//! `modelwatch explain`.

use modelwatch_config as config;
use modelwatch_runtime::{
    codes,
    plugin::{Catalog, Component},
};
use modelwatch_sdk::CodeInfo;
use serde_json::Value;

use super::{Code, Wrong, run};
use crate::{cli, output, report::text::wrap};

pub(crate) fn explain(arguments: &cli::Explain) -> anyhow::Result<Code> {
    let what = arguments.what.as_str();
    let upper = what.to_ascii_uppercase();
    if let Some(it) = config::explain(&upper) {
        output::print(&paragraphs(it, 0))?;
        return Ok(Code::OK);
    }
    if let Some(it) = codes::CODES.iter().find(|it| it.code == upper) {
        output::print(&finding(&(*it).into(), "the run itself"))?;
        return Ok(Code::OK);
    }
    let catalog = run::catalog(&arguments.plugins, None)?;
    let is_meant = |it: &Component<'_>| it.info.name == what || it.info.full_name() == what;
    let components = catalog.components().filter(is_meant).map(component);
    let findings = catalog.components().flat_map(|it| {
        let of = format!("the {} `{}`", it.info.kind, it.info.name);
        it.info.codes.iter().filter(|it| it.code == upper).map(move |it| finding(it, &of))
    });
    let found: Vec<_> = components.chain(findings).collect();
    if found.is_empty() {
        return Err(Wrong(unknown(arguments, &upper, &catalog)).into());
    }
    output::print(&found.join("\n"))?;
    Ok(Code::OK)
}

/// What to say of something that is neither a code nor a component: what is close to it.
fn unknown(arguments: &cli::Explain, upper: &str, catalog: &Catalog) -> String {
    let what = &arguments.what;
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
    // What is close to it would be something else.
    if let Some(why) = run::without_plugins(catalog) {
        return format!("`{what}` is no code of modelwatch itself; {why}");
    }
    let names = catalog.components().map(|it| it.info.name.as_str());
    let names = names.chain(config::codes().map(|it| -> &str { it })).chain(findings);
    let hint = config::did_you_mean(what, names).map(|it| format!("; did you mean `{it}`?")).unwrap_or_default();
    let hint = if hint.is_empty() { "; `modelwatch plugin list` has the components that are there" } else { &hint };
    format!("`{what}` is neither a code nor a component{hint}")
}

/// What a finding of a code means.
fn finding(it: &CodeInfo, giver: &str) -> String {
    let article = if it.severity.as_str() == "warning" { "a" } else { "an" };
    format!(
        "{}: {}\n\n{}\n\n{}\n\nGiven by {giver}; usually {article} {}.\n",
        it.code,
        it.title,
        paragraphs(&it.meaning, 0).trim_end(),
        paragraphs(&format!("What to do: {}", it.advice), 0).trim_end(),
        it.severity.as_str(),
    )
}

/// Returns a text with its paragraphs broken where the terminal ends, each line after `indent` spaces.
fn paragraphs(text: &str, indent: usize) -> String {
    let paragraphs = text.split("\n\n").map(|it| it.split_whitespace().collect::<Vec<_>>().join(" "));
    let lines = |it: String| -> String {
        let lines = wrap(&it, output::width().saturating_sub(indent).max(NARROWEST));
        lines.iter().map(|it| format!("{:indent$}{it}\n", "")).collect()
    };
    paragraphs.filter(|it| !it.is_empty()).map(lines).collect::<Vec<_>>().join("\n")
}

/// The component's documentation, its options and its codes.
fn component(it: Component<'_>) -> String {
    let docs = paragraphs(&it.info.docs, 0);
    let mut res = format!("{} `{}`\n\n{docs}\nOptions:\n", it.info.kind, it.info.name);
    let before = res.len();
    Options(&it.info.config).write(&mut res, &it.info.config, 1, 2);
    if res.len() == before {
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

/// Less is no column of text.
const NARROWEST: usize = 20;

/// How deep tables and references are followed: a type may contain itself.
const DEEPEST: usize = 4;

/// The JSON Schema of a component's options.
struct Options<'a>(&'a Value);

impl<'a> Options<'a> {
    /// Writes the options of a table after `indent` spaces, and below each of those that are tables themselves.
    fn write(&self, out: &mut String, table: &'a Value, depth: usize, indent: usize) {
        /// Names that are said beside the option; more come below it.
        const FEW: usize = 8;
        let required: Vec<_> = table.get("required").and_then(Value::as_array).into_iter().flatten().collect();
        for (name, option) in properties(table) {
            let default = match option.get("default") {
                Some(Value::Null) | None if required.iter().any(|it| it.as_str() == Some(name)) => {
                    ", required".to_owned()
                }
                Some(Value::Null) | None => String::new(),
                Some(it) => format!(", default {it}"),
            };
            let names = self.names(option, DEEPEST);
            let kind =
                if names.len() > FEW { format!("one of {} names", names.len()) } else { self.kind(option, DEEPEST) };
            let head = paragraphs(&format!("{name} ({kind}{default})"), indent + 4);
            out.push_str(&format!("{:indent$}{}", "", head.trim_start()));
            out.push_str(&paragraphs(
                option.get("description").and_then(Value::as_str).unwrap_or_default(),
                indent + 4,
            ));
            if names.len() > FEW {
                out.push_str(&paragraphs(&names.join(", "), indent + 4));
            }
            if depth < DEEPEST {
                self.write_forms(out, &self.tables(option), depth + 1, indent + 2);
            }
        }
    }

    /// Writes the options of a table that takes one of these forms.
    fn write_forms(&self, out: &mut String, forms: &[&'a Value], depth: usize, indent: usize) {
        if let [one] = forms {
            return self.write(out, one, depth, indent);
        }
        for (at, it) in forms.iter().copied().enumerate() {
            let head = if at == 0 { "one of:" } else { "or:" };
            out.push_str(&format!("{:indent$}{head}\n", ""));
            self.write(out, it, depth, indent + 2);
        }
    }

    /// The tables that an option may be, or may have in it.
    fn tables(&self, option: &'a Value) -> Vec<&'a Value> {
        let within = |it: &'a Value| {
            let within = ["items", "additionalProperties"].iter().filter_map(|key| it.get(key));
            [it].into_iter().chain(within.flat_map(|it| self.forms(it, DEEPEST)))
        };
        let all = self.forms(option, DEEPEST).into_iter().flat_map(within);
        all.filter(|it| properties(it).next().is_some()).collect()
    }

    /// What a value may be: one of some names, or of a type.
    fn kind(&self, option: &'a Value, depth: usize) -> String {
        let mut all = self.names(option, depth);
        for it in self.forms(option, depth).into_iter().filter(|it| it.get("enum").or(it.get("const")).is_none()) {
            let types =
                it.get("type").map_or_else(Vec::new, |it| it.as_array().map_or(vec![it], |it| it.iter().collect()));
            all.extend(
                types
                    .into_iter()
                    .filter_map(Value::as_str)
                    .filter(|it| *it != "null")
                    .map(type_name)
                    .map(str::to_owned),
            );
        }
        all.dedup();
        if all.is_empty() { "any value".to_owned() } else { all.join(" or ") }
    }

    /// The names of which a value may be one.
    fn names(&self, option: &'a Value, depth: usize) -> Vec<String> {
        let of = |it: &'a Value| it.get("enum").and_then(Value::as_array).into_iter().flatten().chain(it.get("const"));
        self.forms(option, depth).into_iter().flat_map(of).filter(|it| !it.is_null()).map(Value::to_string).collect()
    }

    /// The schemas of which a value has to meet one, with references followed.
    fn forms(&self, option: &'a Value, depth: usize) -> Vec<&'a Value> {
        let Some(depth) = depth.checked_sub(1) else { return Vec::new() };
        let target = |it: &Value| it.as_str().and_then(|it| self.0.pointer(it.strip_prefix('#')?));
        if let Some(it) = option.get("$ref").and_then(target) {
            return self.forms(it, depth);
        }
        let several = ["anyOf", "oneOf"].iter().find_map(|it| option.get(it)?.as_array());
        several.map_or_else(|| vec![option], |them| them.iter().flat_map(|it| self.forms(it, depth)).collect())
    }
}

/// The options of a table.
fn properties(table: &Value) -> impl Iterator<Item = (&String, &Value)> {
    table.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// The name of a type in a pipeline file.
fn type_name(json: &str) -> &str {
    match json {
        "object" => "a table",
        "array" => "a list",
        "string" => "a text",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(config: &Value) -> String {
        let mut res = String::new();
        Options(config).write(&mut res, config, 1, 2);
        res
    }

    #[test]
    fn forms_of_a_table_are_told_apart() {
        let form =
            |name: &str| json!({"type": "object", "properties": {name: {"type": "integer"}}, "required": [name]});
        let chunk = json!({"properties": {"chunk": {"description": "How rows\nare cut.", "anyOf": [form("size"), form("count")]}}});
        assert_eq!(
            shown(&chunk),
            "  chunk (a table)\n      How rows are cut.\n    one of:\n      size (an integer, required)\n    or:\n      \
             count (an integer, required)\n"
        );
        let limit = json!({"properties": {"limit": {"oneOf": [form("size"), {"type": "null"}]}}});
        assert_eq!(shown(&limit), "  limit (a table)\n    size (an integer, required)\n");
        let limits = json!({"properties": {"limits": {"type": "array", "items": {"anyOf": [form("a"), form("b")]}}}});
        assert!(
            shown(&limits)
                .ends_with("one of:\n      a (an integer, required)\n    or:\n      b (an integer, required)\n")
        );
    }
}
