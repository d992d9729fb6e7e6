//! What does each verb do? It opens the places that were named, has the libraries work, and prints what came of it.

mod analyze;
mod blob;
mod cat;
mod change;
mod changed;
mod copy;
mod diff;
mod edit;
mod explore;
mod export;
mod extract;
mod files;
mod index;
mod inspect;
mod layout;
mod list;
mod login;
mod look;
mod make;
mod manual;
mod passed_over;
mod previewed;
mod raw;
mod rebase;
mod rehearsal;
mod repack;
mod serve;
mod squash;
mod stat;
mod sync;
mod unpack;
mod verify;

use std::{process::ExitCode, sync::Arc};

use teu_spec::Reference;

use crate::{
    arguments::{Blob, Manifest, Raw, Verb},
    failure::Failure,
    settings::Settings,
    threads::Begins,
};

pub(crate) use serve::config;

/// Where it begins: on the first thread if it asks a question or two, or may find that there is nothing to do. It writes nothing of an image there before it
/// has asked for threads.
pub(crate) fn begins(verb: &Verb) -> Begins {
    match verb {
        // An archive is begun before anything is asked.
        Verb::Copy(copy) => match Reference::parse(&copy.destination) {
            Ok(Reference::Registry(_) | Reference::Layout { .. }) => Begins::First,
            _ => Begins::Several,
        },
        Verb::Sync(arguments) => sync::begins(arguments),
        Verb::Inspect(_) | Verb::Config(_) | Verb::History(_) | Verb::Stat(_) | Verb::Tree(_) | Verb::Referrers(_) => {
            Begins::First
        }
        Verb::Digest(_) | Verb::ManifestDigest(_) | Verb::Manifest(Manifest::Get(_)) | Verb::Blob(Blob::Head(_)) => {
            Begins::First
        }
        Verb::ListTags(_) | Verb::Ls(_) | Verb::Catalog(_) => Begins::First,
        Verb::Completion(_) => Begins::First,
        _ => Begins::Several,
    }
}

/// Does it.
pub(crate) async fn run(verb: Verb, settings: Arc<Settings>) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Copy(arguments) => copy::run(*arguments, settings).await,
        Verb::Sync(arguments) => sync::run(&arguments, settings).await,
        Verb::Inspect(arguments) => inspect::run(&arguments, settings).await,
        Verb::ListTags(arguments) => list::tags(&arguments, settings).await,
        Verb::Ls(arguments) => list::images(&arguments, settings).await,
        Verb::Catalog(arguments) => list::catalog(&arguments, settings).await,
        Verb::Referrers(arguments) => list::referrers(&arguments, settings).await,
        Verb::Digest(arguments) => look::digest(&arguments, settings).await,
        Verb::ManifestDigest(arguments) => look::manifest_digest(&arguments, &settings),
        Verb::Manifest(Manifest::Get(arguments)) => look::manifest(&arguments, settings).await,
        Verb::Config(arguments) => look::config(&arguments, settings).await,
        Verb::History(arguments) => stat::history(&arguments, settings).await,
        Verb::Stat(arguments) => stat::stat(&arguments, settings).await,
        Verb::Tree(arguments) => look::tree(&arguments, settings).await,
        Verb::New(arguments) => make::new(&arguments, settings).await,
        Verb::Append(arguments) => make::append(&arguments, settings).await,
        Verb::Insert(arguments) => make::insert(&arguments, settings).await,
        Verb::Edit(arguments) => edit::run(&arguments, settings).await,
        Verb::Squash(arguments) => squash::run(&arguments, settings).await,
        Verb::Rebase(arguments) => rebase::run(&arguments, settings).await,
        Verb::Index(arguments) => index::run(*arguments, settings).await,
        Verb::Cat(arguments) => cat::run(&arguments, settings).await,
        Verb::Extract(arguments) => extract::run(&arguments, settings).await,
        Verb::Files(arguments) => files::run(&arguments, settings).await,
        Verb::Analyze(arguments) => analyze::run(&arguments, settings).await,
        Verb::Diff(arguments) => diff::run(&arguments, settings).await,
        Verb::Explore(arguments) => explore::run(&arguments, settings).await,
        Verb::Verify(arguments) => verify::run(&arguments, settings).await,
        Verb::Unpack(arguments) => unpack::run(&arguments, settings).await,
        Verb::Export(arguments) => export::run(&arguments, settings).await,
        Verb::Raw(Raw::RuntimeConfig(arguments)) => raw::runtime_config(&arguments, settings).await,
        Verb::Raw(Raw::Unpack(arguments)) => unpack::run(&raw::files_alone(*arguments), settings).await,
        Verb::Raw(Raw::AddLayer(arguments)) => make::append(&arguments, settings).await,
        Verb::Repack(arguments) => repack::run(&arguments, settings).await,
        Verb::Delete(arguments) => change::delete(&arguments.image, &arguments.one, settings).await,
        Verb::Login(arguments) => login::login(&arguments, settings).await,
        Verb::Logout(arguments) => login::logout(&arguments, settings).await,
        Verb::Manifest(Manifest::Rm(arguments)) => change::delete(&arguments.image, &arguments.one, settings).await,
        Verb::Manifest(Manifest::Put(arguments)) => change::put(&arguments, settings).await,
        Verb::Tag(arguments) => change::tag(&arguments, settings).await,
        Verb::Untag(arguments) => change::untag(&arguments, settings).await,
        Verb::Blob(Blob::Get(arguments)) => blob::get(&arguments, settings).await,
        Verb::Blob(Blob::Put(arguments)) => blob::put(&arguments, settings).await,
        Verb::Blob(Blob::Head(arguments)) => blob::head(&arguments, settings).await,
        Verb::Blob(Blob::Mount(arguments)) => blob::mount(&arguments, settings).await,
        Verb::Blob(Blob::Rm(arguments)) => blob::remove(&arguments, settings).await,
        Verb::Serve(arguments) => serve::run(&arguments, settings).await,
        Verb::Init(arguments) => layout::init(&arguments, &settings),
        Verb::Gc(arguments) => layout::gc(&arguments, &settings).await,
        Verb::Completion(arguments) => manual::completion(&arguments),
        Verb::Man(arguments) => manual::pages(&arguments),
    }
    .map(|()| ExitCode::SUCCESS)
}
