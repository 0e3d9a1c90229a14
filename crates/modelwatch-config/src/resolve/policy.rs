//! What is stored, what stays stored, and what refs may point at.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Context,
    duration::{duration, span},
};
use crate::{
    Best, Improved, Keep, Mode, RefRules, Require, Save,
    checkpoint::{LATEST, NAME_RULE, is_name},
    code,
    options::{
        BestList, BestOptions, DurationOption, KeepOptions, ModeOption, RefOptions, RefRequirement, SaveOptions,
    },
};

const DAY: Duration = Duration::from_secs(86_400);
const SPAN_HELP: &str = "write a number with a unit, such as `\"30s\"`, `\"10m\"` or `\"7d\"`, or seconds";

pub(super) fn keep(cx: &mut Context<'_>, options: KeepOptions) -> Keep {
    const TABLE: &str = "/checkpoint/keep";
    needs_store(cx, TABLE, "decides what stays in a store");
    let rules = ["last", "best", "every_steps", "within"];
    if !rules.iter().any(|it| cx.has(&format!("{TABLE}/{it}"))) {
        cx.report(
            cx.error(code::POLICY, TABLE, "`[checkpoint.keep]` has no rule, so that pruning would remove all it can")
                .label("keeps nothing by itself")
                .help("add `last`, `best`, `every_steps` or `within`, or remove the table"),
        );
    }
    let best = match options.best {
        None => Vec::new(),
        Some(BestList::One(it)) => vec![(format!("{TABLE}/best"), it)],
        Some(BestList::Many(list)) => {
            let list = list.into_iter().enumerate();
            list.map(|(idx, it)| (format!("{TABLE}/best/{idx}"), it)).collect()
        }
    };
    Keep {
        last: options.last,
        best: best.into_iter().filter_map(|(pointer, it)| one_best(cx, it, &pointer)).collect(),
        every_steps: options.every_steps,
        within: options.within.and_then(|it| positive(cx, &it, &format!("{TABLE}/within"))),
        grace: options.grace.map_or(DAY, |it| {
            let res = span(&it).map_err(|reason| bad_duration(cx, &format!("{TABLE}/grace"), reason));
            res.unwrap_or(DAY)
        }),
        prune: options.prune,
    }
}

pub(super) fn refs(cx: &mut Context<'_>, options: BTreeMap<String, RefOptions>) -> BTreeMap<String, RefRules> {
    if !options.is_empty() {
        needs_store(cx, "/refs", "refs live in a store");
    }
    let mut rules = |(name, options): (String, RefOptions)| {
        let pointer = crate::tree::join("/refs", &name);
        let at_key = |cx: &Context<'_>, code, message: String| {
            cx.error(code, &pointer, message).place(cx.document.key_place(&pointer))
        };
        if !is_name(&name) {
            cx.report(at_key(cx, code::BAD_NAME, format!("`{name}` is not a name for a ref")).help(NAME_RULE));
        } else if name == LATEST {
            let message = "`latest` is always the newest checkpoint, so that no rule holds it".to_owned();
            cx.report(at_key(cx, code::POLICY, message).help("name a ref that is moved, such as `production`"));
        }
        let default = RefRules::default();
        let window = options.window.and_then(|it| positive(cx, &it, &format!("{pointer}/window")));
        let rules = RefRules {
            require: options.require.map(|it| match it {
                RefRequirement::Verified => Require::Verified,
                RefRequirement::VerifiedByThisPipeline => Require::VerifiedByThisPipeline,
            }),
            max_rollbacks: options.max_rollbacks.unwrap_or(default.max_rollbacks),
            window: window.unwrap_or(default.window),
        };
        (name, rules)
    };
    options.into_iter().map(&mut rules).collect()
}

pub(super) fn save(cx: &mut Context<'_>, options: SaveOptions) -> Save {
    const TABLE: &str = "/checkpoint/save";
    imports(cx, TABLE);
    let rules = ["every_steps", "every", "improved", "changed"];
    if !options.on_signal && !rules.iter().any(|it| cx.has(&format!("{TABLE}/{it}"))) {
        cx.report(
            cx.error(code::POLICY, TABLE, "`[checkpoint.save]` has no rule, so that nothing would ever be stored")
                .label("stores nothing")
                .help("add `every_steps`, `every`, `improved`, `changed` or `on_signal`, or remove the table"),
        );
    }
    let improved = options.improved.and_then(|it| {
        let metric = metric(cx, it.metric?, &format!("{TABLE}/improved/metric"));
        Some(Improved { metric, mode: mode(it.mode?), min_delta: it.min_delta.unwrap_or(0.0) })
    });
    Save {
        every_steps: options.every_steps,
        every: options.every.and_then(|it| positive(cx, &it, &format!("{TABLE}/every"))),
        improved,
        changed: options.changed,
        on_signal: options.on_signal,
    }
}

/// Reports a rule about what is stored where nothing is.
pub(super) fn imports(cx: &mut Context<'_>, pointer: &str) {
    let key = crate::tree::last_key(pointer);
    if cx.has("/checkpoint/from") && !cx.has("/checkpoint/import") {
        cx.report(
            cx.error(code::POLICY, pointer, format!("`{key}` is about what is stored, but this one is stored already"))
                .related(cx.document.key_place("/checkpoint/from"), "from a store")
                .help(format!("remove `{key}`, or use `import` for a file or folder")),
        );
    } else if !cx.may_have("/store") {
        cx.report(
            cx.error(code::NEEDS_STORE, pointer, format!("`{key}` is about what is stored, but there is no store"))
                .help(format!("add a `[store]` table, or remove `{key}`")),
        );
    }
}

fn one_best(cx: &mut Context<'_>, options: BestOptions, pointer: &str) -> Option<Best> {
    let metric = metric(cx, options.metric?, &format!("{pointer}/metric"));
    Some(Best { metric, mode: mode(options.mode?), n: options.n.unwrap_or(1) })
}

fn metric(cx: &mut Context<'_>, name: String, pointer: &str) -> String {
    if name.contains(['[', ']']) {
        cx.report(
            cx.error(
                code::POLICY,
                pointer,
                format!("`{name}` has labels, but a store knows metrics over all rows only"),
            )
            .help("name a metric without labels, such as `accuracy`"),
        );
    }
    name
}

fn mode(option: ModeOption) -> Mode {
    match option {
        ModeOption::Max => Mode::Max,
        ModeOption::Min => Mode::Min,
    }
}

fn positive(cx: &mut Context<'_>, option: &DurationOption, pointer: &str) -> Option<Duration> {
    duration(option).map_err(|reason| bad_duration(cx, pointer, reason)).ok()
}

fn bad_duration(cx: &mut Context<'_>, pointer: &str, reason: &str) {
    let key = crate::tree::last_key(pointer);
    cx.report(cx.error(code::DURATION, pointer, format!("`{key}` {reason}")).help(SPAN_HELP));
}

fn needs_store(cx: &mut Context<'_>, pointer: &str, label: &str) {
    if !cx.may_have("/store") {
        let table = crate::tree::dotted(pointer);
        cx.report(
            cx.error(code::NEEDS_STORE, pointer, format!("`[{table}]` needs a `[store]`"))
                .label(label)
                .help("add a `[store]` table, or remove this one"),
        );
    }
}
