//! Whether a CSV file is inside a quote.
//!
//! The reader takes what is quoted at the end of a file as if the quote were closed there, so that a quote which is never closed makes one
//! value of all rows below it.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

const QUOTE: u8 = b'"';
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Where a field begins.
    Begin,
    /// In a field, where a quote is a character.
    Field,
    Quoted,
    /// After the quote that ends a quoted field, unless another one follows.
    Closed,
}

/// Follows the quotes of a file.
#[derive(Debug)]
pub(super) struct Quotes {
    delimiter: u8,
    state: State,
    /// The bytes that were seen.
    seen: u64,
    /// Where the last quoted field begins.
    opened: u64,
}

impl Quotes {
    pub(super) fn new(delimiter: u8) -> Self {
        Self { delimiter, state: State::Begin, seen: 0, opened: 0 }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Quoted
    }

    /// Takes in the next bytes.
    pub(super) fn follow(&mut self, bytes: &[u8]) {
        let mut at = if self.seen == 0 && bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        while let Some(next) = bytes[at..].iter().position(|it| *it == QUOTE) {
            self.pass(&bytes[at..at + next]);
            self.state = match self.state {
                State::Begin => {
                    self.opened = self.seen + (at + next) as u64;
                    State::Quoted
                }
                State::Closed => State::Quoted,
                State::Quoted => State::Closed,
                State::Field => State::Field,
            };
            at += next + 1;
        }
        self.pass(&bytes[at..]);
        self.seen += bytes.len() as u64;
    }

    /// Takes in bytes without quotes, of which the last one decides.
    fn pass(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last().filter(|_| !self.is_open()) else { return };
        let ends = *last == self.delimiter || matches!(last, b'\n' | b'\r');
        self.state = if ends { State::Begin } else { State::Field };
    }
}

/// A file that must not end inside a quote.
pub(super) struct Quoted<R> {
    reader: R,
    quotes: Quotes,
}

impl<R: Read> Quoted<R> {
    pub(super) fn new(reader: R, delimiter: u8) -> Self {
        Self { reader, quotes: Quotes::new(delimiter) }
    }
}

impl<R: Read> Read for Quoted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.quotes.follow(&buffer[..n]);
        if n == 0 && !buffer.is_empty() && self.quotes.is_open() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends inside a quote"));
        }
        Ok(n)
    }
}

/// Returns the line of the quote in which the file ends; the first one is 1.
pub(super) fn unclosed(file: &Path, delimiter: u8) -> io::Result<Option<u64>> {
    let mut quotes = Quotes::new(delimiter);
    chunks(File::open(file)?, |it| quotes.follow(it))?;
    if !quotes.is_open() {
        return Ok(None);
    }
    let mut line = 1;
    let count = |it: &[u8]| line += it.iter().filter(|it| **it == b'\n').count() as u64;
    chunks(File::open(file)?.take(quotes.opened), count)?;
    Ok(Some(line))
}

fn chunks(mut reader: impl Read, mut use_it: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(()),
            n => use_it(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_end_in_quotes_as_the_reader_sees_them() {
        for (text, is_open) in [
            ("a,b\n1,\"x\"\n", false),
            ("a,b\n1,\"x\"", false),
            ("a,b\n1,\"x\n2,3\n", true),
            ("a,b\n1,\"x\"\"\n", true),
            ("a,b\n1,\"x\"\"\"\n", false),
            ("a,b\n1,5\"\n2,6\n", false),
            ("a,b\n1, \"x\n", false),
            ("a,b\n1,\"x\"y\"\n", false),
            ("\"a,b\n", true),
            ("\u{feff}\"a,b\n", true),
            ("\u{feff}a\"\n", false),
            ("a\r\"b", true),
            ("a,\"\"\n", false),
            ("a,\"", true),
        ] {
            for size in 1..=text.len() {
                let mut quotes = Quotes::new(b',');
                // The mark is looked for in what is read first.
                let size = if text.starts_with('\u{feff}') { size.max(3) } else { size };
                text.as_bytes().chunks(size).for_each(|it| quotes.follow(it));
                assert_eq!(quotes.is_open(), is_open, "{text:?} {size}");
            }
        }
    }
}
