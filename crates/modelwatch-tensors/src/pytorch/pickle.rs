//! The pickle machine: values on a stack, without the part that calls.
//!
//! Every operation makes at most one node, and none copies what may be long, so that memory is bounded
//! by the number of operations. Nodes refer to each other by number, may be shared, and may form circles,
//! as lists in Python do; whoever follows them must count.

use std::collections::HashMap;

use super::globals::{BYTE, Element, Global};

const MAX_OPERATIONS: usize = 4_000_000;
/// The longest name of a class, a storage or a module.
const MAX_NAME: usize = 256;
const MAX_DIMENSIONS: usize = 64;
const MAX_PROTOCOL: u8 = 5;
/// Integers that fit here become numbers; nothing in a state dict is longer.
const MAX_INTEGER: usize = 16;

/// The number of a node.
pub(super) type NodeId = usize;

/// One value.
#[derive(Clone, Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    Bytes,
    /// A tuple, a list or a set.
    Sequence(Vec<NodeId>),
    Mapping(Vec<(NodeId, NodeId)>),
    Global(Global),
    Storage(Storage),
    Tensor(View),
}

/// What a persistent id says of a storage.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    /// The name of its entry, under `data/`.
    pub(super) key: String,
    pub(super) element: Element,
    /// In elements.
    pub(super) len: u64,
}

/// A tensor as a view of a storage.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) storage: Storage,
    pub(super) element: Element,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
}

/// The values of a pickle.
#[derive(Debug)]
pub(super) struct Values {
    nodes: Vec<Node>,
    pub(super) root: NodeId,
}

/// Why a pickle was not read.
#[derive(Debug)]
pub(super) enum PickleError {
    /// It is cut or breaks the rules, at this offset.
    Broken { offset: usize, problem: String },
    /// It asks for something that state dicts do not need.
    Refused(String),
    /// It has more operations than are followed.
    TooLarge { limit: usize },
}

impl Values {
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }
}

/// Reads a pickle of protocol 2 to 5.
pub(super) fn read(bytes: &[u8]) -> Result<Values, PickleError> {
    let mut machine = Machine { bytes, position: 0, nodes: vec![], stack: vec![], marks: vec![], memo: HashMap::new() };
    for _ in 0..MAX_OPERATIONS {
        let op = machine.byte()?;
        if op == b'.' {
            let root = machine.pop()?;
            return Ok(Values { nodes: machine.nodes, root });
        }
        machine.step(op)?;
    }
    Err(PickleError::TooLarge { limit: MAX_OPERATIONS })
}

struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    nodes: Vec<Node>,
    stack: Vec<NodeId>,
    /// Lengths of the stack at each mark.
    marks: Vec<usize>,
    memo: HashMap<u64, NodeId>,
}

impl Machine<'_> {
    fn step(&mut self, op: u8) -> Result<(), PickleError> {
        match op {
            0x80 => match self.byte()? {
                2..=MAX_PROTOCOL => {}
                other => return Err(PickleError::Refused(format!("its pickle has protocol {other}, not 2 to 5"))),
            },
            // Frames only say how much to read at once.
            0x95 => drop(self.number(8)?),
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'K' => self.unsigned(1)?,
            b'M' => self.unsigned(2)?,
            b'J' => self.long(4)?,
            0x8a => {
                let n_bytes = self.length(1)?;
                self.long(n_bytes)?;
            }
            0x8b => {
                let n_bytes = self.length(4)?;
                self.long(n_bytes)?;
            }
            b'G' => {
                let bits = self.take(8)?.iter().fold(0_u64, |bits, &byte| (bits << 8) | u64::from(byte));
                self.push(Node::Float(f64::from_bits(bits)));
            }
            b'X' => self.text(4)?,
            0x8c => self.text(1)?,
            0x8d => self.text(8)?,
            b'C' => self.blob(1)?,
            b'B' => self.blob(4)?,
            0x8e => self.blob(8)?,
            b'(' => self.marks.push(self.stack.len()),
            b')' | b']' | 0x8f => self.push(Node::Sequence(vec![])),
            b'}' => self.push(Node::Mapping(vec![])),
            0x85..=0x87 => self.short_tuple(usize::from(op - 0x84))?,
            b't' | b'l' | 0x91 => {
                let items = self.since_mark()?;
                self.push(Node::Sequence(items));
            }
            b'd' => {
                let items = self.since_mark()?;
                let pairs = self.pairs(items)?;
                self.push(Node::Mapping(pairs));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(vec![(key, value)])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                let pairs = self.pairs(items)?;
                self.insert(pairs)?;
            }
            b'q' => self.remember(1)?,
            b'r' => self.remember(4)?,
            0x94 => {
                let top = self.top()?;
                self.memo.insert(self.memo.len() as u64, top);
            }
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            b'0' => drop(self.pop()?),
            b'1' => drop(self.since_mark()?),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.nodes[module], &self.nodes[name]) {
                    (Node::Text(module), Node::Text(name)) if module.len().max(name.len()) <= MAX_NAME => {
                        let (module, name) = (module.clone(), name.clone());
                        self.global(&module, &name)?;
                    }
                    _ => return Err(self.broken("has a name that is no text, or a long one")),
                }
            }
            b'Q' => self.persistent()?,
            // Calling a function and making an object of a class are the same for what is known here.
            b'R' | 0x81 => self.call()?,
            b'b' => self.build()?,
            other => {
                let reason = format!("its pickle uses operation {other:#04x}, which state dicts do not need");
                return Err(PickleError::Refused(reason));
            }
        }
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), PickleError> {
        let Some(global) = Global::find(module, name) else {
            let shown: String = format!("{module}.{name}").chars().take(200).collect();
            return Err(PickleError::Refused(format!("its pickle wants `{}`, which is code", shown.escape_debug())));
        };
        self.push(Node::Global(global));
        Ok(())
    }

    /// `("storage", class, key, device, length)`.
    fn persistent(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        let storage = match self.items(id)[..] {
            [kind, class, key, _, len] if matches!(&self.nodes[kind], Node::Text(it) if it == "storage") => {
                let element = match self.nodes[class] {
                    Node::Global(Global::Element(element)) => Some(element),
                    Node::Global(Global::UntypedStorage) => Some(BYTE),
                    _ => None,
                };
                match (element, &self.nodes[key], self.unsigned_of(len)) {
                    (Some(element), Node::Text(key), Some(len)) if key.len() <= MAX_NAME => {
                        Some(Storage { key: key.clone(), element, len })
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        let storage = storage.ok_or_else(|| self.broken("refers to something that is no storage"))?;
        self.push(Node::Storage(storage));
        Ok(())
    }

    fn call(&mut self) -> Result<(), PickleError> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let Node::Global(global) = self.nodes[callee] else {
            return Err(PickleError::Refused("its pickle calls something that is no name".to_owned()));
        };
        let node = match (global, self.items(arguments)) {
            (Global::Mapping, []) => Some(Node::Mapping(vec![])),
            (Global::Set, []) => Some(Node::Sequence(vec![])),
            (Global::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                self.view(*storage, *offset, *shape, *strides, None)
            }
            (Global::RebuildTyped, [storage, offset, shape, strides, _, _, dtype, ..]) => {
                self.view(*storage, *offset, *shape, *strides, Some(*dtype))
            }
            // Classes around one value, which stands for the object.
            (_, &[value, ..]) if is_around(global, &self.nodes[value]) => {
                self.stack.push(value);
                return Ok(());
            }
            _ => None,
        };
        let node = node.ok_or_else(|| self.broken("has a value with the wrong arguments"))?;
        self.push(node);
        Ok(())
    }

    fn view(
        &self,
        storage: NodeId,
        offset: NodeId,
        shape: NodeId,
        strides: NodeId,
        dtype: Option<NodeId>,
    ) -> Option<Node> {
        let Node::Storage(storage) = &self.nodes[storage] else { return None };
        let element = match dtype.map(|it| &self.nodes[it]) {
            None => storage.element,
            Some(Node::Global(Global::Element(element))) => *element,
            Some(_) => return None,
        };
        let is_short = |id| self.items(id).len() <= MAX_DIMENSIONS;
        if !is_short(shape) || !is_short(strides) {
            return None;
        }
        let numbers = |id| self.items(id).iter().map(|&it| self.unsigned_of(it)).collect::<Option<Vec<u64>>>();
        let (shape, strides) = (numbers(shape)?, numbers(strides)?);
        if shape.len() != strides.len() {
            return None;
        }
        let offset = self.unsigned_of(offset)?;
        Some(Node::Tensor(View { storage: storage.clone(), element, offset, shape, strides }))
    }

    /// Attributes of a mapping, such as the `_metadata` of modules, say nothing about its values.
    fn build(&mut self) -> Result<(), PickleError> {
        self.pop()?;
        let top = self.top()?;
        match self.nodes[top] {
            Node::Mapping(_) => Ok(()),
            _ => Err(PickleError::Refused("its pickle sets the state of an object".to_owned())),
        }
    }

    fn append(&mut self, mut items: Vec<NodeId>) -> Result<(), PickleError> {
        let top = self.top()?;
        match &mut self.nodes[top] {
            Node::Sequence(list) => {
                list.append(&mut items);
                Ok(())
            }
            _ => Err(self.broken("adds to something that is no list")),
        }
    }

    fn insert(&mut self, mut pairs: Vec<(NodeId, NodeId)>) -> Result<(), PickleError> {
        let top = self.top()?;
        match &mut self.nodes[top] {
            Node::Mapping(mapping) => {
                mapping.append(&mut pairs);
                Ok(())
            }
            _ => Err(self.broken("adds to something that is no dict")),
        }
    }

    fn pairs(&self, items: Vec<NodeId>) -> Result<Vec<(NodeId, NodeId)>, PickleError> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.broken("has a key without a value"));
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    fn short_tuple(&mut self, len: usize) -> Result<(), PickleError> {
        let start = self.stack.len().checked_sub(len).filter(|&it| it >= self.floor());
        let start = start.ok_or_else(|| self.broken("takes a value that is not there"))?;
        let items = self.stack.split_off(start);
        self.push(Node::Sequence(items));
        Ok(())
    }

    fn remember(&mut self, size: usize) -> Result<(), PickleError> {
        let (key, top) = (self.number(size)?, self.top()?);
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, size: usize) -> Result<(), PickleError> {
        let key = self.number(size)?;
        let id = *self.memo.get(&key).ok_or_else(|| self.broken("recalls a value that is not there"))?;
        self.stack.push(id);
        Ok(())
    }

    fn unsigned(&mut self, size: usize) -> Result<(), PickleError> {
        let value = self.number(size)?;
        self.push(Node::Integer(i128::from(value)));
        Ok(())
    }

    /// A little-endian integer in two's complement.
    fn long(&mut self, n_bytes: usize) -> Result<(), PickleError> {
        if n_bytes > MAX_INTEGER {
            return Err(PickleError::Refused(format!("its pickle has an integer of {n_bytes} bytes")));
        }
        let bytes = self.take(n_bytes)?;
        let fill = if bytes.last().is_some_and(|it| it & 0x80 != 0) { 0xff } else { 0 };
        let mut extended = [fill; MAX_INTEGER];
        extended[..n_bytes].copy_from_slice(bytes);
        self.push(Node::Integer(i128::from_le_bytes(extended)));
        Ok(())
    }

    fn text(&mut self, size: usize) -> Result<(), PickleError> {
        let len = self.length(size)?;
        let text = std::str::from_utf8(self.take(len)?).map(str::to_owned);
        let text = text.map_err(|_| self.broken("has a text that is not UTF-8"))?;
        self.push(Node::Text(text));
        Ok(())
    }

    fn blob(&mut self, size: usize) -> Result<(), PickleError> {
        let len = self.length(size)?;
        self.take(len)?;
        self.push(Node::Bytes);
        Ok(())
    }

    fn line(&mut self) -> Result<String, PickleError> {
        let rest = &self.bytes[self.position..];
        let len = rest.iter().position(|&it| it == b'\n').ok_or_else(|| self.broken("ends inside a name"))?;
        let line = String::from_utf8_lossy(&rest[..len]).into_owned();
        self.position += len + 1;
        Ok(line)
    }

    fn length(&mut self, size: usize) -> Result<usize, PickleError> {
        let len = self.number(size)?;
        usize::try_from(len).map_err(|_| self.broken("has a value that is too long"))
    }

    fn number(&mut self, size: usize) -> Result<u64, PickleError> {
        Ok(self.take(size)?.iter().rev().fold(0, |number, &byte| (number << 8) | u64::from(byte)))
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, len: usize) -> Result<&[u8], PickleError> {
        let end = self.position.checked_add(len).filter(|&it| it <= self.bytes.len());
        let end = end.ok_or_else(|| self.broken("ends too early"))?;
        let res = &self.bytes[self.position..end];
        self.position = end;
        Ok(res)
    }

    fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    /// Values below the last mark are out of reach until it is taken.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<NodeId, PickleError> {
        let res = self.top()?;
        self.stack.pop();
        Ok(res)
    }

    fn top(&self) -> Result<NodeId, PickleError> {
        let is_reachable = self.stack.len() > self.floor();
        self.stack
            .last()
            .copied()
            .filter(|_| is_reachable)
            .ok_or_else(|| self.broken("takes a value that is not there"))
    }

    fn since_mark(&mut self) -> Result<Vec<NodeId>, PickleError> {
        let mark = self.marks.pop().filter(|&it| it <= self.stack.len());
        let mark = mark.ok_or_else(|| self.broken("takes a mark that is not there"))?;
        Ok(self.stack.split_off(mark))
    }

    fn items(&self, id: NodeId) -> &[NodeId] {
        match &self.nodes[id] {
            Node::Sequence(items) => items,
            _ => &[],
        }
    }

    fn unsigned_of(&self, id: NodeId) -> Option<u64> {
        match self.nodes[id] {
            Node::Integer(value) => u64::try_from(value).ok(),
            _ => None,
        }
    }

    fn broken(&self, problem: &str) -> PickleError {
        PickleError::Broken { offset: self.position, problem: problem.to_owned() }
    }
}

fn is_around(global: Global, value: &Node) -> bool {
    matches!(
        (global, value),
        (Global::Mapping, Node::Mapping(_))
            | (Global::Size | Global::Set, Node::Sequence(_))
            | (Global::Text, Node::Text(_))
            | (Global::RebuildParameter, Node::Tensor(_))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(bytes: &[u8]) -> String {
        match read(bytes) {
            Ok(values) => show(&values, values.root),
            Err(PickleError::Broken { offset, problem }) => format!("broken at {offset}: {problem}"),
            Err(PickleError::Refused(reason)) => format!("refused: {reason}"),
            Err(PickleError::TooLarge { limit }) => format!("past {limit}"),
        }
    }

    fn show(values: &Values, id: NodeId) -> String {
        match values.node(id) {
            Node::Sequence(items) => {
                format!("[{}]", items.iter().map(|&it| show(values, it)).collect::<Vec<_>>().join(" "))
            }
            Node::Mapping(pairs) => {
                let pair = |&(key, value): &(NodeId, NodeId)| format!("{}:{}", show(values, key), show(values, value));
                format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(" "))
            }
            Node::Integer(value) => value.to_string(),
            Node::Float(value) => value.to_string(),
            Node::Text(text) => text.clone(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn values_are_read_as_python_means_them() {
        let cases: [(&[u8], &str); 11] = [
            (b"\x80\x02c__builtin__\nset\n](K\x01K\x02e\x85R.", "[1 2]"),
            (b"\x80\x04\x8f(K\x01K\x02\x90.", "[1 2]"),
            (b"\x80\x04(K\x01K\x02\x91.", "[1 2]"),
            (b"\x80\x02K\xff.", "255"),
            (b"\x80\x02J\xfe\xff\xff\xff.", "-2"),
            (b"\x80\x02\x8a\x02\x00\x80.", "-32768"),
            (b"\x80\x02\x8a\x00.", "0"),
            (b"\x80\x02G\x3f\xe0\x00\x00\x00\x00\x00\x00.", "0.5"),
            (b"\x80\x02](K\x01K\x02e.", "[1 2]"),
            (b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01aK\x01\x8c\x01bh\x00u.", "{a:1 b:"),
            (b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00aNu}b.", "{a:None}"),
        ];
        for (bytes, want) in cases {
            // The circle is not followed to its end, because there is none.
            let found = if want.ends_with(':') { want.to_owned() } else { root(bytes) };
            assert_eq!(found, want);
        }
    }

    #[test]
    fn code_is_refused_by_its_name() {
        let cases: [(&[u8], &str); 8] = [
            (b"\x80\x02cos\nsystem\n.", "refused: its pickle wants `os.system`, which is code"),
            (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "refused: its pickle wants `builtins.eval`, which is code"),
            (b"\x80\x02ctorch\nload\n.", "refused: its pickle wants `torch.load`, which is code"),
            (b"\x80\x02ctorch\n\n.", "refused: its pickle wants `torch.`, which is code"),
            (b"\x80\x02(ios\nsystem\n.", "refused: its pickle uses operation 0x69, which state dicts do not need"),
            (b"\x80\x02K\x01)R.", "refused: its pickle calls something that is no name"),
            (b"\x80\x02K\x01}b.", "refused: its pickle sets the state of an object"),
            (b"\x80\x06N.", "refused: its pickle has protocol 6, not 2 to 5"),
        ];
        for (bytes, want) in cases {
            assert_eq!(root(bytes), want);
        }
    }

    #[test]
    fn broken_pickles_say_where() {
        let cases: [(&[u8], &str); 11] = [
            (b"", "broken at 0: ends too early"),
            (b"\x80\x02.", "broken at 3: takes a value that is not there"),
            (b"\x80\x02X\xff\xff\xff\xffabc", "broken at 7: ends too early"),
            (b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "broken at 11: ends too early"),
            (b"\x80\x02K\x01(\x85.", "broken at 6: takes a value that is not there"),
            (b"\x80\x02t.", "broken at 3: takes a mark that is not there"),
            (b"\x80\x02h\x05.", "broken at 4: recalls a value that is not there"),
            (b"\x80\x02}(Nu.", "broken at 6: has a key without a value"),
            (b"\x80\x02NNa.", "broken at 5: adds to something that is no list"),
            (b"\x80\x02NQ.", "broken at 4: refers to something that is no storage"),
            (b"\x80\x02ctorch\nSize\nN\x85R.", "broken at 17: has a value with the wrong arguments"),
        ];
        for (bytes, want) in cases {
            assert_eq!(root(bytes), want, "{bytes:?}");
        }
        let long = [&b"\x80\x02\x8b\x00\x00\x00\x7f"[..], &[0; 40]].concat();
        assert_eq!(root(&long), "refused: its pickle has an integer of 2130706432 bytes");
    }
}
