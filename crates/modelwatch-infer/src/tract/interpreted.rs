//! The numbers of a model that is interpreted, node by node.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use tract_onnx::prelude::{DatumType, IntoArcTensor, Tensor, TractResult};

use super::{
    bounds, convert, guard,
    interpreter::{Interpreter, Limits, Narrow, Tapped, Value},
    nodes::{NodeGraph, add_all},
};
use crate::{numerics::NodeNumbers, tensor::HostTensor};

/// A model that shows what each of its nodes computes.
pub enum Tap {
    /// As a graph as written.
    Compiled(Box<NodeGraph>),
    /// As the nodes of the file, one by one.
    Interpreted(InterpretedNodes),
}

/// The nodes of a file, run for one number of rows.
pub struct InterpretedNodes {
    interpreter: Arc<Interpreter>,
    rows: usize,
    input_types: Vec<DatumType>,
}

impl Tap {
    /// Returns the number of rows in each run.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Compiled(it) => it.rows(),
            Self::Interpreted(it) => it.rows,
        }
    }

    /// Whether the nodes are those of the file.
    pub(crate) fn is_interpreted(&self) -> bool {
        matches!(self, Self::Interpreted(_))
    }

    /// See [`NodeGraph::nested`].
    pub(crate) fn nested(&self, has_loops: bool) -> Vec<String> {
        match self {
            Self::Compiled(it) => it.nested(has_loops),
            Self::Interpreted(it) => it.interpreter.nested(),
        }
    }

    /// See [`NodeGraph::unseen`].
    pub(crate) fn unseen(&self, outputs: &[String]) -> HashMap<usize, NodeNumbers> {
        match self {
            Self::Compiled(it) => it.unseen(outputs),
            Self::Interpreted(it) => it.unseen(),
        }
    }

    /// See [`NodeGraph::constant_numbers`].
    pub(crate) fn constant_numbers(&self) -> Result<Vec<NodeNumbers>, String> {
        match self {
            Self::Compiled(it) => it.constant_numbers(),
            Self::Interpreted(it) => it.constant_numbers().map_err(|it| guard::reason(&it)),
        }
    }

    /// See [`NodeGraph::add_numbers`].
    pub(crate) fn add_numbers(
        &self,
        inputs: Vec<HostTensor>,
        n_rows: usize,
        numbers: &mut HashMap<usize, NodeNumbers>,
    ) -> Result<(), String> {
        match self {
            Self::Compiled(it) => it.add_numbers(inputs, n_rows, numbers),
            Self::Interpreted(it) => it.add_numbers(inputs, n_rows, numbers).map_err(|it| guard::reason(&it)),
        }
    }

    /// See [`NodeGraph::in_order`].
    pub(crate) fn in_order(&self, numbers: HashMap<usize, NodeNumbers>) -> Vec<NodeNumbers> {
        match self {
            Self::Compiled(it) => it.in_order(numbers),
            Self::Interpreted(_) => {
                let mut all: Vec<_> = numbers.into_iter().collect();
                all.sort_by_key(|it| it.0);
                all.into_iter().map(|it| it.1).collect()
            }
        }
    }
}

impl InterpretedNodes {
    pub(super) fn new(interpreter: Arc<Interpreter>, rows: usize, input_types: Vec<DatumType>) -> Self {
        Self { interpreter, rows, input_types }
    }

    /// The inputs have the first numbers, and the nodes those behind them.
    fn unseen(&self) -> HashMap<usize, NodeNumbers> {
        let one = |Tapped { name, operator, outputs }| {
            let bounds = bounds::of_operator(&operator);
            NodeNumbers { name, operator, outputs, ..NodeNumbers::default() }.with_bounds(bounds)
        };
        self.interpreter.tapped().into_iter().map(one).enumerate().collect()
    }

    fn constant_numbers(&self) -> TractResult<Vec<NodeNumbers>> {
        let mut res = Vec::new();
        for (name, value) in self.interpreter.constants() {
            let operator = "Const".to_owned();
            let mut numbers = NodeNumbers { name: name.to_owned(), operator, is_float: true, ..NodeNumbers::default() };
            if is_float(value) {
                self.add(&mut numbers, value, self.rows)?;
            }
            if numbers.n > 0 {
                res.push(numbers);
            }
        }
        Ok(res)
    }

    fn add_numbers(
        &self,
        inputs: Vec<HostTensor>,
        n_rows: usize,
        numbers: &mut HashMap<usize, NodeNumbers>,
    ) -> TractResult<()> {
        let inputs = convert::inputs(inputs, &self.input_types)?;
        let inputs: Vec<Value> = inputs.into_iter().map(|it| Value::Tensor(it.into_arc_tensor())).collect();
        let numbers = RefCell::new(numbers);
        let see = |id: usize, values: &[Value]| {
            let mut numbers = numbers.borrow_mut();
            let Some(numbers) = numbers.get_mut(&id) else { return Ok(()) };
            numbers.is_float = values.iter().filter(|it| !matches!(it, Value::Absent)).all(is_float);
            values.iter().try_for_each(|it| self.add(numbers, it, n_rows))
        };
        let n_inputs = inputs.len();
        for (id, input) in inputs.iter().enumerate() {
            see(id, std::slice::from_ref(input))?;
        }
        let of_node = |idx: usize, values: &[Value]| see(n_inputs + idx, values);
        self.interpreter.tap(inputs, &of_node, Limits::running(self.rows))?;
        Ok(())
    }

    /// Adds the numbers of the first rows of a value, where rows are its first axis.
    fn add(&self, numbers: &mut NodeNumbers, value: &Value, n_rows: usize) -> TractResult<()> {
        let tensor = match value {
            Value::Tensor(it) | Value::Narrow(_, it) => it,
            Value::Sequence(all) => return all.iter().try_for_each(|it| self.add(numbers, it, n_rows)),
            Value::Absent => return Ok(()),
        };
        let it = tensor.datum_type();
        if !(it.is_number() || it == DatumType::Bool || it.is_tdim()) {
            return Ok(());
        }
        if n_rows < self.rows && tensor.shape().first() == Some(&self.rows) {
            let head: Tensor = tensor.slice(0, 0, n_rows)?;
            return add_all(numbers, &head);
        }
        add_all(numbers, tensor)
    }
}

fn is_float(value: &Value) -> bool {
    match value {
        Value::Tensor(it) => it.datum_type().is_float(),
        Value::Narrow(it, _) => !matches!(it, Narrow::Uint4 | Narrow::Int4 | Narrow::Uint2 | Narrow::Int2),
        Value::Sequence(all) => all.iter().all(is_float),
        Value::Absent => false,
    }
}
