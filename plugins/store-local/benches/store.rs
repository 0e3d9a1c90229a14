//! What the store costs, against the limits of this machine measured in the same run: `dd` with fdatasync for
//! writing, a copy in memory, BLAKE3 and zstd, and a plain safetensors load for reading.
//!
//! `cargo xtask bench store [MIB] [save]`; 1024 MiB of weights unless said otherwise, and with `save` that alone. What was
//! promised is said beside each figure, and whether it holds. A disk is several times faster in one minute than in the next:
//! so `dd` and the save take turns, and what counts is the median of how they compare in each turn. The peers (`peers.py`) are
//! measured where `MODELWATCH_PYTHON`, or else `python3`, has them.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{
    env, fs,
    hint::black_box,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use modelwatch_config::Keep;
use modelwatch_runtime::prune;
use modelwatch_sdk::{
    DType, Store, TensorView,
    store::{CheckpointId, CheckpointStore, CollectOptions, VerdictRecord},
};
use serde_json::{Map, Value, json};
use store_local::{Config, LocalStore};

const N_TENSORS: usize = 64;

/// Whether anything that was promised does not hold.
static MISSED: AtomicBool = AtomicBool::new(false);

type Weights = Vec<(String, Vec<u8>)>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    if let [what, dir, mib] = &arguments[..] {
        measure(what, Path::new(dir), mib.parse().unwrap());
        return ended();
    }
    let mib: usize = arguments.first().and_then(|it| it.parse().ok()).unwrap_or(1024);
    let place = Place::new("disk", &PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    println!("{mib} MiB of float32 weights in {N_TENSORS} tensors\n");
    let weights = weights(mib, 0);
    let all: Vec<u8> = weights.iter().flat_map(|it| it.1.iter().copied()).collect();
    limits(&all, mib);
    let (first, id) = turns(&place, &weights, mib);
    if arguments.get(1).is_some_and(|it| it == "save") {
        return ended();
    }
    let store = open(&place.0.join("store"));
    let once = size(&place.0.join("store/packs"));
    let again = seconds(|| {
        save(open(&place.0.join("store")).as_ref(), &weights, 0);
    });
    row("save of the same again", mib, again, &under(again / first, 0.25, "× the first"));
    let moved = size(&place.0.join("store/packs")) - once;
    println!("{:<30} {}", "bytes moved by it", under(moved as f64, 1.0, "bytes"));

    let file = place.0.join("weights.safetensors");
    write_safetensors(&file, &weights);
    let plain = seconds(|| {
        let bytes = fs::read(&file).unwrap();
        let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let copied: Vec<Vec<u8>> = read.tensors().iter().map(|it| it.1.data().to_vec()).collect();
        black_box(copied);
    });
    row("safetensors, plain load", mib, plain, "");
    let reader = store.open(&(), &id).unwrap();
    let restore = seconds(|| {
        for (name, bytes) in &weights {
            assert!(reader.tensor(name).unwrap().unwrap().bytes.len() == bytes.len());
        }
    });
    row("restore, every byte verified", mib, restore, &at_most(restore / plain, 1.0, "× safetensors' time"));
    drop((reader, all, weights));
    fs::remove_dir_all(place.0.join("store")).unwrap();
    fs::remove_file(&file).unwrap();

    five_checkpoints(&place, mib);
    memory(&place, mib);
    ten_thousand(&place);
    peers(&place, mib);
    ended()
}

/// Returns what the benchmark ends with: a failure where something does not hold.
fn ended() -> ExitCode {
    if MISSED.load(Ordering::Relaxed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Saves and loads as many bytes by the libraries of others, one line each.
fn peers(place: &Place, mib: usize) {
    let python = env::var("MODELWATCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers.py");
    let run = Command::new(&python).arg(&script).arg(place.0.join("peers")).arg(mib.to_string()).status();
    let peers = "the peers (safetensors, TensorFlow, Orbax)";
    match run {
        Ok(it) if it.success() => {}
        // What failed stands above, as Python says it.
        Ok(it) => println!("FAILED in {peers}: `{python} {}` ended with {it}", script.display()),
        Err(e) => println!("SKIPPED {peers}: `{python}` does not run: {e}"),
    }
}

fn limits(all: &[u8], mib: usize) {
    let mut copy = vec![0; all.len()];
    row("copy in memory", mib, seconds(|| copy.copy_from_slice(black_box(all))), "");
    row("BLAKE3, one thread", mib, seconds(|| _ = black_box(blake3::hash(all))), "");
    let sample = &all[..all.len().min(64 << 20)];
    let took = seconds(|| drop(black_box(zstd::bulk::compress(sample, 1).unwrap())));
    row("zstd -1, one thread", sample.len() >> 20, took, "");
}

/// Lets `dd` and a save into a new store take turns, each as often in front as behind. Returns how long the last save took, and
/// its checkpoint, which stays.
fn turns(place: &Place, weights: &Weights, mib: usize) -> (f64, CheckpointId) {
    const N: usize = 8;
    let (file, dir) = (place.0.join("dd"), place.0.join("store"));
    let dd = || {
        let count = format!("count={mib}");
        let of = format!("of={}", file.display());
        let run = || Command::new("dd").args(["if=/dev/zero", &of, "bs=1M", &count, "conv=fdatasync"]).output();
        settle();
        let took = seconds(|| assert!(run().unwrap().status.success()));
        fs::remove_file(&file).unwrap();
        took
    };
    let mut last = None;
    let mut save_into = |dir: &Path, compression: &str| {
        if dir.is_dir() {
            fs::remove_dir_all(dir).unwrap();
        }
        let store = open_with(dir, compression);
        settle();
        let worked = processor();
        let took = seconds(|| last = Some(save(store.as_ref(), weights, 0)));
        (took, processor() - worked)
    };
    let shm = Path::new("/dev/shm");
    if shm.is_dir() {
        let memory = Place::new("save", shm);
        let kinds = [("save, in memory", "adaptive"), ("the same, compressed", "always"), ("not compressed", "never")];
        for (what, compression) in kinds {
            let (took, worked) = save_into(&memory.0.join("store"), compression);
            row(what, mib, took, &format!("{worked:.2} s of processor time"));
        }
    }
    let [mut raw, mut squeezed, mut saves, mut work, mut ratios] = [const { Vec::new() }; 5];
    for turn in 0..N {
        let before = (turn % 2 == 0).then(dd);
        squeezed.push(save_into(&place.0.join("always"), "always").0);
        fs::remove_dir_all(place.0.join("always")).unwrap();
        let (took, worked) = save_into(&dir, "adaptive");
        let of_dd = before.unwrap_or_else(dd);
        println!("turn {:<25} {of_dd:>8.2} s dd, {took:.2} s save: {:.2} × dd's speed", turn + 1, of_dd / took);
        raw.push(of_dd);
        saves.push(took);
        work.push(worked);
        ratios.push(of_dd / took);
    }
    let first = *saves.last().unwrap();
    [&mut raw, &mut squeezed, &mut saves, &mut work, &mut ratios].into_iter().for_each(|it| it.sort_by(f64::total_cmp));
    row("dd conv=fdatasync, median", mib, median(&raw), &spread(&raw, "s"));
    row("save, compressed, median", mib, median(&squeezed), &spread(&squeezed, "s"));
    row("save, durable, median", mib, median(&saves), &spread(&saves, "s"));
    row("its processor time, median", mib, median(&work), &spread(&work, "s"));
    let spread = spread(&ratios, "×");
    println!("{:<30} {}  ({spread})", "median of the turns", at_least(median(&ratios), 0.8, "× dd's speed"));
    (first, last.unwrap())
}

/// Waits for what was written and removed before, so that the one pays for nothing of the other.
fn settle() {
    assert!(Command::new("sync").status().unwrap().success());
}

fn median(sorted: &[f64]) -> f64 {
    (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0
}

fn spread(sorted: &[f64], unit: &str) -> String {
    format!("from {:.2} to {:.2} {unit}", sorted[0], sorted[sorted.len() - 1])
}

/// A fifth of the time the whole, four times a tenth of the tensors.
fn five_checkpoints(place: &Place, mib: usize) {
    let dir = place.0.join("five");
    // Else how large each of them is depends on the disk.
    let store = open_with(&dir, "always");
    let mut weights = weights(mib, 1);
    save(store.as_ref(), &weights, 0);
    let one = size(&dir.join("packs"));
    for step in 1..5 {
        let n = N_TENSORS.div_ceil(10);
        // Each of them in its own way: what is the same is stored once.
        for (at, it) in weights.iter_mut().enumerate().skip(step * n).take(n) {
            it.1 = noise(it.1.len() / 4, (step * 1000 + at) as u64);
        }
        save(store.as_ref(), &weights, step as u64);
    }
    let ratio = size(&dir.join("packs")) as f64 / one as f64;
    println!("{:<30} {}", "five, a tenth changed each time", at_most(ratio, 1.45, "× one"));
    drop(store);
    fs::remove_dir_all(dir).unwrap();
}

/// Saves or restores in a process of its own, which says how much memory it took at most.
fn memory(place: &Place, mib: usize) {
    for what in ["save", "restore"] {
        let dir = place.0.join("memory");
        let mut child = Command::new(env::current_exe().unwrap());
        let output = child.args([what, dir.to_str().unwrap(), &mib.to_string()]).output().unwrap();
        print!("{}", String::from_utf8_lossy(&output.stdout));
        if !output.status.success() {
            MISSED.store(true, Ordering::Relaxed);
            println!("{:<30} {}: MISSED", format!("the {what} that was measured"), output.status);
            print!("{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    fs::remove_dir_all(place.0.join("memory")).unwrap();
}

fn measure(what: &str, dir: &Path, mib: usize) {
    let store = open(dir);
    let weights = weights(mib, 3);
    let caller = resident();
    if what == "save" {
        save(store.as_ref(), &weights, 0);
    } else {
        // The reader holds what the caller held before.
        let names: Vec<String> = weights.into_iter().map(|it| it.0).collect();
        let id = store.history("bench").unwrap().checkpoints()[0].id.clone();
        let reader = store.open(&(), &id).unwrap();
        names.iter().for_each(|it| assert!(black_box(reader.tensor(it).unwrap()).is_some()));
    }
    let beyond = (peak() - caller) as f64 / 1024.0;
    println!("{:<30} {}", format!("memory of a {what}"), under(beyond, 200.0, "MiB beyond the caller's tensors"));
}

/// Made in memory, since each of them is synced, and measured on the disk.
fn ten_thousand(place: &Place) {
    const N_KEPT: u64 = 100;
    let shm = Path::new("/dev/shm");
    if !shm.is_dir() {
        println!("SKIPPED ten thousand checkpoints: there is no /dev/shm, and on a disk they take minutes to make");
        return;
    }
    let made = Place::new("many", shm);
    let store = open(&made.0);
    let ids: Vec<CheckpointId> =
        (0..10_000).map(|step| save(store.as_ref(), &[("w".into(), noise(16, step))], step)).collect();
    // Places to go back to, which are read and verified before anything goes, as what the policy keeps is.
    for at in [10, 5_000, 9_990] {
        let verdict = VerdictRecord {
            verdict: "pass".into(),
            pipeline: "bench".into(),
            run_id: at.to_string(),
            metrics: Default::default(),
            blessing: None,
        };
        store.record_verdict("bench", &ids[at], &verdict).unwrap();
    }
    store.set_ref("bench", "production", &ids[9_990], None, "bench").unwrap();
    drop(store);
    let dir = place.0.join("many");
    assert!(Command::new("cp").arg("-r").args([&made.0, &dir]).status().unwrap().success());
    drop(made);
    let opened = seconds(|| assert_eq!(open(&dir).history("bench").unwrap().checkpoints().len(), ids.len()));
    println!("{:<30} {}", "open of 10 000 checkpoints", under(opened * 1000.0, 200.0, "ms"));
    let store = open(&dir);
    let policy = Keep {
        last: Some(N_KEPT),
        best: Vec::new(),
        every_steps: Some(1_000),
        within: None,
        grace: Duration::ZERO,
        prune: false,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (mut n_removed, mut n_files) = (0, 0);
    let pruned = seconds(|| {
        let history = store.history("bench").unwrap();
        let plan = prune::plan(store.as_ref(), &(), &history, &policy, now, &|_, _| true).unwrap();
        n_removed = prune::remove(store.as_ref(), &(), "bench", &plan, "bench").unwrap();
        n_files = store.collect(&(), &CollectOptions { grace: 0, dry_run: false }).unwrap().swept.files;
    });
    println!("{:<30} {}", "prune of them by policy", under(pruned, 10.0, "s"));
    println!("{:<30} {n_removed} checkpoints, {n_files} files", "removed by it");
    fs::remove_dir_all(dir).unwrap();
}

fn open(dir: &Path) -> Box<dyn CheckpointStore> {
    open_with(dir, "adaptive")
}

fn open_with(dir: &Path, compression: &str) -> Box<dyn CheckpointStore> {
    let options = json!({"path": dir, "create": true, "compression": compression});
    LocalStore::open(serde_json::from_value::<Config>(options).unwrap()).unwrap()
}

fn save(store: &dyn CheckpointStore, weights: &[(String, Vec<u8>)], step: u64) -> CheckpointId {
    let metadata: Map<String, Value> = [("step".to_owned(), Value::from(step))].into_iter().collect();
    let mut writer = store.begin(&(), "bench", &metadata).unwrap();
    for (name, bytes) in weights {
        let shape = [bytes.len() as u64 / 4];
        writer.tensor(&TensorView { name, dtype: DType::F32, shape: &shape, bytes }).unwrap();
    }
    writer.commit().unwrap()
}

fn weights(mib: usize, seed: u64) -> Weights {
    let n = (mib << 20) / 4 / N_TENSORS;
    (0..N_TENSORS).map(|it| (format!("layer.{it:02}.kernel"), noise(n, seed * 100 + it as u64))).collect()
}

/// Float32 numbers that are distributed about normally, as weights are: sums of four uniform ones.
fn noise(n: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut res = Vec::with_capacity(4 * n);
    for _ in 0..n {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let sum: f32 = (0..4).map(|it| (state >> (16 * it) & 0xffff) as f32 / 65_536.0 - 0.5).sum();
        res.extend_from_slice(&(sum * 0.05).to_le_bytes());
    }
    res
}

fn write_safetensors(path: &Path, weights: &Weights) {
    fn view(it: &(String, Vec<u8>)) -> safetensors::tensor::TensorView<'_> {
        let shape = vec![it.1.len() / 4];
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &it.1).unwrap()
    }
    let views: Vec<_> = weights.iter().map(|it| (it.0.clone(), view(it))).collect();
    let bytes = safetensors::serialize(views, None).unwrap();
    fs::File::create(path).unwrap().write_all(&bytes).unwrap();
}

struct Place(PathBuf);

impl Place {
    fn new(name: &str, below: &Path) -> Self {
        let path = below.join(format!("modelwatch-bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn seconds(what: impl FnOnce()) -> f64 {
    let start = Instant::now();
    what();
    start.elapsed().as_secs_f64()
}

fn at_least(value: f64, bound: f64, unit: &str) -> String {
    promised(value, unit, "at least", bound, value >= bound)
}

fn at_most(value: f64, bound: f64, unit: &str) -> String {
    promised(value, unit, "at most", bound, value <= bound)
}

fn under(value: f64, bound: f64, unit: &str) -> String {
    promised(value, unit, "under", bound, value < bound)
}

fn promised(value: f64, unit: &str, relation: &str, bound: f64, holds: bool) -> String {
    MISSED.fetch_or(!holds, Ordering::Relaxed);
    format!("{value:.2} {unit}; {relation} {bound} is wanted: {}", if holds { "holds" } else { "MISSED" })
}

fn row(what: &str, mib: usize, seconds: f64, note: &str) {
    println!("{what:<30} {seconds:>8.2} s {:>8.0} MiB/s  {note}", mib as f64 / seconds);
}

fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(|it| it.unwrap().path());
    entries.map(|it| if it.is_dir() { size(&it) } else { it.metadata().unwrap().len() }).sum()
}

/// Seconds that the threads of this process ran so far, by the clock of the scheduler's ticks.
fn processor() -> f64 {
    const TICKS: f64 = 100.0;
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |it| it.1).split_whitespace();
    fields.skip(11).take(2).filter_map(|it| it.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// KiB of this process that are in memory now.
fn resident() -> u64 {
    status("VmRSS:")
}

/// KiB that were in memory at most.
fn peak() -> u64 {
    status("VmHWM:")
}

fn status(key: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|it| it.strip_prefix(key)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
