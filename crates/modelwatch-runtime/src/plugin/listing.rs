//! The listing beside a folder's libraries: which files are plugins, their digests and components.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use modelwatch_sdk::Kind;
use serde::{Deserialize, Serialize};

use super::library::{Refusal, RefusalKind};
use crate::whole_file;

/// The name of the listing in a plugin folder.
pub const LISTING_FILE: &str = "plugins.toml";

/// Which files of a folder are plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// One entry per library.
    #[serde(default, rename = "plugin")]
    pub plugins: Vec<ListingEntry>,
}

/// One library of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListingEntry {
    /// The file's name in the folder.
    pub file: String,
    /// The BLAKE3 digest of its bytes, in hexadecimal.
    pub blake3: String,
    /// Its components as `kind/name`, so that a refused library can be blamed for what is missing.
    #[serde(default)]
    pub components: Vec<String>,
}

impl ListingEntry {
    /// Returns whether the library offers that component.
    pub fn offers(&self, kind: Kind, name: &str) -> bool {
        self.components.iter().any(|it| it.split_once('/') == Some((kind.as_str(), name)))
    }
}

impl Listing {
    /// Reads the listing of a folder; `None` where it has none.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn read(dir: &Path) -> Result<Option<Self>, Refusal> {
        let path = dir.join(LISTING_FILE);
        let text = match whole_file::open(&path).and_then(io::read_to_string) {
            Ok(it) => it,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Refusal::new(path, RefusalKind::Unreadable, format!("cannot read the listing: {e}"))),
        };
        toml::from_str(&text)
            .map(Some)
            .map_err(|e| Refusal::new(path, RefusalKind::Unreadable, format!("the listing is broken: {}", e.message())))
    }

    /// Writes the listing of a folder, replacing the one that is there.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, dir: &Path) -> std::io::Result<()> {
        let text = toml::to_string_pretty(self).map_err(std::io::Error::other)?;
        let staged = dir.join(format!(".{LISTING_FILE}.{}", std::process::id()));
        fs::File::create(&staged)?.write_all(text.as_bytes())?;
        fs::rename(staged, dir.join(LISTING_FILE))
    }
}
