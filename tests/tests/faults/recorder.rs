//! A disk that remembers in which order it was written to (BLK): a file that FUSE shows and a loop device lies on.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyWrite, Request, WriteFlags,
};

/// The name of the file.
const NAME: &str = "disk";
const DISK: INodeNo = INodeNo(2);
/// How long the kernel may trust what it was told; nothing changes.
const TTL: Duration = Duration::from_secs(3600);

/// What a disk was asked to do.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) request: Asked,
    /// How many bytes the worker had said before.
    pub(crate) n_said: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Write {
        at: usize,
        bytes: Vec<u8>,
    },
    /// Whatever was written before is durable.
    Flush,
}

/// A disk at work, gone when dropped.
pub(crate) struct Recorder {
    disk: Arc<Mutex<Disk>>,
    folder: PathBuf,
    _session: BackgroundSession,
}

#[derive(Debug)]
struct Disk {
    content: Vec<u8>,
    records: Vec<Record>,
    /// Where the worker says what it did.
    said: PathBuf,
}

impl Recorder {
    /// Shows a disk with this content in a folder.
    ///
    /// # Errors
    /// Why the system does not allow it.
    pub(crate) fn new(content: Vec<u8>, said: &Path, folder: PathBuf) -> Result<Self, String> {
        fs::create_dir_all(&folder).unwrap();
        let disk = Arc::new(Mutex::new(Disk { content, records: Vec::new(), said: said.to_owned() }));
        let session = fuser::spawn_mount(Shown(Arc::clone(&disk)), &folder, &Config::default());
        let _session = session.map_err(|e| format!("FUSE cannot be mounted: {e}"))?;
        Ok(Self { disk, folder, _session })
    }

    /// Returns the file to put a loop device on.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    /// Returns what it was asked to do so far, in order.
    pub(crate) fn records(&self) -> Vec<Record> {
        locked(&self.disk).records.clone()
    }
}

fn locked(disk: &Mutex<Disk>) -> std::sync::MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    fn remember(&mut self, request: Asked) {
        let n_said = fs::metadata(&self.said).map_or(0, |it| it.len());
        self.records.push(Record { request, n_said });
    }
}

/// The file system with the disk as its only file.
struct Shown(Arc<Mutex<Disk>>);

impl Shown {
    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0o700, 0),
            DISK => (FileType::RegularFile, 0o600, locked(&self.0).content.len() as u64),
            _ => return None,
        };
        Some(FileAttr {
            ino: inode,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Filesystem for Shown {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attributes(DISK) {
            Some(it) if parent == INodeNo::ROOT && name == NAME => reply.entry(&TTL, &it, Generation(0)),
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Some(it) => reply.attr(&TTL, &it),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let disk = locked(&self.0);
        let start = (offset as usize).min(disk.content.len());
        let end = start.saturating_add(size as usize).min(disk.content.len());
        reply.data(&disk.content[start..end]);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut disk = locked(&self.0);
        let at = offset as usize;
        let Some(place) = disk.content.get_mut(at..).and_then(|it| it.get_mut(..data.len())) else {
            return reply.error(Errno::ENOSPC);
        };
        place.copy_from_slice(data);
        disk.remember(Asked::Write { at, bytes: data.to_owned() });
        reply.written(data.len() as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // It is what closing the file asks for, and no flush of the disk.
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        locked(&self.0).remember(Asked::Flush);
        reply.ok();
    }
}
