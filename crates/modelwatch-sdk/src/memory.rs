//! How much memory a model takes: what [`Host::inference_memory`](crate::Host::inference_memory) tells.

use serde::{Deserialize, Serialize};

/// Behind the name of a model: that the memory of one run of it is told; see [`Host::exchange`](crate::Host::exchange).
pub const MEMORY: &str = ":memory";

/// The resident memory of the process that runs the model, in bytes.
///
/// It is that of the whole process: the model's weights, what else the run holds, and what the allocator has kept of earlier
/// runs. So `peak` is what a process that does nothing else could do with too, and the growth is a lower bound of what one run
/// takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InferenceMemory {
    /// Right before the model ran.
    pub before: u64,
    /// The most while it ran.
    pub peak: u64,
}

impl InferenceMemory {
    /// Returns by how much memory grew.
    pub fn growth(self) -> u64 {
        self.peak.saturating_sub(self.before)
    }
}
