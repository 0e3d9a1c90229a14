//! `modelwatch store`.

mod care;
mod diff;
mod get;
mod meant;
mod prune;
mod put;
mod show;
mod watch;

use std::sync::Arc;

use anyhow::{Context, bail};
use comfy_table::{Table, presets::NOTHING};
use jiff::Timestamp;
use modelwatch_config::{Document, PROFILES_SUFFIX, Pipeline, RefRules};
use modelwatch_runtime::{
    blessing,
    checkpoint::{self, CheckpointError},
    plugin::{Catalog, Component, Lookup, SearchPath},
    refs::{self, Recorded, Rollback},
};
use modelwatch_sdk::{
    Host, Kind,
    store::{CheckpointId, CheckpointStore, History, LogEvent, ROLLBACK, check_name},
};
use serde_json::{Map, json};

use self::meant::{meant, reference, resolve, resolve_for};
use super::{Code, Wrong, run};
use crate::{
    cli::{self, StoreCommand},
    output,
    progress::Attended,
};

/// The store in a folder.
const LOCAL: &str = "local";
/// What a ref that is not set is at.
const NONE: &str = "none";
/// The ref that is at the newest checkpoint.
const LATEST: &str = "latest";

pub(crate) fn store(arguments: &cli::Store, quiet: bool) -> anyhow::Result<Code> {
    let Some((mut store, of_pipeline)) = open(arguments)? else { return Ok(Code::WRONG) };
    let host = Attended::new(quiet, run::cancel_on_signals()?.0);
    if let StoreCommand::Watch { folder, lineage, every } = &arguments.command {
        let watched = watch::Watched { folder, lineage, every: *every };
        let mut store = Arc::from(store);
        let code = watch::watch(&store, of_pipeline.map(|it| Arc::new(it.1)), &host, &watched)?;
        let store = Arc::get_mut(&mut store).context("the store is still in use, so that it was not closed")?;
        return Ok(closed(store, code));
    }
    let code = match dispatch(&arguments.command, store.as_ref(), of_pipeline.as_ref(), &host) {
        Err(e) if host.is_cancelled() => {
            output::error(&format!("interrupted; {}", output::said(&e)));
            Code::INTERRUPTED
        }
        res => res?,
    };
    Ok(closed(store.as_mut(), code))
}

/// Closes the store of a command that ends with this code, and returns what it ends with then: a code that says more than
/// that the plugin panicked at the end stays.
pub(super) fn closed(store: &mut dyn CheckpointStore, code: Code) -> Code {
    let Err(e) = store.close() else { return code };
    output::error(&explained(e).to_string());
    if code == Code::OK { Code::NOT_DONE } else { code }
}

fn dispatch(
    command: &StoreCommand,
    store: &dyn CheckpointStore,
    of_pipeline: Option<&(Document, Pipeline)>,
    host: &dyn Host,
) -> anyhow::Result<Code> {
    let pipeline = of_pipeline.map(|it| &it.1);
    match command {
        StoreCommand::Init => {
            output::print("the store is there")?;
            Ok(Code::OK)
        }
        StoreCommand::List { lineage: None } => lineages(store),
        StoreCommand::List { lineage: Some(it) } => list(store, it),
        StoreCommand::Log { lineage } => log(store, lineage),
        StoreCommand::Show { checkpoint, json } => show::show(store, host, checkpoint, *json),
        StoreCommand::Put { path, lineage, allow_empty } => {
            let to = put::Target { store, pipeline, host, lineage, preempted: false };
            put::put(&to, path, *allow_empty)
        }
        StoreCommand::Watch { .. } => unreachable!("it shares the store with a thread, and is told apart before"),
        StoreCommand::Get { checkpoint, into, format: Some(it), .. } => {
            diff::write(store, host, checkpoint, (*it).into(), into)
        }
        StoreCommand::Get { checkpoint, into, format: None, policy, json } => {
            get::get(store, host, checkpoint, &get::How { into, policy: *policy, json: *json })
        }
        StoreCommand::Diff { a, b, all, tensors, json } => {
            diff::diff(store, host, [a, b], &diff::How { all: *all, tensors: *tensors, json: *json })
        }
        StoreCommand::Set { target, checkpoint, reason, force, expect } => {
            let how = How { reason, force: *force, expect: expect.as_deref() };
            set(store, of_pipeline, host, (target, checkpoint), &how)
        }
        StoreCommand::Rollback { target, reason, force } => {
            rollback(store, of_pipeline, host, target, &How { reason, force: *force, expect: None })
        }
        StoreCommand::Unset { target, reason } => unset(store, target, reason),
        StoreCommand::Prune { lineage, dry_run, grace, json } => {
            let how = prune::How { dry_run: *dry_run, grace: *grace, json: *json };
            prune::prune(store, of_pipeline, host, lineage.as_deref(), how)
        }
        StoreCommand::Collect { dry_run, grace, json } => {
            prune::collect(store, host, prune::How { dry_run: *dry_run, grace: *grace, json: *json })
        }
        StoreCommand::Scrub { fast, sample } => care::scrub(store, host, *fast, *sample),
        StoreCommand::Repair => care::repair(store, host),
        StoreCommand::Stats { json } => care::stats(store, host, *json),
        StoreCommand::Doctor => care::doctor(store, host),
    }
}

type Opened = (Box<dyn CheckpointStore>, Option<(Document, Pipeline)>);

/// Opens the store of the pipeline, or the local one in a folder.
fn open(arguments: &cli::Store) -> anyhow::Result<Option<Opened>> {
    let mut of_pipeline = None;
    let (uses, mut with, root, dirs) = match (&arguments.store, &arguments.pipeline) {
        (Some(path), _) => {
            if !path.join("store.json").is_file()
                && !matches!(
                    arguments.command,
                    StoreCommand::Init | StoreCommand::Put { .. } | StoreCommand::Watch { .. }
                )
            {
                return Err(Wrong(format!("there is no store in `{}`", path.display())).into());
            }
            let with = Map::from_iter([("path".to_owned(), json!(path))]);
            (LOCAL.to_owned(), with, std::env::current_dir()?, Vec::new())
        }
        (None, Some(path)) => {
            let Some(loaded) = run::load(path, &[])? else { return Ok(None) };
            let Some(store) = loaded.1.store.clone() else {
                return Err(Wrong(format!("`{}` has no [store]", path.display())).into());
            };
            let (_, pipeline) = of_pipeline.insert(loaded);
            (store.uses, store.with, pipeline.root.clone(), pipeline.plugins.dirs.clone())
        }
        (None, None) => {
            return Err(Wrong("say which store: `--store DIR` or `--pipeline FILE`".to_owned()).into());
        }
    };
    // Others begin a store without being told.
    if matches!(arguments.command, StoreCommand::Init) && uses == LOCAL {
        with.insert("create".to_owned(), true.into());
    }
    let catalog = Catalog::load(&SearchPath::new(&arguments.plugin_dirs, &dirs));
    let component = store_named(&catalog, &uses)?;
    let store = component.open_store(&component.resolved(&with, &root)).map_err(explained)?;
    Ok(Some((store, of_pipeline)))
}

/// Returns the store of that name.
pub(super) fn store_named<'c>(catalog: &'c Catalog, uses: &str) -> anyhow::Result<Component<'c>> {
    if let Some(it) = catalog.unread_folders().next() {
        // What another folder has of that name may not be what is meant.
        bail!("{it}");
    }
    match (catalog.find(Kind::Store, uses), catalog.unread()) {
        (Lookup::Found(it), _) => Ok(it),
        (Lookup::Refused(it), _) => bail!("{it}"),
        // It may have it.
        (Lookup::Unknown(_), Some(refusal)) => bail!("no store that was loaded is named `{uses}`; {refusal}"),
        (Lookup::Unknown(_), None) => {
            let help = run::without_plugins(catalog);
            let help = help.unwrap_or_else(|| "name the folder of its plugin with `--plugin-dir`".to_owned());
            Err(Wrong(format!("no store is named `{uses}`; {help}")).into())
        }
    }
}

pub(super) fn explained(error: modelwatch_sdk::Error) -> anyhow::Error {
    if error.help.is_empty() {
        anyhow::anyhow!(error.message)
    } else {
        anyhow::anyhow!("{}; {}", error.message, error.help)
    }
}

fn history(store: &dyn CheckpointStore, lineage: &str) -> anyhow::Result<History> {
    named(lineage)?;
    let res = store.history(lineage).map_err(explained)?;
    if let Some(it) = damage(lineage, &res) {
        output::note(&it);
    } else if res.last_seq() == 0 {
        let known = store.lineages().map_err(explained)?;
        let known =
            if known.is_empty() { "the store is empty".to_owned() } else { format!("there is {}", known.join(", ")) };
        return Err(Wrong(format!("the store has no lineage `{lineage}`; {known}")).into());
    }
    Ok(res)
}

/// Says what is wrong with the log of a lineage, and what to do.
fn damage(lineage: &str, history: &History) -> Option<String> {
    let e = history.damage()?;
    let last = history.last_seq();
    Some(format!("the log of `{lineage}` is damaged after its entry {last}: {}; {}", e.message, e.help))
}

/// The name of a lineage is the command line's.
fn named(lineage: &str) -> anyhow::Result<()> {
    Ok(check_name("lineage", lineage).map_err(|e| Wrong(format!("{}; {}", e.message, e.help)))?)
}

/// What the command line names and is not there is a mistake of the command line.
fn not_there(error: CheckpointError) -> anyhow::Error {
    match error {
        CheckpointError::NotFound { .. } | CheckpointError::Ambiguous { .. } => Wrong(error.to_string()).into(),
        error => error.into(),
    }
}

/// Returns a history of which nothing is missing: where the end of a log is damaged, nobody can tell where its refs are.
fn whole_history(store: &dyn CheckpointStore, lineage: &str) -> anyhow::Result<History> {
    history(store, lineage)?.whole().map_err(explained)
}

fn table() -> Table {
    let mut res = Table::new();
    res.load_style(NOTHING);
    res
}

fn lineages(store: &dyn CheckpointStore) -> anyhow::Result<Code> {
    let mut rows = table();
    rows.set_header(["LINEAGE", "CHECKPOINTS", "REFS"]);
    let mut notes = Vec::new();
    for name in store.lineages().map_err(explained)? {
        let history = history(store, &name)?;
        let refs: Vec<_> = history.refs().map(|(name, id)| format!("{name} → {}", id.short())).collect();
        let what = match name.strip_suffix(PROFILES_SUFFIX) {
            Some(of) => format!("(profiles that runs keep beside the checkpoints of {of})"),
            None => refs.join(", "),
        };
        notes.extend(pinned(&name, &history));
        rows.add_row([name, history.checkpoints().len().to_string(), what]);
    }
    output::print(&rows.to_string())?;
    notes.iter().for_each(|it| output::note(it));
    Ok(Code::OK)
}

fn list(store: &dyn CheckpointStore, lineage: &str) -> anyhow::Result<Code> {
    let history = history(store, lineage)?;
    let mut rows = table();
    rows.set_header(["CHECKPOINT", "STORED", "VERDICT", "REFS"]);
    for it in history.checkpoints().iter().rev() {
        let refs: Vec<_> = history.refs().filter(|(_, id)| **id == it.id).map(|it| it.0).collect();
        let verdict = it.verdicts.last().map_or("", |it| it.verdict.as_str());
        rows.add_row([it.id.short().to_owned(), time(it.time), verdict.to_owned(), refs.join(", ")]);
    }
    output::print(&rows.to_string())?;
    pinned(lineage, &history).iter().for_each(|it| output::note(it));
    Ok(Code::OK)
}

/// Shows the log of a lineage, or what of it is about one ref.
fn log(store: &dyn CheckpointStore, text: &str) -> anyhow::Result<Code> {
    let (lineage, of_ref) = if text.contains('@') {
        let (lineage, name) = reference(text)?;
        (lineage, Some(name))
    } else {
        (text.to_owned(), None)
    };
    let lineage = lineage.as_str();
    let history = if of_ref.is_some() { whole_history(store, lineage) } else { history(store, lineage) }?;
    // That one moves with what is stored and removed, and need not be set.
    let is_latest = of_ref.as_ref().is_some_and(|it| it == LATEST);
    let was_set = |name: &String| history.moves().iter().any(|it| it.name == *name);
    if let Some(name) = of_ref.as_ref().filter(|name| !is_latest && !was_set(name)) {
        return Err(Wrong(format!("no ref `{name}` of `{lineage}` was ever set")).into());
    }
    let is_wanted = |event: &LogEvent| match (&of_ref, event) {
        (None, _) => true,
        (Some(wanted), LogEvent::SetRef { name, .. } | LogEvent::UnsetRef { name, .. }) => name == wanted,
        (Some(_), LogEvent::Commit { .. } | LogEvent::Remove { .. }) => is_latest,
        (Some(_), _) => false,
    };
    let mut rows = table();
    rows.set_header(["SEQ", "TIME", "WHAT"]);
    let mut after = 0;
    loop {
        let limit = 1000.min(history.last_seq() - after);
        let entries = store.log(lineage, after, limit as u32).map_err(explained)?;
        let Some(last) = entries.last() else { break };
        after = last.seq;
        for it in entries.iter().filter(|it| is_wanted(&it.event)) {
            rows.add_row([it.seq.to_string(), time(it.time), event(&it.event)]);
        }
    }
    output::print(&rows.to_string())?;
    if is_latest {
        let newest =
            || format!("`{text}` is the newest checkpoint, so that what was stored and removed is its history");
        output::note(&pinned(lineage, &history).unwrap_or_else(newest));
    }
    Ok(Code::OK)
}

fn event(event: &LogEvent) -> String {
    match event {
        LogEvent::Commit { id } => format!("{} was stored", id.short()),
        LogEvent::Verdict { id, verdict } => {
            let about = verdict.blessing.as_deref().map(show::about).unwrap_or_default();
            format!("{}: {} by {} (run {}){about}", id.short(), verdict.verdict, verdict.pipeline, verdict.run_id)
        }
        LogEvent::SetRef { name, from, to, reason } => {
            let from = from.as_ref().map_or_else(|| "nothing".to_owned(), |it| it.short().to_owned());
            format!("{name}: {from} → {} ({reason})", to.short())
        }
        LogEvent::UnsetRef { name, from, reason } => format!("{name}: {} → nothing ({reason})", from.short()),
        LogEvent::Remove { ids, reason } => {
            let ids: Vec<_> = ids.iter().map(CheckpointId::short).collect();
            format!("{} removed ({reason})", ids.join(", "))
        }
        LogEvent::Relocate { id } => format!("{} was mended", id.short()),
        LogEvent::Sweep { .. } => "what nothing leads to was deleted".to_owned(),
        LogEvent::Void { .. } => "what was marked for deletion is kept, because its list was lost".to_owned(),
        _ => "something that this version does not know".to_owned(),
    }
}

/// How a ref is moved.
struct How<'a> {
    reason: &'a str,
    /// Also to a checkpoint that a pipeline failed, or back where it was too often of late.
    force: bool,
    /// Where it is to be before, if that matters; `none` for nowhere.
    expect: Option<&'a str>,
}

fn set(
    store: &dyn CheckpointStore,
    of_pipeline: Option<&(Document, Pipeline)>,
    host: &dyn Host,
    (target, text): (&str, &str),
    how: &How<'_>,
) -> anyhow::Result<Code> {
    let (lineage, name) = reference(target)?;
    let (other, id) = resolve_for(store, &lineage, text)?;
    if other != lineage {
        return Err(Wrong(format!("`{text}` is of lineage `{other}`, `{target}` of `{lineage}`")).into());
    }
    movable(store, &lineage, &name)?;
    checkpoint::verify(store, host, &id)?;
    // Where the end of the log is damaged nobody can tell where the ref is, nor whether it is set.
    let before = whole_history(store, &lineage)?;
    let rule = Rule::of(of_pipeline, &before, &name);
    let unmet = refs::refuses(&rule.rules, &before, &name, &id, &rule.config);
    if let Some(why) = unmet.as_ref().filter(|_| of_pipeline.is_some()) {
        bail!("{why}");
    }
    let expected = before.refs().find(|it| it.0 == name).map(|it| it.1);
    if let Some(text) = how.expect {
        let wanted = if text == NONE { None } else { Some(resolve_for(store, &lineage, text)?.1) };
        if wanted.as_ref() != expected {
            let at = |it: Option<&CheckpointId>| it.map_or("not set".to_owned(), |it| format!("at {}", it.short()));
            let (is, wanted) = (at(expected), at(wanted.as_ref()));
            bail!("`{target}` is {is} and was expected to be {wanted}, so that it stays so; look at what moved it");
        }
    }
    if expected != Some(&id) {
        let failed = unmet.or_else(|| refs::failed(&before, &id));
        if let Some(why) = failed.as_ref().filter(|_| !how.force) {
            bail!("{why}, so that `{target}` stays where it is; to move it there all the same, say `--force`");
        }
        let reason = failed.map_or_else(|| how.reason.to_owned(), |why| format!("{} (forced: {why})", how.reason));
        let is_unknown = of_pipeline.is_none() && rule.recorded.is_none();
        let reason = if is_unknown && refs::leaves_judged(&before, &name, &id) {
            output::note(&format!(
                "`{target}` leaves a checkpoint that a pipeline judged for {}, which none did; name the pipeline with `--pipeline`, \
                 so that what it requires of the ref holds",
                id.short()
            ));
            format!("{reason} (moved without its rule)")
        } else {
            reason
        };
        let reason = rule.said(&reason, &before, &name);
        store.set_ref(&lineage, &name, &id, expected, &reason).map_err(explained)?;
    }
    output::print(&format!("{target} is at {}", id.short()))?;
    Ok(Code::OK)
}

fn rollback(
    store: &dyn CheckpointStore,
    of_pipeline: Option<&(Document, Pipeline)>,
    host: &dyn Host,
    target: &str,
    how: &How<'_>,
) -> anyhow::Result<Code> {
    let (lineage, name) = reference(target)?;
    movable(store, &lineage, &name)?;
    let history = whole_history(store, &lineage)?;
    let rule = Rule::of(of_pipeline, &history, &name);
    if let Some(why) = refs::flaps(&rule.rules, &history, &name, prune::seconds_now()).filter(|_| !how.force) {
        bail!("{why}; then say `--force`");
    }
    let from = history.get_ref(&name).ok_or_else(|| Wrong(format!("there is no ref `{target}`")))?;
    let rollback = Rollback { history: &history, name: &name, from, rules: &rule.rules, config: &rule.config };
    let found = refs::way_back(store, host, &rollback)?;
    for it in &found.skipped {
        output::note(&format!("passed over {}: {}", it.id.short(), it.why));
    }
    let Some(to) = found.to else {
        bail!(
            "no earlier checkpoint of `{lineage}` is known to be good, verifies and may be gone back to, so that \
             `{target}` stays at {}",
            from.short()
        );
    };
    let reason = rule.said(&format!("{ROLLBACK}{}", how.reason), &history, &name);
    store.set_ref(&lineage, &name, &to, Some(from), &reason).map_err(explained)?;
    output::print(&format!("{target} went from {} to {}", from.short(), to.short()))?;
    Ok(Code::OK)
}

/// What holds for a ref: what the pipeline that is named says, or else what the last one that moved it said.
struct Rule {
    rules: RefRules,
    config: String,
    /// What the last pipeline said, where none is named.
    recorded: Option<Recorded>,
}

impl Rule {
    fn of(of_pipeline: Option<&(Document, Pipeline)>, history: &History, name: &str) -> Self {
        if let Some((document, pipeline)) = of_pipeline {
            let config = blessing::config_digest(document);
            return Self { rules: pipeline.ref_rules(name), config, recorded: None };
        }
        let recorded = Recorded::find(history, name);
        let rules = recorded.as_ref().map_or_else(RefRules::default, Recorded::rules);
        let config = recorded.as_ref().map_or_else(String::new, |it| it.config.clone());
        Self { rules, config, recorded }
    }

    /// Returns the reason of a move with what holds from then on.
    fn said(&self, reason: &str, history: &History, name: &str) -> String {
        refs::recorded(reason, &self.rules, history, name, &self.config)
    }
}

/// Fails for the ref that nobody moves.
fn movable(store: &dyn CheckpointStore, lineage: &str, name: &str) -> anyhow::Result<()> {
    if name != LATEST {
        return Ok(());
    }
    let pinned = store.history(lineage).ok().and_then(|it| pinned(lineage, &it));
    let why = pinned.unwrap_or_else(|| "`latest` is always the newest checkpoint".to_owned());
    Err(Wrong(format!("{why}; choose another name")).into())
}

/// Says that `latest` is not what it is called, where that is so.
fn pinned(lineage: &str, history: &History) -> Option<String> {
    let (_, at) = history.refs().find(|it| it.0 == LATEST)?;
    Some(format!(
        "`{lineage}@{LATEST}` stays at {}, where an earlier version set it, whatever is stored next; `modelwatch store unset \
         {lineage}@{LATEST}` makes it the newest checkpoint again",
        at.short()
    ))
}

fn unset(store: &dyn CheckpointStore, target: &str, reason: &str) -> anyhow::Result<Code> {
    let (lineage, name) = reference(target)?;
    let history = whole_history(store, &lineage)?;
    let Some((_, at)) = history.refs().find(|it| it.0 == name) else {
        return Err(Wrong(format!("there is no ref `{target}`")).into());
    };
    store.unset_ref(&lineage, &name, at, reason).map_err(explained)?;
    output::print(&format!("{target} was at {} and is gone", at.short()))?;
    Ok(Code::OK)
}

fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|it| Timestamp::from_second(it).ok());
    time.map_or_else(|| "?".to_owned(), |it| it.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}
