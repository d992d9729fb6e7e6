//! What is a certificate called, and which key does it have? As far as RFC 5280 (4.1) has to be read for that. Whether the certificate may be
//! believed was found out before, by who made the connection, or by who put it into a file of ours.

use rustls::pki_types::CertificateDer;

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

/// A certificate from its subject on.
fn behind_times<'a>(certificate: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    let (certificate, _) = of(SEQUENCE, certificate)?;
    let (mut rest, _) = of(SEQUENCE, certificate)?;
    if let Some((_, behind)) = of(VERSION, rest) {
        rest = behind;
    }
    // The serial number, the algorithm, the issuer and the time stand before the subject.
    for _ in 0..4 {
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
        let other = tagged(SEQUENCE, b"");
        let version = if version {
            tagged(VERSION, &[2, 1, 2])
        } else {
            Vec::new()
        };
        let issuer = tagged(SEQUENCE, &name(COMMON_NAME, UTF8, b"issuer"));
        let subject = tagged(SEQUENCE, &subject.concat());
        let body = [version, tagged(2, &[1]), other.clone(), issuer, other, subject].concat();
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
    fn what_is_cut_short_has_no_name() {
        let whole = certificate(&[name(COMMON_NAME, UTF8, &[b'x'; 100])], true);
        assert_eq!(common_name(&whole), Some("x".repeat(100)));
        for end in 0..whole.len() {
            assert_eq!(common_name(&CertificateDer::from(&whole[..end])), None, "{end}");
        }
    }
}
