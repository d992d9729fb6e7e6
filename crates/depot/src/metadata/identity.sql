-- Which depot this is, in one row. A copy has its depot's identity; what is restored of a copy, or pushed to one, is a depot of its own.
CREATE TABLE identity (
    depot BLOB NOT NULL,
    copying BLOB,
    -- 1 of a copy, 0 of a depot, and 2 where that is not known, as it was there before this was said.
    is_copy INTEGER NOT NULL DEFAULT 0
);
INSERT INTO identity (depot, is_copy) VALUES (randomblob(16), CASE WHEN EXISTS (SELECT 1 FROM sqlite_sequence) THEN 2 ELSE 0 END);
