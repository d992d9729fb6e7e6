//! Who runs the process? The image's `User`, looked up in the image's own accounts (conversion.md, "Config.User").
//!
//! The accounts are content of an image that nobody vouches for: the caller reads them through the root's handle, with a limit, and what is
//! malformed in them is passed over.

use teu_store::{Error, ErrorKind, Result};

/// The most bytes of `/etc/passwd` or `/etc/group` that are worth reading: 4 MiB.
pub const ACCOUNTS_LIMIT: u64 = 4 << 20;

/// The most groups that Linux gives a process (`NGROUPS_MAX`).
const MOST_GROUPS: usize = 65_536;

/// The accounts of an image: the content of two files, empty where they are not there.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// `/etc/passwd`.
    pub passwd: Vec<u8>,
    /// `/etc/group`.
    pub group: Vec<u8>,
}

/// Who runs a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// The user's other groups, in the order of the file.
    pub additional_gids: Vec<u32>,
    /// The user's home, where the accounts say it.
    pub home: Option<String>,
}

/// A line of `/etc/passwd`.
struct Account<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
}

/// A line of `/etc/group`.
struct Group<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

impl Accounts {
    /// Finds who is meant by `user`, `uid`, `user:group` and so on. Numbers are taken as they are. Nobody means root.
    ///
    /// Where no group is said, a user who has an account gets its group and all others that it is in, whether the user is named, given by number, or
    /// root because nobody is (image-spec, config.md, `User`).
    ///
    /// # Errors
    /// `Invalid` for a name that is not there.
    pub fn resolve(&self, wanted: &str) -> Result<User> {
        let (user, group) = match wanted.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (wanted, None),
        };
        let by_number = match user {
            "" => Some(0),
            user => number(user.as_bytes()),
        };
        let account = self.accounts().find(|account| match by_number {
            Some(uid) => account.uid == uid,
            None => account.name == user.as_bytes(),
        });
        let mut found = match (&account, by_number) {
            (Some(account), _) => User {
                uid: account.uid,
                gid: account.gid,
                additional_gids: Vec::new(),
                home: home(account.home),
            },
            (None, Some(uid)) => User { uid, ..User::default() },
            (None, None) => return Err(unknown("user", user, "etc/passwd")),
        };
        match group {
            Some(group) => {
                found.gid = match number(group.as_bytes()) {
                    Some(gid) => gid,
                    None => {
                        let named = self.groups().find(|known| known.name == group.as_bytes());
                        named.ok_or_else(|| unknown("group", group, "etc/group"))?.gid
                    }
                };
            }
            None => {
                if let Some(account) = &account {
                    found.additional_gids = self.groups_of(account.name, found.gid);
                }
            }
        }
        Ok(found)
    }

    fn groups_of(&self, user: &[u8], own: u32) -> Vec<u32> {
        let mut gids = Vec::new();
        for group in self.groups() {
            let member = group.members.split(|byte| *byte == b',').any(|member| member == user);
            if member && group.gid != own && !gids.contains(&group.gid) && gids.len() < MOST_GROUPS {
                gids.push(group.gid);
            }
        }
        gids
    }

    fn accounts(&self) -> impl Iterator<Item = Account<'_>> {
        lines(&self.passwd).filter_map(|line| {
            let fields = fields::<7>(line);
            Some(Account {
                name: fields[0]?,
                uid: number(fields[2]?)?,
                gid: number(fields[3]?)?,
                home: fields[5].unwrap_or_default(),
            })
            .filter(|account| !account.name.is_empty())
        })
    }

    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        lines(&self.group).filter_map(|line| {
            let fields = fields::<4>(line);
            Some(Group {
                name: fields[0]?,
                gid: number(fields[2]?)?,
                members: fields[3].unwrap_or_default(),
            })
            .filter(|group| !group.name.is_empty())
        })
    }
}

fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.starts_with(b"#"))
}

fn fields<const N: usize>(line: &[u8]) -> [Option<&[u8]>; N] {
    let mut parts = line.split(|byte| *byte == b':');
    std::array::from_fn(|_| parts.next())
}

/// A number of a user or a group. The last one means "leave unchanged" to the kernel.
fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 10 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u32 = str::from_utf8(text).ok()?.parse().ok()?;
    (number != u32::MAX).then_some(number)
}

fn home(path: &[u8]) -> Option<String> {
    let path = str::from_utf8(path).ok()?;
    (!path.is_empty() && !path.contains('\0')).then(|| path.to_owned())
}

fn unknown(what: &str, name: &str, file: &str) -> Error {
    let message = format!(
        "the image runs as {what} \"{}\", which its {file} does not have; \
         set another by `teu edit --user`, or unpack with --rootfs-only",
        name.escape_default()
    );
    Error::new(ErrorKind::Invalid, message)
}
