//! How are the places of a layer written down? A file has the windows first, one behind the other, then the [`Map`], how many bytes that has (8, the
//! lowest first), and the SHA-256 of the map.
//!
//! The map is `teu places 1\n`; the digests of blob and archive, as text; the compression; the sizes of blob and archive; how many bytes of the archive
//! lie between two states, how many states there are, and each; how many places, and of each how far its input and its output are behind those of the
//! one before, and what has to be known there. Numbers and bytes are as in [`compact`](crate::compact). The windows have no sum: what comes of a wrong
//! one leads to no state.

use std::{fs::File, os::unix::fs::FileExt};

use teu_archive::codec::{self, Compression};
use teu_spec::{Digest, Hasher};
use teu_store::{Error, ErrorKind, Result};

use crate::{
    compact::{Cursor, bytes, number},
    contents::frame::digest,
};

const MAGIC: &[u8] = b"teu places 1\n";
/// The bytes of a SHA-256, and of the length before it.
const SUM: usize = 32;
const LENGTH: usize = 8;
/// The most bytes of a map: some 4,096 states of 200 bytes, and 1,024 places.
const MOST_BYTES: u64 = 4 << 20;

/// Where one can begin in a layer, and what it is held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// The digest of the layer's blob.
    pub layer: Digest,
    /// The digest of the archive in it.
    pub diff_id: Digest,
    /// How the blob is compressed.
    pub compression: Compression,
    /// The bytes of the blob.
    pub blob_size: u64,
    /// The bytes of the archive.
    pub size: u64,
    /// How many bytes of the archive lie between two states.
    pub between: u64,
    /// The [saved](Hasher::save) states of the DiffID's hasher, the first one behind so many bytes.
    pub states: Vec<Vec<u8>>,
    /// The places, in their order.
    pub places: Vec<Begin>,
}

/// A place in the blob, from which the archive comes out, whose window lies in the file.
pub type Begin = codec::Place<Window>;

/// Where a window is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The bytes of the file before it: it is behind that of the place before.
    pub at: u64,
    /// How many bytes it has.
    pub bytes: u32,
}

impl Map {
    /// The form in which it is kept, without length and sum.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut form = MAGIC.to_vec();
        bytes(&mut form, self.layer.to_string().as_bytes());
        bytes(&mut form, self.diff_id.to_string().as_bytes());
        form.push(match self.compression {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Zstd => 2,
        });
        for value in [self.blob_size, self.size, self.between, self.states.len() as u64] {
            number(&mut form, value);
        }
        for state in &self.states {
            bytes(&mut form, state);
        }
        number(&mut form, self.places.len() as u64);
        let (mut input, mut output) = (0, 0);
        for place in &self.places {
            number(&mut form, place.input - input);
            number(&mut form, place.output - output);
            (input, output) = (place.input, place.output);
            match &place.inside {
                None => form.push(0),
                Some(inside) => {
                    form.extend([1, inside.bits, inside.count]);
                    form.extend(inside.crc.to_le_bytes());
                    form.extend(inside.size.to_le_bytes());
                    number(&mut form, u64::from(inside.window.bytes));
                }
            }
        }
        form
    }

    /// Reads that form.
    ///
    /// # Errors
    /// `Mismatch` for what is no map, of another version, or of what no layer has.
    pub fn from_bytes(form: &[u8]) -> Result<Self> {
        if !form.starts_with(MAGIC) {
            return Err(malformed());
        }
        let mut cursor = Cursor::new(form, MAGIC.len(), malformed);
        let (layer, diff_id) = (digest(&mut cursor)?, digest(&mut cursor)?);
        let compression = match cursor.byte()? {
            0 => Compression::None,
            1 => Compression::Gzip,
            2 => Compression::Zstd,
            _ => return Err(malformed()),
        };
        let (blob_size, size, between) = (cursor.number()?, cursor.number()?, cursor.number()?);
        let count = cursor.number()?;
        if between == 0 || between > super::MOST_BETWEEN || count != size / between {
            return Err(malformed());
        }
        let mut states = Vec::new();
        for _ in 0..count {
            let state = cursor.bytes()?;
            Hasher::restore(diff_id.algorithm(), state).ok_or_else(malformed)?;
            states.push(state.to_vec());
        }
        let count = cursor.number()?;
        let mut places = Vec::new();
        let (mut before, mut at) = (Begin::default(), 0);
        for _ in 0..count {
            let input = before.input.checked_add(cursor.number()?).ok_or_else(malformed)?;
            let output = before.output.checked_add(cursor.number()?).ok_or_else(malformed)?;
            let inside = match cursor.byte()? {
                0 => None,
                1 => Some(inside(&mut cursor, &mut at)?),
                _ => return Err(malformed()),
            };
            if input <= before.input || input > blob_size || output > size {
                return Err(malformed());
            }
            before = Begin { input, output, inside };
            places.push(before.clone());
        }
        if cursor.at() != form.len() {
            return Err(malformed());
        }
        Ok(Self {
            layer,
            diff_id,
            compression,
            blob_size,
            size,
            between,
            states,
            places,
        })
    }

    /// What stands behind the windows.
    pub(super) fn end(&self) -> Vec<u8> {
        let mut form = self.to_bytes();
        let (length, sum) = (form.len() as u64, Digest::of(&form));
        form.extend(length.to_le_bytes());
        form.extend(sum.bytes());
        form
    }

    /// Reads the map of a file.
    pub(super) fn of_file(file: &File) -> Result<Self> {
        let all = file.metadata()?.len();
        let end = all.checked_sub((LENGTH + SUM) as u64).ok_or_else(malformed)?;
        let mut foot = [0; LENGTH + SUM];
        file.read_exact_at(&mut foot, end)?;
        let (length, sum) = foot.split_at(LENGTH);
        let length = u64::from_le_bytes(length.try_into().map_err(|_| malformed())?);
        let from = end.checked_sub(length).filter(|_| length <= MOST_BYTES);
        let from = from.ok_or_else(malformed)?;
        let mut form = vec![0; usize::try_from(length).map_err(|_| malformed())?];
        file.read_exact_at(&mut form, from)?;
        if Digest::of(&form).bytes() != sum {
            return Err(malformed());
        }
        let map = Self::from_bytes(&form)?;
        match map.windows() == from {
            true => Ok(map),
            false => Err(malformed()),
        }
    }

    /// How many bytes all windows have.
    fn windows(&self) -> u64 {
        let windows = self.places.iter().filter_map(|place| place.inside.as_ref());
        windows.map(|inside| u64::from(inside.window.bytes)).sum()
    }

    /// Where one can begin to come to this byte of the archive.
    pub(super) fn before(&self, output: u64) -> Begin {
        if self.compression == Compression::None {
            return Begin {
                input: output,
                output,
                inside: None,
            };
        }
        let behind = self.places.partition_point(|place| place.output <= output);
        behind
            .checked_sub(1)
            .map_or_else(Begin::default, |last| self.places[last].clone())
    }

    /// With how many bytes of the blob all comes out before this byte of the archive.
    pub(super) fn enough(&self, output: u64) -> u64 {
        if self.compression == Compression::None {
            return output.min(self.blob_size);
        }
        let behind = self.places.partition_point(|place| place.output < output);
        self.places.get(behind).map_or(self.blob_size, |place| place.input)
    }

    /// The hasher of the DiffID, behind so many times [`between`](Self::between) bytes.
    pub(super) fn hasher(&self, states: u64) -> Result<Hasher> {
        let algorithm = self.diff_id.algorithm();
        let Some(state) = states.checked_sub(1) else {
            return Ok(algorithm.hasher());
        };
        let state = usize::try_from(state).ok().and_then(|state| self.states.get(state));
        let restored = state.and_then(|state| Hasher::restore(algorithm, state));
        restored.ok_or_else(malformed)
    }
}

fn inside(cursor: &mut Cursor<'_>, end: &mut u64) -> Result<codec::Inside<Window>> {
    let (bits, count) = (cursor.byte()?, cursor.byte()?);
    let mut word = || -> Result<u32> {
        let word = cursor.take(4)?.try_into().map_err(|_| malformed())?;
        Ok(u32::from_le_bytes(word))
    };
    let (crc, size) = (word()?, word()?);
    let bytes = cursor.small()?;
    if count > 7 || bytes as usize > codec::Inside::WINDOW {
        return Err(malformed());
    }
    let window = Window { at: *end, bytes };
    *end += u64::from(bytes);
    Ok(codec::Inside {
        bits,
        count,
        crc,
        size,
        window,
    })
}

pub(super) fn malformed() -> Error {
    Error::new(
        ErrorKind::Mismatch,
        "what is kept of the layer is no map of it, or does not lead to what it has",
    )
}
