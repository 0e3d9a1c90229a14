//! Pickles outside an archive: told from other data, and searched for what they would run.
//!
//! Operations are passed over without making a value of them, of every protocol, so that nothing has to be known of what is
//! pickled. What is found is for whoever has to decide; it is not what keeps anything from running, which nothing here can.

use std::collections::HashMap;

use super::globals::Global;
use crate::error::{Site, TensorError};

/// What every file of `torch.save` before 1.6 begins with, behind the mark of its protocol.
const LEGACY: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
/// Such a file is five pickles, and the numbers behind them.
const MAX_PICKLES: usize = 5;
/// More operations are not followed.
const MAX_OPERATIONS: usize = 4_000_000;
/// Longer names are of no module.
const MAX_NAME: usize = 256;

/// A pickle, or several in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pickled {
    /// The first name it wants that is not of tensors, and so is code.
    pub wants: Option<String>,
    /// PyTorch wrote it before 1.6.
    pub is_legacy: bool,
}

/// Returns why a pickle outside an archive is not read.
pub(crate) fn refused(site: Site<'_>, bytes: &[u8]) -> TensorError {
    const OUTSIDE: &str = "it is a pickle outside a zip archive";
    match scan(bytes).unwrap_or_default() {
        Pickled { wants: Some(name), .. } => {
            let remedy = "save the state_dict alone with a newer torch.save, or as safetensors";
            site.unsupported(format!("{OUTSIDE} and wants `{name}`, which is code"), remedy)
        }
        Pickled { is_legacy: true, .. } => {
            let remedy = "save it again with a newer torch, by `torch.save(torch.load(path, weights_only=True), path)`, \
                          or as safetensors";
            site.unsupported(format!("{OUTSIDE}, as PyTorch wrote before 1.6"), remedy)
        }
        _ => site.unsupported(OUTSIDE, "save the weights with a newer torch.save, or as safetensors"),
    }
}

/// Returns what a file is that is a pickle; none for other data, also where it begins like one.
pub(crate) fn scan(bytes: &[u8]) -> Option<Pickled> {
    let mut res = Pickled { is_legacy: bytes.get(2..).is_some_and(|it| it.starts_with(LEGACY)), ..Pickled::default() };
    let is_marked = has_mark(bytes);
    let mut rest = bytes;
    for n_read in 0..MAX_PICKLES {
        let mut scan = Scan { rest, ..Scan::default() };
        let is_whole = scan.run().is_some();
        res.wants = res.wants.or(scan.wants);
        rest = scan.rest;
        // What names code is a pickle for whoever loads it, however it ends.
        if n_read == 0 && !is_whole && !(is_marked && res.wants.is_some()) {
            return None;
        }
        if !is_whole || !has_mark(rest) {
            break;
        }
    }
    // Early protocols have no mark, so that any text might be one.
    (is_marked || (rest.is_empty() && res.wants.is_some())).then_some(res)
}

fn has_mark(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, ..])
}

#[derive(Default)]
struct Scan<'a> {
    rest: &'a [u8],
    /// What was pushed last, the newest last: texts, and what is none.
    pushed: Vec<Option<&'a [u8]>>,
    memo: HashMap<u64, Option<&'a [u8]>>,
    wants: Option<String>,
}

impl<'a> Scan<'a> {
    /// Passes over all operations to the end of the pickle, or as many as are followed; none where there is none.
    fn run(&mut self) -> Option<()> {
        for _ in 0..MAX_OPERATIONS {
            let op = self.take(1)?[0];
            if op == b'.' {
                break;
            }
            self.step(op)?;
        }
        Some(())
    }

    fn step(&mut self, op: u8) -> Option<()> {
        match op {
            b'X' | b'T' => self.text(4)?,
            0x8c | b'U' => self.text(1)?,
            0x8d => self.text(8)?,
            b'V' | b'S' => {
                let line = self.line()?;
                let quotes: &[u8] = b"'\"";
                let is_quoted = op == b'S' && line.len() > 1 && quotes.contains(&line[0]);
                self.push(Some(if is_quoted { &line[1..line.len() - 1] } else { line }));
            }
            b'q' => self.remember(1)?,
            b'r' => self.remember(4)?,
            b'p' => {
                let at = decimal(self.line()?)?;
                self.memo.insert(at, self.top());
            }
            0x94 => drop(self.memo.insert(self.memo.len() as u64, self.top())),
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            b'g' => {
                let at = decimal(self.line()?)?;
                self.push(self.memo.get(&at).copied().flatten());
            }
            b'c' | b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(Some(module), Some(name))?;
            }
            0x93 => {
                let (name, module) = (self.pushed.pop().flatten(), self.pushed.pop().flatten());
                self.global(module, name)?;
            }
            // Names that a registry of the program has by numbers.
            0x82..=0x84 => {
                let n_bytes = 1 << (op - 0x82);
                self.take(n_bytes)?;
                self.want("a class by its number".to_owned());
            }
            other => {
                self.pass(other)?;
                self.push(None);
            }
        }
        Some(())
    }

    /// Passes over what comes with an operation that neither makes a text nor names anything.
    fn pass(&mut self, op: u8) -> Option<()> {
        let n_bytes = match op {
            b'('
            | b'0'
            | b'1'
            | b'2'
            | b'N'
            | b')'
            | b']'
            | b'}'
            | b'a'
            | b'b'
            | b'd'
            | b'e'
            | b'l'
            | b'o'
            | b's'
            | b't'
            | b'u'
            | b'R'
            | b'Q'
            | 0x81
            | 0x85..=0x89
            | 0x8f..=0x92
            | 0x97
            | 0x98 => 0,
            0x80 | b'K' => 1,
            b'M' => 2,
            b'J' => 4,
            b'G' | 0x95 => 8,
            b'I' | b'L' | b'F' | b'P' => return self.line().map(drop),
            b'C' | 0x8a => self.number(1)?,
            b'B' | 0x8b => self.number(4)?,
            0x8e | 0x96 => self.number(8)?,
            _ => return None,
        };
        self.take(usize::try_from(n_bytes).ok()?).map(drop)
    }

    fn global(&mut self, module: Option<&[u8]>, name: Option<&[u8]>) -> Option<()> {
        let text = |it: Option<&'_ [u8]>| {
            it.filter(|it| it.len() <= MAX_NAME).and_then(|it| std::str::from_utf8(it).ok().map(str::to_owned))
        };
        match (text(module), text(name)) {
            (Some(module), Some(name)) if is_dotted(&module) && is_dotted(&name) => {
                let is_rebuilt = module == "torch._utils" && name.starts_with("_rebuild_");
                if !is_rebuilt && Global::find(&module, &name).is_none() {
                    self.want(format!("{module}.{name}"));
                }
            }
            // Of texts that cannot be followed.
            _ if module.is_none() || name.is_none() => self.want("a name that it makes".to_owned()),
            _ => return None,
        }
        self.push(None);
        Some(())
    }

    fn want(&mut self, name: String) {
        self.wants.get_or_insert(name);
    }

    fn push(&mut self, text: Option<&'a [u8]>) {
        // Two make a name.
        if self.pushed.len() > 64 {
            self.pushed.drain(..62);
        }
        self.pushed.push(text);
    }

    fn top(&self) -> Option<&'a [u8]> {
        self.pushed.last().copied().flatten()
    }

    fn text(&mut self, n_bytes: usize) -> Option<()> {
        let len = self.number(n_bytes)?;
        let text = self.take(usize::try_from(len).ok()?)?;
        self.push(Some(text));
        Some(())
    }

    fn remember(&mut self, n_bytes: usize) -> Option<()> {
        let at = self.number(n_bytes)?;
        self.memo.insert(at, self.top());
        Some(())
    }

    fn recall(&mut self, n_bytes: usize) -> Option<()> {
        let at = self.number(n_bytes)?;
        self.push(self.memo.get(&at).copied().flatten());
        Some(())
    }

    fn number(&mut self, n_bytes: usize) -> Option<u64> {
        Some(self.take(n_bytes)?.iter().rev().fold(0, |res, &byte| (res << 8) | u64::from(byte)))
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&it| it == b'\n')?;
        let line = self.take(end)?;
        self.take(1)?;
        Some(line)
    }

    fn take(&mut self, n_bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n_bytes)?;
        self.rest = rest;
        Some(taken)
    }
}

fn decimal(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// Returns whether a text may name something of Python.
fn is_dotted(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|it| it.is_alphanumeric() || matches!(it, '_' | '.' | '<' | '>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(bytes: &[u8]) -> Option<Option<String>> {
        scan(bytes).map(|it| it.wants)
    }

    #[test]
    fn what_a_pickle_would_run_is_named_in_every_protocol() {
        // As `pickle.dumps` writes an object whose `__reduce__` is `os.system` with one text.
        let cases: [&[u8]; 5] = [
            b"cposix\nsystem\np0\n(Vid\np1\ntp2\nRp3\n.",
            b"cposix\nsystem\nq\x00(X\x02\x00\x00\x00idq\x01tq\x02Rq\x03.",
            b"\x80\x02cposix\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85q\x02Rq\x03.",
            b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.",
            b"(S'id'\niposix\nsystem\n.",
        ];
        for bytes in cases {
            assert_eq!(wants(bytes), Some(Some("posix.system".to_owned())), "{bytes:?}");
        }
        // A text that comes back from the memo, behind others.
        let shared = b"\x80\x04\x8c\x05posix\x94N\x8c\x06system\x94\x30h\x00h\x01\x93.";
        assert_eq!(wants(shared), Some(Some("posix.system".to_owned())));
        // One that never ends runs all the same.
        assert_eq!(wants(b"\x80\x02cposix\nsystem\n)R"), Some(Some("posix.system".to_owned())));
        assert_eq!(wants(b"\x80\x04N\x8c\x06system\x93."), Some(Some("a name that it makes".to_owned())));
    }

    #[test]
    fn what_is_no_pickle_is_not_taken_for_one() {
        let others: [&[u8]; 8] = [
            b"",
            b"\x80\x04\x95",
            b"\x80\x02anything",
            b"anything",
            b"class A:\n    pass\n",
            b"cat is\ndog\n.",
            b"(1, 2)\n",
            b"\x00\x01\x02",
        ];
        for bytes in others {
            assert_eq!(wants(bytes), None, "{bytes:?}");
        }
        assert_eq!(wants(b"\x80\x04N."), Some(None));
        assert_eq!(wants(b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01."), Some(None));
    }

    #[test]
    fn every_length_of_a_pickle_is_read_without_a_panic() {
        let bytes = include_bytes!("../../../../tests/fixtures/torch/legacy.pt");
        let whole = scan(bytes).unwrap();
        assert_eq!(whole, Pickled { wants: None, is_legacy: true });
        for end in 0..bytes.len().min(2_000) {
            let _ = scan(&bytes[..end]);
        }
    }
}
