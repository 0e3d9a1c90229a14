//! Verifiers and analyzers, their ids and what is required of their metrics.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Context, duration::duration, memory::memory};
use crate::{
    Component, Diagnostic, Isolation, Probe, ProbeKind, ProbeSeverity, Requirement, RequirementError, When,
    checkpoint::{NAME_RULE, is_name},
    code,
    options::{IsolationOption, OneOrMany, ProbeOptions, SeverityOption, WhenOption},
    requirement::{self, RequirementPart},
    suggest::did_you_mean,
    tree,
};

pub(super) fn probes(
    cx: &mut Context<'_>,
    verify: Option<Vec<ProbeOptions>>,
    analyze: Option<Vec<ProbeOptions>>,
) -> Vec<Probe> {
    let is_empty =
        |pointer| cx.document.value().pointer(pointer).is_none_or(|it| it.as_array().is_some_and(Vec::is_empty));
    // A misspelled table was reported as an unknown key.
    let tables = ["verify", "analyze"];
    let is_misspelled =
        cx.document.value().as_object().is_some_and(|it| {
            it.keys().any(|key| !tables.contains(&key.as_str()) && did_you_mean(key, tables).is_some())
        });
    if is_empty("/verify") && is_empty("/analyze") && !is_misspelled {
        cx.report(
            Diagnostic::error(
                code::NO_PROBE,
                "",
                "the pipeline checks nothing: it has no `[[verify]]` and no `[[analyze]]`",
            )
            .help("add a probe, such as `[[verify]]` with `uses = \"metrics\"`; `modelwatch plugin list` shows all"),
        );
    }
    let kinds = [("/verify", ProbeKind::Verifier, verify), ("/analyze", ProbeKind::Analyzer, analyze)];
    let options: Vec<_> = kinds
        .into_iter()
        .flat_map(|(table, kind, list)| {
            let list = list.unwrap_or_default().into_iter().enumerate();
            list.map(move |(idx, it)| (kind, format!("{table}/{idx}"), it))
        })
        .collect();

    let mut ids = Ids::of_given(cx, &options);
    options.into_iter().filter_map(|(kind, pointer, it)| probe(cx, &mut ids, kind, pointer, it)).collect()
}

fn probe(
    cx: &mut Context<'_>,
    ids: &mut Ids,
    kind: ProbeKind,
    pointer: String,
    options: ProbeOptions,
) -> Option<Probe> {
    let requirements = requirements(cx, &options.require, &pointer);
    let when = when(cx, options.when, &pointer);
    let timeout = options.timeout.and_then(|it| {
        let place = format!("{pointer}/timeout");
        duration(&it)
            .map_err(|reason| {
                let help = "write a number with a unit, such as `\"30s\"`, `\"5m\"` or `\"1h30m\"`, or seconds";
                cx.report(cx.error(code::DURATION, &place, format!("`timeout` {reason}")).help(help));
            })
            .ok()
    });
    let isolation = match options.isolation {
        None | Some(IsolationOption::Thread) => Isolation::Thread,
        Some(IsolationOption::Process) => Isolation::Process,
    };
    let memory = options.memory.and_then(|it| {
        let place = format!("{pointer}/memory");
        if isolation == Isolation::Thread {
            let help = "add `isolation = \"process\"`, or remove it";
            let message = "`memory` limits a process, but the probe runs in a thread";
            cx.report(cx.error(code::OUT_OF_RANGE, &place, message).help(help));
            return None;
        }
        let help = "write a number with a unit, such as `\"2GiB\"` or `\"512MiB\"`, or bytes";
        let res = memory(&it);
        res.map_err(|reason| cx.report(cx.error(code::OUT_OF_RANGE, &place, format!("`memory` {reason}")).help(help)))
            .ok()
    });
    let uses = options.uses?;
    Some(Probe {
        kind,
        id: options.id.unwrap_or_else(|| ids.default_for(&uses)),
        component: Component { uses, with: options.with, pointer },
        requirements,
        severity: match options.severity {
            None | Some(SeverityOption::Error) => ProbeSeverity::Error,
            Some(SeverityOption::Warning) => ProbeSeverity::Warning,
        },
        when,
        timeout,
        isolation,
        memory,
    })
}

/// The ids that are taken.
struct Ids {
    taken: HashSet<String>,
    /// How often a default was asked for, so that many probes of one kind are numbered in linear time.
    n_defaults: HashMap<String, usize>,
}

impl Ids {
    /// Collects the given ids, which no default may take, and reports bad ones.
    fn of_given(cx: &mut Context<'_>, options: &[(ProbeKind, String, ProbeOptions)]) -> Ids {
        let mut first: HashMap<&str, String> = HashMap::new();
        for (_, pointer, options) in options {
            let Some(id) = &options.id else { continue };
            let place = format!("{pointer}/id");
            if !is_name(id) {
                cx.report(cx.error(code::BAD_NAME, &place, format!("`{id}` is not an id for a probe")).help(NAME_RULE));
            }
            if let Some(before) = first.get(id.as_str()) {
                cx.report(
                    cx.error(code::DUPLICATE_ID, &place, format!("two probes have the id `{id}`"))
                        .label("given again")
                        .related(cx.document.place(before), "given first")
                        .help("use another id, or leave it out to have the probe numbered"),
                );
            } else {
                first.insert(id, place);
            }
        }
        Ids { taken: first.into_keys().map(str::to_owned).collect(), n_defaults: HashMap::new() }
    }

    fn default_for(&mut self, uses: &str) -> String {
        let base: String =
            uses.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
        let base = match base.trim_start_matches(['.', '-']) {
            "" => "probe",
            // An id has at most 128 characters; these are ASCII.
            it => &it[..it.len().min(100)],
        };
        let n = self.n_defaults.entry(base.to_owned()).or_default();
        loop {
            *n += 1;
            let id = if *n == 1 { base.to_owned() } else { format!("{base}-{n}") };
            if self.taken.insert(id.clone()) {
                return id;
            }
        }
    }
}

fn when(cx: &mut Context<'_>, option: Option<WhenOption>, pointer: &str) -> When {
    let (res, table) = match option {
        None | Some(WhenOption::Always) => return When::Always,
        Some(WhenOption::Baseline) => (When::Baseline, "baseline"),
        Some(WhenOption::Reference) => (When::Reference, "data.reference"),
    };
    if !cx.has(&format!("/{}", table.replace('.', "/"))) {
        cx.report(
            cx.error(code::WHEN, &format!("{pointer}/when"), format!("the probe never runs: there is no `[{table}]`"))
                .label("waits for something that is not there")
                .help(format!("add a `[{table}]` table, or remove the probe or its `when`")),
        );
    }
    res
}

fn requirements(cx: &mut Context<'_>, require: &BTreeMap<String, OneOrMany>, probe: &str) -> Vec<Requirement> {
    let table = format!("{probe}/require");
    let mut written: Vec<_> = require.iter().map(|(metric, it)| (tree::join(&table, metric), metric, it)).collect();
    written.sort_by_key(|(pointer, ..)| cx.document.written_order(pointer));

    let mut res: Vec<Requirement> = Vec::new();
    for (pointer, metric, conditions) in written {
        for (idx, condition) in conditions.as_slice().iter().enumerate() {
            let pointer = if conditions.is_many() { format!("{pointer}/{idx}") } else { pointer.clone() };
            match requirement::parse(metric, condition) {
                Ok(it) => res.push(Requirement { pointer, ..it }),
                Err(error) => {
                    let is_metric = error.part == RequirementPart::Metric;
                    malformed(cx, error, metric, &pointer);
                    if is_metric {
                        break;
                    }
                }
            }
        }
    }
    without_baseline(cx, &res);
    contradictions(cx, &res);
    res
}

fn malformed(cx: &mut Context<'_>, error: RequirementError, metric: &str, pointer: &str) {
    let place = match error.part {
        RequirementPart::Metric => cx.document.place_in_key(pointer, metric, &error.span),
        RequirementPart::Condition => cx.document.place_in_string(pointer, &error.span),
    };
    let mut res = cx.error(error.code, pointer, error.message).place(place);
    res.help = error.help;
    cx.report(res);
}

fn without_baseline(cx: &mut Context<'_>, requirements: &[Requirement]) {
    if cx.may_have("/baseline") {
        return;
    }
    for it in requirements.iter().filter(|it| it.is_relative()) {
        let place = it.text.find("baseline").and_then(|at| cx.document.place_in_string(&it.pointer, &(at..at + 8)));
        cx.report(
            cx.error(
                code::NEEDS_BASELINE,
                &it.pointer,
                format!("`{}` is compared with a baseline, but there is none", it.metric),
            )
            .place(place)
            .label("no `[baseline]` in this pipeline")
            .help("add a `[baseline]` table, such as `from = \"digits@good\"`, with `optional = true` for a first run if `[on.pass]` moves it"),
        );
    }
}

/// Reports what is listed twice and what asks one metric for two confidences.
fn contradictions(cx: &mut Context<'_>, requirements: &[Requirement]) {
    let mut conditions: HashMap<String, &Requirement> = HashMap::new();
    let mut confidences: HashMap<String, &Requirement> = HashMap::new();
    for it in requirements {
        if let Some(first) = conditions.insert(it.to_string(), it) {
            cx.report(
                cx.error(code::DUPLICATE_REQUIREMENT, &it.pointer, format!("`{it}` is required twice"))
                    .label("again")
                    .related(cx.document.place(&first.pointer), "first here")
                    .help("remove one of them"),
            );
        }
        if it.confidence.is_none() {
            continue;
        }
        let first = *confidences.entry(it.metric.to_string()).or_insert(it);
        if first.confidence != it.confidence {
            cx.report(
                cx.error(code::TWO_CONFIDENCES, &it.pointer, format!("`{}` is required at two confidences", it.metric))
                    .label("another confidence than before")
                    .related(cx.document.place(&first.pointer), "first here")
                    .help("use one confidence for the metric, or a second probe with an `id` of its own"),
            );
        }
    }
}
