//! What does a credential helper know? A program `docker-credential-NAME` that keeps secrets in a safer place than a file.
//!
//! It is another's program, named by a file: its name is checked, so that it leads to no other place; it may take as long and say as much
//! as [`HelperSettings`] lets it, and what it says is never repeated where it could hold a secret.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use teu_store::{Error, ErrorKind, Result};
use tokio::{
    io::{self, AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time,
};

use super::settings::Credential;

/// The most that is read of what a helper answers, in bytes; a credential has a few hundred, a list of all of them more.
const MAX_ANSWER: usize = 1 << 20;
/// The most that is kept of what a helper complains of, in bytes.
const MAX_COMPLAINT: usize = 4096;
/// The longest name of a helper.
const MAX_NAME: usize = 64;

/// The name that an identity token has in the place of a user's name.
const TOKEN_USER: &str = "<token>";

/// How Docker's own helpers say that there is nothing, in place of a status of its own.
const NOT_FOUND: [&str; 3] = [
    "credentials not found in native keychain",
    "no credentials server URL",
    "no credentials username",
];

/// Docker's own registry, and what Docker calls it in files and to helpers.
pub(super) const DOCKER: &str = "docker.io";
pub(super) const DOCKER_SERVER: &str = "https://index.docker.io/v1/";

/// The name of a helper, without `docker-credential-`: letters, digits, `-`, `_` and `.`, at most 64, so that it names a program and no path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HelperName(String);

impl HelperName {
    /// The name as it stands in `credHelpers`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the program.
    #[must_use]
    pub fn program(&self) -> String {
        format!("docker-credential-{}", self.0)
    }
}

impl FromStr for HelperName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(known) {
            let shown: String = name.chars().take(MAX_NAME).collect();
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "{shown:?} is no name of a credential helper: 1 to {MAX_NAME} letters, digits, '-', '_' and '.' are"
                ),
            ));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for HelperName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How helpers are run.
#[derive(Clone, Debug)]
pub struct HelperSettings {
    /// Where the programs are: the directories of `PATH`. One that is not absolute is passed over: a helper is never taken from wherever
    /// one happens to be.
    pub directories: Vec<PathBuf>,
    /// How long one may take; a person may have to unlock a keychain.
    pub timeout: Duration,
}

impl Default for HelperSettings {
    fn default() -> Self {
        Self {
            directories: Vec::new(),
            timeout: Duration::from_secs(120),
        }
    }
}

/// A helper that can be asked.
#[derive(Clone, Copy, Debug)]
pub struct Helper<'a> {
    /// Which.
    pub name: &'a HelperName,
    /// How it is run.
    pub settings: &'a HelperSettings,
}

/// What helpers are told, and answer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Exchange {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    username: String,
    secret: String,
}

impl Helper<'_> {
    /// The credential for `server`, as the helper knows it by name; none where it has none.
    ///
    /// # Errors
    /// `NotFound` where there is no such program; `Io` where it fails, takes too long or says too much; `Invalid` where its answer is none.
    pub async fn get(self, server: &str) -> Result<Option<Credential>> {
        let answer = match self.run("get", server.as_bytes()).await? {
            Outcome::Answer(answer) => answer,
            Outcome::Nothing => return Ok(None),
        };
        // The text of a parser's error may repeat what it read: it is left out.
        let exchange: Exchange = serde_json::from_slice(&answer).map_err(|_| self.unintelligible())?;
        if exchange.secret.is_empty() && exchange.username.is_empty() {
            return Ok(None);
        }
        Ok(Some(if exchange.username == TOKEN_USER {
            Credential::IdentityToken(exchange.secret)
        } else {
            Credential::Basic {
                username: exchange.username,
                password: exchange.secret,
            }
        }))
    }

    /// Has the helper keep a credential for `server`.
    ///
    /// # Errors
    /// `Unsupported` for a token of a registry's, which helpers do not keep; otherwise as [`Self::get`].
    pub async fn store(self, server: &str, credential: &Credential) -> Result<()> {
        let (username, secret) = match credential {
            Credential::Basic { username, password } => (username.as_str(), password),
            Credential::IdentityToken(token) => (TOKEN_USER, token),
            Credential::Bearer(_) => {
                let message = "credential helpers keep passwords and identity tokens, and no token of a registry";
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
        };
        let exchange = Exchange {
            server_url: server.to_owned(),
            username: username.to_owned(),
            secret: secret.clone(),
        };
        let input = serde_json::to_vec(&exchange)
            .map_err(|error| Error::new(ErrorKind::Invalid, "the credential cannot be written").with_cause(error))?;
        self.run("store", &input).await.map(drop)
    }

    /// Has the helper forget the credential for `server`. That there was none is no error; many helpers do not say.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn erase(self, server: &str) -> Result<()> {
        self.run("erase", server.as_bytes()).await.map(drop)
    }

    /// The servers that the helper knows, with the name of the user for each.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn list(self) -> Result<BTreeMap<String, String>> {
        match self.run("list", b"unused").await? {
            Outcome::Answer(answer) => serde_json::from_slice(&answer).map_err(|_| self.unintelligible()),
            Outcome::Nothing => Ok(BTreeMap::new()),
        }
    }

    async fn run(self, verb: &str, input: &[u8]) -> Result<Outcome> {
        let program = self.find()?;
        let told = async {
            let mut child = Command::new(&program)
                .arg(verb)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .map_err(|error| Error::from(error).within(format!("starting {}", program.display())))?;
            converse(&mut child, input).await
        };
        let told = time::timeout(self.settings.timeout, told).await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Io,
                format!("it did not answer within the limit of {:?}", self.settings.timeout),
            ))
        });
        let told = told.map_err(|error| error.within(format!("asking the credential helper {}", self.name)))?;
        if told.status.success() {
            return Ok(Outcome::Answer(told.answer));
        }
        // A helper that fails explains itself on its standard output.
        let complaint = [&told.answer, &told.complaint].map(|text| String::from_utf8_lossy(text).trim().to_owned());
        if NOT_FOUND.iter().any(|text| complaint[0] == *text) {
            return Ok(Outcome::Nothing);
        }
        let complaint: String = complaint.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
        let complaint: String = complaint.chars().take(300).flat_map(char::escape_debug).collect();
        Err(Error::new(
            ErrorKind::Io,
            format!(
                "the credential helper {} failed ({}): {complaint}",
                self.name, told.status
            ),
        ))
    }

    fn find(self) -> Result<PathBuf> {
        let program = self.name.program();
        let directories = self
            .settings
            .directories
            .iter()
            .filter(|directory| directory.is_absolute());
        directories
            .map(|directory| directory.join(&program))
            .find(|path| is_program(path))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    format!(
                        "the credential helper {} is not there: no directory of PATH has a program {program}",
                        self.name
                    ),
                )
            })
    }

    fn unintelligible(self) -> Error {
        Error::new(
            ErrorKind::Invalid,
            format!(
                "what the credential helper {} answered is not what its protocol says",
                self.name
            ),
        )
    }
}

enum Outcome {
    Answer(Vec<u8>),
    Nothing,
}

struct Told {
    status: ExitStatus,
    answer: Vec<u8>,
    complaint: Vec<u8>,
}

/// What a helper may call a registry. Docker's own has the name that Docker gives it, and the one that containers/image does.
pub(super) fn servers(registry: &str) -> Vec<&str> {
    if registry == DOCKER {
        vec![DOCKER_SERVER, DOCKER]
    } else {
        vec![registry]
    }
}

/// Says `input` and hears the answer to its end, both at once: a helper may answer before it has read all.
async fn converse(child: &mut Child, input: &[u8]) -> Result<Told> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let say = async {
        if let Some(mut stdin) = stdin {
            // A helper that reads nothing and ends is heard nevertheless: its status says what it thinks.
            let _ = stdin.write_all(input).await;
        }
        Ok(())
    };
    let hear_answer = async {
        let (answer, rest) = hear(stdout, MAX_ANSWER).await?;
        if rest > 0 {
            let message = format!("it said more than the limit of {MAX_ANSWER} bytes");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        Ok(answer)
    };
    let ((), answer, (complaint, _)) = tokio::try_join!(say, hear_answer, hear(stderr, MAX_COMPLAINT))?;
    Ok(Told {
        status: child.wait().await?,
        answer,
        complaint,
    })
}

/// Keeps the first `limit` bytes of what is said, and counts as many of the others as an answer may have.
async fn hear(stream: Option<impl AsyncRead + Unpin>, limit: usize) -> Result<(Vec<u8>, u64)> {
    let mut heard = Vec::new();
    let Some(mut stream) = stream else {
        return Ok((heard, 0));
    };
    (&mut stream).take(limit as u64).read_to_end(&mut heard).await?;
    // To stop listening would end the program that speaks, so what it says for people is heard on, and forgotten.
    let rest = io::copy(&mut stream.take(MAX_ANSWER as u64), &mut io::sink()).await?;
    Ok((heard, rest))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
