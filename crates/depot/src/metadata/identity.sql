-- Which depot this is, in one row. A copy has its depot's identity; what is restored of a copy, or pushed to one, is a depot of its own.
CREATE TABLE identity (
    depot BLOB NOT NULL,
    -- The copying that made this copy, or the one that this depot was restored of.
    copying BLOB,
    is_copy INTEGER NOT NULL DEFAULT 0
);
INSERT INTO identity (depot) VALUES (randomblob(16));
