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

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::ErrorKind;
    use crate::tar::Writer;

    fn index(entries: &[(Header, &[u8])]) -> (Index, Cursor<Vec<u8>>) {
        let mut writer = Writer::new(Vec::new());
        for (header, content) in entries {
            writer.append_data(header, content).unwrap();
        }
        let mut archive = Cursor::new(writer.finish().unwrap());
        (Index::read(&mut archive, Limits::default()).unwrap(), archive)
    }

    fn content(index: &Index, archive: &mut Cursor<Vec<u8>>, name: &str) -> Vec<u8> {
        let mut content = Vec::new();
        let member = index.file(name.as_bytes()).unwrap().unwrap();
        member.open(archive).unwrap().read_to_end(&mut content).unwrap();
        content
    }

    #[test]
    fn names_are_paths_and_the_last_one_counts() {
        let (index, mut archive) = index(&[
            (Header::directory("./"), b""),
            (Header::file("./a", 3), b"old"),
            (Header::directory("d/"), b""),
            (Header::file("/d//x", 1), b"x"),
            (Header::file("a", 3), b"new"),
            (Header::file("../a", 4), b"evil"),
            (Header::file("d/../a", 4), b"evil"),
        ]);
        for name in ["a", "./a", "/a", "a/", ".//a/."] {
            assert_eq!(content(&index, &mut archive, name), b"new", "{name}");
        }
        assert_eq!(content(&index, &mut archive, "d/x"), b"x");
        assert_eq!(index.members().len(), 7);
        assert_eq!(index.get(b"").unwrap().header.path, b"./");
        for name in [&b"../a"[..], b"d/../a", b"b", b"d/x/y"] {
            assert_eq!(index.get(name), None);
            assert_eq!(index.file(name).unwrap(), None);
        }
        assert_eq!(index.end(), End::Marker);
    }

    #[test]
    fn links_lead_to_files() {
        let (index, mut archive) = index(&[
            (Header::file("1/layer.tar", 3), b"one"),
            (Header::symlink("2/layer.tar", "../1/layer.tar"), b""),
            (Header::hard_link("3/layer.tar", "./2/layer.tar"), b""),
            (Header::symlink("absolute", "/1/layer.tar"), b""),
            (Header::hard_link("before", "1/layer.tar"), b""),
            (Header::file("1/layer.tar", 3), b"two"),
        ]);
        for name in ["1/layer.tar", "2/layer.tar", "3/layer.tar", "absolute"] {
            assert_eq!(content(&index, &mut archive, name), b"two", "{name}");
        }
        // A hard link is to the file that had the name when the link was made.
        assert_eq!(content(&index, &mut archive, "before"), b"one");
        assert_eq!(index.get(b"2/layer.tar").unwrap().header.kind, EntryKind::Symlink);
    }

    #[test]
    fn links_that_lead_nowhere() {
        let (index, _) = index(&[
            (Header::symlink("out", "../a"), b""),
            (Header::symlink("d/out", "../../a"), b""),
            (Header::symlink("dangling", "b"), b""),
            (Header::hard_link("forward", "a"), b""),
            (Header::hard_link("self", "self"), b""),
            (Header::symlink("loop", "loop"), b""),
            (Header::symlink("l1", "l2"), b""),
            (Header::symlink("l2", "l1"), b""),
            (Header::directory("directory"), b""),
            (Header::symlink("to-directory", "directory"), b""),
            (Header::file("a", 1), b"a"),
        ]);
        for (name, kind, words) in [
            ("out", ErrorKind::Malformed, "leads out of the archive"),
            ("d/out", ErrorKind::Malformed, "leads out of the archive"),
            (
                "dangling",
                ErrorKind::Malformed,
                "a name that the archive does not have",
            ),
            ("forward", ErrorKind::Malformed, "a name that the archive does not have"),
            ("self", ErrorKind::Malformed, "a name that the archive does not have"),
            ("loop", ErrorKind::Malformed, "more than 8 links"),
            ("l1", ErrorKind::Malformed, "more than 8 links"),
            ("to-directory", ErrorKind::Unsupported, "not a Directory"),
            ("directory", ErrorKind::Unsupported, "not a Directory"),
        ] {
            let error = index.file(name.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.entry(), Some(name.as_bytes()));
        }
        assert!(index.get(b"directory").unwrap().range().is_err());
    }

    #[test]
    fn a_range_is_the_content() {
        let (index, archive) = index(&[(Header::file("a", 700), &[b'x'; 700]), (Header::file("e", 0), b"")]);
        let range = |name: &[u8]| index.get(name).unwrap().range().unwrap();
        let slice = |range: Range<u64>| &archive.get_ref()[range.start as usize..range.end as usize];
        assert_eq!(slice(range(b"a")), [b'x'; 700]);
        assert_eq!(slice(range(b"e")), b"");
    }

    #[test]
    fn an_archive_that_became_shorter() {
        let (index, archive) = index(&[(Header::file("a", 700), &[b'x'; 700])]);
        let cut = Cursor::new(&archive.get_ref()[..1000]);
        let error = index
            .get(b"a")
            .unwrap()
            .open(cut)
            .unwrap()
            .read_to_end(&mut Vec::new())
            .unwrap_err();
        assert_eq!(Error::from(error).kind(), ErrorKind::Truncated);
    }
}
