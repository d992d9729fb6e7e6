//! How do digests stand in rows? In binary: a byte for the algorithm, and the digest's own.

use rusqlite::{
    ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};
use teu_spec::{Algorithm, Digest};

/// A digest in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(pub(super) Digest);

/// The number of an algorithm; 0 for one that has none yet, which no row has.
pub(super) fn number(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Sha256 => 1,
        Algorithm::Sha384 => 2,
        Algorithm::Sha512 => 3,
        _ => 0,
    }
}

/// The algorithm of a number.
pub(super) fn algorithm(wanted: u8) -> Option<Algorithm> {
    Algorithm::ALL
        .into_iter()
        .find(|algorithm| number(*algorithm) == wanted)
}

impl ToSql for Key {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let mut bytes = Vec::with_capacity(1 + self.0.bytes().len());
        bytes.push(number(self.0.algorithm()));
        bytes.extend_from_slice(self.0.bytes());
        Ok(bytes.into())
    }
}

impl FromSql for Key {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let (first, rest) = value.as_blob()?.split_first().ok_or(FromSqlError::InvalidType)?;
        let digest = algorithm(*first).and_then(|algorithm| Digest::from_bytes(algorithm, rest));
        digest.map(Self).ok_or(FromSqlError::InvalidType)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_has_a_number_of_its_own() {
        for wanted in Algorithm::ALL {
            assert_eq!(algorithm(number(wanted)), Some(wanted));
            let key = Key(wanted.digest(b"content"));
            let ToSqlOutput::Owned(rusqlite::types::Value::Blob(bytes)) = key.to_sql().expect("a value") else {
                panic!("no bytes");
            };
            assert_eq!(bytes.len(), 1 + wanted.digest_len());
            assert_eq!(Key::column_result(ValueRef::Blob(&bytes)), Ok(key));
            assert!(Key::column_result(ValueRef::Blob(&bytes[1..])).is_err());
        }
        assert_eq!(algorithm(0), None);
        assert!(Key::column_result(ValueRef::Blob(&[])).is_err());
    }
}
