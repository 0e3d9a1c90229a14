//! Whether what is to be imported is worth a checkpoint of its own.
//!
//! Any rule that says so is enough. A rule about what the checkpoint says of itself never counts as met where it says nothing;
//! where it cannot be compared with the newest one, as when that is damaged, it is stored: nobody knows that it is not worth it.

use std::{path::Path, time::Duration};

use modelwatch_config::{Improved, Save};
use modelwatch_sdk::{
    ErrorKind, Host,
    store::{CheckpointStore, CheckpointSummary, History},
};
use modelwatch_tensors::{DType, Lost, Skipped, TensorError, TensorFile, TensorInfo};

use crate::{
    checkpoint::{CheckpointError, lay_out},
    prune,
    retain::{Facts, metric},
};

/// What is to be imported.
pub struct Arriving<'a> {
    /// The file or folder.
    pub path: &'a Path,
    /// What it says of itself.
    pub facts: &'a Facts,
    /// The run was told to end, and this may be the last chance.
    pub preempted: bool,
    /// Seconds since 1970.
    pub now: u64,
}

/// Returns `None` where it is to be stored, else why it is not, rule by rule.
///
/// # Errors
/// When the store cannot be read, what arrives is written to meanwhile, or the caller was told to stop.
pub fn why_not(
    rules: &Save,
    store: &dyn CheckpointStore,
    host: &dyn Host,
    history: &History,
    arriving: &Arriving<'_>,
) -> Result<Option<String>, CheckpointError> {
    let Some(newest) = history.checkpoints().last() else { return Ok(None) };
    if rules.on_signal && arriving.preempted {
        return Ok(None);
    }
    let mut reasons = Vec::new();
    let mut is_met = |it: Result<(), String>| it.map_err(|why| reasons.push(why)).is_ok();
    if rules.every.is_some_and(|every| is_met(old_enough(every, newest.time, arriving.now))) {
        return Ok(None);
    }
    if let Some(every) = rules.every_steps {
        let before = store.open(host, &newest.id).ok().map(|it| prune::of_metadata(&it.manifest().metadata));
        if is_met(far_enough(every, before.and_then(|it| it.step), arriving.facts.step)) {
            return Ok(None);
        }
    }
    if let Some(rule) = &rules.improved {
        let facts = prune::facts(store, host, history)?;
        let none = Facts::default();
        let all = history.checkpoints().iter();
        let values = all.filter_map(|it| training_metric(it, facts.get(&it.id).unwrap_or(&none), &rule.metric));
        if is_met(improved(rule, values, arriving.facts.metrics.get(&rule.metric).copied())) {
            return Ok(None);
        }
    }
    if let Some(least) = rules.changed {
        let laid = store.open(host, &newest.id).map_err(CheckpointError::from);
        let laid = laid.and_then(|it| lay_out(it.as_ref(), host));
        let change = match laid {
            Err(CheckpointError::Store(e)) if matches!(e.kind, ErrorKind::Cancelled | ErrorKind::Io) => {
                return Err(e.into());
            }
            Err(_) => None,
            Ok(laid) => change_since(laid.path(), arriving.path)?,
        };
        if is_met(changed(least, change)) {
            return Ok(None);
        }
    }
    if rules.on_signal {
        reasons.push("the run was not told to end".to_owned());
    }
    Ok(Some(format!("no rule of `[checkpoint.save]` says that it is to be stored: {}", reasons.join("; "))))
}

/// The training loop's own number first, since that is what the arriving one has.
fn training_metric(checkpoint: &CheckpointSummary, facts: &Facts, name: &str) -> Option<f64> {
    let said = facts.metrics.get(name).copied().filter(|it| it.is_finite());
    said.or_else(|| metric(checkpoint, facts, name))
}

fn old_enough(every: Duration, before: u64, now: u64) -> Result<(), String> {
    // A clock that was set back must not hold checkpoints off.
    if before > now || Duration::from_secs(now - before) >= every {
        return Ok(());
    }
    let (age, every) = (now - before, every.as_secs_f64());
    Err(format!("the newest checkpoint is {age} seconds old, less than {every}"))
}

fn far_enough(every: u64, before: Option<u64>, now: Option<u64>) -> Result<(), String> {
    match (before, now) {
        (_, None) => Err("it does not say its step".to_owned()),
        // Training that went back and goes on from there is as far from the newest checkpoint.
        (Some(before), Some(now)) if before.abs_diff(now) < every => {
            let steps = match before.abs_diff(now) {
                1 => "1 step".to_owned(),
                n => format!("{n} steps"),
            };
            Err(format!("step {now} is {steps} from step {before}, less than {every}"))
        }
        _ => Ok(()),
    }
}

fn improved(rule: &Improved, before: impl Iterator<Item = f64>, now: Option<f64>) -> Result<(), String> {
    let name = &rule.metric;
    let Some(now) = now.filter(|it| it.is_finite()) else {
        return Err(format!("it has no finite `{name}`"));
    };
    let best = before.reduce(|best, it| if rule.mode.is_better(it, best) { it } else { best });
    let Some(best) = best else { return Ok(()) };
    if rule.mode.is_better(now, best) && (now - best).abs() > rule.min_delta {
        return Ok(());
    }
    let (mode, delta) = (rule.mode.as_str(), rule.min_delta);
    Err(format!("`{name}` is {now} where the best is {best} ({mode}, by more than {delta})"))
}

/// Returns by how much the weights changed; none where that cannot be told. What is still written to has not arrived.
fn change_since(old: &Path, arriving: &Path) -> Result<Option<f64>, CheckpointError> {
    let new = TensorFile::open(arriving);
    let compared = |old: TensorFile, new: &TensorFile| {
        let res = change(&old, new)?;
        old.check()?;
        Ok::<_, TensorError>(res)
    };
    let old = TensorFile::open(old).ok();
    let res = old.zip(new.as_ref().ok()).and_then(|(old, new)| compared(old, new).ok());
    match new.and_then(|it| it.check()) {
        Err(TensorError::Cut { path }) => Err(CheckpointError::Changed { path }),
        _ => Ok(res),
    }
}

/// `change` is none where it cannot be told.
fn changed(least: f64, change: Option<f64>) -> Result<(), String> {
    match change {
        Some(change) if change <= least || change.is_nan() => {
            Err(format!("the weights changed by {change:.3e} of their norm, not more than {least}"))
        }
        _ => Ok(()),
    }
}

/// Returns whether a tensor holds weights: floats, or the integers of eight bits that quantized ones are. Those of one
/// axis are rather the state of a generator of random numbers, or points of zero.
fn is_weights(it: &TensorInfo) -> bool {
    it.dtype.is_float() || matches!(it.dtype, DType::I8 | DType::U8) && it.shape.len() > 1
}

/// Returns `‖new − old‖ / ‖old‖` over all weights; infinite where one is new, gone, of another shape or, in another place than
/// before, not a number. So it is where one that is not read has other bytes, or is of numbers
/// and nobody knows whether it has.
fn change(old: &TensorFile, new: &TensorFile) -> Result<f64, TensorError> {
    let weights = |it: &TensorFile| it.infos().iter().filter(|it| is_weights(it)).cloned().collect::<Vec<_>>();
    let (before, after) = (weights(old), weights(new));
    let same = |(a, b): (&TensorInfo, &TensorInfo)| a.name == b.name && a.shape == b.shape;
    if before.len() != after.len() || !before.iter().zip(&after).all(same) {
        return Ok(f64::INFINITY);
    }
    let unread = |it: &TensorFile| {
        let lost = it.skipped().iter().filter(|it| it.lost != Lost::Nothing);
        lost.cloned().collect::<Vec<Skipped>>()
    };
    let (unread_before, unread_after) = (unread(old), unread(new));
    if unread_before != unread_after || unread_before.iter().any(|it| it.lost == Lost::Numbers && it.stored().is_none())
    {
        return Ok(f64::INFINITY);
    }
    let (mut difference, mut norm) = (0.0, 0.0);
    for it in &before {
        let (Some(old), Some(new)) = (old.get(&it.name), new.get(&it.name)) else { continue };
        let (old, new) = (old?, new?);
        for (a, b) in old.view().to_f64_iter().zip(new.view().to_f64_iter()) {
            if a == b || (a.is_nan() && b.is_nan()) {
                norm += if a.is_finite() { a * a } else { 0.0 };
            } else if !(a.is_finite() && b.is_finite()) {
                return Ok(f64::INFINITY);
            } else {
                norm += a * a;
                difference += (b - a) * (b - a);
            }
        }
    }
    Ok(if difference == 0.0 { 0.0 } else { (difference / norm).sqrt() })
}

#[cfg(test)]
mod tests {
    use modelwatch_config::Mode;
    use modelwatch_tensors::NpzWriter;

    use super::*;

    fn rule(mode: Mode, min_delta: f64) -> Improved {
        Improved { metric: "loss".to_owned(), mode, min_delta }
    }

    #[test]
    fn nan_never_improves_on_anything() {
        let min = rule(Mode::Min, 0.1);
        for bad in [None, Some(f64::NAN), Some(f64::NEG_INFINITY)] {
            assert_eq!(improved(&min, [1.0].into_iter(), bad).unwrap_err(), "it has no finite `loss`");
        }
        assert_eq!(improved(&min, [].into_iter(), Some(5.0)), Ok(()));
        assert_eq!(improved(&min, [1.0, 0.5].into_iter(), Some(0.3)), Ok(()));
        let why = improved(&min, [1.0, 0.5].into_iter(), Some(0.45)).unwrap_err();
        assert_eq!(why, "`loss` is 0.45 where the best is 0.5 (min, by more than 0.1)");
        assert!(improved(&rule(Mode::Max, 0.0), [0.5].into_iter(), Some(0.5)).is_err());
        assert!(improved(&rule(Mode::Max, 0.0), [0.5].into_iter(), Some(0.6)).is_ok());
    }

    #[test]
    fn steps_and_times_that_went_back_hold_nothing_off() {
        assert_eq!(
            far_enough(100, Some(1000), Some(1050)).unwrap_err(),
            "step 1050 is 50 steps from step 1000, less than 100"
        );
        assert_eq!(
            far_enough(100, Some(1000), Some(1001)).unwrap_err(),
            "step 1001 is 1 step from step 1000, less than 100"
        );
        for (before, now) in [(Some(1000), 1100), (Some(1000), 10), (None, 5)] {
            assert_eq!(far_enough(100, before, Some(now)), Ok(()));
        }
        assert!(far_enough(100, None, None).is_err());
        let minute = Duration::from_secs(60);
        assert_eq!(old_enough(minute, 100, 130).unwrap_err(), "the newest checkpoint is 30 seconds old, less than 60");
        assert_eq!((old_enough(minute, 100, 160), old_enough(minute, 100, 99)), (Ok(()), Ok(())));
    }

    #[test]
    fn change_is_relative_and_compares_like_with_like() {
        let write = |name: &str, values: &[f32]| {
            let path = std::env::temp_dir().join(format!("modelwatch-due-{}-{name}.npy", std::process::id()));
            let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}", values.len());
            let mut bytes = b"\x93NUMPY\x01\0\x76\0".to_vec();
            bytes.extend(format!("{header:<117}\n").bytes());
            values.iter().for_each(|it| bytes.extend(it.to_le_bytes()));
            std::fs::write(&path, bytes).unwrap();
            let res = TensorFile::open(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            res
        };
        let nan = f32::NAN;
        for (old, new, expected) in [
            (&[3.0, 4.0][..], &[3.0, 4.0][..], 0.0),
            (&[3.0, 4.0], &[3.0, 4.5], 0.1),
            (&[0.0, 0.0], &[0.0, 1.0], f64::INFINITY),
            (&[1.0], &[1.0, 2.0], f64::INFINITY),
            (&[1.0, nan], &[1.0, nan], 0.0),
            (&[1.0, 2.0], &[1.0, nan], f64::INFINITY),
        ] {
            assert_eq!(change(&write("it", old), &write("it", new)).unwrap(), expected, "{old:?} {new:?}");
        }
        assert!(changed(0.01, Some(f64::NAN)).is_err() && changed(0.01, Some(f64::INFINITY)).is_ok());
        assert!(changed(0.01, None).is_ok(), "nobody knows that it is not worth it");
    }

    #[test]
    fn a_change_that_cannot_be_told_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["old.npz", "new.npz"].map(|it| folder.path().join(it));
        let write = |path: &Path, weight: f32| {
            let mut archive = NpzWriter::new(std::fs::File::create(path).unwrap());
            archive.array("w", "<f4", &[1], 4, |to| to.write_all(&weight.to_le_bytes())).unwrap();
            archive.finish().unwrap();
        };
        write(&old, 2.0);
        write(&new, 3.0);
        assert_eq!(change_since(&old, &new).unwrap(), Some(0.5));
        std::fs::write(&new, "damaged").unwrap();
        assert_eq!(change_since(&old, &new).unwrap(), None);
    }

    /// Texts beside the weights are no numbers that may have changed, also where their bytes are not known.
    #[test]
    fn what_holds_no_numbers_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let open = |weight: f32| {
            let path = folder.path().join("w.npz");
            let mut archive = NpzWriter::new(std::fs::File::create(&path).unwrap());
            archive.array("names", "<U1", &[2], 8, |to| to.write_all(&[b'a', 0, 0, 0, b'b', 0, 0, 0])).unwrap();
            archive.array("w", "<f4", &[1], 4, |to| to.write_all(&weight.to_le_bytes())).unwrap();
            archive.finish().unwrap();
            let res = TensorFile::open(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            res
        };
        let skipped = open(1.0).skipped()[0].clone();
        assert_eq!((skipped.lost, skipped.stored()), (Lost::Finite, None));
        assert_eq!(change(&open(2.0), &open(2.0)).unwrap(), 0.0);
        assert_eq!(change(&open(2.0), &open(3.0)).unwrap(), 0.5);
    }

    #[test]
    fn quantized_weights_change_and_so_does_what_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let open = |dtype: &str, shape: &str, values: &[u8]| {
            let path = folder.path().join("w.safetensors");
            let n = values.len();
            let header = format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{n}]}}}}"#);
            let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), values].concat();
            std::fs::write(&path, bytes).unwrap();
            let res = TensorFile::open(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            res
        };
        for (dtype, shape, old, new, expected) in [
            ("I8", "[1,2]", &[3, 4], &[3, 4], 0.0),
            ("I8", "[1,2]", &[3, 4], &[3, 9], 1.0),
            ("U8", "[2,1]", &[3, 4], &[6, 8], 1.0),
            // As the state of a generator of random numbers.
            ("U8", "[2]", &[3, 4], &[6, 8], 0.0),
            ("I16", "[1]", &[3, 4], &[6, 8], 0.0),
            ("F8_E4M3", "[2]", &[3, 4], &[3, 4], 0.0),
            ("F8_E4M3", "[2]", &[3, 4], &[3, 5], f64::INFINITY),
        ] {
            let found = change(&open(dtype, shape, old), &open(dtype, shape, new)).unwrap();
            assert_eq!(found, expected, "{dtype} {shape}");
        }
    }
}
