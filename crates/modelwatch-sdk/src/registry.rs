//! What a plugin offers: the same value serves the static and the dynamic build.

use std::fmt;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    codes::{CodeInfo, FindingCode},
    error::{Error, ErrorKind, Result},
    probe::{Analyzer, Needs, Probe, Verifier},
    store::{CheckpointStore, Store},
};

/// The three kinds of component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Keeps checkpoints and refs.
    Store,
    /// Says whether outputs are right.
    Verifier,
    /// Looks for what is wrong or could be better.
    Analyzer,
}

impl Kind {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Verifier => "verifier",
            Self::Analyzer => "analyzer",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a plugin says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The plugin's name, its crate's.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// The version of the SDK that it was built with.
    pub sdk: String,
    /// What it offers.
    pub components: Vec<ComponentInfo>,
}

impl Manifest {
    /// Returns the codes that the findings of a component can have; none where there is no such component.
    pub fn codes(&self, kind: Kind, name: &str) -> &[CodeInfo] {
        let found = self.components.iter().find(|it| it.kind == kind && it.name == name);
        found.map(|it| &it.codes[..]).unwrap_or_default()
    }
}

/// What a plugin says about one of its components.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentInfo {
    /// The kind.
    pub kind: Kind,
    /// The name that a pipeline uses.
    pub name: String,
    /// What it does: the doc comment of its configuration type.
    pub docs: String,
    /// The JSON Schema (draft 2020-12) of its configuration.
    pub config: Value,
    /// The codes that its findings can have; none in the manifests of old plugins, and of stores.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<CodeInfo>,
    /// What it needs whatever its options are; nothing in the manifests of old plugins, and of stores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Needs>,
}

impl ComponentInfo {
    /// Returns the name with the kind, as plugins of one name are told apart: `verifier/golden`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }
}

/// The components of a plugin.
pub struct Registry {
    manifest: Manifest,
    stores: Vec<(&'static str, OpenStore)>,
    probes: Vec<(Kind, &'static str, OpenProbe)>,
}

type OpenStore = fn(&Value) -> Result<Box<dyn CheckpointStore>>;
type OpenProbe = fn(&Value) -> Result<Box<dyn Probe>>;

impl Registry {
    /// Returns an empty registry; pass `env!("CARGO_PKG_NAME")` and `env!("CARGO_PKG_VERSION")`.
    pub fn new(name: &str, version: &str) -> Self {
        let sdk = env!("CARGO_PKG_VERSION").to_owned();
        Self {
            manifest: Manifest { name: name.to_owned(), version: version.to_owned(), sdk, components: Vec::new() },
            stores: Vec::new(),
            probes: Vec::new(),
        }
    }

    /// Adds a verifier.
    #[must_use]
    pub fn verifier<V: Verifier>(mut self) -> Self {
        self.describe::<V::Config>(Kind::Verifier, V::NAME, V::CODES, Some(V::always_needs()));
        self.probes.push((Kind::Verifier, V::NAME, |it| Ok(Box::new(V::open(config(it)?)?))));
        self
    }

    /// Adds an analyzer.
    #[must_use]
    pub fn analyzer<A: Analyzer>(mut self) -> Self {
        self.describe::<A::Config>(Kind::Analyzer, A::NAME, A::CODES, Some(A::always_needs()));
        self.probes.push((Kind::Analyzer, A::NAME, |it| Ok(Box::new(A::open(config(it)?)?))));
        self
    }

    /// Adds a store.
    #[must_use]
    pub fn store<S: Store>(mut self) -> Self {
        self.describe::<S::Config>(Kind::Store, S::NAME, &[], None);
        self.stores.push((S::NAME, |it| S::open(config(it)?)));
        self
    }

    /// Returns what the plugin says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Opens a verifier or an analyzer.
    ///
    /// # Errors
    /// `NotFound` where there is none of that name, `Config` where the options do not fit.
    pub fn open_probe(&self, kind: Kind, name: &str, options: &Value) -> Result<Box<dyn Probe>> {
        let found = self.probes.iter().find(|it| it.0 == kind && it.1 == name);
        found.ok_or_else(|| self.no_such(kind, name)).and_then(|(_, _, open)| open(options))
    }

    /// Opens a store.
    ///
    /// # Errors
    /// `NotFound` where there is none of that name, `Config` where the options do not fit.
    pub fn open_store(&self, name: &str, options: &Value) -> Result<Box<dyn CheckpointStore>> {
        let found = self.stores.iter().find(|it| it.0 == name);
        found.ok_or_else(|| self.no_such(Kind::Store, name)).and_then(|(_, open)| open(options))
    }

    fn describe<C: JsonSchema>(&mut self, kind: Kind, name: &str, codes: &[FindingCode], needs: Option<Needs>) {
        let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<C>().to_value();
        let docs = schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
        let codes = codes.iter().copied().map(CodeInfo::from).collect();
        let needs = needs.filter(|it| *it != Needs::default());
        self.manifest.components.push(ComponentInfo {
            kind,
            name: name.to_owned(),
            docs,
            config: schema,
            codes,
            needs,
        });
    }

    fn no_such(&self, kind: Kind, name: &str) -> Error {
        Error::new(ErrorKind::NotFound, format!("the plugin `{}` has no {kind} named `{name}`", self.manifest.name))
    }
}

fn config<C: DeserializeOwned>(options: &Value) -> Result<C> {
    C::deserialize(options).map_err(|e| Error::config("", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_of_old_plugins_have_no_codes() {
        let text = r#"{ "name": "p", "version": "0.1.0", "sdk": "0.1.0", "components": [
            { "kind": "analyzer", "name": "old", "docs": "", "config": {} }
        ] }"#;
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        assert_eq!(manifest.codes(Kind::Analyzer, "old"), []);
        // And what declares none looks to an old host as it always did.
        assert!(!serde_json::to_string(&manifest).unwrap().contains("codes"));
    }
}
