//! What does `teu diff` take?

use clap::Args;

use super::{LimitOptions, One};

/// Tell how two images differ
#[derive(Debug, Args)]
#[command(after_help = "\
It compares what manifest and configuration say, the layers, and the files that a container sees: which were
added, removed or changed in type, content, mode, owner, extended attributes, or in where a link leads. As with
diff(1) the exit code is 0 where nothing differs, 1 where something does, and 2 for trouble.

Two builds of the same sources differ in all their times, and mostly in nothing else: times count only with
--times. A layer that is compressed otherwise and has the same in it is shown with =.

A path or pattern means what it leads to and all that is in it, as in teu files; one that means nothing in
either image is an error. With patterns, or with any of --config, --layers and --files, only what these name
is compared; neither --config nor --layers reads a layer, unless --content has the files compared too. Layers are read once and their tables of contents
kept: two images that were seen before are compared without their layers.

With --content, text files that differ, and those that only one image has, are shown as by diff -uN, the latter
beside /dev/null: those up to 1 MiB each. Of all that differ, and again of all that one image alone has, 64 MiB
and 50,000 files are shown, the first by path (--limit text_file_bytes, text_bytes, text_files). Control characters
are escaped.

Two indexes that are not the same one are compared platform by platform, with what they say of themselves and of
their members, unless --platform says which image is meant; in which order they list them does not count. What is no
image, such as what BuildKit attests, is compared by its digest. Of one index and one image, the image for this
machine's platform is compared.

A user, password or token goes to one registry: where the images are in two, use teu login, or --authfile.

Examples:
  teu diff oci:images:app-1 oci:images:app-2
  teu diff --content oci:images:app docker://registry.example/app:1 /etc '**/*.conf'
  teu diff --platform linux/amd64 --platform linux/arm64 oci:images:app oci:images:app
  teu diff --config --layers docker://debian:12.1 docker://debian:12.2
  teu diff --files -o json oci:images:app-1 oci:images:app-2")]
pub(crate) struct Diff {
    /// The first image
    #[arg(value_name = "A")]
    pub(crate) before: String,
    /// The second image
    #[arg(value_name = "B")]
    pub(crate) after: String,
    /// Only these files, and what is in them
    #[arg(value_name = "GLOB")]
    pub(crate) globs: Vec<std::ffi::OsString>,
    /// Compare manifest and configuration
    #[arg(long)]
    pub(crate) config: bool,
    /// Compare the lists of layers
    #[arg(long)]
    pub(crate) layers: bool,
    /// Compare the files
    #[arg(long)]
    pub(crate) files: bool,
    /// Show how text files differ
    #[arg(long)]
    pub(crate) content: bool,
    /// Compare times too
    #[arg(long)]
    pub(crate) times: bool,
    /// Of an index, the image for this platform alone; given twice, the first is for A and the second for B
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Vec<String>,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) one: One,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) config: bool,
    pub(crate) layers: bool,
    pub(crate) files: bool,
}

impl Diff {
    /// All, unless something was named.
    pub(crate) fn parts(&self) -> Parts {
        let files = self.files || !self.globs.is_empty();
        match self.config || self.layers || files {
            true => Parts {
                config: self.config,
                layers: self.layers,
                files: files || self.content,
            },
            false => Parts {
                config: true,
                layers: true,
                files: true,
            },
        }
    }
}
