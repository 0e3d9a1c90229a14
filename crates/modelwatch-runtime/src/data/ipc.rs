//! Arrow IPC files and streams.

use std::{fs::File, io::BufReader, path::Path};

use arrow_array::RecordBatch;
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, Schema};

use super::{DataError, Partitions, Scan, partition_rows, rechunk::Rechunk};

pub(super) fn schema(file: &Path) -> Result<Schema, DataError> {
    Ok(match open(file, None)? {
        Reader::File(it) => it.schema().as_ref().clone(),
        Reader::Stream(it) => it.schema().as_ref().clone(),
    })
}

pub(super) fn partitions(file: &Path, whole: &Schema, scan: &Scan) -> Result<Partitions, DataError> {
    let schema = schema(file)?;
    let indices = scan.columns.iter().map(|it| schema.index_of(it)).collect::<Result<Vec<_>, _>>();
    let mut indices = indices.map_err(|e| DataError::broken(file, "", e))?;
    indices.sort_unstable();
    let batches: Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send> = match open(file, Some(indices))? {
        Reader::File(it) => Box::new(it),
        Reader::Stream(it) => Box::new(it),
    };
    let place = file.to_owned();
    Ok(Box::new(Rechunk::new(
        batches.map(move |it| it.map_err(|e| DataError::damaged(&place, "", e))),
        partition_rows(whole),
        scan.batch_rows,
    )))
}

enum Reader {
    File(FileReader<BufReader<File>>),
    Stream(StreamReader<BufReader<File>>),
}

fn open(file: &Path, columns: Option<Vec<usize>>) -> Result<Reader, DataError> {
    let handle =
        || File::open(file).map(BufReader::new).map_err(|e| DataError::Io { file: file.to_owned(), source: e });
    let broken = |e: ArrowError| DataError::damaged(file, "", e);
    if super::head(file)?.starts_with(b"ARROW1") {
        FileReader::try_new(handle()?, columns).map(Reader::File).map_err(broken)
    } else {
        StreamReader::try_new(handle()?, columns).map(Reader::Stream).map_err(broken)
    }
}
