//! What probes and their requirements need, held against what the pipeline has.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_config::{self as config, code};
use modelwatch_sdk::{
    KnownMetric, ModelRole, Need, Needs, Role, RowNeeds,
    rows::{Mention, Named, name_matches},
};

use super::{
    Planned, Planner, kind_of, meant,
    metrics::{Unreported, other_metric, uncut, unreported, without_interval},
    places::{at_mention, some},
};
use crate::{
    model,
    plugin::{Component, Lookup},
};

/// Where the pipeline names the columns by which rows are cut.
const SLICES: &str = "/data/columns/slices";

impl<'a> Planner<'a, '_> {
    /// A metric that the probe never reports, or not with these labels, is a slip of the pen, which a run would find out
    /// too late.
    pub(super) fn check_metrics(&mut self, settings: &config::Probe, known: &[KnownMetric]) {
        if known.is_empty() || self.has_unread_options(&settings.component) {
            return;
        }
        let component = &settings.component.uses;
        let slices = self.pipeline.data.as_ref().map_or(&[][..], |it| &it.columns.slices);
        let are_known = !self.may_have(SLICES);
        let uncut = |address| if are_known { uncut(address, slices) } else { None };
        let unreported = |address| unreported(component, address, known, slices).or_else(|| uncut(address));
        let mut told = BTreeSet::new();
        for it in &settings.requirements {
            let wrong = unreported(&it.metric);
            // Once for all conditions on it.
            if let Some(Unreported { part, message, help }) = wrong.filter(|_| told.insert(&it.metric)) {
                self.problems.push(self.document.at_metric(it, part, code::UNKNOWN_METRIC, message, Some(&help)));
            }
            let other = other_metric(&it.bound).and_then(unreported);
            if let Some(Unreported { message, help, .. }) = other {
                self.at(&it.pointer, code::UNKNOWN_METRIC, &message, Some(&help));
            }
            if let Some(help) = without_interval(&it.metric, known).filter(|_| it.confidence.is_some()) {
                let message = format!("`{component}` never reports a confidence interval of `{}`", it.metric);
                self.at(&it.pointer, code::NO_INTERVAL, &message, Some(help));
            }
        }
    }

    /// A probe computes the intervals of a metric at one level, whatever the labels.
    pub(super) fn check_confidence(&mut self, settings: &config::Probe) {
        let mut levels: BTreeMap<&str, f64> = BTreeMap::new();
        for it in &settings.requirements {
            let Some(level) = it.confidence else { continue };
            let first = *levels.entry(&it.metric.name).or_insert(level);
            if first != level {
                let message = format!("`{}` is required with two confidences", it.metric.name);
                self.at(
                    &it.pointer,
                    code::TWO_CONFIDENCES,
                    &message,
                    Some("use one, or a second probe with its own `id`"),
                );
            }
        }
    }

    /// Checks what a probe that cannot be opened would need with any options, and returns nothing in its place.
    pub(super) fn check_least_needs(&mut self, settings: &config::Probe) -> Option<Planned<'a>> {
        let found = self.options.catalog.find(kind_of(settings.kind), &settings.component.uses);
        if let Lookup::Found(Component { info, .. }) = found
            && let Some(needs) = &info.needs
        {
            self.check_needs(settings, needs);
        }
        None
    }

    /// What options name as slices is cut by columns that the pipeline names as such.
    fn check_slices(&mut self, settings: &config::Probe, mentions: &[Mention]) {
        let Some(data) = self.pipeline.data.as_ref().filter(|_| !self.may_have(SLICES)) else { return };
        let cut = &data.columns.slices;
        let is_cut = |name: &str| cut.iter().any(|it| it == name || name_matches(it, name) || name_matches(name, it));
        let named = mentions.iter().filter(|it| it.of == Named::SliceColumn);
        // `*` asks for what there is.
        for mention in named.filter(|it| it.name != "*" && !is_cut(&it.name)) {
            let name = &mention.name;
            let what =
                if name.contains('*') { "no slice column of the data matches" } else { "the data has no slice column" };
            let in_file = format!("name the column in `slices` of `[data.columns]`, which has {}", some(cut));
            let help = match &cut[..] {
                [] => self.give("name the column in `slices` of `[data.columns]`", "`--column slices=…`"),
                _ => meant(name, &cut.iter().map(String::as_str).collect::<Vec<_>>(), || in_file),
            };
            let message = format!("{what} `{name}`");
            let problem = at_mention(self.document, settings, mention, code::UNKNOWN_COLUMN, message, &help);
            self.problems.push(problem);
        }
    }

    /// What a probe cannot do without, the pipeline must have.
    pub(super) fn check_needs(&mut self, settings: &config::Probe, needs: &Needs) {
        self.check_slices(settings, &needs.mentions);
        let data = self.pipeline.data.as_ref();
        let sources = [
            (Role::Current, &needs.current, data.and_then(|it| it.current.as_ref())),
            (Role::Reference, &needs.reference, data.and_then(|it| it.reference.as_ref())),
        ];
        for (role, rows, source) in sources {
            let Some(rows) = rows else { continue };
            if source.is_none() && !rows.optional {
                let role = role.as_str();
                let help = self.give(&format!("add `[data.{role}]` with its `path`"), &format!("`--{role}`"));
                self.lacks(settings, &format!("{role} data"), &format!("/data/{role}"), &help);
            }
            let columns = data.map(|it| &it.columns);
            let named = [
                ("label", rows.label, columns.and_then(|it| it.label.as_ref())),
                ("id", rows.id, columns.and_then(|it| it.id.as_ref())),
                ("timestamp", rows.timestamp, columns.and_then(|it| it.timestamp.as_ref())),
                ("weight", rows.weight, columns.and_then(|it| it.weight.as_ref())),
            ];
            for (name, need, column) in named {
                if need == Need::Required && column.is_none() && source.is_some() {
                    let in_file = format!("set `{name}` in `[data.columns]`");
                    let help = self.give(&in_file, &format!("`--column {name}=…`"));
                    self.lacks(settings, &format!("a {name} column"), &format!("/data/columns/{name}"), &help);
                }
            }
        }
        let checkpoint = self.give("add `[checkpoint]`", "`--model`");
        let baseline = self.give("add `[baseline]`", "`--baseline`");
        let models = [
            (ModelRole::Candidate, self.pipeline.checkpoint.is_some(), "a model", "/checkpoint", &checkpoint),
            (ModelRole::Baseline, self.pipeline.baseline.is_some(), "a baseline model", "/baseline", &baseline),
        ];
        for (role, is_there, what, table, help) in models {
            let rows = || [&needs.current, &needs.reference].into_iter().flatten();
            if model::is_recorded(self.pipeline, role) {
                // What looks at no outputs is about the model.
                let is_of_model = |it: &RowNeeds| it.model_itself(role) != Need::No && it.outputs_of(role) == Need::No;
                let is_asked = |it: &RowNeeds| it.model_itself(role) == Need::Required;
                if rows().any(|it| is_asked(it) || (role == ModelRole::Candidate && is_of_model(it))) {
                    let id = &settings.id;
                    let message = format!("`{id}` runs the {} model, of which only outputs are there", role.as_str());
                    let help = "judge a model that can be run, or leave the probe out: what was recorded answers for no other rows";
                    self.at(&format!("{}/uses", settings.component.pointer), code::RECORDED, &message, Some(help));
                }
            } else if !is_there && rows().any(|it| it.model(role) == Need::Required) {
                self.lacks(settings, what, table, help);
            }
        }
        if needs.tensors.candidate == Need::Required && self.pipeline.checkpoint.is_none() {
            self.lacks(settings, "a checkpoint", "/checkpoint", &checkpoint);
        }
        let has_tensors = self.pipeline.baseline.as_ref().is_some_and(config::Baseline::is_checkpoint);
        if needs.tensors.baseline == Need::Required && !has_tensors {
            self.lacks(settings, "a baseline", "/baseline", &baseline);
        }
    }

    /// Returns how to say what is missing: in the file, or where there is none by an option.
    fn give(&self, in_file: &str, option: &str) -> String {
        if self.document.path().is_some() { in_file.to_owned() } else { format!("give {option}") }
    }

    /// Reports that nothing is at `pointer`, which the probe needs.
    fn lacks(&mut self, settings: &config::Probe, what: &str, pointer: &str, help: &str) {
        if !self.may_have(pointer) {
            let message = format!("`{}` needs {what}, and there is none", settings.id);
            self.at(&format!("{}/uses", settings.component.pointer), code::MISSING_KEY, &message, Some(help));
        }
    }
}
