-- Whose copies a depot may go on with besides its own: those of the depots that it was restored of, or was itself a copy of before it was pushed to.
CREATE TABLE origins (
    depot BLOB PRIMARY KEY
) WITHOUT ROWID;
ALTER TABLE identity DROP COLUMN copying;
