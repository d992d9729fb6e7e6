//! Which members has an archive that can seek, and where do they lie?
//!
//! The index holds headers and offsets, no content, and can outlive the source: whoever has the file open can read any
//! member at its place, several at once.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use super::content::Content;
use super::sparse::Segment;
use super::{End, EntryKind, Header, Limits, Reader};
use crate::{Error, Result};

/// The members of an archive, in order and by name.
///
/// Names are compared as paths inside the archive: `./a`, `/a`, `a/` and `a//.` are `a`. Where a name stands more than
/// once the last one counts, as it does for every tool that unpacks. A name with a `..` in it is listed, but not found:
/// nothing that asks by name wants a member that lies outside of the archive.
///
/// ```
/// use std::io::{Cursor, Read};
/// use teu_archive::tar::{Header, Index, Limits, Writer};
///
/// # fn main() -> teu_archive::Result<()> {
/// let mut writer = Writer::new(Vec::new());
/// writer.append_data(&Header::file("blobs/one", 3), b"1st")?;
/// writer.append_data(&Header::file("blobs/two", 3), b"2nd")?;
/// let mut archive = Cursor::new(writer.finish()?);
///
/// let index = Index::read(&mut archive, Limits::default())?;
/// let member = index.file(b"blobs/two")?.expect("was written above");
/// assert_eq!(member.range()?, 1536..1539);
/// let mut content = String::new();
/// member.open(&mut archive)?.read_to_string(&mut content)?;
/// assert_eq!(content, "2nd");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Index {
    members: Vec<Member>,
    by_name: HashMap<Vec<u8>, usize>,
    end: End,
}

/// An entry and where its content lies in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What the entry says of itself.
    pub header: Header,
    /// The offset in the archive of its first header, in bytes.
    pub header_offset: u64,
    /// The offset in the archive of the first stored byte of its content.
    pub data_offset: u64,
    /// The stretches that hold data, stored one after the other from [`Member::data_offset`] on. A file that is not
    /// sparse has one, an empty one none.
    pub segments: Vec<Segment>,
    /// Of a hard link: the entry that had the link's target as its name at that place of the archive.
    target: Option<usize>,
}

/// How many links [`Index::file`] follows before it calls them a loop.
const LINKS: usize = 8;

impl Index {
    /// Walks an archive from its start, seeking over what is in its files. The source is left at any place.
    ///
    /// # Errors
    /// As [`Reader`]; and the limit `index_bytes`.
    pub fn read<R: Read + Seek>(source: R, limits: Limits) -> Result<Self> {
        let most = limits.index_bytes;
        let mut reader = Reader::seekable(source, limits)?;
        let mut index = Index {
            members: Vec::new(),
            by_name: HashMap::new(),
            end: End::NoMarker,
        };
        let mut memory = 0u64;
        while let Some(entry) = reader.next_entry()? {
            let member = Member {
                header_offset: entry.header_offset(),
                data_offset: entry.data_offset(),
                segments: entry.segments().to_vec(),
                // Not taken: the reader names the entry where its content turns out to be cut off.
                header: entry.header().clone(),
                target: None,
            };
            memory = memory.saturating_add(member.memory());
            if memory > most {
                let error = Error::limit(
                    "tar",
                    "index_bytes",
                    most,
                    "the archive has too many entries for an index",
                );
                return Err(error.at(member.header_offset).of(&member.header.path));
            }
            index.add(member);
        }
        index.end = reader.end().expect("the walk ended without an error");
        Ok(index)
    }

    /// All members in the order of the archive, those too that a later one of the same name replaces.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The last member of a name, links not followed.
    pub fn get(&self, name: &[u8]) -> Option<&Member> {
        self.by_name.get(&clean(name)?).map(|&at| &self.members[at])
    }

    /// The regular file of a name, through symbolic and hard links that lead to another member, as Docker's archives have
    /// them for layers that appear twice. Links among the parents of a name are not followed. `None` if there is no
    /// member of that name.
    ///
    /// # Errors
    /// [`Malformed`](crate::ErrorKind::Malformed) if a link leads nowhere, out of the archive, or round in a circle;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the name is not that of a file.
    pub fn file(&self, name: &[u8]) -> Result<Option<&Member>> {
        let Some(first) = self.get(name) else { return Ok(None) };
        let mut member = first;
        let fail = |error: Error| Err(error.at(first.header_offset).of(&first.header.path));
        for _ in 0..=LINKS {
            let next = match member.header.kind {
                EntryKind::Regular => return Ok(Some(member)),
                EntryKind::HardLink => member.target.map(|at| &self.members[at]),
                EntryKind::Symlink => match follow(&member.header) {
                    Some(name) => self.by_name.get(&name).map(|&at| &self.members[at]),
                    None => return fail(Error::malformed("tar", "the link leads out of the archive")),
                },
                other => {
                    return fail(Error::unsupported(
                        "tar",
                        format!("a file is needed here, not a {other:?}"),
                    ));
                }
            };
            member = match next {
                Some(next) => next,
                None => {
                    return fail(Error::malformed(
                        "tar",
                        "the link leads to a name that the archive does not have",
                    ));
                }
            };
        }
        fail(Error::malformed(
            "tar",
            format!("it takes more than {LINKS} links to come to a file"),
        ))
    }

    /// How the archive ended.
    pub fn end(&self) -> End {
        self.end
    }

    fn add(&mut self, mut member: Member) {
        if member.header.kind == EntryKind::HardLink {
            member.target = clean(&member.header.link).and_then(|name| self.by_name.get(&name).copied());
        }
        if let Some(name) = clean(&member.header.path) {
            self.by_name.insert(name, self.members.len());
        }
        self.members.push(member);
    }
}

impl Member {
    /// The bytes of the archive that are the content of this file.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a sparse file, whose content does not lie in one piece; and for
    /// what is not a regular file.
    pub fn range(&self) -> Result<Range<u64>> {
        let fail = |what: String| {
            Err(Error::unsupported("tar", what)
                .at(self.header_offset)
                .of(&self.header.path))
        };
        if self.header.kind != EntryKind::Regular {
            return fail(format!("a file is needed here, not a {:?}", self.header.kind));
        }
        match self.segments[..] {
            [] if self.header.size == 0 => {}
            [Segment { offset: 0, length }] if length == self.header.size => {}
            _ => return fail("the file is sparse and does not lie in one piece; open it to read it".into()),
        }
        Ok(self.data_offset..self.data_offset + self.header.size)
    }

    /// Reads the content from the archive, the holes of a sparse file as zeros; empty for all but regular files.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) if the source cannot seek to it.
    pub fn open<R: Read + Seek>(&self, mut source: R) -> Result<MemberReader<R>> {
        source.seek(SeekFrom::Start(self.data_offset))?;
        Ok(MemberReader {
            source,
            content: Content::new(self.segments.clone(), self.header.size),
        })
    }

    /// Bytes that this member takes in an index, about: itself in a vector that grows, its name twice, and what it points to.
    fn memory(&self) -> u64 {
        let Header {
            path,
            link,
            uname,
            gname,
            xattrs,
            extra,
            ..
        } = &self.header;
        let map = |map: &std::collections::BTreeMap<Vec<u8>, Vec<u8>>| -> usize {
            map.iter().map(|(key, value)| key.len() + value.len() + 128).sum()
        };
        let fixed = 2 * size_of::<Member>() + 64 + self.segments.len() * size_of::<Segment>();
        (fixed + 2 * path.len() + link.len() + uname.len() + gname.len() + map(xattrs) + map(extra)) as u64
    }
}

/// The content of a member. It ends after [`Header::size`] bytes and never short of them.
#[derive(Debug)]
pub struct MemberReader<R> {
    source: R,
    content: Content,
}

impl<R: Read> Read for MemberReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let content = &mut self.content;
        if into.is_empty() {
            return Ok(0);
        }
        let zeros = content.fill_hole(into);
        if zeros != 0 || content.position == content.size {
            return Ok(zeros);
        }
        let most = usize::try_from(content.segment_left())
            .unwrap_or(usize::MAX)
            .min(into.len());
        match self.source.read(&mut into[..most])? {
            0 => Err(Error::truncated("tar", "the archive became shorter after its index was made").into()),
            count => {
                content.advance(count as u64);
                Ok(count)
            }
        }
    }
}

/// The key of a name in the index: its components, without empty ones and `.`. `None` if one is `..`.
fn clean(name: &[u8]) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(name.len());
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            part => push(&mut key, part),
        }
    }
    Some(key)
}

/// The name that a symbolic link means, read from where the link stands. `None` if that is outside of the archive.
fn follow(link: &Header) -> Option<Vec<u8>> {
    let mut key = match link.link.starts_with(b"/") {
        true => Vec::new(),
        false => clean(&link.path)?,
    };
    if !key.is_empty() {
        pop(&mut key)?;
    }
    for part in link.link.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => pop(&mut key)?,
            part => push(&mut key, part),
        }
    }
    Some(key)
}

fn push(key: &mut Vec<u8>, part: &[u8]) {
    if !key.is_empty() {
        key.push(b'/');
    }
    key.extend_from_slice(part);
}

fn pop(key: &mut Vec<u8>) -> Option<()> {
    if key.is_empty() {
        return None;
    }
    key.truncate(key.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
    Some(())
}
