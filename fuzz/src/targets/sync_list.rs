//! Lists of images in YAML, for `teu sync`: whatever they say is read or refused, and what matches is asked of names.

#[path = "../../../crates/cli/src/verbs/sync/constraint.rs"]
#[allow(dead_code, reason = "the program's own file, of which a part is asked")]
mod constraint;
#[path = "../../../crates/cli/src/verbs/sync/list_file.rs"]
#[allow(dead_code, reason = "the program's own file, of which a part is asked")]
mod list_file;

pub(crate) fn run(text: &str) {
    let Ok((wanted, _)) = list_file::read(text) else { return };
    for (repository, which) in wanted.iter().flat_map(|wanted| &wanted.repositories) {
        assert!(!repository.to_string().is_empty());
        for tag in ["latest", "1.2.3", "v2", "3.12.0-rc.1", "0.0.1", "99999999999999999999"] {
            which.takes(tag);
        }
    }
}
