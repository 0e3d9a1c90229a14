//! Loads one library. Libraries are never unloaded: values whose code lies in them outlive any scope.
#![allow(unsafe_code)]

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
};

use abi_stable::library::{AbiHeaderRef, LibraryError};
use modelwatch_abi::{ABI_VERSION, PROBE_MAGIC, PROBE_PREFIX, ProbeRecord, ROOT_PREFIX, v1::PluginRef};
use modelwatch_sdk::{Error, Manifest};

use super::foreign::parse;
use crate::whole_file;

/// Why a library was not loaded, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The library, folder or listing.
    pub path: PathBuf,
    /// The reason, for programs.
    pub kind: RefusalKind,
    /// The reason, for people.
    pub message: String,
    /// The components that its listing says it has, as `kind/name`.
    pub components: Vec<String>,
    /// Whether it is that of a folder which is there, of which nobody knows what it has.
    pub(crate) of_folder: bool,
    /// Those that it has at least, where no listing says what it has: those of its namesake in a later folder.
    pub(super) of_namesake: Vec<String>,
}

/// The reasons for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The file, folder or listing cannot be read.
    Unreadable,
    /// Others may write the file or its folder.
    Writable,
    /// The bytes are not those of the listing.
    Digest,
    /// It is not a library of this machine, or exports no probe record.
    NotAPlugin,
    /// It was built for another interface.
    Abi,
    /// It was built with `panic = "abort"`.
    PanicAbort,
    /// Its types have another layout.
    Layout,
    /// Its manifest cannot be had.
    Manifest,
    /// Another plugin has a component of the same name.
    Duplicate,
}

impl Refusal {
    pub(crate) fn new(path: impl Into<PathBuf>, kind: RefusalKind, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            kind,
            message: message.into(),
            components: Vec::new(),
            of_folder: false,
            of_namesake: Vec::new(),
        }
    }

    /// Returns whether it keeps that component away, as far as is known.
    pub(super) fn keeps_away(&self, component: &str) -> bool {
        self.components.iter().chain(&self.of_namesake).any(|it| it == component)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused plugin `{}`: {}", self.path.display(), self.message)
    }
}

/// A library that was loaded.
pub(crate) struct Library {
    pub(crate) digest: String,
    pub(crate) root: PluginRef,
    pub(crate) manifest: Manifest,
}

/// Loads the library at `path`, whose bytes must have `digest` where one is recorded.
pub(crate) fn load(path: &Path, digest: Option<&str>) -> Result<Library, Refusal> {
    let refuse = |kind, message: String| Refusal::new(path, kind, message);
    check_permissions(path)?;
    let file = whole_file::open(path).map_err(|e| refuse(RefusalKind::Unreadable, format!("cannot open it: {e}")))?;
    let actual = hash(&file).map_err(|e| refuse(RefusalKind::Unreadable, format!("cannot read it: {e}")))?;
    if let Some(digest) = digest
        && actual != digest
    {
        return Err(refuse(
            RefusalKind::Digest,
            format!("its digest is {}…, the listing says {}…; build and list it again", head(&actual), head(digest)),
        ));
    }
    let crate_name = crate_name(path)
        .ok_or_else(|| refuse(RefusalKind::NotAPlugin, "its name is not that of a library (lib….so)".to_owned()))?;
    check_machine(&file).and_then(|()| check_length(&file)).map_err(|e| refuse(RefusalKind::NotAPlugin, e))?;
    let library = open(path, file).map_err(|e| {
        refuse(RefusalKind::NotAPlugin, format!("it is not a library that this machine can load: {}", cause(&e)))
    })?;
    let record = probe_record(&library, &crate_name).ok_or_else(|| {
        refuse(
            RefusalKind::NotAPlugin,
            format!("it is not a modelwatch plugin (it exports no `{PROBE_PREFIX}{crate_name}`)"),
        )
    })?;
    check_record(record).map_err(|(kind, message)| refuse(kind, message))?;
    let root = root_module(&library, &crate_name).map_err(|e| refuse(RefusalKind::Layout, e))?;
    std::mem::forget(library);
    let manifest =
        manifest(root).map_err(|e| refuse(RefusalKind::Manifest, format!("its manifest cannot be had: {e}")))?;
    Ok(Library { digest: actual, root, manifest })
}

/// `libstore_local.so` is the crate `store_local`.
fn crate_name(path: &Path) -> Option<String> {
    let stem = path.file_name()?.to_str()?.strip_suffix(std::env::consts::DLL_SUFFIX)?;
    let name = stem.strip_prefix(std::env::consts::DLL_PREFIX)?;
    (!name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')).then(|| name.to_owned())
}

/// Refuses a file that everyone may write, or whose folder they may: that of a link as well as that of what it leads to.
pub(crate) fn check_permissions(path: &Path) -> Result<(), Refusal> {
    check_folder_permissions(path)?;
    check_writable(path, "it", path)?;
    match path.canonicalize() {
        Ok(real) if real != path => check_writable(path, "the folder that it leads to", whole_file::folder(&real)),
        // What cannot be followed cannot be opened either.
        _ => Ok(()),
    }
}

/// Refuses a file, which need not be there, whose folder everyone may write.
pub(crate) fn check_folder_permissions(path: &Path) -> Result<(), Refusal> {
    check_writable(path, "its folder", whole_file::folder(path))
}

#[cfg(unix)]
fn check_writable(path: &Path, what: &str, it: &Path) -> Result<(), Refusal> {
    use std::os::unix::fs::MetadataExt;
    let metadata = it
        .metadata()
        .map_err(|e| Refusal::new(path, RefusalKind::Unreadable, format!("cannot look at `{}`: {e}", it.display())))?;
    if metadata.mode() & 0o002 != 0 {
        let remedy = format!("run `chmod o-w {}`", it.display());
        return Err(Refusal::new(path, RefusalKind::Writable, format!("{what} is writable by everyone; {remedy}")));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_writable(_: &Path, _: &str, _: &Path) -> Result<(), Refusal> {
    Ok(())
}

/// Returns the BLAKE3 digest of a file, in hexadecimal.
pub(super) fn hash(file: &File) -> std::io::Result<String> {
    Ok(blake3::Hasher::new().update_reader(file)?.finalize().to_hex().to_string())
}

/// Refuses a library with another word size, byte order or processor than this program has, of which the loader says nothing that helps.
#[cfg(target_os = "linux")]
fn check_machine(file: &File) -> Result<(), String> {
    use std::os::unix::fs::FileExt;
    let machine = |file: &File| {
        let mut header = [0; 20];
        file.read_exact_at(&mut header, 0).ok()?;
        let [b'\x7f', b'E', b'L', b'F', class, order, .., low, high] = header else { return None };
        Some([class, order, low, high])
    };
    let own = File::open("/proc/self/exe").ok().and_then(|it| machine(&it));
    match (machine(file), own) {
        (Some(its), Some(own)) if its != own => {
            Err(format!("it was built for another machine; build it for this one, {}", std::env::consts::ARCH))
        }
        // What is no such file, the loader refuses by itself.
        _ => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn check_machine(_: &File) -> Result<(), String> {
    Ok(())
}

/// Refuses a library that ends before its segments do, as where it is still being copied: the loader maps them all the same,
/// and whoever touches what is not there is killed.
#[cfg(target_os = "linux")]
fn check_length(file: &File) -> Result<(), String> {
    #[cfg(target_pointer_width = "32")]
    use object::elf::FileHeader32 as OwnHeader;
    #[cfg(target_pointer_width = "64")]
    use object::elf::FileHeader64 as OwnHeader;
    use object::{
        Endianness, ReadCache, ReadRef,
        elf::PT_LOAD,
        read::elf::{FileHeader, ProgramHeader},
    };
    let file = ReadCache::new(file);
    // What has no such header the loader refuses by itself.
    let Ok(header) = OwnHeader::<Endianness>::parse(&file) else { return Ok(()) };
    let unreadable = |e: &dyn fmt::Display| format!("its program headers cannot be read: {e}; copy it again");
    let endian = header.endian().map_err(|e| unreadable(&e))?;
    let segments = header.program_headers(endian, &file).map_err(|e| unreadable(&e))?;
    let ends = segments.iter().filter(|it| it.p_type(endian) == PT_LOAD).map(|it| {
        let (offset, size) = it.file_range(endian);
        offset.saturating_add(size)
    });
    let (is, wanted) = ((&file).len().unwrap_or_default(), ends.max().unwrap_or_default());
    if is < wanted {
        return Err(format!("it ends at byte {is}, its header says not before {wanted}; copy it again"));
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn check_length(_: &File) -> Result<(), String> {
    Ok(())
}

/// Opens what was hashed, not what its name means by now.
#[cfg(target_os = "linux")]
fn open(_: &Path, file: File) -> Result<libloading::Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: loading runs the library's initializers. Its folder and bytes were checked, and the
    // person who listed it trusts it.
    let res = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }?;
    // The loader knows a library by its path, so that the descriptor must never be reused.
    std::mem::forget(file);
    Ok(res.into())
}

#[cfg(not(target_os = "linux"))]
fn open(path: &Path, _: File) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: as on Linux.
    unsafe { libloading::Library::new(path) }
}

fn probe_record(library: &libloading::Library, crate_name: &str) -> Option<ProbeRecord> {
    let symbol = format!("{PROBE_PREFIX}{crate_name}\0");
    // SAFETY: whatever exports a symbol of this name has the magic first; a record that is shorter
    // than ours cannot be, because the type has not changed since the name came into use.
    let record: libloading::Symbol<'_, *const ProbeRecord> = unsafe { library.get(symbol.as_bytes()) }.ok()?;
    // SAFETY: the address is that of a static of the library, which stays loaded.
    Some(unsafe { record.read_unaligned() })
}

fn check_record(record: ProbeRecord) -> Result<(), (RefusalKind, String)> {
    if record.magic != PROBE_MAGIC {
        return Err((
            RefusalKind::NotAPlugin,
            "it is not a modelwatch plugin (its probe record has another magic)".into(),
        ));
    }
    if record.abi != ABI_VERSION {
        let message = format!(
            "it was built for plugin interface {}, this modelwatch has {ABI_VERSION}; build it with this version's SDK",
            record.abi
        );
        return Err((RefusalKind::Abi, message));
    }
    if record.panic_unwind != 1 {
        let message =
            "it was built with panic = \"abort\", so that its panics would end the run; build it with unwinding";
        return Err((RefusalKind::PanicAbort, message.into()));
    }
    Ok(())
}

fn root_module(library: &libloading::Library, crate_name: &str) -> Result<PluginRef, String> {
    let symbol = format!("{ROOT_PREFIX}{crate_name}\0");
    // SAFETY: the probe record says that the library exports this symbol as `export_plugin!` does:
    // a static whose address is that of an `AbiHeader`.
    let header: AbiHeaderRef = *unsafe { library.get::<AbiHeaderRef>(symbol.as_bytes()) }
        .map_err(|_| format!("it exports no `{ROOT_PREFIX}{crate_name}`; use `export_plugin!`"))?;
    // `upgrade` and `init_root_module`, not `RootModule::load_from_file`: that keeps one library
    // per root module type, and would hand back the first one for all.
    let header = header.upgrade().map_err(|e| format!("it was built with another abi_stable: {}", one_line(&e)))?;
    header.init_root_module::<PluginRef>().map_err(|e| match e {
        // It goes on for pages, and is for whoever changes the types.
        LibraryError::AbiInstability(_) => "its types have another layout; build it with this version's SDK".to_owned(),
        e => format!("its root cannot be had; build it with this version's SDK ({})", one_line(&e)),
    })
}

fn manifest(root: PluginRef) -> Result<Manifest, Error> {
    parse(&root.manifest()().into_result().map_err(Error::from)?)
}

/// Returns what the system's loader says, without the name that it knows the file by.
fn cause(error: &libloading::Error) -> String {
    let Some(said) = std::error::Error::source(error) else { return one_line(error) };
    let said = one_line(&said);
    match said.strip_prefix("/proc/self/fd/").and_then(|it| it.split_once(": ")) {
        Some((_, reason)) => reason.to_owned(),
        None => said,
    }
}

fn one_line(error: &dyn fmt::Display) -> String {
    let text = error.to_string();
    let line = text.lines().map(str::trim).find(|it| !it.is_empty()).unwrap_or("no reason given");
    line.to_owned()
}

fn head(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crate_is_named_by_the_file() {
        for (path, expected) in
            [("a/libstore_local.so", Some("store_local")), ("store.so", None), ("lib.so", None), ("liba-b.so", None)]
        {
            assert_eq!(crate_name(Path::new(path)).as_deref(), expected, "{path}");
        }
    }
}
