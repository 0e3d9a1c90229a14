//! `modelwatch worker`: the other side of `isolation = "process"`.

use super::{Code, Wrong};

#[cfg(unix)]
pub(crate) fn worker() -> anyhow::Result<Code> {
    match modelwatch_runtime::plugin::serve_worker() {
        Ok(never) => match never {},
        Err(e) => Err(Wrong(e).into()),
    }
}

#[cfg(not(unix))]
pub(crate) fn worker() -> anyhow::Result<Code> {
    Err(Wrong("plugins run in processes of their own on Unix only".to_owned()).into())
}
