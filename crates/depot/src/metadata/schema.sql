-- What a depot knows of what it keeps. One schema, in the words of SQLite; PostgreSQL says BYTEA for BLOB, BIGINT for INTEGER (an identity for
-- a primary key of that type), TEXT COLLATE "C" for TEXT, so that names are in byte order there too, and leaves out WITHOUT ROWID.
--
-- A digest is a byte for its algorithm (1 sha256, 2 sha384, 3 sha512) and its own bytes; a time is in milliseconds since 1970.
-- A transaction takes its locks in this order: repositories, blobs and links by digest, manifests, tags by name, sessions.

-- There as long as there is something in it.
CREATE TABLE repositories (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
);

-- The content of a digest, kept once for all repositories. It is there as long as a link is; ulid tells where the bytes lie.
CREATE TABLE blobs (
    digest BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    ulid BLOB NOT NULL
) WITHOUT ROWID;

-- What a repository shows. Until the end of its lease it stays, referenced or not.
CREATE TABLE links (
    repository INTEGER NOT NULL REFERENCES repositories (id),
    digest BLOB NOT NULL REFERENCES blobs (digest),
    lease INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX links_of_digest ON links (digest, repository);

CREATE TABLE manifests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository INTEGER NOT NULL REFERENCES repositories (id),
    digest BLOB NOT NULL,
    media_type TEXT NOT NULL,
    content BLOB NOT NULL,
    -- What it is about, its type as an artifact, and how it stands in the list of its subject's referrers, in JSON.
    subject BLOB,
    artifact_type TEXT,
    referrer TEXT,
    -- When it was pushed, found by somebody who pushes, or lost a tag: the last of them.
    pushed INTEGER NOT NULL,
    -- Something below it is lost: it is not shown before that is there again, or it is pushed again.
    is_lost INTEGER NOT NULL DEFAULT 0,
    UNIQUE (repository, digest)
);
CREATE INDEX manifests_of_subject ON manifests (repository, subject, digest) WHERE subject IS NOT NULL;
CREATE INDEX lost_manifests ON manifests (id) WHERE is_lost = 1;

-- What a manifest names: role 1 for manifests, 2 for blobs.
CREATE TABLE children (
    manifest INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    repository INTEGER NOT NULL,
    role INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (manifest, role, digest)
) WITHOUT ROWID;
CREATE INDEX children_of_repository ON children (repository, role, digest);

CREATE TABLE tags (
    repository INTEGER NOT NULL REFERENCES repositories (id),
    name TEXT NOT NULL,
    manifest INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    moved INTEGER NOT NULL,
    PRIMARY KEY (repository, name)
) WITHOUT ROWID;
CREATE INDEX tags_of_manifest ON tags (manifest);

-- Uploads that are under way. The first "offset" bytes are on the disk, and midstate is what the hash had made of them.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    repository TEXT NOT NULL,
    algorithm INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    midstate BLOB NOT NULL,
    touched INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_time ON sessions (touched);

-- Links that gc looks at when they are due: nothing may reference them any more, or yet.
CREATE TABLE reviews (
    repository INTEGER NOT NULL,
    digest BLOB NOT NULL,
    due INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX reviews_by_time ON reviews (due);

-- Content that no row names any more, and whose bytes go when it is due.
CREATE TABLE tombstones (
    ulid BLOB PRIMARY KEY,
    digest BLOB NOT NULL,
    due INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tombstones_by_time ON tombstones (due);
