//! Lets an enemy's tree through the door: what it makes stays inside, and what no honest tree asks for is refused.
//!
//! `cargo run -p teu-rootfs --example door`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::{error::Error, fs};

use teu_rootfs::{Metadata, Options, Owners, Sibling, Writer, confined};

fn main() -> Result<(), Box<dyn Error>> {
    let place = tempfile::tempdir()?;
    fs::write(place.path().join("secret"), "as it was")?;
    let destination = place.path().join("tree");

    // A temporary directory beside the destination, which gets its name when all is whole.
    let sibling = Sibling::new(&destination)?;
    let top = sibling.root();
    let made = confined(&[top], |confinement| {
        println!("the thread that unpacks is confined: {confinement:?}");
        let options = Options {
            owners: Owners::Forgotten,
            ..Options::default()
        };
        let mut writer = Writer::new(top, options)?;
        let ordinary = Metadata {
            mode: 0o755,
            ..Metadata::default()
        };
        // A link that leads out of the tree is ordinary content; what is put through it comes to lie inside.
        writer.symlink(b"out", &ordinary, b"..")?;
        let mut file = writer.file(b"out/secret", &ordinary, 4)?;
        file.write_at(0, b"evil")?;
        file.finish()?;
        if let Err(error) = writer.symlink(b"/", &ordinary, b"..") {
            println!("{error}");
        }
        writer.finish()
    })?;
    println!("{} entries were asked for", made?.entries);
    sibling.commit()?;

    assert_eq!(fs::read_to_string(place.path().join("secret"))?, "as it was");
    assert_eq!(fs::read_to_string(destination.join("secret"))?, "evil");
    println!("what lies beside the tree is as it was");
    Ok(())
}
