//! Frees the space of what nothing leads to, in two phases that are log entries. [`crate::condemned`] says why
//! that is safe whatever clocks say and however long a writer sleeps.

use std::collections::{BTreeSet, HashSet};

use modelwatch_sdk::{
    Error, ErrorKind, Host, Result,
    store::{CollectOptions, CollectReport, Collected, LogEvent},
};

use crate::{
    blobs::Published,
    condemned::List,
    engine::Shared,
    errors,
    format::{self, Digest, FORMAT, MAX_MANIFEST},
    keys,
    log::Chain,
    random,
    repack::repack,
    sink::publish_named,
    survey::{self, Folder, Needed},
};

/// How far the clocks of this machine and of the store may be apart, in seconds.
const MAX_SKEW: u64 = 300;

pub(crate) fn collect(shared: &Shared, host: &dyn Host, options: &CollectOptions) -> Result<CollectReport> {
    let mut res = CollectReport::default();
    let moved = repack(shared, host, options.dry_run, &mut res.repacked);
    if moved.is_err() {
        // It was counted before it was moved.
        res.repacked = Collected::default();
    }
    match moved.and_then(|()| free(shared, host, options, &mut res)) {
        Err(e) if e.kind == ErrorKind::NoSpace => {
            // Moved is what there is room for again. Now all that is left is for the entries without which nothing is deleted.
            shared.blobs.give_up_reserve()?;
            // What was deleted stays so; the rest is looked at anew.
            (res.marked, res.waiting) = (Collected::default(), Collected::default());
            free(shared, host, options, &mut res)?;
            Ok(res)
        }
        done => done.map(|()| res),
    }
}

/// Marks and deletes.
fn free(shared: &Shared, host: &dyn Host, options: &CollectOptions, res: &mut CollectReport) -> Result<()> {
    let waiting = shared.log.with(keys::STORE_LOG, |it| Ok(it.marked()))?;
    let condemned = condemn(shared, host, &waiting, options, res)?;
    if options.dry_run {
        for (_, list) in &waiting {
            count(shared, list, &mut res.waiting)?;
        }
        return Ok(());
    }
    // A mark from the future is as young as can be.
    let is_due = |time: u64| (shared.clock)().checked_sub(time).is_some_and(|it| it >= options.grace);
    if condemned.is_some() || waiting.iter().any(|it| is_due(it.0)) {
        check_clock(shared)?;
    }
    for (time, list) in waiting {
        if is_due(time) {
            sweep(shared, host, &list, res)?;
        } else {
            count(shared, &list, &mut res.waiting)?;
        }
    }
    if let Some(list) = condemned {
        let list = mark(shared, &list)?;
        if options.grace == 0 {
            sweep(shared, host, &list, res)?;
        }
    }
    Ok(())
}

/// Returns what nothing leads to, is old enough and is not marked yet. Fails where anything is damaged: what
/// cannot be read could lead to everything.
fn condemn(
    shared: &Shared,
    host: &dyn Host,
    waiting: &[(u64, String)],
    options: &CollectOptions,
    res: &mut CollectReport,
) -> Result<Option<List>> {
    let mut spared: HashSet<Digest> = HashSet::new();
    for (_, list) in waiting {
        let list = shared.lists.get(shared.blobs.as_ref(), list).map_err(doubt)?;
        spared.extend(list.packs.iter().chain(&list.manifests));
    }
    // First what there is, then what is needed: what is added in between is not looked at.
    let packs = shared.named(Folder::Packs, survey::pass_over)?;
    let manifests = shared.named(Folder::Manifests, survey::pass_over)?;
    let mut needed = Needed::default();
    for lineage in shared.all_lineages()? {
        for (_, manifest) in shared.log.with(&lineage, |it| Ok(it.live_manifests().collect::<Vec<_>>()))? {
            cancelled(host)?;
            needed.add(shared, manifest).map_err(doubt)?;
        }
    }
    let now = (shared.clock)();
    let mut choose = |folder: Folder, all: Vec<Digest>, needed: &HashSet<Digest>| -> Result<Vec<Digest>> {
        let mut chosen = Vec::new();
        for it in all.into_iter().filter(|it| !needed.contains(it) && !spared.contains(it)) {
            cancelled(host)?;
            if let Some(stat) = shared.blobs.stat(&folder.key(it))?
                && now.checked_sub(stat.modified).is_some_and(|it| it >= options.grace)
            {
                res.marked.add(stat.size);
                chosen.push(it);
            }
        }
        Ok(chosen)
    };
    let packs = choose(Folder::Packs, packs, &needed.packs)?;
    let manifests = choose(Folder::Manifests, manifests, &needed.manifests)?;
    if packs.is_empty() && manifests.is_empty() {
        return Ok(None);
    }
    Ok(Some(List { format: FORMAT, packs, manifests, nonce: Some(random::id()), size: 0 }))
}

/// Writes a list down and marks it. Returns its name.
fn mark(shared: &Shared, list: &List) -> Result<String> {
    let bytes = format::canonical(list)?;
    let digest = Digest::of(&bytes);
    let stage = shared.blobs.stage()?;
    stage.write("condemned", &bytes)?;
    publish_named(shared, stage.as_ref(), "condemned", &keys::condemned(digest), digest, MAX_MANIFEST)?;
    let name = digest.to_string();
    shared.log.append(keys::STORE_LOG, |it| {
        let is_marked = it.marked().iter().any(|it| it.1 == name);
        Ok((!is_marked).then(|| LogEvent::Mark { list: name.clone() }.into()))
    })?;
    Ok(name)
}

/// Refuses where the clock by which files are dated is another one: who measures ages must agree with it.
pub(crate) fn check_clock(shared: &Shared) -> Result<()> {
    let key = format!("gc/clock-{}", random::id());
    let stage = shared.blobs.stage()?;
    stage.write("clock", b"")?;
    if let Published::Unknown(e) = stage.publish("clock", &key)? {
        return Err(e);
    }
    let modified = shared.blobs.stat(&key)?.map_or(0, |it| it.modified);
    shared.blobs.remove(&key)?;
    let skew = (shared.clock)().abs_diff(modified);
    if skew <= MAX_SKEW {
        return Ok(());
    }
    let what = format!("the clocks of this machine and of the store are {skew} s apart");
    Err(Error::new(ErrorKind::Other, what)
        .with_help("set them right: ages cannot be told until then; nothing was removed, marked or deleted"))
}

/// Announces in every log that the list is deleted, then deletes what no commit before that needs.
fn sweep(shared: &Shared, host: &dyn Host, name: &str, res: &mut CollectReport) -> Result<()> {
    let list = shared.lists.get(shared.blobs.as_ref(), name).map_err(doubt)?;
    let mut needed = Needed::default();
    // Unless another process swept it, or did without it, meanwhile.
    let is_marked = |it: &Chain| it.marked().iter().any(|it| it.1 == name);
    let event = || LogEvent::Sweep { list: name.to_owned() }.into();
    if shared.log.append(keys::STORE_LOG, |it| Ok(is_marked(it).then(event)))?.is_none() {
        return Ok(());
    }
    // A lineage that is registered from here on sees the sweep in the store's own log.
    let lineages: BTreeSet<String> = shared.all_lineages()?;
    for lineage in &lineages {
        announce(shared, lineage, name)?;
        // Not only what was committed before that: whatever moves a checkpoint afterwards leaves what is sound of it where
        // it is. That the rest of what came afterwards needs nothing on the list is no reason not to look.
        for it in shared.log.with(lineage, |it| Ok(it.live_manifests().map(|it| it.1).collect::<Vec<_>>()))? {
            cancelled(host)?;
            needed.add(shared, it).map_err(doubt)?;
        }
    }
    let listed = list.packs.iter().map(|it| (Folder::Packs, *it));
    for (folder, digest) in listed.chain(list.manifests.iter().map(|it| (Folder::Manifests, *it))) {
        cancelled(host)?;
        let key = folder.key(digest);
        let Some(stat) = shared.blobs.stat(&key)? else {
            continue;
        };
        let is_needed = match folder {
            Folder::Packs => needed.packs.contains(&digest),
            Folder::Manifests | Folder::Lists => needed.manifests.contains(&digest),
        };
        if is_needed {
            res.spared.add(stat.size);
        } else {
            shared.blobs.remove(&key)?;
            res.swept.add(stat.size);
        }
    }
    Ok(())
}

/// Adds the sweep to the log of a lineage unless it is there.
fn announce(shared: &Shared, log: &str, name: &str) -> Result<()> {
    let is_there = |chain: &Chain| chain.sweeps().any(|it| it.1 == name);
    let event = || LogEvent::Sweep { list: name.to_owned() }.into();
    shared.log.append(log, |it| Ok((!is_there(it)).then(event))).map(drop)
}

fn count(shared: &Shared, name: &str, res: &mut Collected) -> Result<()> {
    let list = shared.lists.get(shared.blobs.as_ref(), name).map_err(doubt)?;
    let keys = list.packs.iter().map(|it| keys::pack(*it)).chain(list.manifests.iter().map(|it| keys::manifest(*it)));
    for it in keys {
        if let Some(stat) = shared.blobs.stat(&it)? {
            res.add(stat.size);
        }
    }
    Ok(())
}

pub(crate) fn doubt(e: Error) -> Error {
    let e = Error { message: format!("nothing is deleted on doubt: {}", e.message), ..e };
    errors::mendable(e, "run `modelwatch store repair`, then collect again")
}

pub(crate) fn cancelled(host: &dyn Host) -> Result<()> {
    if host.is_cancelled() { Err(host.cancelled()) } else { Ok(()) }
}
