//! What a failed request means, and how it is told: never with a credential in it.
//!
//! The messages of the client quote addresses and the server's answers, which may have signatures in them. So
//! only what cannot be a secret is taken from them: the status, the error's code, and the system's own words.

use std::error::Error as _;

use modelwatch_sdk::Error;
use object_store::client::{HttpError, HttpErrorKind};

/// A request that failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) means: Means,
    /// No connection was made.
    pub(crate) is_unreachable: bool,
    pub(crate) what: String,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    /// There is no such file.
    Absent,
    /// The key is taken.
    Taken,
    /// The server is busy with another request for the key; nothing was done.
    Busy,
    /// It may have been carried out or not, and may succeed another time.
    Unclear,
    /// It was not carried out, and will not be another time.
    Refused(&'static str),
}

const ACCESS: &str =
    "give the credentials in the environment the right to read, write, list and delete there; what is stored is intact";
const BUCKET: &str = "check the name of the bucket in `url`, and `endpoint` and `region` in `options`";
const CONDITION: &str = "a store needs puts that succeed only where the key is free: use a server that has them, and do not switch `conditional_put` off";
const SETTINGS: &str = "check `url` and `options`, and the credentials in the environment";
const CONNECTION: &str = "check the connection and try again; everything committed before is intact";

impl Failure {
    /// Returns what an error of the client means.
    pub(crate) fn of(error: &object_store::Error) -> Self {
        let text = error.to_string();
        let status = status(&text);
        let transport = transport(error);
        let means = match (error, status) {
            // What is known of a server that sends this is only that it did not do it.
            (_, Some(409)) => Means::Busy,
            (object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }, _) => Means::Taken,
            (object_store::Error::NotFound { .. }, _) if text.contains("NoSuchBucket") => Means::Refused(BUCKET),
            (object_store::Error::NotFound { .. }, _) => Means::Absent,
            (object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }, _) => {
                Means::Refused(ACCESS)
            }
            (object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }, _)
            | (_, Some(501)) => Means::Refused(CONDITION),
            (_, Some(408 | 429)) => Means::Unclear,
            (_, Some(300..=499)) => Means::Refused(SETTINGS),
            (_, Some(_)) => Means::Unclear,
            (object_store::Error::JoinError { .. }, None) => Means::Unclear,
            (_, None) if transport.is_some() => Means::Unclear,
            (_, None) => Means::Refused(SETTINGS),
        };
        let what = match (status, transport) {
            (Some(status), _) => match code(&text) {
                Some(code) => format!("the server answered {status} ({code})"),
                None => format!("the server answered {status}"),
            },
            (None, Some(it)) => describe(it),
            (None, None) if means == Means::Absent => "there is no such file".to_owned(),
            (None, None) if means == Means::Taken => "the key is taken".to_owned(),
            (None, None) => match error {
                object_store::Error::NotImplemented { operation, .. } => format!("there is no {operation}"),
                _ => format!("the client failed{}", innermost(error)),
            },
        };
        let is_unreachable = transport.is_some_and(|it| it.kind() == HttpErrorKind::Connect);
        Self { means, is_unreachable, what }
    }

    /// Returns the failure of a request that took too long.
    pub(crate) fn late() -> Self {
        Self { means: Means::Unclear, is_unreachable: false, what: "no answer came in time".to_owned() }
    }

    /// Returns the failure of an answer that is not what was asked for.
    pub(crate) fn garbled(what: impl Into<String>) -> Self {
        Self { means: Means::Unclear, is_unreachable: false, what: what.into() }
    }

    /// Returns the error for `attempt`, which completes "cannot …".
    pub(crate) fn error(&self, attempt: &str, address: &str) -> Error {
        let help = match self.means {
            Means::Refused(it) => it,
            _ => CONNECTION,
        };
        Error::io(format!("cannot {attempt} `{address}`: {}", self.what)).with_help(help)
    }
}

/// Returns the status that the server answered with. The client does not export the type that has it.
fn status(text: &str) -> Option<u16> {
    if text.contains("redirect without LOCATION") {
        return Some(301);
    }
    text.split_once("status code: ")?.1.get(..3)?.parse().ok()
}

/// Returns the code of an error of S3, GCS or Azure, which are single words.
fn code(text: &str) -> Option<&str> {
    let code = text.split_once("<Code>")?.1.split_once("</Code>")?.0;
    (code.len() <= 64 && code.bytes().all(|it| it.is_ascii_alphanumeric())).then_some(code)
}

fn transport(error: &object_store::Error) -> Option<&HttpError> {
    let mut at = error.source();
    while let Some(it) = at {
        if let Some(found) = it.downcast_ref::<HttpError>() {
            return Some(found);
        }
        at = it.source();
    }
    None
}

fn describe(error: &HttpError) -> String {
    let what = match error.kind() {
        HttpErrorKind::Connect => "no connection was made",
        HttpErrorKind::Timeout => return Failure::late().what,
        HttpErrorKind::Request | HttpErrorKind::Interrupted => "the connection was closed",
        _ => "the answer could not be read",
    };
    format!("{what}{}", innermost(error))
}

/// Returns `: ` and the words of the system, if they are short and name no address.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut at = error;
    while let Some(it) = at.source() {
        at = it;
    }
    let text = at.to_string();
    if text.len() > 120 || text.contains("://") || text.contains('\n') { String::new() } else { format!(": {text}") }
}
