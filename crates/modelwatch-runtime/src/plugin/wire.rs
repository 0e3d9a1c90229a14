//! Frames between a run and a worker.
//!
//! A frame is the length of its header (4 bytes), the length of its payload (8 bytes), both little-endian,
//! then the header as JSON, then the payload: rows as an Arrow IPC stream, the bytes of a tensor or of a
//! state, or JSON whose size is the plugin's to choose. What a worker sends is written by code that may be
//! out of its mind, so that nothing here believes a length: memory grows with the bytes that arrive.

use std::{
    io::{self, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
};

use arrow_array::RecordBatch;
use arrow_ipc::{reader::StreamDecoder, writer::StreamWriter};
use modelwatch_abi::v1;
use modelwatch_sdk::{self as sdk, Error};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

/// The longest header. Messages of errors and log events are in it.
const HEADER_LIMIT: u32 = 16 << 20;

/// The longest payload that a worker may send: a report, a state, or rows for a model.
pub(super) const ANSWER_LIMIT: u64 = 256 << 20;

/// The longest payload that a worker takes: as much as any tensor has.
pub(super) const REQUEST_LIMIT: u64 = 1 << 40;

/// What is reserved for a payload before any of it has arrived.
const RESERVED: u64 = 32 << 20;

/// What a run tells a worker. What the payload is, is said behind the name.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(super) enum Request {
    /// Load one library; the bytes of its path.
    Load { digest: String, log_level: u8, memory: Option<u64> },
    /// Open an instance of `kind/name`; its configuration as JSON. Answered with its needs as JSON.
    Open { component: String },
    /// Drop the instance. Not answered.
    Close,
    /// Take in rows.
    Update { role: String },
    /// Take in a tensor; its bytes.
    UpdateTensor { role: String, name: String, dtype: String, shape: Vec<u64> },
    /// Answered with the state.
    State,
    /// Take in a state.
    Merge,
    /// Answered with the report as JSON.
    Evaluate,
    /// Drop the instance; answered, unlike `Close`, with whether its destructor panicked.
    End,
    /// The answer to what the worker asked.
    Answered,
    /// The refusal of what the worker asked.
    Refused(Failure),
}

/// What a worker tells a run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(super) enum Reply {
    /// The end of a request.
    Done,
    /// The end of a request that failed.
    Failed(Failure),
    /// An event; not answered.
    Log { level: u8, plugin: String, fields: String, message: String },
    /// Progress; not answered.
    Progress { done: u64, total: u64 },
    /// Whether to end; answered with JSON.
    IsCancelled,
    /// Rows for a model or another service; answered with rows.
    Exchange { service: String },
    /// A service with its argument as JSON; answered with JSON.
    Call { service: String },
}

/// An error on its way between processes; its kind is the number that the plugin interface gives it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Failure {
    kind: u32,
    message: String,
    path: String,
    help: String,
}

/// Why a frame could not be read or written.
#[derive(Debug, Error)]
pub(super) enum FrameError {
    /// The other side is gone, and no frame was begun.
    #[error("the channel is closed")]
    Closed,
    /// The other side is gone, or the channel failed, within a frame.
    #[error("the channel failed")]
    Io(#[source] io::Error),
    /// A length is larger than it may be.
    #[error("a {what} of {length} bytes, where {limit} are the most")]
    TooLong { what: &'static str, length: u64, limit: u64 },
    /// The header is not one.
    #[error("a header that is none: {0}")]
    Header(serde_json::Error),
}

/// Reads a frame whose payload has at most `limit` bytes.
pub(super) fn read<M: DeserializeOwned>(input: &mut impl Read, limit: u64) -> Result<(M, Vec<u8>), FrameError> {
    let mut lengths = [0; 12];
    let first = loop {
        match input.read(&mut lengths) {
            Ok(0) => return Err(FrameError::Closed),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            res => break res.map_err(FrameError::Io)?,
        }
    };
    input.read_exact(&mut lengths[first..]).map_err(FrameError::Io)?;
    let [a, b, c, d, payload @ ..] = lengths;
    let (header, payload) = (u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(payload));
    check("header", header.into(), HEADER_LIMIT.into())?;
    check("payload", payload, limit)?;
    let message = serde_json::from_slice(&take(input, header.into())?).map_err(FrameError::Header)?;
    Ok((message, take(input, payload)?))
}

/// Writes a frame whose payload has at most `limit` bytes. One that is too long is not begun.
pub(super) fn write<M: Serialize>(
    output: &mut impl Write,
    message: &M,
    payload: &[u8],
    limit: u64,
) -> Result<(), FrameError> {
    let header = serde_json::to_vec(message).map_err(FrameError::Header)?;
    let header_length = u32::try_from(header.len()).unwrap_or(u32::MAX);
    check("header", header_length.into(), HEADER_LIMIT.into())?;
    check("payload", payload.len() as u64, limit)?;
    let mut head = Vec::with_capacity(12 + header.len());
    head.extend(header_length.to_le_bytes());
    head.extend((payload.len() as u64).to_le_bytes());
    head.extend(header);
    output.write_all(&head).and_then(|()| output.write_all(payload)).map_err(FrameError::Io)
}

fn check(what: &'static str, length: u64, limit: u64) -> Result<(), FrameError> {
    if length > limit { Err(FrameError::TooLong { what, length, limit }) } else { Ok(()) }
}

fn take(input: &mut impl Read, length: u64) -> Result<Vec<u8>, FrameError> {
    let mut res = Vec::with_capacity(length.min(RESERVED) as usize);
    input.by_ref().take(length).read_to_end(&mut res).map_err(FrameError::Io)?;
    if (res.len() as u64) < length {
        return Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(res)
}

/// Returns rows as an Arrow IPC stream.
pub(super) fn rows_to_bytes(rows: &RecordBatch) -> sdk::Result<Vec<u8>> {
    let mut res = Vec::new();
    let written = StreamWriter::try_new(&mut res, rows.schema_ref()).and_then(|mut it| {
        it.write(rows)?;
        it.finish()
    });
    written.map_err(|e| Error::input(format!("the rows cannot be sent to another process: {e}")))?;
    Ok(res)
}

/// Returns the rows of an Arrow IPC stream of one batch.
///
/// The decoder that is fed, not the reader that fetches: that one allocates what a length claims.
pub(super) fn rows_from_bytes(bytes: Vec<u8>) -> sdk::Result<RecordBatch> {
    // A column without buffers has as many rows as it says.
    let most_rows = bytes.len().saturating_mul(8);
    let decode = || {
        let mut decoder = StreamDecoder::new();
        let mut bytes = bytes.into();
        let rows = decoder.decode(&mut bytes).map_err(|e| e.to_string())?;
        rows.filter(|it| it.num_rows() <= most_rows).ok_or_else(|| "there is no batch in them".to_owned())
    };
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err("the decoder gave up".to_owned()))
        .map_err(|e| Error::input(format!("what another process sent are no rows: {e}")))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let raw = v1::Error::from(error);
        Self { kind: raw.kind.0, message: raw.message.into(), path: raw.path.into(), help: raw.help.into() }
    }
}

impl From<Failure> for Error {
    fn from(it: Failure) -> Self {
        let kind = v1::ErrorKind(it.kind);
        v1::Error { kind, message: it.message.into(), path: it.path.into(), help: it.help.into() }.into()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, DictionaryArray, Float64Array, NullArray, StringArray, types::Int8Type};

    use super::*;

    fn frame(reply: &Reply, payload: &[u8]) -> Vec<u8> {
        let mut res = Vec::new();
        write(&mut res, reply, payload, ANSWER_LIMIT).unwrap();
        res
    }

    fn parse(mut bytes: &[u8]) -> Result<(Reply, Vec<u8>), FrameError> {
        read(&mut bytes, ANSWER_LIMIT)
    }

    fn replies() -> Vec<(Reply, Vec<u8>)> {
        let failure = Error::config("/a/0", "it is wrong").with_help("make it right").into();
        vec![
            (Reply::Done, b"state".to_vec()),
            (Reply::Failed(failure), Vec::new()),
            (Reply::Exchange { service: "candidate".into() }, rows_to_bytes(&rows()).unwrap()),
            (Reply::Log { level: 3, plugin: "p".into(), fields: "{}".into(), message: "ü\n".into() }, Vec::new()),
        ]
    }

    fn rows() -> RecordBatch {
        let x: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.1), None, Some(f64::NAN), Some(-0.0), Some(5.0)]));
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some(""), Some("ü"), Some("b")]));
        let words: DictionaryArray<Int8Type> = ["u", "v", "u", "w", "v"].into_iter().collect();
        RecordBatch::try_from_iter_with_nullable([("x", x, true), ("n", names, true), ("d", Arc::new(words), true)])
            .unwrap()
    }

    #[test]
    fn frames_come_back_as_they_were() {
        let mut bytes = Vec::new();
        for (reply, payload) in replies() {
            bytes.extend(frame(&reply, &payload));
        }
        let mut rest = &bytes[..];
        for it in replies() {
            assert_eq!(read::<Reply>(&mut rest, ANSWER_LIMIT).unwrap(), it);
        }
        assert!(matches!(read::<Reply>(&mut rest, ANSWER_LIMIT), Err(FrameError::Closed)));
        let tensor =
            Request::UpdateTensor { role: "baseline".into(), name: "a/b".into(), dtype: "f32".into(), shape: vec![2] };
        let mut bytes = Vec::new();
        write(&mut bytes, &tensor, &[1; 8], REQUEST_LIMIT).unwrap();
        assert_eq!(read::<Request>(&mut &bytes[..], REQUEST_LIMIT).unwrap(), (tensor, vec![1; 8]));
    }

    #[test]
    fn errors_keep_everything() {
        let error = Error::config("/a/0", "it is wrong").with_help("make it right");
        assert_eq!(Error::from(Failure::from(error.clone())), error);
        let unknown = Failure { kind: 4_000_000_000, message: "x".into(), path: String::new(), help: String::new() };
        assert_eq!(Error::from(unknown).kind, modelwatch_sdk::ErrorKind::Other);
    }

    #[test]
    fn a_frame_that_is_cut_anywhere_is_refused() {
        for (reply, payload) in replies() {
            let bytes = frame(&reply, &payload);
            for length in 0..bytes.len() {
                assert!(parse(&bytes[..length]).is_err(), "{length} bytes of {reply:?}");
            }
        }
    }

    #[test]
    fn lengths_are_not_believed() {
        for (header, payload) in [(u32::MAX, 0), (2, u64::MAX), (HEADER_LIMIT + 1, 0), (2, ANSWER_LIMIT + 1)] {
            let mut bytes = header.to_le_bytes().to_vec();
            bytes.extend(payload.to_le_bytes());
            bytes.extend(b"{}");
            assert!(matches!(parse(&bytes), Err(FrameError::TooLong { .. })), "{header} {payload}");
        }
        // As long as it may be, and not there.
        let mut bytes = HEADER_LIMIT.to_le_bytes().to_vec();
        bytes.extend(ANSWER_LIMIT.to_le_bytes());
        assert!(matches!(parse(&bytes), Err(FrameError::Io(_))));
        let long = vec![0; 9];
        assert!(matches!(write(&mut Vec::new(), &Reply::Done, &long, 8), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn random_and_spoiled_bytes_are_no_frames_or_harmless_ones() {
        let mut state = 1_u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        for _ in 0..2_000 {
            let length = next() % 64;
            let bytes: Vec<u8> = (0..length).map(|_| next() as u8).collect();
            assert!(parse(&bytes).is_err());
        }
        for (reply, payload) in replies() {
            let bytes = frame(&reply, &payload);
            for _ in 0..2_000 {
                let mut bytes = bytes.clone();
                for _ in 0..=next() % 4 {
                    let at = next() % bytes.len();
                    bytes[at] = next() as u8;
                }
                if let Ok((Reply::Exchange { .. }, payload)) = parse(&bytes) {
                    drop(rows_from_bytes(payload));
                }
            }
        }
    }

    #[test]
    fn rows_come_back_as_they_were_also_in_slices() {
        let all = rows();
        for (start, length) in [(0, 5), (1, 3), (4, 1), (2, 0)] {
            let part = all.slice(start, length);
            let back = rows_from_bytes(rows_to_bytes(&part).unwrap()).unwrap();
            assert_eq!(back.schema(), part.schema());
            for (a, b) in back.columns().iter().zip(part.columns()) {
                // As text, in which NaN is like NaN.
                assert_eq!(format!("{a:?}"), format!("{b:?}"));
            }
        }
    }

    #[test]
    fn rows_that_are_cut_or_without_end_are_refused() {
        let bytes = rows_to_bytes(&rows()).unwrap();
        // The eight bytes of the end may be missing.
        for length in 0..bytes.len() - 8 {
            assert!(rows_from_bytes(bytes[..length].to_vec()).is_err(), "{length}");
        }
        let endless: ArrayRef = Arc::new(NullArray::new(1 << 40));
        let bytes = rows_to_bytes(&RecordBatch::try_from_iter([("n", endless)]).unwrap()).unwrap();
        assert!(rows_from_bytes(bytes).is_err());
    }
}
