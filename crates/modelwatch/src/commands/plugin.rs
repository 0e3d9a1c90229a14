//! `modelwatch plugin`.

use std::path::Path;

use comfy_table::{Table, presets::NOTHING};
use modelwatch_runtime::plugin::{Catalog, LISTING_FILE, Listing, ListingEntry, LoadedPlugin};

use super::{Code, Wrong, plugin_new, run};
use crate::{
    cli::{self, PluginCommand, PluginDirs},
    output,
};

pub(crate) fn plugin(arguments: &cli::Plugin) -> anyhow::Result<Code> {
    match &arguments.command {
        PluginCommand::List { plugins } => list(plugins),
        PluginCommand::Check { library } => check(library),
        PluginCommand::Index { dir } => index(dir),
        PluginCommand::New(it) => plugin_new::new(it),
    }
}

fn list(plugins: &PluginDirs) -> anyhow::Result<Code> {
    let catalog = run::catalog(plugins, None)?;
    let mut rows = Table::new();
    rows.load_style(NOTHING).set_header(["KIND", "NAME", "WHAT IT DOES", "PLUGIN", "VERSION", "FROM"]);
    let mut components: Vec<_> = catalog.components().collect();
    components.sort_by_key(|it| (it.info.kind, it.info.name.clone()));
    for it in components {
        let docs = first_sentence(&it.info.docs);
        let manifest = &it.plugin().manifest;
        let place = it.plugin().path.as_ref().map_or_else(|| "built in".to_owned(), |it| it.display().to_string());
        rows.add_row([
            it.info.kind.to_string(),
            it.info.name.clone(),
            docs,
            manifest.name.clone(),
            manifest.version.clone(),
            place,
        ]);
    }
    output::print(&rows.to_string())?;
    // Each refusal was logged as it happened.
    Ok(if catalog.refusals().is_empty() { Code::OK } else { Code::NOT_DONE })
}

fn first_sentence(docs: &str) -> String {
    let paragraph = docs.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    paragraph.split_once(". ").map_or_else(|| paragraph.clone(), |it| format!("{}.", it.0))
}

fn check(library: &Path) -> anyhow::Result<Code> {
    if !library.is_file() {
        return Err(Wrong(format!("there is no file `{}`", library.display())).into());
    }
    match Catalog::load_one(&std::path::absolute(library)?) {
        Ok(it) => {
            output::print(&serde_json::to_string_pretty(&it.manifest)?)?;
            Ok(Code::OK)
        }
        Err(e) => {
            output::error(&e.to_string());
            Ok(Code::NOT_DONE)
        }
    }
}

/// Writes the listing of a folder anew.
fn index(dir: &Path) -> anyhow::Result<Code> {
    let mut listing = Listing::default();
    let mut failed = false;
    for path in Catalog::libraries(dir).map_err(|e| Wrong(format!("cannot list `{}`: {e}", dir.display())))? {
        match Catalog::load_one(&path) {
            Ok(it) => listing.plugins.push(entry(&path, &it)?),
            Err(e) => {
                output::error(&e.to_string());
                failed = true;
            }
        }
    }
    listing.write(dir)?;
    output::print(&format!("{} plugins are listed in {}", listing.plugins.len(), dir.join(LISTING_FILE).display()))?;
    Ok(if failed { Code::NOT_DONE } else { Code::OK })
}

fn entry(path: &Path, plugin: &LoadedPlugin) -> anyhow::Result<ListingEntry> {
    let components = plugin.manifest.components.iter().map(|it| format!("{}/{}", it.kind, it.name));
    Ok(ListingEntry {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        blake3: Catalog::digest(path)?,
        components: components.collect(),
    })
}
