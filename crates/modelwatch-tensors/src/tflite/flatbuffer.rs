//! Flatbuffers as they lie in memory: tables with a vtable each, vectors and strings, all found by offsets.
//!
//! Every offset is checked where it is followed. Offsets only lead forward, but for those to vtables,
//! and nothing here recurses.

use std::ops::Range;

/// A file that starts with the offset of its root table.
#[derive(Clone, Copy)]
pub(super) struct Flatbuffer<'a>(pub(super) &'a [u8]);

/// A table: fields by their number in the schema, any of which may be absent.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    file: Flatbuffer<'a>,
    position: usize,
    vtable: usize,
    vtable_len: usize,
}

/// A vector of tables.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a> {
    file: Flatbuffer<'a>,
    start: usize,
    len: usize,
}

impl<'a> Flatbuffer<'a> {
    pub(super) fn root(self) -> Result<Table<'a>, String> {
        self.table(self.follow(0)?)
    }

    fn table(self, position: usize) -> Result<Table<'a>, String> {
        let back = i64::from(i32::from_le_bytes(self.array(position)?));
        let vtable = i64::try_from(position).ok().and_then(|it| usize::try_from(it - back).ok());
        let vtable = vtable.ok_or_else(|| past_end(position))?;
        let vtable_len = usize::from(u16::from_le_bytes(self.array(vtable)?));
        Ok(Table { file: self, position, vtable, vtable_len })
    }

    fn follow(self, position: usize) -> Result<usize, String> {
        let offset = u32::from_le_bytes(self.array(position)?);
        usize::try_from(offset).ok().and_then(|it| position.checked_add(it)).ok_or_else(|| past_end(position))
    }

    /// The elements of the vector at a position, as many as its length says, of `size` bytes each.
    fn vector(self, position: usize, size: usize) -> Result<Range<usize>, String> {
        let len = usize::try_from(u32::from_le_bytes(self.array(position)?)).map_err(|_| past_end(position))?;
        let start = position + 4;
        let end = len.checked_mul(size).and_then(|it| start.checked_add(it)).filter(|&it| it <= self.0.len());
        Ok(start..end.ok_or_else(|| past_end(position))?)
    }

    fn array<const N: usize>(self, position: usize) -> Result<[u8; N], String> {
        let bytes = position.checked_add(N).and_then(|end| self.0.get(position..end));
        bytes.and_then(|it| it.try_into().ok()).ok_or_else(|| past_end(position))
    }
}

impl<'a> Table<'a> {
    pub(super) fn u8(self, field: usize) -> Result<Option<u8>, String> {
        Ok(self.number::<1>(field)?.map(u8::from_le_bytes))
    }

    pub(super) fn u32(self, field: usize) -> Result<Option<u32>, String> {
        Ok(self.number::<4>(field)?.map(u32::from_le_bytes))
    }

    pub(super) fn u64(self, field: usize) -> Result<Option<u64>, String> {
        Ok(self.number::<8>(field)?.map(u64::from_le_bytes))
    }

    pub(super) fn table(self, field: usize) -> Result<Option<Table<'a>>, String> {
        let Some(position) = self.position(field)? else { return Ok(None) };
        self.file.table(self.file.follow(position)?).map(Some)
    }

    /// Returns a vector of tables; an absent one is empty.
    pub(super) fn tables(self, field: usize) -> Result<Tables<'a>, String> {
        let Some(position) = self.position(field)? else {
            return Ok(Tables { file: self.file, start: 0, len: 0 });
        };
        let range = self.file.vector(self.file.follow(position)?, 4)?;
        Ok(Tables { file: self.file, start: range.start, len: range.len() / 4 })
    }

    pub(super) fn i32s(self, field: usize) -> Result<Vec<i64>, String> {
        const MAX: usize = 1024;
        let Some(position) = self.position(field)? else { return Ok(vec![]) };
        let range = self.file.vector(self.file.follow(position)?, 4)?;
        if range.len() / 4 > MAX {
            return Err(format!("has {} dimensions, over {MAX}", range.len() / 4));
        }
        let (numbers, _) = self.file.0[range].as_chunks::<4>();
        Ok(numbers.iter().map(|&it| i64::from(i32::from_le_bytes(it))).collect())
    }

    /// Returns where the bytes of a vector lie in the file.
    pub(super) fn bytes(self, field: usize) -> Result<Option<Range<usize>>, String> {
        let Some(position) = self.position(field)? else { return Ok(None) };
        self.file.vector(self.file.follow(position)?, 1).map(Some)
    }

    pub(super) fn text(self, field: usize, max: usize) -> Result<Option<String>, String> {
        let Some(range) = self.bytes(field)? else { return Ok(None) };
        if range.len() > max {
            return Err(format!("has a text of {} bytes, over {max}", range.len()));
        }
        Ok(Some(String::from_utf8_lossy(&self.file.0[range]).into_owned()))
    }

    fn number<const N: usize>(self, field: usize) -> Result<Option<[u8; N]>, String> {
        self.position(field)?.map(|it| self.file.array(it)).transpose()
    }

    fn position(self, field: usize) -> Result<Option<usize>, String> {
        let entry = 4 + 2 * field;
        if entry + 2 > self.vtable_len {
            return Ok(None);
        }
        let entry = self.vtable.checked_add(entry).ok_or_else(|| past_end(self.vtable))?;
        match u16::from_le_bytes(self.file.array(entry)?) {
            0 => Ok(None),
            offset => {
                let position = self.position.checked_add(usize::from(offset));
                position.map(Some).ok_or_else(|| past_end(self.position))
            }
        }
    }
}

impl<'a> Tables<'a> {
    pub(super) fn get(self, idx: usize) -> Result<Table<'a>, String> {
        if idx >= self.len {
            return Err(format!("refers to number {idx} of {}", self.len));
        }
        self.file.table(self.file.follow(self.start + 4 * idx)?)
    }

    pub(super) fn enumerate(self) -> impl Iterator<Item = (usize, Result<Table<'a>, String>)> {
        (0..self.len).map(move |idx| (idx, self.get(idx)))
    }
}

fn past_end(position: usize) -> String {
    format!("has at offset {position} what reaches past the end of the file")
}
