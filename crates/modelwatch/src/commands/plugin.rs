//! `modelwatch plugin`.

use std::{collections::BTreeMap, path::Path};

use comfy_table::{Table, presets::NOTHING};
use modelwatch_runtime::plugin::{Catalog, Component, LISTING_FILE, Listing, ListingEntry, LoadedPlugin, Refusal};
use modelwatch_sdk::{ComponentInfo, store::short};
use serde_json::json;

use super::{Code, Wrong, plugin_new, run};
use crate::{
    cli::{self, PluginCommand, PluginDirs, ShowFormat},
    output,
    report::text,
};

/// By how much what a component does is indented.
const INDENT: usize = 5;

pub(crate) fn plugin(arguments: &cli::Plugin) -> anyhow::Result<Code> {
    match &arguments.command {
        PluginCommand::List { plugins } => list(plugins),
        PluginCommand::Check { library, format } => check(library, *format),
        PluginCommand::Index { dir } => index(dir),
        PluginCommand::New(it) => plugin_new::new(it),
    }
}

fn list(plugins: &PluginDirs) -> anyhow::Result<Code> {
    let catalog = run::catalog(plugins, None)?;
    let mut folders: BTreeMap<String, Vec<Component<'_>>> = BTreeMap::new();
    for it in catalog.components() {
        let folder = it.plugin().path.as_deref().and_then(Path::parent);
        folders
            .entry(folder.map_or_else(|| "built in".to_owned(), |it| it.display().to_string()))
            .or_default()
            .push(it);
    }
    let shown = folders.into_iter().map(|(place, mut components)| {
        components.sort_by_key(|it| (it.info.kind, &it.info.name));
        format!("{place}\n{}", described(&components))
    });
    match (shown.collect::<Vec<_>>(), run::without_plugins(&catalog)) {
        (_, Some(it)) => output::note(&it),
        (it, None) => output::print(&it.join("\n\n"))?,
    }
    // Each refusal was logged as it happened.
    Ok(if catalog.refusals().is_empty() { Code::OK } else { Code::NOT_DONE })
}

/// A line for each component, with what it does below.
fn described(components: &[Component<'_>]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["KIND", "NAME", "VERSION", "INTERFACE", "DIGEST"]);
    for it in components {
        let plugin = it.plugin();
        table.add_row([
            it.info.kind.to_string(),
            text::plain(&it.info.name),
            text::plain(&plugin.manifest.version),
            plugin.interface().to_string(),
            plugin.digest().map(short).unwrap_or_default().to_owned(),
        ]);
    }
    let mut lines = table.lines();
    let mut res = lines.next().unwrap_or_default();
    for (line, it) in lines.zip(components) {
        res.push_str(&format!("\n{line}"));
        for line in text::wrap(&first_sentence(&it.info.docs), output::width() - INDENT) {
            res.push_str(&format!("\n{:INDENT$}{line}", ""));
        }
    }
    res
}

fn first_sentence(docs: &str) -> String {
    let paragraph = text::plain(docs.split("\n\n").next().unwrap_or_default());
    paragraph.split_once(". ").map_or_else(|| paragraph.clone(), |it| format!("{}.", it.0))
}

/// Whether a library is loaded that nobody names.
enum Listed {
    /// Its folder has no listing, so that all libraries in it are.
    NoListing,
    /// With this digest.
    As(String),
    /// Its folder's listing does not have it.
    No,
}

impl Listed {
    fn of(library: &Path) -> Result<Self, Refusal> {
        let dir = library.parent().unwrap_or(Path::new("."));
        let Some(listing) = Listing::read(dir)? else { return Ok(Self::NoListing) };
        let mut entries = listing.plugins.into_iter();
        let entry = entries.find(|it| library.file_name().is_some_and(|name| name == it.file.as_str()));
        Ok(entry.map_or(Self::No, |it| Self::As(it.blake3)))
    }
}

fn check(library: &Path, format: ShowFormat) -> anyhow::Result<Code> {
    if library.is_dir() {
        let folder = library.display();
        let remedy = format!("name one of its libraries; `modelwatch plugin list --plugin-dir {folder}` shows all");
        return Err(Wrong(format!("`{folder}` is a folder; {remedy}")).into());
    }
    if !library.is_file() {
        return Err(Wrong(format!("there is no file `{}`", library.display())).into());
    }
    let library = std::path::absolute(library)?;
    let checked = Listed::of(&library).and_then(|listed| {
        let recorded = if let Listed::As(it) = &listed { Some(it.as_str()) } else { None };
        Ok((Catalog::load_one(&library, recorded)?, listed))
    });
    let (plugin, listed) = match checked {
        Ok(it) => it,
        Err(e) => {
            output::error(&e.to_string());
            return Ok(Code::NOT_DONE);
        }
    };
    match format {
        ShowFormat::Human => output::print(&passed(&library, &plugin, &listed))?,
        ShowFormat::Json => output::print(&serde_json::to_string(&json!({
            "file": library.display().to_string(),
            "digest": plugin.digest(),
            "interface": plugin.interface(),
            "listed": match listed {
                Listed::NoListing => None,
                Listed::As(_) => Some(true),
                Listed::No => Some(false),
            },
            "manifest": plugin.manifest,
        }))?)?,
    }
    if matches!(listed, Listed::No) {
        let dir = library.parent().unwrap_or(Path::new(".")).display().to_string();
        let remedy = format!("`modelwatch plugin index {dir}` does");
        output::error(&format!("the listing of its folder does not name it, so that no run loads it; {remedy}"));
        return Ok(Code::NOT_DONE);
    }
    Ok(Code::OK)
}

/// What a plugin is and which checks it passed, for people.
fn passed(library: &Path, plugin: &LoadedPlugin, listed: &Listed) -> String {
    let (manifest, interface) = (&plugin.manifest, plugin.interface());
    let mut res = format!(
        "{} {}, made with SDK {}\nfile       {}\ninterface  {interface}\ndigest     {}\n\n",
        text::plain(&manifest.name),
        text::plain(&manifest.version),
        text::plain(&manifest.sdk),
        library.display(),
        plugin.digest().unwrap_or_default(),
    );
    for it in &manifest.components {
        res.push_str(&format!("{} `{}`\n", it.kind, text::plain(&it.name)));
        for line in text::wrap(&first_sentence(&it.docs), output::width() - INDENT) {
            res.push_str(&format!("{:INDENT$}{line}\n", ""));
        }
    }
    let recorded = match listed {
        Listed::NoListing => "– its folder has no listing, so that no digest is recorded",
        Listed::As(_) => "✓ its digest is the recorded one",
        Listed::No => "✗ its folder has a listing, which does not name it",
    };
    if cfg!(unix) {
        res.push_str("\n✓ not everyone may write it or its folder");
    }
    res.push_str(&format!(
        "\n{recorded}\n✓ it is a library with a plugin's record\n\
         ✓ it was built for interface {interface}, which is this program's\n\
         ✓ it unwinds, so that a panic in it ends no run\n✓ its types have this program's layout\n\
         ✓ its manifest can be read\n"
    ));
    res
}

/// Writes the listing of a folder anew.
fn index(dir: &Path) -> anyhow::Result<Code> {
    let libraries = Catalog::libraries(dir).map_err(|e| Wrong(format!("cannot list `{}`: {e}", dir.display())))?;
    if libraries.is_empty() {
        let what = format!("lib….{}", std::env::consts::DLL_EXTENSION);
        return Err(
            Wrong(format!("`{}` has no plugin ({what}); name the folder of the libraries", dir.display())).into()
        );
    }
    let mut listing = Listing::default();
    let mut failed = false;
    for path in libraries {
        match Catalog::load_one(&path, None) {
            Ok(it) => listing.plugins.push(entry(&path, &it)?),
            Err(e) => {
                output::error(&e.to_string());
                failed = true;
            }
        }
    }
    let place = dir.join(LISTING_FILE);
    if failed {
        // Without an entry for it, what was refused would be nobody's, and anybody else's would be taken in its place.
        output::error(&format!(
            "`{}` is left as it was; mend or remove what was refused, and index again",
            place.display()
        ));
        return Ok(Code::NOT_DONE);
    }
    listing.write(dir)?;
    let listed = match listing.plugins.len() {
        1 => "1 plugin is listed".to_owned(),
        n => format!("{n} plugins are listed"),
    };
    output::print(&format!("{listed} in {}", place.display()))?;
    Ok(Code::OK)
}

fn entry(path: &Path, plugin: &LoadedPlugin) -> anyhow::Result<ListingEntry> {
    let components = plugin.manifest.components.iter().map(ComponentInfo::full_name);
    Ok(ListingEntry {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        blake3: Catalog::digest(path)?,
        components: components.collect(),
    })
}
