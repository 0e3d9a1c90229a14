//! A plugin for tests, which panics or worse where its configuration says.
//!
//! With the fault `none` its components are correct, and use every service of the host.
#![deny(unsafe_code)]

mod config;
mod crash;
mod probe;
mod store;

pub use crate::{
    config::{Config, Fault},
    probe::Faulty,
    store::FaultyStore,
};

use modelwatch_sdk::Registry;

/// Returns what the plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .verifier::<Faulty>()
        .analyzer::<Faulty>()
        .store::<FaultyStore>()
}

modelwatch_sdk::export_plugin!(registry);
