//! Tensor bundles: the variables of a TensorFlow checkpoint, an index beside data files.

use std::path::Path;

use prost::{Message, bytes::Bytes};

use super::{
    STRING, dtype,
    proto::{BundleEntryProto, BundleHeaderProto},
    table, unsupported_type,
};
use crate::{
    catalog::{Catalog, Data, Lost, checked_len, length_mismatch, tensor, unsigned_shape},
    error::{Site, TensorError},
    sibling::map_sibling,
    tensor::TensorInfo,
};

const MAX_SHARDS: u64 = 10_000;
const BIG_ENDIAN: i32 = 1;
/// What TensorFlow keeps of the objects of a program beside their variables, as texts.
const OBJECT_GRAPH: &str = "_CHECKPOINTABLE_OBJECT_GRAPH";
const OBJECT_CONFIG: &str = "/.ATTRIBUTES/OBJECT_CONFIG_JSON";

/// Lists the variables of a checkpoint under their full names, from the bytes of its `.index` file.
///
/// The data files are opened beneath the folder of `root`: the index itself, or the SavedModel that it belongs to.
/// The checksum of each variable is verified when it is read.
pub(crate) fn read(site: Site<'_>, root: Site<'_>, bytes: &Bytes) -> Result<Catalog, TensorError> {
    let entries = table::entries(site, bytes)?;
    let Some(((_, header), entries)) = entries.split_first().filter(|((key, _), _)| key.is_empty()) else {
        return Err(site.corrupt("the index", "has no header"));
    };
    let header = BundleHeaderProto::decode(*header).map_err(|error| site.corrupt("the header", error))?;
    if header.endianness == BIG_ENDIAN {
        return Err(site.unsupported("it is big-endian", "save it again on a little-endian machine"));
    }
    let n_shards = u64::try_from(header.num_shards).unwrap_or(0);
    if n_shards > MAX_SHARDS {
        return Err(site.limit("the header", format!("names {n_shards} data files"), MAX_SHARDS));
    }
    let mut shards = Shards { site, root, n_shards, files: vec![] };
    let mut catalog = Catalog::default();
    // Whether or not what is in there can be read.
    catalog.sibling = (n_shards > 0 && !entries.is_empty()).then(|| shards.location(0));
    for (key, value) in entries {
        let name = String::from_utf8_lossy(key).into_owned();
        // Keys of slices are made to sort, not to be read: they start with a zero byte.
        if key.first() == Some(&0) || name.as_bytes() != key.as_slice() {
            let reason = "is a slice of a partitioned variable, which is not supported";
            catalog.skip(name.escape_debug().to_string(), Lost::Numbers, reason);
            continue;
        }
        let entry = BundleEntryProto::decode(*value).map_err(|error| site.corrupt(tensor(&name), error))?;
        add(site, name, &entry, &mut shards, &mut catalog)?;
    }
    Ok(catalog)
}

fn add(
    site: Site<'_>,
    name: String,
    entry: &BundleEntryProto,
    shards: &mut Shards<'_>,
    catalog: &mut Catalog,
) -> Result<(), TensorError> {
    if !entry.slices.is_empty() {
        catalog.skip(name, Lost::Numbers, "is a partitioned variable, which is not supported");
        return Ok(());
    }
    let Some(dtype) = dtype(entry.dtype) else {
        let (lost, reason) = unsupported_type(entry.dtype);
        let is_note = entry.dtype == STRING && (name == OBJECT_GRAPH || name.ends_with(OBJECT_CONFIG));
        catalog.skip(name, if is_note { Lost::Nothing } else { lost }, reason);
        return Ok(());
    };
    let dims: Vec<i64> = entry.shape.iter().flat_map(|it| &it.dim).map(|it| it.size).collect();
    let shape = unsigned_shape(site, &name, &dims)?;
    let info = TensorInfo { name, dtype, shape };
    let want = checked_len(site, &info)?;
    let (Ok(offset), Ok(size)) = (usize::try_from(entry.offset), usize::try_from(entry.size)) else {
        return Err(site.corrupt(tensor(&info.name), "has a negative offset or size"));
    };
    if size != want {
        return Err(length_mismatch(site, &info, want, size));
    }
    let file = shards.get(&info.name, entry.shard_id)?;
    let end = offset.checked_add(size).filter(|&end| end <= file.len());
    let Some(end) = end else {
        let problem = format!("ends past the data file, which has {} bytes", file.len());
        return Err(site.corrupt(tensor(&info.name), problem));
    };
    let data = Data::Checked { bytes: file.slice(offset..end), checksum: entry.crc32c, offset: entry.offset as u64 };
    catalog.add(info, data);
    Ok(())
}

struct Shards<'a> {
    site: Site<'a>,
    root: Site<'a>,
    n_shards: u64,
    files: Vec<(u64, Bytes)>,
}

impl<'a> Shards<'a> {
    fn get(&mut self, name: &str, shard: i32) -> Result<Bytes, TensorError> {
        let Some(shard) = u64::try_from(shard).ok().filter(|&it| it < self.n_shards) else {
            let problem = format!("is in data file {shard} of {}", self.n_shards);
            return Err(self.site.corrupt(tensor(name), problem));
        };
        if let Some((_, file)) = self.files.iter().find(|(it, _)| *it == shard) {
            return Ok(file.clone());
        }
        let folder = |it: Site<'a>| it.path.parent().unwrap_or(Path::new(""));
        let inside = folder(self.site).strip_prefix(folder(self.root)).unwrap_or(Path::new(""));
        let location = inside.join(self.location(shard));
        let file = map_sibling(self.root, &tensor(name), &location.to_string_lossy())?;
        self.files.push((shard, file.clone()));
        Ok(file)
    }

    fn location(&self, shard: u64) -> String {
        let stem = self.site.path.file_stem().unwrap_or_default().to_string_lossy();
        format!("{stem}.data-{shard:05}-of-{:05}", self.n_shards)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::proto::Ignored, *};
    use crate::{format::Format, tree::Tree};

    #[test]
    fn data_files_are_named_whether_or_not_what_is_in_them_can_be_read() {
        let header = BundleHeaderProto { num_shards: 2, ..BundleHeaderProto::default() }.encode_to_vec();
        let slices = BundleEntryProto { slices: vec![Ignored {}], ..BundleEntryProto::default() };
        let strings = BundleEntryProto { dtype: 7, ..BundleEntryProto::default() };
        for (key, entry) in [(b'w', slices), (b'w', strings.clone()), (0, strings)] {
            let value = entry.encode_to_vec();
            let mut block = vec![0, 0, u8::try_from(header.len()).unwrap()];
            block.extend(&header);
            block.extend([0, 1, u8::try_from(value.len()).unwrap(), key]);
            block.extend(value);
            block.extend([0; 4]);
            let site = Site { path: Path::new("ckpt.index"), format: Format::TensorBundle, tree: Tree::Disk };
            let found = read(site, site, &table::tests::table(&block, 0).into()).unwrap().finish(site).unwrap();
            let n_skipped = found.skipped.len();
            assert_eq!((found.sibling.as_deref(), n_skipped), (Some("ckpt.data-00000-of-00002"), 1), "{entry:?}");
        }
    }
}
