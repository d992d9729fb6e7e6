//! The accounts of an image that nobody vouches for: whoever is found in them can be who runs a process.

use teu_image::runtime::Accounts;

pub(crate) fn run(bytes: &[u8]) {
    // Who is looked for stands in the first line, or in each that the file has.
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let wanted = lines
        .next()
        .and_then(|line| str::from_utf8(line).ok())
        .unwrap_or_default();
    let accounts = Accounts {
        passwd: bytes.to_vec(),
        group: bytes.to_vec(),
    };
    for wanted in [wanted, "", "0", "root", "0:0", "app:app"] {
        let Ok(user) = accounts.resolve(wanted) else { continue };
        // The kernel takes the last number for "as it is".
        assert!(user.uid != u32::MAX && user.gid != u32::MAX, "{wanted:?}: {user:?}");
        let mut others = user.additional_gids.clone();
        others.sort_unstable();
        others.dedup();
        assert_eq!(others.len(), user.additional_gids.len(), "a group stands twice");
        assert!(!others.contains(&u32::MAX) && !others.contains(&user.gid));
        assert!(user.home.is_none_or(|home| !home.contains('\0')));
    }
}
