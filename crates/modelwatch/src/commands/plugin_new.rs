//! `modelwatch plugin new`: a crate that builds and passes the conformance suite as it is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Code, Wrong};
use crate::{
    cli::{NewKind, NewPlugin},
    output,
};

const VERIFIER: &str = include_str!("../../templates/plugin/verifier.rs");
const ANALYZER: &str = include_str!("../../templates/plugin/analyzer.rs");
const STORE: &str = include_str!("../../templates/plugin/store.rs");
const PROBE_TEST: &str = include_str!("../../templates/plugin/probe_test.rs");
const STORE_TEST: &str = include_str!("../../templates/plugin/store_test.rs");

pub(crate) fn new(arguments: &NewPlugin) -> anyhow::Result<Code> {
    let name = arguments.name.as_str();
    let plain = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit());
    if !name.split('-').all(plain) || !name.starts_with(|it: char| it.is_ascii_lowercase()) {
        return Err(Wrong(format!("`{name}` is no name for a component; use lower-case words joined by `-`")).into());
    }
    let (verb, source, test) = match arguments.kind {
        NewKind::Verifier => ("verify", VERIFIER, PROBE_TEST),
        NewKind::Analyzer => ("analyze", ANALYZER, PROBE_TEST),
        NewKind::Store => ("store", STORE, STORE_TEST),
    };
    let package = format!("{verb}-{name}");
    let dir = arguments.dir.clone().unwrap_or_else(|| PathBuf::from(&package));
    if dir.exists() {
        return Err(Wrong(format!("`{}` exists already", dir.display())).into());
    }
    let manifest = if arguments.workspace {
        member_manifest(&package, arguments.kind)
    } else {
        own_manifest(&package, arguments.kind, &sdk(arguments.sdk.as_deref())?)
    };
    let kind = match arguments.kind {
        NewKind::Verifier => "verifier",
        NewKind::Analyzer => "analyzer",
        NewKind::Store => "store",
    };
    let filled = |text: &str| {
        text.replace("{{package}}", &package)
            .replace("{{crate}}", &package.replace('-', "_"))
            .replace("{{name}}", name)
            .replace("{{kind}}", kind)
            .replace("{{Kind}}", if kind == "verifier" { "Verifier" } else { "Analyzer" })
    };
    fs::create_dir_all(dir.join("src"))?;
    fs::create_dir_all(dir.join("tests"))?;
    fs::write(dir.join("Cargo.toml"), manifest)?;
    let sources = [(dir.join("src/lib.rs"), source), (dir.join("tests/conformance.rs"), test)];
    for (path, text) in &sources {
        fs::write(path, filled(text))?;
    }
    if let Err(why) = format(sources.iter().map(|it| &it.0)) {
        output::note(&format!("its lines are not broken as the folder's rules say, since rustfmt failed: {why}"));
    }
    output::print(&format!("wrote {}", dir.display()))?;
    if !arguments.workspace {
        // Absolute, because the second command follows a `cd`.
        let dir = fs::canonicalize(&dir)?;
        let dir = dir.display();
        output::note(&format!(
            "next: cd '{dir}' && cargo test && cargo build, then `modelwatch plugin list --plugin-dir '{dir}/target/debug'`"
        ));
    }
    Ok(Code::OK)
}

/// Breaks the lines as the rules of the folder say: the longer its name, the longer they are. Returns why it could not.
fn format<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<(), String> {
    let output = Command::new("rustfmt").args(["--edition", "2024"]).args(paths).output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.lines().next().unwrap_or("it said nothing").to_owned()) }
}

fn dependencies(kind: NewKind) -> &'static [&'static str] {
    match kind {
        NewKind::Store => &["blake3", "schemars", "serde", "serde_json"],
        _ => &["schemars", "serde"],
    }
}

fn member_manifest(package: &str, kind: NewKind) -> String {
    let dependencies: String = dependencies(kind).iter().map(|it| format!("{it}.workspace = true\n")).collect();
    format!(
        "[package]\nname = \"{package}\"\nversion.workspace = true\nedition.workspace = true\n\
         rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n\n\
         [lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n\n[lints]\nworkspace = true\n\n\
         [dependencies]\nmodelwatch-sdk.workspace = true\n{dependencies}"
    )
}

fn own_manifest(package: &str, kind: NewKind, sdk: &Path) -> String {
    let versions = [
        ("blake3", "\"1\""),
        ("schemars", "\"1\""),
        ("serde", "{ version = \"1\", features = [\"derive\"] }"),
        ("serde_json", "\"1\""),
    ];
    let wanted = versions.iter().filter(|it| dependencies(kind).contains(&it.0));
    let dependencies: String = wanted.map(|(name, version)| format!("{name} = {version}\n")).collect();
    format!(
        "[package]\nname = \"{package}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [workspace]\n\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n\n\
         [dependencies]\nmodelwatch-sdk = {{ path = {:?} }}\n{dependencies}",
        sdk.display().to_string()
    )
}

/// The SDK that was named, or that of the checkout that this program was built in.
fn sdk(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(it) = named {
        let found = fs::canonicalize(it).map_err(|e| Wrong(format!("cannot find the SDK `{}`: {e}", it.display())))?;
        let manifest = fs::read_to_string(found.join("Cargo.toml")).unwrap_or_default();
        if !manifest.lines().any(|it| it.replace(' ', "") == "name=\"modelwatch-sdk\"") {
            let message = format!("`{}` is not the SDK; it is `crates/modelwatch-sdk` of a checkout", it.display());
            return Err(Wrong(message).into());
        }
        return Ok(found);
    }
    let program = std::env::current_exe()?;
    program
        .ancestors()
        .map(|it| it.join("crates/modelwatch-sdk"))
        .find(|it| it.join("Cargo.toml").is_file())
        .ok_or_else(|| Wrong("say where the SDK is: `--sdk …/crates/modelwatch-sdk`".to_owned()).into())
}
