//! Files that go and have names through links, as those of Debian's `bin -> usr/bin`.

use super::{
    files::{entries, file, link, without},
    *,
};

type Fill = fn(&mut Writer<Vec<u8>>);

fn symlink(writer: &mut Writer<Vec<u8>>, path: &str, target: &str) {
    writer.append(&Header::symlink(path, target)).expect("appended");
}

fn merged(writer: &mut Writer<Vec<u8>>) {
    writer.append(&Header::directory("usr/bin/")).expect("appended");
    symlink(writer, "bin", "usr/bin");
    file(writer, "usr/bin/ls", "old", 1);
}

async fn image_of(layers: &[Fill]) -> Memory {
    let store = Memory::new();
    let layers: Vec<_> = layers.iter().map(|fill| layer(fill)).collect();
    image(&store, "", &layers).await;
    store
}

#[tokio::test]
async fn a_file_goes_by_whatever_name() {
    let cases: [(&[Fill], &[&str], &[&str]); 8] = [
        // What is asked for by way of a link.
        (&[merged], &["/bin/ls"], &["usr/bin/ @0", "bin -> usr/bin"]),
        // What a layer writes by way of one.
        (
            &[merged, |writer| file(writer, "bin/ls", "new", 1)],
            &["usr/bin/ls"],
            &["usr/bin/ @0", "bin -> usr/bin", "|"],
        ),
        (
            &[merged, |writer| file(writer, "bin/ls", "new", 1)],
            &["bin/l*"],
            &["usr/bin/ @0", "bin -> usr/bin", "|"],
        ),
        // A whiteout goes with what it hides.
        (
            &[merged, |writer| file(writer, "bin/.wh.ls", "", 1)],
            &["usr/bin/ls"],
            &["usr/bin/ @0", "bin -> usr/bin", "|"],
        ),
        // A link's text leads through one.
        (
            &[|writer| {
                merged(writer);
                link(writer, "usr/bin/dir", "bin/ls");
            }],
            &["usr/bin/ls"],
            &["usr/bin/ @0", "bin -> usr/bin", "usr/bin/dir: old @1"],
        ),
        // A link to what goes stands in a directory that is reached by one.
        (
            &[|writer| {
                file(writer, "a", "one", 1);
                symlink(writer, "d", "/elsewhere");
                link(writer, "d/b", "a");
            }],
            &["a"],
            &["elsewhere/b: one @1", "d -> /elsewhere"],
        ),
        // What clears a directory is no file in it, however it is called.
        (
            &[merged, |writer| {
                file(writer, "bin/.wh..wh..opq", "", 1);
                file(writer, "bin/.hidden", "", 1);
            }],
            &["usr/bin/.*"],
            &[
                "usr/bin/ @0",
                "bin -> usr/bin",
                "usr/bin/ls: old @1",
                "|",
                "bin/.wh..wh..opq:  @1",
            ],
        ),
        // The link alone is meant, and not what is behind it.
        (
            &[merged, |writer| file(writer, "usr/bin/x", "", 1)],
            &["bin"],
            &["usr/bin/ @0", "usr/bin/ls: old @1", "|", "usr/bin/x:  @1"],
        ),
    ];
    for (layers, patterns, expected) in cases {
        let store = image_of(layers).await;
        let done = edited(&store, &without(patterns)).await.expect("edited");
        let mut all = entries(&store, &done.descriptor, 0).await;
        for place in 1..layers.len() {
            all.push("|".to_owned());
            all.extend(entries(&store, &done.descriptor, place).await);
        }
        assert_eq!(all, expected, "{patterns:?}");
    }
}

#[tokio::test]
async fn what_would_break_or_come_to_light_is_refused() {
    let cases: [(&[Fill], &str, &str); 4] = [
        (
            &[merged, |writer| link(writer, "usr/bin/dir", "bin/ls")],
            "usr/bin/ls",
            "usr/bin/dir is a hard link to bin/ls, which goes, and whose content is in another layer; remove the link too",
        ),
        (
            &[merged, |writer| file(writer, "bin/.wh.ls", "", 1)],
            "bin",
            "\"usr/bin/ls\" of layer 0 would come to be seen, as something goes that hides it or leads elsewhere; remove it too, or squash the image first",
        ),
        (
            &[merged, |writer| file(writer, "bin/x", "", 1)],
            "bin",
            "\"bin\" would still be there, as a layer has files in it; remove these too, or squash the image first",
        ),
        (
            &[
                |writer| {
                    file(writer, "a/x", "", 1);
                    symlink(writer, "b", "a");
                },
                |writer| link(writer, "y", "b/x"),
            ],
            "b",
            "what stays needs something that goes, and could not be unpacked without it; remove that file too: \
             \"y\" of layer DIGEST: it is a hard link, and nothing is where it leads to",
        ),
    ];
    for (layers, pattern, message) in cases {
        let store = image_of(layers).await;
        let digest = layer(layers[layers.len() - 1]).0;
        let message = message.replace("DIGEST", &Digest::of(&digest).to_string());
        let before = store.resolve(&Pick::Name("app".to_owned())).await.expect("resolved");
        let error = edited(&store, &without(&[pattern])).await.expect_err("refused");
        assert_eq!(*error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().ends_with(&message), "{error}");
        let now = store.resolve(&Pick::Name("app".to_owned())).await.expect("resolved");
        assert_eq!(now.digest, before.digest);
    }
}
