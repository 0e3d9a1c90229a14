//! The store, which keeps nothing, or what the local one does.

use modelwatch_sdk::{
    Error, ErrorKind, Host, Result, Store, TensorView,
    store::{
        CheckpointId, CheckpointManifest, CheckpointReader, CheckpointStore, CheckpointWriter, CollectOptions,
        CollectReport, DoctorReport, LogEntry, RepairReport, ScrubDepth, ScrubReport, StoreStats, VerdictRecord,
    },
};
use serde_json::{Map, Value, json};

use crate::config::{Config, Fault};

/// The store `faulty`.
pub struct FaultyStore {
    fault: Fault,
    keeper: Option<Box<dyn CheckpointStore>>,
}

struct Writer {
    fault: Fault,
    keeper: Option<Box<dyn CheckpointWriter>>,
}

struct Reader {
    fault: Fault,
    keeper: Box<dyn CheckpointReader>,
    manifest: CheckpointManifest,
}

impl Store for FaultyStore {
    const NAME: &'static str = "faulty";
    type Config = Config;
    fn open(config: Config) -> Result<Box<dyn CheckpointStore>> {
        let Config { fault, path, .. } = config.opened()?;
        let local = |path| store_local::registry().open_store("local", &json!({ "path": path }));
        Ok(Box::new(Self { fault, keeper: path.map(local).transpose()? }))
    }
}

impl CheckpointStore for FaultyStore {
    fn begin(
        &self,
        host: &dyn Host,
        lineage: &str,
        metadata: &Map<String, Value>,
    ) -> Result<Box<dyn CheckpointWriter>> {
        self.fault.at(Fault::Begin);
        let keeper = self.keeper.as_ref().map(|it| it.begin(host, lineage, metadata)).transpose()?;
        Ok(Box::new(Writer { fault: self.fault, keeper }))
    }
    fn open(&self, host: &dyn Host, id: &CheckpointId) -> Result<Box<dyn CheckpointReader>> {
        self.fault.at(Fault::OpenCheckpoint);
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no checkpoint `{}`", id.short()));
        let keeper = self.keeper.as_ref().ok_or_else(missing)?.open(host, id)?;
        let mut manifest = keeper.manifest().clone();
        match self.fault {
            Fault::OtherManifest => drop(manifest.metadata.insert("step".to_owned(), 99.into())),
            Fault::OtherOrder => manifest.files.reverse(),
            _ => {}
        }
        Ok(Box::new(Reader { fault: self.fault, keeper, manifest }))
    }
    fn lineages(&self) -> Result<Vec<String>> {
        self.fault.at(Fault::Lineages);
        self.keeper.as_ref().map_or(Ok(Vec::new()), |it| it.lineages())
    }
    fn log(&self, lineage: &str, after: u64, limit: u32) -> Result<Vec<LogEntry>> {
        self.fault.at(Fault::Log);
        self.keeper.as_ref().map_or(Ok(Vec::new()), |it| it.log(lineage, after, limit))
    }
    fn set_ref(
        &self,
        lineage: &str,
        name: &str,
        id: &CheckpointId,
        expected: Option<&CheckpointId>,
        reason: &str,
    ) -> Result<()> {
        self.fault.at(Fault::SetRef);
        self.keeper.as_ref().map_or(Ok(()), |it| it.set_ref(lineage, name, id, expected, reason))
    }
    fn record_verdict(&self, lineage: &str, id: &CheckpointId, verdict: &VerdictRecord) -> Result<()> {
        self.fault.at(Fault::RecordVerdict);
        self.keeper.as_ref().map_or(Ok(()), |it| it.record_verdict(lineage, id, verdict))
    }
    fn unset_ref(&self, lineage: &str, name: &str, expected: &CheckpointId, reason: &str) -> Result<()> {
        self.fault.at(Fault::UnsetRef);
        self.keeper.as_ref().map_or(Ok(()), |it| it.unset_ref(lineage, name, expected, reason))
    }
    fn remove(&self, lineage: &str, ids: &[CheckpointId], reason: &str) -> Result<()> {
        self.fault.at(Fault::Remove);
        self.keeper.as_ref().map_or(Ok(()), |it| it.remove(lineage, ids, reason))
    }
    fn scrub(&self, host: &dyn Host, depth: ScrubDepth) -> Result<ScrubReport> {
        self.fault.at(Fault::Scrub);
        self.keeper.as_ref().map_or(Ok(ScrubReport::default()), |it| it.scrub(host, depth))
    }
    fn collect(&self, host: &dyn Host, options: &CollectOptions) -> Result<CollectReport> {
        self.fault.at(Fault::Collect);
        self.keeper.as_ref().map_or(Ok(CollectReport::default()), |it| it.collect(host, options))
    }
    fn repair(&self, host: &dyn Host) -> Result<RepairReport> {
        self.fault.at(Fault::Repair);
        self.keeper.as_ref().map_or(Ok(RepairReport::default()), |it| it.repair(host))
    }
    fn stats(&self, host: &dyn Host) -> Result<StoreStats> {
        self.fault.at(Fault::Stats);
        self.keeper.as_ref().map_or(Ok(StoreStats::default()), |it| it.stats(host))
    }
    fn doctor(&self, host: &dyn Host) -> Result<DoctorReport> {
        self.fault.at(Fault::Doctor);
        self.keeper.as_ref().map_or(Ok(DoctorReport::default()), |it| it.doctor(host))
    }
    fn check_clock(&self, host: &dyn Host) -> Result<()> {
        self.fault.at(Fault::CheckClock);
        self.keeper.as_ref().map_or(Ok(()), |it| it.check_clock(host))
    }
}

impl Drop for FaultyStore {
    fn drop(&mut self) {
        self.fault.at(Fault::Drop);
    }
}

impl CheckpointWriter for Writer {
    fn append(&mut self, file: &str, bytes: &[u8]) -> Result<()> {
        self.fault.at(Fault::Append);
        self.keeper.as_mut().map_or(Ok(()), |it| it.append(file, bytes))
    }
    fn tensor(&mut self, tensor: &TensorView<'_>) -> Result<()> {
        self.fault.at(Fault::UpdateTensor);
        self.keeper.as_mut().map_or(Ok(()), |it| it.tensor(tensor))
    }
    fn publish(&mut self) -> Result<CheckpointId> {
        self.fault.at(Fault::Commit);
        self.keeper.take().map_or_else(|| CheckpointId::parse(&"0".repeat(64)), |it| it.commit())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.fault.at(Fault::WriterDrop);
    }
}

impl CheckpointReader for Reader {
    fn manifest(&self) -> &CheckpointManifest {
        self.fault.at(Fault::Manifest);
        &self.manifest
    }
    fn read(&self, file: &str, offset: u64, out: &mut [u8]) -> Result<usize> {
        self.fault.at(Fault::Read);
        match self.fault {
            Fault::OtherFile => self.keeper.read(file, offset, out).map(|n| flipped(n, out)),
            Fault::Endless => Ok(out.len()),
            _ => self.keeper.read(file, offset, out),
        }
    }
    fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>> {
        self.fault.at(Fault::Tensor);
        let found = self.keeper.tensor(name)?;
        Ok(match self.fault {
            // Other bytes of the same length: a flipped bit, seen from afar.
            Fault::OtherTensor => found.map(|it| TensorView { bytes: &ZEROS[..it.bytes.len()], ..it }),
            Fault::Endless => None,
            _ => found,
        })
    }
    fn read_tensor(&self, name: &str, offset: u64, out: &mut [u8]) -> Result<usize> {
        self.fault.at(Fault::ReadTensor);
        match self.fault {
            Fault::OtherTensor => self.keeper.read_tensor(name, offset, out).map(|n| flipped(n, out)),
            Fault::Endless => Ok(out.len()),
            _ => self.keeper.read_tensor(name, offset, out),
        }
    }
}

static ZEROS: [u8; 64] = [0; 64];

fn flipped(n: usize, out: &mut [u8]) -> usize {
    if let Some(it) = out[..n].last_mut() {
        *it ^= 1;
    }
    n
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.fault.at(Fault::ReaderDrop);
    }
}
