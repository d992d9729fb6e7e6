//! What is a certificate called, and which key does it have? As far as RFC 5280 (4.1) has to be read for that. Whether the certificate may be
//! believed was found out before, by who made the connection, or by who put it into a file of ours.

use rustls::pki_types::CertificateDer;
use teu_spec::Timestamp;

/// `2.5.4.3`, `commonName`.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OBJECT: u8 = 0x06;
const VERSION: u8 = 0xa0;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const IA5: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// What an algorithm of a public key is called, and its key.
pub(crate) struct PublicKey<'a> {
    pub(crate) algorithm: &'a [u8],
    /// The curve, where the algorithm has one.
    pub(crate) curve: Option<&'a [u8]>,
    pub(crate) bits: &'a [u8],
}

/// The public key of a certificate.
pub(crate) fn public_key<'a>(certificate: &'a CertificateDer<'_>) -> Option<PublicKey<'a>> {
    let (_, _, key) = item(behind_times(certificate)?)?;
    subject_public_key(key)
}

/// A public key, as certificates and files of it alone have it (RFC 5280, 4.1.2.7).
pub(crate) fn subject_public_key(info: &[u8]) -> Option<PublicKey<'_>> {
    let (info, _) = of(SEQUENCE, info)?;
    let (names, rest) = of(SEQUENCE, info)?;
    let (algorithm, curve) = of(OBJECT, names)?;
    let (bits, _) = of(BITS, rest)?;
    Some(PublicKey {
        algorithm,
        curve: of(OBJECT, curve).map(|(curve, _)| curve),
        // There are no bits left over at the end of a key.
        bits: bits.strip_prefix(&[0])?,
    })
}

/// Modulus and exponent of a key for RSA (RFC 8017, A.1.1).
pub(crate) fn rsa(bits: &[u8]) -> Option<(&[u8], &[u8])> {
    let (numbers, _) = of(SEQUENCE, bits)?;
    let (modulus, rest) = of(INTEGER, numbers)?;
    let (exponent, _) = of(INTEGER, rest)?;
    let unsigned = |number: &'_ [u8]| number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    Some((&modulus[unsigned(modulus)..], &exponent[unsigned(exponent)..]))
}

/// When a certificate expires (RFC 5280, 4.1.2.5).
pub(crate) fn not_after(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (times, _) = of(SEQUENCE, behind(certificate, 3)?)?;
    let (_, _, rest) = item(times)?;
    let (kind, text, _) = item(rest)?;
    let digits = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (kind, digits.len()) {
        // Two digits of a year are those of 1950 to 2049.
        (UTC_TIME, 12) => (
            if digits < "50" { "20" } else { "19" }.to_owned() + &digits[..2],
            &digits[2..],
        ),
        (GENERALIZED_TIME, 14) => (digits[..4].to_owned(), &digits[4..]),
        _ => return None,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| &rest[at..at + 2]);
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z").parse().ok()
}

/// A certificate from its subject on.
fn behind_times<'a>(certificate: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    behind(certificate, 4)
}

/// A certificate behind so many of its first items: the serial number, the algorithm, the issuer and the times.
fn behind<'a>(certificate: &'a CertificateDer<'_>, items: usize) -> Option<&'a [u8]> {
    let (certificate, _) = of(SEQUENCE, certificate)?;
    let (mut rest, _) = of(SEQUENCE, certificate)?;
    if let Some((_, behind)) = of(VERSION, rest) {
        rest = behind;
    }
    for _ in 0..items {
        (_, _, rest) = item(rest)?;
    }
    Some(rest)
}

/// The common name of the subject, the last where it has several; none where it has none, or one that is no plain text.
pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (mut names, _) = of(SEQUENCE, behind_times(certificate)?)?;
    let mut found = None;
    while !names.is_empty() {
        let (mut set, behind) = of(SET, names)?;
        names = behind;
        while !set.is_empty() {
            let (pair, behind) = of(SEQUENCE, set)?;
            set = behind;
            let (kind, value) = of(OBJECT, pair)?;
            let (tag, text, _) = item(value)?;
            if kind == COMMON_NAME {
                found = match tag {
                    UTF8 | PRINTABLE | IA5 => std::str::from_utf8(text).ok().map(str::to_owned),
                    _ => None,
                };
            }
        }
    }
    found.filter(|name| !name.is_empty() && !name.chars().any(char::is_control))
}

/// The content of the item that comes first, which must be of this kind, and what is behind it.
fn of(kind: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = item(bytes)?;
    (found == kind).then_some((content, rest))
}

/// The item that comes first, in DER: its tag, its content and what is behind it.
fn item(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, short], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            let length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("short");
        let mut all = match length {
            0..=0x7f => vec![tag, length],
            _ => vec![tag, 0x81, length],
        };
        all.extend_from_slice(content);
        all
    }

    fn name(kind: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
        let pair = [tagged(OBJECT, kind), tagged(tag, text)].concat();
        tagged(SET, &tagged(SEQUENCE, &pair))
    }

    fn certificate(subject: &[Vec<u8>], version: bool) -> CertificateDer<'static> {
        good_until(subject, version, &[])
    }

    fn good_until(subject: &[Vec<u8>], version: bool, end: &[u8]) -> CertificateDer<'static> {
        let other = tagged(SEQUENCE, b"");
        let times = tagged(SEQUENCE, &[&tagged(UTC_TIME, b"200101000000Z"), end].concat());
        let version = if version {
            tagged(VERSION, &[2, 1, 2])
        } else {
            Vec::new()
        };
        let issuer = tagged(SEQUENCE, &name(COMMON_NAME, UTF8, b"issuer"));
        let subject = tagged(SEQUENCE, &subject.concat());
        let body = [version, tagged(2, &[1]), other.clone(), issuer, times, subject].concat();
        tagged(SEQUENCE, &tagged(SEQUENCE, &body)).into()
    }

    #[test]
    fn it_is_the_common_name_of_its_subject() {
        let organization: &[u8] = &[0x55, 0x04, 0x0a];
        for (subject, expected) in [
            (vec![name(COMMON_NAME, UTF8, "zoé".as_bytes())], Some("zoé")),
            (vec![name(COMMON_NAME, PRINTABLE, b"ci")], Some("ci")),
            (
                vec![name(organization, UTF8, b"teu"), name(COMMON_NAME, UTF8, b"ci")],
                Some("ci"),
            ),
            (
                vec![name(COMMON_NAME, UTF8, b"ci"), name(COMMON_NAME, UTF8, b"last")],
                Some("last"),
            ),
            (vec![name(organization, UTF8, b"teu")], None),
            (vec![name(COMMON_NAME, UTF8, b"")], None),
            (vec![name(COMMON_NAME, UTF8, b"a\nb")], None),
            (vec![name(COMMON_NAME, UTF8, b"\xff")], None),
            (vec![name(COMMON_NAME, 0x1e, b"\0a")], None),
            (vec![], None),
        ] {
            for version in [true, false] {
                let found = common_name(&certificate(&subject, version));
                assert_eq!(found.as_deref(), expected, "{subject:?}");
            }
        }
    }

    #[test]
    fn it_says_when_it_expires() {
        for (kind, text, expected) in [
            (UTC_TIME, "491231235959Z", Some("2049-12-31T23:59:59Z")),
            (UTC_TIME, "500101000000Z", Some("1950-01-01T00:00:00Z")),
            (GENERALIZED_TIME, "20500101000000Z", Some("2050-01-01T00:00:00Z")),
            (GENERALIZED_TIME, "500101000000Z", None),
            (UTC_TIME, "491231235959", None),
            (UTC_TIME, "4912312359é9Z", None),
            (UTC_TIME, "491331235959Z", None),
            (SET, "491231235959Z", None),
        ] {
            let found = not_after(&good_until(&[], true, &tagged(kind, text.as_bytes())));
            assert_eq!(found.map(|end| end.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_cut_short_has_no_name() {
        let whole = certificate(&[name(COMMON_NAME, UTF8, &[b'x'; 100])], true);
        assert_eq!(common_name(&whole), Some("x".repeat(100)));
        for end in 0..whole.len() {
            assert_eq!(common_name(&CertificateDer::from(&whole[..end])), None, "{end}");
            assert_eq!(not_after(&CertificateDer::from(&whole[..end])), None, "{end}");
        }
    }
}
