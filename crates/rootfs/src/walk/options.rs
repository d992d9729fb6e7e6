//! How is a tree walked, and how much may it ask for?

/// How a tree is walked.
#[derive(Clone, Debug)]
pub struct Options {
    /// How much the tree may ask for.
    pub limits: Limits,
    /// Which extended attributes are read, by name.
    pub xattrs: fn(&[u8]) -> bool,
    /// Whether a directory on which another file system is mounted is given, but not what is in it.
    pub one_file_system: bool,
    /// Whether what belongs to this user and is closed to him too (mode 0000, say) is opened by changing its mode for a moment and back. Its time of
    /// change is another then. Root needs no such thing.
    pub open_own: bool,
    /// Whether it is said of a file at which path the walk gave it before. It takes memory for each file that has several names.
    pub links: bool,
}

impl Default for Options {
    /// The default limits, all extended attributes, all file systems, and what is the same file; no mode is changed.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            xattrs: |_| true,
            one_file_system: false,
            open_own: false,
            links: true,
        }
    }
}

/// How much a tree may ask for. An error that comes of a limit names its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files of all kinds. Default 10,000,000.
    pub entries: u64,
    /// Bytes of a path, from the tree's own top. Default 4095, the most that Linux takes: what is longer is refused by most who read a
    /// layer.
    pub path_bytes: usize,
    /// Bytes of memory, about: the names in the directories that are being walked, and the paths of files with several names, until all of
    /// these were seen. Default 128 MiB.
    pub memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            path_bytes: 4095,
            memory_bytes: 128 << 20,
        }
    }
}
