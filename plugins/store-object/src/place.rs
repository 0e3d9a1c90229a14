//! Which bucket an address means, and how it is reached.

use std::{
    collections::BTreeMap,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use modelwatch_sdk::{Error, Result, pointer};
use object_store::{
    ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    memory::InMemory,
    path::Path,
};
use url::Url;

use crate::{Config, retry::Patience};

/// A prefix of a bucket.
pub(crate) struct Place {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) prefix: Path,
    /// How messages call it; has no credential in it.
    pub(crate) address: String,
}

/// Returns the place of a store. Nothing is asked of it yet.
pub(crate) fn find(config: &Config, patience: Patience) -> Result<Place> {
    let url = parse(&config.url)?;
    let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|_| unknown())?;
    // Not quoted when it cannot be set up: the client's message may quote the environment.
    let failed = |_: object_store::Error| {
        Error::config("/url", format!("the connection to `{url}` cannot be set up"))
            .with_help("check `url`, the values in `options`, and the credentials in the environment")
    };
    // Both `from_env`, which knows the credentials, and the options come before the address, which has the last word.
    let store: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::Memory => memory(url.path()),
        ObjectStoreScheme::AmazonS3 => {
            let mut builder = AmazonS3Builder::from_env().with_retry(never());
            for (key, value) in options(config, AmazonS3ConfigKey::Client, patience, is_secret_of_s3)? {
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.with_url(url.as_str()).build().map_err(failed)?)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let mut builder = GoogleCloudStorageBuilder::from_env().with_retry(never());
            for (key, value) in options(config, GoogleConfigKey::Client, patience, is_secret_of_gcs)? {
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.with_url(url.as_str()).build().map_err(failed)?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let mut builder = MicrosoftAzureBuilder::from_env().with_retry(never());
            for (key, value) in options(config, AzureConfigKey::Client, patience, is_secret_of_azure)? {
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.with_url(url.as_str()).build().map_err(failed)?)
        }
        ObjectStoreScheme::Local => {
            return Err(Error::config("/url", "a store in a folder cannot be kept durable as an object store")
                .with_help("use the store `local` with `path`"));
        }
        _ => return Err(unknown()),
    };
    let address = url.as_str().trim_end_matches('/').to_owned();
    Ok(Place { store, prefix, address })
}

fn parse(text: &str) -> Result<Url> {
    // Not quoted: whoever puts a password into an address may well forget a part of it.
    let url = Url::parse(text)
        .map_err(|e| Error::config("/url", format!("the address of the store cannot be read: {e}")).with_help(FORMS))?;
    let names_container = matches!(url.scheme(), "az" | "adl" | "azure" | "abfs" | "abfss");
    let has_user = !url.username().is_empty() && !names_container;
    if has_user || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(Error::config("/url", "the address of the store has more than a bucket and a prefix")
            .with_help("put credentials into the environment, and leave out `?` and `#`"));
    }
    Ok(url)
}

const FORMS: &str = "write `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`";

fn unknown() -> Error {
    Error::config("/url", "the address of the store is none of a bucket that has puts on a condition").with_help(FORMS)
}

/// Attempts are counted and judged in [`crate::retry`].
fn never() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// Returns the options of the connection under the client's names for them.
fn options<K: FromStr>(
    config: &Config,
    client: fn(ClientConfigKey) -> K,
    patience: Patience,
    is_secret: fn(&K) -> bool,
) -> Result<Vec<(K, String)>> {
    let mut res = vec![(client(ClientConfigKey::Timeout), written(patience.timeout))];
    for (name, value) in &config.options {
        let path = || pointer("/options", name);
        let lower = name.to_ascii_lowercase();
        let Ok(key) = K::from_str(&lower) else {
            return Err(Error::config(path(), format!("the client of this kind of bucket has no option `{name}`"))
                .with_help("usual ones are `endpoint`, `region` and `allow_http`"));
        };
        if is_secret(&key) {
            return Err(Error::config(path(), format!("`{name}` is a credential, which a pipeline must not have"))
                .with_help("put it into the environment: pipelines are shown, and kept with every run"));
        }
        if lower.ends_with("timeout")
            && ClientConfigKey::from_str(&lower).is_ok_and(|it| it == ClientConfigKey::Timeout)
        {
            return Err(Error::config(path(), "the time for a request is an option of the store itself")
                .with_help("set `timeout` beside `url`"));
        }
        res.push((key, value.clone()));
    }
    Ok(res)
}

fn written(it: Duration) -> String {
    format!("{}ms", it.as_millis().max(1))
}

fn is_secret_of_s3(key: &AmazonS3ConfigKey) -> bool {
    let is_login =
        matches!(key, AmazonS3ConfigKey::AccessKeyId | AmazonS3ConfigKey::SecretAccessKey | AmazonS3ConfigKey::Token);
    // The client does not export the type that this is a value of.
    is_login || key.as_ref() == "aws_sse_customer_key_base64"
}

fn is_secret_of_gcs(key: &GoogleConfigKey) -> bool {
    matches!(key, GoogleConfigKey::ServiceAccountKey)
}

fn is_secret_of_azure(key: &AzureConfigKey) -> bool {
    matches!(
        key,
        AzureConfigKey::AccessKey
            | AzureConfigKey::ClientSecret
            | AzureConfigKey::SasKey
            | AzureConfigKey::Token
            | AzureConfigKey::FabricSessionToken
    )
}

/// Returns the memory of that name, which all stores of the process share.
fn memory(name: &str) -> Arc<InMemory> {
    static ALL: Mutex<BTreeMap<String, Arc<InMemory>>> = Mutex::new(BTreeMap::new());
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(all.entry(name.trim_matches('/').to_owned()).or_default())
}
