//! What does `teu unpack` take?

use std::path::PathBuf;

use clap::Args;
use teu_image::unpack::{Range, Ranges};

use super::{LimitOptions, One};

/// Unpack an image into a bundle, or its files alone
#[derive(Debug, Args)]
#[command(after_help = "\
What comes of it is a directory with the image's files in rootfs, with config.json for a runtime,
and with a record of how each file was unpacked. It appears when it is whole: where an image is not
what its digests say, or asks for what no honest image asks for, nothing is there.

Of extended attributes user.*, capabilities and access ACLs are set, and none that this machine's
kernel would obey otherwise (security.*, trusted.*, default ACLs). The record has those that were
not set, but for overlayfs's own, and teu repack writes them again where a file's content is what it
was. A directory that the image puts files into and does not describe belongs to root, with mode 0755
and the time 0: the same image makes the same files. What a killed unpack left beside DESTINATION the
next one removes.

Who is not root says --rootless: all files are the user's own then, and their owners are written
down in an attribute, as umoci does it.

With --uid-map and --gid-map the files belong to whom the maps say. The new directory has the mode 0700
and stays yours, as set-id files may be in it: for root of a container that is mapped to be let in,
chown it to whom root is mapped to, and see that the directories above let that user pass.

Examples:
  teu unpack oci:alpine:3.19 alpine
  teu unpack --rootfs-only docker://docker.io/library/debian:12 /srv/debian
  teu unpack --rootless oci:alpine:3.19 alpine && crun run --bundle alpine shell
  teu unpack --limit entries=20000000 oci:huge:1 huge")]
pub(crate) struct Unpack {
    /// Which image
    pub(crate) image: String,
    /// The new directory, beside which something can be made; an empty one that is there gives way to it
    pub(crate) destination: PathBuf,
    /// Of an index, the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// Unpack the files alone, straight into the new directory
    #[arg(long)]
    pub(crate) rootfs_only: bool,
    /// Unpack for a user who is not root
    #[arg(long)]
    pub(crate) rootless: bool,
    /// Give what users own in the image, from CONTAINER on, to those from HOST on; may be given several times
    #[arg(long, value_name = "CONTAINER:HOST[:SIZE]", value_parser = map)]
    pub(crate) uid_map: Vec<Range>,
    /// The same for groups
    #[arg(long, value_name = "CONTAINER:HOST[:SIZE]", value_parser = map)]
    pub(crate) gid_map: Vec<Range>,
    /// Make devices too, which only root can
    #[arg(long)]
    pub(crate) devices: bool,
    /// Leave a link where a directory is to be and the link leads to one; that one gets the mode, owner and time that the image has for the directory
    #[arg(long)]
    pub(crate) keep_dirlinks: bool,
    /// Have config.json ask for a terminal
    #[arg(long, conflicts_with = "rootfs_only")]
    pub(crate) terminal: bool,
    /// Write all to the disk before the directory appears
    #[arg(long)]
    pub(crate) sync: bool,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) one: One,
}

/// `CONTAINER:HOST[:SIZE]`.
pub(super) fn map(text: &str) -> Result<Range, String> {
    let numbers: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
    let (inside, outside, count) = match numbers.as_deref() {
        Ok([inside, outside]) => (*inside, *outside, 1),
        Ok([inside, outside, count]) => (*inside, *outside, *count),
        _ => return Err("a map is CONTAINER:HOST or CONTAINER:HOST:SIZE, three numbers".to_owned()),
    };
    let range = Range { inside, outside, count };
    // Whether it can be one is seen while it is known which flag it is of.
    let alone = Ranges::new(vec![range]);
    alone.map(|_| range).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_two_numbers_or_three() {
        let range = |inside, outside, count| Range { inside, outside, count };
        assert_eq!(map("0:1000"), Ok(range(0, 1000, 1)));
        assert_eq!(map("1:100000:65536"), Ok(range(1, 100_000, 65_536)));
        assert_eq!(map("0:0:4294967295"), Ok(range(0, 0, u32::MAX)));
        for text in [
            "",
            "0",
            "0:",
            "0:1:0",
            "0:1:2:3",
            "-1:0:1",
            "1:0:4294967295",
            "4294967295:0",
            "0:4294967295",
        ] {
            assert!(map(text).is_err(), "{text}");
        }
    }
}
