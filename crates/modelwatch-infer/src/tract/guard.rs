//! Turns tract's panics and error chains into errors with one line.

use std::{
    any::Any,
    cell::Cell,
    panic::{self, AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Once,
};

use tract_onnx::{
    pb::NodeProto,
    prelude::{TractError, TractResult},
    tract_hir::internal::bail,
};

use super::attributes;
use crate::error::InferError;

thread_local! {
    /// How many calls of [`guarded`] this thread is in.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Runs `f`; a panic inside becomes [`InferError::Panicked`], and is not printed.
///
/// tract indexes, divides and unwraps on data from the file, so a model can panic anywhere; what aborts the process is not caught.
pub fn guarded<T>(path: &Path, f: impl FnOnce() -> Result<T, InferError>) -> Result<T, InferError> {
    let panicked = |message| Err(InferError::Panicked { path: path.to_path_buf(), message });
    without_panic(f).unwrap_or_else(panicked)
}

/// Runs `f`; a panic inside is an error, where there is another way to go on.
pub(super) fn caught<T>(f: impl FnOnce() -> TractResult<T>) -> TractResult<T> {
    without_panic(f).unwrap_or_else(|message| bail!("the runtime panicked: {message}"))
}

/// Returns what `f` does, or the message of the panic inside.
fn without_panic<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    keep_quiet();
    DEPTH.set(DEPTH.get() + 1);
    // What `f` was changing is dropped with it: callers hand over owned state or give up the worker.
    let res = catch_unwind(AssertUnwindSafe(f));
    DEPTH.set(DEPTH.get() - 1);
    res.map_err(|payload| one_line(&message_of(&*payload)))
}

/// Keeps panics inside of guarded calls off the terminal. Those elsewhere go to the hook that was there before.
fn keep_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |it| {
            if DEPTH.get() == 0 {
                before(it);
            }
        }));
    });
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    if let Some(it) = payload.downcast_ref::<String>() {
        it.clone()
    } else if let Some(it) = payload.downcast_ref::<&str>() {
        (*it).to_string()
    } else {
        "no message".to_string()
    }
}

/// A node that nobody computes, which shows as it runs.
#[derive(Debug, thiserror::Error)]
#[error("{operator}")]
pub(super) struct RefusedOperator {
    /// The operator, and why.
    operator: String,
    node: String,
}

impl RefusedOperator {
    pub(super) fn of(node: &NodeProto, why: &str) -> Self {
        Self { operator: format!("{}: {why}", node.op_type), node: attributes::name(node).to_owned() }
    }
}

/// Returns the refusal of the model at `path` if it is what `error` is about, else what `otherwise` makes of the reason.
pub(super) fn refusal(path: &Path, error: &TractError, otherwise: impl FnOnce(String) -> InferError) -> InferError {
    match error.root_cause().downcast_ref::<RefusedOperator>() {
        Some(it) => InferError::unsupported(path, vec![(it.operator.clone(), it.node.clone())]),
        None => otherwise(reason(error)),
    }
}

/// Returns the outermost line, which names the node, and the root line, which says why.
pub(crate) fn reason(error: &TractError) -> String {
    let outer = one_line(&error.to_string());
    let root = one_line(&error.root_cause().to_string());
    if outer == root { root } else { format!("{outer}: {root}") }
}

/// Returns the first line of a message that has something in it, if need be without its end.
pub fn one_line(text: &str) -> String {
    const LIMIT: usize = 240;
    let line = text.lines().find(|it| !it.trim().is_empty()).unwrap_or("no message").trim();
    match line.char_indices().nth(LIMIT) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        let res: Result<(), _> = guarded(Path::new("m.onnx"), || panic!("index {} out of bounds", 7));
        assert_eq!(
            res.unwrap_err().to_string(),
            "cannot run `m.onnx`: the runtime panicked: index 7 out of bounds; re-export it with fixed shapes or a simpler operator set"
        );
    }
}
