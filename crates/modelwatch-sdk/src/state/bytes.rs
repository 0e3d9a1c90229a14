//! States as bytes: little-endian numbers and lengths, read without trust.

use crate::error::{Error, ErrorKind, Result};

/// Appends fields.
#[derive(Clone, Debug, Default)]
pub struct Writer(pub Vec<u8>);

/// Takes fields in the order in which they were written.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl Writer {
    /// Appends a byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Appends a whole number.
    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends a wide whole number.
    pub fn i128(&mut self, value: i128) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends a float, bit by bit.
    pub fn f64(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends bytes with their length.
    pub fn bytes(&mut self, value: &[u8]) {
        self.u64(value.len() as u64);
        self.0.extend_from_slice(value);
    }
}

impl<'a> Reader<'a> {
    /// Takes a byte.
    ///
    /// # Errors
    /// When the bytes end before.
    pub fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|it| it[0])
    }

    /// Takes a byte that is 0 or 1.
    ///
    /// # Errors
    /// When it is another one, or the bytes end before.
    pub fn flag(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(damaged("a flag is neither set nor clear")),
        }
    }

    /// Takes a whole number.
    ///
    /// # Errors
    /// When the bytes end before.
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Takes a wide whole number.
    ///
    /// # Errors
    /// When the bytes end before.
    pub fn i128(&mut self) -> Result<i128> {
        self.array().map(i128::from_le_bytes)
    }

    /// Takes a float.
    ///
    /// # Errors
    /// When the bytes end before.
    pub fn f64(&mut self) -> Result<f64> {
        self.array().map(f64::from_le_bytes)
    }

    /// Takes bytes with their length.
    ///
    /// # Errors
    /// When the bytes end before.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = usize::try_from(self.u64()?).ok().filter(|&it| it <= self.0.len()).ok_or_else(cut_short)?;
        let (head, tail) = self.0.split_at(len);
        self.0 = tail;
        Ok(head)
    }

    /// Takes text with its length.
    ///
    /// # Errors
    /// When the bytes end before, or are no text.
    pub fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(damaged)
    }

    /// Returns whether nothing is left, as it should be.
    ///
    /// # Errors
    /// When bytes are left.
    pub fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(damaged("bytes follow its end")) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or_else(cut_short)?;
        self.0 = tail;
        Ok(*head)
    }
}

/// Returns the error for bytes that are no state, and why they are none.
pub fn damaged(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("cannot read the state: {why}")).with_help("compute it again from the rows")
}

fn cut_short() -> Error {
    damaged("it is cut short")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_and_lengths_are_not_believed() {
        let mut writer = Writer::default();
        writer.u8(3);
        writer.u64(u64::MAX);
        writer.f64(-0.0);
        writer.bytes("é".as_bytes());
        let bytes = writer.0;
        let mut reader = Reader(&bytes);
        assert_eq!((reader.u8(), reader.u64()), (Ok(3), Ok(u64::MAX)));
        assert_eq!(reader.f64().map(f64::to_bits), Ok((-0.0f64).to_bits()));
        assert_eq!((reader.text(), reader.finish()), (Ok("é"), Ok(())));
        assert_eq!(Reader(&bytes[1..]).bytes().unwrap_err().message, "cannot read the state: it is cut short");
        assert_eq!(Reader(&bytes).finish().unwrap_err().message, "cannot read the state: bytes follow its end");
    }
}
