//! Every fuzz target in one program, so that all are built and linked once: the variable `TEU_FUZZ` names the one that runs, and `list` names them all.
#![no_main]

mod archives;
mod arena;
mod decoded;
mod targets;

// Files of the program itself, each where the others look for it.
#[path = "../../crates/cli/src/arguments"]
#[allow(dead_code, unused_imports, reason = "a part of it is asked")]
mod arguments {
    pub(crate) mod access;
    mod bytes;
    pub(crate) mod serving;
    mod time;

    pub(crate) use bytes::Bytes;
    pub(crate) use time::Time;
}
#[path = "../../crates/cli/src/failure.rs"]
#[allow(dead_code, reason = "a part of it is asked")]
mod failure;
#[path = "../../crates/cli/src/say.rs"]
#[allow(dead_code, reason = "a part of it is asked")]
mod say;
#[path = "../../crates/cli/src/template/mod.rs"]
#[allow(dead_code, reason = "a part of it is asked")]
mod template;
#[path = "../../crates/cli/src/yaml.rs"]
#[allow(dead_code, reason = "a part of it is asked")]
mod yaml;

/// What is printed goes nowhere.
mod output {
    use crate::failure::Failure;

    pub(crate) fn bytes(_: &[u8]) -> Result<(), Failure> {
        Ok(())
    }
}

use std::{env, process, sync::LazyLock};

use libfuzzer_sys::{
    Corpus,
    arbitrary::{Arbitrary, Unstructured},
    fuzz_target,
};

/// Does with an input what its target does; one that the target cannot read is not kept.
type Target = fn(&[u8]) -> Corpus;

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = env::var("TEU_FUZZ").unwrap_or_default();
    if let Some((_, target)) = targets::ALL.iter().find(|(known, _)| *known == name) {
        return *target;
    }
    targets::ALL.iter().for_each(|(known, _)| println!("{known}"));
    process::exit(i32::from(name != "list"))
});

fuzz_target!(init: LazyLock::force(&CHOSEN), |bytes: &[u8]| -> Corpus { CHOSEN(bytes) });

/// Runs a target on what its input is made of these bytes, if anything is.
fn given<'a, Input: Arbitrary<'a>>(bytes: &'a [u8], target: impl FnOnce(Input)) -> Corpus {
    if bytes.len() < Input::size_hint(0).0 {
        return Corpus::Reject;
    }
    match Input::arbitrary_take_rest(Unstructured::new(bytes)) {
        Ok(input) => target(input).into(),
        Err(_) => Corpus::Reject,
    }
}
