//! Little-endian state bytes: a version byte, then fields in a fixed order.

use crate::error::StateError;

const VERSION: u8 = 1;

/// Returns how many bytes [`Writer::varint`] writes.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - value.leading_zeros()).max(1).div_ceil(7) as usize
}

pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self(vec![VERSION])
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn f64(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Seven bits a byte, the lowest first; small numbers are short.
    pub(crate) fn varint(&mut self, value: u64) {
        let mut rest = value;
        while rest >= 0x80 {
            self.u8(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.u8(rest as u8);
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

pub(crate) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Result<Self, StateError> {
        let mut reader = Self { what, rest: bytes };
        match reader.u8()? {
            VERSION => Ok(reader),
            version => Err(StateError::UnknownVersion { what, version }),
        }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, StateError> {
        self.array::<1>().map(|it| it[0])
    }

    /// Reads a byte that is 0 or 1; `field` is named where it is another one.
    pub(crate) fn flag(&mut self, field: &'static str) -> Result<bool, StateError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.invalid(field)),
        }
    }

    pub(crate) fn u32(&mut self) -> Result<u32, StateError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, StateError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, StateError> {
        self.array().map(f64::from_le_bytes)
    }

    /// Reads what was written by `varint`, in its only form.
    pub(crate) fn varint(&mut self) -> Result<u64, StateError> {
        let mut res = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return Err(self.invalid("number"));
            }
            res |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(res);
            }
        }
        Err(self.invalid("number"))
    }

    /// Reads a length and checks that as many elements of at least `element_size` bytes can follow.
    pub(crate) fn len(&mut self, element_size: usize) -> Result<usize, StateError> {
        let what = self.what;
        let len = usize::try_from(self.u64()?).map_err(|_| StateError::Truncated { what })?;
        match len.checked_mul(element_size) {
            Some(size) if size <= self.rest.len() => Ok(len),
            _ => Err(StateError::Truncated { what }),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], StateError> {
        let what = self.what;
        let len = usize::try_from(self.varint()?).map_err(|_| StateError::Truncated { what })?;
        let (head, tail) = self.rest.split_at_checked(len).ok_or(StateError::Truncated { what })?;
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn invalid(&self, field: &'static str) -> StateError {
        StateError::Invalid { what: self.what, field }
    }

    pub(crate) fn finish(self) -> Result<(), StateError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(StateError::TrailingBytes { what: self.what, count }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(StateError::Truncated { what: self.what })?;
        self.rest = tail;
        Ok(*head)
    }
}
