//! Who signed this? Keys that tokens are signed and checked with: Ed25519, ECDSA on P-256 and, to check alone, RSA. A key is for one
//! algorithm, which it decides and no token (threat 96).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
    },
};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
    pem::{PemObject, SectionKind},
};
use serde::Deserialize;
use teu_store::{Error, ErrorKind, Result};

use crate::certificate::{self, PublicKey};

/// The most keys of a set.
const MAX_KEYS: usize = 100;

/// What algorithms and the curve are called in certificates: `rsaEncryption`, `ecPublicKey` and `prime256v1`, `Ed25519` (RFC 3279, RFC 8410).
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const CURVE: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const EDWARDS: &[u8] = &[0x2b, 0x65, 0x70];

/// Keys that tokens are checked with.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    public: Public,
}

#[derive(Clone, Debug)]
enum Public {
    Ed25519(Vec<u8>),
    /// An uncompressed point.
    P256(Vec<u8>),
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

/// A key as RFC 7517 has it, of which nobody but us need understand every field.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, rename = "use")]
    purpose: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
}

impl Keys {
    /// The longest text that is read, in bytes.
    pub const MAX: usize = 1 << 20;

    /// Reads keys: a set (RFC 7517), or certificates and public keys in PEM.
    ///
    /// Of certificates the keys alone count, as whoever wrote them down vouches for them: neither their times nor what else vouches for them is
    /// looked at, and no chain of others that a token may bring (`x5c`).
    ///
    /// Of a set are taken: those for Ed25519, P-256 and RSA that may be used for signatures. Others are passed over, for an issuer
    /// may have them for others.
    ///
    /// # Errors
    /// `Invalid` where it is neither, has a private key, or no key of it can be used.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > Self::MAX {
            return Err(invalid("more keys than the 1 MiB that is read"));
        }
        if text.contains("-----BEGIN ") {
            return Self::in_pem(text);
        }
        teu_spec::json::check(text.as_bytes(), teu_spec::json::Shape::Any)?;
        let set: Set = serde_json::from_str(text).map_err(|error| invalid("no set of keys").with_cause(error))?;
        let keys: Vec<Key> = set.keys.into_iter().take(MAX_KEYS).filter_map(Jwk::key).collect();
        match keys.is_empty() {
            true => Err(invalid(
                "no key of the set can be used: none is of Ed25519, P-256 or RSA, for signatures",
            )),
            false => Ok(Self(keys)),
        }
    }

    fn in_pem(text: &str) -> Result<Self> {
        let mut keys = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
            let (kind, bytes) = section.map_err(|_| invalid("no PEM"))?;
            let public = match kind {
                SectionKind::Certificate => {
                    certificate::public_key(&CertificateDer::from(bytes.as_slice())).and_then(Public::read)
                }
                SectionKind::PublicKey => certificate::subject_public_key(&bytes).and_then(Public::read),
                SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                    return Err(invalid(
                        "a private key, which is its issuer's alone; its public key or certificate does",
                    ));
                }
                _ => None,
            };
            // Which of them signed a token it cannot say: each is tried.
            keys.extend(public.map(|public| Key { id: None, public }));
        }
        keys.truncate(MAX_KEYS);
        match keys.is_empty() {
            true => Err(invalid(
                "no key in PEM can be used: none is of Ed25519, P-256 or RSA with 2048 bits",
            )),
            false => Ok(Self(keys)),
        }
    }

    /// Whether one of the keys, the one of this name if a name is told, signed this by this algorithm.
    pub(crate) fn signed(&self, id: Option<&str>, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let named = |key: &&Key| id.is_none() || key.id.is_none() || key.id.as_deref() == id;
        let mut fitting = self
            .0
            .iter()
            .filter(named)
            .filter(|key| key.public.algorithm() == algorithm);
        fitting.any(|key| key.public.signed(message, signature))
    }
}

impl Jwk {
    fn key(self) -> Option<Key> {
        let part = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        if self.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let public = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => Public::Ed25519(part(&self.x).filter(|x| x.len() == 32)?),
            ("EC", Some("P-256")) => {
                let (x, y) = (part(&self.x)?, part(&self.y)?);
                if x.len() != 32 || y.len() != 32 {
                    return None;
                }
                Public::P256([&[4][..], &x, &y].concat())
            }
            ("RSA", _) => Public::Rsa {
                modulus: part(&self.n).filter(|n| n.len() >= 256)?,
                exponent: part(&self.e)?,
            },
            _ => return None,
        };
        let is_its_own = self
            .alg
            .as_deref()
            .is_none_or(|algorithm| algorithm == public.algorithm());
        is_its_own.then_some(Key { id: self.kid, public })
    }
}

impl Public {
    fn read(key: PublicKey<'_>) -> Option<Self> {
        match (key.algorithm, key.curve) {
            (EDWARDS, None) => Some(Self::Ed25519(key.bits.to_vec())).filter(|_| key.bits.len() == 32),
            (CURVE, Some(P256)) => Some(Self::P256(key.bits.to_vec())).filter(|_| key.bits.len() == 65),
            (RSA, _) => {
                let (modulus, exponent) = certificate::rsa(key.bits)?;
                Some(Self::Rsa {
                    modulus: Some(modulus.to_vec()).filter(|modulus| modulus.len() >= 256)?,
                    exponent: exponent.to_vec(),
                })
            }
            _ => None,
        }
    }

    /// What the algorithm is called in a token (RFC 7518, 3.1, and RFC 8037).
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::P256(_) => "ES256",
            Self::Rsa { .. } => "RS256",
        }
    }

    fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let outcome = match self {
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::P256(key) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(message, signature),
            Self::Rsa { modulus, exponent } => RsaPublicKeyComponents {
                n: modulus.as_slice(),
                e: exponent.as_slice(),
            }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
        };
        outcome.is_ok()
    }
}

/// A key that tokens are signed with.
pub struct SigningKey {
    pair: Pair,
    public: Public,
    id: String,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SigningKey").field(&self.id).finish()
    }
}

impl SigningKey {
    /// A key for Ed25519 that nobody else has: tokens that it signed are good for as long as this is kept.
    ///
    /// # Errors
    /// `Io` where the system has no random numbers.
    pub fn generate() -> Result<Self> {
        let no_numbers = |_| Error::new(ErrorKind::Io, "the system has no random numbers");
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(no_numbers)?;
        Self::of(key.as_ref())
    }

    /// Reads a key for Ed25519 or P-256 in PEM: PKCS #8 (`openssl genpkey -algorithm ed25519`), or for P-256 SEC 1 (`openssl ecparam -name prime256v1
    /// -genkey`).
    ///
    /// # Errors
    /// `Invalid` where it is none; what is in it is not said.
    pub fn parse(pem: &[u8]) -> Result<Self> {
        if let Ok(key) = PrivatePkcs8KeyDer::from_pem_slice(pem) {
            return Self::of(key.secret_pkcs8_der());
        }
        if let Ok(key) = PrivateSec1KeyDer::from_pem_slice(pem) {
            return Self::of(&in_pkcs8(key.secret_sec1_der()));
        }
        Err(invalid(
            "no private key in PEM that is one of PKCS #8, or of SEC 1 for P-256; openssl genpkey -algorithm ed25519 makes one",
        ))
    }

    fn of(key: &[u8]) -> Result<Self> {
        let ecdsa = || {
            let random = SystemRandom::new();
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key, &random)
        };
        let pair = match Ed25519KeyPair::from_pkcs8_maybe_unchecked(key) {
            Ok(pair) => Pair::Ed25519(pair),
            Err(_) => Pair::P256(ecdsa().map_err(|_| invalid("a private key that is none for Ed25519 or P-256"))?),
        };
        let public = match &pair {
            Pair::Ed25519(pair) => Public::Ed25519(pair.public_key().as_ref().to_vec()),
            Pair::P256(pair) => Public::P256(pair.public_key().as_ref().to_vec()),
        };
        let (Public::Ed25519(bytes) | Public::P256(bytes) | Public::Rsa { modulus: bytes, .. }) = &public;
        let id = URL_SAFE_NO_PAD.encode(digest(&SHA256, bytes));
        Ok(Self { pair, public, id })
    }

    /// What its tokens are checked with.
    #[must_use]
    pub fn keys(&self) -> Keys {
        Keys(vec![Key {
            id: Some(self.id.clone()),
            public: self.public.clone(),
        }])
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        self.public.algorithm()
    }

    /// # Errors
    /// `Io` where the system has no random numbers.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::P256(pair) => {
                let signed = pair.sign(&SystemRandom::new(), message);
                let signed = signed.map_err(|_| Error::new(ErrorKind::Io, "the system has no random numbers"))?;
                Ok(signed.as_ref().to_vec())
            }
        }
    }
}

/// A key of SEC 1 (RFC 5915) as PKCS #8 (RFC 5208) has it, for P-256: whether it is for that is seen when it is read.
fn in_pkcs8(key: &[u8]) -> Vec<u8> {
    const INTEGER: u8 = 0x02;
    const OCTETS: u8 = 0x04;
    const IDENTIFIER: u8 = 0x06;
    const SEQUENCE: u8 = 0x30;
    let algorithm = [element(IDENTIFIER, CURVE), element(IDENTIFIER, P256)].concat();
    let parts = [
        element(INTEGER, &[0]),
        element(SEQUENCE, &algorithm),
        element(OCTETS, key),
    ];
    element(SEQUENCE, &parts.concat())
}

/// An element of DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut element = vec![tag];
    match content.len() {
        0..0x80 => element.push(content.len() as u8),
        // How many bytes the length has, which are at most eight.
        _ => element.push(0x80 | length.len() as u8),
    }
    if content.len() >= 0x80 {
        element.extend_from_slice(length);
    }
    element.extend_from_slice(content);
    element
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl ecparam -name prime256v1 -genkey`.
    const SEC1: &str = "-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEILAeU9Q0MKEoTlzAu4tTXNtIeK1sDRqp3Br9ybvLXyBCoAoGCCqGSM49
AwEHoUQDQgAEWZEwwluhm3DteI5oopxitqZCNZSf/0Bcgxe/MQ/87m3sDUFHngHr
oqpXhJvReu+3oZ4gjcMXf+g3qnRsLV/I1w==
-----END EC PRIVATE KEY-----
";
    /// The same, as `openssl pkcs8 -topk8 -nocrypt` writes it.
    const PKCS8: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgsB5T1DQwoShOXMC7
i1Nc20h4rWwNGqncGv3Ju8tfIEKhRANCAARZkTDCW6GbcO14jmiinGK2pkI1lJ//
QFyDF78xD/zubewNQUeeAeuiqleEm9F677ehniCNwxd/6DeqdGwtX8jX
-----END PRIVATE KEY-----
";
    /// `openssl ecparam -name secp384r1 -genkey -noout`.
    const P384: &str = "-----BEGIN EC PRIVATE KEY-----
MIGkAgEBBDC/+6353JClSCmod8A7Ij1oelSqtm1GHohoI7nHzbswzTPzdmoZkXf8
LGPsJ+pG2wSgBwYFK4EEACKhZANiAARtOR0EEz36JdvBOU9+uzXSJAkxnCYbmG2y
KoRA245WVQi9WzvV23zJkul5ddU/JPZP+kU/FzqM4wBzdJUAuxEDVcpeE3LAHtcR
iYR/LOtYYoKkCrhcU1kCJf3rCq7JAi0=
-----END EC PRIVATE KEY-----
";

    #[test]
    fn a_key_is_read_in_either_form() {
        let (first, second) = (SigningKey::parse(SEC1.as_bytes()), SigningKey::parse(PKCS8.as_bytes()));
        let (first, second) = (first.expect("a key"), second.expect("a key"));
        assert_eq!((first.algorithm(), first.id()), ("ES256", second.id()));
        let signed = first.sign(b"message").expect("a signature");
        for (message, expected) in [(&b"message"[..], true), (b"other", false)] {
            assert_eq!(second.keys().signed(None, "ES256", message, &signed), expected);
        }
    }

    #[test]
    fn what_is_no_key_for_tokens_is_told_apart() {
        let other = "a private key that is none for Ed25519 or P-256";
        let none = "no private key in PEM that is one of PKCS #8, or of SEC 1 for P-256";
        let rsa = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let short = SEC1.replace("MHcCAQEEILAeU9Q0MKEoTlzAu4tTXNtIeK1sDRqp3Br9ybvLXyBCoAoGCCqGSM49\n", "");
        for (pem, says) in [
            (P384, other),
            (&short, other),
            (rsa, none),
            ("no key", none),
            ("", none),
        ] {
            let error = SigningKey::parse(pem.as_bytes()).expect_err(says).to_string();
            assert!(error.contains(says), "{pem}: {error}");
        }
    }
}
