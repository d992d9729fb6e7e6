//! How image content is found, read, verified, put and copied.
