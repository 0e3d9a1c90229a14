//! What a model has that those who load it run: found and named, and never executed.
//!
//! A description in which nothing is found may have it all the same, as in a class of the user's own; what is found is there.

use std::collections::BTreeSet;

use serde_json::Value;

/// Layers of Keras that bring their own code.
const LAYERS: [&str; 2] = ["Lambda", "TFSMLayer"];
/// What Keras calls a function that is written into a description.
const FUNCTION: &str = "__lambda__";
/// Operators of TensorFlow that call Python or reach for files; those that restore weights and read assets are none.
const OPERATORS: [&str; 20] = [
    "EagerPyFunc",
    "FixedLengthRecordDataset",
    "FixedLengthRecordDatasetV2",
    "FixedLengthRecordReaderV2",
    "LoadDataset",
    "MatchingFiles",
    "PrintV2",
    "PyFunc",
    "PyFuncStateless",
    "ReadFile",
    "SaveDataset",
    "SaveDatasetV2",
    "TFRecordDataset",
    "TFRecordDatasetV2",
    "TFRecordReaderV2",
    "TextLineDataset",
    "TextLineReaderV2",
    "WholeFileReader",
    "WholeFileReaderV2",
    "WriteFile",
];
/// So much is named, and so much of a name.
const MAX_FOUND: usize = 20;
const MAX_NAME: usize = 64;

/// What was found, each once.
#[derive(Debug, Default)]
pub(crate) struct Code(BTreeSet<String>);

impl Code {
    /// Looks through the description of a model of Keras.
    pub(crate) fn look_through(&mut self, description: &[u8]) {
        match serde_json::from_slice(description) {
            Ok(it) => self.value(&it),
            Err(_) => self.add("a description of the model that cannot be looked through".to_owned()),
        }
    }

    /// Notes a description of so many bytes, which is too large.
    pub(crate) fn miss(&mut self, n_bytes: u64) {
        self.add(format!("a description of the model of {n_bytes} bytes that was not looked through"));
    }

    /// Notes an operator of a graph, if it is one of those.
    pub(crate) fn operator(&mut self, name: &str) {
        if OPERATORS.contains(&name) {
            self.add(format!("the operator {name}"));
        }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        other.0.into_iter().for_each(|it| self.add(it));
    }

    pub(crate) fn into_list(self) -> Vec<String> {
        self.0.into_iter().collect()
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|it| self.value(it)),
            Value::Object(fields) => {
                match fields.get("class_name").and_then(Value::as_str) {
                    Some(class) if LAYERS.contains(&class) => {
                        let name = value.pointer("/config/name").and_then(Value::as_str).unwrap_or_default();
                        let name: String = name.chars().take(MAX_NAME).collect();
                        return self.add(format!("the {class} layer `{}`", name.escape_debug()));
                    }
                    Some(FUNCTION) => self.add("a function that is written into it".to_owned()),
                    _ => {}
                }
                fields.values().for_each(|it| self.value(it));
            }
            _ => {}
        }
    }

    fn add(&mut self, found: String) {
        if self.0.len() < MAX_FOUND {
            self.0.insert(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn layers_with_code_are_found_wherever_they_are() {
        let layer = |class: &str, name: &str| json!({"class_name": class, "config": {"name": name}});
        let inner = json!({"class_name": "Functional", "config": {"layers": [layer("Lambda", "scale"), layer("Dense", "Lambda")]}});
        let activation = json!({"class_name": "__lambda__", "config": {"code": "4wEAAA"}});
        let model = json!({"class_name": "Functional", "config": {"layers": [
            inner, layer("TFSMLayer", "saved\n"), {"class_name": "Dense", "config": {"activation": activation}},
        ]}});
        let mut code = Code::default();
        code.look_through(model.to_string().as_bytes());
        let expected =
            ["a function that is written into it", "the Lambda layer `scale`", "the TFSMLayer layer `saved\\n`"];
        assert_eq!(code.into_list(), expected);
        let mut none = Code::default();
        none.look_through(layer("Dense", "Lambda").to_string().as_bytes());
        ["Const", "RestoreV2", "MatMul"].iter().for_each(|it| none.operator(it));
        assert_eq!(none.into_list(), [""; 0]);
    }

    #[test]
    fn what_cannot_be_looked_through_is_told() {
        let mut code = Code::default();
        code.look_through(format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)).as_bytes());
        assert_eq!(code.into_list(), ["a description of the model that cannot be looked through"]);
    }
}
