//! What does no tag lead to? Asked from below: a manifest stays where something above it has a tag, or was touched a moment ago.

use rusqlite::{Connection, params};
use teu_spec::Digest;
use teu_store::{Result, Role};

use super::{
    super::{Looked, digests::Key},
    collect::take_manifest,
    put::{change, known, role},
    read::{all, one, to_i64},
};
use crate::place::Millis;

pub(super) fn list(connection: &Connection, after: Option<i64>, before: Millis, limit: usize) -> Result<Looked> {
    // What names others was put behind them.
    let query = "SELECT m.id, r.name, m.digest FROM manifests m JOIN repositories r ON r.id = m.repository
        WHERE m.id < ?1 ORDER BY m.id DESC LIMIT ?2";
    let values = params![after.unwrap_or(i64::MAX), to_i64(limit)];
    let looked: Vec<(i64, String, Key)> = all(connection, query, values, |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let last = looked.last().filter(|_| looked.len() == limit);
    let next = last.map(|(id, ..)| *id);
    let mut untagged = Vec::new();
    for (id, repository, Key(digest)) in looked {
        if goes(connection, id, before)? {
            untagged.push((repository, digest));
        }
    }
    Ok(Looked { untagged, next })
}

pub(super) fn remove(
    connection: &Connection,
    repository: &str,
    digest: &Digest,
    before: Millis,
    now: Millis,
) -> Result<bool> {
    let Some(repository) = known(connection, repository)? else {
        return Ok(false);
    };
    let query = "SELECT id FROM manifests WHERE repository = ?1 AND digest = ?2";
    let id: Option<i64> = one(connection, query, params![repository, Key(*digest)], |row| row.get(0))?;
    match id {
        Some(id) if goes(connection, id, before)? => {
            take_manifest(connection, repository, id, now)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Whether a manifest is shown, and no tag leads to it.
fn goes(connection: &Connection, id: i64, before: Millis) -> Result<bool> {
    // Most have one; and what stands behind a manifest's content is dearer to read.
    let tagged = one(
        connection,
        "SELECT 1 FROM tags WHERE manifest = ?1 LIMIT 1",
        [id],
        |_| Ok(()),
    )?;
    if tagged.is_some() {
        return Ok(false);
    }
    let query = "WITH RECURSIVE above (id) AS (
            SELECT ?1
            UNION SELECT c.manifest FROM above a JOIN manifests m ON m.id = a.id
            JOIN children c ON c.repository = m.repository AND c.role = ?3 AND c.digest = m.digest
            UNION SELECT o.id FROM above a JOIN manifests m ON m.id = a.id
            JOIN manifests o ON o.repository = m.repository AND o.digest = m.subject)
        SELECT 1 FROM above a JOIN manifests m ON m.id = a.id
        WHERE m.pushed > ?2 OR (m.id = ?1 AND m.is_lost = 1) OR EXISTS (SELECT 1 FROM tags t WHERE t.manifest = m.id) LIMIT 1";
    let stays = one(connection, query, params![id, before.0, role(Role::Manifest)], |_| {
        Ok(())
    })?;
    Ok(stays.is_none())
}

/// Whether a manifest is there, and was last touched before then.
pub(super) fn is_older(connection: &Connection, repository: &str, digest: &Digest, before: Millis) -> Result<bool> {
    let query = "SELECT 1 FROM manifests WHERE repository = (SELECT id FROM repositories WHERE name = ?1)
        AND digest = ?2 AND pushed < ?3";
    Ok(
        one(connection, query, params![repository, Key(*digest), before.0], |_| {
            Ok(())
        })?
        .is_some(),
    )
}

pub(super) fn touch(connection: &Connection, repository: &str, digest: &Digest, now: Millis) -> Result<()> {
    let statement = "UPDATE manifests SET pushed = max(pushed, ?3)
        WHERE repository = (SELECT id FROM repositories WHERE name = ?1) AND digest = ?2";
    change(connection, statement, params![repository, Key(*digest), now.0]).map(drop)
}
