//! Which files differ between two checkpoints, by what their manifests say of them.

use std::collections::BTreeMap;

use modelwatch_sdk::store::{CheckpointManifest, FileEntry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file that two checkpoints do not have alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileDifference {
    /// The file.
    pub name: String,
    /// What became of it.
    pub change: FileChange,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileChange {
    /// Only the second checkpoint has it.
    Added,
    /// Only the first checkpoint has it.
    Removed,
    /// Its bytes changed.
    Changed,
}

/// Returns the files that are not the same, sorted by name. Two checkpoints of one file each are compared whatever these are
/// called.
pub fn compare_files(from: &CheckpointManifest, to: &CheckpointManifest) -> Vec<FileDifference> {
    if let ([old], [new]) = (&from.files[..], &to.files[..]) {
        let is_same = old.digest == new.digest;
        return if is_same { Vec::new() } else { vec![difference(&new.name, FileChange::Changed)] };
    }
    let by_name = |files: &[FileEntry]| -> BTreeMap<String, String> {
        files.iter().map(|it| (it.name.clone(), it.digest.clone())).collect()
    };
    let (old, new) = (by_name(&from.files), by_name(&to.files));
    let of_old = old.iter().filter_map(|(name, digest)| match new.get(name) {
        None => Some(difference(name, FileChange::Removed)),
        Some(it) => (it != digest).then(|| difference(name, FileChange::Changed)),
    });
    let added = new.keys().filter(|it| !old.contains_key(*it)).map(|it| difference(it, FileChange::Added));
    let mut res: Vec<_> = of_old.chain(added).collect();
    res.sort_by(|a, b| a.name.cmp(&b.name));
    res
}

fn difference(name: &str, change: FileChange) -> FileDifference {
    FileDifference { name: name.to_owned(), change }
}

#[cfg(test)]
mod tests {
    use modelwatch_sdk::store::CheckpointId;
    use serde_json::Map;

    use super::*;

    fn manifest(files: &[(&str, &str)]) -> CheckpointManifest {
        let entry = |(name, digest): &(&str, &str)| FileEntry {
            name: (*name).to_owned(),
            size: 1,
            digest: (*digest).to_owned(),
        };
        CheckpointManifest {
            id: CheckpointId::parse(&"a".repeat(64)).unwrap(),
            metadata: Map::new(),
            files: files.iter().map(entry).collect(),
            tensors: Vec::new(),
        }
    }

    #[test]
    fn files_differ_by_name_and_bytes() {
        use FileChange::{Added, Changed, Removed};
        for (from, to, expected) in [
            (&[("a", "1"), ("b", "2")][..], &[("a", "1"), ("b", "2")][..], &[][..]),
            (&[("a", "1"), ("b", "2")], &[("a", "3"), ("c", "2")], &[("a", Changed), ("b", Removed), ("c", Added)]),
            (&[("a", "1")], &[("a", "1"), ("b", "2")], &[("b", Added)]),
            // A file of its own has no name that matters.
            (&[("a", "1")], &[("b", "1")], &[]),
            (&[("a", "1")], &[("b", "2")], &[("b", Changed)]),
        ] {
            let found = compare_files(&manifest(from), &manifest(to));
            let found: Vec<_> = found.iter().map(|it| (it.name.as_str(), it.change)).collect();
            assert_eq!(found, expected, "{from:?} {to:?}");
        }
    }
}
