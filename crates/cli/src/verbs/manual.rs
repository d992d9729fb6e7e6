//! `teu completion`, `teu man`: made from the same definitions as the help.

use std::fs;

use teu_store::Error;

use crate::{
    arguments::{self, Completion, Man},
    failure::Failure,
    output,
};

pub(super) fn completion(arguments: &Completion) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut arguments::command(), "teu", &mut script);
    output::bytes(&script)
}

pub(super) fn pages(arguments: &Man) -> Result<(), Failure> {
    let directory = &arguments.directory;
    let failed = |error: std::io::Error| Error::from(error).within(format!("writing to {}", directory.display()));
    fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(arguments::command(), directory).map_err(failed)?;
    Ok(())
}
