//! Keeps a panic of a library that reads a file from ending the process.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use super::DataError;

/// Returns what `read` returns of that file; a panic is an error about it.
pub(super) fn guarded<T>(file: &Path, read: impl FnOnce() -> Result<T, DataError>) -> Result<T, DataError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| Err(given_up(file, panic.as_ref())))
}

/// What is read of a file; nothing more once its reader panicked, since what that holds then cannot be believed.
pub(super) struct Guarded<I> {
    file: PathBuf,
    items: Option<I>,
}

impl<I> Guarded<I> {
    pub(super) fn new(file: PathBuf, items: I) -> Self {
        Self { file, items: Some(items) }
    }
}

impl<T, I: Iterator<Item = Result<T, DataError>>> Iterator for Guarded<I> {
    type Item = Result<T, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let items = self.items.as_mut()?;
        match catch_unwind(AssertUnwindSafe(|| items.next())) {
            Ok(it) => it,
            Err(panic) => {
                self.items = None;
                Some(Err(given_up(&self.file, panic.as_ref())))
            }
        }
    }
}

fn given_up(file: &Path, panic: &(dyn Any + Send)) -> DataError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    DataError::damaged(file, "", format!("its reader gave up: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_reader_is_an_error_and_the_end_of_the_file() {
        let read = (0..4).map(|it| if it == 2 { panic!("page {it}\nand more") } else { Ok(it) });
        let mut read = Guarded::new("a.parquet".into(), read);
        assert_eq!((read.next().unwrap().unwrap(), read.next().unwrap().unwrap()), (0, 1));
        let error = read.next().unwrap().unwrap_err().to_string();
        assert_eq!(error, "cannot read `a.parquet`: its reader gave up: page 2; write or copy the file again");
        assert!(read.next().is_none());
        let opened: Result<(), _> = guarded(Path::new("b.csv"), || panic!("no {}", "header"));
        assert!(opened.unwrap_err().to_string().starts_with("cannot read `b.csv`: its reader gave up: no header;"));
    }
}
