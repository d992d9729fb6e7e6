//! How does something come to be there? Each function is the work of one transaction.

use rusqlite::{Connection, params};
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Expect, Result, Role};

use super::{
    super::{Name, NewBlob, NewManifest, Session, digests, digests::Key},
    failed,
    read::{count, one},
};
use crate::{place::Millis, whose::pushed_to};

/// Whether something is a manifest or a blob, in a row.
pub(super) fn role(role: Role) -> u8 {
    match role {
        Role::Manifest => 1,
        Role::Blob => 2,
    }
}

/// Changes rows, and says how many.
pub(super) fn change(connection: &Connection, statement: &str, values: impl rusqlite::Params) -> Result<usize> {
    let mut statement = connection.prepare_cached(statement).map_err(failed)?;
    statement.execute(values).map_err(failed)
}

/// The number of a repository, which comes to be where it is not there.
fn repository(connection: &Connection, name: &str) -> Result<i64> {
    if let Some(id) = known(connection, name)? {
        return Ok(id);
    }
    change(connection, "INSERT INTO repositories (name) VALUES (?1)", [name])?;
    Ok(connection.last_insert_rowid())
}

/// The number of a repository.
pub(super) fn known(connection: &Connection, name: &str) -> Result<Option<i64>> {
    let query = "SELECT id FROM repositories WHERE name = ?1";
    one(connection, query, [name], |row| row.get(0))
}

pub(super) fn blob(connection: &Connection, blob: &NewBlob) -> Result<()> {
    let NewBlob {
        place,
        size,
        lease,
        due,
        ..
    } = blob;
    let digest = Key(place.digest);
    let repository = repository(connection, &blob.repository)?;
    let size = i64::try_from(*size).map_err(|_| Error::new(ErrorKind::TooLarge, "no blob has so many bytes"))?;
    let query = "SELECT ulid FROM blobs WHERE digest = ?1";
    let before: Option<[u8; 16]> = one(connection, query, [digest], |row| row.get(0))?;
    match before {
        Some(before) if before == place.ulid.bytes() => {}
        Some(before) => {
            bury(connection, place.digest, before, *due)?;
            let statement = "UPDATE blobs SET size = ?2, ulid = ?3 WHERE digest = ?1";
            change(connection, statement, params![digest, size, place.ulid.bytes()])?;
        }
        None => {
            let statement = "INSERT INTO blobs (digest, size, ulid) VALUES (?1, ?2, ?3)";
            change(connection, statement, params![digest, size, place.ulid.bytes()])?;
        }
    }
    link(connection, repository, &place.digest, *lease)?;
    match &blob.session {
        Some(session) => end_session(connection, session),
        None => Ok(()),
    }
}

/// Leaves a tombstone.
pub(super) fn bury(connection: &Connection, digest: Digest, ulid: [u8; 16], due: Millis) -> Result<()> {
    let statement = "INSERT INTO tombstones (ulid, digest, due) VALUES (?1, ?2, ?3)";
    change(connection, statement, params![ulid, Key(digest), due.0]).map(drop)
}

/// Has a repository show a blob that is there, and looks at it again when its lease is over.
pub(super) fn link(connection: &Connection, repository: i64, digest: &Digest, lease: Millis) -> Result<()> {
    let statement = "INSERT INTO links (repository, digest, lease) VALUES (?1, ?2, ?3)
        ON CONFLICT (repository, digest) DO UPDATE SET lease = max(lease, excluded.lease)";
    change(connection, statement, params![repository, Key(*digest), lease.0])?;
    let statement = "DELETE FROM lost WHERE repository = ?1 AND digest = ?2";
    if change(connection, statement, params![repository, Key(*digest)])? > 0 {
        show_again(connection, repository, digest)?;
    }
    review(connection, repository, digest, lease)
}

/// Shows what is above a blob and was hidden as it was lost, unless something else below is lost still: who brought the blob may have done so for another
/// manifest, and nobody would push the others again.
fn show_again(connection: &Connection, repository: i64, digest: &Digest) -> Result<()> {
    let statement = "WITH RECURSIVE above (id, digest) AS (
            SELECT m.id, m.digest FROM children c JOIN manifests m ON m.id = c.manifest
            WHERE c.repository = ?1 AND c.role = ?2 AND c.digest = ?3
            UNION SELECT m.id, m.digest FROM above a
            JOIN children c ON c.repository = ?1 AND c.role = ?4 AND c.digest = a.digest
            JOIN manifests m ON m.id = c.manifest)
        UPDATE manifests SET is_lost = 0 WHERE is_lost = 1 AND id IN (SELECT id FROM above) AND NOT EXISTS (
            SELECT 1 FROM children c WHERE c.manifest = manifests.id AND CASE c.role
            WHEN ?2 THEN EXISTS (SELECT 1 FROM lost l WHERE l.repository = c.repository AND l.digest = c.digest)
            ELSE EXISTS (SELECT 1 FROM manifests o
                WHERE o.repository = c.repository AND o.digest = c.digest AND o.is_lost = 1) END)";
    let values = params![repository, role(Role::Blob), Key(*digest), role(Role::Manifest)];
    // Those that name others are shown again when those are.
    while change(connection, statement, values)? > 0 {}
    Ok(())
}

/// Has a link looked at, at the latest when it is due.
pub(super) fn review(connection: &Connection, repository: i64, digest: &Digest, due: Millis) -> Result<()> {
    let statement = "INSERT INTO reviews (repository, digest, due) VALUES (?1, ?2, ?3)
        ON CONFLICT (repository, digest) DO UPDATE SET due = min(due, excluded.due)";
    change(connection, statement, params![repository, Key(*digest), due.0]).map(drop)
}

pub(super) fn extend(connection: &Connection, repository: &str, digest: &Digest, lease: Millis) -> Result<bool> {
    let statement = "UPDATE links SET lease = max(lease, ?3)
        WHERE repository = (SELECT id FROM repositories WHERE name = ?1) AND digest = ?2";
    Ok(change(connection, statement, params![repository, Key(*digest), lease.0])? > 0)
}

pub(super) fn mount(connection: &Connection, from: &str, to: &str, digest: &Digest, lease: Millis) -> Result<bool> {
    // The source's lease is extended too: until this is committed it must not go.
    if !extend(connection, from, digest, lease)? {
        return Ok(false);
    }
    let to = repository(connection, to)?;
    link(connection, to, digest, lease)?;
    Ok(true)
}

pub(super) fn manifest(connection: &Connection, new: &NewManifest) -> Result<()> {
    let repository = repository(connection, &new.repository)?;
    let (mut children, mut missing) = (Vec::new(), Vec::new());
    for child in &new.children {
        let before = children.len();
        for role in child.roles {
            if shows(connection, repository, *role, &child.digest)? {
                children.push((*role, child.digest));
            }
        }
        if children.len() > before {
            continue;
        }
        if child.is_required {
            missing.push(child.digest);
        }
        children.extend(child.roles.first().map(|role| (*role, child.digest)));
    }
    if !missing.is_empty() {
        let message = format!(
            "manifest {} names content that is not in {}",
            new.digest, new.repository
        );
        return Err(Error::new(ErrorKind::MissingChildren(missing), message));
    }
    for name in &new.names {
        may_point(connection, repository, new, name)?;
    }
    // A copy that is pushed to has what its depot has not, and is not to be written over any more.
    pushed_to(connection).map_err(failed)?;
    let statement = "INSERT INTO manifests
        (repository, digest, media_type, content, subject, artifact_type, referrer, pushed)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (repository, digest) DO UPDATE SET media_type = excluded.media_type, content = excluded.content,
        referrer = excluded.referrer, pushed = max(pushed, excluded.pushed), is_lost = 0
        RETURNING id";
    let described = match &new.subject {
        Some((_, descriptor)) => Some(serde_json::to_string(descriptor).map_err(|error| {
            Error::new(ErrorKind::Invalid, "it cannot be described to who asks for referrers").with_cause(error)
        })?),
        None => None,
    };
    let values = params![
        repository,
        Key(new.digest),
        new.manifest.media_type.as_str(),
        &new.manifest.content[..],
        new.subject.as_ref().map(|(subject, _)| Key(*subject)),
        new.subject
            .as_ref()
            .and_then(|(_, descriptor)| descriptor.artifact_type.as_deref()),
        described,
        new.now.0,
    ];
    let id: Option<i64> = one(connection, statement, values, |row| row.get(0))?;
    let id = id.ok_or_else(|| Error::new(ErrorKind::Io, "a manifest was put and is not there"))?;
    for (as_what, child) in children {
        let statement = "INSERT INTO children (manifest, repository, role, digest) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT DO NOTHING";
        change(
            connection,
            statement,
            params![id, repository, role(as_what), Key(child)],
        )?;
    }
    for Name { name, .. } in &new.names {
        loses_tag(connection, repository, name, Some(id), new.now)?;
        let statement = "INSERT INTO tags (repository, name, manifest, moved) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (repository, name) DO UPDATE SET manifest = excluded.manifest, moved = excluded.moved";
        change(connection, statement, params![repository, name, id, new.now.0])?;
    }
    Ok(())
}

/// What a tag points at, and is to point at no more, counts as touched now: so much later it goes, where that is wanted. `next` is what it is to point at.
pub(super) fn loses_tag(
    connection: &Connection,
    repository: i64,
    name: &str,
    next: Option<i64>,
    now: Millis,
) -> Result<()> {
    let statement = "UPDATE manifests SET pushed = max(pushed, ?4)
        WHERE id = (SELECT manifest FROM tags WHERE repository = ?1 AND name = ?2) AND id IS NOT ?3";
    change(connection, statement, params![repository, name, next, now.0]).map(drop)
}

/// Whether a repository shows something as that which it is asked for.
pub(super) fn shows(connection: &Connection, repository: i64, role: Role, digest: &Digest) -> Result<bool> {
    let query = match role {
        Role::Manifest => "SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2 AND is_lost = 0",
        Role::Blob => "SELECT 1 FROM links WHERE repository = ?1 AND digest = ?2",
    };
    Ok(one(connection, query, params![repository, Key(*digest)], |_| Ok(()))?.is_some())
}

/// Whether a name may be set.
fn may_point(connection: &Connection, repository: i64, new: &NewManifest, name: &Name) -> Result<()> {
    let found = named(connection, repository, &name.name)?;
    check_expected(&new.repository, &name.name, found, new.expect)?;
    match found {
        Some(found) if name.is_immutable && found != new.digest => {
            let message = format!(
                "the tag {} of {} points at {found}, and never moves; push under another one",
                name.name, new.repository
            );
            Err(Error::new(ErrorKind::Conflict, message))
        }
        _ => Ok(()),
    }
}

/// What a tag points at.
pub(super) fn named(connection: &Connection, repository: i64, name: &str) -> Result<Option<Digest>> {
    let query = "SELECT m.digest FROM tags t JOIN manifests m ON m.id = t.manifest
        WHERE t.repository = ?1 AND t.name = ?2";
    let found = one(connection, query, params![repository, name], |row| row.get(0))?;
    Ok(found.map(|Key(digest)| digest))
}

/// # Errors
/// `Conflict` where a tag does not point where it is expected to.
pub(super) fn check_expected(repository: &str, name: &str, found: Option<Digest>, expect: Expect) -> Result<()> {
    expect.check(format_args!("the tag {name} of {repository}"), found)
}

pub(super) fn begin_session(connection: &Connection, session: &Session, most: u64) -> Result<()> {
    // SQLite adds up what the pages of an index say that they have: 6 µs for 10,000, which triggers that keep the number take for each.
    let open = one(connection, "SELECT count(*) FROM sessions", [], |row| count(row, 0))?;
    if open.is_some_and(|open| open >= most) {
        let message = format!("{most} uploads are open, and no more than that may be");
        return Err(Error::new(ErrorKind::Throttled, message));
    }
    let statement = "INSERT INTO sessions (id, repository, algorithm, \"offset\", midstate, touched)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
    let values = params![
        session.id,
        session.repository,
        digests::number(session.algorithm),
        offset(session)?,
        session.midstate,
        session.touched.0,
    ];
    match change(connection, statement, values)? {
        0 => Err(Error::new(
            ErrorKind::Conflict,
            "there is an upload of this name already",
        )),
        _ => Ok(()),
    }
}

pub(super) fn record_session(connection: &Connection, session: &Session) -> Result<bool> {
    let statement = "UPDATE sessions SET \"offset\" = ?2, midstate = ?3, touched = ?4 WHERE id = ?1";
    let values = params![session.id, offset(session)?, session.midstate, session.touched.0];
    Ok(change(connection, statement, values)? > 0)
}

fn offset(session: &Session) -> Result<i64> {
    i64::try_from(session.offset).map_err(|_| Error::new(ErrorKind::TooLarge, "no upload has so many bytes"))
}

pub(super) fn end_session(connection: &Connection, id: &str) -> Result<()> {
    change(connection, "DELETE FROM sessions WHERE id = ?1", [id]).map(drop)
}
