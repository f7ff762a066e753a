//! The database's files belong to this process's user alone: they hold sessions, and keys in
//! plaintext unless they are encrypted.

use std::path::Path;

/// Creates a file that only its owner can read, if there is none. Whatever fails here fails again,
/// with an error, when the database is opened.
pub(crate) fn create(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = std::fs::OpenOptions::new();
        let _ = options.write(true).create_new(true).mode(OWNER_ONLY).open(path);
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Takes the permissions of everybody else from a new database's files.
pub(crate) fn restrict(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for end in ["", "-wal", "-shm"] {
            let mut file = path.as_os_str().to_owned();
            file.push(end);
            // The two beside it need not be there.
            let _ = std::fs::set_permissions(file, std::fs::Permissions::from_mode(OWNER_ONLY));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

#[cfg(unix)]
const OWNER_ONLY: u32 = 0o600;
