//! Changes the graph of a TFLite file without decoding the rest of it.
//!
//! Offsets of a FlatBuffer count from where they stand to a later place.
//! So new tables go in front of the old file, and lead into it for all that stays: options, weights, whatever this reader does not know.
//! The layout of tables and vectors is that of <https://flatbuffers.dev/internals/>.

use std::collections::BTreeMap;

use tract_tflite::tflite::{Buffer, Model, Operator, SubGraph, Tensor, TensorType};

/// What of the main graph changes.
pub(super) struct Edit<'a> {
    /// The operators that stay, in order.
    pub(super) operators: &'a [usize],
    /// The tensors that are the outputs.
    pub(super) outputs: &'a [i32],
    /// The tensors with another shape or value.
    pub(super) tensors: &'a BTreeMap<usize, NewTensor>,
    /// The operators that get a bias of so many zeros, by their place in the old graph.
    pub(super) biases: &'a BTreeMap<usize, usize>,
}

/// The shape of a tensor, and its bytes if it is a constant.
pub(super) struct NewTensor {
    pub(super) shape: Vec<i32>,
    pub(super) data: Option<Vec<u8>>,
    /// What stood for numbers is now them.
    pub(super) is_of_numbers: bool,
}

/// Where `data` starts matters to readers that do not copy it.
const ALIGNMENT: usize = 16;

/// Returns the file with its main graph changed; `model` and `graph` are views of `bytes`.
pub(super) fn apply(bytes: &[u8], model: Model<'_>, graph: SubGraph<'_>, edit: &Edit<'_>) -> Result<Vec<u8>, String> {
    let missing = |what: &str| format!("the graph has no {what}");
    let old_tensors = graph.tensors().ok_or_else(|| missing("tensors"))?;
    let old_operators = graph.operators().ok_or_else(|| missing("operators"))?;
    let codes = model.operator_codes().ok_or_else(|| missing("operator codes"))?;
    let buffers = model.buffers().ok_or_else(|| missing("buffers"))?;
    let mut front = Front { bytes: b"\0\0\0\0TFL3".to_vec(), links: Vec::new() };

    // Offsets lead forward only, so that a vector is written before the tables in it.
    let root_links = [Model::VT_OPERATOR_CODES, Model::VT_SUBGRAPHS, Model::VT_BUFFERS];
    let root = front.table(&[(Model::VT_VERSION, model.version())], &root_links);
    front.links.push((0, Place::New(root.start)));
    let subgraphs = front.slots(root.links[1], 1);
    let graph_links = [SubGraph::VT_TENSORS, SubGraph::VT_INPUTS, SubGraph::VT_OUTPUTS, SubGraph::VT_OPERATORS];
    let subgraph = front.table(&[], &graph_links);
    front.links.push((subgraphs, Place::New(subgraph.start)));

    front.old_tables(root.links[0], codes.iter().map(|it| it._tab.loc()).collect());
    front.numbers(subgraph.links[1], graph.inputs().into_iter().flatten());
    front.numbers(subgraph.links[2], edit.outputs.iter().copied());
    let kept: Vec<_> = edit.operators.iter().copied().filter(|it| *it < old_operators.len()).collect();
    let biased: Vec<_> = kept.iter().filter_map(|it| Some((*it, *edit.biases.get(it)?))).collect();
    let n_constants = edit.tensors.values().filter(|it| it.data.is_some()).count() + biased.len();
    let operators = front.slots(subgraph.links[3], kept.len());
    let tensors = front.slots(subgraph.links[0], old_tensors.len() + biased.len());
    let mut new_buffer = buffers.len();
    let buffer_slots = front.slots(root.links[2], new_buffer + n_constants);
    for (idx, buffer) in buffers.iter().enumerate() {
        front.links.push((buffer_slots + 4 * idx, Place::Old(buffer._tab.loc())));
    }
    for (idx, old) in old_tensors.iter().enumerate() {
        let slot = tensors + 4 * idx;
        let Some(new) = edit.tensors.get(&idx) else {
            front.links.push((slot, Place::Old(old._tab.loc())));
            continue;
        };
        let mut buffer = old.buffer();
        if let Some(data) = &new.data {
            let table = front.table(&[], &[Buffer::VT_DATA]);
            front.links.push((buffer_slots + 4 * new_buffer, Place::New(table.start)));
            front.blob(table.links[0], data);
            buffer = u32::try_from(new_buffer).map_err(|it| it.to_string())?;
            new_buffer += 1;
        }
        let dtype = if new.is_of_numbers { TensorType::FLOAT32 } else { old.type_() };
        let quantization = old.quantization().filter(|_| !new.is_of_numbers);
        let scalars = [(Tensor::VT_TYPE_, u32::from(dtype.0.cast_unsigned())), (Tensor::VT_BUFFER, buffer)];
        let mut links = vec![Tensor::VT_SHAPE, Tensor::VT_NAME];
        links.extend(quantization.map(|_| Tensor::VT_QUANTIZATION));
        let table = front.table(&scalars, &links);
        front.links.push((slot, Place::New(table.start)));
        front.numbers(table.links[0], new.shape.iter().copied());
        front.text(table.links[1], old.name().unwrap_or_default());
        if let Some((&link, quantization)) = table.links.get(2).zip(quantization) {
            front.links.push((link, Place::Old(quantization._tab.loc())));
        }
    }
    for (idx, (position, n)) in biased.iter().enumerate() {
        let slot = tensors + 4 * (old_tensors.len() + idx);
        let buffer = front.table(&[], &[Buffer::VT_DATA]);
        front.links.push((buffer_slots + 4 * (new_buffer + idx), Place::New(buffer.start)));
        front.blob(buffer.links[0], &vec![0; n * size_of::<f32>()]);
        let scalars = [
            (Tensor::VT_TYPE_, u32::from(TensorType::FLOAT32.0.cast_unsigned())),
            (Tensor::VT_BUFFER, u32::try_from(new_buffer + idx).map_err(|it| it.to_string())?),
        ];
        let tensor = front.table(&scalars, &[Tensor::VT_SHAPE, Tensor::VT_NAME]);
        front.links.push((slot, Place::New(tensor.start)));
        front.numbers(tensor.links[0], [i32::try_from(*n).map_err(|it| it.to_string())?]);
        front.text(tensor.links[1], &format!("bias of operator {position}"));
    }
    for (idx, position) in kept.iter().enumerate() {
        let (slot, old) = (operators + 4 * idx, old_operators.get(*position));
        let Some(bias) = biased.iter().position(|it| it.0 == *position) else {
            front.links.push((slot, Place::Old(old._tab.loc())));
            continue;
        };
        let bias = i32::try_from(old_tensors.len() + bias).map_err(|it| it.to_string())?;
        let scalars = [
            (Operator::VT_OPCODE_INDEX, old.opcode_index()),
            (Operator::VT_BUILTIN_OPTIONS_TYPE, u32::from(old.builtin_options_type().0)),
        ];
        let mut links = vec![Operator::VT_INPUTS, Operator::VT_OUTPUTS];
        links.extend(old.builtin_options().map(|_| Operator::VT_BUILTIN_OPTIONS));
        let table = front.table(&scalars, &links);
        front.links.push((slot, Place::New(table.start)));
        front.numbers(table.links[0], old.inputs().into_iter().flatten().take(2).chain([bias]));
        front.numbers(table.links[1], old.outputs().into_iter().flatten());
        if let Some((&link, options)) = table.links.get(2).zip(old.builtin_options()) {
            front.links.push((link, Place::Old(options.loc())));
        }
    }
    front.join(bytes)
}

/// Something that an offset leads to.
#[derive(Clone, Copy)]
enum Place {
    New(usize),
    Old(usize),
}

/// What is put in front of the old file.
struct Front {
    bytes: Vec<u8>,
    /// Where there is to be an offset, and where it leads.
    links: Vec<(usize, Place)>,
}

/// A table that was written.
struct Table {
    start: usize,
    /// Where its offsets are, as they were asked for.
    links: Vec<usize>,
}

impl Front {
    /// Writes a table with four bytes for each field; the fields are named by their place in the vtable.
    fn table(&mut self, scalars: &[(u16, u32)], links: &[u16]) -> Table {
        let n_fields = scalars.len() + links.len();
        let fields = scalars.iter().map(|it| it.0).chain(links.iter().copied());
        let vtable_len = fields.clone().max().map_or(4, |it| it + 2);
        self.align(4, 0);
        let vtable = self.bytes.len();
        self.bytes.extend(vtable_len.to_le_bytes());
        self.bytes.extend((4 + 4 * n_fields as u16).to_le_bytes());
        self.bytes.resize(vtable + usize::from(vtable_len), 0);
        for (idx, field) in fields.enumerate() {
            let at = vtable + usize::from(field);
            self.bytes[at..at + 2].copy_from_slice(&(4 + 4 * idx as u16).to_le_bytes());
        }
        self.align(4, 0);
        let start = self.bytes.len();
        self.bytes.extend(((start - vtable) as u32).to_le_bytes());
        for (_, value) in scalars {
            self.bytes.extend(value.to_le_bytes());
        }
        let first = self.bytes.len();
        self.bytes.resize(first + 4 * links.len(), 0);
        Table { start, links: (0..links.len()).map(|it| first + 4 * it).collect() }
    }

    /// Writes a vector of `n` offsets that lead nowhere yet, and returns where the first is.
    fn slots(&mut self, link: usize, n: usize) -> usize {
        let start = self.start_vector(link, 4);
        self.bytes.resize(start + 4 + 4 * n, 0);
        self.end_vector(start, 4);
        start + 4
    }

    fn old_tables(&mut self, link: usize, places: Vec<usize>) {
        let first = self.slots(link, places.len());
        self.links.extend(places.into_iter().enumerate().map(|(idx, it)| (first + 4 * idx, Place::Old(it))));
    }

    fn numbers(&mut self, link: usize, items: impl IntoIterator<Item = i32>) {
        let start = self.start_vector(link, 4);
        items.into_iter().for_each(|it| self.bytes.extend(it.to_le_bytes()));
        self.end_vector(start, 4);
    }

    fn blob(&mut self, link: usize, data: &[u8]) {
        let start = self.start_vector(link, ALIGNMENT);
        self.bytes.extend(data);
        self.end_vector(start, 1);
    }

    fn text(&mut self, link: usize, text: &str) {
        let start = self.start_vector(link, 4);
        self.bytes.extend(text.as_bytes());
        self.end_vector(start, 1);
        self.bytes.push(0);
    }

    fn start_vector(&mut self, link: usize, alignment: usize) -> usize {
        self.align(alignment, 4);
        let start = self.bytes.len();
        self.links.push((link, Place::New(start)));
        self.bytes.extend([0; 4]);
        start
    }

    fn end_vector(&mut self, start: usize, item_len: usize) {
        let n = (self.bytes.len() - start - 4) / item_len;
        self.bytes[start..start + 4].copy_from_slice(&(n as u32).to_le_bytes());
    }

    /// Pads so that what follows the next `header` bytes is aligned.
    fn align(&mut self, alignment: usize, header: usize) {
        let len = (self.bytes.len() + header).next_multiple_of(alignment) - header;
        self.bytes.resize(len, 0);
    }

    fn join(mut self, old: &[u8]) -> Result<Vec<u8>, String> {
        self.align(4 * ALIGNMENT, 0);
        let base = self.bytes.len();
        for (at, place) in self.links {
            let target = match place {
                Place::New(it) => it,
                Place::Old(it) => base + it,
            };
            let offset = target.checked_sub(at).and_then(|it| u32::try_from(it).ok());
            let offset = offset.ok_or("the file is too large for the offsets of a FlatBuffer")?;
            self.bytes[at..at + 4].copy_from_slice(&offset.to_le_bytes());
        }
        self.bytes.extend(old);
        Ok(self.bytes)
    }
}
