//! Is this JSON what every reader takes it for? Strict reading (threats 51-55), before anything typed looks at it.
//!
//! Readers differ where JSON is loose: which of two equal keys counts, whether `"Layers"` is `"layers"` (to Go's readers it is), what a
//! broken character becomes. An image that two readers see differently can be checked by one and run by the other, so all of that is
//! refused. How a document is changed without losing anything is the question of [`edit`].

pub mod edit;
mod extent;
mod style;

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

use crate::Error;

/// The largest manifest, index or config that is read, in bytes.
pub const MAX_DOCUMENT: u64 = 4 << 20;
/// How deep objects and arrays may stand in one another; an image's documents need eight.
pub const MAX_DEPTH: usize = 64;
/// How many keys one object may have.
pub const MAX_KEYS: usize = 1 << 16;

/// Which keys mean something to a reader, and where: there, and only there, a key that differs from one of them in case alone is refused.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Anything, such as a map whose keys are a user's: annotations, labels, ports.
    Any,
    /// An object whose listed keys have a meaning. Others may stand there too, but no array in its place.
    Object(&'static [(&'static str, Shape)]),
    /// An array of things of one shape.
    Array(&'static Shape),
}

impl Shape {
    /// The shape of the value at `key`, or the known key that it would be mistaken for.
    fn of(self, key: &str) -> Result<Self, &'static str> {
        let Self::Object(known) = self else {
            return Ok(Self::Any);
        };
        if let Some((_, shape)) = known.iter().find(|(name, _)| *name == key) {
            return Ok(*shape);
        }
        match known.iter().find(|(name, _)| folds_to(key, name)) {
            Some((name, _)) => Err(name),
            None => Ok(Self::Any),
        }
    }
}

/// Whether Go's encoding/json takes `key` for `name`: by Unicode's simple folding, which maps two characters beyond ASCII to letters.
fn folds_to(key: &str, name: &str) -> bool {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => c.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars().map(fold))
}

/// Checks that `raw` is one JSON object, not larger than [`MAX_DOCUMENT`], UTF-8 throughout, not nested deeper than [`MAX_DEPTH`], with
/// no more than [`MAX_KEYS`] keys in an object and none of them twice, and of the `shape`: no array where it has an object,
/// and no key that differs from one of its own in case alone.
///
/// It takes time and memory proportional to the size.
///
/// # Errors
/// [`Error::Json`], naming the limit or the place.
pub fn check(raw: &[u8], shape: Shape) -> Result<(), Error> {
    if raw.len() as u64 > MAX_DOCUMENT {
        return Err(Error::Json(format!(
            "{} bytes are more than the limit of {MAX_DOCUMENT}",
            raw.len()
        )));
    }
    let text = std::str::from_utf8(raw).map_err(|error| Error::Json(error.to_string()))?;
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Error::Json("it is not an object".to_owned()));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Strict { shape, depth: 0 }
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| Error::Json(error.to_string()))
}

/// Walks one value and keeps nothing of it.
struct Strict {
    shape: Shape,
    /// How many objects and arrays it stands in.
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(&self) -> Result<usize, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!(
                "nested deeper than the limit of {MAX_DEPTH} levels"
            )));
        }
        Ok(self.depth + 1)
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        let shape = match self.shape {
            Shape::Array(shape) => *shape,
            Shape::Any => Shape::Any,
            // A derived reader would take its elements for the fields in their order; Go's refuses it.
            Shape::Object(_) => return Err(de::Error::custom("an array stands where an object must")),
        };
        while sequence.next_element_seed(Strict { shape, depth })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        let mut seen = HashSet::new();
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            let shape = self.shape.of(&key).map_err(|known| {
                de::Error::custom(format_args!(
                    "the key {key:?} differs from {known:?} in case alone, which some readers take for the same"
                ))
            })?;
            if seen.contains(&key) {
                return Err(de::Error::custom(format_args!("the key {key:?} stands twice")));
            }
            if seen.len() == MAX_KEYS {
                return Err(de::Error::custom(format_args!(
                    "more than the limit of {MAX_KEYS} keys in one object"
                )));
            }
            seen.insert(key);
            map.next_value_seed(Strict { shape, depth })?;
        }
        Ok(())
    }
}

/// A key, borrowed unless it holds an escape.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }

        deserializer.deserialize_str(KeyVisitor)
    }
}

/// Reads a string by `parse`, which sees it where it stands: an index has tens of thousands of digests and media types.
pub(crate) fn parsed<'de, D, T, E>(
    deserializer: D,
    expected: &str,
    parse: fn(&str) -> Result<T, E>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    E: fmt::Display,
{
    struct Parsed<'a, T, E> {
        expected: &'a str,
        parse: fn(&str) -> Result<T, E>,
    }

    impl<T, E: fmt::Display> Visitor<'_> for Parsed<'_, T, E> {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(self.expected)
        }

        fn visit_str<F: de::Error>(self, text: &str) -> Result<T, F> {
            (self.parse)(text).map_err(F::custom)
        }
    }

    deserializer.deserialize_str(Parsed { expected, parse })
}

/// Reads `""` as absent, as Go's `omitempty` has it.
pub(crate) fn empty_is_absent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
}

/// Reads what [`check`] let pass into a type; `what` names the document in the error.
pub(crate) fn read<'de, T: Deserialize<'de>>(raw: &'de [u8], what: &'static str) -> Result<T, Error> {
    serde_json::from_slice(raw).map_err(|error| Error::document(what, error.to_string()))
}

/// Reads `null` as the default, as Go's readers do: umoci writes `"manifests": null`.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
