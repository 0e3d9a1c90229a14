//! What is asked of a store beside keeping: to check, mend and measure itself and to free space.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much a scrub reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "depth", rename_all = "kebab-case")]
pub enum ScrubDepth {
    /// Logs and manifests whole, and of everything else that it is there and has its size.
    Fast,
    /// As `Fast`, and a share of the stored bytes, another one each time.
    Sampled {
        /// The share of the bytes, above 0 and at most 1.
        share: f64,
        /// Chooses which.
        seed: u64,
    },
    /// Every stored byte.
    #[default]
    Full,
}

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScrubReport {
    /// Checkpoints that were looked at and found undamaged.
    pub checkpoints: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Everything that does not verify, one sentence each.
    pub damage: Vec<String>,
}

/// How space is freed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CollectOptions {
    /// Seconds that must pass between a mark and its sweep; what is younger is not marked either.
    /// No clock decides what is safe: the grace period only spares readers and slow writers repetitions.
    pub grace: u64,
    /// Only says what would be done.
    pub dry_run: bool,
}

/// What was marked and swept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CollectReport {
    /// What nothing leads to and was marked now.
    pub marked: Collected,
    /// What was marked before and waits for the end of its grace period.
    pub waiting: Collected,
    /// What was deleted.
    pub swept: Collected,
    /// What had been marked and is needed again.
    pub spared: Collected,
    /// What was mostly garbage, so that the rest of it was moved; it is marked in its turn.
    #[serde(default)]
    pub repacked: Collected,
}

/// A number of files and what they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Collected {
    /// How many files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Collected {
    /// Counts one more file.
    pub fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepairReport {
    /// What was mended and how, one sentence each.
    pub mended: Vec<String>,
    /// What could not be mended, one sentence each.
    pub lost: Vec<String>,
    /// What is not there and may have been removed on purpose, one sentence each.
    #[serde(default)]
    pub unclear: Vec<String>,
}

/// How much is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreStats {
    /// Lineages with at least one log entry.
    pub lineages: u64,
    /// Checkpoints that are there.
    pub checkpoints: u64,
    /// The bytes that the checkpoints have, each counted by itself.
    pub logical_bytes: u64,
    /// The bytes of all different chunks that checkpoints need, before compression.
    pub unique_bytes: u64,
    /// The bytes that packs take.
    pub pack_bytes: u64,
    /// The bytes of packs that no checkpoint needs.
    pub spare_bytes: u64,
    /// The bytes that manifests and logs take.
    pub metadata_bytes: u64,
}

impl StoreStats {
    /// Returns how many times larger the checkpoints would be without deduplication and compression;
    /// 1 where nothing is stored.
    pub fn ratio(&self) -> f64 {
        if self.pack_bytes == 0 { 1.0 } else { self.logical_bytes as f64 / self.pack_bytes as f64 }
    }
}

/// What an examination found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DoctorReport {
    /// What was tried and worked, one sentence each.
    pub sound: Vec<String>,
    /// What the place gets wrong, one sentence each; a store must not be kept there.
    pub unsound: Vec<String>,
}
