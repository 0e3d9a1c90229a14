//! What is done after the verdict.

use super::Context;
use crate::{
    Action, Actions, ProfiledData,
    checkpoint::{LATEST, NAME_RULE, is_name},
    code,
    options::{ActionOptions, OnOptions, ProfileOption},
};

pub(super) fn actions(cx: &mut Context<'_>, options: OnOptions) -> Actions {
    let mut of = |options: Option<ActionOptions>, verdict| options.map_or_else(Vec::new, |it| list(cx, it, verdict));
    Actions {
        pass: of(options.pass, "pass"),
        fail: of(options.fail, "fail"),
        inconclusive: of(options.inconclusive, "inconclusive"),
        not_checked: of(options.not_checked, "not_checked"),
        error: of(options.error, "error"),
    }
}

fn list(cx: &mut Context<'_>, options: ActionOptions, verdict: &str) -> Vec<Action> {
    let mut res = Vec::new();
    if let Some(of) = options.profile {
        res.extend(profile(cx, of, verdict));
    }
    if let Some(refs) = options.r#move {
        let pointer = format!("/on/{verdict}/move");
        needs_store(cx, &pointer, "move");
        for (idx, it) in refs.as_slice().iter().enumerate() {
            let place = if refs.is_many() { format!("{pointer}/{idx}") } else { pointer.clone() };
            ref_name(cx, it, &place);
        }
        res.push(Action::Move { refs: refs.as_slice().to_vec(), pointer });
    }
    if let Some(name) = options.rollback {
        let pointer = format!("/on/{verdict}/rollback");
        needs_store(cx, &pointer, "rollback");
        ref_name(cx, &name, &pointer);
        res.push(Action::Rollback { ref_name: name, pointer });
    }
    if let Some(command) = options.run {
        let pointer = format!("/on/{verdict}/run");
        if let Some(program) = command.first() {
            cx.filled(program, &format!("{pointer}/0"));
        }
        res.push(Action::Run { command, pointer });
    }
    // Last, so that the line says what became of the command.
    if let Some(file) = options.notify.and_then(|it| it.file) {
        let pointer = format!("/on/{verdict}/notify");
        let file = cx.path(&file, &format!("{pointer}/file"));
        res.push(Action::Notify { file, pointer });
    }
    res
}

fn profile(cx: &mut Context<'_>, of: ProfileOption, verdict: &str) -> Option<Action> {
    let pointer = format!("/on/{verdict}/profile");
    if verdict != "pass" {
        let message = "a profile is kept beside a checkpoint that passed, and beside no other";
        cx.report(cx.error(code::POLICY, &pointer, message).help("move it to `[on.pass]`"));
        return None;
    }
    needs_store(cx, &pointer, "profile");
    let (of, data) = match of {
        ProfileOption::Current => (ProfiledData::Current, "current"),
        ProfileOption::Reference => (ProfiledData::Reference, "reference"),
    };
    if !cx.has(&format!("/data/{data}")) {
        let message = format!("a profile of the {data} data is to be kept, and the pipeline has none");
        cx.report(cx.error(code::MISSING_KEY, &pointer, message).help(format!("add `[data.{data}]` with its `path`")));
    }
    Some(Action::Profile { of, pointer })
}

fn needs_store(cx: &mut Context<'_>, pointer: &str, action: &str) {
    let (store, label) = match action {
        "profile" => ("a `[store]` that keeps it", "is kept beside a checkpoint"),
        _ => ("a `[store]` that keeps refs", "changes refs"),
    };
    for (table, what) in [("/store", store), ("/checkpoint", "a `[checkpoint]` to judge")] {
        if !cx.may_have(table) {
            let place = cx.document.key_place(pointer);
            cx.report(
                cx.error(code::NEEDS_STORE, pointer, format!("`{action}` needs {what}"))
                    .place(place)
                    .label(label)
                    .help(format!("add a `[{}]` table, or remove the action", &table[1..])),
            );
        }
    }
}

fn ref_name(cx: &mut Context<'_>, name: &str, pointer: &str) {
    if !is_name(name) {
        let help = match name.rsplit_once('@') {
            Some((_, name)) => {
                format!("write `{name}` alone: the lineage is that of the judged checkpoint")
            }
            None => NAME_RULE.to_owned(),
        };
        cx.report(cx.error(code::BAD_NAME, pointer, format!("`{name}` is not a name for a ref")).help(help));
    } else if name == LATEST {
        let message = format!("`{name}` is always the newest checkpoint, so that no action moves it");
        cx.report(cx.error(code::POLICY, pointer, message).help("choose another name, such as `good`"));
    }
}
