//! NPZ archives: one NPY file per array, not compressed, as `numpy.savez` does.

use std::io::{self, Write};

use zip::{
    CompressionMethod, DateTime, ZipWriter,
    write::{SimpleFileOptions, StreamWriter},
};

/// NumPy starts the elements at a multiple of this.
const ALIGNMENT: usize = 64;

/// An archive on its way, written from front to back. The same arrays give the same bytes.
pub struct NpzWriter<W: Write>(ZipWriter<StreamWriter<W>>);

impl<W: Write> NpzWriter<W> {
    /// Returns an archive without arrays.
    pub fn new(to: W) -> Self {
        Self(ZipWriter::new_stream(to))
    }

    /// Adds an array. `descr` is NumPy's name of the elements' type (`<f4`); `write` writes the elements, in the order of C, which take
    /// `n_bytes`.
    ///
    /// # Errors
    ///
    /// Fails if either writer fails, or the name is there already.
    pub fn array<E: From<io::Error>>(
        &mut self,
        name: &str,
        descr: &str,
        shape: &[u64],
        n_bytes: u64,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .large_file(n_bytes > u64::from(u32::MAX / 2));
        self.0.start_file(format!("{name}.npy"), options).map_err(io::Error::from)?;
        self.0.write_all(&header(descr, shape))?;
        write(&mut self.0)
    }

    /// Ends the archive.
    ///
    /// # Errors
    ///
    /// Fails if the writer fails.
    pub fn finish(self) -> io::Result<W> {
        let mut to = self.0.finish().map_err(io::Error::from)?.into_inner();
        to.flush()?;
        Ok(to)
    }
}

/// Version 1 of the NPY format; its length field holds the headers of any array with a sane number of dimensions.
fn header(descr: &str, shape: &[u64]) -> Vec<u8> {
    let dims: String = shape.iter().map(|it| format!("{it}, ")).collect();
    // A single one needs its comma.
    let dims = if shape.len() == 1 { dims.trim_end() } else { dims.trim_end_matches(", ") };
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}), }}");
    let len = (10 + text.len() + 1).next_multiple_of(ALIGNMENT) - 10;
    let mut res = b"\x93NUMPY\x02\x00".to_vec();
    if let Ok(len) = u16::try_from(len) {
        res[6] = 1;
        res.extend(len.to_le_bytes());
    } else {
        res.extend((len as u32).to_le_bytes());
    }
    let end = res.len() + len;
    res.extend(text.as_bytes());
    res.resize(end - 1, b' ');
    res.push(b'\n');
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_those_of_numpy() {
        let text = |shape: &[u64]| {
            let head = header("<f4", shape);
            assert!(head.len().is_multiple_of(64) && head.ends_with(b" \n"), "{head:?}");
            String::from_utf8_lossy(&head[10..]).trim_end().to_owned()
        };
        assert_eq!(text(&[3]), "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }");
        assert_eq!(text(&[3, 4]), "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }");
        assert_eq!(text(&[]), "{'descr': '<f4', 'fortran_order': False, 'shape': (), }");
    }
}
