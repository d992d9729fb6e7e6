//! `teu serve fsck`: what is wrong with what is kept, as a person and as a program reads it.

use std::path::Path;

use serde_json::{Value, json};
use teu_depot::{Checked, Depot, Finding, Needed, Needing, Settings as Keeping, Spare};
use teu_spec::Digest;
use teu_store::Error;

use super::tend;
use crate::{arguments::Fsck, failure::Failure, output, settings::Settings};

/// Something is wrong, and was not mended.
pub(super) const WRONG: u8 = 10;

pub(super) async fn run(arguments: &Fsck, settings: &Settings) -> Result<(), Failure> {
    let directory = tend::directory(arguments.data.directory.as_ref(), settings)?;
    let mut findings = Vec::new();
    let spare = arguments.from.as_deref().map(Spare::open).transpose()?;
    let tell = |finding| findings.push(finding);
    let checked = match opened(&directory, arguments.repair).await {
        Ok(depot) => match spare {
            Some(spare) => depot.repair_from(spare, tell).await?,
            None => depot.check(arguments.repair, tell).await?,
        },
        Err(error) if teu_depot::is_damage(&error) => {
            let message = error.to_string();
            findings.push(Finding::Metadata { message });
            Checked::default()
        }
        Err(error) => return Err(error.into()),
    };
    let is_wrong = findings.iter().any(|finding| !is_mended(finding, arguments));
    if settings.json {
        let told = findings.iter().map(|finding| in_json(finding, arguments));
        output::json(&json!({
            "blobs": checked.blobs,
            "bytes": checked.bytes,
            "manifests": checked.manifests,
            "findings": told.collect::<Vec<_>>(),
            "repair": arguments.repair,
        }))?;
    } else {
        for finding in &findings {
            output::line(&in_words(finding, arguments.repair))?;
        }
        output::line(&format!(
            "checked {}, {}, and {}: {}",
            tend::count(checked.blobs, "blob"),
            output::size(checked.bytes),
            tend::count(checked.manifests, "manifest"),
            match findings.len() {
                0 => "all is as it should be".to_owned(),
                found => tend::count(found as u64, "finding"),
            }
        ))?;
    }
    match is_wrong {
        true => Err(Failure::Found { code: WRONG }),
        false => Ok(()),
    }
}

/// The depot to check: beside a server too, and where it is to be mended alone, unless its database is damaged, which nothing mends.
async fn opened(directory: &Path, repair: bool) -> Result<Depot, Error> {
    let depot = Depot::beside(directory, Keeping::default()).await?;
    match repair && depot.look_over().await?.is_empty() {
        true => tend::alone(directory, Keeping::default(), "without --repair it looks on").await,
        false => Ok(depot),
    }
}

/// What is lost is not mended before it is pushed again; but who pushes is asked for it, and that is all that can be done here, unless it was to be taken back. What no image
/// needs is not.
fn is_mended(finding: &Finding, arguments: &Fsck) -> bool {
    match finding {
        Finding::Lost { needed, .. } => arguments.repair && (arguments.from.is_none() || needed.first.is_empty()),
        Finding::TakenBack { .. } | Finding::Restorable { .. } => arguments.repair,
        _ => false,
    }
}

fn in_json(finding: &Finding, arguments: &Fsck) -> Value {
    let mut value = match finding {
        Finding::Lost {
            digest,
            found,
            unreadable,
            repositories,
            ..
        } => {
            json!({"kind": "lost", "digest": digest, "found": found, "unreadable": unreadable, "repositories": repositories})
        }
        Finding::TakenBack {
            digest, repositories, ..
        } => json!({"kind": "taken-back", "digest": digest, "repositories": repositories}),
        Finding::Hidden { digest, .. } => json!({"kind": "hidden", "digest": digest}),
        Finding::Restorable {
            digest, repositories, ..
        } => json!({"kind": "restorable", "digest": digest, "repositories": repositories}),
        Finding::Manifest { repository, digest, .. } => {
            json!({"kind": "manifest", "digest": digest, "repositories": [repository]})
        }
        Finding::Incomplete {
            repository,
            digest,
            missing,
            ..
        } => json!({"kind": "incomplete", "digest": digest, "repositories": [repository], "missing": missing}),
        Finding::Metadata { message } => json!({"kind": "metadata", "message": message}),
        _ => json!({"kind": "other"}),
    };
    if let Some(needed) = needed(finding) {
        let image = |image: &Needing| json!({"repository": image.repository, "digest": image.digest, "tag": image.tag});
        value["needed"] = needed.first.iter().map(image).collect();
        value["neededMore"] = needed.more.into();
    }
    value["mended"] = is_mended(finding, arguments).into();
    value
}

/// The images that need what a finding is about.
fn needed(finding: &Finding) -> Option<&Needed> {
    match finding {
        Finding::Lost { needed, .. }
        | Finding::TakenBack { needed, .. }
        | Finding::Hidden { needed, .. }
        | Finding::Restorable { needed, .. }
        | Finding::Manifest { needed, .. }
        | Finding::Incomplete { needed, .. } => Some(needed),
        _ => None,
    }
}

/// Who needs it, by tags where there are some.
fn needed_words(needed: &Needed) -> String {
    let name = |image: &Needing| match &image.tag {
        Some(tag) => format!("{}:{tag}", image.repository),
        None => format!("{}@{}", image.repository, image.digest),
    };
    let names: Vec<String> = needed.first.iter().map(name).collect();
    match (names.len(), needed.more) {
        (0, _) => "no image needs it".to_owned(),
        (_, 0) => format!("needed by {}", names.join(", ")),
        (_, more) => format!("needed by {}, and {more} more", names.join(", ")),
    }
}

fn in_words(finding: &Finding, repair: bool) -> String {
    match finding {
        Finding::Lost {
            digest,
            found,
            unreadable,
            repositories,
            needed,
        } => {
            let what = match (found, unreadable) {
                (Some(found), _) => format!("what is there is {found}"),
                (None, Some(why)) => format!("it cannot be read ({why})"),
                (None, None) => "its bytes are not there, or not all of them".to_owned(),
            };
            let what = format!("blob {digest}: {what}; {}", needed_words(needed));
            match repair {
                true => format!(
                    "{what}; set aside, and to be pushed again to {}",
                    repositories.join(", ")
                ),
                false => format!("{what}; --repair sets it aside, so that the next push heals it"),
            }
        }
        Finding::TakenBack {
            digest,
            repositories,
            needed,
        } => format!(
            "blob {digest}: taken back; {}; shown again by {}",
            needed_words(needed),
            repositories.join(", ")
        ),
        Finding::Hidden { digest, needed } => format!(
            "blob {digest}: lost before, and what needs it is hidden; {}; push that again, or take it back from a copy that has it: --repair --from COPY",
            needed_words(needed)
        ),
        Finding::Restorable {
            digest,
            repositories,
            needed,
        } => {
            let needed = needed_words(needed);
            match repair {
                true => format!(
                    "blob {digest}: found among the files; {needed}; shown again by {}",
                    repositories.join(", ")
                ),
                false => format!(
                    "blob {digest}: a manifest misses it, and it is among the files; {needed}; --repair shows it again"
                ),
            }
        }
        Finding::Manifest {
            repository,
            digest,
            needed,
        } => {
            format!(
                "manifest {digest} of {repository}: its bytes are others; {}; push it again",
                needed_words(needed)
            )
        }
        Finding::Incomplete {
            repository,
            digest,
            missing,
            needed,
        } => {
            let missing: Vec<String> = missing.iter().map(Digest::to_string).collect();
            format!(
                "manifest {digest} of {repository} names what is not there: {}; {}; push it, unless that is meant",
                missing.join(", "),
                needed_words(needed)
            )
        }
        Finding::Metadata { message } => format!("the database is damaged: {message}; restore it from a backup"),
        other => format!("{other:?}"),
    }
}
