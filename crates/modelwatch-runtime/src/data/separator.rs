//! What separates the values of a CSV file.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use super::quotes::Quotes;

/// So many lines are looked at, which are at most so long.
const LINES: usize = 20;
const BYTES: u64 = 1 << 20;

/// The first of those that fit equally well.
const CANDIDATES: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Returns the tab for a `.tsv`; elsewhere what cuts the head line and the first rows into fields of one number, the largest there is.
///
/// Where none does, it is the comma, or what the head line has in its place.
pub(super) fn guess(file: &Path) -> io::Result<u8> {
    if file.extension().is_some_and(|it| it.eq_ignore_ascii_case("tsv")) {
        return Ok(b'\t');
    }
    let mut reader = BufReader::new(File::open(file)?.take(BYTES));
    let mut text = Vec::new();
    for _ in 0..LINES {
        reader.read_until(b'\n', &mut text)?;
    }
    Ok(of(&text))
}

fn of(text: &[u8]) -> u8 {
    let mut best = None;
    let mut in_head = None;
    for it in CANDIDATES {
        let found = fields(text, it);
        let Some(n) = found.first().copied().filter(|it| *it > 1) else { continue };
        in_head = in_head.or(Some(it));
        if found.iter().all(|it| *it == n) && best.is_none_or(|(most, _)| n > most) {
            best = Some((n, it));
        }
    }
    best.map(|it| it.1).or(in_head).unwrap_or(CANDIDATES[0])
}

/// Returns how many fields each record has, but for one that is cut off.
fn fields(text: &[u8], delimiter: u8) -> Vec<usize> {
    let mut quotes = Quotes::new(delimiter);
    let (mut res, mut n, mut is_empty) = (Vec::new(), 1, true);
    for it in text {
        quotes.follow(&[*it]);
        match it {
            _ if quotes.is_open() => is_empty = false,
            b'\n' | b'\r' => {
                if !is_empty {
                    res.push(n);
                }
                (n, is_empty) = (1, true);
            }
            it => {
                n += usize::from(*it == delimiter);
                is_empty = false;
            }
        }
    }
    if !is_empty && (res.is_empty() || !quotes.is_open() && text.len() < BYTES as usize) {
        res.push(n);
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rows_have_the_fields_of_the_head_line() {
        for (text, expected) in [
            ("a,b\n1,2\n", b','),
            ("a;b\n1,5;2,5\n", b';'),
            ("id;price, EUR;label\n1;2,5;0\n2;3,5;1\n", b';'),
            ("id;price, EUR;label\n1;2;0\n", b';'),
            ("id;\"price, EUR\"\n1;2\n", b';'),
            ("a\tb, c\n1\t2\n", b'\t'),
            ("a|b;c\n1|2\n", b'|'),
            ("a,b;c\n1,2;3\n", b','),
            ("a,b|c|d\n1,2\n", b','),
            ("x\n1\n2\n", b','),
            ("x\n1;5\n", b','),
            ("a,b\n\n1,2\n\n", b','),
            ("a;b\n1;\"2\n;;;\n\"\n3;4", b';'),
            ("a,b\n1,\"x;y\n", b','),
            ("a,b\n1\n", b','),
            ("", b','),
        ] {
            assert_eq!(char::from(of(text.as_bytes())), char::from(expected), "{text:?}");
        }
    }
}
