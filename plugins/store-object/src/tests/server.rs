//! An S3 server on the loopback, whose replies a test can spoil. It ends with its value.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use object_store::path::Path;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};

use crate::{Config, place, retry::Patience};

/// What is done to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is answered with that status, and not carried out.
    Before(u16),
    /// It is carried out, and answered with that status.
    After(u16),
    /// It is carried out, and the connection closed.
    AfterClosed,
    /// Half of the body comes, then the connection is closed.
    CutOff,
    /// Half of the body is sent as if it were the whole.
    Shortened,
    /// The body never ends.
    Endless,
    /// The last file is left out of a listing.
    Stale,
}

type Choose = Box<dyn Fn(&Method, &str) -> bool + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The switches of a server.
#[derive(Default)]
struct Switches {
    /// Faults for the next requests that are chosen.
    faults: Mutex<VecDeque<Fault>>,
    choose: Mutex<Option<Choose>>,
    puts: tokio::sync::Mutex<()>,
    is_raw: bool,
}

pub(super) struct Server {
    address: SocketAddr,
    switches: Arc<Switches>,
    dir: TempDir,
    _runtime: Runtime,
}

impl Server {
    /// Starts a server with one bucket, in which puts come one after the other; `is_raw` leaves them as s3s-fs does
    /// them, which looks first and writes later.
    pub(super) fn start(is_raw: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bucket")).unwrap();
        let s3 = S3ServiceBuilder::new(FileSystem::new(dir.path()).unwrap()).build();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let switches = Arc::new(Switches { is_raw, ..Switches::default() });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, s3, Arc::clone(&switches)));
        Self { address, switches, dir, _runtime: runtime }
    }

    /// Spoils the next requests that `choose` picks by method and key, in that order.
    pub(super) fn spoil(
        &self,
        faults: impl IntoIterator<Item = Fault>,
        choose: impl Fn(&Method, &str) -> bool + Send + Sync + 'static,
    ) {
        *self.switches.choose.lock().unwrap() = Some(Box::new(choose));
        *self.switches.faults.lock().unwrap() = faults.into_iter().collect();
    }

    /// Returns how many of the faults are still to come, and takes them back.
    pub(super) fn heal(&self) -> usize {
        std::mem::take(&mut *self.switches.faults.lock().unwrap()).len()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the folder in which it keeps the store's objects as files.
    pub(super) fn folder(&self) -> PathBuf {
        self.dir.path().join("bucket/stores/digits")
    }

    pub(super) fn config(&self) -> Config {
        config_of(self.address)
    }

    pub(super) fn bucket(&self, patience: Patience) -> crate::bucket::Bucket {
        let place = place::find(&self.config(), patience).unwrap();
        assert_eq!(place.prefix, Path::from("stores/digits"));
        crate::bucket::Bucket::new(place, patience).unwrap()
    }
}

/// Returns the configuration of the store on the server at that address, whichever process runs it.
pub(super) fn config_of(address: SocketAddr) -> Config {
    let options = [
        ("endpoint", format!("http://{address}")),
        ("allow_http", "true".to_owned()),
        ("skip_signature", "true".to_owned()),
        ("region", "us-east-1".to_owned()),
    ];
    super::config("s3://bucket/stores/digits", options.map(|(name, value)| (name.to_owned(), value)))
}

async fn serve(listener: TcpListener, s3: S3Service, switches: Arc<Switches>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let (s3, switches) = (s3.clone(), Arc::clone(&switches));
        let service = service_fn(move |it| answer(it, s3.clone(), Arc::clone(&switches)));
        tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(socket), service).await });
    }
}

async fn answer(request: Request<Incoming>, s3: S3Service, switches: Arc<Switches>) -> Result<Response<Body>, Closed> {
    let method = request.method().clone();
    // A listing names its folder in the query.
    let key = request.uri().to_string();
    let is_chosen = switches.choose.lock().unwrap().as_ref().is_some_and(|it| it(&method, &key));
    let fault = if is_chosen { switches.faults.lock().unwrap().pop_front() } else { None };
    if let Some(Fault::Before(status)) = fault {
        return Ok(refusal(status));
    }
    let turn = if method == Method::PUT && !switches.is_raw { Some(switches.puts.lock().await) } else { None };
    let response = s3.call(request.map(s3s::Body::from)).await.map_err(|_| Closed)?;
    drop(turn);
    let (mut parts, body) = response.into_parts();
    let bytes = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let half = bytes.slice(..bytes.len() / 2);
    let body = match fault {
        None | Some(Fault::Before(_)) => whole(bytes),
        Some(Fault::After(status)) => return Ok(refusal(status)),
        Some(Fault::AfterClosed) => return Err(Closed),
        Some(Fault::CutOff) => then(half, futures_util::stream::once(async { Err(std::io::Error::other("cut off")) })),
        Some(Fault::Endless) => then(half, futures_util::stream::pending()),
        Some(Fault::Shortened) => {
            parts.headers.insert(header::CONTENT_LENGTH, half.len().into());
            whole(half)
        }
        Some(Fault::Stale) => {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            let (before, rest) = text.rsplit_once("<Contents>").unwrap();
            let text = format!("{before}{}", rest.split_once("</Contents>").unwrap().1);
            parts.headers.insert(header::CONTENT_LENGTH, text.len().into());
            whole(text.into())
        }
    };
    Ok(Response::from_parts(parts, body))
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|it: Infallible| match it {}).boxed_unsync()
}

fn then(bytes: Bytes, end: impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static) -> Body {
    use futures_util::StreamExt;
    let all = futures_util::stream::once(async { Ok(bytes) }).chain(end);
    http_body_util::StreamBody::new(all.map(|it| it.map(Frame::data))).boxed_unsync()
}

fn refusal(status: u16) -> Response<Body> {
    let code = if status == 404 { "NoSuchBucket" } else { "Planted" };
    let text = format!("<Error><Code>{code}</Code><Message>secret-signature</Message></Error>");
    Response::builder().status(StatusCode::from_u16(status).unwrap()).body(whole(text.into())).unwrap()
}

/// Closes the connection without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}

/// Long enough for a machine that is busy with other tests.
pub(super) const PATIENCE: Patience =
    Patience { timeout: Duration::from_secs(20), deadline: Duration::from_secs(20), pause: Duration::from_millis(1) };
