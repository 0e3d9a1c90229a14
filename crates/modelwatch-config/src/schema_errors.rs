//! Holds JSON values against a JSON Schema and says what is wrong in words of the pipeline file.
//!
//! The only module that names the `jsonschema` crate. References to other documents are not followed.

use jsonschema::{
    JsonType, ValidationError,
    error::{TypeKind, ValidationErrorKind as Kind},
};
use serde_json::Value;

use crate::{
    Document, code,
    diagnostic::Diagnostic,
    suggest::{did_you_mean, same_method},
    tree,
};

/// A compiled JSON Schema.
pub(crate) struct Validator {
    schema: Value,
    compiled: jsonschema::Validator,
}

/// One deviation from the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Pointer into the checked value; for an unknown or a missing key that of the key.
    pub(crate) pointer: String,
    pub(crate) kind: ProblemKind,
    /// What to put after the name of the key, in the message.
    detail: String,
    label: String,
    help: Option<String>,
    /// For an unknown key, the pointer of the known one that was probably meant.
    pub(crate) meant: Option<String>,
}

/// The kinds of deviations, which have different codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    Unknown,
    Missing,
    Type,
    NotOneOf,
    Constraint,
    Combination,
}

/// How to speak about the keys of a table.
pub(crate) struct Words {
    noun: &'static str,
    owner: String,
    is_option: bool,
}

impl Words {
    /// Words for the keys of the pipeline file itself.
    pub(crate) fn keys() -> Words {
        Words { noun: "key", owner: String::new(), is_option: false }
    }

    /// Words for the options of a component.
    pub(crate) fn options_of(component: &str) -> Words {
        Words { noun: "option", owner: format!(" of `{component}`"), is_option: true }
    }

    fn code(&self, kind: ProblemKind) -> &'static str {
        match (kind, self.is_option) {
            (ProblemKind::Unknown, false) => code::UNKNOWN_KEY,
            (ProblemKind::Missing, false) => code::MISSING_KEY,
            (ProblemKind::Type, false) => code::WRONG_TYPE,
            (ProblemKind::NotOneOf, false) => code::NOT_ONE_OF,
            (ProblemKind::Constraint | ProblemKind::Combination, false) => code::OUT_OF_RANGE,
            (ProblemKind::Unknown, true) => code::OPTION_UNKNOWN,
            (ProblemKind::Missing, true) => code::OPTION_MISSING,
            (ProblemKind::Type, true) => code::OPTION_TYPE,
            (ProblemKind::NotOneOf, true) => code::OPTION_NOT_ONE_OF,
            (ProblemKind::Constraint, true) => code::OPTION_CONSTRAINT,
            (ProblemKind::Combination, true) => code::OPTION_COMBINATION,
        }
    }
}

impl Problem {
    /// Returns the problem as a diagnostic about the value that stands at `base` in the document.
    pub(crate) fn into_diagnostic(self, document: &Document, base: &str, words: &Words) -> Diagnostic {
        let pointer = format!("{base}{}", self.pointer);
        let place = match self.kind {
            ProblemKind::Unknown => document.key_place(&pointer),
            ProblemKind::Missing => pointer.rfind('/').and_then(|it| document.place(&pointer[..it])),
            _ => document.place(&pointer),
        };
        let Words { noun, owner, .. } = words;
        let name = self.name(noun);
        let message = match self.kind {
            ProblemKind::Unknown if words.is_option => format!("unknown {name}{owner}"),
            ProblemKind::Unknown => format!("unknown {name}"),
            ProblemKind::Missing => format!("missing {name}{owner}"),
            _ => format!("{name}{owner} {}", self.detail),
        };
        let mut res = Diagnostic::error(words.code(self.kind), &pointer, message).place(place);
        if !self.label.is_empty() {
            res = res.label(self.label);
        }
        res.help = self.help;
        res
    }

    fn name(&self, noun: &str) -> String {
        let key = tree::last_key(&self.pointer);
        match self.pointer.rfind('/') {
            None => "the table".to_owned(),
            Some(at) if key.parse::<usize>().is_ok() && at > 0 => {
                format!("element {key} of `{}`", tree::last_key(&self.pointer[..at]))
            }
            Some(_) if matches!(self.kind, ProblemKind::Unknown | ProblemKind::Missing) => {
                format!("{noun} `{key}`")
            }
            Some(_) => format!("`{key}`"),
        }
    }
}

impl Validator {
    /// Compiles a schema; fails with the reason if it is not a valid one.
    pub(crate) fn new(schema: &Value) -> Result<Validator, String> {
        let compiled = jsonschema::validator_for(schema).map_err(|error| error.to_string())?;
        Ok(Validator { schema: schema.clone(), compiled })
    }

    /// Compiles a schema and lets it refuse keys it does not list, unless it says itself what to do with those.
    pub(crate) fn closed(schema: &Value) -> Result<Validator, String> {
        const OPEN: [&str; 7] =
            ["additionalProperties", "unevaluatedProperties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf"];
        let mut schema = schema.clone();
        if let Value::Object(map) = &mut schema
            && map.contains_key("properties")
            && !OPEN.iter().any(|it| map.contains_key(*it))
        {
            map.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
        Validator::new(&schema)
    }

    /// Returns every deviation of `instance`.
    pub(crate) fn check(&self, instance: &Value) -> Vec<Problem> {
        let mut res = Vec::new();
        for error in self.compiled.iter_errors(instance) {
            self.explain(&error, &mut res);
        }
        // A misspelled key is one mistake, not an unknown and a missing key.
        let meant: Vec<_> = res.iter().filter_map(|it| it.meant.clone()).collect();
        res.retain(|it| it.kind != ProblemKind::Missing || !meant.contains(&it.pointer));
        res
    }

    fn explain(&self, error: &ValidationError<'_>, res: &mut Vec<Problem>) {
        let pointer = error.instance_path().as_str();
        let instance: &Value = error.instance();
        let simple = |kind, detail: String, label: &str| Problem {
            pointer: pointer.to_owned(),
            kind,
            detail,
            label: label.to_owned(),
            help: None,
            meant: None,
        };
        let constraint = |detail: String| simple(ProblemKind::Constraint, detail, "not accepted");
        let n_chars = |limit: u64| format!("{limit} character{}", if limit == 1 { "" } else { "s" });
        let n_items = |limit: u64| format!("{limit} element{}", if limit == 1 { "" } else { "s" });
        let shown = shorten(instance);

        res.push(match error.kind() {
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                res.extend(unexpected.iter().map(|key| self.unknown(error, key)));
                return;
            }
            Kind::Required { property } => self.missing(error, property.as_str().unwrap_or_default()),
            Kind::Type { kind } => wrong_type(pointer, instance, &types(kind)),
            Kind::Enum { options } => not_one_of(pointer, instance, options.as_array().map_or(&[][..], Vec::as_slice)),
            Kind::Constant { expected_value } => not_one_of(pointer, instance, std::slice::from_ref(&**expected_value)),
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                self.alternatives(pointer, instance, context, res);
                return;
            }
            Kind::Minimum { limit } => constraint(format!("is {shown}, but must be at least {limit}")),
            Kind::Maximum { limit } => constraint(format!("is {shown}, but must be at most {limit}")),
            Kind::ExclusiveMinimum { limit } => constraint(format!("is {shown}, but must be greater than {limit}")),
            Kind::ExclusiveMaximum { limit } => constraint(format!("is {shown}, but must be less than {limit}")),
            Kind::MultipleOf { multiple_of } => {
                constraint(format!("is {shown}, but must be a multiple of {multiple_of}"))
            }
            Kind::MinItems { limit } => constraint(format!("needs at least {}", n_items(*limit))),
            Kind::MaxItems { limit } => constraint(format!("takes at most {}", n_items(*limit))),
            Kind::MinLength { limit } => constraint(format!("needs at least {}", n_chars(*limit))),
            Kind::MaxLength { limit } => constraint(format!("takes at most {}", n_chars(*limit))),
            Kind::MinProperties { limit } => constraint(format!("needs at least {}", n_items(*limit))),
            Kind::MaxProperties { limit } => constraint(format!("takes at most {}", n_items(*limit))),
            Kind::Pattern { pattern } => constraint(format!("does not have the form `{pattern}`")),
            Kind::Format { format } => constraint(format!("is not a valid {format}")),
            Kind::UniqueItems => constraint("has an element twice".to_owned()),
            Kind::OneOfMultipleValid { .. } => simple(
                ProblemKind::Combination,
                "matches more than one of its alternatives, which exclude each other".to_owned(),
                "ambiguous",
            ),
            Kind::FalseSchema => simple(ProblemKind::Combination, "is not allowed here".to_owned(), "not allowed"),
            _ => simple(ProblemKind::Combination, format!("is not accepted: {}", error.masked()), "not accepted"),
        });
    }

    fn unknown(&self, error: &ValidationError<'_>, key: &str) -> Problem {
        let known = self.siblings(error);
        let close = did_you_mean(key, known.iter().map(String::as_str));
        let help = match close {
            Some(it) => Some(format!("did you mean `{it}`?")),
            None if known.is_empty() => None,
            None => Some(format!("known here: {}", list(known.iter().map(|it| format!("`{it}`"))))),
        };
        Problem {
            pointer: tree::join(error.instance_path().as_str(), key),
            kind: ProblemKind::Unknown,
            detail: String::new(),
            label: "not known here".to_owned(),
            help,
            meant: close.map(|it| tree::join(error.instance_path().as_str(), it)),
        }
    }

    fn missing(&self, error: &ValidationError<'_>, key: &str) -> Problem {
        let schema = self.parent_schema(error).and_then(|it| it.get("properties")?.get(key));
        let example = match schema.and_then(|it| it.get("type")?.as_str()) {
            Some("string") => "\"…\"",
            Some("array") => "[…]",
            Some("object") => "{ … }",
            _ => "…",
        };
        let about = schema.and_then(|it| it.get("description")?.as_str()).map(first_sentence);
        let about = about.map_or(String::new(), |it| format!(" ({it})"));
        Problem {
            pointer: tree::join(error.instance_path().as_str(), key),
            kind: ProblemKind::Missing,
            detail: String::new(),
            label: "needed here".to_owned(),
            help: Some(format!("add `{key} = {example}`{about}")),
            meant: None,
        }
    }

    /// Explains a value that fits none of several schemas: as one choice if the schemas are simple, and otherwise by
    /// what is wrong under the schema it was most likely written for.
    fn alternatives(
        &self,
        pointer: &str,
        instance: &Value,
        branches: &[Vec<ValidationError<'static>>],
        res: &mut Vec<Problem>,
    ) {
        // A plain choice, or a table whose tag is not one of the known ones.
        let mut tags: Vec<(String, Value, Vec<Value>)> = Vec::new();
        let mut kinds = Vec::new();
        for error in branches.iter().flatten() {
            let options = match error.kind() {
                Kind::Constant { expected_value } => vec![(**expected_value).clone()],
                Kind::Enum { options } => options.as_array().cloned().unwrap_or_default(),
                Kind::Type { kind } if error.instance_path().as_str() == pointer => {
                    kinds.extend(types(kind));
                    continue;
                }
                _ => continue,
            };
            let at = error.instance_path().as_str();
            match tags.iter_mut().find(|(it, ..)| it == at) {
                Some((.., all)) => all.extend(options),
                None => tags.push((at.to_owned(), error.instance().as_ref().clone(), options)),
            }
        }
        let is_tagged = |branch: &[ValidationError<'_>], at: &str| {
            branch.iter().any(|it| {
                it.instance_path().as_str() == at && matches!(it.kind(), Kind::Constant { .. } | Kind::Enum { .. })
            })
        };
        let decisive = tags
            .iter()
            .find(|(at, ..)| branches.iter().all(|branch| is_tagged(branch, at) || is_type(branch, pointer)));
        if let Some((at, value, options)) = decisive {
            res.push(not_one_of(at, value, options));
            return;
        }
        if branches.iter().all(|branch| is_type(branch, pointer)) {
            res.push(wrong_type(pointer, instance, &kinds));
            return;
        }
        let likely = branches
            .iter()
            .filter(|branch| !is_type(branch, pointer))
            .min_by_key(|branch| (tags.iter().any(|(at, ..)| is_tagged(branch, at)), branch.len()));
        match likely {
            Some(branch) if !branch.is_empty() => branch.iter().for_each(|error| self.explain(error, res)),
            _ => res.push(Problem {
                pointer: pointer.to_owned(),
                kind: ProblemKind::Combination,
                detail: "matches none of its alternatives".to_owned(),
                label: "matches none".to_owned(),
                help: None,
                meant: None,
            }),
        }
    }

    /// Returns the keys that are known beside the failed one, sorted: serde_json may be built to keep any order.
    fn siblings(&self, error: &ValidationError<'_>) -> Vec<String> {
        let properties = self.parent_schema(error).and_then(|it| it.get("properties")?.as_object());
        let mut res: Vec<_> = properties.into_iter().flat_map(|it| it.keys().cloned()).collect();
        res.sort();
        res
    }

    /// Returns the schema whose keyword failed.
    fn parent_schema(&self, error: &ValidationError<'_>) -> Option<&Value> {
        let path = error.schema_path().as_str();
        self.schema.pointer(&path[..path.rfind('/')?])
    }
}

/// Returns whether a branch failed because the value itself has the wrong type.
fn is_type(branch: &[ValidationError<'_>], pointer: &str) -> bool {
    branch.iter().any(|it| it.instance_path().as_str() == pointer && matches!(it.kind(), Kind::Type { .. }))
}

fn types(kind: &TypeKind) -> Vec<JsonType> {
    match kind {
        TypeKind::Single(it) => vec![*it],
        TypeKind::Multiple(it) => it.iter().collect(),
    }
}

fn wrong_type(pointer: &str, instance: &Value, types: &[JsonType]) -> Problem {
    let mut names = Vec::new();
    for it in types {
        let name = match it {
            JsonType::Array => "an array",
            JsonType::Boolean => "a boolean",
            JsonType::Integer => "an integer",
            JsonType::Number => "a number",
            JsonType::Object => "a table",
            JsonType::String => "a string",
            // TOML cannot write it.
            JsonType::Null => continue,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let given = tree::type_name(instance);
    Problem {
        pointer: pointer.to_owned(),
        kind: ProblemKind::Type,
        detail: format!("takes {}, not {given}", names.join(" or ")),
        label: given.to_owned(),
        help: None,
        meant: None,
    }
}

fn not_one_of(pointer: &str, instance: &Value, options: &[Value]) -> Problem {
    let options: Vec<_> = options.iter().filter(|it| !it.is_null()).collect();
    let accepted = list(options.iter().map(|it| it.to_string()));
    let names = || options.iter().filter_map(|it| it.as_str());
    let close = instance.as_str().and_then(|it| same_method(it, names()).or_else(|| did_you_mean(it, names())));
    Problem {
        pointer: pointer.to_owned(),
        kind: ProblemKind::NotOneOf,
        detail: format!("cannot be {}; accepted: {accepted}", shorten(instance)),
        label: "not one of the accepted values".to_owned(),
        help: close.map(|it| format!("did you mean \"{it}\"?")),
        meant: None,
    }
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(", ")
}

fn first_sentence(text: &str) -> String {
    let text = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let text = text.split(". ").next().unwrap_or_default();
    text.strip_suffix('.').unwrap_or(text).to_owned()
}

/// Returns a value as JSON, cut if it is long.
fn shorten(value: &Value) -> String {
    const MAX_CHARS: usize = 48;
    let text = value.to_string();
    match text.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
