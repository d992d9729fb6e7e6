//! What is content called? A [`Digest`]: an algorithm and the bytes it gave, by image-spec's descriptor.md#digests.
//!
//! A digest is a path, a URL segment and a map key until it is parsed, so there is no way to build one that is not valid:
//! a string is parsed, or bytes are hashed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{
    Digest as _, Sha384, Sha512,
    digest::{
        array::Array,
        common::hazmat::{SerializableState, SerializedState},
    },
};

use crate::sha256::Sha256;

/// The longest digest of the algorithms that we know, in bytes.
const LONGEST: usize = 64;

/// A hash function that image-spec registers, or that is registered for it (sha384).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256, which every implementation must know.
    #[default]
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// All algorithms that a digest can have here.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name as it stands before the colon.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The length of a digest in bytes; its hex form is twice as long.
    #[must_use]
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// A hasher that has seen nothing yet.
    #[must_use]
    pub fn hasher(self) -> Hasher {
        Hasher(match self {
            Self::Sha256 => State::Sha256(Sha256::new()),
            Self::Sha384 => State::Sha384(Sha384::new()),
            Self::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// The digest of `bytes`.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Digest {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish()
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(name: &str) -> Result<Self, DigestError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
            .ok_or_else(|| DigestError::new(name, "the algorithm is not one of sha256, sha384, sha512"))
    }
}

/// Computes a [`Digest`] piece by piece.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha384(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// Whether [`update_both`](Self::update_both) takes less time for this and another one like it than for one after the other, on this machine.
    #[must_use]
    pub fn gains_by_two(&self) -> bool {
        matches!(self.0, State::Sha256(_)) && Sha256::gains_by_two()
    }

    /// Takes in the next bytes of two contents. Of SHA-256 that takes much less time than one after the other, where the processor has
    /// instructions for it.
    pub fn update_both(one: (&mut Self, &[u8]), other: (&mut Self, &[u8])) {
        match (&mut one.0.0, &mut other.0.0) {
            (State::Sha256(state), State::Sha256(other_state)) => {
                Sha256::update_both((state, one.1), (other_state, other.1));
            }
            _ => {
                one.0.update(one.1);
                other.0.update(other.1);
            }
        }
    }

    /// The digest of all that was taken in.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest::of_bytes(Algorithm::Sha256, &state.finish()),
            State::Sha384(state) => Digest::of_bytes(Algorithm::Sha384, &state.finalize()),
            State::Sha512(state) => Digest::of_bytes(Algorithm::Sha512, &state.finalize()),
        }
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha384(_) => Algorithm::Sha384,
            State::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// What it has made of all that was taken in so far, in some 200 bytes: what [`restore`](Self::restore) goes on from, in this process or
    /// in another. It tells the last bytes that were taken in to whoever reads it.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        match &self.0 {
            State::Sha256(state) => state.save(),
            State::Sha384(state) => state.serialize().to_vec(),
            State::Sha512(state) => state.serialize().to_vec(),
        }
    }

    /// A hasher that goes on where the one that was [saved](Self::save) stood; none where `saved` is no such thing.
    #[must_use]
    pub fn restore(algorithm: Algorithm, saved: &[u8]) -> Option<Self> {
        fn restored<T: SerializableState>(saved: &[u8]) -> Option<T> {
            let saved: SerializedState<T> = Array::try_from(saved).ok()?;
            T::deserialize(&saved).ok()
        }
        let state = match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::restore(saved)?),
            Algorithm::Sha384 => State::Sha384(restored(saved)?),
            Algorithm::Sha512 => State::Sha512(restored(saved)?),
        };
        Some(Self(state))
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hasher")
    }
}

/// The name of content: `sha256:` and 64 lower-case hex digits, or the same for sha384 and sha512.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    bytes: [u8; LONGEST],
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Algorithm::Sha256.digest(bytes)
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The bytes, as many as the algorithm gives.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.digest_len()]
    }

    /// The lower-case hex digits after the colon.
    #[must_use]
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = String::with_capacity(2 * self.algorithm.digest_len());
        for byte in self.bytes() {
            hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
            hex.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        hex
    }

    /// The first twelve hex digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        let mut hex = self.hex();
        hex.truncate(12);
        hex
    }

    /// The digest that has these [`bytes`](Self::bytes) under an algorithm; none where it gives more or fewer.
    #[must_use]
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == algorithm.digest_len()).then(|| Self::of_bytes(algorithm, bytes))
    }

    fn of_bytes(algorithm: Algorithm, digest: &[u8]) -> Self {
        let mut bytes = [0; LONGEST];
        bytes[..digest.len()].copy_from_slice(digest);
        Self { algorithm, bytes }
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(input: &str) -> Result<Self, DigestError> {
        let (algorithm, hex) = input
            .split_once(':')
            .ok_or_else(|| DigestError::new(input, "there is no colon in it"))?;
        let algorithm: Algorithm = algorithm
            .parse()
            .map_err(|_| DigestError::new(input, "the algorithm is not one of sha256, sha384, sha512"))?;
        if hex.len() != 2 * algorithm.digest_len() {
            return Err(DigestError::new(input, "it has the wrong number of hex digits"));
        }
        let mut bytes = [0; LONGEST];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else {
                return Err(DigestError::new(input, "only 0-9 and a-f may follow the colon"));
            };
            *byte = high << 4 | low;
        }
        Ok(Self { algorithm, bytes })
    }
}

/// Lower case only: image-spec's grammar for sha256 has no upper case, and two spellings would be two names.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.algorithm, self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer, "a digest", str::parse)
    }
}

/// A string that is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{input:?} is not a digest: {reason}")]
pub struct DigestError {
    input: String,
    reason: &'static str,
}

impl DigestError {
    fn new(input: &str, reason: &'static str) -> Self {
        // An enemy's string is shown, but not more of it than a digest could have.
        let input = input.chars().take(2 * LONGEST + 16).collect();
        Self { input, reason }
    }
}
