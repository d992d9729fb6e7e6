//! What is there? Queries that change nothing.

use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use teu_spec::{Descriptor, Digest, MediaType};
use teu_store::{Error, ErrorKind, Page, Result};

use super::{
    super::{Blob, Manifest, Session, digests, digests::Key, place},
    failed,
};
use crate::place::Millis;

/// How many bytes of descriptions are read for one page, but for the last of it.
const MOST_AT_ONCE: usize = 4 << 20;

pub(super) fn has_repository(connection: &Connection, repository: &str) -> Result<bool> {
    let query = "SELECT 1 FROM repositories WHERE name = ?1";
    Ok(one(connection, query, [repository], |_| Ok(()))?.is_some())
}

pub(super) fn repositories(connection: &Connection, after: &str, limit: usize) -> Result<Page<String>> {
    let query = "SELECT name FROM repositories WHERE name > ?1 ORDER BY name LIMIT ?2";
    let names = all(connection, query, params![after, more(limit)], |row| row.get(0))?;
    Ok(page(names, limit, String::clone))
}

pub(super) fn holders(connection: &Connection, digest: &Digest, after: &str, limit: usize) -> Result<Page<String>> {
    let query = "SELECT r.name FROM links l JOIN repositories r ON r.id = l.repository
        WHERE l.digest = ?1 AND r.name > ?2 ORDER BY r.name LIMIT ?3";
    let names = all(connection, query, params![Key(*digest), after, more(limit)], |row| {
        row.get(0)
    })?;
    Ok(page(names, limit, String::clone))
}

pub(super) fn blob(connection: &Connection, repository: &str, digest: &Digest) -> Result<Option<Blob>> {
    let query = "SELECT b.size, b.ulid, l.lease FROM repositories r
        JOIN links l ON l.repository = r.id AND l.digest = ?2
        JOIN blobs b ON b.digest = l.digest WHERE r.name = ?1";
    one(connection, query, params![repository, Key(*digest)], |row| {
        Ok(Blob {
            size: count(row, 0)?,
            place: place(*digest, row.get(1)?),
            lease: Millis(row.get(2)?),
        })
    })
}

pub(super) fn manifest(connection: &Connection, repository: &str, digest: &Digest) -> Result<Option<Manifest>> {
    let query = "SELECT m.media_type, m.content FROM repositories r
        JOIN manifests m ON m.repository = r.id AND m.digest = ?2 AND m.is_lost = 0 WHERE r.name = ?1";
    one(connection, query, params![repository, Key(*digest)], |row| {
        Ok(Manifest {
            media_type: MediaType::from(row.get::<_, String>(0)?.as_str()),
            content: row.get::<_, Vec<u8>>(1)?.into(),
        })
    })
}

pub(super) fn describe(connection: &Connection, repository: &str, digest: &Digest) -> Result<Option<Descriptor>> {
    let query = "SELECT m.media_type, m.digest, length(m.content) FROM repositories r
        JOIN manifests m ON m.repository = r.id AND m.digest = ?2 AND m.is_lost = 0 WHERE r.name = ?1";
    one(connection, query, params![repository, Key(*digest)], |row| {
        descriptor(row, 0)
    })
}

pub(super) fn tag(connection: &Connection, repository: &str, name: &str) -> Result<Option<Descriptor>> {
    let query = "SELECT m.media_type, m.digest, length(m.content) FROM repositories r
        JOIN tags t ON t.repository = r.id AND t.name = ?2
        JOIN manifests m ON m.id = t.manifest AND m.is_lost = 0 WHERE r.name = ?1";
    one(connection, query, [repository, name], |row| descriptor(row, 0))
}

pub(super) fn tags(
    connection: &Connection,
    repository: &str,
    after: &str,
    limit: usize,
) -> Result<Page<(String, Descriptor)>> {
    let query = "SELECT t.name, m.media_type, m.digest, length(m.content) FROM tags t
        JOIN manifests m ON m.id = t.manifest AND m.is_lost = 0
        WHERE t.repository = (SELECT id FROM repositories WHERE name = ?1) AND t.name > ?2 ORDER BY t.name LIMIT ?3";
    let tags = all(connection, query, params![repository, after, more(limit)], |row| {
        Ok((row.get(0)?, descriptor(row, 1)?))
    })?;
    Ok(page(tags, limit, |(name, _): &(String, Descriptor)| name.clone()))
}

pub(super) fn tag_names(connection: &Connection, repository: &str, after: &str, limit: usize) -> Result<Page<String>> {
    let query = "SELECT name FROM tags
        WHERE repository = (SELECT id FROM repositories WHERE name = ?1) AND name > ?2
        AND manifest NOT IN (SELECT id FROM manifests WHERE is_lost = 1) ORDER BY name LIMIT ?3";
    let names = all(connection, query, params![repository, after, more(limit)], |row| {
        row.get(0)
    })?;
    Ok(page(names, limit, String::clone))
}

pub(super) fn digests(connection: &Connection, repository: &str, after: &str, limit: usize) -> Result<Page<Digest>> {
    // What is no digest is a page's beginning that nobody was told; algorithms stand in one order by number and by name.
    let after = after.parse().ok().map(Key);
    let query = "SELECT digest FROM manifests WHERE repository = (SELECT id FROM repositories WHERE name = ?1)
        AND is_lost = 0 AND (?2 IS NULL OR digest > ?2) ORDER BY digest LIMIT ?3";
    let digests = all(connection, query, params![repository, after, more(limit)], |row| {
        row.get(0).map(|Key(digest)| digest)
    })?;
    Ok(page(digests, limit, Digest::to_string))
}

pub(super) fn referrers(
    connection: &Connection,
    repository: &str,
    subject: &Digest,
    artifact_type: Option<&str>,
    after: &str,
    limit: usize,
) -> Result<Page<Descriptor>> {
    let after = after.parse().ok().map(Key);
    let query = "SELECT digest, referrer FROM manifests
        WHERE repository = (SELECT id FROM repositories WHERE name = ?1) AND subject = ?2
        AND is_lost = 0 AND (?3 IS NULL OR artifact_type = ?3) AND (?4 IS NULL OR digest > ?4)
        ORDER BY digest LIMIT ?5";
    let mut statement = connection.prepare_cached(query).map_err(failed)?;
    let values = params![repository, Key(*subject), artifact_type, after, more(limit)];
    let mut rows = statement.query(values).map_err(failed)?;
    let (mut items, mut size, mut next) = (Vec::new(), 0, None);
    while let Some(row) = rows.next().map_err(failed)? {
        if items.len() >= limit || size > MOST_AT_ONCE {
            next = items.last().map(|last: &Descriptor| last.digest.to_string());
            break;
        }
        let text: String = row.get(1).map_err(failed)?;
        size += text.len();
        let descriptor = serde_json::from_str(&text).map_err(|error| {
            let message = format!("what refers to {subject} in {repository} is not described as it should be");
            Error::new(ErrorKind::Io, message).with_cause(error)
        })?;
        items.push(descriptor);
    }
    Ok(Page { items, next })
}

pub(super) fn session(connection: &Connection, id: &str) -> Result<Option<Session>> {
    let query = "SELECT repository, algorithm, \"offset\", midstate, touched FROM sessions WHERE id = ?1";
    one(connection, query, [id], |row| {
        let number = row.get(1)?;
        Ok(Session {
            id: id.to_owned(),
            repository: row.get(0)?,
            algorithm: digests::algorithm(number)
                .ok_or(rusqlite::Error::IntegralValueOutOfRange(1, i64::from(number)))?,
            offset: count(row, 2)?,
            midstate: row.get(3)?,
            touched: Millis(row.get(4)?),
        })
    })
}

pub(super) fn idle_sessions(connection: &Connection, before: Millis, empty: bool, limit: usize) -> Result<Vec<String>> {
    let query = "SELECT id FROM sessions WHERE touched < ?1 AND (\"offset\" = 0 OR NOT ?2) ORDER BY touched LIMIT ?3";
    all(connection, query, params![before.0, empty, to_i64(limit)], |row| {
        row.get(0)
    })
}

/// The first row of a query.
pub(super) fn one<T>(
    connection: &Connection,
    query: &str,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    let mut statement = connection.prepare_cached(query).map_err(failed)?;
    statement.query_row(values, read).optional().map_err(failed)
}

/// All rows of a query.
pub(super) fn all<T>(
    connection: &Connection,
    query: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(query).map_err(failed)?;
    let rows = statement.query_map(values, read).map_err(failed)?;
    rows.collect::<rusqlite::Result<_>>().map_err(failed)
}

/// A number that is not negative.
pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

pub(super) fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// One more than is asked for: whether there is one tells whether there is a next page.
fn more(limit: usize) -> i64 {
    to_i64(limit.saturating_add(1))
}

fn page<T>(mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Page<T> {
    let is_last = items.len() <= limit;
    items.truncate(limit);
    let next = if is_last { None } else { items.last().map(key) };
    Page { items, next }
}

fn descriptor(row: &Row<'_>, first: usize) -> rusqlite::Result<Descriptor> {
    let media_type: String = row.get(first)?;
    let Key(digest) = row.get(first + 1)?;
    Ok(Descriptor::new(
        MediaType::from(media_type.as_str()),
        digest,
        count(row, first + 2)?,
    ))
}
