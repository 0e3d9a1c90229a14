//! Where the pipeline says something, and how that is told.

use modelwatch_config::{self as config, Diagnostic, Document};
use modelwatch_sdk::rows::Mention;
use serde_json::Value;

/// Returns an error whose message has the remedy behind a semicolon, if there is one.
pub(super) fn with_remedy(document: &Document, pointer: &str, code: &'static str, why: &str) -> Diagnostic {
    let (message, help) = why.split_once("; ").map_or((why, None), |(what, help)| (what, Some(help)));
    document.at(pointer, code, message, help)
}

/// Returns an error of a name in the options of a probe, at the name.
pub(super) fn at_mention(
    document: &Document,
    settings: &config::Probe,
    mention: &Mention,
    code: &'static str,
    message: String,
    help: &str,
) -> Diagnostic {
    let table = mention.pointer.rsplit_once('/').map_or("", |it| it.0);
    let is_key = mention.pointer == config::pointer(table, &mention.name);
    let at = if is_key { Document::at_key } else { Document::at };
    at(document, &format!("{}{}", with_of(settings), mention.pointer), code, message, Some(help))
}

pub(super) fn with_of(settings: &config::Probe) -> String {
    format!("{}/with", settings.component.pointer)
}

/// Returns where the options of a probe have a name, such as that of a column, or else the options.
pub(super) fn place_of(settings: &config::Probe, name: &str) -> String {
    fn find(value: &Value, name: &str, pointer: &str) -> Option<String> {
        match value {
            Value::String(it) => (it == name).then(|| pointer.to_owned()),
            Value::Array(items) => {
                items.iter().enumerate().find_map(|(at, it)| find(it, name, &format!("{pointer}/{at}")))
            }
            Value::Object(items) => items.iter().find_map(|(key, it)| find(it, name, &config::pointer(pointer, key))),
            _ => None,
        }
    }
    let with = with_of(settings);
    let mut options = settings.component.with.iter();
    options.find_map(|(key, it)| find(it, name, &config::pointer(&with, key))).unwrap_or(with)
}

pub(crate) fn some(names: &[impl AsRef<str>]) -> String {
    let (shown, rest) = if names.len() > 12 { names.split_at(10) } else { (names, &names[..0]) };
    let shown = shown.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if rest.is_empty() { shown } else { format!("{shown} and {} more", rest.len()) }
}
