//! Google Cloud Storage and Azure on the loopback, over memory: of their interfaces what the client asks for, with
//! conditions that hold. No account is asked for. A server ends with its value.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use futures_util::TryStreamExt;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use modelwatch_sdk::testing;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, memory::InMemory, path::Path};
use tempfile::NamedTempFile;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};
use url::{Url, form_urlencoded};

use super::{copies::a_replica_mends, *};

type Answer = Response<Full<Bytes>>;

/// The headers that make a put one on a condition: Google's and Azure's.
const CONDITIONS: [&str; 2] = ["x-goog-if-generation-match", "if-none-match"];

/// The one whose interface a server has.
#[derive(Clone, Copy, Debug)]
enum Cloud {
    Google,
    Azure,
}

struct Server {
    cloud: Cloud,
    address: SocketAddr,
    /// Has the account by which Google's client finds the server. Without one it asks its surroundings for a token, also
    /// where `skip_signature` is set.
    account: NamedTempFile,
    _runtime: Runtime,
}

impl Server {
    /// Starts a server with one bucket; `is_raw` has it ignore the conditions of puts.
    fn start(cloud: Cloud, is_raw: bool) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let account = NamedTempFile::new().unwrap();
        let text = json!({
            "gcs_base_url": format!("http://{address}"),
            "disable_oauth": true,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        });
        std::fs::write(account.path(), text.to_string()).unwrap();
        runtime.spawn(serve(listener, cloud, is_raw));
        Self { cloud, address, account, _runtime: runtime }
    }

    /// Returns the configuration of a store that has that prefix.
    fn config(&self, prefix: &str) -> Config {
        let (scheme, options) = match self.cloud {
            Cloud::Google => ("gs", vec![("service_account", self.account.path().to_str().unwrap().to_owned())]),
            Cloud::Azure => (
                "az",
                vec![
                    ("endpoint", format!("http://{}", self.address)),
                    ("account_name", "account".to_owned()),
                    ("skip_signature", "true".to_owned()),
                ],
            ),
        };
        let options = options.into_iter().chain([("allow_http", "true".to_owned())]);
        config(&format!("{scheme}://bucket/{prefix}"), options.map(|(name, value)| (name.to_owned(), value)))
    }
}

async fn serve(listener: TcpListener, cloud: Cloud, is_raw: bool) {
    let files = Arc::new(InMemory::new());
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let files = Arc::clone(&files);
        let service = service_fn(move |mut it: Request<Incoming>| {
            if is_raw {
                CONDITIONS.iter().for_each(|name| drop(it.headers_mut().remove(*name)));
            }
            answer(it, cloud, Arc::clone(&files))
        });
        tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(socket), service).await });
    }
}

async fn answer(
    request: Request<Incoming>,
    cloud: Cloud,
    files: Arc<InMemory>,
) -> std::result::Result<Answer, hyper::Error> {
    let (head, body) = request.into_parts();
    let (key, body) = (key_of(head.uri.path()), body.collect().await?.to_bytes());
    let query = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    Ok(match head.method {
        Method::GET if key.is_root() => list(cloud, &files, &query).await,
        Method::GET | Method::HEAD => get(&files, &key, text(&head.headers, "range")).await,
        Method::PUT => put(cloud, &files, &key, &head.headers, body).await,
        Method::DELETE => empty(remove(&files, &key).await),
        Method::POST => remove_all(&files, &head.headers, &body).await,
        _ => empty(StatusCode::METHOD_NOT_ALLOWED),
    })
}

/// Returns the key in the path of an address, whose first part is the bucket.
fn key_of(path: &str) -> Path {
    Path::from_url_path(path).unwrap().parts().skip(1).collect()
}

async fn get(files: &InMemory, key: &Path, range: Option<&str>) -> Answer {
    let Ok(found) = files.get(key).await else { return empty(StatusCode::NOT_FOUND) };
    let ObjectMeta { e_tag, last_modified, .. } = found.meta.clone();
    let bytes = found.bytes().await.unwrap();
    let res = Response::builder().header(header::ETAG, e_tag.unwrap());
    let res = res.header(header::LAST_MODIFIED, last_modified.to_rfc2822());
    let Some(range) = range else { return res.body(Full::new(bytes)).unwrap() };
    let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (start, end) = (first.parse().unwrap(), bytes.len().min(last.parse::<usize>().unwrap() + 1));
    if start >= end {
        return empty(StatusCode::RANGE_NOT_SATISFIABLE);
    }
    let range = format!("bytes {start}-{}/{}", end - 1, bytes.len());
    let res = res.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, range);
    res.body(Full::new(bytes.slice(start..end))).unwrap()
}

async fn put(cloud: Cloud, files: &InMemory, key: &Path, headers: &HeaderMap, body: Bytes) -> Answer {
    let (copied, condition) = match cloud {
        Cloud::Google => ("x-goog-copy-source", text(headers, CONDITIONS[0])),
        Cloud::Azure => ("x-ms-copy-source", text(headers, CONDITIONS[1])),
    };
    if let Some(from) = text(headers, copied) {
        let from = Url::parse(from).map_or_else(|_| key_of(from), |it| key_of(it.path()));
        let is_there = files.copy(&from, key).await.is_ok();
        return empty(if is_there { StatusCode::ACCEPTED } else { StatusCode::NOT_FOUND });
    }
    let mode = match condition {
        None => PutMode::Overwrite,
        Some("0" | "*") => PutMode::Create,
        Some(it) => panic!("the condition `{it}`"),
    };
    match files.put_opts(key, body.into(), PutOptions::from(mode)).await {
        Ok(it) => Response::builder().header(header::ETAG, it.e_tag.unwrap()).body(Full::default()).unwrap(),
        Err(object_store::Error::AlreadyExists { .. }) => match cloud {
            Cloud::Google => refusal(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
            Cloud::Azure => refusal(StatusCode::CONFLICT, "BlobAlreadyExists"),
        },
        Err(e) => panic!("{e}"),
    }
}

async fn list(cloud: Cloud, files: &InMemory, query: &HashMap<String, String>) -> Answer {
    let prefix = Path::parse(query.get("prefix").map_or("", String::as_str)).unwrap();
    let (files, folders) = if query.contains_key("delimiter") {
        let found = files.list_with_delimiter(Some(&prefix)).await.unwrap();
        (found.objects, found.common_prefixes)
    } else {
        (files.list(Some(&prefix)).try_collect().await.unwrap(), Vec::new())
    };
    let file = |it: &ObjectMeta| {
        let ObjectMeta { location, size, last_modified, .. } = it;
        match cloud {
            Cloud::Google => {
                let time = last_modified.to_rfc3339();
                format!(
                    "<Contents><Key>{location}</Key><Size>{size}</Size><LastModified>{time}</LastModified></Contents>"
                )
            }
            Cloud::Azure => {
                let time = last_modified.to_rfc2822().replace("+0000", "GMT");
                format!(
                    "<Blob><Name>{location}</Name><Properties><Last-Modified>{time}</Last-Modified>\
                     <Content-Length>{size}</Content-Length><Content-Type>x/y</Content-Type></Properties></Blob>"
                )
            }
        }
    };
    let folder = |it: &Path| match cloud {
        Cloud::Google => format!("<CommonPrefixes><Prefix>{it}/</Prefix></CommonPrefixes>"),
        Cloud::Azure => format!("<BlobPrefix><Name>{it}/</Name></BlobPrefix>"),
    };
    let all: String = files.iter().map(file).chain(folders.iter().map(folder)).collect();
    let text = match cloud {
        Cloud::Google => format!("<ListBucketResult>{all}</ListBucketResult>"),
        Cloud::Azure => format!("<EnumerationResults><Blobs>{all}</Blobs><NextMarker/></EnumerationResults>"),
    };
    Response::new(Full::from(text))
}

async fn remove(files: &InMemory, key: &Path) -> StatusCode {
    if files.head(key).await.is_err() {
        return StatusCode::NOT_FOUND;
    }
    files.delete(key).await.unwrap();
    StatusCode::ACCEPTED
}

/// Azure's way of removing: requests within a request.
async fn remove_all(files: &InMemory, headers: &HeaderMap, body: &[u8]) -> Answer {
    let kind = text(headers, "content-type").unwrap();
    let boundary = kind.split_once("boundary=").unwrap().1;
    let keys = std::str::from_utf8(body).unwrap().lines().filter_map(|it| it.strip_prefix("DELETE "));
    let mut res = String::new();
    for (at, line) in keys.enumerate() {
        let status = remove(files, &key_of(line.split_once(' ').unwrap().0)).await;
        res += &format!("--{boundary}\r\nContent-ID: {at}\r\n\r\nHTTP/1.1 {status}\r\n\r\n");
    }
    res += &format!("--{boundary}--\r\n");
    Response::builder().header(header::CONTENT_TYPE, kind).body(Full::from(res)).unwrap()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|it| it.to_str().unwrap())
}

fn empty(status: StatusCode) -> Answer {
    Response::builder().status(status).body(Full::default()).unwrap()
}

fn refusal(status: StatusCode, code: &str) -> Answer {
    Response::builder().status(status).body(Full::from(format!("<Error><Code>{code}</Code></Error>"))).unwrap()
}

/// The suite of the SDK, which has writers race, and what it does not ask for: copies, listings and files that go.
fn check(cloud: Cloud) {
    let server = Server::start(cloud, false);
    testing::store(&|path| {
        let config = server.config(path.file_name().unwrap().to_str().unwrap());
        Ok(Box::new(open_with(&config, PATIENCE, Settings::of("store-object/0"))?))
    });
    a_replica_mends(|name| server.config(name));
    let report = open_with(&server.config("sound"), PATIENCE, settings()).unwrap().doctor(&()).unwrap();
    assert_eq!(report.unsound, [""; 0]);
    let raw = Server::start(cloud, true);
    let error = open_with(&raw.config("raw"), PATIENCE, settings()).err().unwrap();
    assert!(error.message.contains("no place for a store"), "{error}");
}

#[test]
fn conforms_on_google_cloud_storage() {
    check(Cloud::Google);
}

#[test]
fn conforms_on_azure() {
    check(Cloud::Azure);
}
