//! Opens files beneath a folder, one name at a time and through no link.
//!
//! Each name is opened in the folder that was opened before it, and what is read is what was opened.
//! Nothing is looked at by its path first, so nothing can be put into its place meanwhile.
//! `openat2` does the same in one call, but on Linux alone, and not in containers whose filter of system calls is older than it.

use std::io;

#[cfg(not(unix))]
pub(crate) use self::other::Folder;
#[cfg(unix)]
pub(crate) use self::unix::Folder;

/// Why a name is not opened.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is a symbolic link.
    Link,
    /// The operating system refused.
    Io(io::Error),
}

#[cfg(unix)]
mod unix {
    use std::{ffi::OsStr, fs::File, io, os::fd::OwnedFd, path::Path};

    use rustix::fs::{AtFlags, FileType, Mode, OFlags, open, openat, statat};

    use super::Refused;

    /// Where it exists, of a folder that may be passed through but not listed, too.
    #[cfg(target_os = "linux")]
    const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    #[cfg(not(target_os = "linux"))]
    const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    /// Opening a pipe would else wait for a writer that never comes.
    const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

    /// An open folder, the same wherever it is moved to.
    #[derive(Debug)]
    pub(crate) struct Folder(OwnedFd);

    impl Folder {
        /// Opens the folder that the user named, by links or not.
        pub(crate) fn open(path: &Path) -> io::Result<Self> {
            Ok(Self(open(path, FOLDER, Mode::empty())?))
        }

        /// Opens the folder of that name in it.
        pub(crate) fn folder(&self, name: &OsStr) -> Result<Self, Refused> {
            Ok(Self(self.open_in(name, FOLDER)?))
        }

        /// Opens the file of that name in it, of whatever kind.
        pub(crate) fn file(&self, name: &OsStr) -> Result<File, Refused> {
            Ok(self.open_in(name, FILE)?.into())
        }

        fn open_in(&self, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Refused> {
            openat(&self.0, name, flags | OFlags::NOFOLLOW, Mode::empty()).map_err(|error| {
                // Systems do not agree on what they say of a link. This is for the message alone: nothing was opened.
                let kind =
                    statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).map(|it| FileType::from_raw_mode(it.st_mode));
                if kind == Ok(FileType::Symlink) { Refused::Link } else { Refused::Io(error.into()) }
            })
        }
    }
}

#[cfg(not(unix))]
mod other {
    use std::{
        ffi::OsStr,
        fs::{self, File},
        io,
        path::{Path, PathBuf},
    };

    use super::Refused;

    /// The path of a folder without links.
    #[derive(Debug)]
    pub(crate) struct Folder(PathBuf);

    impl Folder {
        /// Finds the folder that the user named, by links or not.
        pub(crate) fn open(path: &Path) -> io::Result<Self> {
            path.canonicalize().map(Self)
        }

        /// Finds the folder of that name in it.
        pub(crate) fn folder(&self, name: &OsStr) -> Result<Self, Refused> {
            self.without_links(name).map(Self)
        }

        /// Opens the file of that name in it, and looks then where it is.
        pub(crate) fn file(&self, name: &OsStr) -> Result<File, Refused> {
            let path = self.0.join(name);
            // What is no file may do anything when it is opened.
            if !fs::metadata(&path).map_err(Refused::Io)?.is_file() {
                return Err(Refused::Io(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
            }
            let file = File::open(&path).map_err(Refused::Io)?;
            self.without_links(name)?;
            Ok(file)
        }

        fn without_links(&self, name: &OsStr) -> Result<PathBuf, Refused> {
            let path = self.0.join(name);
            let found = path.canonicalize().map_err(Refused::Io)?;
            if found == path { Ok(path) } else { Err(Refused::Link) }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::{ffi::OsStr, fs, io::Read, os::unix::fs::symlink};

    use super::*;

    fn text(folder: &Folder, name: &str) -> String {
        let mut res = String::new();
        folder.file(OsStr::new(name)).unwrap().read_to_string(&mut res).unwrap();
        res
    }

    #[test]
    fn what_is_put_into_the_place_of_an_open_folder_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for (name, content) in [("model/data", "of the model"), ("outside", "secret")] {
            fs::create_dir_all(at(name)).unwrap();
            fs::write(at(name).join("w"), content).unwrap();
        }
        let model = Folder::open(&at("model")).unwrap();
        let data = model.folder(OsStr::new("data")).unwrap();
        fs::rename(at("model/data"), at("model/moved")).unwrap();
        symlink(at("outside"), at("model/data")).unwrap();
        assert_eq!(text(&data, "w"), "of the model");
        assert!(matches!(model.folder(OsStr::new("data")).unwrap_err(), Refused::Link));
        // The folder of the model itself, too.
        fs::rename(at("model"), at("old")).unwrap();
        symlink(at("outside"), at("model")).unwrap();
        assert_eq!(text(&model.folder(OsStr::new("moved")).unwrap(), "w"), "of the model");
    }

    #[test]
    fn what_is_put_into_the_place_of_an_open_file_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let [file, secret] = ["w", "secret"].map(|it| root.path().join(it));
        fs::write(&file, "of the model").unwrap();
        fs::write(&secret, "secret").unwrap();
        let folder = Folder::open(root.path()).unwrap();
        let mut opened = folder.file(OsStr::new("w")).unwrap();
        fs::remove_file(&file).unwrap();
        symlink(&secret, &file).unwrap();
        let mut read = String::new();
        opened.read_to_string(&mut read).unwrap();
        assert_eq!(read, "of the model");
        assert!(matches!(folder.file(OsStr::new("w")).unwrap_err(), Refused::Link));
    }
}
