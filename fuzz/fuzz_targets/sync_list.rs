//! Lists of images in YAML, for `teu sync`: whatever they say is read or refused, and what matches is asked of names.
#![no_main]
#![allow(dead_code, reason = "the program's own files, of which a part is asked")]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/cli/src/verbs/sync/constraint.rs"]
mod constraint;
#[path = "../../crates/cli/src/verbs/sync/list_file.rs"]
mod list_file;
#[path = "../../crates/cli/src/yaml.rs"]
mod yaml;

fuzz_target!(|text: &str| {
    let Ok((wanted, _)) = list_file::read(text) else { return };
    for (repository, which) in wanted.iter().flat_map(|wanted| &wanted.repositories) {
        assert!(!repository.to_string().is_empty());
        for tag in ["latest", "1.2.3", "v2", "3.12.0-rc.1", "0.0.1", "99999999999999999999"] {
            which.takes(tag);
        }
    }
});
