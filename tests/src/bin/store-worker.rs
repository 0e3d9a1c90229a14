//! A process that writes to a local store until it is done or killed, and says on its standard output what was
//! acknowledged; and another that checks what is left. The fault matrix (`tests/faults`) runs both.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // What it says is what it is for.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::{Parser, Subcommand};
use modelwatch_runtime::{
    checkpoint::{self, CheckpointError},
    contents::{Contents, ContentsError, Difference, WrittenFormat, compare},
    saver::Saver,
};
use modelwatch_sdk::{
    DType, Error, ErrorKind, Result, Store as _, TensorView,
    store::{CheckpointId, CheckpointStore, CollectOptions, ScrubDepth},
};
use serde_json::{Map, Value, json};
use signal_hook::consts::SIGTERM;
use store_local::{Config, LocalStore};

/// What a store may have in it; leftovers are below `tmp` alone.
const ENTRIES: [&str; 8] = ["gc", "log", "manifests", "packs", "quarantine", "reserve", "store.json", "tmp"];

/// The lineage of a training.
const LINEAGE: &str = "digits";

#[derive(Parser)]
struct Cli {
    /// The folder of the store.
    #[arg(long)]
    store: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Commits checkpoints and says `acked LINEAGE STEP` after each.
    Commit {
        #[arg(long, default_value = "digits")]
        lineage: String,
        #[arg(long)]
        step: u64,
        #[arg(long, default_value_t = 1)]
        count: u64,
        /// The bytes of a checkpoint, about.
        #[arg(long, default_value_t = 20_000)]
        size: u64,
    },
    /// Commits, removes and collects without end.
    Loop {
        #[arg(long)]
        step: u64,
    },
    /// Saves in the background until it is told to end by SIGTERM, and then what is queued. Says `queued LINEAGE STEP`
    /// before it hands a checkpoint over, and `failed LINEAGE STEP` where it cannot be saved.
    Train {
        #[arg(long)]
        step: u64,
    },
    /// Collects garbage without grace, that many times.
    Gc {
        #[arg(long, default_value_t = 1)]
        count: u64,
    },
    /// Removes all checkpoints but the newest ones, and collects.
    Prune {
        #[arg(long)]
        keep: usize,
    },
    /// Reads all checkpoints that are there, that many times.
    Read {
        #[arg(long, default_value_t = 1)]
        count: u64,
    },
    /// Verifies all checkpoints that are there, as before a ref is set to them.
    Verify,
    /// Writes the tensors of the newest checkpoint into a file, as `modelwatch store get --as` does.
    Export {
        #[arg(long)]
        npz: bool,
        #[arg(long)]
        to: PathBuf,
    },
    /// Compares the first two checkpoints, as `modelwatch store diff` does: that many tensors must have changed.
    Diff {
        #[arg(long)]
        changed: usize,
    },
    /// Checks that everything is there that the lines of a file say, and that what is there is whole.
    Check {
        #[arg(long)]
        said: PathBuf,
        /// Changes nothing; otherwise a commit and a collection must work.
        #[arg(long)]
        read_only: bool,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let message = format!("error: {:?}: {}; help: {}\n", e.kind, e.message, e.help);
            // Whoever lets a call of each thread fail may mean this one too.
            let _ = (0..3).any(|_| io::stderr().write_all(message.as_bytes()).is_ok());
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let config = json!({"path": cli.store.display().to_string(), "create": true});
    let config: Config = serde_json::from_value(config).expect("a path is all it needs");
    let store: Arc<dyn CheckpointStore> = LocalStore::open(config)?.into();
    if let Command::Train { step } = cli.command {
        return train(&store, step);
    }
    let store = store.as_ref();
    match &cli.command {
        Command::Commit { lineage, step, count, size } => {
            (*step..step.saturating_add(*count)).try_for_each(|it| commit(store, lineage, it, *size).map(drop))
        }
        Command::Loop { step } => (*step..).try_for_each(|it| turn(store, it)),
        Command::Train { .. } => unreachable!("it shares the store with a thread, and is told apart before"),
        Command::Gc { count } => (0..*count).try_for_each(|_| collect(store)),
        Command::Prune { keep } => prune(store, *keep),
        Command::Read { count } => (0..*count).try_for_each(|_| read_all(store)),
        Command::Verify => verify_all(store),
        Command::Export { npz, to } => export(store, *npz, to),
        Command::Diff { changed } => diff(store, *changed),
        Command::Check { said, read_only } => check(store, &cli.store, said, !read_only),
    }
}

/// Says something in one write, so that a line is said whole or not at all.
fn say(what: &str, lineage: &str, step: u64) -> Result<()> {
    let said = io::stdout().lock().write_all(format!("{what} {lineage} {step}\n").as_bytes());
    said.map_err(|e| Error::io(format!("cannot say anything: {e}")).with_help("look at where the output goes"))
}

fn commit(store: &dyn CheckpointStore, lineage: &str, step: u64, size: u64) -> Result<CheckpointId> {
    let metadata = metadata(lineage, step, size);
    let mut writer = store.begin(&(), lineage, &metadata)?;
    for (name, bytes) in content(&metadata) {
        match name.strip_prefix("tensor:") {
            Some(name) => {
                let shape = [bytes.len() as u64 / 4];
                writer.tensor(&TensorView { name, dtype: DType::F32, shape: &shape, bytes: &bytes })?;
            }
            None => writer.append(&name, &bytes)?,
        }
    }
    let id = writer.commit()?;
    say("acked", lineage, step)?;
    Ok(id)
}

/// One turn of a training that keeps its last checkpoints.
fn turn(store: &dyn CheckpointStore, step: u64) -> Result<()> {
    let id = commit(store, LINEAGE, step, 20_000)?;
    if step.is_multiple_of(3) {
        let at = store.history(LINEAGE)?.get_ref("good").cloned();
        store.set_ref(LINEAGE, "good", &id, at.as_ref(), "")?;
    }
    if step.is_multiple_of(4) { prune(store, 4) } else { Ok(()) }
}

/// Removes all but the newest checkpoints and those that a ref points at.
fn prune(store: &dyn CheckpointStore, keep: usize) -> Result<()> {
    let history = store.history(LINEAGE)?;
    let pinned: Vec<_> = history.refs().map(|it| it.1.clone()).collect();
    let all = history.checkpoints();
    let old = all[..all.len().saturating_sub(keep)].iter().map(|it| it.id.clone()).filter(|it| !pinned.contains(it));
    let old: Vec<CheckpointId> = old.collect();
    for it in &old {
        let reader = store.open(&(), it)?;
        say("removing", LINEAGE, number(&reader.manifest().metadata, "step"))?;
    }
    store.remove(LINEAGE, &old, "old")?;
    collect(store)
}

/// A training that does not wait for its saves.
fn train(store: &Arc<dyn CheckpointStore>, first: u64) -> Result<()> {
    let is_told = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, Arc::clone(&is_told))
        .map_err(|e| Error::io(format!("cannot listen for signals: {e}")).with_help("look at the limits"))?;
    let mut saver = Saver::new(2);
    let mut res = Ok(());
    let mut look = |ended: Vec<std::result::Result<(), CheckpointError>>| {
        for it in ended.into_iter().filter_map(std::result::Result::err) {
            res = Err(Error::io(it).with_help("look at what was said before"));
        }
    };
    for step in first.. {
        if is_told.load(Ordering::Relaxed) {
            break;
        }
        say("queued", LINEAGE, step)?;
        let store = Arc::clone(store);
        look(saver.save(move || {
            let saved = commit(store.as_ref(), LINEAGE, step, 20_000);
            if saved.is_err() {
                say("failed", LINEAGE, step)?;
            }
            saved.map(drop).map_err(CheckpointError::from)
        }));
    }
    look(saver.finish());
    res
}

fn collect(store: &dyn CheckpointStore) -> Result<()> {
    let report = store.collect(&(), &CollectOptions { grace: 0, dry_run: false })?;
    say("swept", "-", report.swept.files)
}

fn metadata(lineage: &str, step: u64, size: u64) -> Map<String, Value> {
    let res = json!({"lineage": lineage, "size": size, "step": step});
    res.as_object().cloned().unwrap_or_default()
}

fn number(metadata: &Map<String, Value>, name: &str) -> u64 {
    metadata.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// Everything in a checkpoint follows from its metadata: a part is the same in all, the rest in none.
fn content(metadata: &Map<String, Value>) -> Vec<(String, Vec<u8>)> {
    let (step, size) = (number(metadata, "step"), number(metadata, "size"));
    let lineage = metadata.get("lineage").and_then(Value::as_str).unwrap_or_default();
    let seed = lineage.bytes().fold(step + 1, |it, byte| it.wrapping_mul(31).wrapping_add(u64::from(byte)));
    vec![
        ("config.json".to_owned(), b"{}".to_vec()),
        ("weights/model.bin".to_owned(), noise(size / 2, seed)),
        ("tensor:frozen".to_owned(), noise(size / 16 * 4, 0)),
        ("tensor:dense/kernel".to_owned(), noise(size / 16 * 4, seed ^ 1 << 63)),
    ]
}

/// Bytes that do not repeat (splitmix64).
fn noise(len: u64, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0xd134_2543_de82_ef95);
    let words = (0..len.div_ceil(8)).flat_map(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let it = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)).to_le_bytes()
    });
    words.take(len as usize).collect()
}

/// Reads a checkpoint whole. Returns its step; fails where anything in it is not what was written.
fn read(store: &dyn CheckpointStore, id: &CheckpointId) -> Result<u64> {
    let reader = store.open(&(), id)?;
    let metadata = &reader.manifest().metadata;
    for (name, expected) in content(metadata) {
        let found = match name.strip_prefix("tensor:") {
            Some(name) => reader.tensor(name)?.map(|it| it.bytes.to_vec()).unwrap_or_default(),
            None => {
                let mut bytes = vec![0; expected.len() + 1];
                let n_read = reader.read(&name, 0, &mut bytes)?;
                bytes.truncate(n_read);
                bytes
            }
        };
        // Never an error of the store: this must not happen, whatever was done to it.
        assert!(found == expected, "WRONG VALUE in `{name}` of {}", id.short());
    }
    Ok(number(metadata, "step"))
}

fn read_all(store: &dyn CheckpointStore) -> Result<()> {
    for lineage in store.lineages()? {
        for it in store.history(&lineage)?.checkpoints() {
            match read(store, &it.id) {
                Ok(step) => say("read", &lineage, step)?,
                // It was removed meanwhile: before it was opened, or while it was read.
                Err(e) if matches!(e.kind, ErrorKind::NotFound | ErrorKind::Gone) => {
                    if store.history(&lineage)?.contains(&it.id) {
                        return Err(e);
                    }
                    say("gone", &lineage, 0)?;
                }
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}

fn verify_all(store: &dyn CheckpointStore) -> Result<()> {
    for lineage in store.lineages()? {
        for it in store.history(&lineage)?.checkpoints() {
            checkpoint::verify(store, &(), &it.id).map_err(|e| {
                Error::io(format!("cannot verify {}: {e}", it.id.short())).with_help("look at the store")
            })?;
        }
    }
    Ok(())
}

fn export(store: &dyn CheckpointStore, is_npz: bool, to: &Path) -> Result<()> {
    let format = if is_npz { WrittenFormat::Npz } else { WrittenFormat::Safetensors };
    let history = store.history("digits")?;
    if let Some(it) = history.checkpoints().last() {
        let reader = store.open(&(), &it.id)?;
        Contents::of(reader.as_ref(), &()).and_then(|it| it.write(format, to)).map_err(unread)?;
    }
    Ok(())
}

fn diff(store: &dyn CheckpointStore, n_changed: usize) -> Result<()> {
    let history = store.history("digits")?;
    let [from, to, ..] = history.checkpoints() else {
        return Err(Error::input("there are no two checkpoints").with_help("commit them"));
    };
    let readers = [store.open(&(), &from.id)?, store.open(&(), &to.id)?];
    let [from, to] = readers.each_ref().map(|it| Contents::of(it.as_ref(), &()));
    let found = compare(&from.map_err(unread)?, &to.map_err(unread)?, &()).map_err(unread)?;
    let changed: Vec<_> = found.iter().filter(|it| matches!(it.what, Difference::Changed { .. })).collect();
    expect(changed.len() == n_changed, "other tensors changed", changed)
}

fn unread(e: ContentsError) -> Error {
    Error::io(format!("cannot read the tensors: {e}")).with_help("look at the store")
}

fn check(store: &dyn CheckpointStore, root: &Path, said: &Path, may_write: bool) -> Result<()> {
    let said = fs::read_to_string(said).map_err(|e| Error::io(format!("cannot read what was said: {e}")))?;
    // Whether each step must be there. A line that is not whole was cut off with the process.
    let mut steps: BTreeMap<(&str, u64), bool> = BTreeMap::new();
    for line in said.split_inclusive('\n').filter_map(|it| it.strip_suffix('\n')) {
        if let [what @ ("acked" | "removing"), lineage, step] = line.split(' ').collect::<Vec<_>>()[..] {
            let step = step.parse().map_err(|e| Error::input(format!("`{line}`: {e}")))?;
            steps.insert((lineage, step), what == "acked");
        }
    }
    let mut n_there = 0;
    let mut found = Vec::new();
    for lineage in store.lineages()? {
        let history = store.history(&lineage)?;
        let entries = store.log(&lineage, 0, u32::MAX)?;
        expect(entries.iter().zip(1..).all(|(it, seq)| it.seq == seq), "the log has a gap", &lineage)?;
        for it in history.checkpoints() {
            found.push((lineage.clone(), read(store, &it.id)?));
            n_there += 1;
        }
    }
    for ((lineage, step), _) in steps.iter().filter(|it| *it.1) {
        let is_there = found.iter().any(|it| it.0 == *lineage && it.1 == *step);
        expect(is_there, "an acknowledged checkpoint is lost", (lineage, step))?;
    }
    let report = store.scrub(&(), ScrubDepth::Full)?;
    expect(report.damage.is_empty(), "something is damaged", &report.damage)?;
    for it in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = it.file_name();
        expect(ENTRIES.iter().any(|it| name == *it), "something is left over", &name)?;
    }
    if may_write {
        let id = commit(store, "after", 1_000_000_000, 20_000)?;
        read(store, &id)?;
        collect(store)?;
        read_all(store)?;
    }
    println!("checked {} acked, {n_there} there", steps.values().filter(|it| **it).count());
    Ok(())
}

fn expect(is_so: bool, what: &str, which: impl Debug) -> Result<()> {
    if is_so { Ok(()) } else { Err(Error::new(ErrorKind::Other, format!("VIOLATION: {what}: {which:?}"))) }
}
