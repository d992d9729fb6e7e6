//! Is what rows say so? All of them, and what is changed where it is not.

use rusqlite::{Connection, params};
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Result, Role};

use super::{
    super::{Held, Needed, Needing, digests::Key, place},
    failed, is_damage,
    put::{change, link, role},
    read::{all, count, one, to_i64},
};
use crate::place::{Millis, Place};

pub(super) fn blobs(connection: &Connection, after: Option<Digest>, limit: usize) -> Result<Vec<(Place, u64)>> {
    let query = "SELECT digest, ulid, size FROM blobs WHERE digest > ?1 ORDER BY digest LIMIT ?2";
    let read = |row: &rusqlite::Row<'_>| {
        let Key(digest) = row.get(0)?;
        Ok((place(digest, row.get(1)?), count(row, 2)?))
    };
    match after {
        Some(after) => all(connection, query, params![Key(after), to_i64(limit)], read),
        // All are behind no bytes at all.
        None => all(connection, query, params![&[][..] as &[u8], to_i64(limit)], read),
    }
}

pub(super) fn missing(connection: &Connection, after: Option<Digest>, limit: usize) -> Result<Vec<Digest>> {
    let query = "SELECT DISTINCT o.digest FROM lost o WHERE (?1 IS NULL OR o.digest > ?1) AND EXISTS (
            SELECT 1 FROM children c WHERE c.repository = o.repository AND c.role = ?3 AND c.digest = o.digest)
        ORDER BY o.digest LIMIT ?2";
    let values = params![after.map(Key), to_i64(limit), role(Role::Blob)];
    all(connection, query, values, |row| row.get(0).map(|Key(digest)| digest))
}

pub(super) fn manifests(connection: &Connection, after: i64, limit: usize) -> Result<Vec<Held>> {
    let query = "SELECT m.id, r.name, m.digest, m.content FROM manifests m JOIN repositories r ON r.id = m.repository
        WHERE m.id > ?1 AND m.is_lost = 0 ORDER BY m.id LIMIT ?2";
    let mut found = all(connection, query, params![after, to_i64(limit)], |row| {
        let Key(digest) = row.get(2)?;
        Ok(Held {
            id: row.get(0)?,
            repository: row.get(1)?,
            digest,
            content: row.get::<_, Vec<u8>>(3)?.into(),
            missing: Vec::new(),
        })
    })?;
    for held in &mut found {
        let query = "SELECT c.digest FROM children c WHERE c.manifest = ?1 AND CASE c.role
            WHEN ?2 THEN NOT EXISTS (SELECT 1 FROM links l WHERE l.repository = c.repository AND l.digest = c.digest)
            ELSE NOT EXISTS (SELECT 1 FROM manifests o WHERE o.repository = c.repository AND o.digest = c.digest)
            END ORDER BY c.digest";
        let missing = all(connection, query, params![held.id, role(Role::Blob)], |row| row.get(0))?;
        held.missing = missing.into_iter().map(|Key(digest)| digest).collect();
    }
    Ok(found)
}

pub(super) fn is_whole(connection: &Connection) -> Result<bool> {
    let query = "SELECT 1 FROM children c WHERE CASE c.role
        WHEN ?1 THEN NOT EXISTS (SELECT 1 FROM links l WHERE l.repository = c.repository AND l.digest = c.digest)
        ELSE NOT EXISTS (SELECT 1 FROM manifests o
            WHERE o.repository = c.repository AND o.digest = c.digest AND o.is_lost = 0) END LIMIT 1";
    Ok(one(connection, query, [role(Role::Blob)], |_| Ok(()))?.is_none())
}

pub(super) fn leads_to(connection: &Connection, place: &Place) -> Result<bool> {
    let query = "SELECT 1 FROM blobs WHERE digest = ?1 AND ulid = ?2";
    let values = params![Key(place.digest), place.ulid.bytes()];
    Ok(one(connection, query, values, |_| Ok(()))?.is_some())
}

pub(super) fn needed(connection: &Connection, digest: &Digest, within: Option<&str>, limit: usize) -> Result<Needed> {
    // What names it, and what names that; of these those that a tag points at, and those that no other names.
    let query = "WITH RECURSIVE above (id, repository, digest) AS (
            SELECT m.id, m.repository, m.digest FROM repositories r
            CROSS JOIN children c ON c.repository = r.id AND c.role = ?3 AND c.digest = ?2
            JOIN manifests m ON m.id = c.manifest WHERE ?1 IS NULL
            UNION SELECT m.id, m.repository, m.digest FROM manifests m JOIN repositories r ON r.id = m.repository
            WHERE r.name = ?1 AND m.digest = ?2
            UNION SELECT m.id, m.repository, m.digest FROM above a
            JOIN children c ON c.repository = a.repository AND c.role = ?4 AND c.digest = a.digest
            JOIN manifests m ON m.id = c.manifest),
        images (repository, digest, tag) AS (
            SELECT r.name, a.digest, t.name FROM above a JOIN repositories r ON r.id = a.repository
            LEFT JOIN tags t ON t.manifest = a.id WHERE t.name IS NOT NULL OR NOT EXISTS (
                SELECT 1 FROM children c WHERE c.repository = a.repository AND c.role = ?4 AND c.digest = a.digest))
        SELECT repository, digest, tag FROM images ORDER BY repository, tag, digest";
    let values = params![within, Key(*digest), role(Role::Blob), role(Role::Manifest)];
    let mut statement = connection.prepare_cached(query).map_err(failed)?;
    let mut rows = statement.query(values).map_err(failed)?;
    let mut needed = Needed::default();
    while let Some(row) = rows.next().map_err(failed)? {
        if needed.first.len() >= limit {
            needed.more += 1;
            continue;
        }
        let Key(digest) = row.get(1).map_err(failed)?;
        needed.first.push(Needing {
            repository: row.get(0).map_err(failed)?,
            digest,
            tag: row.get(2).map_err(failed)?,
        });
    }
    Ok(needed)
}

pub(super) fn lose(connection: &Connection, place: &Place) -> Result<Vec<String>> {
    if !leads_to(connection, place)? {
        return Ok(Vec::new());
    }
    let digest = Key(place.digest);
    let query =
        "SELECT r.name FROM links l JOIN repositories r ON r.id = l.repository WHERE l.digest = ?1 ORDER BY r.name";
    let repositories = all(connection, query, [digest], |row| row.get(0))?;
    // A manifest that is shown has all below it, so clients ask no further where they find one. Where it had not that blob it has lost nothing.
    let statement = "WITH RECURSIVE broken (id, repository, digest) AS (
            SELECT m.id, m.repository, m.digest FROM links l
            CROSS JOIN children c ON c.repository = l.repository AND c.role = ?1 AND c.digest = l.digest
            JOIN manifests m ON m.id = c.manifest WHERE l.digest = ?2
            UNION SELECT m.id, m.repository, m.digest FROM broken b
            JOIN children c ON c.repository = b.repository AND c.role = ?3 AND c.digest = b.digest
            JOIN manifests m ON m.id = c.manifest)
        UPDATE manifests SET is_lost = 1 WHERE id IN (SELECT id FROM broken)";
    let values = params![role(Role::Blob), digest, role(Role::Manifest)];
    change(connection, statement, values)?;
    // Each, so that who gets it again is who showed it, a manifest names it or not.
    let statement = "INSERT INTO lost SELECT repository, digest FROM links WHERE digest = ?1";
    change(connection, statement, [digest])?;
    change(connection, "DELETE FROM links WHERE digest = ?1", [digest])?;
    change(connection, "DELETE FROM blobs WHERE digest = ?1", [digest])?;
    Ok(repositories)
}

/// Who is to show a blob again that a manifest names without its repository showing it: those that lost it, and where none did, all that name it. Who names what was
/// never pushed there is not to get it.
pub(super) fn wanting(connection: &Connection, digest: &Digest) -> Result<Vec<(i64, String)>> {
    let query = "WITH named (repository) AS (
            SELECT c.repository FROM repositories r CROSS JOIN children c ON c.repository = r.id AND c.role = ?1 AND c.digest = ?2
            WHERE NOT EXISTS (SELECT 1 FROM links l WHERE l.repository = c.repository AND l.digest = c.digest)),
        losers (repository) AS (SELECT repository FROM lost WHERE digest = ?2 AND EXISTS (SELECT 1 FROM named))
        SELECT r.id, r.name FROM repositories r WHERE r.id IN (
            SELECT repository FROM losers
            UNION SELECT repository FROM named WHERE NOT EXISTS (SELECT 1 FROM losers)) ORDER BY r.name";
    all(connection, query, params![role(Role::Blob), Key(*digest)], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

pub(super) fn restore(connection: &Connection, place: &Place, size: u64, lease: Millis) -> Result<Vec<String>> {
    let wanting = wanting(connection, &place.digest)?;
    if wanting.is_empty() {
        return Ok(Vec::new());
    }
    let size = i64::try_from(size).map_err(|_| Error::new(ErrorKind::TooLarge, "no blob has so many bytes"))?;
    // Where it lies elsewhere too, that is as good.
    let statement = "INSERT INTO blobs (digest, size, ulid) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    change(
        connection,
        statement,
        params![Key(place.digest), size, place.ulid.bytes()],
    )?;
    change(
        connection,
        "DELETE FROM tombstones WHERE ulid = ?1",
        [place.ulid.bytes()],
    )?;
    for (repository, _) in &wanting {
        link(connection, *repository, &place.digest, lease)?;
    }
    Ok(wanting.into_iter().map(|(_, name)| name).collect())
}

pub(super) fn look_over(connection: &Connection) -> Result<Vec<String>> {
    told(all(connection, "PRAGMA quick_check(10)", [], |row| row.get(0)))
}

/// What a check says, of which it may be so bad that it says nothing.
fn told(outcome: Result<Vec<String>>) -> Result<Vec<String>> {
    match outcome {
        Ok(mut found) => {
            found.retain(|line| line != "ok");
            Ok(found)
        }
        Err(error) if is_damage(&error) => Ok(vec![error.to_string()]),
        Err(error) => Err(error),
    }
}

pub(super) fn examine(connection: &Connection) -> Result<Vec<String>> {
    let mut found = told(all(connection, "PRAGMA integrity_check", [], |row| row.get(0)))?;
    if !found.is_empty() {
        return Ok(found);
    }
    let broken = all(connection, "PRAGMA foreign_key_check", [], |row| {
        let (table, to): (String, String) = (row.get(0)?, row.get(2)?);
        Ok(format!("a row of {table} leads to none of {to}"))
    });
    found.extend(broken.map_err(|error| error.within("looking for rows that lead nowhere"))?);
    Ok(found)
}
