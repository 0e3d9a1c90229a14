//! Zip archives as containers of other files: opened with bounds, read without a copy where nothing is packed.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Cursor, Read, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use prost::bytes::Bytes;
use zip::{CompressionMethod, ZipArchive, result::ZipError};

use crate::{
    error::{Site, TensorError},
    mmap::map_nameless,
};

const MAX_ENTRIES: usize = 100_000;
/// Deflate codes at most 258 bytes in two bits, so a greater ratio is a lie.
pub(crate) const MAX_RATIO: u64 = 1032;
const MAX_ENTRY: u64 = 16 << 30;
/// What takes more is unpacked into a file, which the system keeps in as much memory as it has to spare.
const IN_MEMORY: usize = 64 << 20;
/// How much is unpacked into a file at a time.
const PIECE: usize = 1 << 20;
/// Beyond this, memory is only taken for bytes that are there.
const FIRST_RESERVE: usize = 16 << 20;

/// A zip archive in memory.
pub(crate) type Zip = ZipArchive<Cursor<Bytes>>;

/// The bytes of an entry that is stored as it is, with the checksum that the archive has for it.
///
/// The sum is computed when the first of the tensors inside is read, and kept.
pub(crate) struct Checksum {
    bytes: Bytes,
    expected: u32,
    found: OnceLock<u32>,
}

/// The content of an entry.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) bytes: Bytes,
    /// What remains to be verified; nothing after unpacking, which verifies.
    pub(crate) checksum: Option<Arc<Checksum>>,
}

/// Opens an archive whose entries are named once and share no bytes.
pub(crate) fn open(site: Site<'_>, bytes: &Bytes) -> Result<Zip, TensorError> {
    let damaged = |error: ZipError| site.corrupt("the archive", format!("is damaged: {error}"));
    let mut zip = ZipArchive::new(Cursor::new(bytes.clone())).map_err(damaged)?;
    if zip.len() > MAX_ENTRIES {
        let problem = format!("has {} entries", zip.len());
        return Err(site.limit("the archive", problem, MAX_ENTRIES as u64));
    }
    if zip.has_duplicate_names() {
        return Err(site.corrupt("the archive", "has two entries of one name"));
    }
    for name in zip.file_names() {
        let name = name.map_err(|error| site.corrupt("a name in the archive", error))?;
        if leads_out(&name) {
            let place = format!("entry `{}`", name.escape_debug());
            return Err(site.corrupt(place, "has a name that leads out of the folder that it is unpacked in"));
        }
    }
    // Entries that share bytes are how a small archive claims to hold a large one.
    if zip.has_overlapping_entries().map_err(damaged)? {
        return Err(site.corrupt("the archive", "has entries that overlap"));
    }
    Ok(zip)
}

/// Returns whether a name leads out of the folder that an archive is unpacked in, where whoever unpacks it takes it for a path.
pub(crate) fn leads_out(name: &str) -> bool {
    name.split(['/', '\\']).any(|it| it == "..")
}

/// Refuses sizes that deflate cannot reach, and those past the limit.
pub(crate) fn check_sizes(site: Site<'_>, place: &str, packed: u64, unpacked: u64) -> Result<(), TensorError> {
    if unpacked > MAX_ENTRY {
        return Err(site.limit(place, format!("takes {unpacked} bytes"), MAX_ENTRY));
    }
    // The first bytes cost a fixed overhead, so the ratio is only held against what comes after them.
    if unpacked / MAX_RATIO > packed {
        let problem = format!("claims to unpack {packed} bytes to {unpacked}");
        return Err(site.limit(place, problem, MAX_RATIO.saturating_mul(packed)));
    }
    Ok(())
}

/// Returns a slice of the archive and its checksum for an entry that is stored as it is, and `None` for others.
pub(crate) fn stored_content(
    site: Site<'_>,
    zip: &mut Zip,
    idx: usize,
    place: &str,
) -> Result<Option<(Bytes, Arc<Checksum>)>, TensorError> {
    let archive = zip.clone().into_inner().into_inner();
    let entry = zip.by_index(idx).map_err(|error| site.corrupt(place, format!("cannot be unpacked: {error}")))?;
    let size = entry.size();
    if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
        return Ok(None);
    }
    let range = entry.data_start().and_then(|start| {
        let end = usize::try_from(start.checked_add(size)?).ok()?;
        (size == entry.compressed_size() && end <= archive.len()).then_some(usize::try_from(start).ok()?..end)
    });
    let range = range.ok_or_else(|| site.corrupt(place, "lies outside the archive"))?;
    let bytes = archive.slice(range);
    let checksum = Checksum { bytes: bytes.clone(), expected: entry.crc32(), found: OnceLock::new() };
    Ok(Some((bytes, Arc::new(checksum))))
}

/// Returns the content of an entry: a slice of the archive if it is stored, and otherwise unpacked, into a temporary file where it
/// takes much.
pub(crate) fn content(site: Site<'_>, zip: &mut Zip, idx: usize, place: &str) -> Result<Content, TensorError> {
    content_within(site, zip, idx, place, IN_MEMORY)
}

fn content_within(
    site: Site<'_>,
    zip: &mut Zip,
    idx: usize,
    place: &str,
    in_memory: usize,
) -> Result<Content, TensorError> {
    if let Some((bytes, checksum)) = stored_content(site, zip, idx, place)? {
        return Ok(Content { bytes, checksum: Some(checksum) });
    }
    let damaged = |error: &dyn fmt::Display| site.corrupt(place, format!("cannot be unpacked: {error}"));
    let entry = zip.by_index(idx).map_err(|error| damaged(&error))?;
    let size = entry.size();
    check_sizes(site, place, entry.compressed_size(), size)?;
    let want = usize::try_from(size).map_err(|error| damaged(&error))?;
    if want > in_memory {
        return Ok(Content { bytes: unpack_into_file(site, entry, want, place)?, checksum: None });
    }
    let bytes = unpack(entry, want).map_err(|error| damaged(&error))?;
    if bytes.len() != want {
        return Err(site.corrupt(place, format!("unpacks to {} bytes instead of {want}", bytes.len())));
    }
    Ok(Content { bytes: bytes.into(), checksum: None })
}

/// Returns the content of a small entry, verified.
pub(crate) fn small_content(site: Site<'_>, zip: &mut Zip, name: &str, max: u64) -> Result<Option<Bytes>, TensorError> {
    let place = format!("entry `{}`", name.escape_debug());
    let Some(idx) = zip.index_for_name(name) else { return Ok(None) };
    let size = zip.by_index(idx).map_err(|error| site.corrupt(&*place, error))?.size();
    if size > max {
        return Err(site.limit(place, format!("takes {size} bytes"), max));
    }
    let content = content(site, zip, idx, &place)?;
    if let Some(checksum) = &content.checksum {
        checksum.verify(site, &place)?;
    }
    Ok(Some(content.bytes))
}

/// Unpacks at most one byte more than wanted, so that the end and with it the checksum is reached.
pub(crate) fn unpack(reader: impl Read, want: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(want.min(FIRST_RESERVE));
    reader.take((want as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Unpacks into a file that is gone with what is returned, and with that has the checksum verified.
fn unpack_into_file(site: Site<'_>, mut from: impl Read, want: usize, place: &str) -> Result<Bytes, TensorError> {
    let no_file = |error: io::Error| {
        let folder = std::env::temp_dir();
        let what = format!(
            "{place} takes {want} bytes unpacked, in a temporary file in `{}`, which TMPDIR names: {error}",
            folder.display()
        );
        TensorError::io(site.path)(io::Error::other(what))
    };
    let mut file = nameless_file().map_err(no_file)?;
    let (mut piece, mut found) = (vec![0; PIECE], 0_usize);
    loop {
        let n = from.read(&mut piece).map_err(|error| site.corrupt(place, format!("cannot be unpacked: {error}")))?;
        found = found.saturating_add(n);
        if found > want || (n == 0 && found < want) {
            return Err(site.corrupt(place, format!("unpacks to {found} bytes instead of {want}")));
        }
        if n == 0 {
            return map_nameless(&file).map_err(no_file);
        }
        file.write_all(&piece[..n]).map_err(no_file)?;
    }
}

/// Returns a new file that nobody else can open, and that is gone once it is closed.
fn nameless_file() -> io::Result<File> {
    static N_FILES: AtomicU64 = AtomicU64::new(0);
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    loop {
        let n = N_FILES.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("modelwatch-unpacked-{}-{n}", std::process::id()));
        match options.open(&path) {
            // The name of a process that was killed in between.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(file) => return fs::remove_file(&path).map(|()| file),
        }
    }
}

impl Checksum {
    /// Holds the bytes against the checksum.
    pub(crate) fn verify(&self, site: Site<'_>, place: &str) -> Result<(), TensorError> {
        let found = *self.found.get_or_init(|| crc32fast::hash(&self.bytes));
        if found == self.expected {
            return Ok(());
        }
        let problem =
            format!("is in an entry of the archive with checksum {found:#010x} instead of {:#010x}", self.expected);
        Err(site.corrupt(place, problem))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checksum").field("expected", &self.expected).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;
    use crate::{format::Format, tree::Tree};

    fn deflated(content: &[u8]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file("it", options).unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap().into_inner()
    }

    fn unpacked(archive: Vec<u8>, in_memory: usize) -> Result<Bytes, String> {
        let site = Site { path: Path::new("m.keras"), format: Format::KerasZip, tree: Tree::Disk };
        let mut zip = open(site, &archive.into()).map_err(|it| it.to_string())?;
        content_within(site, &mut zip, 0, "entry `it`", in_memory).map(|it| it.bytes).map_err(|it| it.to_string())
    }

    #[test]
    fn what_takes_much_is_unpacked_into_a_file_and_verified() {
        let content: Vec<u8> = (0..3 * PIECE as u32 / 4).flat_map(|it| (it / 7).to_le_bytes()).collect();
        let archive = deflated(&content);
        for in_memory in [0, content.len() - 1, content.len()] {
            assert!(unpacked(archive.clone(), in_memory).unwrap() == content, "{in_memory}");
        }
        // The checksum in the directory, and in the header before the entry.
        let mut changed = archive.clone();
        let checksum = crc32fast::hash(&content).to_le_bytes();
        let places: Vec<_> = (0..archive.len() - 4).filter(|&at| archive[at..at + 4] == checksum).collect();
        places.iter().for_each(|&at| changed[at] ^= 1);
        assert_eq!(places.len(), 2);
        for in_memory in [0, content.len()] {
            let said = unpacked(changed.clone(), in_memory).unwrap_err();
            assert!(said.contains("entry `it` cannot be unpacked"), "{in_memory}: {said}");
        }
    }
}
