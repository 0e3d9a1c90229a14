//! The data and the roles of its columns.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use super::Context;
use crate::{
    Columns, Data, DataFormat, Source, code,
    options::{ColumnOptions, DataFormatOption, DataOptions, OneOrMany, SeparatorOption, SourceOptions},
    tree,
};

pub(super) fn data(cx: &mut Context<'_>, options: DataOptions) -> Data {
    Data {
        current: options.current.and_then(|it| source(cx, it, "/data/current")),
        reference: options.reference.and_then(|it| source(cx, it, "/data/reference")),
        columns: options.columns.map_or_else(Columns::default, |it| columns(cx, it)),
    }
}

/// What begins the path of a file that is kept with a checkpoint.
const OF_CHECKPOINTS: [&str; 2] = ["checkpoint", "baseline"];

fn source(cx: &mut Context<'_>, options: SourceOptions, pointer: &str) -> Option<Source> {
    let pattern = options.path?;
    let root = match pattern.split_once("://") {
        None => cx.root.to_owned(),
        Some((scheme, _)) => {
            if !OF_CHECKPOINTS.contains(&scheme) {
                let place = format!("{pointer}/path");
                let message = format!("data is not read from `{scheme}://…`");
                let help = "name a file or a pattern; data that lies elsewhere has to be fetched or mounted first";
                cx.report(cx.error(code::NOT_ONE_OF, &place, message).help(help));
            }
            PathBuf::new()
        }
    };
    let format = options.format.map(|it| match it {
        DataFormatOption::Parquet => DataFormat::Parquet,
        DataFormatOption::Csv => DataFormat::Csv,
        DataFormatOption::Arrow => DataFormat::Arrow,
        DataFormatOption::Npz => DataFormat::Npz,
        DataFormatOption::Npy => DataFormat::Npy,
    });
    let separator = options.separator.map(|it| match it {
        SeparatorOption::Comma => b',',
        SeparatorOption::Semicolon => b';',
        SeparatorOption::Tab => b'\t',
        SeparatorOption::Bar => b'|',
        SeparatorOption::Space => b' ',
    });
    Some(Source { root, pattern, format, separator, pointer: pointer.to_owned() })
}

/// One mention of a column.
struct Mention<'a> {
    column: &'a str,
    role: Role,
    pointer: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Label,
    Ignored,
    Other(&'static str),
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Label => "the label",
            Role::Ignored => "ignored",
            Role::Other(it) => it,
        }
    }

    /// Returns whether the label must not have this role, too.
    fn excludes_label(self) -> bool {
        !matches!(self, Role::Other("a slice" | "categorical"))
    }
}

fn columns(cx: &mut Context<'_>, options: ColumnOptions) -> Columns {
    let mut mentions = Vec::new();
    let single = [
        (&options.label, "label", Role::Label),
        (&options.id, "id", Role::Other("the id")),
        (&options.timestamp, "timestamp", Role::Other("the timestamp")),
        (&options.weight, "weight", Role::Other("the weight")),
    ];
    for (column, key, role) in single {
        mentions.extend(column.iter().map(|column| Mention { column, role, pointer: format!("/data/columns/{key}") }));
    }
    let lists = [
        (&options.slices, "slices", Role::Other("a slice")),
        (&options.categorical, "categorical", Role::Other("categorical")),
        (&options.ignore, "ignore", Role::Ignored),
    ];
    for (columns, key, role) in lists {
        let pointer = |idx| format!("/data/columns/{key}/{idx}");
        mentions.extend(columns.iter().enumerate().map(|(idx, column)| Mention {
            column,
            role,
            pointer: pointer(idx),
        }));
    }
    for (table, columns, base) in of_models(&options) {
        for (idx, column) in columns.as_slice().iter().enumerate() {
            let pointer = if columns.is_many() { format!("{base}/{idx}") } else { base.clone() };
            mentions.push(Mention { column, role: table.role, pointer });
        }
    }

    conflicts(cx, &mentions);
    for (table, columns, base) in of_models(&options) {
        repeated(cx, columns.as_slice(), &base, table);
    }
    if !options.baseline_inputs.is_empty() && !cx.may_have("/baseline") {
        let message = "the inputs of the baseline's model are named, but there is no baseline";
        let help = "add a `[baseline]` table, or name the inputs of the model in `inputs`";
        cx.report(cx.error(code::NEEDS_BASELINE, Columns::BASELINE_INPUTS, message).help(help));
    }
    if !options.baseline_predictions.is_empty() && !cx.may_have("/baseline") {
        let message = "the recorded outputs of the baseline are named, but there is no baseline";
        let help = "add `[baseline]` with `runtime = \"recorded\"`, or name what is judged in `predictions`";
        cx.report(cx.error(code::NEEDS_BASELINE, Columns::BASELINE_PREDICTIONS, message).help(help));
    }
    Columns {
        label: options.label,
        id: options.id,
        timestamp: options.timestamp,
        weight: options.weight,
        slices: options.slices,
        inputs: by_name(options.inputs),
        baseline_inputs: by_name(options.baseline_inputs),
        predictions: by_name(options.predictions),
        baseline_predictions: by_name(options.baseline_predictions),
        categorical: options.categorical,
        ignore: options.ignore,
    }
}

/// A table of what a model takes or gives.
#[derive(Clone, Copy)]
struct OfModel {
    pointer: &'static str,
    role: Role,
    /// What one of it is.
    noun: &'static str,
    /// In which order its columns are.
    order: &'static str,
}

impl OfModel {
    fn inputs(pointer: &'static str) -> Self {
        Self { pointer, role: Role::Other(INPUT), noun: "input", order: "the model takes them" }
    }

    fn outputs(pointer: &'static str) -> Self {
        Self { pointer, role: Role::Other(PREDICTION), noun: "output", order: "the model gave them" }
    }
}

const INPUT: &str = "an input of the model";
const PREDICTION: &str = "a recorded output of the model";

/// Returns the inputs and the recorded outputs of both models, each with its columns and its place.
fn of_models(options: &ColumnOptions) -> impl Iterator<Item = (OfModel, &OneOrMany, String)> {
    let tables = [
        (OfModel::inputs(Columns::INPUTS), &options.inputs),
        (OfModel::inputs(Columns::BASELINE_INPUTS), &options.baseline_inputs),
        (OfModel::outputs(Columns::PREDICTIONS), &options.predictions),
        (OfModel::outputs(Columns::BASELINE_PREDICTIONS), &options.baseline_predictions),
    ];
    tables
        .into_iter()
        .flat_map(|(table, columns)| columns.iter().map(move |(name, it)| (table, it, tree::join(table.pointer, name))))
}

fn by_name(columns: BTreeMap<String, OneOrMany>) -> BTreeMap<String, Vec<String>> {
    columns.into_iter().map(|(name, it)| (name, it.as_slice().to_vec())).collect()
}

fn conflicts(cx: &mut Context<'_>, mentions: &[Mention<'_>]) {
    let mut of_column: HashMap<&str, Vec<&Mention<'_>>> = HashMap::new();
    for it in mentions {
        cx.filled(it.column, &it.pointer);
        of_column.entry(it.column).or_default().push(it);
    }
    for it in mentions {
        // Each conflict is reported where the column is used, and shows where the other role was given.
        let other = of_column[it.column].iter().find(|other| match other.role {
            Role::Label => it.role != Role::Label && it.role.excludes_label(),
            Role::Ignored => it.role != Role::Ignored && it.role != Role::Label,
            Role::Other("the id" | "the timestamp" | "the weight") => it.role == Role::Other(PREDICTION),
            Role::Other(_) => false,
        });
        if let Some(other) = other {
            let help = match (other.role, it.role) {
                (Role::Label, Role::Other(INPUT)) => {
                    "a model that sees the answer has nothing to predict; remove the column from the inputs"
                }
                (Role::Label, Role::Other(PREDICTION)) => {
                    "the answer is always right; name the column with what the model said"
                }
                _ => "give the column one of the two roles",
            };
            let message = format!("column `{}` is both {} and {}", it.column, other.role.name(), it.role.name());
            cx.report(
                cx.error(code::COLUMN_CONFLICT, &it.pointer, message)
                    .label(it.role.name())
                    .related(cx.document.place(&other.pointer), other.role.name())
                    .help(help),
            );
        }
    }
}

fn repeated(cx: &mut Context<'_>, columns: &[String], pointer: &str, OfModel { noun, order, .. }: OfModel) {
    let mut first = HashMap::new();
    for (idx, column) in columns.iter().enumerate() {
        let place = format!("{pointer}/{idx}");
        if let Some(before) = first.insert(column, place.clone()) {
            cx.report(
                cx.error(code::COLUMN_CONFLICT, &place, format!("column `{column}` is listed twice for one {noun}"))
                    .label("again")
                    .related(cx.document.place(&before), "first here")
                    .help(format!("list each column once, in the order in which {order}")),
            );
        }
    }
}
