//! Addresses and options that are refused, and what is said of them.

use modelwatch_sdk::Error;

use super::{server::Fault, *};
use crate::place;

fn refused(url: &str, options: &[(&str, &str)]) -> Error {
    let options = options.iter().map(|it| (it.0.to_owned(), it.1.to_owned()));
    let error = place::find(&config(url, options), PATIENCE).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Config);
    assert!(!error.help.is_empty());
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    error
}

#[test]
fn addresses_of_no_bucket_are_refused() {
    for (url, says) in [
        ("", "cannot be read"),
        ("bucket/prefix", "cannot be read"),
        ("ftp://host/prefix", "none of a bucket"),
        ("https://example.com/prefix", "none of a bucket"),
        ("s3://user:hunter2@bucket/prefix", "more than a bucket"),
        ("s3://hunter2@bucket", "more than a bucket"),
        ("az://container/prefix?sig=hunter2", "more than a bucket"),
    ] {
        let error = refused(url, &[]);
        assert!(error.message.contains(says) && error.path == "/url", "{url}: {error}");
    }
    assert!(refused("file:///models", &[]).help.contains("store `local`"));
}

#[test]
fn credentials_and_unknown_names_are_no_options() {
    for (url, name) in [
        ("s3://bucket", "secret_access_key"),
        ("s3://bucket", "AWS_ACCESS_KEY_ID"),
        ("s3://bucket", "token"),
        ("s3://bucket", "sse_customer_key_base64"),
        ("gs://bucket", "service_account_key"),
        ("az://container", "sas_token"),
        ("az://container", "account_key"),
    ] {
        let error = refused(url, &[(name, "hunter2")]);
        assert!(error.message.contains("is a credential"), "{url}: {error}");
        assert_eq!(error.path, format!("/options/{name}"));
    }
    assert!(refused("s3://bucket", &[("endpiont", "hunter2")]).message.contains("no option `endpiont`"));
    assert!(refused("s3://bucket", &[("timeout", "1s")]).help.contains("`timeout` beside `url`"));
}

#[test]
fn a_server_without_puts_on_a_condition_is_refused() {
    let server = Server::start(false);
    let mut config = server.config();
    config.options.insert("conditional_put".into(), "disabled".into());
    let error = open_with(&config, PATIENCE, settings()).err().unwrap();
    assert!(error.help.contains("`conditional_put`"), "{error:?}");
}

#[test]
fn a_bucket_that_does_not_exist_is_named() {
    let server = Server::start(false);
    // s3s-fs makes the buckets that it misses.
    server.spoil([Fault::Before(404)], |_, _| true);
    let error = try_open(&server, PATIENCE).err().unwrap();
    assert!(
        error.message.contains("s3://bucket/stores/digits") && error.help.contains("name of the bucket"),
        "{error:?}"
    );
}
