//! What the kernels of a model are chosen by.

use std::fs;

/// Returns the model and the abilities of the processor, by which kernels are chosen; of the first one where there are several.
pub fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let first = info.split("\n\n").next().unwrap_or_default().lines();
    let keys = ["model name", "flags", "Features", "CPU implementer", "CPU part"];
    first.filter(|it| keys.iter().any(|key| it.starts_with(key))).collect::<Vec<_>>().join("\n")
}
