//! `modelwatch model`.

use std::path::Path;

use modelwatch_runtime::inspect::{self, InspectError, ModelContents, Port};

use super::{Code, Wrong};
use crate::{
    cli::{self, ModelCommand, ShowFormat},
    output,
    report::text,
};

/// Wider lists are hard to read.
const MAX_WIDTH: usize = 80;
/// Labels stand in a column of their own.
const LABEL_WIDTH: usize = 13;
/// Of more layers the last are shown, which are nearest to what the model answers; the others are in the JSON.
const MAX_LAYERS: usize = 12;

pub(crate) fn model(arguments: &cli::Model) -> anyhow::Result<Code> {
    match &arguments.command {
        ModelCommand::Show { model, signature, format } => show(model, signature.as_deref(), *format),
    }
}

/// Says what is in a model file. One that cannot be run ends as a run does whose model cannot be loaded.
fn show(path: &Path, signature: Option<&str>, format: ShowFormat) -> anyhow::Result<Code> {
    let contents = inspect::model(path, signature).map_err(|e| match e {
        InspectError::Find(e) => anyhow::Error::new(Wrong(e.to_string())),
        e => anyhow::Error::new(e),
    })?;
    match format {
        ShowFormat::Json => output::print(&serde_json::to_string_pretty(&contents)?)?,
        ShowFormat::Human => output::print(&human(&contents, output::width().min(MAX_WIDTH)))?,
    }
    Ok(if contents.refusal.is_none() { Code::OK } else { Code::NOT_DONE })
}

fn human(model: &ModelContents, width: usize) -> String {
    let mut page = Page { text: String::new(), width };
    page.entry("model", [model.file.clone()]);
    page.entry("format", [format!("{}, {}", model.format, text::bytes(model.bytes))]);
    if let Some(name) = &model.signature {
        let others: Vec<_> = model.signatures.iter().filter(|it| *it != name).map(String::as_str).collect();
        let also = if others.is_empty() { String::new() } else { format!(" (also there: {})", others.join(", ")) };
        page.entry("signature", [format!("{name}{also}")]);
    }
    page.lines("inputs", model.inputs.iter().map(port).collect());
    page.lines("outputs", model.outputs.iter().map(port).collect());
    page.entry("parameters", [text::count(model.parameters)]);
    let mut operators: Vec<_> = model.operators.iter().collect();
    operators.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    page.entry(
        "operators",
        operators.into_iter().map(|(name, n)| if *n == 1 { name.clone() } else { format!("{name} ×{n}") }),
    );
    if !model.layers.is_empty() {
        let n_before = model.layers.len().saturating_sub(MAX_LAYERS);
        let shown = &model.layers[n_before..];
        let before = (n_before > 0).then(|| format!("({n_before} before)"));
        page.lines("layers", before.into_iter().chain(shown.iter().cloned()).collect());
    }
    if let Some(it) = &model.penultimate {
        page.entry("penultimate", [it.clone()]);
    }
    match &model.refusal {
        None if model.rows_are_mixed => page.entry("runs", ["rows influence each other: run one by one".to_owned()]),
        None => page.entry("runs", ["yes".to_owned()]),
        Some(_) if !model.obstacles.is_empty() => {
            let n = model.obstacles.len();
            let nodes = if n == 1 { "node" } else { "nodes" };
            page.entry("runs", [format!("no: {n} {nodes} cannot be run correctly")]);
            for it in &model.obstacles {
                page.text.push_str(&format!("  {}\n    in {}\n", it.operator, it.node));
            }
        }
        Some(why) => {
            page.entry("runs", ["no".to_owned()]);
            page.wrapped(2, why.split_whitespace().map(str::to_owned), " ");
        }
    }
    page.text
}

/// Lines of a label and what belongs to it.
struct Page {
    text: String,
    width: usize,
}

impl Page {
    /// Adds items that are separated by commas and broken where the line is full.
    fn entry(&mut self, label: &str, items: impl IntoIterator<Item = String>) {
        self.text.push_str(&format!("{label:<LABEL_WIDTH$}"));
        self.wrapped(LABEL_WIDTH, items, ", ");
    }

    /// Adds one line for each item.
    fn lines(&mut self, label: &str, items: Vec<String>) {
        let mut label = label;
        for item in items {
            self.text.push_str(&format!("{label:<LABEL_WIDTH$}{item}\n"));
            label = "";
        }
    }

    /// Adds items from where the line is, and goes on `indent` to the right of the next.
    fn wrapped(&mut self, indent: usize, items: impl IntoIterator<Item = String>, separator: &str) {
        if self.text.ends_with('\n') {
            self.text.push_str(&" ".repeat(indent));
        }
        let mut used = indent;
        for (idx, item) in items.into_iter().enumerate() {
            let len = item.chars().count();
            if idx > 0 {
                self.text.push_str(separator.trim_end());
                used += separator.trim_end().len();
                if used + 1 + len + 1 > self.width {
                    self.text.push_str(&format!("\n{}", " ".repeat(indent)));
                    used = indent;
                } else {
                    self.text.push(' ');
                    used += 1;
                }
            }
            self.text.push_str(&item);
            used += len;
        }
        self.text.push('\n');
    }
}

fn port(it: &Port) -> String {
    let dims: Vec<_> = it.shape.iter().map(|it| it.map_or_else(|| "?".to_owned(), |it| it.to_string())).collect();
    format!("{}: {} [{}]", it.name, it.dtype, dims.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_broken_between_items() {
        let mut page = Page { text: String::new(), width: 24 };
        page.entry("operators", ["Add", "Conv ×2", "Mul"].map(str::to_owned));
        assert_eq!(page.text, "operators    Add,\n             Conv ×2,\n             Mul\n");
    }
}
