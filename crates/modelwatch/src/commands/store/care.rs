//! Checking, mending and measuring a store.

use jiff::Timestamp;
use modelwatch_sdk::{
    Host,
    store::{CheckpointStore, ScrubDepth},
};

use super::{explained, pinned, table};
use crate::{
    commands::{Code, Wrong},
    output,
    report::text,
};

pub(super) fn scrub(
    store: &dyn CheckpointStore,
    host: &dyn Host,
    fast: bool,
    sample: Option<f64>,
) -> anyhow::Result<Code> {
    let depth = match sample {
        Some(percent) if percent > 0.0 && percent <= 100.0 => {
            // Another part each time.
            let seed = Timestamp::now().as_nanosecond() as u64;
            ScrubDepth::Sampled { share: percent / 100.0, seed }
        }
        Some(it) => return Err(Wrong(format!("a share of {it} % is not above 0 and at most 100")).into()),
        None if fast => ScrubDepth::Fast,
        None => ScrubDepth::Full,
    };
    let report = store.scrub(host, depth).map_err(explained)?;
    let checkpoints = text::counted(report.checkpoints as usize, "checkpoint");
    let mut text = format!("{} without damage; {} were read and checked\n", checkpoints, text::bytes(report.bytes));
    for it in &report.damage {
        text.push_str(&format!("damaged: {it}\n"));
    }
    output::print(&text)?;
    // No damage, and not what the name says either. What cannot be read was just told of.
    for lineage in store.lineages().unwrap_or_default() {
        let pinned = store.history(&lineage).ok().and_then(|it| pinned(&lineage, &it));
        pinned.iter().for_each(|it| output::note(it));
    }
    Ok(if report.damage.is_empty() { Code::OK } else { Code::FAILED })
}

pub(super) fn repair(store: &dyn CheckpointStore, host: &dyn Host) -> anyhow::Result<Code> {
    let report = store.repair(host).map_err(explained)?;
    let mut text = String::new();
    for it in &report.mended {
        text.push_str(&format!("mended: {it}\n"));
    }
    for it in &report.lost {
        text.push_str(&format!("lost: {it}\n"));
    }
    for it in &report.unclear {
        text.push_str(&format!("unclear: {it}\n"));
    }
    if text.is_empty() {
        text.push_str("nothing is damaged\n");
    }
    output::print(&text)?;
    Ok(if report.lost.is_empty() && report.unclear.is_empty() { Code::OK } else { Code::FAILED })
}

pub(super) fn stats(store: &dyn CheckpointStore, host: &dyn Host, json: bool) -> anyhow::Result<Code> {
    let stats = store.stats(host).map_err(explained)?;
    if json {
        output::print(&serde_json::to_string_pretty(&stats)?)?;
        return Ok(Code::OK);
    }
    let mut rows = table();
    rows.add_row(["lineages", &stats.lineages.to_string()]);
    rows.add_row(["checkpoints", &stats.checkpoints.to_string()]);
    for (name, bytes) in [
        ("their size", stats.logical_bytes),
        ("without repetitions", stats.unique_bytes),
        ("on disk", stats.pack_bytes),
        ("of that, not needed", stats.spare_bytes),
        ("logs and manifests", stats.metadata_bytes),
    ] {
        rows.add_row([name, &text::bytes(bytes)]);
    }
    rows.add_row(["ratio", &format!("{:.2}", stats.ratio())]);
    output::print(&rows.to_string())?;
    Ok(Code::OK)
}

pub(super) fn doctor(store: &dyn CheckpointStore, host: &dyn Host) -> anyhow::Result<Code> {
    let report = store.doctor(host).map_err(explained)?;
    let mut text = String::new();
    for it in &report.sound {
        text.push_str(&format!("sound: {it}\n"));
    }
    for it in &report.unsound {
        text.push_str(&format!("unsound: {it}\n"));
    }
    if !report.unsound.is_empty() {
        text.push_str("do not keep a store there\n");
    }
    output::print(&text)?;
    Ok(if report.unsound.is_empty() { Code::OK } else { Code::FAILED })
}
