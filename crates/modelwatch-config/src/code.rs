//! The table of diagnostic codes.
//!
//! A code is stable: once released it keeps its meaning, and a code that is no longer used is not given out again.
//! `E00xx` are found in the file alone, `E01xx` are options a plugin does not accept, `E02xx` need the plugins, the
//! files or the data and are reported by the runtime through [`Document::at`](crate::Document::at).

macro_rules! table {
    ($($name:ident = $code:literal $text:literal;)*) => {
        $(#[doc = $text] pub const $name: &str = $code;)*

        const TABLE: &[(&str, &str)] = &[$(($code, $text)),*];
    };
}

/// Returns every code, in ascending order.
///
/// ```
/// assert!(modelwatch_config::codes().any(|code| code == "E0002"));
/// ```
pub fn codes() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(code, _)| *code)
}

/// Returns one paragraph on what a code means and what to do, or `None` for a code that does not exist.
///
/// ```
/// assert!(modelwatch_config::explain("E0002").is_some_and(|text| text.contains("spelling")));
/// assert_eq!(modelwatch_config::explain("E9999"), None);
/// ```
pub fn explain(code: &str) -> Option<&'static str> {
    TABLE.iter().find(|(it, _)| *it == code).map(|(_, text)| *text)
}

/// Returns the code of the table that equals `code`, so that a diagnostic never carries an unlisted one.
pub(crate) fn listed(code: &str) -> &'static str {
    codes().find(|it| *it == code).unwrap_or(REFUSED)
}

table! {
    SYNTAX = "E0001" "The file is not valid TOML. All syntax errors are listed at once, with what else is wrong; only what may follow from them, such as a key that is missing in the same table, is left out until the syntax is right. Strings need quotes, a table may be defined once, and a key may be given once in a table.";
    UNKNOWN_KEY = "E0002" "The table has no such key, so that its value would have no effect. Check the spelling against the suggestion, or move the key to the table it belongs to. Options of a plugin belong in its `with` table, not beside `uses`.";
    WRONG_TYPE = "E0003" "The value has another type than the key takes, for instance a string where a table is needed. The message names the accepted types. A number or a boolean must not be in quotes.";
    MISSING_KEY = "E0004" "A key that has no default is not given. Every pipeline needs a `name`, every component needs `uses`, and every data source needs `path`.";
    NOT_ONE_OF = "E0005" "The key accepts a fixed set of values, and the given one is not in it. Values are compared exactly, including case. The accepted ones are listed in the message.";
    OUT_OF_RANGE = "E0006" "The value has the right type but lies outside of what makes sense, such as zero threads, an empty command or a timeout of no time at all. The message names the limit.";
    NUMBER = "E0007" "The number cannot be represented or compared: it is not finite (`nan`, `inf`) or does not fit in 64 bits. Nothing is ever compared with NaN, because such a comparison would silently come out one way.";
    DATE = "E0008" "TOML has dates and times as values of their own; no key here takes one, and plugin options are handed over as JSON, which has none. Write the date as a string, in quotes.";
    VERSION = "E0009" "The `version` key names the format of the pipeline file, not of your pipeline. This release reads version 1, which is also what is assumed if the key is left out. A file with a later version needs a later release.";
    OVERRIDE = "E0010" "A `--set path=value` on the command line cannot be applied to the file: the path goes through something that is not a table, or an array has no element with that index. Elements of `[[verify]]` and `[[analyze]]` are addressed by index, from 0: `--set verify.0.severity=warning`.";
    NO_PROBE = "E0011" "The pipeline has neither a `[[verify]]` nor an `[[analyze]]` table, so that a run could check nothing. A run that checks nothing must not pass, hence this is refused before it starts.";
    BAD_NAME = "E0012" "Lineages, refs, digests, ids of probes and the name of the pipeline end up in file names, reports and command lines. Lineages, refs and ids consist of 1 to 128 letters, digits, `.`, `_` or `-` and do not begin with `.` or `-`; a digest is written in hexadecimal; the name of a pipeline may also contain spaces.";
    CHECKPOINT_SOURCE = "E0013" "`[checkpoint]` and `[baseline]` say where the checkpoint comes from in exactly one way: `import` takes a file or folder, `from` names one that is in the store. An imported checkpoint to be judged also needs a `name`: the lineage it joins. A stored one has a lineage already, so that `name` would contradict it.";
    CHECKPOINT_SPEC = "E0014" "A stored checkpoint is named `lineage@ref`, such as `digits@latest`, or `lineage@b3:` followed by its digest or the first digits of it, such as `digits@b3:4fa1c2`.";
    NEEDS_STORE = "E0015" "Refs live in a checkpoint store. Taking a checkpoint `from` the store, `move` and `rollback` therefore need a `[store]` table, as does `profile`, which keeps a profile beside the checkpoint; and these actions need a `[checkpoint]` to move refs to or away from, or to keep it beside.";
    REQUIREMENT = "E0016" "A requirement is a metric and a condition on it. The metric is a name with optional labels: `accuracy`, `recall[class=3]`, `recall[slice=*]`, `recall[slice=\"writer=b\"]`. The condition is a comparison (`<`, `<=`, `>`, `>=`, `==`, `!=`) with a number, a percentage, `99% of baseline` or `baseline + 0.02`; or `between 0.1 and 0.4`. `with confidence 95%` at its end holds the bound of the confidence interval, rather than the estimate, against it. `baseline - 5%` is refused because it can be read in two ways: write `95% of baseline` or `baseline - 0.05`.";
    NEEDS_BASELINE = "E0017" "The requirement compares with the baseline, or `[data.columns]` names the inputs or the recorded outputs of its model, but the pipeline has none. Add a `[baseline]` table; with `optional = true` such requirements are listed as not covered on a first run, when the baseline does not exist yet.";
    TWO_CONFIDENCES = "E0018" "One probe computes one confidence interval per metric, so that two requirements on the same metric must ask for the same confidence. Use the same level, or a second probe with another `id`.";
    CONFIDENCE = "E0019" "A confidence lies strictly between 0 and 1. Write it as a percentage, `with confidence 95%`, or as a fraction, `with confidence 0.95`.";
    DUPLICATE_REQUIREMENT = "E0020" "The same condition on the same metric is listed twice in one probe, which would count one check twice. Two spellings of one metric, such as `recall[class=3]` and `recall[class=\"3\"]`, are the same metric.";
    DUPLICATE_ID = "E0021" "Two probes were given the same `id`. Ids tell probes apart in reports, in the history and on the command line. Probes without an `id` are named after what they use and numbered if needed.";
    COLUMN_CONFLICT = "E0022" "A column has two roles that exclude each other. A label among the inputs leaks the answer into the model, and an ignored column cannot be used. Slices may use any column. A pattern such as `px_*` never picks a column with another role.";
    WHEN = "E0023" "The probe would never run: it runs only when there is a baseline or reference data, and the pipeline has no such table.";
    DURATION = "E0024" "A duration is a number with a unit, `500ms`, `30s`, `5m` or `2h`, several of those in a row such as `1h30m`, or a plain number of seconds. It is longer than zero and at most 365 days.";
    EMPTY = "E0025" "The value is empty where something is needed: a path, the name of a component, of a column or of a command.";
    IMPOSSIBLE = "E0026" "No value can meet the requirement, because its lower limit is above its upper limit. Swap the two.";
    POLICY = "E0027" "A rule about what is stored cannot do what it says. `[checkpoint.keep]` needs at least one of `last`, `best`, `every_steps` and `within`: with none of them pruning would remove everything that it may. `[checkpoint.save]` needs a rule too, or nothing would ever be stored. It and `refuse_nonfinite` are about an `import`: what is taken `from` a store is in it already. `[refs.latest]` could hold nothing, and no action moves `latest`: that ref is the newest checkpoint, whatever it is. The metrics by which checkpoints are compared are those over all rows, without labels.";
    RUNTIME = "E0028" "`runtime = \"onnxruntime\"` is for ONNX models, and the name of the file says that the model is of another format, or a `signature` of it is named, which ONNX models do not have. Export the model to ONNX, or leave `runtime` out: tract, which is the default, reads TensorFlow and TFLite as well.";
    BASELINE_NEVER_MADE = "E0029" "`[baseline] optional = true` is for the first run of a pipeline, whose own actions make the baseline: a run may then go without the comparison. A baseline that this pipeline never makes, be it of another lineage, a digest, or another ref than those that it moves to what passes, would be missing in every run if its name were wrong, and nobody would notice. Name a ref that `[on.pass]` moves, or remove `optional`: a run without the baseline is then an error.";
    RECORDED = "E0030" "`[data.columns] predictions` names columns with what a model answered, so that it need not be run; `baseline_predictions` does so for the baseline. Without a `[checkpoint]` these are what is judged. Beside one, `runtime = \"recorded\"` has to say that they are its outputs, or a checkpoint would be judged by what another one answered; of a `[baseline]` with that `runtime` they are all there is. Neither of both has an effect without the other, and what says how a model is run has none beside them. What runs a model by itself cannot do so with its outputs. The order of columns is that of the classes, which a pattern does not tell. What is compared, with the baseline or with what should have been answered, must be different columns.";

    OPTION_UNKNOWN = "E0101" "The component has no such option. Options are those of the plugin's own JSON Schema; `modelwatch explain` followed by the name of the component lists them all.";
    OPTION_MISSING = "E0102" "The component has an option without a default, and it is not given. Add it to the `with` table of the component.";
    OPTION_TYPE = "E0103" "The option has another type than the component takes. The message names the accepted types.";
    OPTION_NOT_ONE_OF = "E0104" "The option accepts a fixed set of values, and the given one is not in it. The accepted ones are listed in the message.";
    OPTION_CONSTRAINT = "E0105" "The option has the right type, but its value is outside of what the component accepts: a number out of range, a list or a string that is too short or too long, or a string of the wrong form.";
    OPTION_COMBINATION = "E0106" "The options do not fit together: the value matches none of the alternatives the component offers, or more than one of those that exclude each other.";
    PLUGIN_SCHEMA = "E0107" "The description of the options that the plugin handed over is not a valid JSON Schema, so that its options cannot be checked. This is a fault of the plugin: report it to its author, or use another version.";

    UNKNOWN_COMPONENT = "E0201" "No loaded plugin offers a component with this name. Check the spelling, build the plugins, or add their folder to `[plugins] dirs` or to `--plugin-dir`. `modelwatch plugin list` shows what is there.";
    WRONG_KIND = "E0202" "The component exists but is of another kind: `[store]` needs a checkpoint store, `[[verify]]` a verifier and `[[analyze]]` an analyzer.";
    MISSING_FILE = "E0203" "A file, folder or pattern named in the pipeline matches nothing or cannot be read. Relative paths start at the folder of the pipeline file, not at the current one.";
    REFUSED = "E0204" "The options are well-formed, but the component refused them when it was opened. The message is its own.";
    UNKNOWN_METRIC = "E0205" "The requirement addresses a metric that the probe does not report, or a label that this metric never has. What a probe reports depends on its options. A requirement that can never be held against anything must not pass.";
    UNKNOWN_COLUMN = "E0206" "The data has no column with this name, or none that a pattern or a type in the options of a probe means. The message lists close names; columns are compared exactly, including case. Patterns and types mean features alone.";
    UNKNOWN_INPUT = "E0207" "The model has no input with this name, or an input of the model has no column. `[data.columns] inputs` maps every input of the model to a column or a list of columns.";
    PROFILE = "E0208" "A stored profile, as `modelwatch profile` writes it, can stand in for the rows of `[data.reference]`, because it keeps the distribution of each column. It cannot stand in for the current rows, and a probe that needs single rows, or runs a model on them, cannot do with it: give those the rows themselves.";
    RUNTIME_MISSING = "E0209" "The runtime that is to run a model cannot be used. `runtime = \"onnxruntime\"` needs a build of modelwatch with the feature `onnxruntime`, and the library of ONNX Runtime 1.17 or later, which is never downloaded: `[run] onnxruntime` or the environment variable `ORT_DYLIB_PATH` is its path. As with plugins, neither the library nor its folder may be writable by everyone.";
    UNKNOWN_LAYER = "E0210" "A probe asks for a layer that the model does not have, or that nobody can look at. A layer is a tensor inside of an ONNX model that is run by tract, under its own name; `modelwatch model show` lists them. `penultimate` is what the last linear node before the first output reads, which a model of one layer does not have.";
    OVERWRITES = "E0211" "A report would take the place of something that the run reads or keeps: the pipeline itself, its data, a checkpoint, the history, the store. What was there would be lost with the first run. Name another file.";
    UNKNOWN_SIGNATURE = "E0212" "The model has no signature with this name. SavedModels and TFLite models have them, entry points under names, and `modelwatch model show` lists them; models of other formats have none, so that `signature` is left out for those. Without `signature` the one that serves is run.";
    COLUMN_ORDER = "E0213" "Several columns make one input of the model, in the order in which the data has them, and the current data has them in another order than the reference. The model cannot tell them apart, so that it would be fed the wrong numbers without an error. List the columns in `[data.columns] inputs`, in the order in which the model was trained on them.";
    UNKNOWN_OUTPUT = "E0214" "The options of a probe name an output that the model does not have. `modelwatch model show` lists its outputs; where they were recorded, `[data.columns] predictions` does.";
    NO_INTERVAL = "E0215" "The requirement asks for a confidence, and the probe never reports a confidence interval of the metric, so that nothing could tell chance from a change: such a requirement would never be decided. A greatest error, counts and p-values are of the rows that were seen and of no others. Require it without `with confidence`, or require what the message names in its place.";
}

#[cfg(test)]
mod tests {
    use super::{codes, explain, listed};

    #[test]
    fn codes_ascend_and_each_has_a_paragraph() {
        let all: Vec<_> = codes().collect();
        assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
        for code in all {
            let text = explain(code).unwrap();
            assert!(text.len() > 80 && text.ends_with('.') && !text.contains('\n'), "{code}: {text}");
        }
    }

    #[test]
    fn an_unlisted_code_becomes_the_general_one() {
        assert_eq!(listed("E0201"), "E0201");
        assert_eq!(listed("X1"), "E0204");
    }
}
