-- What a repository showed until its bytes were lost: what is hidden for that is shown again when none that it names is lost any more,
-- whatever else it names that never was there.
CREATE TABLE lost (
    repository INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
INSERT INTO lost SELECT DISTINCT c.repository, c.digest FROM manifests m JOIN children c ON c.manifest = m.id
    WHERE m.is_lost = 1 AND c.role = 2
    AND NOT EXISTS (SELECT 1 FROM links l WHERE l.repository = c.repository AND l.digest = c.digest);
