//! The sorted table in which a checkpoint keeps its index.
//!
//! Layout: blocks, then a 48-byte footer with the places of a meta block and of an index block.
//! Each block is followed by one byte of compression and a masked CRC-32C.
//! A block holds keys, each sharing a prefix with the one before, then restart points that are not needed to
//! read it from start to end.

use crate::error::{Site, TensorError};

const MAGIC: [u8; 8] = 0xdb47_7524_8b80_fb57_u64.to_le_bytes();
const FOOTER: usize = 48;
const TRAILER: usize = 5;
/// Keys share prefixes, so that a small file could unfold into many long keys.
const MAX_KEY: usize = 64 << 10;
const MAX_KEY_BYTES: usize = 256 << 20;

/// A key, unfolded, and its value.
pub(super) type Entry<'a> = (Vec<u8>, &'a [u8]);

/// Returns whether the bytes end like a table.
pub(crate) fn is_table(bytes: &[u8]) -> bool {
    bytes.len() >= FOOTER && bytes.ends_with(&MAGIC)
}

/// Returns all keys and values in order.
pub(super) fn entries<'a>(site: Site<'_>, bytes: &'a [u8]) -> Result<Vec<Entry<'a>>, TensorError> {
    if !is_table(bytes) {
        return Err(site.corrupt("the footer", "does not end with the magic of a table; the file may be cut"));
    }
    let footer_start = bytes.len() - FOOTER;
    let mut footer = Reader { bytes: &bytes[footer_start..] };
    let bad_footer = || site.corrupt("the footer", "does not hold the places of its blocks");
    let meta = footer.handle().ok_or_else(bad_footer)?;
    let index = footer.handle().ok_or_else(bad_footer)?;

    let blocks = &bytes[..footer_start];
    let mut budget = MAX_KEY_BYTES;
    // Nothing in the meta block is needed, but damage in it is damage.
    block(site, blocks, meta, &mut budget)?;
    let mut res = vec![];
    let mut expected_start = 0;
    for (_, handle) in block(site, blocks, index, &mut budget)? {
        let place = Reader { bytes: handle }.handle();
        let (start, len) = place.ok_or_else(|| site.corrupt("the index block", "holds no place of a block"))?;
        // Blocks that repeat or overlap would make a small file unfold without end.
        if start < expected_start {
            return Err(site.corrupt(format!("the block at offset {start}"), "overlaps the one before"));
        }
        expected_start = start.saturating_add(len);
        res.extend(block(site, blocks, (start, len), &mut budget)?);
    }
    Ok(res)
}

fn block<'a>(
    site: Site<'_>,
    blocks: &'a [u8],
    (start, len): (usize, usize),
    budget: &mut usize,
) -> Result<Vec<Entry<'a>>, TensorError> {
    let place = || format!("the block at offset {start}");
    let end = start.checked_add(len).filter(|end| end.checked_add(TRAILER).is_some_and(|it| it <= blocks.len()));
    let Some(end) = end else {
        return Err(site.corrupt(place(), format!("has {len} bytes, past the end of the file")));
    };
    let compression = blocks[end];
    let stored = u32::from_le_bytes([blocks[end + 1], blocks[end + 2], blocks[end + 3], blocks[end + 4]]);
    let found = super::crc32c::masked(super::crc32c::checksum(&blocks[start..=end]));
    if found != stored {
        return Err(site.corrupt(place(), format!("has checksum {found:#010x} instead of {stored:#010x}")));
    }
    match compression {
        0 => {}
        1 => {
            return Err(site.unsupported(
                format!("{} is compressed with snappy", place()),
                "save the checkpoint again with TensorFlow 2, which writes its index uncompressed",
            ));
        }
        other => return Err(site.corrupt(place(), format!("has the unknown compression {other}"))),
    }
    unfold(&blocks[start..end], budget).ok_or_else(|| site.corrupt(place(), "does not hold a list of keys"))
}

fn unfold<'a>(block: &'a [u8], budget: &mut usize) -> Option<Vec<Entry<'a>>> {
    let (rest, n_restarts) = block.split_last_chunk::<4>()?;
    let restarts = usize::try_from(u32::from_le_bytes(*n_restarts)).ok()?.checked_mul(4)?;
    let mut reader = Reader { bytes: rest.get(..rest.len().checked_sub(restarts)?)? };
    let mut res: Vec<Entry<'_>> = vec![];
    while !reader.bytes.is_empty() {
        let n_shared = reader.varint()?;
        let n_own = reader.varint()?;
        let n_value = reader.varint()?;
        let own = reader.take(n_own)?;
        let value = reader.take(n_value)?;
        let shared: &[u8] = match res.last() {
            Some((key, _)) => key.get(..n_shared)?,
            None => (n_shared == 0).then_some(&[])?,
        };
        let n_key = n_shared.checked_add(n_own).filter(|&it| it <= MAX_KEY)?;
        *budget = budget.checked_sub(n_key)?;
        let mut key = Vec::with_capacity(n_key);
        key.extend_from_slice(shared);
        key.extend_from_slice(own);
        if res.last().is_some_and(|(previous, _)| *previous >= key) {
            return None;
        }
        res.push((key, value));
    }
    Some(res)
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Option<usize> {
        let mut res = 0_u64;
        for shift in (0..63).step_by(7) {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            res |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(res).ok();
            }
        }
        None
    }

    fn handle(&mut self) -> Option<(usize, usize)> {
        Some((self.varint()?, self.varint()?))
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (res, rest) = self.bytes.split_at_checked(n)?;
        self.bytes = rest;
        Some(res)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        format::Format,
        tensorflow::crc32c::{checksum, masked},
        tree::Tree,
    };

    /// A table with the one block `content`.
    pub(in super::super) fn table(content: &[u8], compression: u8) -> Vec<u8> {
        let mut res = vec![];
        let mut add = |content: &[u8], compression: u8| {
            let start = res.len();
            res.extend(content);
            res.push(compression);
            res.extend(masked(checksum(&res[start..])).to_le_bytes());
            [u8::try_from(start).unwrap(), u8::try_from(content.len()).unwrap()]
        };
        let meta = add(&[0; 4], 0);
        let place = add(content, compression);
        let index = add(&[0, 1, 2, b'z', place[0], place[1], 0, 0, 0, 0], 0);
        res.extend(meta);
        res.extend(index);
        res.extend([0; FOOTER - 12]);
        res.extend(MAGIC);
        res
    }

    fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
        let site = Site { path: Path::new("it.index"), format: Format::TensorBundle, tree: Tree::Disk };
        let found = entries(site, bytes).map_err(|it| it.to_string())?;
        Ok(found.into_iter().map(|(key, value)| (String::from_utf8(key).unwrap(), value.to_vec())).collect())
    }

    const TWO_KEYS: &[u8] = &[0, 2, 1, b'a', b'b', 7, 1, 2, 1, b'c', b'd', 8, 0, 0, 0, 0];

    #[test]
    fn keys_unfold_from_shared_prefixes() {
        let want = vec![("ab".to_owned(), vec![7]), ("acd".to_owned(), vec![8])];
        assert_eq!(read(&table(TWO_KEYS, 0)).unwrap(), want);
    }

    #[test]
    fn damaged_and_compressed_tables_are_refused() {
        let mut flipped = table(TWO_KEYS, 0);
        flipped[3] ^= 1;
        let cases = [
            (flipped, "has checksum"),
            (table(TWO_KEYS, 0)[1..].to_vec(), "has checksum"),
            (table(TWO_KEYS, 1), "snappy"),
            (table(TWO_KEYS, 9), "unknown compression"),
            (table(&[0, 9, 1, b'a', 7, 0, 0, 0, 0], 0), "list of keys"),
            (table(&[3, 1, 1, b'a', 7, 0, 0, 0, 0], 0), "list of keys"),
            (table(&[255, 255, 255, 255], 0), "list of keys"),
            (vec![0; 60], "magic"),
        ];
        for (bytes, want) in cases {
            let error = read(&bytes).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_block_with_a_right_checksum_is_read_or_refused(
            content in proptest::collection::vec(0..12_u8, 0..60),
            edits in proptest::collection::vec((0..TWO_KEYS.len(), proptest::prelude::any::<u8>()), 0..4),
        ) {
            let mut edited = TWO_KEYS.to_vec();
            for (position, byte) in edits {
                edited[position] = byte;
            }
            for block in [content, edited] {
                let site = Site { path: Path::new("it.index"), format: Format::TensorBundle, tree: Tree::Disk };
                let _ = entries(site, &table(&block, 0));
            }
        }
    }
}
