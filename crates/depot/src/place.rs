//! Where does content lie? At a [`Place`] that is used once: a digest, and an identity that no other write of the same content has. So what
//! removes old content never meets what was written anew under the same digest.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Result};

/// Crockford's digits: no I, L, O, U. In lower case, as file names are.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// How many digits 128 bits take.
const LENGTH: usize = 26;

/// An identity that is made once: 48 bits of time, in milliseconds since 1970, and 80 that are random (the ULID of github.com/ulid/spec).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ulid(u128);

impl Ulid {
    /// A new one.
    ///
    /// # Errors
    /// `Io` where the system has no random numbers.
    pub fn new(now: Millis) -> Result<Self> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random[6..]).map_err(|error| {
            Error::new(
                ErrorKind::Io,
                format!("the system has no random numbers for a name: {error}"),
            )
        })?;
        let time = u128::try_from(now.0).unwrap_or(0) & 0xffff_ffff_ffff;
        Ok(Self(time << 80 | u128::from_be_bytes(random)))
    }

    /// Its 16 bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The one of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// When it was made.
    #[must_use]
    pub fn made(&self) -> Millis {
        // 48 bits are left.
        Millis((self.0 >> 80) as i64)
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..LENGTH).rev() {
            let digit = (self.0 >> (5 * place)) as usize & 31;
            write!(formatter, "{}", char::from(DIGITS[digit]))?;
        }
        Ok(())
    }
}

impl FromStr for Ulid {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        // The first digit has but three bits.
        if text.len() != LENGTH || text.as_bytes()[0] > b'7' {
            return Err(());
        }
        let value = text.bytes().try_fold(0_u128, |value, byte| {
            let digit = DIGITS.iter().position(|digit| *digit == byte)?;
            Some(value << 5 | digit as u128)
        });
        value.map(Self).ok_or(())
    }
}

/// Where content of a digest lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// What the content is.
    pub digest: Digest,
    /// Which writing of it.
    pub ulid: Ulid,
}

/// `<algorithm>-<hex>-<ulid>`.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { digest, ulid } = self;
        write!(formatter, "{}-{}-{ulid}", digest.algorithm(), digest.hex())
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (digest, ulid) = text.rsplit_once('-').ok_or(())?;
        Ok(Self {
            digest: digest.replacen('-', ":", 1).parse().map_err(|_| ())?,
            ulid: ulid.parse()?,
        })
    }
}

/// A time, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Millis(pub i64);

impl Millis {
    /// So much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// So much earlier.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let now = Millis(1_700_000_000_123);
        let place = Place {
            digest: Digest::of(b"content"),
            ulid: Ulid::new(now).expect("random numbers"),
        };
        let written = place.to_string();
        assert_eq!(written.parse(), Ok(place));
        assert_eq!(Ulid::from_bytes(place.ulid.bytes()), place.ulid);
        assert_eq!(place.ulid.made(), now);
        assert_ne!(Ulid::new(now).expect("random numbers"), place.ulid);
        for wrong in [
            "",
            "sha256-00",
            &written[1..],
            &written[..written.len() - 1],
            &written.to_uppercase(),
            &format!("{written}0"),
            &format!("{}8{}", &written[..written.len() - 26], "0".repeat(25)),
            "../../etc/passwd",
        ] {
            assert_eq!(wrong.parse::<Place>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn the_later_stands_behind() {
        let [early, late] = [1, 1 << 30].map(|time| Ulid::new(Millis(time)).expect("random numbers").to_string());
        assert!(early < late);
    }
}
