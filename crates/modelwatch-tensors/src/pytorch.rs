//! PyTorch: zip archives of raw storages beside a pickle that says which tensors they hold.
//!
//! Pickle is a language, and loading one runs it. Here it is only read: a machine that knows the values
//! a state dict is made of, and no way to call anything, refuses whatever else the pickle asks for by its name.
//! Layouts follow the documentation of `torch.save` and of Python's pickle protocols 2 to 5.

mod archive;
mod globals;
mod names;
mod pickle;
mod scan;
mod walk;

pub use self::scan::Pickled;
pub(crate) use self::{
    archive::read,
    scan::{refused, scan},
};
