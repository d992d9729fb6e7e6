//! Whose copy is it? Asked before a copy is written over, for what its depot has not goes from it.
//!
//! An identity alone does not say it. Two directories have the same one where a disk was cloned or put back to what it was, so the rows are
//! compared too: no number of a manifest is given twice, and what came later has a higher one. A copy that says another one, or of which it is not known what it
//! is, as it is from before that was said, is written over where nothing of it can be lost.

use std::path::Path;

use rusqlite::Connection;
use teu_store::{Error, ErrorKind, Result};

use crate::{
    depot::METADATA,
    metadata::{Access, STEPS, connect, failed, is_damage, name_of},
};

/// What a database says of itself from now on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    /// It is a copy of the depot that it was copied of.
    Copy,
    /// It is a depot of its own, which goes on with the copies of the one that it was.
    Own,
}

impl Whose {
    /// Says so in a transaction of the caller's.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) fn say(self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute_batch(match self {
            Self::Copy => "UPDATE identity SET is_copy = 1",
            Self::Own => {
                "INSERT INTO origins SELECT depot FROM identity;
                UPDATE identity SET depot = randomblob(16), is_copy = 0"
            }
        })
    }
}

/// What a database that somebody pushes to says of itself from then on: one of a copy has what its depot has not.
///
/// # Errors
/// Those of the database.
pub(crate) fn pushed_to(connection: &Connection) -> rusqlite::Result<()> {
    let mut is_own = connection.prepare_cached("SELECT is_copy = 0 FROM identity")?;
    match is_own.query_row([], |row| row.get(0))? {
        true => Ok(()),
        false => Whose::Own.say(connection),
    }
}

/// From which step on a database says whose it is.
const SAID: usize = 2;

/// Asks whether what is in `to`, a depot, is a copy of what is in `from`, as it was before.
///
/// # Errors
/// `Conflict` where it is not, or has what came elsewhere or later; `Unsupported` where a newer version wrote it.
pub(crate) fn check(from: &Path, to: &Path) -> Result<()> {
    let refused = |why: &str| {
        let message = format!(
            "{} {why}, which would be lost; nothing was changed: give another directory, or move that one away",
            to.display()
        );
        Err(Error::new(ErrorKind::Conflict, message))
    };
    let copy = to.join(METADATA);
    let found = compare(&from.join(METADATA), &copy).map_err(|error| match is_damage(&error) && is_damaged(&copy) {
        true => {
            let message = format!(
                "the database of {} is damaged, so that nobody can tell whose copy it is; nothing was changed: give another directory, or move that one away",
                to.display()
            );
            Error::new(ErrorKind::Conflict, message)
        }
        false => error.within(format!("looking whose copy {} is", to.display())),
    })?;
    match found {
        Compared { is_copy: false, .. } => refused("is a registry of its own, and no copy of one"),
        Compared { is_later: true, .. } => {
            let from = from.display();
            refused(&format!("has what came after all that is in {from}, or came elsewhere"))
        }
        Compared {
            is_same: false, others, ..
        } if others > 0 => refused(&format!(
            "is a copy of another registry, or one of which that is not known, and has {others} manifests that {} has not",
            from.display()
        )),
        _ => Ok(()),
    }
}

/// Whether a database is damaged, or can be opened no more.
fn is_damaged(path: &Path) -> bool {
    let check = |connection: Connection| {
        let check = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        check.map_err(failed)
    };
    let found = Access::beside(path)
        .and_then(|access| connect(path, access))
        .and_then(check);
    found.map_or(true, |found| found != "ok")
}

struct Compared {
    /// It is a copy, or from before they said so.
    is_copy: bool,
    /// It says that it is one of this depot, or of one that this was before.
    is_same: bool,
    /// It has rows that this depot cannot have had.
    is_later: bool,
    /// How many manifests it has that this depot has not.
    others: i64,
}

fn compare(depot: &Path, copy: &Path) -> Result<Compared> {
    let name = name_of(copy)?;
    let connection = connect(depot, Access::beside(depot)?)?;
    connection.execute("ATTACH ?1 AS copy", [name]).map_err(failed)?;
    let number = |query: &str| {
        connection
            .query_row(query, [], |row| row.get::<_, i64>(0))
            .map_err(failed)
    };
    let step = usize::try_from(number("PRAGMA copy.user_version")?).unwrap_or(usize::MAX);
    if step > STEPS.len() {
        let message = format!("{} is of a newer version, which a newer teu reads", copy.display());
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let (is_copy, is_same) = match step {
        SAID.. => {
            let query = "SELECT c.is_copy <> 0, c.depot = d.depot OR EXISTS (SELECT 1 FROM main.origins o WHERE o.depot = c.depot)
                FROM copy.identity c, main.identity d";
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            connection.query_row(query, [], read).map_err(failed)?
        }
        _ => (true, false),
    };
    let last = |name: &str| {
        number(&format!(
            "SELECT COALESCE(MAX(seq), 0) FROM {name}.sqlite_sequence WHERE name = 'manifests'"
        ))
    };
    let query = "SELECT COUNT(*) FILTER (WHERE d.id IS NULL),
            COUNT(*) FILTER (WHERE d.id IS NOT NULL AND (d.digest <> c.digest OR r.name <> o.name))
        FROM copy.manifests c JOIN copy.repositories o ON o.id = c.repository
        LEFT JOIN main.manifests d ON d.id = c.id LEFT JOIN main.repositories r ON r.id = d.repository";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let (others, unlike): (i64, i64) = connection.query_row(query, [], read).map_err(failed)?;
    Ok(Compared {
        is_copy,
        is_same,
        is_later: last("copy")? > last("main")? || unlike > 0,
        others,
    })
}
