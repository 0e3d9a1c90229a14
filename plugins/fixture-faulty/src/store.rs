//! The store, which keeps nothing.

use modelwatch_sdk::{
    Error, ErrorKind, Host, Result, Store, TensorView,
    store::{
        CheckpointId, CheckpointReader, CheckpointStore, CheckpointWriter, LogEntry, ScrubDepth, ScrubReport,
        VerdictRecord,
    },
};
use serde_json::{Map, Value};

use crate::config::{Config, Fault};

/// The store `faulty`.
pub struct FaultyStore(Fault);

struct Writer(Fault);

impl Store for FaultyStore {
    const NAME: &'static str = "faulty";
    type Config = Config;
    fn open(config: Config) -> Result<Box<dyn CheckpointStore>> {
        Ok(Box::new(Self(config.opened()?.fault)))
    }
}

impl CheckpointStore for FaultyStore {
    fn begin(&self, _: &dyn Host, _: &str, _: &Map<String, Value>) -> Result<Box<dyn CheckpointWriter>> {
        self.0.at(Fault::Begin);
        Ok(Box::new(Writer(self.0)))
    }
    fn open(&self, _: &dyn Host, id: &CheckpointId) -> Result<Box<dyn CheckpointReader>> {
        Err(Error::new(ErrorKind::NotFound, format!("there is no checkpoint `{}`", id.short())))
    }
    fn lineages(&self) -> Result<Vec<String>> {
        self.0.at(Fault::Lineages);
        Ok(Vec::new())
    }
    fn log(&self, _: &str, _: u64, _: u32) -> Result<Vec<LogEntry>> {
        self.0.at(Fault::Log);
        Ok(Vec::new())
    }
    fn set_ref(&self, _: &str, _: &str, _: &CheckpointId, _: Option<&CheckpointId>, _: &str) -> Result<()> {
        self.0.at(Fault::SetRef);
        Ok(())
    }
    fn record_verdict(&self, _: &str, _: &CheckpointId, _: &VerdictRecord) -> Result<()> {
        self.0.at(Fault::RecordVerdict);
        Ok(())
    }
    fn unset_ref(&self, _: &str, _: &str, _: &CheckpointId, _: &str) -> Result<()> {
        self.0.at(Fault::SetRef);
        Ok(())
    }
    fn remove(&self, _: &str, _: &[CheckpointId], _: &str) -> Result<()> {
        self.0.at(Fault::Remove);
        Ok(())
    }
    fn scrub(&self, _: &dyn Host, _: ScrubDepth) -> Result<ScrubReport> {
        self.0.at(Fault::Scrub);
        Ok(ScrubReport::default())
    }
}

impl Drop for FaultyStore {
    fn drop(&mut self) {
        self.0.at(Fault::Drop);
    }
}

impl CheckpointWriter for Writer {
    fn append(&mut self, _: &str, _: &[u8]) -> Result<()> {
        self.0.at(Fault::Append);
        Ok(())
    }
    fn tensor(&mut self, _: &TensorView<'_>) -> Result<()> {
        self.0.at(Fault::UpdateTensor);
        Ok(())
    }
    fn commit(self: Box<Self>) -> Result<CheckpointId> {
        self.0.at(Fault::Commit);
        CheckpointId::parse(&"0".repeat(64))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.at(Fault::WriterDrop);
    }
}
