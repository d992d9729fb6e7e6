//! What may the thread do that unpacks an untrusted tree? Only what it is there for: Landlock takes from it, in the kernel, the right to make,
//! change or remove files anywhere but beneath the directories that it fills, to start programs, and to use TCP. It is a second wall, behind
//! the resolution that stays inside; it does not cover the mode, the owner, the attributes and the times of files, nor what was open before.
//!
//! It can never be taken back, so it is for a thread that does this work and ends. Threads that it starts are confined as it is; the others of
//! the process are not.

use std::{os::fd::AsFd, panic::resume_unwind, thread};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};

use crate::{Error, ErrorKind, Result, Root};

/// How much of the confinement this kernel gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confinement {
    /// All of it.
    Whole,
    /// Files are confined, but the kernel is too old for some of the rest (truncating files, TCP, devices).
    Partial,
    /// None: the kernel has no Landlock, or one before Linux 5.19, which would forbid hard links.
    Absent,
}

/// Runs `work` on a thread of its own, which may change files beneath these directories only, and waits for it.
///
/// Where the kernel has no Landlock `work` runs all the same, and is told so.
///
/// # Errors
/// There is no more thread, or Landlock is there and fails. `work` does not run then.
pub fn confined<T: Send>(beneath: &[&Root], work: impl FnOnce(Confinement) -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .name("unpack".to_owned())
            .spawn_scoped(scope, || confine(beneath).map(work))
            .map_err(|error| Error::new(ErrorKind::Io, "cannot start a thread to unpack on").with_cause(error))?;
        worker.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Confines the calling thread, for ever, to changes beneath these directories. See [`confined`].
///
/// # Errors
/// Landlock is there and fails.
pub fn confine(beneath: &[&Root]) -> Result<Confinement> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::new(
            ErrorKind::Io,
            format!("cannot confine the thread that unpacks: {error}"),
        )
    };
    let write = AccessFs::from_write(ABI::V6);
    let mut rules = Ruleset::default()
        // A kernel that cannot allow links between directories forbids them: then rather none of it.
        .set_compatibility(CompatLevel::SoftRequirement)
        .handle_access(AccessFs::Refer)
        .and_then(|rules| {
            rules
                .set_compatibility(CompatLevel::BestEffort)
                .handle_access(write | AccessFs::Execute)
        })
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V4)))
        .and_then(|rules| rules.scope(Scope::AbstractUnixSocket))
        .and_then(Ruleset::create)
        .map_err(|error| failed(&error))?;
    for root in beneath {
        rules = rules
            .add_rule(PathBeneath::new(root.as_fd(), write))
            .map_err(|error| failed(&error))?;
    }
    // Sets no_new_privs first, whatever Landlock the kernel has.
    let status = rules.restrict_self().map_err(|error| failed(&error))?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Confinement::Whole,
        RulesetStatus::PartiallyEnforced => Confinement::Partial,
        RulesetStatus::NotEnforced => Confinement::Absent,
    })
}
