//! A walk over the operations of a pickle that keeps of all values only what may become a name.
//!
//! Every operation of protocols 0 to 5 is followed as Python follows it, to the end or to where loading it fails, so that nothing
//! has to be known of what is pickled. Where versions of Python differ, the one that goes on counts.

use std::{collections::HashMap, fmt};

use super::globals::Global;

/// So many values of the memo are kept, and so many of the stack at most; the older ones of it come up last, if ever.
const MAX_KEPT: usize = 4_000_000;
/// So much of a name is shown.
const MAX_SHOWN: usize = 200;

/// Something that a pickle names, and that is not of tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Written {
        module: String,
        name: String,
    },
    /// Of texts that are not written in it.
    Made,
    /// In a registry that the program has.
    Numbered,
}

impl Name {
    /// Returns whether it reads as names of Python do, which a text hardly does by chance.
    pub(super) fn is_dotted(&self) -> bool {
        let is_dotted = |it: &str| {
            !it.is_empty() && it.chars().all(|it| it.is_alphanumeric() || matches!(it, '_' | '.' | '<' | '>'))
        };
        match self {
            Self::Written { module, name } => is_dotted(module) && is_dotted(name),
            Self::Made | Self::Numbered => false,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written { module, name } => {
                let mut shown = format!("{module}.{name}");
                if let Some((end, _)) = shown.char_indices().nth(MAX_SHOWN) {
                    shown.truncate(end);
                    shown.push('…');
                }
                shown.escape_debug().fmt(f)
            }
            Self::Made => f.write_str("a name that it makes"),
            Self::Numbered => f.write_str("a class by its number"),
        }
    }
}

/// A value, as far as it may be a part of a name.
#[derive(Clone, Copy)]
enum Value<'a> {
    Text(&'a [u8], Form),
    Other,
}

/// How a text is written.
#[derive(Clone, Copy)]
enum Form {
    Plain,
    /// As Python's codec `raw_unicode_escape` writes it.
    Unicode,
    /// As Python's codec `string_escape` wrote it.
    Quoted,
}

pub(super) struct Walk<'a> {
    rest: &'a [u8],
    stack: Vec<Value<'a>>,
    /// How many values at the bottom of the stack were let go.
    n_let_go: usize,
    /// The heights of the stack at each mark.
    marks: Vec<usize>,
    memo: HashMap<u64, Value<'a>>,
    has_named: bool,
    has_called: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            stack: Vec::new(),
            n_let_go: 0,
            marks: Vec::new(),
            memo: HashMap::new(),
            has_named: false,
            has_called: false,
        }
    }

    /// Returns what follows the operations that were walked over.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Returns whether anything was called after something was named.
    pub(super) fn has_called(&self) -> bool {
        self.has_called
    }

    /// Walks over all operations and hands out what is named; none where loading it fails.
    pub(super) fn run(&mut self, mut named: impl FnMut(Name)) -> Option<()> {
        loop {
            let op = self.take(1)?[0];
            if op == b'.' {
                return self.pop().map(drop);
            }
            if let Some(name) = self.step(op)? {
                self.has_named = true;
                named(name);
            }
            // Those that call something, after they named it.
            if matches!(op, b'R' | b'i' | b'o' | 0x81 | 0x92) {
                self.has_called |= self.has_named;
            }
        }
    }

    /// Returns what is named.
    fn step(&mut self, op: u8) -> Option<Option<Name>> {
        match op {
            b'c' => return self.lines_named(),
            b'i' => {
                self.pop_mark()?;
                return self.lines_named();
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                self.push(Value::Other);
                return match (module, name) {
                    (Value::Text(module, module_form), Value::Text(name, name_form)) => {
                        Some(written(&text(module, module_form)?, &text(name, name_form)?))
                    }
                    _ => Some(Some(Name::Made)),
                };
            }
            0x82..=0x84 => {
                self.take(1 << (op - 0x82))?;
                self.push(Value::Other);
                return Some(Some(Name::Numbered));
            }
            b'X' | b'T' => self.counted(4)?,
            0x8c | b'U' => self.counted(1)?,
            0x8d => self.counted(8)?,
            b'V' => {
                let line = self.line()?;
                self.push(Value::Text(line, Form::Unicode));
            }
            b'S' => {
                let line = self.line()?.trim_ascii_end();
                let (first, rest) = line.split_first()?;
                let (last, quoted) = rest.split_last()?;
                if first != last || !b"'\"".contains(first) {
                    return None;
                }
                self.push(Value::Text(quoted, Form::Quoted));
            }
            b'(' => {
                let height = self.height();
                // No more can be needed than there are values to come back to.
                if self.marks.len() > MAX_KEPT {
                    self.marks.drain(..MAX_KEPT / 2);
                }
                self.marks.push(height);
            }
            b'0' if self.marks.last() == Some(&self.height()) => drop(self.marks.pop()),
            b'1' => self.pop_mark()?,
            b'2' => {
                let top = self.top()?;
                self.push(top);
            }
            b'q' => self.remember(1)?,
            b'r' => self.remember(4)?,
            b'p' => {
                let at = decimal(self.line()?)?;
                let top = self.top()?;
                self.keep(at, top);
            }
            0x94 => {
                let top = self.top()?;
                self.keep(self.memo.len() as u64, top);
            }
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            b'g' => {
                let at = decimal(self.line()?)?;
                self.recall_at(at)?;
            }
            0x80 => drop(self.take(1).filter(|it| it[0] <= 5)?),
            0x95 => drop(self.take(8)?),
            other => self.plain(other)?,
        }
        Some(None)
    }

    /// Walks over an operation of which only the number of values counts.
    fn plain(&mut self, op: u8) -> Option<()> {
        let n_bytes = match op {
            b'K' => 1,
            b'M' => 2,
            b'J' => 4,
            b'G' => 8,
            b'I' | b'L' | b'F' | b'P' => self.line().map(|_| 0)?,
            b'C' | 0x8a => self.number(1)?,
            b'B' | 0x8b => self.number(4)?,
            0x8e | 0x96 => self.number(8)?,
            _ => 0,
        };
        self.take(usize::try_from(n_bytes).ok()?)?;
        // How many values are taken from the stack, and whether one is put there.
        let (n_popped, is_pushed) = match op {
            b'N' | b')' | b']' | b'}' | 0x88 | 0x89 | 0x8f | 0x97 => (0, true),
            b'K' | b'M' | b'J' | b'G' | b'I' | b'L' | b'F' | b'P' | b'C' | 0x8a | b'B' | 0x8b | 0x8e | 0x96 => {
                (0, true)
            }
            b'Q' | 0x85 | 0x98 => (1, true),
            0x86 | b'R' | 0x81 => (2, true),
            0x87 | 0x92 => (3, true),
            b'0' | b'a' | b'b' => (1, false),
            b's' => (2, false),
            b't' | b'l' | b'd' | b'o' | 0x91 => {
                self.pop_mark()?;
                (0, true)
            }
            b'e' | b'u' | 0x90 => {
                self.pop_mark()?;
                (0, false)
            }
            _ => return None,
        };
        (0..n_popped).try_for_each(|_| self.pop().map(drop))?;
        if is_pushed {
            self.push(Value::Other);
        } else if op != b'0' {
            // What they change is below.
            self.top()?;
        }
        Some(())
    }

    fn lines_named(&mut self) -> Option<Option<Name>> {
        let (module, name) = (self.line()?, self.line()?);
        self.push(Value::Other);
        Some(written(&String::from_utf8_lossy(module), &String::from_utf8_lossy(name)))
    }

    fn height(&self) -> usize {
        self.n_let_go + self.stack.len()
    }

    fn push(&mut self, value: Value<'a>) {
        if self.stack.len() >= MAX_KEPT {
            self.stack.drain(..MAX_KEPT / 2);
            self.n_let_go += MAX_KEPT / 2;
        }
        self.stack.push(value);
    }

    fn pop(&mut self) -> Option<Value<'a>> {
        let res = match self.stack.pop() {
            Some(it) => it,
            None => {
                self.n_let_go = self.n_let_go.checked_sub(1)?;
                Value::Other
            }
        };
        Some(res)
    }

    fn top(&self) -> Option<Value<'a>> {
        match self.stack.last() {
            Some(it) => Some(*it),
            None => (self.n_let_go > 0).then_some(Value::Other),
        }
    }

    /// Goes back to the last mark.
    fn pop_mark(&mut self) -> Option<()> {
        let height = self.marks.pop()?;
        self.stack.truncate(height.saturating_sub(self.n_let_go));
        self.n_let_go = self.n_let_go.min(height);
        Some(())
    }

    fn counted(&mut self, n_bytes: usize) -> Option<()> {
        let len = self.number(n_bytes)?;
        let text = self.take(usize::try_from(len).ok()?)?;
        self.push(Value::Text(text, Form::Plain));
        Some(())
    }

    fn remember(&mut self, n_bytes: usize) -> Option<()> {
        let (at, top) = (self.number(n_bytes)?, self.top()?);
        self.keep(at, top);
        Some(())
    }

    fn keep(&mut self, at: u64, value: Value<'a>) {
        if self.memo.len() < MAX_KEPT {
            self.memo.insert(at, value);
        }
    }

    fn recall(&mut self, n_bytes: usize) -> Option<()> {
        let at = self.number(n_bytes)?;
        self.recall_at(at)
    }

    fn recall_at(&mut self, at: u64) -> Option<()> {
        match self.memo.get(&at) {
            Some(&it) => self.push(it),
            None if self.memo.len() >= MAX_KEPT => self.push(Value::Other),
            None => return None,
        }
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

/// Returns the name unless it is of tensors.
fn written(module: &str, name: &str) -> Option<Name> {
    let is_rebuilt = module == "torch._utils" && name.starts_with("_rebuild_");
    let is_of_tensors = is_rebuilt || Global::find(module, name).is_some();
    (!is_of_tensors).then(|| Name::Written { module: module.to_owned(), name: name.to_owned() })
}

/// Returns a number as Python reads it: with white space around it, and single underscores in it.
fn decimal(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?.trim();
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_number = digits.split('_').all(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()));
    if is_number { digits.replace('_', "").parse().ok() } else { None }
}

/// Returns the text that is written so; none where Python refuses it.
fn text(bytes: &[u8], form: Form) -> Option<String> {
    match form {
        Form::Plain => Some(String::from_utf8_lossy(bytes).into_owned()),
        Form::Unicode => unescape(bytes, |kind, rest| match kind {
            b'u' => hexadecimal(rest, 4).map(Some),
            b'U' => hexadecimal(rest, 8).map(Some),
            _ => Some(None),
        }),
        Form::Quoted => unescape(bytes, |kind, rest| {
            Some(Some(match kind {
                b'a' => 7,
                b'b' => 8,
                b't' => 9,
                b'n' => 10,
                b'v' => 11,
                b'f' => 12,
                b'r' => 13,
                b'\\' | b'\'' | b'"' => u32::from(kind),
                b'x' => hexadecimal(rest, 2)?,
                b'0'..=b'7' => {
                    let more = rest.iter().take(2).take_while(|it| matches!(it, b'0'..=b'7')).count();
                    let (digits, left) = rest.split_at(more);
                    *rest = left;
                    let octal = |res, it: &u8| res * 8 + u32::from(it - b'0');
                    // Of the highest digit two bits count.
                    digits.iter().fold(u32::from(kind - b'0'), octal) & 0xff
                }
                _ => return Some(None),
            }))
        }),
    }
}

/// Replaces what follows a backslash by what `escaped` makes of it, where it makes anything of it. All else are the
/// characters with these numbers.
fn unescape(bytes: &[u8], escaped: impl Fn(u8, &mut &[u8]) -> Option<Option<u32>>) -> Option<String> {
    let (mut res, mut rest) = (String::new(), bytes);
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let (b'\\', Some((&kind, after))) = (first, rest.split_first()) else {
            res.push(char::from(first));
            continue;
        };
        rest = after;
        match escaped(kind, &mut rest)? {
            // Half of a pair is no character, and no part of a name either.
            Some(it) => res.push(char::from_u32(it).unwrap_or(char::REPLACEMENT_CHARACTER)),
            None => res.extend([char::from(first), char::from(kind)]),
        }
    }
    Some(res)
}

fn hexadecimal(rest: &mut &[u8], n_digits: usize) -> Option<u32> {
    let (digits, left) = rest.split_at_checked(n_digits)?;
    *rest = left;
    digits.iter().try_fold(0_u32, |res, &it| Some(res << 4 | char::from(it).to_digit(16)?))
}
