//! A store, held to the ids of its checkpoints, wherever its plugin is.
//!
//! Whoever reads a checkpoint gets it from here, so that nobody can forget to look.

use modelwatch_sdk::{
    Host, Result, TensorView,
    store::{
        CheckpointId, CheckpointManifest, CheckpointReader, CheckpointStore, CheckpointWriter, CollectOptions,
        CollectReport, DoctorReport, History, LogEntry, RepairReport, ScrubDepth, ScrubReport, StoreStats,
        VerdictRecord,
    },
};
use serde_json::{Map, Value};

use crate::checkpoint::{check_manifest, check_tensor};

/// A store whose manifests and whole tensors are held against the ids that they are asked for by. What is read of one
/// piece by piece is held against them by whoever has all of it.
pub(crate) struct HeldStore(Box<dyn CheckpointStore>);

struct HeldReader(Box<dyn CheckpointReader>);

impl HeldStore {
    pub(crate) fn new(store: Box<dyn CheckpointStore>) -> Self {
        Self(store)
    }
}

impl CheckpointStore for HeldStore {
    fn begin(
        &self,
        host: &dyn Host,
        lineage: &str,
        metadata: &Map<String, Value>,
    ) -> Result<Box<dyn CheckpointWriter>> {
        self.0.begin(host, lineage, metadata)
    }
    fn open(&self, host: &dyn Host, id: &CheckpointId) -> Result<Box<dyn CheckpointReader>> {
        let reader = self.0.open(host, id)?;
        check_manifest(id, reader.manifest())?;
        Ok(Box::new(HeldReader(reader)))
    }
    fn lineages(&self) -> Result<Vec<String>> {
        self.0.lineages()
    }
    fn log(&self, lineage: &str, after: u64, limit: u32) -> Result<Vec<LogEntry>> {
        self.0.log(lineage, after, limit)
    }
    fn set_ref(
        &self,
        lineage: &str,
        name: &str,
        id: &CheckpointId,
        expected: Option<&CheckpointId>,
        reason: &str,
    ) -> Result<()> {
        self.0.set_ref(lineage, name, id, expected, reason)
    }
    fn record_verdict(&self, lineage: &str, id: &CheckpointId, verdict: &VerdictRecord) -> Result<()> {
        self.0.record_verdict(lineage, id, verdict)
    }
    fn unset_ref(&self, lineage: &str, name: &str, expected: &CheckpointId, reason: &str) -> Result<()> {
        self.0.unset_ref(lineage, name, expected, reason)
    }
    fn remove(&self, lineage: &str, ids: &[CheckpointId], reason: &str) -> Result<()> {
        self.0.remove(lineage, ids, reason)
    }
    fn scrub(&self, host: &dyn Host, depth: ScrubDepth) -> Result<ScrubReport> {
        self.0.scrub(host, depth)
    }
    fn collect(&self, host: &dyn Host, options: &CollectOptions) -> Result<CollectReport> {
        self.0.collect(host, options)
    }
    fn repair(&self, host: &dyn Host) -> Result<RepairReport> {
        self.0.repair(host)
    }
    fn stats(&self, host: &dyn Host) -> Result<StoreStats> {
        self.0.stats(host)
    }
    fn doctor(&self, host: &dyn Host) -> Result<DoctorReport> {
        self.0.doctor(host)
    }
    fn check_clock(&self, host: &dyn Host) -> Result<()> {
        self.0.check_clock(host)
    }
    fn close(&mut self) -> Result<()> {
        self.0.close()
    }
    fn history(&self, lineage: &str) -> Result<History> {
        self.0.history(lineage)
    }
    fn get_ref(&self, lineage: &str, name: &str) -> Result<Option<CheckpointId>> {
        self.0.get_ref(lineage, name)
    }
}

impl CheckpointReader for HeldReader {
    fn manifest(&self) -> &CheckpointManifest {
        self.0.manifest()
    }
    fn read(&self, file: &str, offset: u64, out: &mut [u8]) -> Result<usize> {
        self.0.read(file, offset, out)
    }
    fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>> {
        let found = self.0.tensor(name)?;
        check_tensor(self.0.manifest(), name, found.as_ref())?;
        Ok(found)
    }
    fn read_tensor(&self, name: &str, offset: u64, out: &mut [u8]) -> Result<usize> {
        self.0.read_tensor(name, offset, out)
    }
}
