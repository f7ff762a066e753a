//! The database's file, and whether it is still the same.

use std::path::{Path, PathBuf};

/// Which file a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    path: PathBuf,
    /// The device, and the file's number on it.
    #[cfg(unix)]
    number: (u64, u64),
}

impl FileId {
    /// `None` if there is no such file, as for SQLite's own kind of URL.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        // The process may go to another folder.
        let path = path.canonicalize().ok()?;
        #[cfg(unix)]
        let number = {
            use std::os::unix::fs::MetadataExt as _;
            let metadata = path.metadata().ok()?;
            (metadata.dev(), metadata.ino())
        };
        Some(Self {
            path,
            #[cfg(unix)]
            number,
        })
    }

    /// Whether the file was removed, or there is another in its place. It asks a local file system,
    /// as SQLite needs one, so it does not block for long.
    pub(crate) fn is_gone(&self) -> bool {
        Self::of(&self.path).as_ref() != Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_gone_when_it_was_removed_or_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert_eq!(FileId::of(&path), None);
        std::fs::write(&path, "one").unwrap();
        let file = FileId::of(&path).unwrap();
        std::fs::write(&path, "two").unwrap();
        assert!(!file.is_gone());
        let moved = folder.path().join("b");
        std::fs::rename(&path, &moved).unwrap();
        assert!(file.is_gone());
        #[cfg(unix)]
        {
            std::fs::write(&path, "another").unwrap();
            assert!(file.is_gone());
        }
        std::fs::rename(&moved, &path).unwrap();
        assert!(!file.is_gone());
    }
}
