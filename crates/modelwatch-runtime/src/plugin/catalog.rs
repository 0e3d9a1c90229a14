//! Finds plugins and keeps what they offer.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use modelwatch_abi::v1::PluginRef;
use modelwatch_sdk::{ComponentInfo, Kind, Manifest, Needs, Probe, Registry, Result, store::CheckpointStore};
use serde_json::{Map, Value};
use tracing::{debug, warn};

use super::{
    ForeignProbe, ForeignStore, HeldStore, LISTING_FILE, Listing, Refusal, RefusalKind, WorkerProgram, library,
};
use crate::whole_file;

/// The environment variable with further plugin folders, separated as in `PATH`.
const PATH_VARIABLE: &str = "MODELWATCH_PLUGIN_PATH";

/// The folders that are searched for plugins, first to last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchPath(Vec<PathBuf>);

impl SearchPath {
    /// Returns the folders of the command line, of the pipeline, of the environment, and the one
    /// beside the executable.
    pub fn new(command_line: &[PathBuf], pipeline: &[PathBuf]) -> Self {
        let variable = env::var_os(PATH_VARIABLE).unwrap_or_default();
        Self::of(command_line, pipeline, &variable, Self::beside().filter(|it| it.is_dir()))
    }

    /// Returns the folder beside the executable, which is searched where it is there.
    pub fn beside() -> Option<PathBuf> {
        Some(env::current_exe().ok()?.parent()?.join("plugins"))
    }

    fn of(command_line: &[PathBuf], pipeline: &[PathBuf], variable: &OsStr, beside: Option<PathBuf>) -> Self {
        let listed = command_line.iter().chain(pipeline).cloned();
        let others = env::split_paths(variable).filter(|it| !it.as_os_str().is_empty()).chain(beside);
        let mut res = Vec::new();
        for dir in listed.chain(others) {
            if !res.contains(&dir) {
                res.push(dir);
            }
        }
        Self(res)
    }

    /// Returns exactly these folders.
    pub fn exactly(dirs: Vec<PathBuf>) -> Self {
        Self(dirs)
    }

    /// Returns the folders.
    pub fn dirs(&self) -> &[PathBuf] {
        &self.0
    }
}

/// What is there to be used.
#[derive(Default)]
pub struct Catalog {
    /// What runs plugins in processes of their own; nothing where this program cannot.
    pub worker: Option<WorkerProgram>,
    folders: Vec<PathBuf>,
    plugins: Vec<LoadedPlugin>,
    refusals: Vec<Refusal>,
}

/// A plugin that was loaded.
pub struct LoadedPlugin {
    /// Where it came from; nothing where it is linked in.
    pub path: Option<PathBuf>,
    /// What it says about itself.
    pub manifest: Manifest,
    /// The digest of its bytes; nothing where it is linked in.
    digest: Option<String>,
    source: Source,
}

enum Source {
    Linked(Registry),
    Library(PluginRef),
}

/// A component of a loaded plugin.
#[derive(Clone, Copy)]
pub struct Component<'a> {
    /// What its plugin says about it.
    pub info: &'a ComponentInfo,
    plugin: &'a LoadedPlugin,
}

/// What became of a search for a component.
pub enum Lookup<'a> {
    /// It is there.
    Found(Component<'a>),
    /// It would be there, had its library not been refused.
    Refused(&'a Refusal),
    /// No plugin offers it; these are the names of that kind.
    Unknown(Vec<&'a str>),
}

impl LoadedPlugin {
    /// Returns the digest of the library; nothing where the plugin is linked in.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Returns the number of the interface that it was built for, which is this program's.
    pub fn interface(&self) -> u32 {
        modelwatch_abi::ABI_VERSION
    }
}

impl Catalog {
    /// Loads every plugin in the folders. A library that is refused does not keep others away.
    pub fn load(path: &SearchPath) -> Self {
        let mut res = Self { folders: path.dirs().to_vec(), ..Self::default() };
        for dir in path.dirs() {
            res.load_dir(dir);
        }
        res
    }

    /// Loads one library, whose bytes must have the digest where one is recorded.
    ///
    /// # Errors
    /// When it is refused.
    pub fn load_one(path: &Path, recorded: Option<&str>) -> std::result::Result<LoadedPlugin, Refusal> {
        let it = library::load(path, recorded)?;
        let (digest, source) = (Some(it.digest), Source::Library(it.root));
        Ok(LoadedPlugin { path: Some(path.to_owned()), manifest: it.manifest, digest, source })
    }

    /// Returns the libraries of a folder, sorted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn libraries(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
        let mut res = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
            if name.starts_with(env::consts::DLL_PREFIX) && name.ends_with(env::consts::DLL_SUFFIX) && path.is_file() {
                res.push(path);
            }
        }
        res.sort();
        Ok(res)
    }

    /// Returns the digest of a library, as a listing has it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn digest(path: &Path) -> std::io::Result<String> {
        library::hash(&whole_file::open(path)?)
    }

    /// Adds a plugin that is linked in.
    pub fn link(&mut self, registry: Registry) {
        let manifest = registry.manifest().clone();
        self.add(LoadedPlugin { path: None, manifest, digest: None, source: Source::Linked(registry) });
    }

    /// Returns the folders that were searched.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Returns the plugins that were loaded.
    pub fn plugins(&self) -> &[LoadedPlugin] {
        &self.plugins
    }

    /// Returns what was refused.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// Returns every component.
    pub fn components(&self) -> impl Iterator<Item = Component<'_>> {
        self.plugins.iter().flat_map(|plugin| plugin.manifest.components.iter().map(|info| Component { info, plugin }))
    }

    /// Looks for a component.
    pub fn find(&self, kind: Kind, name: &str) -> Lookup<'_> {
        if let Some(it) = self.components().find(|it| it.info.kind == kind && it.info.name == name) {
            return Lookup::Found(it);
        }
        let wanted = format!("{kind}/{name}");
        if let Some(it) = self.refusals.iter().find(|it| it.keeps_away(&wanted)) {
            return Lookup::Refused(it);
        }
        Lookup::Unknown(self.components().filter(|it| it.info.kind == kind).map(|it| it.info.name.as_str()).collect())
    }

    /// Returns a refusal of which nobody knows all that it keeps away, if there is one.
    pub fn unread(&self) -> Option<&Refusal> {
        self.refusals.iter().find(|it| it.components.is_empty())
    }

    /// Returns why folders that are there could not be read: whatever is found elsewhere, one of them may have had it first.
    pub fn unread_folders(&self) -> impl Iterator<Item = &Refusal> {
        self.refusals.iter().filter(|it| it.of_folder)
    }

    fn load_dir(&mut self, dir: &Path) {
        let listing = match Listing::read(dir) {
            Ok(it) => it,
            Err(e) => return self.refuse(e),
        };
        let Some(listing) = listing else {
            match Self::libraries(dir) {
                Ok(paths) => paths.iter().for_each(|it| self.load_library(it, None, &[])),
                Err(e) => {
                    let message = format!("cannot list the plugin folder: {e}");
                    self.refuse(Refusal::new(dir, RefusalKind::Unreadable, message));
                }
            }
            return;
        };
        for entry in &listing.plugins {
            let plain = Path::new(&entry.file).file_name().is_some_and(|it| it == entry.file.as_str());
            if plain {
                self.load_library(&dir.join(&entry.file), Some(&entry.blake3), &entry.components);
            } else {
                let message = format!("the listing names `{}`, which is not a file of its folder", entry.file);
                self.refuse(Refusal::new(dir, RefusalKind::Unreadable, message));
            }
        }
        // What is wrong with the folder shows where its plugins are read.
        for path in Self::libraries(dir).unwrap_or_default() {
            if !listing.plugins.iter().any(|it| path.ends_with(&it.file)) {
                warn!(
                    "`{}` is not in `{LISTING_FILE}` of its folder, and left out; where it is to be there, run `modelwatch plugin index {}`",
                    path.display(),
                    dir.display()
                );
            }
        }
    }

    fn load_library(&mut self, path: &Path, digest: Option<&str>, components: &[String]) {
        match Self::load_one(path, digest) {
            Ok(it) => {
                debug!(path = %path.display(), name = it.manifest.name, "Plugin was loaded.");
                self.blame_namesake(&it);
                self.add(it);
            }
            Err(e) => self.refuse(Refusal { components: components.to_vec(), ..e }),
        }
    }

    /// Says of a refused library that no listing describes what it would have had, as its namesake of a later folder has it. Where the
    /// listing itself was refused, all libraries beside it were.
    fn blame_namesake(&mut self, plugin: &LoadedPlugin) {
        let Some(name) = plugin.path.as_deref().and_then(Path::file_name) else { return };
        let is_namesake =
            |it: &Path| it.file_name() == Some(name) || it.ends_with(LISTING_FILE) && it.with_file_name(name).exists();
        for it in self.refusals.iter_mut().filter(|it| it.components.is_empty() && is_namesake(&it.path)) {
            it.of_namesake.extend(plugin.manifest.components.iter().map(ComponentInfo::full_name));
        }
    }

    /// A name that two plugins claim belongs to neither: which one is meant is not for us to guess. One whose library was
    /// refused does not belong to another one either, of which nobody said that it is as good.
    fn add(&mut self, mut plugin: LoadedPlugin) {
        // The same bytes in two folders are one plugin.
        if plugin.digest.is_some() && self.plugins.iter().any(|it| it.digest == plugin.digest) {
            return;
        }
        let here = plugin.path.clone();
        let mut clashes = Vec::new();
        for other in &mut self.plugins {
            for mine in &plugin.manifest.components {
                let same = |it: &ComponentInfo| (it.kind, &it.name) == (mine.kind, &mine.name);
                if other.manifest.components.iter().any(same) {
                    other.manifest.components.retain(|it| !same(it));
                    clashes.push((mine.kind, mine.name.clone(), place(other.path.as_deref())));
                }
            }
        }
        for (kind, name, other) in clashes {
            let message = format!("{kind} `{name}` is in `{other}` too; remove one of them");
            let path = here.clone().unwrap_or_else(|| PathBuf::from(place(None)));
            let refusal = Refusal::new(path, RefusalKind::Duplicate, message);
            self.refuse(Refusal { components: vec![format!("{kind}/{name}")], ..refusal });
        }
        let lost = |it: &ComponentInfo| {
            let name = it.full_name();
            self.refusals.iter().any(|it| it.keeps_away(&name))
        };
        plugin.manifest.components.retain(|it| !lost(it));
        self.plugins.push(plugin);
    }

    fn refuse(&mut self, refusal: Refusal) {
        warn!("{refusal}");
        let path = &refusal.path;
        let is_library = path.is_file() && !path.ends_with(LISTING_FILE);
        let is_there = path.try_exists().unwrap_or(true);
        let is_whole = refusal.kind == RefusalKind::Unreadable && refusal.components.is_empty();
        self.refusals.push(Refusal { of_folder: is_whole && is_there && !is_library, ..refusal });
    }
}

impl Component<'_> {
    /// Returns the plugin that has it.
    pub fn plugin(&self) -> &LoadedPlugin {
        self.plugin
    }

    /// Returns the options with those that the component's schema marks as paths (`"format": "path"`,
    /// also of a list) starting at `root`.
    pub fn resolved(&self, with: &Map<String, Value>, root: &Path) -> Value {
        let mut with = with.clone();
        let properties = self.info.config.get("properties");
        for (name, value) in &mut with {
            let is_path = properties.and_then(|it| it.get(name)?.get("format")).is_some_and(|it| it == "path");
            let paths = match value {
                _ if !is_path => &mut [],
                Value::Array(it) => it.as_mut_slice(),
                it => std::slice::from_mut(it),
            };
            for it in paths {
                if let Value::String(path) = it {
                    *path = root.join(&*path).display().to_string();
                }
            }
        }
        Value::Object(with)
    }

    /// Returns the library that has it, with its digest, unless it is linked in.
    #[cfg(unix)]
    pub(super) fn library(&self) -> Option<(&Path, &str)> {
        self.plugin.path.as_deref().zip(self.plugin.digest.as_deref())
    }

    /// Opens a verifier or an analyzer.
    ///
    /// # Errors
    /// When the configuration does not fit, or the plugin fails.
    pub fn open_probe(&self, config: &Value) -> Result<Box<dyn Probe>> {
        match &self.plugin.source {
            Source::Linked(it) => it.open_probe(self.info.kind, &self.info.name, config),
            Source::Library(root) => Ok(Box::new(ForeignProbe::open(*root, &self.info.full_name(), config)?)),
        }
    }

    /// Opens another instance with the same configuration. A library is not asked again what it needs, which takes longer
    /// than all the rest of it.
    pub(super) fn open_another(&self, config: &Value, needs: &Arc<Needs>) -> Result<Box<dyn Probe>> {
        match &self.plugin.source {
            Source::Linked(_) => self.open_probe(config),
            Source::Library(root) => {
                Ok(Box::new(ForeignProbe::open_another(*root, &self.info.full_name(), config, Arc::clone(needs))?))
            }
        }
    }

    /// Opens a store. It is held to the ids of its checkpoints, be it linked in or not.
    ///
    /// # Errors
    /// When the configuration does not fit, or the plugin fails.
    pub fn open_store(&self, config: &Value) -> Result<Box<dyn CheckpointStore>> {
        let store: Box<dyn CheckpointStore> = match &self.plugin.source {
            Source::Linked(it) => it.open_store(&self.info.name, config)?,
            Source::Library(root) => Box::new(ForeignStore::open(*root, &self.info.name, config)?),
        };
        Ok(Box::new(HeldStore::new(store)))
    }
}

fn place(path: Option<&Path>) -> String {
    path.map_or_else(|| "this program".to_owned(), |it| it.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_from_the_nearest_to_the_farthest_and_once() {
        let dirs = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let variable = env::join_paths(["e", "", "c", "f"]).unwrap();
        let of = |beside| SearchPath::of(&dirs(&["a", "b"]), &dirs(&["c", "a", "d"]), &variable, beside);
        assert_eq!(of(Some("g".into())).dirs(), dirs(&["a", "b", "c", "d", "e", "f", "g"]));
        assert_eq!(of(Some("b".into())), of(None));
        assert_eq!(SearchPath::of(&[], &[], OsStr::new(""), None), SearchPath::default());
        // What is asked for comes first, whatever this process has in its environment.
        assert_eq!(SearchPath::new(&dirs(&["a"]), &dirs(&["b"])).dirs()[..2], dirs(&["a", "b"]));
    }
}
