//! How does something go? What a repository shows no more, what no repository shows any more, and at last the bytes.

use rusqlite::{Connection, params};
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Expect, Result, Role};

use super::{
    super::{Immutable, Reviewed, Unreferenced, digests::Key, place},
    put::{bury as leave_tombstone, change, check_expected, known, loses_tag, named, review as look_at, role, shows},
    read::{all, count, one, to_i64},
};
use crate::place::{Millis, Place};

pub(super) fn remove_blob(connection: &Connection, repository: &str, digest: &Digest, due: Millis) -> Result<bool> {
    let Some(id) = known(connection, repository)? else {
        return Ok(false);
    };
    if shows(connection, id, Role::Blob, digest)? && is_referenced(connection, id, digest)? {
        let message = format!("a manifest of {repository} names the blob {digest}; delete that first");
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    Ok(unlink(connection, id, digest, due)?.is_some())
}

pub(super) fn remove_manifest(
    connection: &Connection,
    repository: &str,
    digest: &Digest,
    immutable: &Immutable,
    now: Millis,
) -> Result<bool> {
    let Some(repository_id) = known(connection, repository)? else {
        return Ok(false);
    };
    let query = "SELECT id FROM manifests WHERE repository = ?1 AND digest = ?2";
    let id: Option<i64> = one(connection, query, params![repository_id, Key(*digest)], |row| {
        row.get(0)
    })?;
    let Some(id) = id else {
        return Ok(false);
    };
    // Without it what such a tag points at is not what it was.
    let query = "WITH RECURSIVE above (id, digest) AS (
            SELECT ?1, ?2
            UNION SELECT m.id, m.digest FROM above a
            JOIN children c ON c.repository = ?3 AND c.role = ?4 AND c.digest = a.digest
            JOIN manifests m ON m.id = c.manifest)
        SELECT t.name FROM above a JOIN tags t ON t.manifest = a.id ORDER BY t.name";
    let values = params![id, Key(*digest), repository_id, role(Role::Manifest)];
    let tags: Vec<String> = all(connection, query, values, |row| row.get(0))?;
    if let Some(tag) = tags.iter().find(|tag| immutable(tag)) {
        let message = format!("the tag {tag} of {repository} leads to {digest}, and never moves");
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    take_manifest(connection, repository_id, id, now)?;
    Ok(true)
}

/// Takes a manifest away, its tags with it, and has what it named looked at.
pub(super) fn take_manifest(connection: &Connection, repository: i64, id: i64, now: Millis) -> Result<()> {
    let query = "SELECT c.digest FROM children c JOIN links l ON l.repository = c.repository AND l.digest = c.digest
        WHERE c.manifest = ?1 AND c.role = ?2";
    let children = all(connection, query, params![id, role(Role::Blob)], |row| row.get(0))?;
    for Key(child) in children {
        look_at(connection, repository, &child, now)?;
    }
    // Its tags and what it names go with it.
    change(connection, "DELETE FROM manifests WHERE id = ?1", [id])?;
    forget_if_empty(connection, repository)
}

pub(super) fn remove_tag(
    connection: &Connection,
    repository: &str,
    name: &str,
    expect: Expect,
    now: Millis,
) -> Result<bool> {
    let Some(id) = known(connection, repository)? else {
        return Ok(false);
    };
    let found = named(connection, id, name)?;
    if found.is_none() {
        return Ok(false);
    }
    check_expected(repository, name, found, expect)?;
    loses_tag(connection, id, name, None, now)?;
    let statement = "DELETE FROM tags WHERE repository = ?1 AND name = ?2";
    Ok(change(connection, statement, params![id, name])? > 0)
}

pub(super) fn review(connection: &Connection, now: Millis, due: Millis, limit: usize) -> Result<Reviewed> {
    let query = "SELECT repository, digest FROM reviews WHERE due <= ?1 ORDER BY due LIMIT ?2";
    let waiting: Vec<(i64, Key)> = all(connection, query, params![now.0, to_i64(limit)], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let mut reviewed = Reviewed::default();
    for (repository, Key(digest)) in waiting {
        reviewed.looked += 1;
        let key = params![repository, Key(digest)];
        let query = "SELECT lease FROM links WHERE repository = ?1 AND digest = ?2";
        let lease: Option<i64> = one(connection, query, key, |row| row.get(0))?;
        match lease {
            // What goes later is looked at again then.
            Some(lease) if lease > now.0 && !is_referenced(connection, repository, &digest)? => {
                let statement = "UPDATE reviews SET due = ?3 WHERE repository = ?1 AND digest = ?2";
                change(connection, statement, params![repository, Key(digest), lease])?;
                continue;
            }
            Some(lease) if lease <= now.0 && !is_referenced(connection, repository, &digest)? => {
                reviewed.unlinked += 1;
                if let Some(Some(size)) = unlink(connection, repository, &digest, due)? {
                    reviewed.blobs += 1;
                    reviewed.bytes += size;
                }
            }
            // What takes a reference away has it looked at anew.
            _ => {}
        }
        let statement = "DELETE FROM reviews WHERE repository = ?1 AND digest = ?2";
        change(connection, statement, params![repository, Key(digest)])?;
    }
    Ok(reviewed)
}

fn is_referenced(connection: &Connection, repository: i64, digest: &Digest) -> Result<bool> {
    let query = "SELECT 1 FROM children WHERE repository = ?1 AND role = ?2 AND digest = ?3 LIMIT 1";
    let values = params![repository, role(Role::Blob), Key(*digest)];
    Ok(one(connection, query, values, |_| Ok(()))?.is_some())
}

/// Takes a link away; none where there was none. The size of the blob where it was the last.
fn unlink(connection: &Connection, repository: i64, digest: &Digest, due: Millis) -> Result<Option<Option<u64>>> {
    let statement = "DELETE FROM links WHERE repository = ?1 AND digest = ?2";
    if change(connection, statement, params![repository, Key(*digest)])? == 0 {
        return Ok(None);
    }
    let statement = "DELETE FROM blobs WHERE digest = ?1
        AND NOT EXISTS (SELECT 1 FROM links WHERE links.digest = ?1) RETURNING size, ulid";
    let last = one(connection, statement, [Key(*digest)], |row| {
        Ok((count(row, 0)?, row.get(1)?))
    })?;
    if let Some((_, ulid)) = last {
        leave_tombstone(connection, *digest, ulid, due)?;
    }
    forget_if_empty(connection, repository)?;
    Ok(Some(last.map(|(size, _)| size)))
}

/// A repository is there as long as there is something in it.
fn forget_if_empty(connection: &Connection, repository: i64) -> Result<()> {
    let statement = "DELETE FROM repositories WHERE id = ?1
        AND NOT EXISTS (SELECT 1 FROM links WHERE repository = ?1)
        AND NOT EXISTS (SELECT 1 FROM manifests WHERE repository = ?1)";
    if change(connection, statement, [repository])? > 0 {
        change(connection, "DELETE FROM reviews WHERE repository = ?1", [repository])?;
        change(connection, "DELETE FROM lost WHERE repository = ?1", [repository])?;
    }
    Ok(())
}

pub(super) fn tombstones(connection: &Connection, now: Millis, passed: usize, limit: usize) -> Result<Vec<Place>> {
    let query = "SELECT digest, ulid FROM tombstones WHERE due <= ?1 ORDER BY due, ulid LIMIT ?2 OFFSET ?3";
    all(
        connection,
        query,
        params![now.0, to_i64(limit), to_i64(passed)],
        |row| {
            let Key(digest) = row.get(0)?;
            Ok(place(digest, row.get(1)?))
        },
    )
}

pub(super) fn bury(connection: &Connection, places: &[Place]) -> Result<()> {
    for place in places {
        change(
            connection,
            "DELETE FROM tombstones WHERE ulid = ?1",
            [place.ulid.bytes()],
        )?;
    }
    Ok(())
}

pub(super) fn unknown(connection: &Connection, places: Vec<Place>) -> Result<Vec<Place>> {
    let mut unknown = Vec::new();
    for place in places {
        let query = "SELECT 1 FROM blobs WHERE digest = ?1 AND ulid = ?2
            UNION ALL SELECT 1 FROM tombstones WHERE ulid = ?2";
        let values = params![Key(place.digest), place.ulid.bytes()];
        if one(connection, query, values, |_| Ok(()))?.is_none() {
            unknown.push(place);
        }
    }
    Ok(unknown)
}

pub(super) fn unreferenced(
    connection: &Connection,
    after: Option<(String, Digest)>,
    limit: usize,
) -> Result<Vec<Unreferenced>> {
    let query = "SELECT r.name, l.digest, b.size, l.lease,
        (SELECT count(*) FROM links o WHERE o.digest = l.digest AND o.repository != l.repository)
        FROM repositories r JOIN links l ON l.repository = r.id JOIN blobs b ON b.digest = l.digest
        WHERE (r.name > ?1 OR (r.name = ?1 AND l.digest > ?2))
        AND NOT EXISTS (SELECT 1 FROM children c WHERE c.repository = l.repository AND c.role = ?3 AND c.digest = l.digest)
        ORDER BY r.name, l.digest LIMIT ?4";
    let (name, digest) = match after {
        Some((name, digest)) => (name, Some(Key(digest))),
        None => (String::new(), None),
    };
    all(
        connection,
        query,
        params![name, digest, role(Role::Blob), to_i64(limit)],
        |row| {
            let Key(digest) = row.get(1)?;
            Ok(Unreferenced {
                repository: row.get(0)?,
                digest,
                size: count(row, 2)?,
                lease: Millis(row.get(3)?),
                elsewhere: count(row, 4)?,
            })
        },
    )
}
