//! `teu login`, `logout`: who are we to a registry from now on? In skopeo's words, and in its files.

use std::{io::Read as _, sync::Arc};

use serde_json::json;
use teu_spec::{Reference, RegistryReference, Repository};
use teu_store::{Error, ErrorKind, silent};
use teu_transport::remote::{
    Credential, Given,
    credential_helper::Helper,
    credentials::{AuthFile, AuthFormat, Credentials, Keeper, Place},
};

use crate::{
    arguments::{At, Login, Logout},
    failure::Failure,
    output,
    places::{Places, reference},
    progress::Shown,
    settings::Settings,
    terminal,
};

/// The longest password that is read from standard input, in bytes; tokens have some thousands.
const MAX_PASSWORD: u64 = 1 << 20;

/// What is logged in to: a registry, or a part of it.
struct Key {
    text: String,
    registry: String,
    path: Option<String>,
}

impl Key {
    fn read(argument: &str) -> Result<Self, Failure> {
        let bare = argument
            .strip_prefix("https://")
            .or_else(|| argument.strip_prefix("http://"));
        let text = match bare {
            // Of a URL the host alone is meant, as Docker's users write it.
            Some(bare) => bare.split_once('/').map_or(bare, |(host, _)| host),
            None => argument,
        };
        let (registry, path) = match text.split_once('/') {
            Some((registry, path)) => (registry, Some(path)),
            None => (text, None),
        };
        // Any path would do where there is none: it is the registry that is checked.
        let checked = Repository::new(registry, path.unwrap_or("check"));
        let checked = checked.map_err(|_| {
            Failure::Usage(format!(
                "{argument:?} is no registry: write HOST[:PORT], or the beginning of REGISTRY/PATH, without a tag"
            ))
        })?;
        Ok(Self {
            text: text.to_owned(),
            registry: checked.registry().to_owned(),
            path: path.map(str::to_owned),
        })
    }

    /// What was named, or the first registry that short names are looked for in.
    fn named_or_usual(argument: Option<&str>, places: &Places) -> Result<Self, Failure> {
        if let Some(argument) = argument {
            return Self::read(argument);
        }
        let registries = places.reach().registries()?;
        let usual = registries.search().first();
        let usual = usual.ok_or_else(|| {
            Failure::Usage("no registries found in registries.conf, a registry must be provided".to_owned())
        })?;
        Self::read(usual)
    }
}

/// Where logins are looked for, and the first of it where they are kept.
fn keepers(at: &At, places: &Places, given: &Given) -> Result<Credentials, Failure> {
    let mut credentials = places.reach().credentials(given)?;
    if let Some(path) = &at.compat_auth_file {
        if at.authfile.is_some() {
            return Err(Failure::Usage(
                "options for paths to the credential file and to the Docker-compatible credential file can not be set simultaneously"
                    .to_owned(),
            ));
        }
        credentials.places = vec![Place::File(AuthFile::new(path, AuthFormat::Docker))];
    }
    Ok(credentials)
}

fn first(credentials: &Credentials) -> Result<&Place, Failure> {
    let nowhere = || Failure::Usage("there is no place to keep a login; name a file by --authfile".to_owned());
    credentials.places.first().ok_or_else(nowhere)
}

pub(super) async fn login(arguments: &Login, settings: Arc<Settings>) -> Result<(), Failure> {
    let options = arguments.options();
    let places = Places::new(Arc::clone(&settings), &options, silent());
    let given = places.given(&options)?;
    let key = Key::named_or_usual(arguments.registry.as_deref(), &places)?;
    let credentials = keepers(&arguments.at, &places, &given)?;
    let known = credentials.find(&key.registry, key.path.as_deref()).await?;
    let (known_user, known_password) = match &known {
        Some(Credential::Basic { username, password }) => (Some(username.as_str()), Some(password.as_str())),
        _ => (None, None),
    };
    if arguments.get_login {
        let user = known_user.ok_or_else(|| not_logged_in(&key))?;
        return output::line(user);
    }
    if matches!(known, Some(Credential::IdentityToken(_))) {
        return Err(Failure::Usage(
            "currently logged in, auth file contains an Identity token".to_owned(),
        ));
    }
    let mut password = arguments.password.clone();
    if arguments.password_stdin {
        password = Some(piped_password(arguments)?);
    }
    let check = |username: String, password: String| {
        let given = Given {
            credential: Some(Credential::Basic { username, password }),
            anonymous: false,
            ..given.clone()
        };
        knows_us(&places, &key, given)
    };
    if let (None, None, Some(user), Some(secret)) = (&arguments.username, &password, known_user, known_password) {
        say(
            &settings,
            &format!("Authenticating with existing credentials for {}", key.text),
        )?;
        if check(user.to_owned(), secret.to_owned()).await.is_ok() {
            let message = format!("Existing credentials are valid. Already logged in to {}", key.registry);
            return done(&settings, &message, &key, None);
        }
        say(
            &settings,
            "Existing credentials are invalid, please enter valid username and password",
        )?;
    }
    let username = match (&arguments.username, known_user) {
        (Some(username), _) => username.trim().to_owned(),
        (None, known) => {
            let question = known.map_or_else(|| "Username: ".to_owned(), |known| format!("Username ({known}): "));
            let answer = terminal::line(&question).await?.trim().to_owned();
            match known {
                Some(known) if answer.is_empty() => known.to_owned(),
                _ => answer,
            }
        }
    };
    let password = match password {
        Some(password) if !password.is_empty() => password,
        _ => terminal::secret("Password: ").await?,
    };
    // Nothing is written that the registry did not take.
    check(username.clone(), password.clone())
        .await
        .map_err(|error| match error {
            Failure::Store(error) if matches!(error.kind(), ErrorKind::Unauthenticated | ErrorKind::Denied) => {
                let message = format!("logging into {:?}: invalid username/password", key.text);
                Failure::Store(Error::new(ErrorKind::Unauthenticated, message))
            }
            Failure::Store(error) => Failure::Store(error.within(format!("authenticating creds for {:?}", key.text))),
            other => other,
        })?;
    let credential = Credential::Basic { username, password };
    // Only now, when nothing is asked any more.
    let shown = Shown::start(&settings, false);
    let kept = match first(&credentials)? {
        Place::File(file) => {
            let events = shown.events();
            file.login(&key.text, &credential, &credentials.helpers, &events)
                .await?
        }
        Place::Helper(name) => {
            let helper = Helper {
                name,
                settings: &credentials.helpers,
            };
            helper.store(&key.text, &credential).await?;
            Keeper::Helper(name.clone())
        }
    };
    let kept = match kept {
        Keeper::File(path) => path.display().to_string(),
        Keeper::Helper(name) => format!("credential helper: {name}"),
    };
    if arguments.verbose {
        // The two spaces are skopeo's.
        say(&settings, &format!("Used:  {kept}"))?;
    }
    done(&settings, "Login Succeeded!", &key, Some(kept))
}

pub(super) async fn logout(arguments: &Logout, settings: Arc<Settings>) -> Result<(), Failure> {
    let shown = Shown::start(&settings, false);
    let options = arguments.at.options();
    let places = Places::new(Arc::clone(&settings), &options, silent());
    let given = places.given(&options)?;
    let credentials = keepers(&arguments.at, &places, &given)?;
    if let Some(path) = &arguments.at.authfile
        && !path.exists()
    {
        let message = format!("checking authfile: there is no {}", path.display());
        return Err(Failure::Usage(message));
    }
    let place = first(&credentials)?;
    if arguments.all && arguments.registry.is_some() {
        return Err(Failure::Usage("--all takes no arguments".to_owned()));
    }
    if arguments.all {
        match place {
            Place::File(file) => file.logout_all(&credentials.helpers, &shown.events()).await?,
            Place::Helper(name) => {
                let helper = Helper {
                    name,
                    settings: &credentials.helpers,
                };
                for server in helper.list().await?.keys() {
                    helper.erase(server).await?;
                }
            }
        }
        return match settings.json {
            true => output::json(&json!({"removed": "all"})),
            false => output::line("Removed login credentials for all registries"),
        };
    }
    let key = Key::named_or_usual(arguments.registry.as_deref(), &places)?;
    let forgotten = match place {
        Place::File(file) => file.logout(&key.text, &credentials.helpers, &shown.events()).await?,
        Place::Helper(name) => {
            let helper = Helper {
                name,
                settings: &credentials.helpers,
            };
            let known = helper.get(&key.text).await?.is_some();
            if known {
                helper.erase(&key.text).await?;
            }
            known
        }
    };
    if forgotten {
        return match settings.json {
            true => output::json(&json!({"removed": key.text})),
            false => output::line(&format!("Removed login credentials for {}", key.text)),
        };
    }
    if credentials.find(&key.registry, key.path.as_deref()).await?.is_some() {
        let message = format!(
            "Not logged into {} with current tool. Existing credentials were established via docker login. \
             Please use docker logout instead.",
            key.text
        );
        return Err(Error::new(ErrorKind::Unauthenticated, message).into());
    }
    Err(not_logged_in(&key))
}

fn not_logged_in(key: &Key) -> Failure {
    Error::new(ErrorKind::Unauthenticated, format!("not logged into {}", key.text)).into()
}

fn piped_password(arguments: &Login) -> Result<String, Failure> {
    if arguments.password.is_some() {
        return Err(Failure::Usage(
            "Can't specify both --password-stdin and --password".to_owned(),
        ));
    }
    if arguments.username.is_none() {
        return Err(Failure::Usage(
            "Must provide --username with --password-stdin".to_owned(),
        ));
    }
    let mut text = String::new();
    std::io::stdin().take(MAX_PASSWORD).read_to_string(&mut text)?;
    // Lines are joined, as skopeo does it.
    Ok(text.lines().collect())
}

/// Whether the registry takes a credential.
async fn knows_us(places: &Places, key: &Key, given: Given) -> Result<(), Failure> {
    // Any repository leads to its registry.
    let Reference::Registry(image) = reference(&format!("docker://{}/any", key.registry))? else {
        return Err(Failure::Usage(format!("{} is no registry", key.registry)));
    };
    let image: RegistryReference = image;
    let repository = places.reach().repository(&image, &given)?;
    Ok(repository.registry().ping().await?)
}

/// Says what goes on, where the result is for people.
fn say(settings: &Settings, message: &str) -> Result<(), Failure> {
    match settings.json {
        true => Ok(()),
        false => output::line(message),
    }
}

fn done(settings: &Settings, message: &str, key: &Key, kept: Option<String>) -> Result<(), Failure> {
    match settings.json {
        true => output::json(&json!({"registry": key.text, "kept": kept})),
        false => output::line(message),
    }
}
